//! Sources at work: each in a task that lists its prefix and takes what its queue announces.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use yagura_collect::{Announced, CollectReport, Collector, Drift, Listener};
use yagura_engine::live::SourceTrouble;
use yagura_search::{SearchTable, update_index};

/// A source at work.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) collector: Collector,
    /// How often its prefix is listed.
    pub(crate) poll: Duration,
    /// The objects that a queue announces.
    pub(crate) announced: Option<mpsc::UnboundedReceiver<Announced>>,
    pub(crate) index: TableIndex,
}

/// The index of a source's table, and when it is brought up to date.
#[derive(Debug)]
pub(crate) struct TableIndex {
    table: SearchTable,
    every: Duration,
    updated: Instant,
    /// Whether the table has rows that came since.
    is_behind: bool,
}

impl TableIndex {
    pub(crate) fn new(table: SearchTable, every: Duration) -> Self {
        Self {
            table,
            every,
            updated: Instant::now(),
            is_behind: false,
        }
    }

    /// Adds new objects to the index, if it is time to. Returns what is wrong.
    async fn update(&mut self, has_rows: bool) -> Option<String> {
        self.is_behind |= has_rows;
        if !self.is_behind || self.updated.elapsed() < self.every {
            return None;
        }
        let updated = update_index(self.table.clone(), false).await;
        (self.is_behind, self.updated) = (updated.is_err(), Instant::now());
        let error = anyhow::Error::from(updated.err()?);
        Some(format!(
            "warning: {error:#}; a search reads more meanwhile, and it is tried again"
        ))
    }
}

/// How often it is looked for what is unusual.
const LOOK: Duration = Duration::from_secs(60);
/// The longest pause after a failed attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
    /// Collects sources and listens to queues in tasks of their own.
    pub(crate) fn start(collectors: Vec<Collected>, listeners: Vec<Listener>) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for collected in collectors {
            tasks.spawn(collect(collected, sender.clone()));
        }
        for listener in listeners {
            let sender = sender.clone();
            let say = move |line| {
                let news = SourceNews {
                    lines: vec![line],
                    has_rows: false,
                    source: String::new(),
                    trouble: None,
                };
                // Nobody reads lines any more when the service ends.
                let _ = sender.send(news);
            };
            tasks.spawn(listener.run(say));
        }
        Self {
            news,
            troubles: BTreeMap::new(),
            _tasks: tasks,
        }
    }

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

async fn collect(of: Collected, news: mpsc::UnboundedSender<SourceNews>) {
    let Collected {
        collector,
        poll,
        mut announced,
        mut index,
    } = of;
    let mut pause = poll;
    let mut said = String::new();
    let mut before: Option<SourceTrouble> = None;
    // What was wrong with the last objects is wrong until others have come.
    let mut of_objects: Option<SourceTrouble> = None;
    let mut of_habits: Option<SourceTrouble> = None;
    let mut looked: Option<Instant> = None;
    let mut next_listing = Instant::now();
    let mut gathered = Vec::new();
    loop {
        let is_announced = tokio::select! {
            biased;
            () = tokio::time::sleep_until(next_listing) => false,
            () = gather(&mut announced, &mut gathered) => true,
        };
        let mut of_source = SourceNews {
            lines: Vec::new(),
            has_rows: false,
            source: collector.name().to_owned(),
            trouble: None,
        };
        let turned = match is_announced {
            true => collector.turn_of(std::mem::take(&mut gathered)).await,
            false => collector.turn().await,
        };
        let has_failed = turned.is_err();
        match turned {
            Ok(report) => {
                pause = poll;
                said.clear();
                of_source.has_rows = report.events > 0 || report.replaced > 0;
                of_source.lines = lines(collector.name(), &report);
                if report.objects > 0 {
                    of_objects = trouble_of(collector.name(), &report);
                }
                if !is_announced {
                    let goes_on = report.objects > 0 && report.waiting > 0;
                    let wait = if goes_on { Duration::ZERO } else { poll };
                    next_listing = Instant::now() + wait;
                    if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                        looked = Some(Instant::now());
                        // While objects wait, an hour seems to have less than it has.
                        of_habits = match report.waiting {
                            0 => drift_of(&collector),
                            _ => None,
                        };
                    }
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
                // Whatever was announced and not read is found by the listing.
                next_listing = Instant::now() + pause;
            }
        }
        of_source
            .lines
            .extend(index.update(of_source.has_rows).await);
        let is_other = of_source.trouble != before;
        before.clone_from(&of_source.trouble);
        if (is_other || !of_source.lines.is_empty()) && news.send(of_source).is_err() {
            return;
        }
        if has_failed {
            tokio::time::sleep_until(next_listing).await;
        }
    }
}

/// How long announced objects are gathered: those that come together are ingested together.
const GATHER: Duration = Duration::from_millis(300);
/// Announced objects that are gathered at most.
const GATHERED: usize = 256;

/// Gathers what a queue announces; for ever where there is no queue. What was gathered stays when this is dropped.
async fn gather(
    announced: &mut Option<mpsc::UnboundedReceiver<Announced>>,
    gathered: &mut Vec<Announced>,
) {
    let Some(announced) = announced else {
        return std::future::pending().await;
    };
    if gathered.is_empty() && announced.recv_many(gathered, GATHERED).await == 0 {
        return std::future::pending().await;
    }
    let until = Instant::now() + GATHER;
    while gathered.len() < GATHERED
        && let Ok(Some(of)) = tokio::time::timeout_at(until, announced.recv()).await
    {
        gathered.push(of);
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
pub(crate) fn lines(source: &str, report: &CollectReport) -> Vec<String> {
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
