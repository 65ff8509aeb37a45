//! What a listener received and what became of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What a listener received and what became of it, since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenCounts {
    /// Messages that were received.
    pub received: u64,
    /// Messages in objects that the store has.
    pub written: u64,
    /// Datagrams that were dropped because the queue for the store was full.
    pub dropped: u64,
    /// Datagrams that the system dropped because they came faster than they were taken; on Linux.
    pub dropped_by_system: u64,
    /// Messages whose end was left out because they were too long.
    pub cut: u64,
    /// Messages within which their connection ended.
    pub incomplete: u64,
    /// Connections that were closed because a message had no count.
    pub without_count: u64,
    /// Connections that were closed because nothing came.
    pub idle: u64,
    /// Connections that were refused because there were too many.
    pub refused: u64,
    /// Connections and datagrams of peers that are not allowed.
    pub not_allowed: u64,
    /// Connections that failed: their handshake, or while they were read.
    pub failed: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Objects that the store has.
    pub objects: u64,
    /// Their bytes, compressed.
    pub object_bytes: u64,
    /// Why the store does not take the object that is being written.
    pub trouble: Option<String>,
    /// Why a connection failed last.
    pub last_failure: Option<String>,
}

impl ListenCounts {
    /// Returns how many messages were received and are not in an object of the store. Messages may wait for theirs.
    pub fn waiting(&self) -> u64 {
        self.received.saturating_sub(self.written + self.dropped)
    }

    /// Returns how many datagrams were dropped.
    pub fn all_dropped(&self) -> u64 {
        self.dropped + self.dropped_by_system
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Received,
    Written,
    Dropped,
    DroppedBySystem,
    Cut,
    Incomplete,
    Uncounted,
    Idle,
    Refused,
    NotAllowed,
    Failed,
    Open,
    Objects,
    ObjectBytes,
}

/// The counts while they change.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    numbers: [AtomicU64; 14],
    trouble: Mutex<Option<String>>,
    last_failure: Mutex<Option<String>>,
}

impl Counters {
    fn number(&self, count: Count) -> &AtomicU64 {
        &self.numbers[count as usize]
    }

    pub(crate) fn add(&self, count: Count, number: u64) {
        self.number(count).fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, count: Count, number: u64) {
        self.number(count).fetch_sub(number, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, count: Count, number: u64) {
        self.number(count).store(number, Ordering::Relaxed);
    }

    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Counts a connection that failed.
    pub(crate) fn fail(&self, why: String) {
        self.add(Count::Failed, 1);
        let last = self.last_failure.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    pub(crate) fn read(&self) -> ListenCounts {
        let of = |count| self.number(count).load(Ordering::Relaxed);
        let text = |text: &Mutex<Option<String>>| {
            text.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        ListenCounts {
            // First, so that no message is written that is not received yet.
            written: of(Count::Written),
            dropped: of(Count::Dropped),
            received: of(Count::Received),
            dropped_by_system: of(Count::DroppedBySystem),
            cut: of(Count::Cut),
            incomplete: of(Count::Incomplete),
            without_count: of(Count::Uncounted),
            idle: of(Count::Idle),
            refused: of(Count::Refused),
            not_allowed: of(Count::NotAllowed),
            failed: of(Count::Failed),
            open: of(Count::Open),
            objects: of(Count::Objects),
            object_bytes: of(Count::ObjectBytes),
            trouble: text(&self.trouble),
            last_failure: text(&self.last_failure),
        }
    }
}
