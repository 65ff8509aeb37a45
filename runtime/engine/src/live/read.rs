//! A read of some objects, beside the steps.

use std::sync::Arc;

use tokio::time::timeout;
use yagura_core::Timestamp;
use yagura_lake::ObjectTimes;

use super::objects::Waiting;
use crate::background::Underway;
use crate::error::EngineError;
use crate::table_run::{Scanned, TableRun};

/// What came of a read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) run: TableRun,
    /// The objects that were tried, and how many there were at first.
    pub(super) tried: Vec<Waiting>,
    pub(super) asked: usize,
    /// Nothing where the table must be opened again first, because the object has other columns.
    pub(super) result: Result<Option<Scanned>, EngineError>,
}

/// Reads objects. Of an object by itself whose times are not known, these are found first. One of which something is wrong has
/// its time and no more. `limit` is the latest event time that is not ahead of the clock.
pub(super) async fn read(mut run: TableRun, mut objects: Vec<Waiting>, limit: Timestamp) -> Read {
    let _underway = Underway::new();
    let asked = objects.len();
    let patience = objects.first().and_then(Waiting::patience);
    let reading = read_some(&mut run, &mut objects, limit);
    let result = match patience {
        None => reading.await,
        Some(patience) => match timeout(patience, reading).await {
            Ok(result) => result,
            Err(_) => Err(run.gave_up(patience)),
        },
    };
    Read {
        run,
        tried: objects,
        asked,
        result,
    }
}

async fn read_some(
    run: &mut TableRun,
    objects: &mut Vec<Waiting>,
    limit: Timestamp,
) -> Result<Option<Scanned>, EngineError> {
    if let [one] = &mut objects[..]
        && one.times.is_none()
    {
        match times_of(run, one, limit).await? {
            Ok(Some(times)) => one.times = Some(times),
            Ok(None) => return Ok(None),
            Err(reason) => {
                return Ok(Some(Scanned {
                    bad_files: vec![(one.name.clone(), reason)],
                    ..Scanned::default()
                }));
            }
        }
    }
    // A rule that finds too much keeps half of what all may find, which leaves room for the others; if several find so much, each
    // keeps less.
    let (mut most, mut bytes) = run.most_findings();
    loop {
        let files: Vec<_> = objects.iter().map(|of| of.file.clone()).collect();
        let result = run.run(&files, 0).await;
        run.share = None;
        match result {
            // Smaller steps hold fewer findings, and a store that fails for one object may give the others.
            Err(EngineError::TooManyFindings { .. } | EngineError::Scan { .. })
                if objects.len() > 1 =>
            {
                objects.truncate(objects.len().div_ceil(2));
            }
            Err(EngineError::TooManyFindings { .. }) if most > LEAST_SHARE => {
                (most, bytes) = (most / 2, bytes / 2);
                run.share = Some((most, bytes));
            }
            other => return other.map(Some),
        }
    }
}

/// The fewest findings of an object that are kept of a rule.
const LEAST_SHARE: usize = 1_000;

/// Finds the times of an object, nothing where it has columns that the table lacks, or why it cannot be read.
async fn times_of(
    run: &TableRun,
    object: &Waiting,
    limit: Timestamp,
) -> Result<Result<Option<ObjectTimes>, String>, EngineError> {
    let (table, file, cache) = (&run.table, &object.file, || Arc::clone(&run.cache));
    let looked = async {
        if !table.has_columns_of(file, cache()).await? {
            return Ok(None);
        }
        table.look_at_times(file, cache(), limit).await.map(Some)
    };
    match looked.await {
        Ok(times) => Ok(Ok(times)),
        Err(error) => run.fault_of(file, error).await.map(Err),
    }
}
