//! `[source.NAME]`: raw logs that a service ingests as they arrive. And sources by their name, for commands too.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use yagura_collect::{Collector, CollectorOptions, Ledger, Listener, SETTLED};
use yagura_core::names::did_you_mean;
use yagura_core::{OrFault, Pack};
use yagura_lake::Location;
use yagura_sources::{Mapping, SourceFile, shipped, shipped_names, source_table};

use crate::collecting::{Collected, Collecting, lines};
use crate::config::{Config, Rewritten, SourceSettings};

/// A source, read and checked.
#[derive(Debug)]
pub struct OpenSource {
    /// Its file.
    pub file: PathBuf,
    /// What stands in it.
    pub source: SourceFile,
    /// How its events become rows.
    pub mapping: Arc<Mapping>,
}

impl OpenSource {
    /// Opens a source: the file at a path, or a source of one of the packs, or one that is part of Yagura, by its name.
    ///
    /// # Errors
    /// When there is none, or what is wrong with its file.
    pub fn find(name: &str, packs: &[PathBuf]) -> Result<Self> {
        let path = Path::new(name);
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
            || path.is_file()
        {
            return Self::of_file(path);
        }
        let mut known = Vec::new();
        for pack in packs {
            for file in Pack::read(pack).or_fault()?.sources {
                let found = Self::of_file(&file)?;
                if found.source.source.name == name {
                    return Ok(found);
                }
                known.push(found.source.source.name);
            }
        }
        if let Some((file, text)) = shipped(name) {
            return Self::read(&file, text);
        }
        known.extend(shipped_names());
        let near = did_you_mean(name, known.iter().map(String::as_str));
        bail!(
            "there is no source `{name}`{near}; `yagura source list` shows those that are part of Yagura, and the path of a source's file does as well as a name"
        )
    }

    /// Opens the source in a file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn of_file(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::read(file, &text)
    }

    fn read(file: &Path, text: &str) -> Result<Self> {
        let source = SourceFile::read(file, text).or_fault()?;
        let mut mapping = Mapping::new(file, text, &source).or_fault()?;
        if let Some(key) = std::env::var_os(MASK_KEY) {
            mapping.set_key(key.as_encoded_bytes());
        }
        Ok(Self {
            file: file.to_owned(),
            source,
            mapping: Arc::new(mapping),
        })
    }
}

/// The environment variable with the key of the hashes that masks write.
const MASK_KEY: &str = "YAGURA_MASK_KEY";

impl OpenSource {
    /// Checks that there is all that is needed to store its rows.
    ///
    /// # Errors
    /// When its masks write hashes and there is no key for them.
    pub fn must_be_storable(&self) -> Result<()> {
        if self.mapping.needs_key() && std::env::var_os(MASK_KEY).is_none_or(|key| key.is_empty()) {
            bail!(
                "{}: its masks write keyed hashes, and there is no key: put one into the environment variable {MASK_KEY}, and keep it: with another key, equal values are no longer equal",
                self.file.display()
            );
        }
        Ok(())
    }
}

/// The sources of a service.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    collectors: Vec<Collected>,
    listeners: Vec<Listener>,
}

impl Sources {
    /// Opens the sources that a configuration names, and adds their tables to it.
    pub(crate) fn open(config: &mut Config, state: &Path) -> Result<Self> {
        if config.source.is_empty() {
            return Ok(Self::default());
        }
        let Some(lake) = &config.lake else {
            bail!(
                "the configuration has [source.…] and no [lake] that could hold their tables: write `[lake]` with its `url`"
            );
        };
        let to = Location::parse(&lake.url, &lake.options)?;
        let ledger = Arc::new(Ledger::open(state)?);
        let mut collectors = Vec::new();
        // Sources may share a queue: each of its messages is received by one reader.
        let mut listeners: BTreeMap<String, Listener> = BTreeMap::new();
        for (name, settings) in &config.source {
            let SourceSettings {
                url,
                options,
                source,
                table,
                events,
                rewritten,
                poll: _,
            } = settings;
            let of = source.as_deref().unwrap_or(name);
            let open = OpenSource::find(of, &config.packs)
                .with_context(|| format!("[source.{name}] of the configuration"))?;
            open.must_be_storable()?;
            let table = table
                .clone()
                .unwrap_or_else(|| open.source.source.name.clone());
            if config.table.get(&table).is_some_and(|of| of.url.is_some()) {
                bail!(
                    "[source.{name}] writes the table `{table}` of the lake, and [table.{table}] says that it lies elsewhere: take `url` out there, or give the source another `table`"
                );
            }
            config.table.entry(table.clone()).or_default();
            let from = Location::parse(url, options)?;
            // It would ingest what it writes, without end.
            let own = [(&to.base, &to.prefix, "the lake")];
            for (base, prefix, what) in own {
                if from.base == *base && prefix.prefix_matches(&from.prefix) {
                    bail!(
                        "[source.{name}] has the url {from}, which holds {what} itself: give the raw logs a prefix of their own"
                    );
                }
            }
            let folder = Path::new("/").join(from.prefix.as_ref());
            let is_local = from.base.scheme() == "file";
            // A log that is rotated begins anew under its name.
            let replaces = rewritten.map_or(!is_local, |of| of == Rewritten::Replace);
            let state = state.canonicalize().unwrap_or_else(|_| state.to_owned());
            if is_local && state.starts_with(&folder) {
                bail!(
                    "[source.{name}] has the url {from}, which holds the service's state: give the raw logs a folder of their own"
                );
            }
            let announced = match events {
                Some(events) => {
                    let listener = match listeners.remove(events) {
                        Some(listener) => Ok(listener),
                        None => Listener::open(
                            events,
                            &from,
                            may_use_http(options),
                            Arc::clone(&ledger),
                        ),
                    };
                    let mut listener = listener
                        .with_context(|| format!("[source.{name}] of the configuration"))?;
                    let announced = listener.route(&from);
                    listeners.insert(events.clone(), listener);
                    Some(announced)
                }
                None => None,
            };
            let options = CollectorOptions {
                name: name.clone(),
                from,
                to: to.clone(),
                format: open.source.format(),
                source: source_table(&open.source, open.mapping),
                table,
                replaces,
            };
            let collector = Collector::new(options, Arc::clone(&ledger))?;
            collectors.push(Collected {
                collector,
                poll: settings.listed_every().to_std(),
                announced,
            });
        }
        Ok(Self {
            collectors,
            listeners: listeners.into_values().collect(),
        })
    }

    /// Ingests all that is there. Returns why the first of the sources could not be collected; the others are all the same.
    pub(crate) async fn all(&self, err: &mut impl Write) -> Result<Option<anyhow::Error>> {
        let mut failed = None;
        for Collected { collector, .. } in &self.collectors {
            let mut waited = false;
            loop {
                let report = match collector.turn().await {
                    Ok(report) => report,
                    Err(error) => {
                        let error = anyhow::Error::from(error);
                        writeln!(err, "error: {error:#}")?;
                        failed.get_or_insert(error);
                        break;
                    }
                };
                for line in lines(collector.name(), &report) {
                    writeln!(err, "{line}")?;
                }
                match (report.objects, report.waiting) {
                    (0, 0) => break,
                    // A local file that is new may still be written.
                    (0, _) if !std::mem::replace(&mut waited, true) => {
                        tokio::time::sleep(SETTLED).await;
                    }
                    (0, waiting) => {
                        writeln!(
                            err,
                            "warning: source {}: {waiting} files wait, because they change still",
                            collector.name()
                        )?;
                        break;
                    }
                    _ => {}
                }
            }
        }
        Ok(failed)
    }

    /// Ingests in tasks of their own from now on what arrives.
    pub(crate) fn start(self) -> Collecting {
        Collecting::start(self.collectors, self.listeners)
    }
}

/// Says whether the options allow HTTP without TLS.
fn may_use_http(options: &BTreeMap<String, String>) -> bool {
    let mut options = options.iter();
    options.any(|(name, value)| {
        let is_option = name.to_ascii_lowercase().ends_with("allow_http");
        is_option && value.eq_ignore_ascii_case("true")
    })
}
