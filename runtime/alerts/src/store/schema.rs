//! The tables, and the steps that bring an older store to the newest schema version.
//!
//! The list of steps is not sqlx's `Migrator`. That one keeps a checksum and a time with each version, in columns that the
//! table `schema_version` of stores in use does not have, so that it would need steps of its own before it. It also reports
//! a store of a later version as a version that is missing.

use sqlx::{AnyConnection, Row};

use super::StoreError;

/// The steps from an empty store to the newest schema. A step that was released is never edited: changes are new steps.
/// Each text is one statement that SQLite and PostgreSQL both take.
const STEPS: &[&[&str]] = &[FIRST, SECOND, THIRD];

const FIRST: &[&str] = &[
    // Numbers: the last line that was taken, the latest event time, who leads.
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    "CREATE TABLE rules (
        rule TEXT PRIMARY KEY,
        first_time BIGINT,
        last_time BIGINT,
        staged_since BIGINT,
        promoted_at BIGINT)",
    "CREATE TABLE alerts (
        id TEXT PRIMARY KEY,
        seq BIGINT NOT NULL,
        changed_seq BIGINT NOT NULL,
        state TEXT NOT NULL,
        rule TEXT NOT NULL,
        severity BIGINT NOT NULL,
        subject TEXT NOT NULL,
        first_time BIGINT NOT NULL,
        last_time BIGINT NOT NULL,
        findings BIGINT NOT NULL,
        outcome TEXT NOT NULL,
        why TEXT,
        silencer TEXT,
        incident TEXT,
        opens BIGINT NOT NULL,
        inhibits BIGINT NOT NULL,
        reason TEXT,
        replaced_by TEXT,
        judged BIGINT,
        verdict TEXT,
        body TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        changed_at BIGINT NOT NULL)",
    "CREATE INDEX alerts_of_incident ON alerts (incident, seq)",
    "CREATE INDEX alerts_that_open ON alerts (rule, opens, first_time)",
    "CREATE INDEX alerts_that_inhibit ON alerts (inhibits, last_time)",
    "CREATE INDEX alerts_by_time ON alerts (first_time)",
    "CREATE INDEX alerts_replaced ON alerts (replaced_by)",
    "CREATE INDEX alerts_silenced ON alerts (silencer)",
    "CREATE TABLE alert_observables (
        kind TEXT NOT NULL, value TEXT NOT NULL, alert TEXT NOT NULL,
        PRIMARY KEY (kind, value, alert))",
    "CREATE INDEX observables_of_alert ON alert_observables (alert)",
    "CREATE TABLE incidents (
        id TEXT PRIMARY KEY,
        seq BIGINT NOT NULL,
        kind TEXT NOT NULL,
        rule TEXT,
        notifier TEXT,
        title TEXT NOT NULL,
        severity BIGINT NOT NULL,
        verdict TEXT NOT NULL,
        status TEXT NOT NULL,
        assignee TEXT,
        first_time BIGINT NOT NULL,
        last_time BIGINT NOT NULL,
        alerts BIGINT NOT NULL,
        live BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        closed_by TEXT,
        closed_reason TEXT,
        opened_at BIGINT NOT NULL,
        changed_at BIGINT NOT NULL)",
    "CREATE INDEX incidents_of_rule ON incidents (rule, kind, seq)",
    "CREATE INDEX incidents_of_notifier ON incidents (notifier, seq)",
    "CREATE INDEX incidents_by_time ON incidents (last_time)",
    // How many alerts of the incident have the value and are not withdrawn.
    "CREATE TABLE incident_observables (
        kind TEXT NOT NULL, value TEXT NOT NULL, incident TEXT NOT NULL, alerts BIGINT NOT NULL,
        PRIMARY KEY (kind, value, incident))",
    "CREATE INDEX observables_of_incident ON incident_observables (incident)",
    "CREATE TABLE history (
        incident TEXT NOT NULL, n BIGINT NOT NULL, at BIGINT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
        PRIMARY KEY (incident, n))",
    "CREATE TABLE deliveries (
        incident TEXT NOT NULL,
        notifier TEXT NOT NULL,
        state TEXT NOT NULL,
        wanted BIGINT NOT NULL,
        told BIGINT NOT NULL,
        receipt TEXT,
        attempts BIGINT NOT NULL,
        due_at BIGINT NOT NULL,
        ready_at BIGINT NOT NULL,
        failing_since BIGINT,
        uncertain BIGINT NOT NULL,
        error TEXT,
        summary TEXT,
        admitted_at BIGINT,
        told_at BIGINT,
        PRIMARY KEY (incident, notifier))",
    "CREATE INDEX deliveries_due ON deliveries (notifier, state, due_at)",
    "CREATE INDEX deliveries_first ON deliveries (notifier, admitted_at)",
    "CREATE INDEX deliveries_summarised ON deliveries (summary)",
    "CREATE TABLE runs (
        alert TEXT NOT NULL,
        enricher TEXT NOT NULL,
        delay BIGINT NOT NULL,
        state TEXT NOT NULL,
        due_at BIGINT NOT NULL,
        until BIGINT,
        attempts BIGINT NOT NULL,
        error TEXT,
        PRIMARY KEY (alert, enricher, delay))",
    "CREATE INDEX runs_due ON runs (state, due_at)",
    "CREATE TABLE rounds (
        alert TEXT NOT NULL, delay BIGINT NOT NULL, state TEXT NOT NULL, changed BIGINT NOT NULL,
        PRIMARY KEY (alert, delay))",
    "CREATE INDEX rounds_by_state ON rounds (state, delay)",
    "CREATE TABLE facts (
        alert TEXT NOT NULL, enricher TEXT NOT NULL, body TEXT NOT NULL, error TEXT, changed_at BIGINT NOT NULL,
        PRIMARY KEY (alert, enricher))",
    "CREATE TABLE opinions (
        alert TEXT NOT NULL,
        reviewer TEXT NOT NULL,
        position BIGINT NOT NULL,
        severity BIGINT NOT NULL,
        verdict TEXT NOT NULL,
        reason TEXT NOT NULL,
        changed_at BIGINT NOT NULL,
        PRIMARY KEY (alert, reviewer))",
    "CREATE TABLE calls (
        n BIGINT PRIMARY KEY,
        at BIGINT NOT NULL,
        plugin TEXT NOT NULL,
        subject TEXT NOT NULL,
        method TEXT NOT NULL,
        url TEXT NOT NULL,
        status BIGINT,
        bytes_sent BIGINT NOT NULL,
        bytes_received BIGINT NOT NULL,
        micros BIGINT NOT NULL,
        is_cached BIGINT NOT NULL,
        error TEXT)",
    "CREATE INDEX calls_of_subject ON calls (subject, n)",
    "CREATE INDEX calls_by_time ON calls (at)",
    "CREATE TABLE cache (
        key TEXT PRIMARY KEY, body TEXT NOT NULL, expires_at BIGINT NOT NULL)",
    "CREATE INDEX cache_by_expiry ON cache (expires_at)",
];

/// Reviewers assess alerts, and the last state of an alert is `final`.
const SECOND: &[&str] = &[
    "ALTER TABLE opinions RENAME TO assessments",
    "ALTER TABLE alerts RENAME COLUMN judged TO assessed",
    "UPDATE alerts SET state = 'final' WHERE state = 'settled'",
];

/// Incidents are reported, by deliveries of which one revision is due and one was sent.
const THIRD: &[&str] = &[
    "ALTER TABLE deliveries RENAME COLUMN wanted TO due_revision",
    "ALTER TABLE deliveries RENAME COLUMN told TO sent_revision",
    "ALTER TABLE deliveries RENAME COLUMN told_at TO sent_at",
    "UPDATE alerts SET outcome = 'reported' WHERE outcome = 'told'",
    "UPDATE incidents SET title = 'more new incidents than are reported one by one' WHERE kind = 'summary'",
    "UPDATE history SET what = REPLACE(what, 'told in the summary ', 'reported in the summary ')
        WHERE what LIKE 'told in the summary %'",
];

/// The newest schema version.
pub(super) fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Returns the schema version of the store, zero for an empty one.
async fn stored_version(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)")
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version")
        .fetch_one(&mut *connection)
        .await?;
    Ok(row.try_get("version")?)
}

/// Takes the steps that are missing, inside the caller's transaction.
///
/// # Errors
/// [`StoreError::Version`] where a later version wrote the store.
pub(super) async fn migrate(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let found = stored_version(connection).await?;
    if found > known() {
        return Err(StoreError::Version {
            found,
            known: known(),
        });
    }
    for (step, version) in STEPS.iter().zip(1i64..) {
        if version <= found {
            continue;
        }
        for statement in *step {
            sqlx::query(*statement).execute(&mut *connection).await?;
        }
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use yagura_core::report::AlertState;
    use yagura_core::{Severity, Timestamp};

    use super::*;
    use crate::clock::Clock;
    use crate::store::rows::{DeliveryState, Outcome};
    use crate::store::{Location, Store};

    /// An alert as lines of alerts have it.
    const ALERT: &str = r#"{
        "id": "0a", "rule": "aws-root-login", "title": "Root login", "severity": "high", "key": "root",
        "window_start": "2026-01-31T08:00:00Z", "first_time": "2026-01-31T08:00:00Z", "last_time": "2026-01-31T08:00:00Z",
        "count": 1, "observables": [], "context": [], "tags": [], "evidence": {"total": 0, "events": []}
    }"#;

    /// Rows as the first schema version has them, in the words of that time.
    const ROWS: &[&str] = &[
        "INSERT INTO alerts (id, seq, changed_seq, state, rule, severity, subject, first_time, last_time, findings, outcome,
            incident, opens, inhibits, judged, verdict, body, created_at, changed_at)
         VALUES ('0a', 1, 1, 'settled', 'aws-root-login', 3, 'root', 5, 5, 1, 'told', 'ab', 1, 1, 4, 'malicious', $1, 6, 6)",
        "INSERT INTO incidents (id, seq, kind, rule, title, severity, verdict, status, first_time, last_time, alerts, live,
            revision, opened_at, changed_at)
         VALUES ('ab', 1, 'normal', 'aws-root-login', 'Root login', 4, 'malicious', 'open', 5, 5, 1, 1, 3, 6, 6)",
        "INSERT INTO incidents (id, seq, kind, notifier, title, severity, verdict, status, first_time, last_time, alerts,
            live, revision, opened_at, changed_at)
         VALUES ('cd', 1, 'summary', 'mail', 'more new incidents than are told one by one', 4, 'undecided', 'open', 5, 5, 1,
            1, 1, 6, 6)",
        "INSERT INTO deliveries (incident, notifier, state, wanted, told, receipt, attempts, due_at, ready_at, uncertain,
            admitted_at, told_at)
         VALUES ('ab', 'slack', 'due', 3, 2, 'r-1', 0, 7, 7, 0, 6, 7)",
        "INSERT INTO history (incident, n, at, who, what) VALUES ('ab', 1, 6, 'mail', 'told in the summary cd: more')",
        "INSERT INTO opinions (alert, reviewer, position, severity, verdict, reason, changed_at)
         VALUES ('0a', 'known-admins', 0, 4, 'malicious', 'nobody knows them', 6)",
    ];

    #[tokio::test]
    async fn a_store_of_the_first_version_is_read_under_the_new_names() {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(dir.path().join("alerts.db"));
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&location.url(true)).await.unwrap();
        let version = "CREATE TABLE schema_version (version BIGINT PRIMARY KEY)";
        let took_first = "INSERT INTO schema_version (version) VALUES (1)";
        for statement in [version].iter().chain(FIRST).chain(&[took_first]) {
            sqlx::query(*statement).execute(&pool).await.unwrap();
        }
        for statement in ROWS {
            let mut query = sqlx::query(*statement);
            if statement.contains("$1") {
                query = query.bind(ALERT);
            }
            query.execute(&pool).await.unwrap();
        }
        pool.close().await;

        // Commands beside the service leave it as it is.
        let error = Store::open_existing(&location, Clock::system())
            .await
            .unwrap_err();
        let is_outdated = matches!(error, StoreError::Outdated { found: 1, known: 3 });
        assert!(is_outdated, "{error}");

        let store = Store::open(&location, Clock::system()).await.unwrap();
        let record = store.alert("0a").await.unwrap().unwrap();
        assert_eq!(record.alert.state, AlertState::Final);
        assert_eq!(record.alert.outcome, Outcome::Reported);
        assert_eq!(record.alert.assessed, Some(Severity::Critical));
        assert_eq!(record.notifiers, ["slack"]);
        let record = store.incident("ab", 10).await.unwrap();
        let [delivery] = &record.deliveries[..] else {
            panic!("{:?}", record.deliveries)
        };
        assert_eq!(delivery.state, DeliveryState::Due);
        assert_eq!((delivery.due_revision, delivery.sent_revision), (3, 2));
        assert_eq!(delivery.sent_at, Some(Timestamp::clamped(7)));
        assert_eq!(record.assessments[0].reviewer, "known-admins");
        assert_eq!(record.history[0].what, "reported in the summary cd: more");
        let summary = store.incident("cd", 10).await.unwrap().incident;
        assert_eq!(
            summary.title,
            "more new incidents than are reported one by one"
        );
        store.close().await;
        // Once is enough.
        let again = Store::open_existing(&location, Clock::system()).await;
        again.unwrap().close().await;
    }
}
