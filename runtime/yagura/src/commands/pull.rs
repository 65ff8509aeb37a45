//! `yagura pull`: packs out of a registry, with what they need.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use yagura_core::{Fault, FaultKind, OrFault};
use yagura_packs::registry::{PackLock, Pulled, Reference, Registry, VersionSelector};
use yagura_packs::{Bounds, Installed, TrustPolicy, VerifiedPack, archive};
use yagura_service::admission;

use super::block_on;
use crate::output::count;
use crate::registry::{RegistryAccess, parse_reference};

/// Fetch packs and their dependencies from a registry into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Where packs lie, all beside one another: `registry.example.org/team/aws`, `…:1.2.0` or `…@sha256:…`
    #[arg(value_name = "REFERENCE", required = true, value_parser = parse_reference)]
    references: Vec<Reference>,
    /// Directory in which each becomes NAME.tar.zst
    #[arg(long, value_name = "DIR", default_value = "packs")]
    to: PathBuf,
    /// Lock file: what it names is taken byte for byte [default: yagura.lock in the directory]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Take the newest versions, whatever the lock file names
    #[arg(long)]
    update: bool,
    /// Trust policy that every pack must meet; where one does not, nothing is written
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    access: RegistryAccess,
}

/// Name of the lock file in a directory of archives.
pub(super) const LOCK_FILE: &str = "yagura.lock";

const AFTER_HELP: &str = "\
A pack is compared with the digests of the registry and with its own list of files; --trust checks who signed it, and so does every
run. Name the archives in `packs` of the configuration; `yagura grants` shows what they ask for.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let lock_file = match &arguments.lock {
        Some(file) => file.clone(),
        None => arguments.to.join(LOCK_FILE),
    };
    let lock = PackLock::read(&lock_file)?;
    let pulled = block_on(pull(arguments, &lock, &lock_file))?;
    let packs: Vec<&VerifiedPack> = pulled.iter().map(|pulled| &pulled.pack).collect();
    let trust = arguments.trust.as_deref();
    let mut out = io::stdout().lock();
    let newest = |place: &&Reference| matches!(place.at, VersionSelector::Newest);
    write_archives(&packs, &arguments.to, trust, &mut out).map_err(|error| {
        match arguments.references.iter().find(newest) {
            // A version that nobody signed must not keep those before it from anybody.
            Some(place) if Fault::kind(error.chain()) == FaultKind::Rule && trust.is_some() => error.context(format!(
                "the packs that were found cannot be taken; another version can be named: `{place}:VERSION`"
            )),
            _ => error,
        }
    })?;
    for Pulled {
        pack,
        image,
        source,
    } in &pulled
    {
        writeln!(out, "{} came from {source}@{}", pack.name(), image.tagged())?;
    }
    let kept: Vec<String> = arguments
        .references
        .iter()
        .filter(|place| !arguments.update && matches!(place.at, VersionSelector::Newest))
        .filter_map(|place| {
            let locked = lock
                .packs
                .iter()
                .find(|locked| locked.name == place.pack())?;
            Some(format!("{} {}", locked.name, locked.version))
        })
        .collect();
    // What other pulls into the directory locked stays.
    let mut new = PackLock::of(&pulled);
    let names: Vec<String> = new.packs.iter().map(|pack| pack.name.clone()).collect();
    new.packs.extend(
        lock.packs
            .into_iter()
            .filter(|pack| !names.contains(&pack.name)),
    );
    new.packs.sort_by(|a, b| a.name.cmp(&b.name));
    new.write(&lock_file)?;
    writeln!(out, "locked in {}", lock_file.display())?;
    if !kept.is_empty() {
        writeln!(
            out,
            "kept at what was locked before: {}; --update takes the newest",
            kept.join(", ")
        )?;
    }
    Ok(0)
}

async fn pull(arguments: &Arguments, lock: &PackLock, lock_file: &Path) -> Result<Vec<Pulled>> {
    let first = &arguments.references[0];
    if let Some(other) = arguments
        .references
        .iter()
        .find(|place| first.beside(place.pack(), place.at.clone()) != **place)
    {
        bail!("{other} does not lie beside {first}: pull it by a call of its own");
    }
    let registry = Registry::connect(first, &arguments.access.options()).await?;
    let none = PackLock::default();
    let lock = if arguments.update { &none } else { lock };
    let mut roots = Vec::new();
    let mut by_digest = Vec::new();
    for place in &arguments.references {
        let wanted = match &place.at {
            VersionSelector::Newest => "*".to_owned(),
            VersionSelector::Version(version) => format!("={version}"),
            VersionSelector::Digest(digest) => {
                let registry = Registry::connect(place, &arguments.access.options()).await?;
                let pulled = registry.pull().await?;
                let version = pulled.pack.pack().pack.version.clone();
                by_digest.push((place.pack().to_owned(), version.clone(), *digest));
                format!("={version}")
            }
        };
        let wanted = wanted.parse().with_context(|| format!("of {place}"))?;
        roots.push((place.pack().to_owned(), wanted));
    }
    let pulled = registry.pull_all(&roots, lock).await;
    let pulled = match lock.packs.is_empty() {
        true => pulled?,
        false => pulled.with_context(|| {
            format!(
                "cannot pull with the versions that {} names; --update takes the newest",
                lock_file.display()
            )
        })?,
    };
    for (name, version, digest) in by_digest {
        let found = pulled.iter().find(|pulled| pulled.pack.name() == name);
        if found.is_none_or(|found| found.image != digest) {
            bail!(
                "the registry has another image under the version {version} of `{name}` than the one with the digest {digest}: somebody exchanged it"
            );
        }
    }
    Ok(pulled)
}

/// Makes sure that packs that lie in a directory already find what they need there afterwards too.
fn let_neighbours_agree(packs: &[&VerifiedPack], to: &Path) -> Result<()> {
    let mut all: Vec<VerifiedPack> = packs.iter().map(|pack| (*pack).clone()).collect();
    for entry in fs::read_dir(to).with_context(|| format!("cannot read {}", to.display()))? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let Some(name) = name.strip_suffix(".tar.zst") else {
            continue;
        };
        if packs.iter().all(|pack| pack.name() != name)
            && let Ok(contents) = archive::read_file(&file, &Bounds::default())
            && let Ok(pack) = contents.verify()
        {
            all.push(pack);
        }
    }
    admission::needs(all.iter().map(VerifiedPack::identity)).context("nothing was written")
}

/// Writes packs as archives into a directory, all of them or, where one is not trusted, none.
pub(super) fn write_archives(
    packs: &[&VerifiedPack],
    to: &Path,
    trust: Option<&Path>,
    out: &mut impl Write,
) -> Result<()> {
    let policy = trust.map(TrustPolicy::read).transpose()?;
    let mut verdicts = Vec::new();
    for pack in packs {
        // Whether it is older than what is used here is evaluated where it is run.
        let verdict = policy
            .as_ref()
            .map(|policy| policy.evaluate(pack, &Installed::default()));
        if let Some(verdict) = verdict.as_ref().filter(|verdict| !verdict.is_trusted()) {
            return Err(Fault::rule(format!("{verdict}\nnothing was written")).into());
        }
        verdicts.push(verdict);
    }
    fs::create_dir_all(to)
        .with_context(|| format!("cannot make the directory {}", to.display()))?;
    let_neighbours_agree(packs, to)?;
    for (pack, verdict) in packs.iter().zip(verdicts) {
        let file = to.join(format!("{}.tar.zst", pack.name()));
        let before = archive::read_file(&file, &Bounds::default()).ok();
        let before = before.and_then(|contents| contents.verify().ok());
        archive::write_file(pack.contents(), &file, &Bounds::default()).or_fault()?;
        let identity = &pack.pack().pack;
        let before = before.filter(|before| before.pack().pack.version != identity.version);
        let place = before.map_or_else(String::new, |before| {
            format!(", in place of {}", before.pack().pack.version)
        });
        writeln!(
            out,
            "{}: {} {}{place}",
            file.display(),
            identity.name,
            identity.version
        )?;
        writeln!(out, "  its list of files is {}", pack.digest().tagged())?;
        match verdict {
            Some(verdict) => writeln!(out, "  {verdict}")?,
            None => {
                let signatures = pack.contents().signatures.len() as u64;
                let signatures = count(signatures, "signature", "signatures");
                writeln!(out, "  {signatures}, not checked: give --trust")?;
            }
        }
    }
    Ok(())
}
