//! What is wrong with sources: those of packs, and those that a configuration names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use yagura_core::causes::causes;
use yagura_core::diagnostic::{Code, Diagnostic, Key, Level};
use yagura_core::pack::World;
use yagura_core::source::SourceText;
use yagura_core::{Grants, Pack};
use yagura_host::{Host, Meter};
use yagura_service::config::Config;
use yagura_service::packs;
use yagura_service::sources::{OpenSource, RECORDS_AT_ONCE};
use yagura_sources::{Mapping, SourceFile};

use super::RuleCheck;
use crate::diagnostics;
use crate::ruleset::RuleSet;

impl RuleCheck {
    /// Reads and maps every source of every pack, and opens their plugins.
    pub(super) fn sources(&mut self, set: &RuleSet) -> Result<()> {
        let mut host = None;
        for pack in &set.packs {
            for file in &pack.sources {
                self.sources += 1;
                let text = fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                let read = SourceFile::read(file, &text);
                let mapped = read.and_then(|source| {
                    Mapping::new(file, &text, &source)?;
                    Ok(source.source.plugin)
                });
                match mapped {
                    Err(problems) => self.found.extend(problems.0),
                    Ok(None) => {}
                    Ok(Some(plugin)) => {
                        let found = of_plugin(pack, file, &plugin, &mut host)?;
                        let key = Key::written("source.plugin");
                        let found = found.map(|found| found.at(key));
                        let place = SourceText::new(file, &text);
                        self.found.extend(found.map(|found| place.place(found)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks whether the sources that a configuration names are there.
    pub(super) fn configured_sources(&mut self, set: &RuleSet, config: &Config, file: &Path) {
        let packs: Vec<PathBuf> = set.packs.iter().map(|pack| pack.dir.clone()).collect();
        for (name, settings) in &config.source {
            let of = settings.source.as_deref().unwrap_or(name);
            let Err(error) = OpenSource::find(of, &packs) else {
                continue;
            };
            match diagnostics::of_error(&error) {
                Some(found) => self.found.extend(found.0.iter().cloned()),
                None => {
                    let key = Key::top("source").name(name);
                    let key = match settings.source {
                        Some(_) => key.name("source"),
                        None => key,
                    };
                    let wrong =
                        Diagnostic::error(Code::UnknownReference, format!("{error:#}")).at(key);
                    self.found.push(wrong.in_file(file));
                }
            }
        }
    }
}

/// Opens the plugin of a source where it is built, and returns what is wrong with it. The host is started when it is needed first.
fn of_plugin(
    pack: &Pack,
    file: &Path,
    name: &str,
    host: &mut Option<Host>,
) -> Result<Option<Diagnostic>> {
    if let Err(found) = pack.manifest.plugin_of(name, World::Normalizer, "a source") {
        return Ok(Some(found));
    }
    if !pack.dir.join(name).exists() {
        let message = format!(
            "`{name}` is not built yet, so it was not looked at: `yagura build {}`",
            pack.dir.display()
        );
        return Ok(Some(Diagnostic::new(
            Level::Note,
            Code::PluginNotBuilt,
            message,
        )));
    }
    let host = match host {
        Some(host) => host.clone(),
        None => host.insert(packs::host(Meter::Off)?).clone(),
    };
    let opened = OpenSource::of_pack(file, &pack.dir)?.table(
        || Ok(host),
        &Grants::without_bounds(),
        RECORDS_AT_ONCE,
    );
    Ok(opened.err().map(|error| {
        let causes = causes(error.as_ref());
        Diagnostic::error(Code::PluginProblem, causes.join(": "))
    }))
}
