//! Calls of plugins: tried twice, and where one event is behind a failure, that event isolated from the others.

use std::time::{Duration, Instant};

use datafusion::common::DataFusionError;
use yagura_core::{EventRef, Timestamp};
use yagura_host::{BatchRef, CallError, ColumnRef, Detector, LimitKind, PluginError};
use yagura_plan::RulePlan;
use yagura_rules::project;

use crate::quarantine::Quarantine;
use crate::report::{RunCounters, SkipCause, SkippedEvents};
use crate::rows::Rows;

/// Why events of a quarantined rule are skipped.
pub(crate) const QUARANTINED: &str = "the rule is quarantined after repeated faults";

/// Failed calls that a batch may cost while the events that fail are reported from the others: enough for some twenty of
/// 8,192.
const MAX_CALLS_TO_SEPARATE: u32 = 256;

/// How a call failed.
pub(crate) enum CallFailure {
    /// Of some event: others may be evaluated.
    Events(String),
    /// The plugin's: the batch is skipped.
    Plugin(String),
    /// Ours: the run stops.
    Engine(DataFusionError),
}

impl CallFailure {
    /// Sorts a plugin's failure by whether a single event may be behind it. What costs time or memory is not tried again
    /// in parts.
    pub(crate) fn of(error: &CallError) -> Self {
        let is_of_events = match error {
            CallError::Guest(PluginError::Data(_)) | CallError::Trap(_) => true,
            CallError::Limit(limit) => limit.kind == LimitKind::Stack,
            _ => false,
        };
        if is_of_events {
            Self::Events(chain(error))
        } else {
            Self::Plugin(chain(error))
        }
    }
}

impl From<datafusion::arrow::error::ArrowError> for CallFailure {
    fn from(error: datafusion::arrow::error::ArrowError) -> Self {
        Self::Engine(error.into())
    }
}

/// What came of a call: the plugin's answer or failure, or a failure before it was asked.
pub(crate) type CallResult<T> = Result<Result<T, CallError>, CallFailure>;

/// Calls, and where that fails once more, unless the rule is being retried.
pub(crate) fn twice<T>(
    rule: &RulePlan,
    quarantine: &Quarantine,
    mut call: impl FnMut() -> CallResult<T>,
) -> Result<T, CallFailure> {
    let first = match call()? {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    // These events cannot be evaluated: the plugin returned so itself, and would again.
    let is_data_error = matches!(first, CallError::Guest(PluginError::Data(_)));
    if is_data_error || quarantine.is_retrying(rule.index) {
        return Err(CallFailure::of(&first));
    }
    tracing::warn!(
        rule = rule.rule.id,
        error = chain(&first),
        "plugin failed; trying once more"
    );
    call()?.map_err(|second| CallFailure::of(&second))
}

/// Calls without a second try.
pub(crate) fn once<T>(answer: CallResult<T>) -> Result<T, CallFailure> {
    answer?.map_err(|error| CallFailure::of(&error))
}

/// Makes the rows' columns those that the rule's plugin receives, and calls with them.
pub(crate) fn with_columns<T>(
    rule: &RulePlan,
    rows: &Rows,
    call: impl FnOnce(BatchRef<'_>) -> T,
) -> Result<T, CallFailure> {
    let columns = rule
        .plugin_columns
        .iter()
        .map(|index| project(&rows.columns[*index]))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CallFailure::Plugin(chain(&error)))?;
    let columns: Vec<ColumnRef<'_>> = columns
        .iter()
        .map(|column| ColumnRef {
            validity: &column.validity,
            offsets: &column.offsets,
            values: &column.values,
        })
        .collect();
    let count = u32::try_from(rows.len())
        .map_err(|error| CallFailure::Plugin(format!("the batch is too large: {error}")))?;
    Ok(call(BatchRef {
        rows: count,
        columns: &columns,
    }))
}

/// Makes one call in an instance, which is opened where there is none, and lets go of it where the call spent it.
pub(crate) fn in_instance<T>(
    slot: &mut Option<Detector>,
    open: impl FnOnce() -> Result<Detector, CallError>,
    cost: impl FnOnce(&Detector),
    call: impl FnOnce(&mut Detector) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let mut detector = match slot.take() {
        Some(detector) => detector,
        None => open()?,
    };
    let answer = call(&mut detector);
    cost(&detector);
    // An instance that failed in any other way than with an error of its own is not used again.
    if matches!(answer, Ok(_) | Err(CallError::Guest(_))) {
        *slot = Some(detector);
    }
    answer
}

/// Rows that failed twice, after isolating those that fail.
pub(crate) struct SeparatedRows {
    /// Rows that are skipped together, with the reason.
    pub(crate) rows: Vec<(Rows, String)>,
    /// Whether it is a fault of the rule rather than of single events.
    pub(crate) is_fault: bool,
}

/// Isolates the events on which a plugin failed. `evaluate` evaluates a part of the rows, and puts back before the
/// others what it does not take of it; it returns the rows that failed. They come in order.
///
/// The halves of rows that fail are evaluated, and theirs, until the events that fail stand alone, so that what a rule finds
/// does not depend on which events share a batch with an odd one. Where too many fail, or it takes longer than `most`, what was
/// not evaluated by then is skipped together.
pub(crate) fn separate(
    rows: Rows,
    failure: CallFailure,
    most: Option<Duration>,
    mut evaluate: impl FnMut(Rows, &mut Vec<Rows>) -> Result<(), (Rows, CallFailure)>,
) -> Result<SeparatedRows, DataFusionError> {
    let reason = match failure {
        CallFailure::Events(reason) if rows.len() > 1 => reason,
        CallFailure::Engine(error) => return Err(error),
        // A single event that cannot be evaluated is no evidence about the others.
        CallFailure::Events(reason) => {
            return Ok(SeparatedRows {
                rows: vec![(rows, reason)],
                is_fault: false,
            });
        }
        CallFailure::Plugin(reason) => {
            return Ok(SeparatedRows {
                rows: vec![(rows, reason)],
                is_fault: true,
            });
        }
    };
    let mut odd: Vec<(Rows, String)> = Vec::new();
    let mut parts = halves(&rows);
    let mut failed = 0;
    let started = Instant::now();
    while failed < MAX_CALLS_TO_SEPARATE
        && most.is_none_or(|most| started.elapsed() < most)
        && let Some(part) = parts.pop()
    {
        match evaluate(part, &mut parts) {
            Ok(()) => continue,
            Err((part, CallFailure::Events(_))) if part.len() > 1 => parts.extend(halves(&part)),
            Err((part, CallFailure::Events(reason) | CallFailure::Plugin(reason))) => {
                odd.push((part, reason));
            }
            Err((_, CallFailure::Engine(error))) => return Err(error),
        }
        failed += 1;
    }
    if parts.is_empty() {
        return Ok(SeparatedRows {
            rows: odd,
            is_fault: false,
        });
    }
    parts.extend(odd.into_iter().map(|(part, _)| part));
    Ok(SeparatedRows {
        rows: vec![(Rows::concat(parts)?, reason)],
        is_fault: true,
    })
}

/// Returns the two halves of some rows, the second one first, as a stack wants them.
pub(crate) fn halves(rows: &Rows) -> Vec<Rows> {
    let mut second = rows.clone();
    let first = second.split_to(rows.len() / 2);
    vec![second, first]
}

/// Reports rows that a rule does not evaluate.
pub(crate) fn skipped(
    progress: &RunCounters,
    rule: &RulePlan,
    rows: &Rows,
    cause: SkipCause,
    reason: &str,
) {
    progress.skipped(skipped_events(rule, &rows.events, cause, reason));
}

/// Returns what to report of events that a rule does not evaluate; there is at least one.
pub(crate) fn skipped_events(
    rule: &RulePlan,
    events: &[EventRef],
    cause: SkipCause,
    reason: &str,
) -> SkippedEvents {
    let nowhere = || EventRef {
        time: Timestamp::MIN,
        object: "".into(),
        row: 0,
    };
    SkippedEvents {
        rule: rule.index,
        rule_id: rule.rule.id.clone(),
        cause,
        reason: reason.to_owned(),
        rows: events.len() as u64,
        wakes: 0,
        first: events.iter().min().cloned().unwrap_or_else(nowhere),
        last: events.iter().max().cloned().unwrap_or_else(nowhere),
    }
}

/// Returns an error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Stores write their causes themselves.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
