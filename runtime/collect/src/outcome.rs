//! What came of objects: for the ledger, and for the operator.

use yagura_lake::{CopyError, IngestReport};

use crate::ledger::Counted;

/// Says whether a store refuses one object, and may give the others.
pub(crate) fn is_of_the_object(error: &CopyError) -> bool {
    use object_store::Error;
    match error {
        CopyError::Fetch { source, .. } => {
            matches!(
                source,
                Error::PermissionDenied { .. }
                    | Error::Precondition { .. }
                    | Error::InvalidPath { .. }
            ) || is_denied(source)
        }
        CopyError::Keep { .. } => false,
    }
}

/// Says whether the system denies the reading of a file.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let own = error.downcast_ref::<std::io::Error>();
    own.is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        || error.source().is_some_and(is_denied)
}

/// Returns what of an object was not read, although it could be opened.
pub(crate) fn not_whole(
    report: &IngestReport,
    is_of_object: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let mut torn = report.incomplete.iter();
    let torn = torn
        .find(|(file, _)| is_of_object(file))
        .map(|(file, line)| format!("{file}, line {line}: the last event is not complete"));
    let mut behind = report.trailing.iter();
    torn.or_else(|| {
        let (file, bytes) = behind.find(|(file, _)| is_of_object(file))?;
        Some(format!(
            "{file}: {bytes} bytes behind the compressed data were not read"
        ))
    })
}

pub(crate) fn counted(report: &IngestReport) -> Counted {
    let counts = &report.counts;
    Counted {
        events: report.events,
        repeated: counts.repeated,
        delays: counts.delays.clone(),
        rejected: report.rejected,
        without_time: counts.without_time.count,
        of_no_class: counts.classes.get("").copied().unwrap_or_default(),
        unfit: counts.unfit.values().map(|tally| tally.count).sum(),
        replaced: report.replaced.len() as u64,
    }
}

/// Returns what an operator should know of an ingest.
pub(crate) fn messages(report: &IngestReport) -> Vec<String> {
    let mut messages: Vec<String> = report.failed.iter().map(ToString::to_string).collect();
    messages.extend(report.counts.bad_lines.iter().cloned());
    let torn = report.incomplete.iter();
    messages.extend(
        torn.map(|(file, line)| format!("{file}, line {line}: the last event is not complete")),
    );
    let behind = report.trailing.iter();
    messages.extend(behind.map(|(file, bytes)| {
        format!("{file}: {bytes} bytes behind the compressed data were not read")
    }));
    for (tally, what) in [
        (
            &report.counts.in_future,
            "events are more than a day in the future",
        ),
        (&report.counts.before_1990, "events are before 1990"),
        (
            &report.counts.not_utf8,
            "events have bytes that are not UTF-8, which were replaced",
        ),
        (
            &report.counts.duplicate_keys,
            "events have a key more than once",
        ),
    ] {
        if let Some(first) = &tally.first {
            messages.push(format!("{} {what}; the first: {first}", tally.count));
        }
    }
    if let Some(first) = &report.counts.without_event.first {
        messages.push(format!(
            "{} lines hold no event, as the plugin reports; the first: {first}",
            report.counts.without_event.count
        ));
    }
    let replaced = report.replaced.iter();
    messages.extend(replaced.map(|name| {
        format!("{name} was rewritten: the rows of its earlier content left the table")
    }));
    let kept = report.kept_for_others.iter();
    messages.extend(kept.map(|name| {
        format!("{name} was rewritten: rows of its earlier content stay, because another object has the same content")
    }));
    let passed = report.passed_over.iter();
    messages.extend(passed.map(|(name, why)| format!("{name} was passed over: {why}")));
    if let Some(events) = report.counts.classes.get("") {
        messages.push(format!("{events} events are of no class of the source"));
    }
    for (column, tally) in &report.counts.unfit {
        if let Some(first) = &tally.first {
            messages.push(format!(
                "{} values do not fit `{column}`; the first: {first}",
                tally.count
            ));
        }
    }
    if let Some(first) = &report.counts.without_time.first {
        messages.push(format!(
            "{} events have no readable time, and rules leave them out; the first: {first}",
            report.counts.without_time.count
        ));
    }
    messages
}
