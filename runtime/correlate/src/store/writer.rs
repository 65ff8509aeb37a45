//! The thread that writes: one transaction for each batch.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};
use yagura_core::Alert;

use super::changes::{Deferred, DetectorState, KnownObject};
use super::status::TableStatus;
use super::stored_rule::StoredRule;
use super::write_detectors;
use super::write_error::{WriteError, may_pass};
use crate::checkpoint::{GroupWatermark, PendingFindings};
use crate::hashing::Hashing;
use crate::node::Size;
use crate::shard::{Spilled, join};
use crate::step::Counters;

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct CommitBatch {
    pub(super) rules: Vec<(String, StoredRule)>,
    pub(super) forget_nodes: Vec<String>,
    pub(super) forget_detectors: Vec<ForgottenDetector>,
    pub(super) shards: Vec<ShardWrite>,
    pub(super) spilled: Vec<(String, usize, Spilled)>,
    pub(super) spilled_gone: Vec<(String, usize, u64, String)>,
    pub(super) pending: Vec<PendingFindings>,
    /// The waiting findings here are all that there are.
    pub(super) resets_pending: bool,
    pub(super) watermarks: Vec<GroupWatermark>,
    pub(super) held: Vec<(String, i64, i64)>,
    pub(super) objects: Vec<(u32, Vec<u8>)>,
    pub(super) objects_gone: Vec<u32>,
    pub(super) provisional: Vec<(String, Option<Vec<u8>>)>,
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
    pub(super) provisional_count: usize,
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

/// Writes to a shard.
#[derive(Debug)]
pub(super) struct ShardWrite {
    pub(super) node: String,
    pub(super) shard: usize,
    pub(super) bytes: Vec<u8>,
    /// It is joined with what was written before, which outweighs it no more.
    pub(super) is_joined: bool,
}

impl CommitBatch {
    pub(super) fn bytes(&self) -> usize {
        let shards = self.shards.iter().map(|write| write.bytes.len());
        let pending = self.pending.iter().map(|waiting| waiting.bytes.len());
        let lines = self.lines.iter().map(|(_, line)| line.len());
        let spilled = self
            .spilled
            .iter()
            .map(|(_, _, spilled)| spilled.state.len());
        shards.chain(pending).chain(lines).chain(spilled).sum()
    }

    /// Returns how large the shards are that were joined.
    fn write(
        &self,
        connection: &mut Connection,
        hashing: Hashing,
    ) -> rusqlite::Result<Vec<SnapshotSize>> {
        let mut joined = Vec::new();
        let transaction = connection.transaction()?;
        if !self.rules.is_empty() {
            transaction.execute("DELETE FROM rules", [])?;
            let mut add = transaction.prepare_cached(
                "INSERT INTO rules (id, number, state_fingerprint, rule_fingerprint, fields) VALUES (?, ?, ?, ?, ?)",
            )?;
            for (id, rule) in &self.rules {
                add.execute(params![
                    id,
                    rule.number,
                    rule.fingerprints.state,
                    rule.fingerprints.rule,
                    rule.fields
                ])?;
            }
        }
        for node in &self.forget_nodes {
            for table in ["shards", "spilled", "nodes"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE node = ?1"), [node])?;
            }
        }
        for detector in &self.forget_detectors {
            forget_detector(&transaction, detector)?;
        }
        for write in &self.shards {
            joined.extend(write_shard(&transaction, write)?);
        }
        for (node, shard, hash, key) in &self.spilled_gone {
            transaction
                .prepare_cached(
                    "DELETE FROM spilled WHERE node = ? AND shard = ? AND hash = ? AND key = ?",
                )?
                .execute(params![
                    node,
                    i64::try_from(*shard).unwrap_or_default(),
                    hash.cast_signed(),
                    key
                ])?;
        }
        for (node, shard, spilled) in &self.spilled {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO spilled (node, shard, hash, key, value, due) VALUES (?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    node,
                    i64::try_from(*shard).unwrap_or_default(),
                    spilled.hash.cast_signed(),
                    &*spilled.key,
                    spilled.state,
                    spilled.due
                ])?;
        }
        if self.resets_pending {
            transaction.execute("DELETE FROM pending", [])?;
        }
        for group in &self.watermarks {
            transaction
                .prepare_cached("DELETE FROM pending WHERE tables = ? AND last < ?")?
                .execute(params![group.tables, group.needed_from])?;
        }
        for waiting in &self.pending {
            transaction
                .prepare_cached("INSERT INTO pending (tables, last, value) VALUES (?, ?, ?)")?
                .execute(params![waiting.tables, waiting.last, waiting.bytes])?;
        }
        if !self.watermarks.is_empty() {
            transaction.execute("DELETE FROM watermark_groups", [])?;
            transaction.execute("DELETE FROM held_rules", [])?;
        }
        for group in &self.watermarks {
            transaction
                .prepare_cached("INSERT INTO watermark_groups (tables, watermark) VALUES (?, ?)")?
                .execute(params![group.tables, group.watermark])?;
        }
        for (rule, watermark, of_others) in &self.held {
            transaction
                .prepare_cached(
                    "INSERT INTO held_rules (rule, watermark, of_others) VALUES (?, ?, ?)",
                )?
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
        for (key, bytes) in &self.provisional {
            match bytes {
                Some(bytes) => transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO provisional_alerts (key, value) VALUES (?, ?)",
                    )?
                    .execute(params![key, bytes])?,
                None => transaction
                    .prepare_cached("DELETE FROM provisional_alerts WHERE key = ?")?
                    .execute([key])?,
            };
        }
        for (node, started) in &self.started {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO nodes (node, started) VALUES (?, ?)")?
                .execute(params![node, started])?;
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
            write_detectors::write(&transaction, detectors, hashing)?;
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
                ("provisional", int(self.provisional_count)),
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

/// Appends to a shard's changelog, which is numbered from one; joined with all before it that is its snapshot, number nought.
fn write_shard(
    connection: &Connection,
    write: &ShardWrite,
) -> rusqlite::Result<Option<SnapshotSize>> {
    let shard = i64::try_from(write.shard).unwrap_or_default();
    if !write.is_joined {
        connection
            .prepare_cached(
                "INSERT INTO shards (node, shard, seq, value) VALUES (?1, ?2,
                 (SELECT coalesce(max(seq), 0) + 1 FROM shards WHERE node = ?1 AND shard = ?2), ?3)",
            )?
            .execute(params![write.node, shard, write.bytes])?;
        return Ok(None);
    }
    let mut whole = Vec::new();
    let mut statement = connection
        .prepare_cached("SELECT value FROM shards WHERE node = ?1 AND shard = ?2 ORDER BY seq")?;
    let mut rows = statement.query(params![write.node, shard])?;
    while let Some(row) = rows.next()? {
        whole.extend_from_slice(row.get_ref(0)?.as_blob()?);
    }
    drop(rows);
    whole.extend_from_slice(&write.bytes);
    let joined =
        join(&whole).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached("DELETE FROM shards WHERE node = ?1 AND shard = ?2")?
        .execute(params![write.node, shard])?;
    connection
        .prepare_cached("INSERT INTO shards (node, shard, seq, value) VALUES (?1, ?2, 0, ?3)")?
        .execute(params![write.node, shard, joined])?;
    Ok(Some((write.node.clone(), write.shard, joined.len())))
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

/// A node's shard and how many bytes its snapshot has now.
pub(super) type SnapshotSize = (String, usize, usize);

/// A batch that was not written, all of it, and why.
struct Unwritten {
    batch: Box<CommitBatch>,
    error: rusqlite::Error,
}

/// A thread with the connection that writes.
#[derive(Debug)]
pub(super) struct StateWriter {
    batches: Option<SyncSender<Box<CommitBatch>>>,
    done: Receiver<Result<Vec<SnapshotSize>, Unwritten>>,
    open: usize,
    /// What had no room on the disk.
    kept: Option<Box<CommitBatch>>,
    thread: Option<JoinHandle<()>>,
}

impl StateWriter {
    pub(super) fn start(mut connection: Connection, hashing: Hashing) -> Self {
        let (batches, inbox) = sync_channel::<Box<CommitBatch>>(1);
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
    pub(super) fn send(&mut self, batch: Box<CommitBatch>) {
        if let Some(batches) = &self.batches
            && batches.send(batch).is_ok()
        {
            self.open += 1;
        }
    }

    /// Waits until all that was handed over is on disk, and returns how large the shards are that were joined. What had no room
    /// before is tried again.
    pub(super) fn wait(&mut self) -> Result<Vec<SnapshotSize>, WriteError> {
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
                    return Err(WriteError::Passing(error));
                }
                Ok(Err(Unwritten { error, .. })) => return Err(WriteError::Sqlite(error)),
                Err(_) => return Err(WriteError::Stopped),
            }
        }
        Ok(joined)
    }
}

impl Drop for StateWriter {
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
        let mut connection = schema::open(&file).unwrap();
        schema::migrate(&mut connection).unwrap();
        connection.execute_batch("PRAGMA busy_timeout = 1").unwrap();
        let other = schema::open(&file).unwrap();
        let lines = || -> i64 {
            let count = "SELECT count(*) FROM outbox";
            other.query_row(count, [], |row| row.get(0)).unwrap()
        };
        let mut writer = StateWriter::start(connection, Hashing::without_key());
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let batch = CommitBatch {
            lines: vec![(1, "one".to_owned()), (2, "two".to_owned())],
            last_line: 2,
            ..CommitBatch::default()
        };
        writer.send(Box::new(batch));
        for _ in 0..3 {
            let Err(WriteError::Passing(reason)) = writer.wait() else {
                panic!("written while another holds the file");
            };
            assert!(reason.to_string().contains("locked"), "{reason}");
        }
        assert_eq!(lines(), 0);
        other.execute_batch("COMMIT").unwrap();
        writer.wait().unwrap();
        assert_eq!(lines(), 2);
        writer.wait().unwrap();
        assert_eq!(lines(), 2);
    }
}
