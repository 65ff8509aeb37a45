//! One source of a service: its raw objects, listed, fetched and ingested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};
use yagura_core::causes::causes;
use yagura_formats::Zone;
use yagura_lake::ingest::{IngestOptions, SourceTable, ingest};
use yagura_lake::{CopyError, Format, IngestError, Location, copy_object, raw_objects, root_of};

use crate::arrivals::{Arrivals, Silence};
use crate::habits::Habits;
use crate::ledger::{Known, Ledger, LedgerError};
use crate::listener::Announced;
use crate::notice::bare;
use crate::now;
use crate::outcome::{counted, is_of_the_object, messages, not_whole};

/// Objects that are fetched and ingested together.
const OBJECTS_TOGETHER: usize = 256;
/// Bytes of them, but for a single larger object.
const BYTES_TOGETHER: u64 = 256 << 20;
/// Objects whose state is asked for side by side.
const ASKED_TOGETHER: usize = 16;
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
    /// Whether an object that was rewritten replaces its rows.
    pub replaces: bool,
}

/// Ingests the objects of one source.
#[derive(Debug)]
pub struct Collector {
    options: CollectorOptions,
    ledger: Arc<Ledger>,
    arrivals: Mutex<Arrivals>,
    /// Names that no object can have, as they were said.
    odd_names: Mutex<BTreeSet<String>>,
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
    /// Objects whose earlier rows left the table.
    pub replaced: usize,
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
    /// The store does not say what became of an announced object.
    #[error("source `{name}`: cannot look at {object}")]
    Look {
        /// The source.
        name: String,
        /// The object.
        object: String,
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
            odd_names: Mutex::default(),
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

    /// Lists the prefix and ingests what is new, as many objects as are ingested together, the oldest first.
    ///
    /// # Errors
    /// [`CollectError`]; the ledger shows it too.
    pub async fn turn(&self) -> Result<CollectReport, CollectError> {
        let turned = self.turn_noted().await;
        self.note_failure(turned.as_ref().err())?;
        turned
    }

    /// Ingests objects that were announced, unless the ledger knows them. Each message is deleted after the last of its objects is in
    /// the ledger. What cannot be read comes again, or is found by a listing.
    ///
    /// # Errors
    /// [`CollectError`]; the ledger shows it too.
    pub async fn turn_of(&self, announced: Vec<Announced>) -> Result<CollectReport, CollectError> {
        let turned = self.turn_of_noted(announced).await;
        self.note_failure(turned.as_ref().err())?;
        turned
    }

    fn note_failure(&self, error: Option<&CollectError>) -> Result<(), LedgerError> {
        match error {
            Some(error) => {
                let text = causes(error).join(": ");
                self.ledger.note_trouble(&self.options.name, &text)
            }
            None => Ok(()),
        }
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
            if !self.knows(&object)? {
                new.push(object);
            }
        }
        new.sort_by(|a, b| (a.last_modified, &a.location).cmp(&(b.last_modified, &b.location)));
        let all = new.len();
        let mut report = CollectReport {
            messages: self.new_odd_names(&odd),
            ..CollectReport::default()
        };
        let now = SystemTime::now();
        new.retain(|object| {
            let age = now.duration_since(object.last_modified.into());
            // A store shows an object when it is whole; a file grows.
            // What a clock ahead of this one wrote is read: nobody knows when it will be settled.
            !is_local || age.map_or(true, |age| age >= SETTLED)
        });
        new.truncate(together(&new));
        if !new.is_empty() {
            self.ingest(&new, &mut report).await?;
        }
        report.waiting = all - new.len();
        self.ledger.note_listing(name, report.waiting, &odd)?;
        Ok(report)
    }

    /// Returns a message for each name that no object can have and that was not said before.
    fn new_odd_names(&self, odd: &[String]) -> Vec<String> {
        let said = self.odd_names.lock();
        let mut said = said.unwrap_or_else(PoisonError::into_inner);
        // What is gone is said when it comes again.
        said.retain(|name| odd.contains(name));
        let new = odd.iter().filter(|name| said.insert((*name).clone()));
        new.map(|name| format!("`{name}` has a name that no object can have, and is passed over"))
            .collect()
    }

    async fn turn_of_noted(
        &self,
        announced: Vec<Announced>,
    ) -> Result<CollectReport, CollectError> {
        let name = &self.options.name;
        let mut report = CollectReport::default();
        let mut by_key: BTreeMap<Path, Vec<Announced>> = BTreeMap::new();
        // Messages of objects that the ledger knows, or that are gone.
        let mut known = Vec::new();
        for of in announced {
            let tag = of.tag.as_deref().map(|tag| [version_of_tag(tag)]);
            let versions = tag.iter().flatten().cloned().collect::<Vec<_>>();
            match self.ledger.knows(name, of.key.as_ref(), &versions)? {
                true => known.push(of),
                false => by_key.entry(of.key.clone()).or_default().push(of),
            }
        }
        let store = &self.options.from.store;
        let looks = by_key.into_iter().map(|(key, of)| async move {
            let found = store.head(&key).await;
            (key, of, found)
        });
        let mut looks = stream::iter(looks).buffered(ASKED_TOGETHER);
        let mut new: Vec<ObjectMeta> = Vec::new();
        let mut waiting: BTreeMap<Path, Vec<Announced>> = BTreeMap::new();
        while let Some((key, of, found)) = looks.next().await {
            match found {
                Ok(object) if self.knows(&object)? => known.extend(of),
                Ok(object) => {
                    new.push(object);
                    waiting.insert(key, of);
                }
                // Deleted since it was announced: there is nothing to ingest. What is denied is named by the listing.
                Err(StoreError::NotFound { .. } | StoreError::PermissionDenied { .. }) => {
                    known.extend(of);
                }
                Err(source) => {
                    return Err(CollectError::Look {
                        name: name.clone(),
                        object: self.options.from.name_of(&key),
                        source,
                    });
                }
            }
        }
        self.end_known(known)?;
        new.sort_by(|a, b| (a.last_modified, &a.location).cmp(&(b.last_modified, &b.location)));
        while !new.is_empty() {
            let rest = new.split_off(together(&new));
            self.ingest(&new, &mut report).await?;
            let done = new
                .iter()
                .filter_map(|object| waiting.remove(&object.location));
            done.flatten().for_each(Announced::done);
            new = rest;
        }
        Ok(report)
    }

    /// Counts messages of known objects, which are deleted then.
    fn end_known(&self, known: Vec<Announced>) -> Result<(), LedgerError> {
        let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for of in &known {
            *counts.entry(Arc::clone(&of.queue)).or_default() += 1;
        }
        for (queue, count) in counts {
            self.ledger.note_known(&queue, count)?;
        }
        known.into_iter().for_each(Announced::done);
        Ok(())
    }

    fn knows(&self, object: &ObjectMeta) -> Result<bool, LedgerError> {
        let key = object.location.as_ref();
        self.ledger
            .knows(&self.options.name, key, &versions(object))
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
            replaces,
        } = &self.options;
        let root = root_of(from);
        let mut files = Vec::with_capacity(objects.len());
        let mut folders = Vec::with_capacity(objects.len());
        let mut gone = Vec::new();
        let mut refused: Vec<(Path, String)> = Vec::new();
        for (number, object) in objects.iter().enumerate() {
            // One each: an object may have the name of another's folder.
            let folder = self.copies.path().join(number.to_string());
            // What an attempt that failed left there.
            let _ = std::fs::remove_dir_all(&folder);
            let copied = copy_object(from, object, &folder).await;
            folders.push((folder, root.clone()));
            match copied {
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
        options.replaces = *replaces;
        options.copies.clone_from(&folders);
        let ingested = ingest(options, &files, |_| {}).await;
        for (folder, _) in &folders {
            // What stays is removed before the next use, or goes with all copies.
            let _ = std::fs::remove_dir_all(folder);
        }
        let ingested = ingested.map_err(|source| CollectError::Ingest {
            name: name.clone(),
            source,
        })?;
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
        report.objects += known.len();
        report.events += ingested.events;
        report.rejected += counted.rejected;
        report.of_no_class += counted.of_no_class;
        report.replaced += ingested.replaced.len();
        let refused = refused.into_iter().map(|(_, problem)| problem);
        report.messages.extend(refused);
        report.messages.extend(messages(&ingested));
        Ok(())
    }
}

/// Returns how many of the objects, the first ones, are ingested together.
fn together(objects: &[ObjectMeta]) -> usize {
    let mut bytes = 0;
    let fitting = objects.iter().take(OBJECTS_TOGETHER).take_while(|object| {
        let fits = bytes == 0 || bytes + object.size <= BYTES_TOGETHER;
        bytes += object.size;
        fits
    });
    fitting.count()
}

/// Returns what tells one content of an object from another: the ETag, which all answers of a store have. Only some have the version.
fn version(object: &ObjectMeta) -> String {
    match (&object.e_tag, &object.version) {
        (Some(tag), _) => version_of_tag(&bare(tag)),
        (None, Some(version)) => format!("version {version}"),
        (None, None) => format!(
            "changed {} bytes {}",
            object.last_modified.timestamp_micros(),
            object.size
        ),
    }
}

fn version_of_tag(tag: &str) -> String {
    format!("tag {tag}")
}

/// Returns all forms in which a ledger may have noted a version.
fn versions(object: &ObjectMeta) -> Vec<String> {
    let mut all = vec![version(object)];
    // As they were noted before.
    all.extend(object.version.as_ref().map(|of| format!("version {of}")));
    all.extend(object.e_tag.as_ref().map(|tag| format!("tag {tag}")));
    all
}
