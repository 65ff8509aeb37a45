//! `yagura push`: a pack into a registry.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use yagura_core::OrFault;
use yagura_packs::registry::{Reference, Registry, VersionSelector};
use yagura_packs::sign::Signature;

use super::{block_on, verify};
use crate::registry::{RegistryAccess, parse_reference};

/// Put a pack with its signatures into a container registry (OCI)
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Directory or archive of a pack, with its list of files, as `yagura sign` and `yagura pack` make it
    #[arg(value_name = "PACK")]
    path: PathBuf,
    /// Where to put it; the path ends in the pack's name: `registry.example.org/team/aws`
    #[arg(value_name = "REFERENCE", value_parser = parse_reference)]
    reference: Reference,
    #[command(flatten)]
    access: RegistryAccess,
}

const AFTER_HELP: &str = "\
A version is published once: the same version with other contents is refused, and pushing the same again adds signatures.
User and password come from the environment as YAGURA_REGISTRY_USER and YAGURA_REGISTRY_PASSWORD, a token as
YAGURA_REGISTRY_TOKEN.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let pack = verify::read(&arguments.path)?;
    let version = &pack.pack().pack.version;
    match &arguments.reference.at {
        VersionSelector::Newest => {}
        VersionSelector::Version(asked) if asked.to_string() == *version => {}
        VersionSelector::Version(asked) => bail!(
            "{} has the version {version} in its pack.toml, and not {asked}: nothing was pushed",
            arguments.path.display()
        ),
        VersionSelector::Digest(_) => {
            bail!("a digest names a pack to pull; to push, name the reference without it")
        }
    }
    if let Some(file) = pack.contents().missing_plugin().or_fault()? {
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
        let registry = Registry::connect(&arguments.reference, &arguments.access.options()).await?;
        Ok(registry.push(&pack).await?)
    })?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "pushed {}, image {}",
        pushed.reference,
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
