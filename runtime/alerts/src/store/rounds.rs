//! Investigations: runs of enrichers, rounds of an alert, facts and assessments.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};
use yagura_core::report::{Assessment, Enriched};

use super::AlertStoreError;
use super::columns::{RowColumns, json, rank, text};
use super::rows::{AssessmentRow, FactsRow, RunRow, RunState, Word};

/// Columns of a [`RunRow`].
const RUN: &str = "alert, enricher, delay, state, due_at, attempts, error";

fn run_from(row: &AnyRow) -> Result<RunRow, AlertStoreError> {
    Ok(RunRow {
        alert: row.text("alert")?,
        enricher: row.text("enricher")?,
        delay: row.int("delay")?,
        state: row.word("state")?,
        due_at: row.time("due_at")?,
        attempts: row.int("attempts")?,
        error: row.maybe_text("error")?,
    })
}

/// Plans a run. `until` is when the enricher's next one is due, and this one not worth another try.
pub(crate) async fn plan_run(
    connection: &mut AnyConnection,
    alert: &str,
    enricher: &str,
    delay: i64,
    due_at: i64,
    until: Option<i64>,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "INSERT INTO runs (alert, enricher, delay, state, due_at, until, attempts) VALUES ($1, $2, $3, $4, $5, $6, 0)
         ON CONFLICT DO NOTHING",
    )
    .bind(alert.to_owned())
    .bind(enricher.to_owned())
    .bind(delay)
    .bind(RunState::Waiting.word())
    .bind(due_at)
    .bind(until)
    .execute(connection)
    .await?;
    Ok(())
}

/// Plans a round: `waiting` for runs, or `ready` for reviewers.
pub(crate) async fn plan_round(
    connection: &mut AnyConnection,
    alert: &str,
    delay: i64,
    is_ready: bool,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "INSERT INTO rounds (alert, delay, state, changed) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING",
    )
    .bind(alert.to_owned())
    .bind(delay)
    .bind(if is_ready { "ready" } else { "waiting" })
    .execute(connection)
    .await?;
    Ok(())
}

/// Drops the runs that are due for an alert that was withdrawn.
pub(crate) async fn drop_plans(
    connection: &mut AnyConnection,
    alert: &str,
) -> Result<(), AlertStoreError> {
    for statement in [
        "DELETE FROM runs WHERE alert = $1 AND state IN ('waiting', 'running')",
        "DELETE FROM rounds WHERE alert = $1 AND state <> 'done'",
    ] {
        sqlx::query(statement)
            .bind(alert.to_owned())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Takes the next run that is due, with the moment until which it may be tried.
pub(crate) async fn claim_run(
    connection: &mut AnyConnection,
    now: i64,
) -> Result<Option<(RunRow, Option<i64>)>, AlertStoreError> {
    let statement = format!(
        "UPDATE runs SET state = 'running', attempts = attempts + 1 WHERE (alert, enricher, delay) IN (
            SELECT alert, enricher, delay FROM runs WHERE state = 'waiting' AND due_at <= $1
            ORDER BY due_at, alert, enricher LIMIT 1)
         RETURNING {RUN}, until"
    );
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(now)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((run_from(&row)?, row.maybe_int("until")?)))
        .transpose()
}

/// Takes the next round that waits for reviewers; one of an alert at a time, in order.
pub(crate) async fn claim_round(
    connection: &mut AnyConnection,
) -> Result<Option<(String, i64)>, AlertStoreError> {
    let row = sqlx::query(
        "UPDATE rounds SET state = 'reviewing' WHERE (alert, delay) IN (
            SELECT alert, delay FROM rounds r WHERE state = 'ready' AND NOT EXISTS (
                SELECT 1 FROM rounds o WHERE o.alert = r.alert AND o.state = 'reviewing')
            ORDER BY delay, alert LIMIT 1)
         RETURNING alert, delay",
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.text("alert")?, row.int("delay")?)))
        .transpose()
}

/// Records how a run ended, and makes its round ready where it was the last. Returns nothing where the alert was taken
/// back meanwhile.
pub(crate) async fn end_run(
    connection: &mut AnyConnection,
    run: &RunRow,
    state: RunState,
    error: Option<&str>,
) -> Result<Option<()>, AlertStoreError> {
    let done = sqlx::query(
        "UPDATE runs SET state = $4, error = $5 WHERE alert = $1 AND enricher = $2 AND delay = $3",
    )
    .bind(run.alert.clone())
    .bind(run.enricher.clone())
    .bind(run.delay)
    .bind(state.word())
    .bind(error.map(text))
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    sqlx::query(
        "UPDATE rounds SET state = 'ready' WHERE alert = $1 AND delay = $2 AND state = 'waiting' AND NOT EXISTS (
            SELECT 1 FROM runs WHERE alert = $1 AND delay = $2 AND state IN ('waiting', 'running'))",
    )
    .bind(run.alert.clone())
    .bind(run.delay)
    .execute(connection)
    .await?;
    Ok(Some(()))
}

/// Records that a run is tried again.
pub(crate) async fn run_again(
    connection: &mut AnyConnection,
    run: &RunRow,
    due_at: i64,
    error: &str,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "UPDATE runs SET state = 'waiting', due_at = $4, error = $5 WHERE alert = $1 AND enricher = $2 AND delay = $3",
    )
    .bind(run.alert.clone())
    .bind(run.enricher.clone())
    .bind(run.delay)
    .bind(due_at)
    .bind(text(error))
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks a round as one that found something new.
pub(crate) async fn mark_changed(
    connection: &mut AnyConnection,
    alert: &str,
    delay: i64,
) -> Result<(), AlertStoreError> {
    sqlx::query("UPDATE rounds SET changed = 1 WHERE alert = $1 AND delay = $2")
        .bind(alert.to_owned())
        .bind(delay)
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a round. Returns whether it found something new and whether it was the alert's first, or nothing where the alert
/// was withdrawn meanwhile.
pub(crate) async fn end_round(
    connection: &mut AnyConnection,
    alert: &str,
    delay: i64,
) -> Result<Option<(bool, bool)>, AlertStoreError> {
    let done = sqlx::query("SELECT COUNT(*) AS n FROM rounds WHERE alert = $1 AND state = 'done'")
        .bind(alert.to_owned())
        .fetch_one(&mut *connection)
        .await?;
    let row = sqlx::query(
        "UPDATE rounds SET state = 'done' WHERE alert = $1 AND delay = $2 RETURNING changed",
    )
    .bind(alert.to_owned())
    .bind(delay)
    .fetch_optional(connection)
    .await?;
    let is_first = done.int("n")? == 0;
    row.map(|row| Ok((row.int("changed")? != 0, is_first)))
        .transpose()
}

/// Makes due again what a process that died was doing.
pub(crate) async fn recover(connection: &mut AnyConnection) -> Result<(), AlertStoreError> {
    for statement in [
        "UPDATE runs SET state = 'waiting' WHERE state = 'running'",
        "UPDATE rounds SET state = 'ready' WHERE state = 'reviewing'",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns when the next run is due.
pub(crate) async fn next_due(
    connection: &mut AnyConnection,
) -> Result<Option<i64>, AlertStoreError> {
    let row = sqlx::query("SELECT MIN(due_at) AS due_at FROM runs WHERE state = 'waiting'")
        .fetch_one(connection)
        .await?;
    row.maybe_int("due_at")
}

/// Says whether there is a run or a round to be done.
pub(crate) async fn is_due(
    connection: &mut AnyConnection,
    now: i64,
) -> Result<bool, AlertStoreError> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM rounds WHERE state = 'ready' LIMIT 1) AS ready)
            + (SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE state = 'waiting' AND due_at <= $1 LIMIT 1) AS due) AS n",
    )
    .bind(now)
    .fetch_one(connection)
    .await?;
    Ok(row.int("n")? > 0)
}

/// Replaces what an enricher found about an alert. Returns whether that is something else than before.
pub(crate) async fn set_facts(
    connection: &mut AnyConnection,
    alert: &str,
    enricher: &str,
    found: Option<&Enriched>,
    error: Option<&str>,
    now: i64,
) -> Result<bool, AlertStoreError> {
    let before = facts_of(&mut *connection, alert)
        .await?
        .into_iter()
        .find(|facts| facts.enricher == enricher);
    // A failure does not wipe out what was known before.
    let old = before.as_ref().map(|facts| facts.found.clone());
    let found = found.cloned().or(old).unwrap_or_default();
    if before.is_some_and(|facts| facts.found == found && facts.error.as_deref() == error) {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO facts (alert, enricher, body, error, changed_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (alert, enricher) DO UPDATE SET body = excluded.body, error = excluded.error,
            changed_at = excluded.changed_at",
    )
    .bind(alert.to_owned())
    .bind(enricher.to_owned())
    .bind(json(&found)?)
    .bind(error.map(text))
    .bind(now)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Returns what is known about an alert, by enricher.
pub(crate) async fn facts_of(
    connection: &mut AnyConnection,
    alert: &str,
) -> Result<Vec<FactsRow>, AlertStoreError> {
    let rows = sqlx::query(
        "SELECT alert, enricher, body, error FROM facts WHERE alert = $1 ORDER BY enricher",
    )
    .bind(alert.to_owned())
    .fetch_all(connection)
    .await?;
    rows.iter().map(facts_from).collect()
}

/// Returns what is known about an incident's alerts, in their order.
pub(crate) async fn facts_of_incident(
    connection: &mut AnyConnection,
    incident: &str,
) -> Result<Vec<FactsRow>, AlertStoreError> {
    let rows = sqlx::query(
        "SELECT f.alert AS alert, f.enricher AS enricher, f.body AS body, f.error AS error
         FROM alerts a JOIN facts f ON f.alert = a.id WHERE a.incident = $1 ORDER BY a.seq, f.enricher",
    )
    .bind(incident.to_owned())
    .fetch_all(connection)
    .await?;
    rows.iter().map(facts_from).collect()
}

fn facts_from(row: &AnyRow) -> Result<FactsRow, AlertStoreError> {
    Ok(FactsRow {
        alert: row.text("alert")?,
        enricher: row.text("enricher")?,
        found: row.json("body")?,
        error: row.maybe_text("error")?,
    })
}

/// Replaces what reviewers think of an alert, in their order. Returns whether that is something else than before.
pub(crate) async fn set_assessments(
    connection: &mut AnyConnection,
    alert: &str,
    assessments: &[(String, Assessment)],
    now: i64,
) -> Result<bool, AlertStoreError> {
    let before: Vec<_> = assessments_of(&mut *connection, alert)
        .await?
        .into_iter()
        .map(|row| (row.reviewer, row.assessment))
        .collect();
    if before == assessments {
        return Ok(false);
    }
    sqlx::query("DELETE FROM assessments WHERE alert = $1")
        .bind(alert.to_owned())
        .execute(&mut *connection)
        .await?;
    for ((reviewer, assessment), position) in assessments.iter().zip(0i64..) {
        sqlx::query(
            "INSERT INTO assessments (alert, reviewer, position, severity, verdict, reason, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(alert.to_owned())
        .bind(reviewer.clone())
        .bind(position)
        .bind(rank(assessment.severity))
        .bind(assessment.verdict.word())
        .bind(text(&assessment.reason))
        .bind(now)
        .execute(&mut *connection)
        .await?;
    }
    Ok(true)
}

/// Returns what reviewers think of an alert, in their order.
pub(crate) async fn assessments_of(
    connection: &mut AnyConnection,
    alert: &str,
) -> Result<Vec<AssessmentRow>, AlertStoreError> {
    let rows = sqlx::query(
        "SELECT alert, reviewer, severity, verdict, reason FROM assessments WHERE alert = $1 ORDER BY position",
    )
    .bind(alert.to_owned())
    .fetch_all(connection)
    .await?;
    rows.iter().map(assessment_from).collect()
}

/// Returns what reviewers think of an incident's alerts, in their order.
pub(crate) async fn assessments_of_incident(
    connection: &mut AnyConnection,
    incident: &str,
) -> Result<Vec<AssessmentRow>, AlertStoreError> {
    let rows = sqlx::query(
        "SELECT o.alert AS alert, o.reviewer AS reviewer, o.severity AS severity, o.verdict AS verdict, o.reason AS reason
         FROM alerts a JOIN assessments o ON o.alert = a.id WHERE a.incident = $1 ORDER BY a.seq, o.position",
    )
    .bind(incident.to_owned())
    .fetch_all(connection)
    .await?;
    rows.iter().map(assessment_from).collect()
}

fn assessment_from(row: &AnyRow) -> Result<AssessmentRow, AlertStoreError> {
    Ok(AssessmentRow {
        alert: row.text("alert")?,
        reviewer: row.text("reviewer")?,
        assessment: Assessment {
            severity: row.severity("severity")?,
            verdict: row.word("verdict")?,
            reason: row.text("reason")?,
        },
    })
}

/// Returns the runs of an incident's alerts.
pub(crate) async fn runs_of_incident(
    connection: &mut AnyConnection,
    incident: &str,
) -> Result<Vec<RunRow>, AlertStoreError> {
    let rows = sqlx::query(
        "SELECT r.alert AS alert, r.enricher AS enricher, r.delay AS delay, r.state AS state, r.due_at AS due_at,
            r.attempts AS attempts, r.error AS error
         FROM alerts a JOIN runs r ON r.alert = a.id WHERE a.incident = $1 ORDER BY a.seq, r.delay, r.enricher",
    )
    .bind(incident.to_owned())
    .fetch_all(connection)
    .await?;
    rows.iter().map(run_from).collect()
}
