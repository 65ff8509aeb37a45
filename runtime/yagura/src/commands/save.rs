//! `yagura save`: packs in one file, for machines without network.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use yagura_core::OrFault;
use yagura_packs::VerifiedPack;
use yagura_packs::registry;
use yagura_service::admission;

use super::verify;
use crate::output::count;

/// Put packs with their signatures into one file, for machines without network
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory or archive of a pack; may be given more than once
    #[arg(value_name = "PACK", required = true)]
    paths: Vec<PathBuf>,
    /// The file: an OCI image layout, which other tools read too
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let packs = arguments
        .paths
        .iter()
        .map(|path| verify::read(path))
        .collect::<Result<Vec<_>>>()?;
    let packs: Vec<&VerifiedPack> = packs.iter().collect();
    for (at, pack) in packs.iter().enumerate() {
        if let Some(before) = packs[..at]
            .iter()
            .position(|other| other.name() == pack.name())
        {
            bail!(
                "{} and {} are both the pack `{}`: a file holds each pack once",
                arguments.paths[before].display(),
                arguments.paths[at].display(),
                pack.name()
            );
        }
    }
    let file = &arguments.out;
    let cannot = || format!("cannot write {}", file.display());
    // A file that is written to the end, or none.
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or_else(|| ".".as_ref());
    let fresh = tempfile::NamedTempFile::new_in(dir).with_context(cannot)?;
    let mut buffer = BufWriter::new(fresh);
    registry::save(&packs, &mut buffer)
        .or_fault()
        .with_context(cannot)?;
    let fresh = buffer
        .into_inner()
        .map_err(io::Error::from)
        .with_context(cannot)?;
    fresh.as_file().sync_all().with_context(cannot)?;
    make_readable(fresh.as_file()).with_context(cannot)?;
    fresh
        .persist(file)
        .map_err(|error| error.error)
        .with_context(cannot)?;
    let mut out = io::stdout().lock();
    let identities: Vec<_> = packs.iter().map(|pack| pack.identity()).collect();
    for (_, message) in admission::unmet(&identities) {
        writeln!(io::stderr(), "warning: {message}")?;
    }
    for pack in packs {
        let identity = &pack.pack().pack;
        let signatures = pack.contents().signatures.len() as u64;
        writeln!(
            out,
            "saved {} {}, {}",
            identity.name,
            identity.version,
            count(signatures, "signature", "signatures")
        )?;
    }
    Ok(0)
}

/// A temporary file is for its owner alone; what others are to load is not.
fn make_readable(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    let _ = file;
    Ok(())
}
