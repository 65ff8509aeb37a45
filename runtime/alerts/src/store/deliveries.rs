//! Deliveries: which revision of an incident is due to which notifier, and which was sent last.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::AlertStoreError;
use super::columns::{RowColumns, text};
use super::rows::{DeliveryRow, DeliveryState, Word};

/// Columns of a [`DeliveryRow`].
pub(crate) const COLUMNS: &str = "incident, notifier, state, due_revision, sent_revision, receipt, attempts, due_at, failing_since, uncertain, error, summary, admitted_at, sent_at";

pub(crate) fn from_row(row: &AnyRow) -> Result<DeliveryRow, AlertStoreError> {
    Ok(DeliveryRow {
        incident: row.text("incident")?,
        notifier: row.text("notifier")?,
        state: row.word("state")?,
        due_revision: row.int("due_revision")?,
        sent_revision: row.int("sent_revision")?,
        receipt: row.maybe_text("receipt")?,
        attempts: row.int("attempts")?,
        due_at: row.time("due_at")?,
        failing_since: row.maybe_time("failing_since")?,
        is_uncertain: row.int("uncertain")? != 0,
        error: row.maybe_text("error")?,
        summary: row.maybe_text("summary")?,
        admitted_at: row.maybe_time("admitted_at")?,
        sent_at: row.maybe_time("sent_at")?,
    })
}

pub(crate) async fn of_incident(
    connection: &mut AnyConnection,
    incident: &str,
) -> Result<Vec<DeliveryRow>, AlertStoreError> {
    let statement =
        format!("SELECT {COLUMNS} FROM deliveries WHERE incident = $1 ORDER BY notifier");
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(incident.to_owned())
        .fetch_all(connection)
        .await?;
    rows.iter().map(from_row).collect()
}

/// Name of the time, by the clock, at which the store was restored.
pub(crate) const RESTORED: &str = "restored_at";

/// Marks every delivery that is due as uncertain: the store is an older copy of one that went on, so its report may have been sent.
pub(crate) async fn doubt(connection: &mut AnyConnection) -> Result<(), AlertStoreError> {
    sqlx::query("UPDATE deliveries SET uncertain = 1 WHERE sent_revision < due_revision")
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns how many reports were given up, by notifier.
pub(crate) async fn count_dead(
    connection: &mut AnyConnection,
) -> Result<std::collections::BTreeMap<String, u64>, AlertStoreError> {
    let rows = sqlx::query(
        "SELECT notifier, COUNT(*) AS n FROM deliveries WHERE state = 'dead' GROUP BY notifier",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((row.text("notifier")?, row.count("n")?)))
        .collect()
}

/// Adds notifiers to an incident; those that it has stay as they are. Of what happened before the store was restored a report may
/// have been sent before.
pub(crate) async fn add(
    connection: &mut AnyConnection,
    incident: &str,
    notifiers: &[String],
    revision: i64,
    now: i64,
) -> Result<(), AlertStoreError> {
    for notifier in notifiers {
        sqlx::query(
            "INSERT INTO deliveries (incident, notifier, state, due_revision, sent_revision, attempts, due_at, ready_at,
                uncertain)
             VALUES ($1, $2, $3, $4, 0, 0, $5, $5, CASE WHEN EXISTS (SELECT 1 FROM meta, incidents
                WHERE meta.name = $6 AND incidents.id = $1 AND incidents.first_time <= meta.value) THEN 1 ELSE 0 END)
             ON CONFLICT DO NOTHING",
        )
        .bind(incident.to_owned())
        .bind(notifier.clone())
        .bind(DeliveryState::Due.word())
        .bind(revision)
        .bind(now)
        .bind(RESTORED)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Makes a revision of an incident due to all its notifiers, to each when its pause between reports is over. A dead letter is due
/// again, because there is something new to report.
pub(crate) async fn schedule(
    connection: &mut AnyConnection,
    incident: &str,
    revision: i64,
    now: i64,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "UPDATE deliveries SET due_revision = $2,
            due_at = CASE WHEN state IN ('idle', 'dead') THEN (CASE WHEN ready_at > $3 THEN ready_at ELSE $3 END)
                ELSE due_at END,
            failing_since = CASE WHEN state = 'dead' THEN NULL ELSE failing_since END,
            state = CASE WHEN state IN ('idle', 'dead') THEN 'due' ELSE state END
         WHERE incident = $1",
    )
    .bind(incident.to_owned())
    .bind(revision)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Cancels the deliveries of an incident to notifiers that never got a report of it: it is over, or goes on as another.
pub(crate) async fn cancel_unsent(
    connection: &mut AnyConnection,
    incident: &str,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "UPDATE deliveries SET state = 'idle', due_revision = 0
         WHERE incident = $1 AND state = 'due' AND sent_revision = 0 AND attempts = 0 AND receipt IS NULL",
    )
    .bind(incident.to_owned())
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the ids of the summaries that an incident is part of.
pub(crate) async fn summaries_of(
    connection: &mut AnyConnection,
    incident: &str,
) -> Result<Vec<String>, AlertStoreError> {
    let rows = sqlx::query(
        "SELECT summary FROM deliveries WHERE incident = $1 AND summary IS NOT NULL ORDER BY notifier",
    )
    .bind(incident.to_owned())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.text("summary")).collect()
}

/// Returns the next delivery of a notifier that is due.
pub(crate) async fn next(
    connection: &mut AnyConnection,
    notifier: &str,
    now: i64,
) -> Result<Option<DeliveryRow>, AlertStoreError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM deliveries WHERE notifier = $1 AND state = 'due' AND due_at <= $2
         ORDER BY due_at, incident LIMIT 1"
    );
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(notifier.to_owned())
        .bind(now)
        .fetch_optional(&mut *connection)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Records that an attempt begins. Nobody knows whether it arrives, until [`arrived`] or [`failed`] records it.
pub(crate) async fn begin(
    connection: &mut AnyConnection,
    row: &DeliveryRow,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "UPDATE deliveries SET state = 'sending', attempts = attempts + 1, uncertain = 1
         WHERE incident = $1 AND notifier = $2",
    )
    .bind(row.incident.clone())
    .bind(row.notifier.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that a report arrived; it is due again where a newer revision waits.
pub(crate) async fn arrived(
    connection: &mut AnyConnection,
    row: &DeliveryRow,
    revision: i64,
    receipt: &str,
    now: i64,
    ready_at: i64,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "UPDATE deliveries SET sent_revision = $3, receipt = $4, attempts = 0, uncertain = 0, error = NULL,
            failing_since = NULL, admitted_at = COALESCE(admitted_at, $5), sent_at = $5, ready_at = $6, due_at = $6,
            state = CASE WHEN due_revision > $3 THEN 'due' ELSE 'idle' END
         WHERE incident = $1 AND notifier = $2",
    )
    .bind(row.incident.clone())
    .bind(row.notifier.clone())
    .bind(revision)
    .bind(text(receipt))
    .bind(now)
    .bind(ready_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// How an attempt failed.
pub(crate) struct Failed<'a> {
    pub(crate) error: &'a str,
    pub(crate) is_uncertain: bool,
    pub(crate) failing_since: i64,
    /// When it is tried again; never, where there is none.
    pub(crate) again_at: Option<i64>,
    /// Before which no newer revision is sent either.
    pub(crate) ready_at: i64,
}

/// Records that an attempt failed.
pub(crate) async fn failed(
    connection: &mut AnyConnection,
    row: &DeliveryRow,
    failed: &Failed<'_>,
) -> Result<(), AlertStoreError> {
    let state = match failed.again_at {
        Some(_) => DeliveryState::Due,
        None => DeliveryState::Dead,
    };
    sqlx::query(
        "UPDATE deliveries SET state = $3, uncertain = $4, error = $5, failing_since = $6, due_at = $7, ready_at = $8
         WHERE incident = $1 AND notifier = $2",
    )
    .bind(row.incident.clone())
    .bind(row.notifier.clone())
    .bind(state.word())
    .bind(i64::from(failed.is_uncertain))
    .bind(text(failed.error))
    .bind(failed.failing_since)
    .bind(failed.again_at.unwrap_or(failed.ready_at))
    .bind(failed.ready_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns when the next delivery of a notifier is due.
pub(crate) async fn next_due(
    connection: &mut AnyConnection,
    notifier: &str,
) -> Result<Option<i64>, AlertStoreError> {
    let row = sqlx::query(
        "SELECT MIN(due_at) AS due_at FROM deliveries WHERE notifier = $1 AND state = 'due'",
    )
    .bind(notifier.to_owned())
    .fetch_one(connection)
    .await?;
    row.maybe_int("due_at")
}

/// Makes due again what a process that died was sending. It may have arrived.
pub(crate) async fn recover(
    connection: &mut AnyConnection,
    now: i64,
) -> Result<u64, AlertStoreError> {
    let done = sqlx::query(
        "UPDATE deliveries SET state = 'due', uncertain = 1, due_at = $1 WHERE state = 'sending'",
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Returns how many new incidents were reported to a notifier one by one since a moment.
pub(crate) async fn admitted_since(
    connection: &mut AnyConnection,
    notifier: &str,
    since: i64,
) -> Result<i64, AlertStoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS n FROM deliveries WHERE notifier = $1 AND admitted_at > $2",
    )
    .bind(notifier.to_owned())
    .bind(since)
    .fetch_one(connection)
    .await?;
    row.int("n")
}

/// Marks a delivery as one of an incident that is reported by itself: it counts towards the notifier's limit from now on.
pub(crate) async fn admit(
    connection: &mut AnyConnection,
    row: &DeliveryRow,
    now: i64,
) -> Result<(), AlertStoreError> {
    sqlx::query("UPDATE deliveries SET admitted_at = $3 WHERE incident = $1 AND notifier = $2")
        .bind(row.incident.clone())
        .bind(row.notifier.clone())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes an incident a part of a summary, which is reported in its place.
pub(crate) async fn summarise(
    connection: &mut AnyConnection,
    row: &DeliveryRow,
    summary: &str,
) -> Result<(), AlertStoreError> {
    sqlx::query(
        "UPDATE deliveries SET state = 'summarised', summary = $3 WHERE incident = $1 AND notifier = $2",
    )
    .bind(row.incident.clone())
    .bind(row.notifier.clone())
    .bind(summary.to_owned())
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the id and the opening of a notifier's latest summary.
pub(crate) async fn latest_summary(
    connection: &mut AnyConnection,
    notifier: &str,
) -> Result<Option<(String, i64)>, AlertStoreError> {
    let row = sqlx::query(
        "SELECT id, opened_at FROM incidents WHERE notifier = $1 AND status <> 'closed' ORDER BY opened_at DESC LIMIT 1",
    )
    .bind(notifier.to_owned())
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.text("id")?, row.int("opened_at")?)))
        .transpose()
}

/// Returns the dead letters, oldest first.
pub(crate) async fn dead(
    connection: &mut AnyConnection,
) -> Result<Vec<DeliveryRow>, AlertStoreError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM deliveries WHERE state = 'dead' ORDER BY failing_since, incident, notifier"
    );
    let rows = sqlx::query(AssertSqlSafe(statement))
        .fetch_all(connection)
        .await?;
    rows.iter().map(from_row).collect()
}

/// Makes dead letters due at once: of an incident, of a notifier, or all; returns how many.
pub(crate) async fn resend(
    connection: &mut AnyConnection,
    incident: Option<&str>,
    notifier: Option<&str>,
    now: i64,
) -> Result<u64, AlertStoreError> {
    let done = sqlx::query(
        "UPDATE deliveries SET state = 'due', due_at = $3, ready_at = $3, failing_since = NULL, attempts = 0
         WHERE state = 'dead' AND ($1 = '' OR incident = $1) AND ($2 = '' OR notifier = $2)",
    )
    .bind(incident.unwrap_or_default().to_owned())
    .bind(notifier.unwrap_or_default().to_owned())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Makes dead letters of what is due to notifiers that the policy does not name any more.
pub(crate) async fn bury_unknown(
    connection: &mut AnyConnection,
    known: &[&str],
) -> Result<(), AlertStoreError> {
    let rows = sqlx::query("SELECT DISTINCT notifier FROM deliveries WHERE state = 'due'")
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        let name = row.text("notifier")?;
        if !known.contains(&name.as_str()) {
            sqlx::query("UPDATE deliveries SET state = 'dead', error = $2 WHERE notifier = $1 AND state = 'due'")
                .bind(name)
                .bind("the policy does not name this notifier any more")
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}
