//! `[source.NAME]`: raw logs that a service ingests as they arrive. And sources by their name ([`OpenSource`]), for commands too.

mod open;
mod parser;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use yagura_collect::{CollectReport, Collector, CollectorOptions, Drift, Ledger, SETTLED};
use yagura_core::Grants;
use yagura_engine::live::SourceTrouble;
use yagura_formats::Zone;
use yagura_host::Host;
use yagura_lake::Location;

pub use self::open::{OpenSource, RECORDS_AT_ONCE};
use crate::config::{Config, SourceSettings};

/// The sources of a service.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    collectors: Vec<(Collector, Duration)>,
}

/// How often it is looked for what is unusual.
const LOOK: Duration = Duration::from_secs(60);
/// The longest pause after a failed attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
        for (name, settings) in &config.source {
            let SourceSettings {
                url,
                options,
                source,
                table,
                poll,
                timezone,
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
            let state = state.canonicalize().unwrap_or_else(|_| state.to_owned());
            if is_local && state.starts_with(&folder) {
                bail!(
                    "[source.{name}] has the url {from}, which holds the service's state: give the raw logs a folder of their own"
                );
            }
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
            };
            let collector = Collector::new(options, Arc::clone(&ledger))?;
            collectors.push((collector, poll.to_std()));
        }
        Ok(Self { collectors })
    }

    /// Ingests all that is there. Returns why the first of the sources could not be collected; the others are all the same.
    pub(crate) async fn all(&self, err: &mut impl Write) -> Result<Option<anyhow::Error>> {
        let mut failed = None;
        for (collector, _) in &self.collectors {
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
        let (sender, news) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for (collector, poll) in self.collectors {
            tasks.spawn(collect(collector, poll, sender.clone()));
        }
        Collecting {
            news,
            troubles: BTreeMap::new(),
            _tasks: tasks,
        }
    }
}

/// What a source has to say.
#[derive(Debug)]
pub(crate) struct SourceNews {
    /// Lines for the operator.
    pub(crate) lines: Vec<String>,
    /// Whether rows were written.
    pub(crate) has_rows: bool,
    source: String,
    /// What is wrong with the source now.
    trouble: Option<SourceTrouble>,
}

/// Sources at work, until this is dropped.
#[derive(Debug)]
pub(crate) struct Collecting {
    news: mpsc::UnboundedReceiver<SourceNews>,
    troubles: BTreeMap<String, SourceTrouble>,
    _tasks: JoinSet<()>,
}

impl Collecting {
    /// Waits for what the sources have to say; for ever where there are none.
    pub(crate) async fn next(&mut self) -> SourceNews {
        let Some(news) = self.news.recv().await else {
            return std::future::pending().await;
        };
        match &news.trouble {
            Some(trouble) => self.troubles.insert(news.source.clone(), trouble.clone()),
            None => self.troubles.remove(&news.source),
        };
        news
    }

    /// Returns the sources whose raw logs do not come in as they should.
    pub(crate) fn troubles(&self) -> Vec<SourceTrouble> {
        self.troubles.values().cloned().collect()
    }
}

async fn collect(collector: Collector, poll: Duration, news: mpsc::UnboundedSender<SourceNews>) {
    let mut pause = poll;
    let mut said = String::new();
    let mut before: Option<SourceTrouble> = None;
    // What was wrong with the last objects is wrong until others have come.
    let mut of_objects: Option<SourceTrouble> = None;
    let mut of_habits: Option<SourceTrouble> = None;
    let mut looked: Option<Instant> = None;
    loop {
        let mut of_source = SourceNews {
            lines: Vec::new(),
            has_rows: false,
            source: collector.name().to_owned(),
            trouble: None,
        };
        let mut goes_on = false;
        match collector.turn().await {
            Ok(report) => {
                pause = poll;
                said.clear();
                of_source.has_rows = report.events > 0;
                of_source.lines = lines(collector.name(), &report);
                goes_on = report.objects > 0 && report.waiting > 0;
                if report.objects > 0 {
                    of_objects = trouble_of(collector.name(), &report);
                }
                if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                    looked = Some(Instant::now());
                    // While objects wait, an hour seems to have less than it has.
                    of_habits = match report.waiting {
                        0 => drift_of(&collector),
                        _ => None,
                    };
                }
                of_source.trouble = silence_of(&collector)
                    .or_else(|| of_objects.clone())
                    .or_else(|| of_habits.clone());
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                let text = format!("warning: {error:#}; it is tried again");
                of_source.trouble = Some(SourceTrouble {
                    source: collector.name().to_owned(),
                    title: format!(
                        "source `{}` cannot be collected: rules miss what comes into it",
                        collector.name()
                    ),
                    details: vec![("problem", format!("{error:#}"))],
                });
                // A store that is away is named once, not at each attempt.
                if text != said {
                    said.clone_from(&text);
                    of_source.lines = vec![text];
                }
                pause = (pause * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
            }
        }
        let is_other = of_source.trouble != before;
        before.clone_from(&of_source.trouble);
        if (is_other || !of_source.lines.is_empty()) && news.send(of_source).is_err() {
            return;
        }
        if !goes_on {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Returns what is wrong with the records of a turn: a tenth of them are no events, or of no class.
fn trouble_of(source: &str, report: &CollectReport) -> Option<SourceTrouble> {
    const SHARE: u64 = 10;
    let records = report.events + report.rejected;
    let (count, what) = if report.rejected * SHARE > records {
        (report.rejected, "are not events")
    } else if report.of_no_class * SHARE > report.events {
        (report.of_no_class, "are of no class of the source")
    } else {
        return None;
    };
    Some(SourceTrouble {
        source: source.to_owned(),
        title: format!("source `{source}`: its records have another form than before"),
        details: vec![("records", format!("{count} of {records} {what}"))],
    })
}

/// Returns the trouble of a source that does something unusual.
fn drift_of(collector: &Collector) -> Option<SourceTrouble> {
    let name = collector.name();
    // A ledger that cannot be read fails the next turn too, which names it.
    let drift = collector.habits().ok()?.drifts.into_iter().next()?;
    let (title, details) = match &drift {
        Drift::Volume { events, usual, .. } => {
            let how = if events < usual {
                "far fewer"
            } else {
                "far more"
            };
            (
                format!("source `{name}` sends {how} events than usual"),
                vec![("volume", drift.to_string())],
            )
        }
        // In tens, so that the trouble seldom changes while it lasts.
        Drift::Shape {
            what,
            percent,
            before,
        } => (
            format!("source `{name}`: its records have another form than before"),
            vec![
                ("what", (*what).to_owned()),
                ("percent now, about", (percent / 10 * 10).to_string()),
                ("percent before", before.to_string()),
            ],
        ),
    };
    Some(SourceTrouble {
        source: name.to_owned(),
        title,
        details,
    })
}

/// Returns the trouble of a source that is silent.
fn silence_of(collector: &Collector) -> Option<SourceTrouble> {
    let silence = collector.silence()?;
    let name = collector.name();
    // In whole hours, so that the trouble stays the same while it lasts.
    let hours = |length: Duration| format!("{} h", length.as_secs() / 3_600);
    Some(SourceTrouble {
        source: name.to_owned(),
        title: format!(
            "source `{name}` is silent: nothing has come for much longer than ever before"
        ),
        details: vec![
            ("silent for", hours(silence.lasts)),
            (
                "longest pause before",
                format!("{} min", silence.longest.as_secs().div_ceil(60)),
            ),
        ],
    })
}

/// Returns what a turn did, for the operator; nothing if it did nothing.
fn lines(source: &str, report: &CollectReport) -> Vec<String> {
    let mut lines = Vec::new();
    if report.objects > 0 {
        let objects = if report.objects == 1 {
            "object"
        } else {
            "objects"
        };
        let events = if report.events == 1 {
            "event"
        } else {
            "events"
        };
        let waiting = match report.waiting {
            0 => String::new(),
            waiting => format!("; {waiting} wait"),
        };
        lines.push(format!(
            "source {source}: {} {objects} ingested, {} {events}{waiting}",
            report.objects, report.events
        ));
    }
    let messages = report.messages.iter();
    lines.extend(messages.map(|message| format!("warning: source {source}: {message}")));
    lines
}
