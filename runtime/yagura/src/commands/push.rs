//! `yagura push`: a pack into a registry.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use yagura_packs::registry::{At, Reference, Registry};
use yagura_packs::sign::Signature;

use super::pull::Speaking;
use super::{block_on, verify};

/// Put a pack with its signatures into a registry of containers (OCI)
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Directory or archive of a pack, with its list of files, as `yagura sign` and `yagura pack` make it
    #[arg(value_name = "PACK")]
    path: PathBuf,
    /// Where it is to lie; the path ends in the pack's name: `registry.example.org/team/aws`
    #[arg(value_name = "PLACE", value_parser = parse_place)]
    place: Reference,
    #[command(flatten)]
    speaking: Speaking,
}

const AFTER_HELP: &str = "\
A version is published once: the same version with other contents is refused, and pushing the same again adds signatures.
User and password come from the environment as YAGURA_REGISTRY_USER and YAGURA_REGISTRY_PASSWORD, a token as
YAGURA_REGISTRY_TOKEN.";

/// Reads a place; for arguments.
pub(super) fn parse_place(text: &str) -> Result<Reference, String> {
    Reference::parse(text).map_err(|error| error.to_string())
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let pack = verify::read(&arguments.path)?;
    let version = &pack.pack().pack.version;
    match &arguments.place.at {
        At::Newest => {}
        At::Version(asked) if asked.to_string() == *version => {}
        At::Version(asked) => bail!(
            "{} has the version {version} in its pack.toml, and not {asked}: nothing was pushed",
            arguments.path.display()
        ),
        At::Digest(_) => bail!("a digest says what to pull; to push, name the place without it"),
    }
    if let Some(file) = pack.contents().missing_plugin()? {
        let path = arguments.path.display();
        bail!(
            "{path} has no `{file}`, which its pack.toml names: make it with `yagura build {path}`"
        );
    }
    for (name, bytes) in &pack.contents().signatures {
        if name.as_str().ends_with(".minisig")
            && let Err(problem) = Signature::parse(bytes)
        {
            bail!(
                "the signature `{name}` is broken ({problem}): remove it, and nothing was pushed"
            );
        }
    }
    let pushed = block_on(async {
        let registry = Registry::connect(&arguments.place, &arguments.speaking.options()).await?;
        Ok(registry.push(&pack).await?)
    })?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "pushed {}, image {}",
        pushed.place,
        pushed.image.tagged()
    )?;
    for signature in &pushed.signatures {
        writeln!(out, "  with {signature}")?;
    }
    if pushed.signatures.is_empty() {
        writeln!(
            out,
            "  without a signature: `yagura sign` makes one, and pushing again adds it"
        )?;
    }
    Ok(0)
}
