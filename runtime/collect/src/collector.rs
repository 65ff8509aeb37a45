//! One source of a service: its raw objects, listed, fetched and ingested.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use object_store::ObjectMeta;
use object_store::path::Path;
use yagura_core::Timestamp;
use yagura_core::causes::causes;
use yagura_formats::Zone;
use yagura_lake::ingest::{IngestOptions, SourceTable, ingest};
use yagura_lake::{
    CopyError, Format, IngestError, IngestReport, Location, copy_object, raw_objects, root_of,
};

use crate::arrivals::{Arrivals, Silence};
use crate::habits::Habits;
use crate::ledger::{Counted, Known, Ledger, LedgerError};

/// Objects that are fetched and ingested together.
const OBJECTS_TOGETHER: usize = 256;
/// Bytes of them, but for a single larger object.
const BYTES_TOGETHER: u64 = 256 << 20;
/// An object that was changed later than so long ago may still be being written by a program that writes in place.
pub const SETTLED: Duration = Duration::from_secs(2);

/// What a collector does.
#[derive(Debug, Clone)]
pub struct CollectorOptions {
    /// Name of the source in the configuration.
    pub name: String,
    /// The raw objects.
    pub from: Location,
    /// The lake that receives the rows.
    pub to: Location,
    /// Name of the table in it.
    pub table: String,
    /// What its rows are made by.
    pub source: SourceTable,
    /// The form of its files.
    pub format: Format,
    /// The zone of times that name none.
    pub timezone: Zone,
}

/// Ingests the objects of one source.
#[derive(Debug)]
pub struct Collector {
    options: CollectorOptions,
    ledger: Arc<Ledger>,
    arrivals: Mutex<Arrivals>,
    /// Copies of the objects that are being ingested.
    copies: tempfile::TempDir,
}

/// What one turn of a collector did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// Objects that were ingested.
    pub objects: usize,
    /// Rows that were written.
    pub events: u64,
    /// Lines that are not events.
    pub rejected: u64,
    /// Rows of no class.
    pub of_no_class: u64,
    /// What an operator should know, a sentence each.
    pub messages: Vec<String>,
    /// Objects that are left for the next turn.
    pub waiting: usize,
}

/// Why a turn ended early. What was ingested before stays, and the next turn goes on.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The store of the raw objects does not answer as it should.
    #[error("source `{name}`: cannot list {place}")]
    List {
        /// The source.
        name: String,
        /// Where its objects lie.
        place: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// A folder for copies of objects cannot be made.
    #[error("cannot make a folder for copies of raw logs")]
    Copies(#[source] std::io::Error),
    /// The folder is not there.
    #[error("source `{name}`: the folder {place} does not exist; make it, or correct `url`")]
    NoFolder {
        /// The source.
        name: String,
        /// Where its files should lie.
        place: String,
    },
    /// An object cannot be copied.
    #[error("source `{name}`")]
    Copy {
        /// The source.
        name: String,
        /// Why.
        source: CopyError,
    },
    /// The table cannot be written.
    #[error("source `{name}`: cannot ingest")]
    Ingest {
        /// The source.
        name: String,
        /// What is wrong.
        source: IngestError,
    },
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Collector {
    /// Returns a collector that notes in `ledger` what it ingested.
    ///
    /// # Errors
    /// When a folder for copies of objects cannot be made, or the ledger cannot be read.
    pub fn new(options: CollectorOptions, ledger: Arc<Ledger>) -> Result<Self, CollectError> {
        let mut arrivals = Arrivals::default();
        arrivals.add(ledger.arrivals(&options.name)?);
        let copies = tempfile::tempdir().map_err(CollectError::Copies)?;
        Ok(Self {
            options,
            ledger,
            arrivals: Mutex::new(arrivals),
            copies,
        })
    }

    /// Returns for how long nothing has come, where that is much longer than ever before.
    pub fn silence(&self) -> Option<Silence> {
        let arrivals = self.arrivals.lock();
        arrivals
            .unwrap_or_else(PoisonError::into_inner)
            .silence(now())
    }

    /// Returns what the source usually does, and what is unusual.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn habits(&self) -> Result<Habits, LedgerError> {
        self.ledger.habits(&self.options.name, now())
    }

    /// Returns the name of the source.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Ingests what is new, as many objects as are ingested together, the oldest first.
    ///
    /// # Errors
    /// [`CollectError`]; the ledger shows it too.
    pub async fn turn(&self) -> Result<CollectReport, CollectError> {
        let turned = self.turn_noted().await;
        if let Err(error) = &turned {
            let text = causes(error).join(": ");
            let waiting = self.ledger.totals()?.into_iter();
            let waiting = waiting.filter(|totals| totals.source == self.options.name);
            let waiting = waiting.map(|totals| totals.waiting).sum::<u64>();
            let waiting = usize::try_from(waiting).unwrap_or(usize::MAX);
            self.ledger
                .note_waiting(&self.options.name, waiting, Some(&text))?;
        }
        turned
    }

    async fn turn_noted(&self) -> Result<CollectReport, CollectError> {
        let name = &self.options.name;
        let is_local = self.options.from.base.scheme() == "file";
        let folder = std::path::Path::new("/").join(self.options.from.prefix.as_ref());
        if is_local && !folder.exists() {
            return Err(CollectError::NoFolder {
                name: name.clone(),
                place: folder.display().to_string(),
            });
        }
        let (objects, odd) =
            raw_objects(&self.options.from)
                .await
                .map_err(|source| CollectError::List {
                    name: name.clone(),
                    place: self.options.from.to_string(),
                    source,
                })?;
        let mut new = Vec::new();
        for object in objects {
            if !self
                .ledger
                .knows(name, object.location.as_ref(), &version(&object))?
            {
                new.push(object);
            }
        }
        new.sort_by(|a, b| (a.last_modified, &a.location).cmp(&(b.last_modified, &b.location)));
        let all = new.len();
        let mut report = CollectReport {
            messages: odd
                .into_iter()
                .map(|name| {
                    format!("`{name}` has a name that no object can have, and is passed over")
                })
                .collect(),
            ..CollectReport::default()
        };
        let mut bytes = 0;
        let now = SystemTime::now();
        new.retain(|object| {
            let age = now.duration_since(object.last_modified.into());
            // A store shows an object when it is whole; a file grows.
            // What a clock ahead of this one wrote is read: nobody knows when it will be settled.
            !is_local || age.map_or(true, |age| age >= SETTLED)
        });
        let taken = new
            .iter()
            .take(OBJECTS_TOGETHER)
            .take_while(|object| {
                let fits = bytes == 0 || bytes + object.size <= BYTES_TOGETHER;
                bytes += object.size;
                fits
            })
            .count();
        new.truncate(taken);
        if !new.is_empty() {
            self.ingest(&new, &mut report).await?;
        }
        report.waiting = all - new.len();
        self.ledger.note_waiting(name, report.waiting, None)?;
        Ok(report)
    }

    async fn ingest(
        &self,
        objects: &[ObjectMeta],
        report: &mut CollectReport,
    ) -> Result<(), CollectError> {
        let CollectorOptions {
            name,
            from,
            to,
            table,
            source,
            format,
            timezone,
        } = &self.options;
        let mut files = Vec::with_capacity(objects.len());
        let mut gone = Vec::new();
        let mut refused: Vec<(Path, String)> = Vec::new();
        for object in objects {
            match copy_object(from, object, self.copies.path()).await {
                Ok(file) => files.push(file),
                // Deleted since it was listed: there is nothing to ingest.
                Err(CopyError::Fetch {
                    source: object_store::Error::NotFound { .. },
                    ..
                }) => gone.push(object.location.clone()),
                // The others go on. A store that fails altogether fails for the first of them too.
                Err(error) if is_of_the_object(&error) => {
                    refused.push((object.location.clone(), causes(&error).join(": ")));
                }
                Err(source) => {
                    let name = name.clone();
                    return Err(CollectError::Copy { name, source });
                }
            }
        }
        let mut options = IngestOptions::new(table, to.clone());
        options.strict = false;
        options.format = *format;
        options.timezone = *timezone;
        options.source = Some(source.clone());
        options.copies = vec![(self.copies.path().to_owned(), root_of(from))];
        let ingested = ingest(options, &files, |_| {}).await;
        for file in &files {
            // What stays is overwritten, or goes with the folder.
            let _ = std::fs::remove_file(file);
        }
        let ingested = ingested.map_err(|source| CollectError::Ingest {
            name: name.clone(),
            source,
        })?;
        let root = root_of(from);
        let versions: Vec<String> = objects.iter().map(version).collect();
        let known: Vec<Known<'_>> = objects
            .iter()
            .zip(&versions)
            .filter(|(object, _)| !gone.contains(&object.location))
            .map(|(object, version)| {
                let shown = format!("{root}/{}", object.location);
                let of_member = format!("{shown}!");
                let is_of_object = |file: &str| file == shown || file.starts_with(&of_member);
                let mut failed = ingested.failed.iter();
                let failed = failed.find(|error| error.file().is_some_and(is_of_object));
                let failed = failed.map(ToString::to_string);
                let own = refused.iter().find(|(key, _)| *key == object.location);
                let problem = own.map(|(_, problem)| problem.clone());
                let problem = problem
                    .or(failed)
                    .or_else(|| not_whole(&ingested, &is_of_object));
                Known {
                    key: object.location.as_ref(),
                    version,
                    bytes: object.size,
                    modified: object.last_modified.timestamp_micros(),
                    problem,
                }
            })
            .collect();
        let counted = counted(&ingested);
        let arrived = known.iter().map(|object| object.modified).collect();
        let arrivals = self.arrivals.lock();
        arrivals
            .unwrap_or_else(PoisonError::into_inner)
            .add(arrived);
        self.ledger.note(name, &known, &counted, now())?;
        report.objects = known.len();
        report.events = ingested.events;
        report.rejected = counted.rejected;
        report.of_no_class = counted.of_no_class;
        let refused = refused.into_iter().map(|(_, problem)| problem);
        report.messages.extend(refused);
        report.messages.extend(messages(&ingested));
        Ok(())
    }
}

/// Returns what tells one content of an object from another.
fn version(object: &ObjectMeta) -> String {
    match (&object.version, &object.e_tag) {
        (Some(version), _) => format!("version {version}"),
        (None, Some(tag)) => format!("tag {tag}"),
        (None, None) => format!(
            "changed {} bytes {}",
            object.last_modified.timestamp_micros(),
            object.size
        ),
    }
}

/// Says whether a store refuses one object, and may give the others.
fn is_of_the_object(error: &CopyError) -> bool {
    use object_store::Error;
    match error {
        CopyError::Fetch { source, .. } => {
            matches!(
                source,
                Error::PermissionDenied { .. }
                    | Error::Precondition { .. }
                    | Error::InvalidPath { .. }
            ) || is_denied(source)
        }
        CopyError::Keep { .. } => false,
    }
}

/// Says whether the system denies the reading of a file.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let own = error.downcast_ref::<std::io::Error>();
    own.is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        || error.source().is_some_and(is_denied)
}

/// Returns what of an object was not read, although it could be opened.
fn not_whole(report: &IngestReport, is_of_object: &dyn Fn(&str) -> bool) -> Option<String> {
    let mut torn = report.incomplete.iter();
    let torn = torn
        .find(|(file, _)| is_of_object(file))
        .map(|(file, line)| format!("{file}, line {line}: the last event is not complete"));
    let mut behind = report.trailing.iter();
    torn.or_else(|| {
        let (file, bytes) = behind.find(|(file, _)| is_of_object(file))?;
        Some(format!(
            "{file}: {bytes} bytes behind the compressed data were not read"
        ))
    })
}

fn counted(report: &IngestReport) -> Counted {
    let counts = &report.counts;
    Counted {
        events: report.events,
        repeated: counts.repeated,
        delays: counts.delays.clone(),
        rejected: report.rejected,
        without_time: counts.without_time.count,
        of_no_class: counts.classes.get("").copied().unwrap_or_default(),
        unfit: counts.unfit.values().map(|tally| tally.count).sum(),
    }
}

/// Returns what an operator should know of an ingest.
fn messages(report: &IngestReport) -> Vec<String> {
    let mut messages: Vec<String> = report.failed.iter().map(ToString::to_string).collect();
    messages.extend(report.counts.bad_lines.iter().cloned());
    let torn = report.incomplete.iter();
    messages.extend(
        torn.map(|(file, line)| format!("{file}, line {line}: the last event is not complete")),
    );
    let behind = report.trailing.iter();
    messages.extend(behind.map(|(file, bytes)| {
        format!("{file}: {bytes} bytes behind the compressed data were not read")
    }));
    for (tally, what) in [
        (
            &report.counts.in_future,
            "events are more than a day in the future",
        ),
        (&report.counts.before_1990, "events are before 1990"),
        (
            &report.counts.not_utf8,
            "events have bytes that are not UTF-8, which were replaced",
        ),
        (
            &report.counts.duplicate_keys,
            "events have a key more than once",
        ),
    ] {
        if let Some(first) = &tally.first {
            messages.push(format!("{} {what}; the first: {first}", tally.count));
        }
    }
    if let Some(first) = &report.counts.without_event.first {
        messages.push(format!(
            "{} lines hold no event, as the plugin reports; the first: {first}",
            report.counts.without_event.count
        ));
    }
    let passed = report.passed_over.iter();
    messages.extend(passed.map(|(name, why)| format!("{name} was passed over: {why}")));
    if let Some(events) = report.counts.classes.get("") {
        messages.push(format!("{events} events are of no class of the source"));
    }
    for (column, tally) in &report.counts.unfit {
        if let Some(first) = &tally.first {
            messages.push(format!(
                "{} values do not fit `{column}`; the first: {first}",
                tally.count
            ));
        }
    }
    if let Some(first) = &report.counts.without_time.first {
        messages.push(format!(
            "{} events have no readable time, and rules leave them out; the first: {first}",
            report.counts.without_time.count
        ));
    }
    messages
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    Timestamp::clamped(i64::try_from(micros).unwrap_or(i64::MAX))
}
