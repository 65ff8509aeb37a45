//! What is wrong with sources: those of packs, and those that a configuration names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_service::config::Config;
use yagura_service::sources::OpenSource;
use yagura_sources::{Mapping, SourceFile};

use super::RuleCheck;
use crate::diagnostics;
use crate::ruleset::RuleSet;

impl RuleCheck {
    /// Reads and maps every source of every pack.
    pub(super) fn sources(&mut self, set: &RuleSet) -> Result<()> {
        for file in set.packs.iter().flat_map(|pack| &pack.sources) {
            self.sources += 1;
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let mapped =
                SourceFile::read(file, &text).and_then(|source| Mapping::new(file, &text, &source));
            if let Err(problems) = mapped {
                self.found.extend(problems.0);
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
