//! The ledger beside a table: which sources are in it, written in one step with the objects that hold their events.
//!
//! ```text
//! lock ─▶ read what others wrote ─▶ pending: objects and entries ─▶ objects ─▶ entries ─▶ pending removed ─▶ unlock
//! ```
//!
//! Objects are written in their order, which [`super::known::Before::holds`] relies on.
//! A process that dies in between leaves `pending`. The next one finds which of its objects are there, and takes exactly
//! these into the ledger. So a repeated ingest neither loses nor doubles an event, whatever its files are by then.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutPayload};

use super::IngestError;
use super::encode::EncodedFile;
use super::known::{Entry, Known};
use super::replace::{Claim, Origin, OriginLine, Origins, Plan, ReplacedFiles, Without, without};
use crate::lock::TableLock;
use crate::rewritten::generation;
use crate::{LakeError, Location};

/// Folder of the ledger below the table. Readers of Parquet skip names that begin with `_`.
const FOLDER: &str = "_ingested";
const LOCK: &str = "_ingested/lock";
const PENDING: &str = "_ingested/pending.txt";
const FIRST_LINE: &str = "yagura ingested 1";
/// That of files with lines about origins.
const FIRST_LINE_OF_ORIGINS: &str = "yagura ingested 2";
/// So many files of one size are joined into one.
const FILES_OF_A_SIZE: usize = 16;

/// The ledger as this process knows it.
#[derive(Debug)]
pub(crate) struct Ledger {
    table: Location,
    /// Files that were read, with their sizes.
    files: BTreeMap<String, u64>,
    known: Arc<Known>,
    origins: Origins,
}

/// The objects and entries of one step.
pub(crate) struct Commit<'c> {
    pub(crate) parts: &'c [Part],
    pub(crate) objects: Vec<EncodedFile>,
}

/// A stretch of a source whose events are written together.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Where it begins.
    pub(crate) from: u64,
    /// The source up to its end.
    pub(crate) entry: Entry,
    /// The first bytes of the source.
    pub(crate) start: Vec<u8>,
    /// The file that it came from, if a rewritten one replaces its rows.
    pub(crate) origin: Option<Origin>,
    /// What its rows name it by until they are written.
    pub(crate) number: usize,
}

/// Entries that another process wrote since.
pub(crate) type News = Vec<Entry>;

impl Ledger {
    /// Reads the ledger of a table.
    pub(crate) async fn read(table: &Location) -> Result<Self, LakeError> {
        let mut ledger = Self {
            table: table.clone(),
            files: BTreeMap::new(),
            known: Arc::default(),
            origins: Origins::default(),
        };
        if ledger.refresh().await? {
            // Somebody may be at work: what they left is looked at when they are gone.
            let lock = TableLock::take(table, LOCK).await?;
            let recovered = ledger.recover().await;
            lock.release().await;
            recovered?;
        }
        Ok(ledger)
    }

    /// Returns what is known of the table's sources.
    pub(crate) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// Says whether rows of one of the parts were in the table and left it.
    pub(crate) fn were_gone(&self, parts: &[Part]) -> bool {
        let mut parts = parts.iter();
        parts.any(|part| self.origins.next_time(part.entry.id()) > 0)
    }

    /// Returns the number of the file that the next commit writes.
    pub(crate) fn next_number(&self) -> u64 {
        let last = self.files.keys().filter_map(|name| number(name)).max();
        last.unwrap_or_default() + 1
    }

    /// Writes objects and entries, unless `is_overtaken` says that others wrote of the same sources meanwhile; then it returns false
    /// and has written nothing. `prepare` runs before the objects are written.
    pub(crate) async fn commit(
        &mut self,
        commit: Commit<'_>,
        is_overtaken: impl FnOnce(News) -> bool,
        prepare: impl Future<Output = Result<(), IngestError>>,
    ) -> Result<bool, IngestError> {
        let lock = TableLock::take(&self.table, LOCK).await?;
        let done = self.commit_locked(commit, is_overtaken, prepare).await;
        lock.release().await;
        done
    }

    async fn commit_locked(
        &mut self,
        commit: Commit<'_>,
        is_overtaken: impl FnOnce(News) -> bool,
        prepare: impl Future<Output = Result<(), IngestError>>,
    ) -> Result<bool, IngestError> {
        let mut news = self.read_new().await?.0;
        news.extend(self.recover().await?);
        if is_overtaken(news) {
            return Ok(false);
        }
        prepare.await?;
        let mut pending = format!("{FIRST_LINE}\n");
        for object in &commit.objects {
            pending.push_str(&format!("object {}\n", object.path));
        }
        for part in commit.parts {
            pending.push_str(&format!("from {} {}\n", part.from, part.entry.to_line()));
        }
        let origins = self.origin_lines(&commit);
        for line in &origins {
            pending.push_str(&(line.to_line() + "\n"));
        }
        self.put(PENDING, pending.into()).await?;
        for object in commit.objects {
            self.put(&object.path, object.bytes.into()).await?;
        }
        let entries: Vec<Entry> = commit.parts.iter().map(|part| part.entry.clone()).collect();
        self.append(&entries, origins).await?;
        self.remove(PENDING).await?;
        self.join_files().await?;
        Ok(true)
    }

    /// Returns where the parts come from that rewritten files replace.
    fn origin_lines(&self, commit: &Commit<'_>) -> Vec<OriginLine> {
        let objects = commit.objects.iter().map(|object| object.path.clone());
        let objects: Vec<String> = objects.filter(|path| path.ends_with(".parquet")).collect();
        let lines = commit.parts.iter().filter_map(|part| {
            let id = part.entry.id();
            let time = self.origins.next_time(id);
            // What had left is there again, wherever it comes from.
            let origin = match part.origin {
                None if time > 0 => Some(Origin::default()),
                origin => origin,
            };
            Some(OriginLine::Of(origin?, time, id, objects.clone()))
        });
        lines.collect()
    }

    /// Takes the rows out that the contents of files replace. Returns nothing, and has done nothing, where another process took rows
    /// out since that the files hold: they must be read once more.
    pub(crate) async fn replace(
        &mut self,
        claims: &[Claim],
    ) -> Result<Option<ReplacedFiles>, LakeError> {
        if self.origins.have_left(claims) {
            return Ok(None);
        }
        let plan = self.origins.plan(claims);
        if plan.lines.is_empty() {
            return Ok(Some(plan.replaced));
        }
        let lock = TableLock::take(&self.table, LOCK).await?;
        let done = self.replace_locked(claims).await;
        lock.release().await;
        done
    }

    async fn replace_locked(
        &mut self,
        claims: &[Claim],
    ) -> Result<Option<ReplacedFiles>, LakeError> {
        self.read_new().await?;
        self.recover().await?;
        if self.origins.have_left(claims) {
            return Ok(None);
        }
        let plan = self.origins.plan(claims);
        if plan.gone().is_empty() {
            if !plan.lines.is_empty() {
                self.append(&[], plan.lines).await?;
            }
            return Ok(Some(plan.replaced));
        }
        let pending = format!("{FIRST_LINE_OF_ORIGINS}\n{}", plan.to_text());
        self.put(PENDING, pending.into()).await?;
        self.carry_out(plan).await.map(Some)
    }

    /// Does what `pending` says is to leave. It may have been done in part.
    async fn carry_out(&mut self, plan: Plan) -> Result<ReplacedFiles, LakeError> {
        let gone = plan.gone();
        for path in &plan.objects {
            self.take_out(path, &gone).await?;
        }
        self.append(&[], plan.lines).await?;
        self.remove(PENDING).await?;
        Ok(plan.replaced)
    }

    /// Takes rows out of the object with this first name, whatever its name is now.
    async fn take_out(&self, path: &str, gone: &HashSet<String>) -> Result<(), LakeError> {
        let (folder, file_name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some((stem, _)) = generation(file_name) else {
            return Ok(());
        };
        let place = self.table.join(folder);
        let listed: Result<Vec<_>, StoreError> =
            place.store.list(Some(&place.prefix)).try_collect().await;
        let listed = listed.map_err(|source| LakeError::Read {
            object: place.to_string(),
            source,
        })?;
        let numbers = listed.iter().filter_map(|meta| {
            let (of, number) = generation(meta.location.filename()?)?;
            (of == stem).then_some(number)
        });
        let mut numbers: Vec<u32> = numbers.collect();
        numbers.sort_unstable();
        let named = |number: u32| match number {
            0 => format!("{folder}/{stem}.parquet"),
            number => format!("{folder}/{stem}.r{number}.parquet"),
        };
        let Some(current) = numbers.pop() else {
            return Ok(());
        };
        // What a process that died left: hidden as long as the next one is there.
        for number in numbers {
            self.remove(&named(number)).await?;
        }
        let object = self.table.join(&named(current));
        let unreadable = |source| LakeError::Read {
            object: object.to_string(),
            source,
        };
        let answer = object.store.get(&object.prefix).await.map_err(unreadable)?;
        let bytes = answer.bytes().await.map_err(unreadable)?;
        let rest = without(bytes, gone).map_err(|source| LakeError::Rewrite {
            object: object.to_string(),
            source,
        })?;
        match rest {
            Without::Same => return Ok(()),
            Without::Nothing => {}
            Without::Rest(bytes) => self.put(&named(current + 1), bytes.into()).await?,
        }
        self.remove(&named(current)).await
    }

    /// Reads the files that are new and says whether a process left, or is at, its work.
    async fn refresh(&mut self) -> Result<bool, LakeError> {
        Ok(self.read_new().await?.1)
    }

    /// Reads the files that are new, and returns the entries that are, and whether there is pending work.
    async fn read_new(&mut self) -> Result<(News, bool), LakeError> {
        let folder = self.table.join(FOLDER);
        let listed: Result<Vec<_>, StoreError> =
            folder.store.list(Some(&folder.prefix)).try_collect().await;
        let listed = listed.map_err(|source| LakeError::Read {
            object: folder.to_string(),
            source,
        })?;
        let (mut entries, mut origins) = (Vec::new(), Vec::new());
        let mut is_pending = false;
        for meta in listed {
            let name = meta.location.filename().unwrap_or_default().to_owned();
            is_pending |= PENDING.ends_with(&name);
            if number(&name).is_none() || self.files.contains_key(&name) {
                continue;
            }
            // It may have been joined to others since.
            if let Some(text) = self.text(&meta.location).await? {
                let lines = text
                    .strip_prefix(FIRST_LINE)
                    .or_else(|| text.strip_prefix(FIRST_LINE_OF_ORIGINS))
                    .map(|rest| rest.trim().lines());
                let Some(lines) = lines else {
                    return Err(
                        self.damaged(&meta.location, "its first line is not that of a ledger")
                    );
                };
                for line in lines {
                    let wrong =
                        || self.damaged(&meta.location, "it has a line that is not an entry");
                    if OriginLine::is_one(line) {
                        origins.push(OriginLine::of_line(line).ok_or_else(wrong)?);
                    } else {
                        entries.push(Entry::of_line(line).ok_or_else(wrong)?);
                    }
                }
                self.files.insert(name, text.len() as u64);
            }
        }
        Ok((self.take_in(entries, origins), is_pending))
    }

    /// Takes in lines, in whatever order they were written, and returns the entries that are new.
    fn take_in(&mut self, entries: Vec<Entry>, origins: Vec<OriginLine>) -> News {
        let mut changed = Vec::new();
        for line in origins {
            if let OriginLine::Gone(_, id) = &line {
                changed.push(*id);
            }
            self.origins.insert(line);
        }
        for id in changed {
            if !self.origins.is_there(id) {
                Arc::make_mut(&mut self.known).forget(id);
            }
        }
        let mut news = Vec::new();
        for entry in entries {
            if self.origins.is_there(entry.id())
                && Arc::make_mut(&mut self.known).insert(entry.clone())
            {
                news.push(entry);
            }
        }
        news
    }

    /// Takes in what a process that died left of its work. Needs the lock.
    async fn recover(&mut self) -> Result<News, LakeError> {
        let pending = self.table.join(PENDING);
        let Some(text) = self.text(&pending.prefix).await? else {
            return Ok(Vec::new());
        };
        let lines: Vec<&str> = text.lines().skip(1).collect();
        if let Some(plan) = Plan::of_text(&lines) {
            self.carry_out(plan).await?;
            return Ok(Vec::new());
        }
        let (mut objects, mut parts, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        for line in lines {
            if let Some(path) = line.strip_prefix("object ") {
                objects.push(path.to_owned());
                continue;
            }
            if OriginLine::is_one(line) {
                origins.extend(OriginLine::of_line(line));
                continue;
            }
            let part = line.strip_prefix("from ").and_then(|rest| {
                let (from, line) = rest.split_once(' ')?;
                Some((from.parse::<u64>().ok()?, Entry::of_line(line)?))
            });
            let wrong = || self.damaged(&pending.prefix, "it has a line that is not an entry");
            parts.push(part.ok_or_else(wrong)?);
        }
        let mut days = BTreeSet::new();
        let mut there = 0;
        for path in &objects {
            let object = self.table.join(path);
            match object.store.head(&object.prefix).await {
                Ok(_) => {
                    there += 1;
                    days.insert(super::encode::day_of(path).to_owned());
                }
                Err(StoreError::NotFound { .. }) => {}
                Err(source) => {
                    return Err(LakeError::Read {
                        object: object.to_string(),
                        source,
                    });
                }
            }
        }
        let news: Vec<Entry> = match there {
            there if there == objects.len() => parts.into_iter().map(|(_, entry)| entry).collect(),
            0 => Vec::new(),
            _ => {
                let of_days = |(from, entry)| Entry {
                    part: Some((from, days.clone())),
                    ..entry
                };
                parts.into_iter().map(of_days).collect()
            }
        };
        if !news.is_empty() {
            self.append(&news, origins).await?;
        }
        self.remove(PENDING).await?;
        Ok(news)
    }

    /// Writes entries, and lines about origins, as a file of their own.
    async fn append(
        &mut self,
        entries: &[Entry],
        origins: Vec<OriginLine>,
    ) -> Result<(), LakeError> {
        let mut lines: Vec<String> = entries.iter().map(Entry::to_line).collect();
        lines.extend(origins.iter().map(OriginLine::to_line));
        self.take_in(entries.to_vec(), origins);
        self.write_file(lines).await
    }

    async fn write_file(&mut self, mut lines: Vec<String>) -> Result<(), LakeError> {
        let has_origins = lines.iter().any(|line| OriginLine::is_one(line));
        let first = match has_origins {
            true => FIRST_LINE_OF_ORIGINS,
            false => FIRST_LINE,
        };
        lines.insert(0, first.to_owned());
        let text = lines.join("\n") + "\n";
        let name = format!("{:010}.txt", self.next_number());
        let size = text.len() as u64;
        self.put(&format!("{FOLDER}/{name}"), text.into()).await?;
        self.files.insert(name, size);
        Ok(())
    }

    /// Joins files, so that there are few of each size and reading them stays cheap.
    async fn join_files(&mut self) -> Result<(), LakeError> {
        let mut by_size: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (name, size) in &self.files {
            let size = (size / 2_048).max(1).ilog(FILES_OF_A_SIZE as u64);
            by_size.entry(size).or_default().push(name.clone());
        }
        let Some(joined) = by_size
            .into_values()
            .find(|names| names.len() >= FILES_OF_A_SIZE)
        else {
            return Ok(());
        };
        let mut lines = BTreeSet::new();
        for name in &joined {
            let object = self.table.join(FOLDER).join(name);
            let text = self.text(&object.prefix).await?.unwrap_or_default();
            lines.extend(text.lines().skip(1).map(str::to_owned));
        }
        // The parts go after the whole is there.
        self.write_file(lines.into_iter().collect()).await?;
        for name in joined {
            self.remove(&format!("{FOLDER}/{name}")).await?;
            self.files.remove(&name);
        }
        Ok(())
    }

    async fn text(&self, path: &Path) -> Result<Option<String>, LakeError> {
        let unreadable = |source| LakeError::Read {
            object: self.table.name_of(path),
            source,
        };
        let answer = match self.table.store.get(path).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            other => other.map_err(unreadable)?,
        };
        let bytes = answer.bytes().await.map_err(unreadable)?;
        match String::from_utf8(bytes.into()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.damaged(path, "it is not text")),
        }
    }

    fn damaged(&self, path: &Path, reason: &str) -> LakeError {
        LakeError::BadLedger {
            object: self.table.name_of(path),
            reason: reason.to_owned(),
        }
    }

    async fn put(&self, path: &str, payload: PutPayload) -> Result<(), LakeError> {
        let object = self.table.join(path);
        let put = object.store.put(&object.prefix, payload).await;
        put.map(drop).map_err(|source| LakeError::Write {
            object: object.to_string(),
            source,
        })
    }

    async fn remove(&self, path: &str) -> Result<(), LakeError> {
        let object = self.table.join(path);
        match object.store.delete(&object.prefix).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(LakeError::Write {
                object: object.to_string(),
                source,
            }),
        }
    }
}

/// Returns the number of a file of the ledger.
fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".txt")?.parse().ok()
}
