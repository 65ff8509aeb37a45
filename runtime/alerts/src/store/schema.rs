//! The tables, and the steps that bring an older store to the newest schema version.
//!
//! The list of steps is not sqlx's `Migrator`. That one keeps a checksum and a time with each version, in columns that the
//! table `schema_version` of stores in use does not have, so that it would need steps of its own before it. It also reports
//! a store of a later version as a version that is missing.

use sqlx::{AnyConnection, Row};

use super::AlertStoreError;

/// The steps from an empty store to the newest schema. A step that was released is never edited: changes are new steps.
/// SQLite and PostgreSQL both take each statement.
const STEPS: &[&str] = &[
    include_str!("schema/0001_alerts.sql"),
    include_str!("schema/0002_assessments.sql"),
    include_str!("schema/0003_reports.sql"),
];

/// The newest schema version.
pub(super) fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Returns the schema version of the store, zero for an empty one.
async fn stored_version(connection: &mut AnyConnection) -> Result<i64, AlertStoreError> {
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
/// [`AlertStoreError::Version`] where a later version wrote the store.
pub(super) async fn migrate(connection: &mut AnyConnection) -> Result<(), AlertStoreError> {
    let found = stored_version(connection).await?;
    if found > known() {
        return Err(AlertStoreError::Version {
            found,
            known: known(),
        });
    }
    for (step, version) in STEPS.iter().zip(1i64..) {
        if version <= found {
            continue;
        }
        sqlx::raw_sql(*step).execute(&mut *connection).await?;
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
    use crate::store::{AlertStore, StoreLocation};

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
        let location = StoreLocation::Sqlite(dir.path().join("alerts.db"));
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&location.url(true)).await.unwrap();
        let version = "CREATE TABLE schema_version (version BIGINT PRIMARY KEY)";
        let took_first = "INSERT INTO schema_version (version) VALUES (1)";
        for statements in [version, STEPS[0], took_first] {
            sqlx::raw_sql(statements).execute(&pool).await.unwrap();
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
        let error = AlertStore::open_existing(&location, Clock::system())
            .await
            .unwrap_err();
        let is_outdated = matches!(error, AlertStoreError::Outdated { found: 1, known: 3 });
        assert!(is_outdated, "{error}");

        let store = AlertStore::open(&location, Clock::system()).await.unwrap();
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
        let again = AlertStore::open_existing(&location, Clock::system()).await;
        again.unwrap().close().await;
    }
}
