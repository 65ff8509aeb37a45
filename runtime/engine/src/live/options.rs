//! How a service works.

use std::collections::BTreeMap;
use std::time::Duration;

use yagura_core::Timestamp;

use crate::options::RunOptions;
use crate::quarantine::Fairness;

/// Bytes that the findings may take which a table's objects give in one step.
pub const FINDING_BYTES: usize = 512 << 20;

/// What becomes of an object that was replaced after it had been read. It is named and counted in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replaced {
    /// What was found in the one before stays, and the new one is not evaluated.
    #[default]
    Keep,
    /// The new one is evaluated too: rules that count see the events that both have twice.
    Evaluate,
}

/// How a service works.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// How objects are scanned.
    pub run: RunOptions,
    /// How far behind a table's latest event an event may come, where that is set, by table.
    pub lateness: BTreeMap<String, i64>,
    /// The same for all other tables; absent: as their definitions set it, else 10 minutes.
    pub every_lateness: Option<i64>,
    /// Silence of a table after which the others do not wait for it.
    pub idle: Duration,
    /// How far ahead of the clock an event may be and still move time on, in microseconds.
    pub future: i64,
    /// Objects of a table that one step takes.
    pub step_objects: usize,
    /// Bytes of a table's objects that one step takes.
    pub step_bytes: u64,
    /// Bytes that the findings which wait for the watermark may take, about. Above it the rules with most of them lose the newest.
    pub waiting_bytes: usize,
    /// How often a table of very many objects is listed whole, to find objects of days that are past; others always are.
    pub list_all: Duration,
    /// A new table's watermark stands still until nothing new was listed for so long; absent: it moves from the first object on.
    pub first_load: Option<Duration>,
    /// How long an object that cannot be read is waited for, before the watermark advances without it.
    pub patience: Duration,
    /// What becomes of an object that was replaced after it had been read.
    pub on_replaced: Replaced,
    /// Events before it are not evaluated.
    pub from: Option<Timestamp>,
    /// How long trouble of the service itself must last to be reported as an alert; absent: it is not.
    pub report_trouble: Option<Duration>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            run: RunOptions {
                fairness: Some(Fairness::default()),
                max_finding_bytes: FINDING_BYTES,
                ..RunOptions::default()
            },
            lateness: BTreeMap::new(),
            every_lateness: None,
            idle: Duration::from_secs(900),
            future: 3_600_000_000,
            step_objects: 64,
            step_bytes: 256 << 20,
            waiting_bytes: 512 << 20,
            list_all: Duration::from_secs(3_600),
            first_load: Some(Duration::from_secs(10)),
            patience: Duration::from_secs(600),
            on_replaced: Replaced::Keep,
            from: None,
            report_trouble: None,
        }
    }
}
