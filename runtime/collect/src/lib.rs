//! Raw logs of object stores, ingested as they arrive.
//!
//! ```text
//! list the prefix ─┬▶ objects that the ledger does not know ─fetch─▶ copies ─ingest─▶ rows in the table
//! messages of a queue ┘   ▲                                                               │ committed
//!        ▲                └──────────── ledger: key, version, what came of it ◀───────────┘
//!        └─ deleted ────────────────────────────────┘
//! ```
//!
//! An object is known by its key and its ETag, or its version where the store has no ETags. What was ingested and not yet
//! noted when a process was killed is fetched once more, and ingest knows it by its content: every record is one row.

mod arrivals;
mod collector;
mod drift;
mod habits;
mod ledger;
mod listener;
mod notice;
mod outcome;
mod queue;

#[cfg(test)]
mod tests;

pub use arrivals::Silence;
pub use collector::{CollectError, CollectReport, Collector, CollectorOptions, SETTLED};
pub use drift::Drift;
pub use habits::Habits;
pub use ledger::{Ledger, LedgerError, ParkedMessage, QueueTotals, SourceTotals};
pub use listener::{Announced, Listener};
pub use queue::QueueError;

use std::time::SystemTime;

use yagura_core::Timestamp;

/// The clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    Timestamp::clamped(i64::try_from(micros).unwrap_or(i64::MAX))
}
