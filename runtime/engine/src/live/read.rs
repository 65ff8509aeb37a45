//! A read of some objects, in the background.

use std::sync::Arc;

use tokio::time::timeout;
use yagura_core::Timestamp;
use yagura_lake::ObjectTimes;

use super::objects::WaitingObject;
use crate::error::EngineError;
use crate::running_steps::RunningStep;
use crate::scan_output::ScanOutput;
use crate::table_run::TableRun;

/// What came of a read.
#[derive(Debug)]
pub(super) struct ReadResult {
    pub(super) run: TableRun,
    /// The objects that were tried, and how many there were at first.
    pub(super) tried: Vec<WaitingObject>,
    pub(super) asked: usize,
    /// Nothing where the table must be opened again first, because the object has other columns.
    pub(super) result: Result<Option<ScanOutput>, EngineError>,
}

/// Reads objects. Of an object by itself whose times are not known, these are found first. One of which something is wrong has
/// its time and no more. `limit` is the latest event time that is not ahead of the clock.
pub(super) async fn read(
    mut run: TableRun,
    mut objects: Vec<WaitingObject>,
    limit: Timestamp,
) -> ReadResult {
    let _underway = RunningStep::new();
    let asked = objects.len();
    let patience = objects.first().and_then(WaitingObject::patience);
    let reading = read_some(&mut run, &mut objects, limit);
    let result = match patience {
        None => reading.await,
        Some(patience) => match timeout(patience, reading).await {
            Ok(result) => result,
            Err(_) => Err(run.timed_out(patience)),
        },
    };
    ReadResult {
        run,
        tried: objects,
        asked,
        result,
    }
}

async fn read_some(
    run: &mut TableRun,
    objects: &mut Vec<WaitingObject>,
    limit: Timestamp,
) -> Result<Option<ScanOutput>, EngineError> {
    if let [one] = &mut objects[..]
        && one.times.is_none()
    {
        match times_of(run, one, limit).await? {
            FoundTimes::Found(times) => one.times = Some(*times),
            FoundTimes::NewColumns => return Ok(None),
            FoundTimes::Unreadable(reason) => {
                return Ok(Some(ScanOutput {
                    bad_files: vec![(one.name.clone(), reason)],
                    ..ScanOutput::default()
                }));
            }
        }
    }
    // A rule that finds too much keeps half of what all may find, which leaves room for the others; if several find so much, each
    // keeps less. Rules that keep state may hold so many rows; over that the newest of those that have the most are given up.
    let (mut most, mut bytes) = run.most_findings();
    let mut rule_limit = None;
    let mut gives_up = false;
    loop {
        let files: Vec<_> = objects.iter().map(|of| of.file.clone()).collect();
        run.rule_limit = rule_limit;
        run.gives_up_rows(gives_up);
        let result = run.run(&files, 0).await;
        run.rule_limit = None;
        run.gives_up_rows(false);
        match result {
            // Smaller steps hold fewer findings, and a store that fails for one object may give the others.
            Err(
                EngineError::TooManyFindings { .. }
                | EngineError::TooManyPending { .. }
                | EngineError::Scan { .. },
            ) if objects.len() > 1 => {
                objects.truncate(objects.len().div_ceil(2));
            }
            Err(EngineError::TooManyFindings { .. }) if most > MIN_FINDINGS_OF_A_RULE => {
                (most, bytes) = (most / 2, bytes / 2);
                rule_limit = Some((most, bytes));
            }
            Err(EngineError::TooManyPending { .. }) if !gives_up => {
                gives_up = true;
            }
            other => return other.map(Some),
        }
    }
}

/// The fewest findings of an object that are kept of a rule.
const MIN_FINDINGS_OF_A_RULE: usize = 1_000;

/// The times of an object, as far as they can be found.
enum FoundTimes {
    Found(Box<ObjectTimes>),
    /// The object has columns that the table lacks.
    NewColumns,
    /// The object cannot be read, for this reason.
    Unreadable(String),
}

/// Finds the times of an object.
async fn times_of(
    run: &TableRun,
    object: &WaitingObject,
    limit: Timestamp,
) -> Result<FoundTimes, EngineError> {
    let (table, file, cache) = (&run.table, &object.file, || Arc::clone(&run.cache));
    let looked = async {
        if !table.has_columns_of(file, cache()).await? {
            return Ok(FoundTimes::NewColumns);
        }
        let times = table.look_at_times(file, cache(), limit).await?;
        Ok(FoundTimes::Found(Box::new(times)))
    };
    match looked.await {
        Ok(times) => Ok(times),
        Err(error) => run.fault_of(file, error).await.map(FoundTimes::Unreadable),
    }
}
