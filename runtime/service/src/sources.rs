//! `[source.NAME]`: raw logs that a service ingests as they arrive. And sources by their name, for commands too.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use yagura_collect::{CollectReport, Collector, CollectorOptions, Ledger, SETTLED};
use yagura_core::names::did_you_mean;
use yagura_core::{OrFault, Pack};
use yagura_lake::Location;
use yagura_sources::{Mapping, SourceFile, shipped, shipped_names, source_table};

use crate::config::{Config, SourceSettings};

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
    collectors: Vec<(Collector, Duration)>,
}

/// The longest pause after a failed attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
        for (name, settings) in &config.source {
            let SourceSettings {
                url,
                options,
                source,
                table,
                poll,
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
            let options = CollectorOptions {
                name: name.clone(),
                from: Location::parse(url, options)?,
                to: to.clone(),
                format: open.source.format(),
                source: source_table(&open.source, open.mapping),
                table,
            };
            let collector = Collector::new(options, Arc::clone(&ledger))
                .context("cannot make a folder for raw logs")?;
            collectors.push((collector, poll.to_std()));
        }
        Ok(Self { collectors })
    }

    /// Ingests all that is there.
    pub(crate) async fn all(&self, err: &mut impl Write) -> Result<()> {
        for (collector, _) in &self.collectors {
            let mut waited = false;
            loop {
                let report = collector.turn().await?;
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
        Ok(())
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
}

/// Sources at work, until this is dropped.
#[derive(Debug)]
pub(crate) struct Collecting {
    news: mpsc::UnboundedReceiver<SourceNews>,
    _tasks: JoinSet<()>,
}

impl Collecting {
    /// Waits for what the sources have to say; for ever where there are none.
    pub(crate) async fn next(&mut self) -> SourceNews {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }
}

async fn collect(collector: Collector, poll: Duration, news: mpsc::UnboundedSender<SourceNews>) {
    let mut pause = poll;
    let mut said = String::new();
    loop {
        match collector.turn().await {
            Ok(report) => {
                pause = poll;
                said.clear();
                let has_rows = report.events > 0;
                let lines = lines(collector.name(), &report);
                let goes_on = report.objects > 0 && report.waiting > 0;
                if !lines.is_empty() && news.send(SourceNews { lines, has_rows }).is_err() {
                    return;
                }
                if goes_on {
                    continue;
                }
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                let text = format!("warning: {error:#}; it is tried again");
                // A store that is away is named once, not at each attempt.
                if text != said {
                    said.clone_from(&text);
                    let news_of = SourceNews {
                        lines: vec![text],
                        has_rows: false,
                    };
                    if news.send(news_of).is_err() {
                        return;
                    }
                }
                pause = (pause * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
            }
        }
        tokio::time::sleep(pause).await;
    }
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
