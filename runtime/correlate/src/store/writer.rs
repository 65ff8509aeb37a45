//! The thread that writes: one transaction for each batch.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};
use yagura_core::Alert;

use super::status::TableStatus;
use super::{Deferred, DetectorState, KnownObject, StoredRule};
use crate::checkpoint::{Settled, Waiting};
use crate::correlation_engine::Counters;
use crate::hashing::Hashing;
use crate::node::Size;
use crate::shard::{Spilled, join};

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) rules: Vec<(String, StoredRule)>,
    pub(super) forget_stages: Vec<String>,
    pub(super) forget_detectors: Vec<ForgottenDetector>,
    pub(super) pages: Vec<Page>,
    pub(super) spilled: Vec<(String, usize, Spilled)>,
    pub(super) spilled_gone: Vec<(String, usize, u64, String)>,
    pub(super) pending: Vec<Waiting>,
    /// The waiting findings here are all that there are.
    pub(super) resets_pending: bool,
    pub(super) watermarks: Vec<Settled>,
    pub(super) held: Vec<(String, i64, i64)>,
    pub(super) objects: Vec<(u32, Vec<u8>)>,
    pub(super) objects_gone: Vec<u32>,
    pub(super) reports: Vec<(String, Option<Vec<u8>>)>,
    pub(super) started: Vec<(String, i64)>,
    pub(super) sizes: Vec<(String, Size)>,
    pub(super) cursor: Vec<(String, KnownObject)>,
    pub(super) tables: Vec<TableStatus>,
    pub(super) counters: Counters,
    pub(super) lines: Vec<(i64, String)>,
    pub(super) last_line: i64,
    pub(super) delivered: i64,
    pub(super) log: Vec<String>,
    pub(super) detectors: Vec<DetectorState>,
    pub(super) deferred: Vec<Deferred>,
    pub(super) own_alerts: Option<Vec<Alert>>,
    pub(super) provisional: usize,
    pub(super) pending_count: usize,
}

/// A detector whose states go.
#[derive(Debug)]
pub(super) struct ForgottenDetector {
    pub(super) table: String,
    pub(super) rule: String,
    /// Rows that wait stay: their keys follow from their columns.
    pub(super) keeps_rows: bool,
}

/// What is written of a share.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) stage: String,
    pub(super) group: usize,
    pub(super) bytes: Vec<u8>,
    /// It is joined with what was written before, which outweighs it no more.
    pub(super) is_joined: bool,
}

impl Batch {
    pub(super) fn bytes(&self) -> usize {
        let pages = self.pages.iter().map(|page| page.bytes.len());
        let pending = self.pending.iter().map(|waiting| waiting.bytes.len());
        let lines = self.lines.iter().map(|(_, line)| line.len());
        let spilled = self
            .spilled
            .iter()
            .map(|(_, _, spilled)| spilled.state.len());
        pages.chain(pending).chain(lines).chain(spilled).sum()
    }

    /// Returns how large the shares are that were joined.
    fn write(
        &self,
        connection: &mut Connection,
        hashing: Hashing,
    ) -> rusqlite::Result<Vec<Joined>> {
        let mut joined = Vec::new();
        let transaction = connection.transaction()?;
        if !self.rules.is_empty() {
            transaction.execute("DELETE FROM rules", [])?;
            let mut add = transaction.prepare_cached(
                "INSERT INTO rules (id, number, shape, whole, fields) VALUES (?, ?, ?, ?, ?)",
            )?;
            for (id, rule) in &self.rules {
                add.execute(params![
                    id,
                    rule.number,
                    rule.shape,
                    rule.whole,
                    rule.fields
                ])?;
            }
        }
        for stage in &self.forget_stages {
            for table in ["pages", "spilled", "stages"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE stage = ?1"), [stage])?;
            }
        }
        for detector in &self.forget_detectors {
            forget_detector(&transaction, detector)?;
        }
        for page in &self.pages {
            joined.extend(write_page(&transaction, page)?);
        }
        for (stage, group, hash, key) in &self.spilled_gone {
            transaction
                .prepare_cached(
                    "DELETE FROM spilled WHERE stage = ? AND share = ? AND hash = ? AND key = ?",
                )?
                .execute(params![
                    stage,
                    i64::try_from(*group).unwrap_or_default(),
                    hash.cast_signed(),
                    key
                ])?;
        }
        for (stage, group, spilled) in &self.spilled {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO spilled (stage, share, hash, key, value, due) VALUES (?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    stage,
                    i64::try_from(*group).unwrap_or_default(),
                    spilled.hash.cast_signed(),
                    &*spilled.key,
                    spilled.state,
                    spilled.due
                ])?;
        }
        if self.resets_pending {
            transaction.execute("DELETE FROM pending", [])?;
        }
        for domain in &self.watermarks {
            transaction
                .prepare_cached("DELETE FROM pending WHERE tables = ? AND last < ?")?
                .execute(params![domain.tables, domain.needed_from])?;
        }
        for waiting in &self.pending {
            transaction
                .prepare_cached("INSERT INTO pending (tables, last, value) VALUES (?, ?, ?)")?
                .execute(params![waiting.tables, waiting.last, waiting.bytes])?;
        }
        if !self.watermarks.is_empty() {
            transaction.execute("DELETE FROM domains", [])?;
            transaction.execute("DELETE FROM held", [])?;
        }
        for domain in &self.watermarks {
            transaction
                .prepare_cached("INSERT INTO domains (tables, watermark) VALUES (?, ?)")?
                .execute(params![domain.tables, domain.watermark])?;
        }
        for (rule, watermark, of_others) in &self.held {
            transaction
                .prepare_cached("INSERT INTO held (rule, watermark, of_others) VALUES (?, ?, ?)")?
                .execute(params![rule, watermark, of_others])?;
        }
        for number in &self.objects_gone {
            transaction
                .prepare_cached("DELETE FROM objects WHERE number = ?")?
                .execute([number])?;
        }
        for (number, bytes) in &self.objects {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO objects (number, value) VALUES (?, ?)")?
                .execute(params![number, bytes])?;
        }
        for (key, bytes) in &self.reports {
            match bytes {
                Some(bytes) => transaction
                    .prepare_cached("INSERT OR REPLACE INTO reported (key, value) VALUES (?, ?)")?
                    .execute(params![key, bytes])?,
                None => transaction
                    .prepare_cached("DELETE FROM reported WHERE key = ?")?
                    .execute([key])?,
            };
        }
        for (stage, started) in &self.started {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO stages (stage, started) VALUES (?, ?)")?
                .execute(params![stage, started])?;
        }
        if !self.sizes.is_empty() {
            transaction.execute("DELETE FROM sizes", [])?;
        }
        let int = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        for (rule, size) in &self.sizes {
            transaction
                .prepare_cached(
                    "INSERT INTO sizes (rule, keys, spilled, bytes) VALUES (?, ?, ?, ?)",
                )?
                .execute(params![
                    rule,
                    int(size.keys),
                    int(size.spilled),
                    int(size.bytes)
                ])?;
        }
        for (table, object) in &self.cursor {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO cursor (name, object) VALUES (?, ?)")?
                .execute(params![table, object.name])?;
            if let Some(version) = &object.version {
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO versions (name, object, version, is_bad) VALUES (?, ?, ?, ?)",
                    )?
                    .execute(params![table, object.name, version, object.is_bad])?;
            }
        }
        for table in &self.tables {
            super::status::put(&transaction, table)?;
        }
        for detectors in &self.detectors {
            super::detectors::write(&transaction, detectors, hashing)?;
        }
        for deferred in &self.deferred {
            write_deferred(&transaction, deferred)?;
        }
        if let Some(alerts) = &self.own_alerts {
            write_own_alerts(&transaction, alerts)?;
        }
        let counters = [
            ("late", &self.counters.late),
            ("capped", &self.counters.capped),
            ("without_key", &self.counters.without_key),
            ("without_value", &self.counters.without_value),
        ];
        for (name, by_rule) in counters {
            for (rule, count) in by_rule {
                transaction
                    .prepare_cached(
                        "INSERT INTO counters (name, rule, count) VALUES (?1, ?2, ?3)
                         ON CONFLICT (name, rule) DO UPDATE SET count = count + ?3",
                    )?
                    .execute(params![
                        name,
                        rule,
                        i64::try_from(*count).unwrap_or(i64::MAX)
                    ])?;
            }
        }
        for (seq, line) in &self.lines {
            transaction
                .prepare_cached("INSERT INTO outbox (seq, line) VALUES (?, ?)")?
                .execute(params![seq, line])?;
        }
        transaction
            .prepare_cached("DELETE FROM outbox WHERE seq <= ?")?
            .execute([self.delivered])?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = i64::try_from(now.as_micros()).unwrap_or_default();
        if self.last_line > 0 || !self.watermarks.is_empty() {
            for (name, value) in [
                ("last_line", self.last_line),
                ("delivered", self.delivered),
                ("provisional", int(self.provisional)),
                ("pending", int(self.pending_count)),
                ("committed", now),
            ] {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)")?
                    .execute(params![name, value])?;
            }
        }
        for message in &self.log {
            transaction
                .prepare_cached("INSERT INTO log (at, message) VALUES (?, ?)")?
                .execute(params![now, message])?;
        }
        if !self.log.is_empty() {
            transaction.execute(
                "DELETE FROM log WHERE id <= (SELECT max(id) FROM log) - 1000",
                [],
            )?;
        }
        transaction.commit()?;
        Ok(joined)
    }
}

/// Writes a share's changes, numbered from one; joined with all before them they are its base, number nought.
fn write_page(connection: &Connection, page: &Page) -> rusqlite::Result<Option<Joined>> {
    let group = i64::try_from(page.group).unwrap_or_default();
    if !page.is_joined {
        connection
            .prepare_cached(
                "INSERT INTO pages (stage, share, seq, value) VALUES (?1, ?2,
                 (SELECT coalesce(max(seq), 0) + 1 FROM pages WHERE stage = ?1 AND share = ?2), ?3)",
            )?
            .execute(params![page.stage, group, page.bytes])?;
        return Ok(None);
    }
    let mut whole = Vec::new();
    let mut statement = connection
        .prepare_cached("SELECT value FROM pages WHERE stage = ?1 AND share = ?2 ORDER BY seq")?;
    let mut rows = statement.query(params![page.stage, group])?;
    while let Some(row) = rows.next()? {
        whole.extend_from_slice(row.get_ref(0)?.as_blob()?);
    }
    drop(rows);
    whole.extend_from_slice(&page.bytes);
    let joined =
        join(&whole).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached("DELETE FROM pages WHERE stage = ?1 AND share = ?2")?
        .execute(params![page.stage, group])?;
    connection
        .prepare_cached("INSERT INTO pages (stage, share, seq, value) VALUES (?1, ?2, 0, ?3)")?
        .execute(params![page.stage, group, joined])?;
    Ok(Some((page.stage.clone(), page.group, joined.len())))
}

fn forget_detector(connection: &Connection, detector: &ForgottenDetector) -> rusqlite::Result<()> {
    let rows = (!detector.keeps_rows).then_some("detector_rows");
    for table in ["detector_keys", "detector_memory"].into_iter().chain(rows) {
        connection.execute(
            &format!("DELETE FROM {table} WHERE name = ?1 AND rule = ?2"),
            [&detector.table, &detector.rule],
        )?;
    }
    Ok(())
}

fn write_deferred(connection: &Connection, deferred: &Deferred) -> rusqlite::Result<()> {
    let table = &deferred.table;
    let mut add = connection.prepare_cached(
        "INSERT OR REPLACE INTO deferred (name, number, rule, value) VALUES (?, ?, ?, ?)",
    )?;
    for rows in &deferred.rows {
        add.execute(params![table, rows.number, rows.rule, rows.rows])?;
    }
    let mut remove =
        connection.prepare_cached("DELETE FROM deferred WHERE name = ? AND number = ?")?;
    for number in &deferred.done {
        remove.execute(params![table, number])?;
    }
    Ok(())
}

fn write_own_alerts(connection: &Connection, alerts: &[Alert]) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM own_alerts", [])?;
    for alert in alerts {
        let text = serde_json::to_string(alert)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        connection.execute(
            "INSERT INTO own_alerts (id, alert) VALUES (?, ?)",
            params![alert.id, text],
        )?;
    }
    Ok(())
}

/// A stage's share and how many bytes its base has now.
pub(super) type Joined = (String, usize, usize);

/// Why a batch is not on disk.
#[derive(Debug)]
pub(super) enum Failure {
    /// The disk is full or does not answer, or another program holds the file: the batch is kept, and tried again when it is waited for again.
    Passing(String),
    /// Trying again is of no use.
    Lasting(String),
}

/// A batch that was not written, all of it, and why.
struct Unwritten {
    batch: Box<Batch>,
    error: rusqlite::Error,
}

/// Says whether what failed may succeed later as it is: no room, a disk that does not answer, or another program that holds the file.
pub(super) fn may_pass(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
    matches!(
        error.sqlite_error_code(),
        Some(DiskFull | SystemIoFailure | DatabaseBusy | DatabaseLocked)
    )
}

/// A thread with the connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    batches: Option<SyncSender<Box<Batch>>>,
    done: Receiver<Result<Vec<Joined>, Unwritten>>,
    open: usize,
    /// What had no room on the disk.
    kept: Option<Box<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection, hashing: Hashing) -> Self {
        let (batches, inbox) = sync_channel::<Box<Batch>>(1);
        let (outbox, done) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            while let Ok(batch) = inbox.recv() {
                let written = batch.write(&mut connection, hashing);
                let written = written.map_err(|error| Unwritten { batch, error });
                if outbox.send(written).is_err() {
                    break;
                }
            }
        });
        Self {
            batches: Some(batches),
            done,
            open: 0,
            kept: None,
            thread: Some(thread),
        }
    }

    /// Hands a batch over. The one before must be done.
    pub(super) fn send(&mut self, batch: Box<Batch>) {
        if let Some(batches) = &self.batches
            && batches.send(batch).is_ok()
        {
            self.open += 1;
        }
    }

    /// Waits until all that was handed over is on disk, and returns how large the shares are that were joined. What had no room
    /// before is tried again.
    pub(super) fn wait(&mut self) -> Result<Vec<Joined>, Failure> {
        if let Some(batch) = self.kept.take() {
            self.send(batch);
        }
        let mut joined = Vec::new();
        while self.open > 0 {
            self.open -= 1;
            match self.done.recv() {
                Ok(Ok(written)) => joined.extend(written),
                Ok(Err(Unwritten { batch, error })) if may_pass(&error) => {
                    self.kept = Some(batch);
                    return Err(Failure::Passing(error.to_string()));
                }
                Ok(Err(Unwritten { error, .. })) => {
                    return Err(Failure::Lasting(error.to_string()));
                }
                Err(_) => {
                    let reason = "the thread that writes has stopped".to_owned();
                    return Err(Failure::Lasting(reason));
                }
            }
        }
        Ok(joined)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.batches = None;
        let _ = self.wait();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn a_batch_that_cannot_be_written_is_kept_and_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state.sqlite");
        let connection = schema::open(&file).unwrap();
        schema::make(&connection).unwrap();
        connection.execute_batch("PRAGMA busy_timeout = 1").unwrap();
        let other = schema::open(&file).unwrap();
        let lines = || -> i64 {
            let count = "SELECT count(*) FROM outbox";
            other.query_row(count, [], |row| row.get(0)).unwrap()
        };
        let mut writer = Writer::start(connection, Hashing::without_key());
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let batch = Batch {
            lines: vec![(1, "one".to_owned()), (2, "two".to_owned())],
            last_line: 2,
            ..Batch::default()
        };
        writer.send(Box::new(batch));
        for _ in 0..3 {
            let Err(Failure::Passing(reason)) = writer.wait() else {
                panic!("written while another holds the file");
            };
            assert!(reason.contains("locked"), "{reason}");
        }
        assert_eq!(lines(), 0);
        other.execute_batch("COMMIT").unwrap();
        writer.wait().unwrap();
        assert_eq!(lines(), 2);
        writer.wait().unwrap();
        assert_eq!(lines(), 2);
    }
}
