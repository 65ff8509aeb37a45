//! `yagura load`: packs out of a file that `yagura save` wrote.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result};
use yagura_core::OrFault;
use yagura_packs::registry::{self, LockedPack, PackLock};
use yagura_packs::{Bounds, VerifiedPack};

use super::pull::{LOCK_FILE, write_archives};

/// Take packs out of a file that `yagura save` wrote
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file
    file: PathBuf,
    /// Directory in which each becomes NAME.tar.zst
    #[arg(long, value_name = "DIR", default_value = "packs")]
    to: PathBuf,
    /// Trust policy that every pack must meet; where one does not, nothing is written
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let name = arguments.file.display().to_string();
    let file = File::open(&arguments.file).with_context(|| format!("cannot read {name}"))?;
    let packs = registry::load(BufReader::new(file), &name, &Bounds::default())
        .or_fault()
        .with_context(|| format!("cannot load packs from {name}"))?;
    let packs: Vec<&VerifiedPack> = packs.iter().collect();
    let trust = arguments.trust.as_deref();
    let mut out = io::stdout().lock();
    write_archives(&packs, &arguments.to, trust, &mut out)?;
    // A later `yagura pull` must not bring back what was locked before.
    let lock_file = arguments.to.join(LOCK_FILE);
    let mut lock = PackLock::read(&lock_file)?;
    let is_other = |locked: &LockedPack| {
        packs
            .iter()
            .any(|pack| pack.name() == locked.name && pack.digest().tagged() != locked.digest)
    };
    let others: Vec<LockedPack> = lock
        .packs
        .extract_if(.., |locked| is_other(locked))
        .collect();
    if !others.is_empty() {
        lock.write(&lock_file)?;
    }
    for LockedPack { name, version, .. } in others {
        writeln!(
            out,
            "{} no longer names {name} {version}",
            lock_file.display()
        )?;
    }
    Ok(0)
}
