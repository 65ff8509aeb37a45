//! `yagura sign`: a signature over everything in a pack.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use yagura_core::OrFault;
use yagura_packs::{Bounds, author};

use super::keygen::read_secret_key;
use crate::output::count;

/// Sign a pack: the list of its files with their digests
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Directory or archive of a pack
    #[arg(value_name = "PACK")]
    path: PathBuf,
    /// Secret key, as `yagura keygen` or minisign makes it: the file, or its name without `.key`
    #[arg(long, value_name = "NAME")]
    key: PathBuf,
    /// Name of the signature, where a pack has several: MANIFEST.sha256.NAME.minisig
    #[arg(long, value_name = "NAME")]
    signer: Option<String>,
}

const AFTER_HELP: &str = "\
Of a directory, MANIFEST.sha256 is written anew where a file changed, and signatures of other contents are removed. The
signature lies beside it and is minisign's. A changed archive is not signed: pack its directory again. The key's password comes
from the terminal, or from the environment as YAGURA_KEY_PASSWORD.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let key = read_secret_key(&arguments.key)?;
    let signed = author::sign(
        &arguments.path,
        &key,
        arguments.signer.as_deref(),
        &Bounds::default(),
    )
    .or_fault()?;
    let mut out = io::stdout().lock();
    let identity = &signed.pack.pack().pack;
    let files = signed.pack.manifest().files().len() as u64;
    for dropped in &signed.dropped {
        writeln!(out, "removed {dropped}: it was for other contents")?;
    }
    writeln!(
        out,
        "signed {} {} by {} in {}: {}, {}",
        identity.name,
        identity.version,
        key.public().id(),
        signed.signature,
        count(files, "file", "files"),
        signed.pack.digest().tagged()
    )?;
    Ok(0)
}
