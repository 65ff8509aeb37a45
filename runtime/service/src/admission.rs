//! Which packs may run: who may sign them, what they may reach, and which versions were used before.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use semver::{Version, VersionReq};
use tempfile::TempDir;
use yagura_core::pack::Identity;
use yagura_core::{Fault, Grants, OrFault};
use yagura_packs::FileManifest;
use yagura_packs::grants::Changes;
use yagura_packs::{Bounds, Gate, Installed, OpenedPack, TrustPolicy, VerifiedPack};

use crate::config::Config;
use crate::packs::twice;

/// The settings of a configuration that decide which packs run.
#[derive(Debug)]
pub struct Admission {
    /// Who may sign packs; without it packs need no signature.
    pub trust: Option<TrustPolicy>,
    /// What plugins may reach.
    pub grants: Grants,
    /// Whether there is a grants file, and so somebody who looks at what packs ask for.
    has_grants: bool,
    /// The versions of packs that were used before.
    pub installed: Installed,
    /// Where it is written which versions were used.
    pub installed_file: PathBuf,
    /// Where packs are unpacked that were verified.
    store: PathBuf,
}

impl Admission {
    /// Reads the files that the configuration names.
    pub fn read(config: &Config) -> Result<Self> {
        let state = config.serve.clone().unwrap_or_default().state;
        let installed_file = state.join("installed.toml");
        Ok(Self {
            trust: config.trust.as_deref().map(TrustPolicy::read).transpose()?,
            grants: grants(config.grants.as_deref())?,
            has_grants: config.grants.is_some(),
            installed: Installed::read(&installed_file).or_fault()?,
            installed_file,
            store: state.join("packs"),
        })
    }

    /// Opens the pack at a path as it would be run.
    pub fn open(
        &self,
        path: &Path,
        allow_rollback: bool,
    ) -> Result<OpenedPack, yagura_packs::GateError> {
        let gate = Gate {
            trust: self.trust.as_ref(),
            installed: &self.installed,
            grants: &self.grants,
            bounds: Bounds::default(),
            allow_rollback,
        };
        gate.open(path)
    }

    /// Admits the packs of the configuration, or returns why not, and replaces their paths by the directories to run them from:
    /// what was verified is what runs, whatever becomes of the file it came in. [`Admission::remember`] is for when they do run.
    pub fn admit(
        &mut self,
        config: &mut Config,
        allow_rollback: bool,
        err: &mut impl Write,
    ) -> Result<()> {
        let mut admitted = Vec::new();
        for path in &mut config.packs {
            let opened = self.open(path, allow_rollback).or_fault()?;
            if self.trust.is_some() || !path.is_dir() {
                *path = opened.pack.open_in(&self.store, &Bounds::default())?;
            }
            if let Some(verdict) = &opened.verdict {
                writeln!(err, "{verdict}")?;
            }
            self.report_new(&opened, err)?;
            if let Some((before, _)) = admitted
                .iter()
                .find(|(_, other): &&(PathBuf, VerifiedPack)| other.name() == opened.pack.name())
            {
                return Err(twice(opened.pack.name(), before, path).into());
            }
            admitted.push((path.clone(), opened.pack));
        }
        let admitted: Vec<VerifiedPack> = admitted.into_iter().map(|(_, pack)| pack).collect();
        needs(admitted.iter().map(VerifiedPack::identity))?;
        for pack in &admitted {
            self.installed.record(pack);
        }
        Ok(())
    }

    /// Writes down which versions run, so that older ones, and upgrades that ask for more, wait for an answer from now on: where
    /// there is a trust policy or a grants file, and by services.
    pub fn remember(&self, is_service: bool) -> Result<()> {
        if self.trust.is_some() || self.has_grants || is_service {
            self.write_installed()?;
        }
        Ok(())
    }

    /// Reports a pack or a version that was not used before, with the number of its requests that nothing grants.
    fn report_new(&self, opened: &OpenedPack, err: &mut impl Write) -> Result<()> {
        let name = opened.pack.name();
        let version = &opened.pack.pack().pack.version;
        let seen = self.installed.pack.get(name);
        if let Some(seen) = seen.filter(|seen| seen.version == *version) {
            // What nobody signs is worked on, and changes all the time.
            if self.trust.is_some() && seen.digest != opened.pack.digest().tagged() {
                writeln!(
                    err,
                    "`{name}` {version} has other contents than before, by --allow-rollback; `yagura grants` names the files"
                )?;
                changes(&opened.changes, err)?;
            }
            return Ok(());
        }
        if let Some(seen) = seen {
            let is_older = match (Version::parse(version), Version::parse(&seen.version)) {
                (Ok(now), Ok(before)) => now < before,
                _ => false,
            };
            if is_older {
                writeln!(
                    err,
                    "`{name}` {version} replaces the newer {}, by --allow-rollback",
                    seen.version
                )?;
            } else {
                writeln!(err, "`{name}` {version} comes after {}", seen.version)?;
            }
            changes(&opened.changes, err)?;
        }
        let missing = opened.asked.missing().count();
        if missing > 0 {
            let things = if missing == 1 { "thing" } else { "things" };
            writeln!(
                err,
                "`{name}` {version} asks for {missing} {things} that nothing grants; `yagura grants` lists them"
            )?;
        }
        Ok(())
    }

    /// Writes which versions were used, where that has changed.
    pub fn write_installed(&self) -> Result<()> {
        if Installed::read(&self.installed_file).or_fault()? == self.installed {
            return Ok(());
        }
        if let Some(dir) = self.installed_file.parent() {
            fs::create_dir_all(dir)
                .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        }
        Ok(self.installed.write(&self.installed_file)?)
    }
}

/// Makes sure that every pack has those that it needs.
pub fn needs<'a>(packs: impl Iterator<Item = &'a Identity>) -> Result<()> {
    let packs: Vec<&Identity> = packs.collect();
    match unmet(&packs).into_iter().next() {
        Some((_, message)) => Err(Fault::rule(message).into()),
        None => Ok(()),
    }
}

/// Returns what packs need and do not have beside them, each with the index of the pack.
pub fn unmet(packs: &[&Identity]) -> Vec<(usize, String)> {
    let mut unmet = Vec::new();
    for (index, pack) in packs.iter().enumerate() {
        for (name, wanted) in &pack.dependencies {
            let found = packs.iter().find(|other| other.name == *name);
            let found = found.and_then(|other| other.semver());
            // What is no requirement was refused when the pack was read.
            let will_do = |version: &Version| {
                let wanted = VersionReq::parse(wanted);
                wanted.is_ok_and(|wanted| wanted.matches(version))
            };
            if found.as_ref().is_some_and(will_do) {
                continue;
            }
            let has = found.map_or_else(
                || "there is none beside it".to_owned(),
                |version| format!("there is {version}"),
            );
            let message = format!(
                "`{}` {} needs `{name}` {wanted}, and {has}: `yagura pull` brings what packs need, and `yagura save` takes several packs into one file",
                pack.name, pack.version
            );
            unmet.push((index, message));
        }
    }
    unmet
}

/// Returns the directory of a pack that is there without a configuration: itself, or what an archive holds, in a directory that
/// lasts as long as `kept`.
pub fn directory(path: &Path, kept: &mut Vec<TempDir>) -> Result<PathBuf> {
    if !path.is_file() {
        return Ok(path.to_owned());
    }
    let bounds = Bounds::default();
    let pack = yagura_packs::archive::read_file(path, &bounds)
        .or_fault()?
        .verify()
        .or_fault()?;
    let dir = tempfile::tempdir().context("cannot make a directory")?;
    let unpacked = pack.open_in(dir.path(), &bounds)?;
    kept.push(dir);
    Ok(unpacked)
}

/// Reads the grants file; without one nothing is granted.
pub fn grants(file: Option<&Path>) -> Result<Grants> {
    let Some(file) = file else {
        return Ok(Grants::default());
    };
    let text = fs::read_to_string(file).with_context(|| {
        format!(
            "cannot read the grants {}; an empty file grants nothing",
            file.display()
        )
    })?;
    let mut grants = Grants::parse(file, &text).or_fault()?;
    let beside = file.parent().unwrap_or(Path::new(""));
    for grant in grants.pack.values_mut() {
        for path in grant.directories.values_mut() {
            *path = beside.join(&*path);
        }
    }
    Ok(grants)
}

impl Admission {
    /// Returns how the files of a pack differ from those of the version that was used before, where its copy is still there.
    pub fn files_changed(&self, pack: &VerifiedPack) -> Vec<String> {
        let Some(seen) = self.installed.pack.get(pack.name()) else {
            return Vec::new();
        };
        let digest = seen.digest.trim_start_matches("sha256:");
        let digest = digest.get(..16).unwrap_or(digest);
        let copy = self
            .store
            .join(format!("{}-{}-{digest}", pack.name(), seen.version));
        let Ok(text) = fs::read(copy.join("MANIFEST.sha256")) else {
            return Vec::new();
        };
        let Ok(before) = FileManifest::parse(&text) else {
            return Vec::new();
        };
        let (before, now) = (before.files(), pack.manifest().files());
        let mut lines = Vec::new();
        for (path, digest) in now {
            match before.get(path) {
                None => lines.push(format!("+ {path}")),
                Some(old) if old != digest => lines.push(format!("~ {path}")),
                Some(_) => {}
            }
        }
        let gone = before.keys().filter(|path| !now.contains_key(*path));
        lines.extend(gone.map(|path| format!("- {path}")));
        lines
    }
}

/// Prints what an upgrade changes, a line for each.
pub fn changes(changes: &Changes, out: &mut impl Write) -> Result<()> {
    for plugin in &changes.new_plugins {
        writeln!(out, "  + plugin {plugin}")?;
    }
    for plugin in &changes.gone_plugins {
        writeln!(out, "  - plugin {plugin}")?;
    }
    for (plugin, ask) in &changes.added {
        writeln!(out, "  + {plugin}: {ask}")?;
    }
    for (plugin, ask) in &changes.removed {
        writeln!(out, "  - {plugin}: {ask}")?;
    }
    for limit in &changes.limits {
        let (plugin, name) = (&limit.plugin, limit.limit);
        let sign = if limit.is_more { '+' } else { '-' };
        writeln!(
            out,
            "  {sign} {plugin}: limits.{name} = {}, was {}",
            limit.now, limit.before
        )?;
    }
    Ok(())
}
