//! Incidents in the store.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};
use yagura_core::alert::Observable;
use yagura_core::report::{AlertState, IncidentStatus, Verdict};

use super::AlertStoreError;
use super::columns::{RowColumns, indexed, int, rank, text};
use super::deliveries;
use super::rows::{AlertRow, IncidentKind, IncidentRow, Word};

/// Columns of an [`IncidentRow`].
pub(crate) const COLUMNS: &str = "id, seq, kind, rule, notifier, title, severity, verdict, status, assignee, first_time, last_time, alerts, live, revision, closed_by, closed_reason, opened_at, changed_at";

/// Who closes incidents whose alerts were withdrawn.
pub(crate) const TRIAGE: &str = "yagura";

pub(crate) fn from_row(row: &AnyRow) -> Result<IncidentRow, AlertStoreError> {
    Ok(IncidentRow {
        id: row.text("id")?,
        seq: row.int("seq")?,
        kind: row.word("kind")?,
        rule: row.maybe_text("rule")?,
        notifier: row.maybe_text("notifier")?,
        title: row.text("title")?,
        severity: row.severity("severity")?,
        verdict: row.word("verdict")?,
        status: row.word("status")?,
        assignee: row.maybe_text("assignee")?,
        first_time: row.time("first_time")?,
        last_time: row.time("last_time")?,
        alerts: row.count("alerts")?,
        live: row.count("live")?,
        revision: row.int("revision")?,
        closed_by: row.maybe_text("closed_by")?,
        closed_reason: row.maybe_text("closed_reason")?,
        opened_at: row.time("opened_at")?,
        changed_at: row.time("changed_at")?,
    })
}

pub(crate) async fn find(
    connection: &mut AnyConnection,
    id: &str,
) -> Result<Option<IncidentRow>, AlertStoreError> {
    let statement = format!("SELECT {COLUMNS} FROM incidents WHERE id = $1");
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(id.to_owned())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Returns an incident that something refers to.
pub(crate) async fn get(
    connection: &mut AnyConnection,
    id: &str,
) -> Result<IncidentRow, AlertStoreError> {
    find(connection, id)
        .await?
        .ok_or_else(|| AlertStoreError::Damaged {
            what: format!("incident {id} is not there"),
        })
}

/// Writes an incident as it is now, new or not.
pub(crate) async fn put(
    connection: &mut AnyConnection,
    row: &IncidentRow,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "INSERT INTO incidents (id, seq, kind, rule, notifier, title, severity, verdict, status, assignee, first_time,
            last_time, alerts, live, revision, closed_by, closed_reason, opened_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
         ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, verdict = excluded.verdict,
            status = excluded.status, assignee = excluded.assignee, first_time = excluded.first_time,
            last_time = excluded.last_time, alerts = excluded.alerts, live = excluded.live,
            revision = excluded.revision, closed_by = excluded.closed_by, closed_reason = excluded.closed_reason,
            changed_at = excluded.changed_at",
    )
    .bind(row.id.clone())
    .bind(row.seq)
    .bind(row.kind.word())
    .bind(row.rule.as_deref().map(text))
    .bind(row.notifier.clone())
    .bind(text(&row.title))
    .bind(rank(row.severity))
    .bind(row.verdict.word())
    .bind(row.status.word())
    .bind(row.assignee.as_deref().map(text))
    .bind(row.first_time.micros())
    .bind(row.last_time.micros())
    .bind(int(row.alerts))
    .bind(int(row.live))
    .bind(row.revision)
    .bind(row.closed_by.as_deref().map(text))
    .bind(row.closed_reason.as_deref().map(text))
    .bind(row.opened_at.micros())
    .bind(row.changed_at.micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes an incident that changed, with the next revision, and lets its notifiers know.
pub(crate) async fn change(
    connection: &mut AnyConnection,
    row: &mut IncidentRow,
    now: i64,
) -> Result<(), AlertStoreError> {
    row.revision += 1;
    row.changed_at = yagura_core::Timestamp::clamped(now);
    put(&mut *connection, row).await?;
    deliveries::schedule(&mut *connection, &row.id, row.revision, now).await?;
    for summary in deliveries::summaries_of(&mut *connection, &row.id).await? {
        bump_summary(&mut *connection, &summary, now).await?;
    }
    Ok(())
}

/// Counts a summary up, because an incident of it changed. It is as severe as the most severe of them.
pub(crate) async fn bump_summary(
    connection: &mut AnyConnection,
    summary: &str,
    now: i64,
) -> Result<(), AlertStoreError> {
    let mut row = get(&mut *connection, summary).await?;
    let all = sqlx::query(
        "SELECT COUNT(*) AS n, SUM(CASE WHEN i.status <> $2 THEN 1 ELSE 0 END) AS live, MAX(i.severity) AS severity,
            MIN(i.first_time) AS first_time, MAX(i.last_time) AS last_time
         FROM deliveries d JOIN incidents i ON i.id = d.incident WHERE d.summary = $1",
    )
    .bind(summary.to_owned())
    .bind(IncidentStatus::Closed.word())
    .fetch_one(&mut *connection)
    .await?;
    row.alerts = all.count("n")?;
    row.live = all
        .maybe_int("live")?
        .map_or(0, |live| u64::try_from(live).unwrap_or(0));
    if row.alerts > 0 {
        row.severity = all.severity("severity")?;
        row.first_time = all.time("first_time")?;
        row.last_time = all.time("last_time")?;
    }
    let is_by_triage = row.closed_by.as_deref() == Some(TRIAGE);
    if row.live == 0 && row.status != IncidentStatus::Closed {
        close(&mut row, TRIAGE, "all its incidents are closed");
    } else if row.live > 0 && row.status == IncidentStatus::Closed && is_by_triage {
        reopen(&mut row);
    }
    row.revision += 1;
    row.changed_at = yagura_core::Timestamp::clamped(now);
    put(&mut *connection, &row).await?;
    deliveries::schedule(connection, summary, row.revision, now).await
}

/// Counts an incident's alerts anew: how many, how severe, what they are taken for.
pub(crate) async fn recount(
    connection: &mut AnyConnection,
    row: &mut IncidentRow,
) -> Result<(), AlertStoreError> {
    let all = sqlx::query(
        "SELECT COUNT(*) AS n,
            SUM(CASE WHEN state <> $2 THEN 1 ELSE 0 END) AS live,
            MAX(CASE WHEN state <> $2 THEN COALESCE(assessed, severity) END) AS severity,
            MAX(CASE WHEN state <> $2 THEN
                CASE verdict WHEN 'malicious' THEN 3 WHEN 'suspicious' THEN 2 WHEN 'benign' THEN 0 ELSE 1 END
            END) AS verdict,
            MIN(first_time) AS first_time, MAX(last_time) AS last_time
         FROM alerts WHERE incident = $1",
    )
    .bind(row.id.clone())
    .bind(AlertState::Withdrawn.word())
    .fetch_one(connection)
    .await?;
    row.alerts = all.count("n")?;
    row.live = all
        .maybe_int("live")?
        .map_or(0, |live| u64::try_from(live).unwrap_or(0));
    // An incident whose alerts are all withdrawn keeps its last values: those were reported.
    if row.live > 0 {
        row.severity = all.severity("severity")?;
        row.verdict = match all.maybe_int("verdict")? {
            Some(3) => Verdict::Malicious,
            Some(2) => Verdict::Suspicious,
            Some(0) => Verdict::Benign,
            _ => Verdict::Undecided,
        };
    }
    if row.alerts > 0 {
        row.first_time = all.time("first_time")?;
        row.last_time = all.time("last_time")?;
    }
    Ok(())
}

/// Takes an alert into an incident's sums, which must not be counted anew for each of thousands.
pub(crate) fn add(row: &mut IncidentRow, alert: &AlertRow) {
    row.alerts += 1;
    row.live += 1;
    row.severity = if row.live == 1 {
        alert.severity()
    } else {
        row.severity.max(alert.severity())
    };
    if row.verdict == Verdict::Benign && alert.verdict != Some(Verdict::Benign) {
        row.verdict = Verdict::Undecided;
    }
    stretch(row, alert);
}

/// Stretches an incident over an alert's event time.
pub(crate) fn stretch(row: &mut IncidentRow, alert: &AlertRow) {
    row.first_time = row.first_time.min(alert.alert.first_time);
    row.last_time = row.last_time.max(alert.alert.last_time);
}

/// Returns the oldest incident that alerts may join, which has one of the observables and is near enough in event time.
pub(crate) async fn oldest_sharing(
    connection: &mut AnyConnection,
    observables: &[&Observable],
    first: i64,
    last: i64,
    within: i64,
    longest: i64,
) -> Result<Option<IncidentRow>, AlertStoreError> {
    let mut oldest: Option<IncidentRow> = None;
    let statement = format!(
        "SELECT {COLUMNS} FROM incidents
         WHERE id IN (SELECT incident FROM incident_observables WHERE kind = $1 AND value = $2 AND alerts > 0)
            AND kind = $3 AND status <> $4 AND first_time <= $5 AND last_time >= $6
            AND first_time >= $7 AND first_time <= $8
         ORDER BY seq LIMIT 1"
    );
    for one in observables {
        let row = sqlx::query(AssertSqlSafe(statement.clone()))
            .bind(indexed(&one.kind))
            .bind(indexed(&one.value))
            .bind(IncidentKind::Normal.word())
            .bind(IncidentStatus::Closed.word())
            .bind(last.saturating_add(within))
            .bind(first.saturating_sub(within))
            .bind(first.saturating_sub(longest))
            .bind(first.saturating_add(longest))
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(row) = row {
            let row = from_row(&row)?;
            if oldest.as_ref().is_none_or(|oldest| row.seq < oldest.seq) {
                oldest = Some(row);
            }
        }
    }
    Ok(oldest)
}

/// Returns the latest flood of a rule that is open and near enough in event time.
pub(crate) async fn flood_of(
    connection: &mut AnyConnection,
    rule: &str,
    first: i64,
    last: i64,
    per: i64,
) -> Result<Option<IncidentRow>, AlertStoreError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM incidents WHERE rule = $1 AND kind = $2 AND status <> $3
            AND first_time <= $4 AND last_time >= $5 ORDER BY seq DESC LIMIT 1"
    );
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(text(rule))
        .bind(IncidentKind::Flood.word())
        .bind(IncidentStatus::Closed.word())
        .bind(last.saturating_add(per))
        .bind(first.saturating_sub(per))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Counts observables of an alert in, so that later alerts that share one find the incident.
pub(crate) async fn add_observables(
    connection: &mut AnyConnection,
    incident: &str,
    observables: &[&Observable],
) -> Result<(), AlertStoreError> {
    for one in observables {
        sqlx::query(
            "INSERT INTO incident_observables (kind, value, incident, alerts) VALUES ($1, $2, $3, 1)
             ON CONFLICT (kind, value, incident) DO UPDATE SET alerts = incident_observables.alerts + 1",
        )
        .bind(indexed(&one.kind))
        .bind(indexed(&one.value))
        .bind(incident.to_owned())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Counts observables of an alert out.
pub(crate) async fn remove_observables(
    connection: &mut AnyConnection,
    incident: &str,
    observables: &[&Observable],
) -> Result<(), AlertStoreError> {
    for one in observables {
        sqlx::query(
            "UPDATE incident_observables SET alerts = alerts - 1 WHERE kind = $1 AND value = $2 AND incident = $3",
        )
        .bind(indexed(&one.kind))
        .bind(indexed(&one.value))
        .bind(incident.to_owned())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Writes down what was done with an incident.
pub(crate) async fn note(
    connection: &mut AnyConnection,
    incident: &str,
    now: i64,
    who: &str,
    what: &str,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "INSERT INTO history (incident, n, at, who, what)
         SELECT $1, COALESCE(MAX(n), 0) + 1, $2, $3, $4 FROM history WHERE incident = $1",
    )
    .bind(incident.to_owned())
    .bind(now)
    .bind(text(who))
    .bind(text(what))
    .execute(connection)
    .await?;
    Ok(())
}

/// Closes an incident because of its alerts.
pub(crate) fn close(row: &mut IncidentRow, by: &str, reason: &str) {
    row.status = IncidentStatus::Closed;
    row.closed_by = Some(by.to_owned());
    row.closed_reason = Some(reason.to_owned());
}

/// Opens an incident again.
pub(crate) fn reopen(row: &mut IncidentRow) {
    row.status = IncidentStatus::Open;
    row.closed_by = None;
    row.closed_reason = None;
}
