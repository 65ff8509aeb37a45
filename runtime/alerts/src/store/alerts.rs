//! Alerts in the store.

use futures::TryStreamExt;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};
use yagura_core::Alert;
use yagura_core::alert::Observable;

use super::AlertStoreError;
use super::columns::{RowColumns, indexed, insert_texts, int, json, rank, severity_of, text};
use super::rows::{AlertRow, Outcome, Word};
use yagura_core::report::AlertState;

/// Columns of an [`AlertRow`].
pub(crate) const COLUMNS: &str = "seq, state, outcome, why, silencer, incident, reason, replaced_by, assessed, verdict, body, created_at, changed_at";

pub(crate) fn from_row(row: &AnyRow) -> Result<AlertRow, AlertStoreError> {
    Ok(AlertRow {
        seq: row.int("seq")?,
        state: row.word("state")?,
        outcome: row.word("outcome")?,
        why: row.maybe_text("why")?,
        silencer: row.maybe_text("silencer")?,
        incident: row.maybe_text("incident")?,
        reason: row.maybe_text("reason")?,
        replaced_by: row.maybe_text("replaced_by")?,
        assessed: row.maybe_int("assessed")?.map(severity_of),
        verdict: row.maybe_word("verdict")?,
        alert: row.json("body")?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
    })
}

pub(crate) async fn find(
    connection: &mut AnyConnection,
    id: &str,
) -> Result<Option<AlertRow>, AlertStoreError> {
    let statement = format!("SELECT {COLUMNS} FROM alerts WHERE id = $1");
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(id.to_owned())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Writes an alert as it is now, new or not. The caller decides its flags.
pub(crate) async fn put(
    connection: &mut AnyConnection,
    row: &AlertRow,
    changed_seq: i64,
    is_inhibitor: bool,
) -> Result<(), AlertStoreError> {
    let alert = &row.alert;
    sqlx::query(
        "INSERT INTO alerts (id, seq, changed_seq, state, rule, severity, subject, first_time, last_time, findings, outcome,
            why, silencer, incident, opens, inhibits, reason, replaced_by, assessed, verdict, body, created_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, $15, $16, $17, $18, $19, $20, $21, $22)
         ON CONFLICT (id) DO UPDATE SET changed_seq = excluded.changed_seq, state = excluded.state,
            severity = excluded.severity, subject = excluded.subject, first_time = excluded.first_time,
            last_time = excluded.last_time, findings = excluded.findings, outcome = excluded.outcome, why = excluded.why,
            silencer = excluded.silencer, incident = excluded.incident, inhibits = excluded.inhibits,
            reason = excluded.reason, replaced_by = excluded.replaced_by, assessed = excluded.assessed,
            verdict = excluded.verdict, body = excluded.body, changed_at = excluded.changed_at",
    )
    .bind(alert.id.clone())
    .bind(row.seq)
    .bind(changed_seq)
    .bind(row.state.word())
    .bind(text(&alert.rule))
    .bind(rank(alert.severity))
    .bind(text(&alert.key))
    .bind(alert.first_time.micros())
    .bind(alert.last_time.micros())
    .bind(int(alert.count))
    .bind(row.outcome.word())
    .bind(row.why.as_deref().map(text))
    .bind(row.silencer.clone())
    .bind(row.incident.clone())
    .bind(i64::from(is_inhibitor))
    .bind(row.reason.as_deref().map(text))
    .bind(row.replaced_by.clone())
    .bind(row.assessed.map(rank))
    .bind(row.verdict.map(Word::word))
    .bind(json(alert)?)
    .bind(row.created_at.micros())
    .bind(row.changed_at.micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks an alert as one that opened an incident, or would have but for its rule's flood.
pub(crate) async fn set_opens(
    connection: &mut AnyConnection,
    id: &str,
) -> Result<(), AlertStoreError> {
    sqlx::query("UPDATE alerts SET opens = 1 WHERE id = $1")
        .bind(id.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// Records what reviewers take an alert for.
pub(crate) async fn evaluate(
    connection: &mut AnyConnection,
    row: &AlertRow,
) -> Result<(), AlertStoreError> {
    sqlx::query("UPDATE alerts SET assessed = $2, verdict = $3 WHERE id = $1")
        .bind(row.alert.id.clone())
        .bind(row.assessed.map(rank))
        .bind(row.verdict.map(Word::word))
        .execute(connection)
        .await?;
    Ok(())
}

/// Replaces what an alert can be found by.
pub(crate) async fn set_observables(
    connection: &mut AnyConnection,
    alert: &Alert,
    old: &[Observable],
) -> Result<(), AlertStoreError> {
    for gone in old.iter().filter(|one| !alert.observables.contains(one)) {
        sqlx::query("DELETE FROM alert_observables WHERE kind = $1 AND value = $2 AND alert = $3")
            .bind(indexed(&gone.kind))
            .bind(indexed(&gone.value))
            .bind(alert.id.clone())
            .execute(&mut *connection)
            .await?;
    }
    let new: Vec<[String; 3]> = alert
        .observables
        .iter()
        .filter(|one| !old.contains(one))
        .map(|one| [indexed(&one.kind), indexed(&one.value), alert.id.clone()])
        .collect();
    insert_texts(
        connection,
        "INSERT INTO alert_observables (kind, value, alert)",
        "ON CONFLICT DO NOTHING",
        &new,
    )
    .await
}

/// Returns the alerts whose first finding this one holds now, in the order in which they came.
pub(crate) async fn replaced_by(
    connection: &mut AnyConnection,
    id: &str,
) -> Result<Vec<AlertRow>, AlertStoreError> {
    let statement = format!("SELECT {COLUMNS} FROM alerts WHERE replaced_by = $1 ORDER BY seq");
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(id.to_owned())
        .fetch_all(connection)
        .await?;
    rows.iter().map(from_row).collect()
}

/// Returns the alerts that another one silences, in the order in which they came.
pub(crate) async fn silenced_by(
    connection: &mut AnyConnection,
    id: &str,
) -> Result<Vec<AlertRow>, AlertStoreError> {
    let statement =
        format!("SELECT {COLUMNS} FROM alerts WHERE silencer = $1 AND outcome = $2 ORDER BY seq");
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(id.to_owned())
        .bind(Outcome::Inhibited.word())
        .fetch_all(connection)
        .await?;
    rows.iter().map(from_row).collect()
}

/// Returns how many alerts of a rule opened incidents, or would have, in an open range of event time; at most `most`.
pub(crate) async fn openings(
    connection: &mut AnyConnection,
    rule: &str,
    after: i64,
    before: i64,
    most: u32,
) -> Result<i64, AlertStoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS n FROM (SELECT 1 FROM alerts
            WHERE rule = $1 AND opens = 1 AND first_time > $2 AND first_time < $3 LIMIT $4) AS opened",
    )
    .bind(text(rule))
    .bind(after)
    .bind(before)
    .bind(i64::from(most))
    .fetch_one(connection)
    .await?;
    row.int("n")
}

/// Where more severe alerts are looked for.
pub(crate) enum Sharing<'a> {
    /// Those with this observable.
    Observable(&'a Observable),
    /// Those with this key.
    Key(&'a str),
    /// All.
    Nothing,
}

/// Returns the first alert that was reported, still holds, may silence others, overlaps a range of event time, and that
/// `fits`.
pub(crate) async fn first_inhibitor(
    connection: &mut AnyConnection,
    sharing: &Sharing<'_>,
    from: i64,
    to: i64,
    fits: impl Fn(&Alert) -> bool,
) -> Result<Option<AlertRow>, AlertStoreError> {
    let mut statement = format!("SELECT {COLUMNS} FROM alerts");
    match sharing {
        Sharing::Observable(_) => statement.push_str(
            " WHERE id IN (SELECT alert FROM alert_observables WHERE kind = $5 AND value = $6) AND",
        ),
        Sharing::Key(_) => statement.push_str(" WHERE subject = $5 AND"),
        Sharing::Nothing => statement.push_str(" WHERE"),
    }
    statement.push_str(
        " inhibits = 1 AND outcome = $1 AND state <> $2 AND last_time >= $3 AND first_time <= $4 ORDER BY seq",
    );
    let mut query = sqlx::query(AssertSqlSafe(statement))
        .bind(Outcome::Reported.word())
        .bind(AlertState::Withdrawn.word())
        .bind(from)
        .bind(to);
    match sharing {
        Sharing::Observable(one) => {
            query = query.bind(indexed(&one.kind)).bind(indexed(&one.value));
        }
        Sharing::Key(key) => query = query.bind(text(key)),
        Sharing::Nothing => {}
    }
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let row = from_row(&row)?;
        if fits(&row.alert) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}
