//! The hits of several tables as one timeline.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::common::runtime::SpawnedTask;
use tokio::sync::mpsc::Receiver;
use yagura_core::Timestamp;

use crate::search::{HitOrder, SearchError};

/// An event that a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// Event time, if the event has one.
    pub time: Option<Timestamp>,
    /// Its table.
    pub table: Arc<str>,
    /// Its object.
    pub object: String,
    /// Row inside it.
    pub row: u64,
    /// The event as one JSON object.
    pub event: String,
}

/// Hits of one table in order of time.
#[derive(Debug)]
pub(crate) struct Lane {
    table: Arc<str>,
    /// Ends with the lane.
    _task: SpawnedTask<()>,
    batches: Receiver<Result<RecordBatch, SearchError>>,
    hits: VecDeque<SearchHit>,
    is_ended: bool,
}

impl Lane {
    pub(crate) fn new(
        table: Arc<str>,
        (task, batches): (SpawnedTask<()>, Receiver<Result<RecordBatch, SearchError>>),
    ) -> Self {
        Self {
            table,
            _task: task,
            batches,
            hits: VecDeque::new(),
            is_ended: false,
        }
    }

    /// Waits until the next hit is known, or that there are no more.
    async fn fill(&mut self) -> Result<(), SearchError> {
        while self.hits.is_empty() && !self.is_ended {
            match self.batches.recv().await.transpose()? {
                Some(batch) => self.hits.extend(decode(&self.table, &batch)),
                None => self.is_ended = true,
            }
        }
        Ok(())
    }
}

/// The hits of a search, in order of time.
#[derive(Debug)]
pub struct Hits {
    lanes: Vec<Lane>,
    order: HitOrder,
    /// Hits that are still wanted.
    left: Option<usize>,
}

impl Hits {
    pub(crate) fn new(lanes: Vec<Lane>, order: HitOrder, limit: Option<usize>) -> Self {
        Self {
            lanes,
            order,
            left: limit,
        }
    }

    /// Returns the next hit; nothing behind the last that is wanted.
    ///
    /// # Errors
    /// [`SearchError::Scan`]. Hits that were returned before are right, and further ones may be missing.
    pub async fn next(&mut self) -> Result<Option<SearchHit>, SearchError> {
        if self.left == Some(0) {
            return Ok(None);
        }
        for lane in &mut self.lanes {
            lane.fill().await?;
        }
        self.lanes
            .retain(|lane| !lane.is_ended || !lane.hits.is_empty());
        let order = self.order;
        let next = self
            .lanes
            .iter_mut()
            .min_by(|a, b| compare(order, &a.hits[0], &b.hits[0]));
        let hit = next.and_then(|lane| lane.hits.pop_front());
        if let (Some(left), Some(_)) = (&mut self.left, &hit) {
            *left -= 1;
        }
        Ok(hit)
    }
}

/// Says which of two hits comes first. Those without a time come last.
fn compare(order: HitOrder, a: &SearchHit, b: &SearchHit) -> Ordering {
    let by_place = || {
        let by_object = || a.object.cmp(&b.object).then(a.row.cmp(&b.row));
        a.table.cmp(&b.table).then_with(by_object)
    };
    match (a.time, b.time) {
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        _ => {
            let oldest_first = a.time.cmp(&b.time).then_with(by_place);
            match order {
                HitOrder::OldestFirst => oldest_first,
                HitOrder::NewestFirst => oldest_first.reverse(),
            }
        }
    }
}

/// Returns the events of a batch.
pub(crate) fn decode(table: &Arc<str>, batch: &RecordBatch) -> Vec<SearchHit> {
    let rows = batch.column(2).as_primitive::<Int64Type>();
    let objects = texts(batch, 1);
    let events = texts(batch, 3);
    let hits = times(batch).zip(objects.zip(events)).zip(rows.values());
    hits.map(|((time, (object, event)), row)| SearchHit {
        time: time.map(Timestamp::clamped),
        table: Arc::clone(table),
        object: object.to_owned(),
        row: row.cast_unsigned(),
        event: event.to_owned(),
    })
    .collect()
}

/// Returns the times of a batch, in microseconds since 1970.
pub(crate) fn times(batch: &RecordBatch) -> impl Iterator<Item = Option<i64>> {
    let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    (0..times.len()).map(|row| times.is_valid(row).then(|| times.value(row)))
}

/// Returns the counts of a batch.
pub(crate) fn counts(batch: &RecordBatch, column: usize) -> impl Iterator<Item = u64> {
    let counts = batch.column(column).as_primitive::<Int64Type>();
    counts.values().iter().map(|count| count.cast_unsigned())
}

/// Returns the texts of a column that has no NULL.
pub(crate) fn texts(batch: &RecordBatch, column: usize) -> impl Iterator<Item = &str> {
    batch
        .column(column)
        .as_string::<i32>()
        .iter()
        .map(Option::unwrap_or_default)
}
