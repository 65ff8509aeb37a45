//! What queues announced: counts, and the messages that were parked.

use rusqlite::params;
use rusqlite_migration::M;
use serde::Serialize;
use yagura_core::Timestamp;

use super::{Ledger, LedgerError};

/// Parked messages that are kept of a queue at most, the newest; more are counted alone.
const KEPT: i64 = 10_000;
/// Of these so many are shown.
const SHOWN: i64 = 5;

/// What the ledger holds of queues.
pub(super) const QUEUES: M<'_> = M::up(
    "CREATE TABLE queue (
        queue TEXT PRIMARY KEY,
        messages INTEGER NOT NULL DEFAULT 0,
        arrivals INTEGER NOT NULL DEFAULT 0,
        known INTEGER NOT NULL DEFAULT 0,
        others INTEGER NOT NULL DEFAULT 0,
        parked INTEGER NOT NULL DEFAULT 0,
        malformed INTEGER NOT NULL DEFAULT 0,
        last_message INTEGER,
        trouble TEXT
    ) WITHOUT ROWID;
    CREATE TABLE parked (
        queue TEXT NOT NULL,
        what TEXT NOT NULL,
        reason TEXT NOT NULL,
        last INTEGER NOT NULL,
        times INTEGER NOT NULL DEFAULT 1,
        PRIMARY KEY (queue, what)
    ) WITHOUT ROWID;
    CREATE INDEX parked_by_time ON parked (queue, last);
    ALTER TABLE total ADD COLUMN replaced INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE total ADD COLUMN odd_names INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE total ADD COLUMN odd_name TEXT;",
);

/// What messages were found to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueCounted {
    pub(crate) messages: u64,
    pub(crate) arrivals: u64,
    pub(crate) others: u64,
    pub(crate) parked: u64,
    pub(crate) malformed: u64,
}

/// What cannot be handed to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parked {
    /// The object, or the start of a malformed message.
    pub(crate) what: String,
    pub(crate) reason: String,
    pub(crate) is_malformed: bool,
}

/// What a queue announced so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct QueueTotals {
    /// The queue, as `events` names it.
    pub queue: String,
    /// Messages that were received; one that comes again counts again.
    pub messages: u64,
    /// New objects that they announced.
    pub arrivals: u64,
    /// Of these, objects that were ingested before, or were gone.
    pub known: u64,
    /// Events of other kinds, such as deletions.
    pub others: u64,
    /// Objects that are those of no source.
    pub parked: u64,
    /// Messages that are malformed.
    pub malformed: u64,
    /// When the newest message was received.
    pub last_message: Option<Timestamp>,
    /// Why it cannot be read now.
    pub trouble: Option<String>,
    /// The newest of what was parked.
    pub kept: Vec<ParkedMessage>,
}

/// An object of no source, or a malformed message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParkedMessage {
    /// The object, with its bucket, or the start of the message.
    pub what: String,
    /// Why it is parked.
    pub reason: String,
    /// How often it came.
    pub times: u64,
    /// When it came last.
    pub last: Timestamp,
}

impl Ledger {
    /// Notes messages that were received, and keeps what is parked.
    pub(crate) fn note_messages(
        &self,
        queue: &str,
        counted: QueueCounted,
        parked: &[Parked],
    ) -> Result<(), LedgerError> {
        let int = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let now = crate::now().micros();
        self.with(|connection| {
            let transaction = connection.transaction()?;
            transaction.execute(
                "INSERT INTO queue (queue, messages, arrivals, others, parked, malformed, last_message)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO UPDATE SET messages = messages + ?2, arrivals = arrivals + ?3,
                    others = others + ?4, parked = parked + ?5, malformed = malformed + ?6, last_message = ?7",
                params![
                    queue,
                    int(counted.messages),
                    int(counted.arrivals),
                    int(counted.others),
                    int(counted.parked),
                    int(counted.malformed),
                    now
                ],
            )?;
            for of in parked {
                transaction.execute(
                    "INSERT INTO parked (queue, what, reason, last) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET reason = ?3, last = ?4, times = times + 1",
                    params![queue, of.what, of.reason, now],
                )?;
            }
            if !parked.is_empty() {
                transaction.execute(
                    "DELETE FROM parked WHERE queue = ?1 AND what IN
                        (SELECT what FROM parked WHERE queue = ?1 ORDER BY last DESC LIMIT -1 OFFSET ?2)",
                    params![queue, KEPT],
                )?;
            }
            transaction.commit()
        })
    }

    /// Notes objects that were announced and known, or gone.
    pub(crate) fn note_known(&self, queue: &str, known: u64) -> Result<(), LedgerError> {
        self.with(|connection| {
            let known = i64::try_from(known).unwrap_or(i64::MAX);
            connection.execute(
                "UPDATE queue SET known = known + ?2 WHERE queue = ?1",
                params![queue, known],
            )?;
            Ok(())
        })
    }

    /// Notes why a queue cannot be read, or that it can be.
    pub(crate) fn note_queue_trouble(
        &self,
        queue: &str,
        trouble: Option<&str>,
    ) -> Result<(), LedgerError> {
        self.with(|connection| {
            connection.execute(
                "INSERT INTO queue (queue, trouble) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET trouble = ?2",
                params![queue, trouble],
            )?;
            Ok(())
        })
    }

    /// Returns what each queue announced, in order of their names.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn queues(&self) -> Result<Vec<QueueTotals>, LedgerError> {
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        self.with(|connection| {
            let mut query = connection.prepare(
                "SELECT queue, messages, arrivals, known, others, parked, malformed, last_message, trouble
                 FROM queue ORDER BY queue",
            )?;
            let rows = query.query_map([], |row| {
                let last: Option<i64> = row.get(7)?;
                Ok(QueueTotals {
                    queue: row.get(0)?,
                    messages: count(row.get(1)?),
                    arrivals: count(row.get(2)?),
                    known: count(row.get(3)?),
                    others: count(row.get(4)?),
                    parked: count(row.get(5)?),
                    malformed: count(row.get(6)?),
                    last_message: last.map(Timestamp::clamped),
                    trouble: row.get(8)?,
                    kept: Vec::new(),
                })
            })?;
            let mut all: Vec<QueueTotals> = rows.collect::<Result<_, _>>()?;
            for of in &mut all {
                let mut query = connection.prepare_cached(
                    "SELECT what, reason, times, last FROM parked WHERE queue = ?1 ORDER BY last DESC, what LIMIT ?2",
                )?;
                let rows = query.query_map(params![of.queue, SHOWN], |row| {
                    Ok(ParkedMessage {
                        what: row.get(0)?,
                        reason: row.get(1)?,
                        times: count(row.get(2)?),
                        last: Timestamp::clamped(row.get(3)?),
                    })
                })?;
                of.kept = rows.collect::<Result<_, _>>()?;
            }
            Ok(all)
        })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use rusqlite_migration::Migrations;

    use super::super::{Counted, STEPS};
    use super::*;

    #[test]
    fn a_ledger_without_queues_keeps_its_counts_and_gets_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut before = Connection::open(folder.path().join("sources.db")).unwrap();
        let steps = Migrations::from_slice(&STEPS[..2]);
        steps.to_latest(&mut before).unwrap();
        let line = "INSERT INTO total (source, events, repeated) VALUES ('a', 7, 3)";
        before.execute(line, []).unwrap();
        drop(before);
        let ledger = Ledger::open(folder.path()).unwrap();
        let counted = Counted {
            events: 1,
            repeated: 2,
            replaced: 4,
            ..Counted::default()
        };
        ledger.note("a", &[], &counted, crate::now()).unwrap();
        let totals = ledger.totals().unwrap().swap_remove(0);
        assert_eq!((totals.events, totals.repeated), (8, 5));
        assert_eq!((totals.records, totals.replaced), (3, 4));
        assert!(ledger.queues().unwrap().is_empty());
        ledger.note_queue_trouble("q", Some("away")).unwrap();
        let of = ledger.queues().unwrap().swap_remove(0);
        assert_eq!(of.trouble.as_deref(), Some("away"));
    }
}
