//! `[source.NAME]`: raw logs that a service ingests as they arrive. And sources by their name ([`OpenSource`]), for commands too.

mod open;
mod parser;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use yagura_collect::{Collector, CollectorOptions, Ledger, Listener, SETTLED};
use yagura_core::Grants;
use yagura_formats::Zone;
use yagura_host::Host;
use yagura_lake::Location;
use yagura_lake::table::TableConfig;
use yagura_search::SearchTable;

pub use self::open::{OpenSource, RECORDS_AT_ONCE};
use crate::collecting::{Collected, Collecting, TableIndex, lines};
use crate::config::{Config, Rewritten, SourceSettings};

/// The sources of a service.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    collectors: Vec<Collected>,
    listeners: Vec<Listener>,
}

impl Sources {
    /// Opens the sources that a configuration names, with their plugins, and adds their tables to it.
    pub(crate) fn open(
        config: &mut Config,
        state: &Path,
        host: &Host,
        grants: &Grants,
    ) -> Result<Self> {
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
                timezone,
                events,
                rewritten,
                poll: _,
                index: _,
            } = settings;
            let of = source.as_deref().unwrap_or(name);
            let of_configuration = || format!("[source.{name}] of the configuration");
            let mut open = OpenSource::find(of, &config.packs).with_context(of_configuration)?;
            if let Some(zone) = timezone {
                let zone = zone
                    .parse::<Zone>()
                    .context("`timezone`")
                    .with_context(of_configuration)?;
                open.set_zone(zone);
            }
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
                    let mut listener = listener.with_context(of_configuration)?;
                    let announced = listener.route(&from);
                    listeners.insert(events.clone(), listener);
                    Some(announced)
                }
                None => None,
            };
            let index = TableIndex::new(
                SearchTable {
                    config: TableConfig::new(&table, to.join(&table)),
                    observables: config
                        .table
                        .get(&table)
                        .map(|of| of.observables.clone())
                        .unwrap_or_default(),
                },
                settings.index.to_std(),
            );
            let options = CollectorOptions {
                name: name.clone(),
                from,
                to: to.clone(),
                format: open.source.format(),
                timezone: open.source.zone(),
                source: open
                    .table(|| Ok(host.clone()), grants, RECORDS_AT_ONCE)
                    .with_context(of_configuration)?,
                table,
                replaces,
            };
            let collector = Collector::new(options, Arc::clone(&ledger))?;
            collectors.push(Collected {
                collector,
                poll: settings.listed_every().to_std(),
                announced,
                index,
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
