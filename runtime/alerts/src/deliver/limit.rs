//! A notifier's limit: new incidents are reported one by one up to it, and all above it in one summary.

use sqlx::AnyConnection;
use yagura_core::report::{IncidentStatus, Verdict};
use yagura_core::{Severity, Timestamp};

use crate::policy::Rate;
use crate::store::rows::{DeliveryRow, IncidentKind, IncidentRow};
use crate::store::{AlertStoreError, deliveries, incidents};
use crate::triage::group::incident_id;

/// Decides whether an incident is reported by itself. Otherwise it is a part of the notifier's summary from now on.
///
/// A summary takes incidents for as long as the limit's time; then the next one is opened. So the notifier gets at most one
/// report above the limit in that time. Later changes go where the incident was reported first.
pub(super) async fn lets_in(
    connection: &mut AnyConnection,
    row: &DeliveryRow,
    limit: Option<Rate>,
    now: i64,
) -> Result<bool, AlertStoreError> {
    let Some(limit) = limit.filter(|_| row.sent_revision == 0 && row.admitted_at.is_none()) else {
        return Ok(true);
    };
    let incident = incidents::get(&mut *connection, &row.incident).await?;
    if incident.kind == IncidentKind::Summary {
        return Ok(true);
    }
    // Counted in the store, so that the limit holds across restarts and for all processes; `governor` counts in memory, by its own
    // clock.
    let since = now.saturating_sub(limit.per);
    let count = deliveries::admitted_since(&mut *connection, &row.notifier, since).await?;
    if count < i64::from(limit.count) {
        deliveries::admit(connection, row, now).await?;
        return Ok(true);
    }
    let latest = deliveries::latest_summary(&mut *connection, &row.notifier).await?;
    let summary = match latest {
        Some((id, opened_at)) if opened_at > since => id,
        _ => open(&mut *connection, row, &incident, now).await?,
    };
    deliveries::summarise(&mut *connection, row, &summary).await?;
    let what = format!("reported in the summary {summary}: more new incidents than its limit");
    incidents::note(&mut *connection, &row.incident, now, &row.notifier, &what).await?;
    incidents::bump_summary(connection, &summary, now).await?;
    Ok(false)
}

async fn open(
    connection: &mut AnyConnection,
    row: &DeliveryRow,
    first: &IncidentRow,
    now: i64,
) -> Result<String, AlertStoreError> {
    let at = Timestamp::clamped(now);
    let summary = IncidentRow {
        id: incident_id(&["summary", &row.notifier, &first.id]),
        seq: first.seq,
        kind: IncidentKind::Summary,
        rule: None,
        notifier: Some(row.notifier.clone()),
        title: "more new incidents than are reported one by one".to_owned(),
        severity: Severity::Info,
        verdict: Verdict::Undecided,
        status: IncidentStatus::Open,
        assignee: None,
        first_time: first.first_time,
        last_time: first.last_time,
        alerts: 0,
        live: 0,
        // Counted up as the first incident comes in.
        revision: 0,
        closed_by: None,
        closed_reason: None,
        opened_at: at,
        changed_at: at,
    };
    incidents::put(&mut *connection, &summary).await?;
    let notifier = std::slice::from_ref(&row.notifier);
    deliveries::add(&mut *connection, &summary.id, notifier, 1, now).await?;
    incidents::note(
        connection,
        &summary.id,
        now,
        &row.notifier,
        "summary opened",
    )
    .await?;
    Ok(summary.id)
}
