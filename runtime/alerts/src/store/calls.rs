//! What plugins asked servers, for the audit, and answers that are kept.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use yagura_core::Timestamp;

use super::columns::{RowColumns, indexed, int, text};
use super::rows::CallRow;
use super::{AlertStore, AlertStoreError, number, set_number};

/// Which calls are listed.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Only those for this alert or incident.
    pub subject: Option<String>,
    /// Only those since then.
    pub since: Option<Timestamp>,
    /// At most so many, the latest; 1,000 where it is left out.
    pub limit: Option<u32>,
}

impl AlertStore {
    /// Records calls that plugins made.
    ///
    /// # Errors
    /// [`AlertStoreError`]
    pub async fn record_calls(&self, calls: &[CallRow]) -> Result<(), AlertStoreError> {
        let mut write = self.write().await?;
        let mut n = number(&mut write, "calls").await?.unwrap_or(0);
        for call in calls {
            n += 1;
            sqlx::query(
                "INSERT INTO calls (n, at, plugin, subject, method, url, status, bytes_sent, bytes_received, micros, is_cached,
                    error)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            )
            .bind(n)
            .bind(call.at.micros())
            .bind(text(&call.plugin))
            .bind(indexed(&call.subject))
            .bind(text(&call.method))
            .bind(text(&call.url))
            .bind(call.status.map(i64::from))
            .bind(int(call.bytes_sent))
            .bind(int(call.bytes_received))
            .bind(int(call.micros))
            .bind(i64::from(call.is_cached))
            .bind(call.error.as_deref().map(text))
            .execute(&mut *write)
            .await?;
        }
        set_number(&mut write, "calls", n).await?;
        write.commit().await
    }

    /// Returns calls that plugins made, oldest first.
    ///
    /// # Errors
    /// [`AlertStoreError`]
    pub async fn calls(&self, filter: &CallFilter) -> Result<Vec<CallRow>, AlertStoreError> {
        let mut connection = self.read().await?;
        let rows = sqlx::query(
            "SELECT * FROM calls WHERE ($1 = '' OR subject = $1) AND at >= $2 ORDER BY n DESC LIMIT $3",
        )
        .bind(filter.subject.clone().unwrap_or_default())
        .bind(filter.since.map_or(i64::MIN, Timestamp::micros))
        .bind(i64::from(filter.limit.unwrap_or(1_000)))
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().rev().map(from_row).collect()
    }

    /// Returns an answer that is kept under a key and has not expired.
    ///
    /// # Errors
    /// [`AlertStoreError`]
    pub async fn kept_answer(&self, key: &str) -> Result<Option<String>, AlertStoreError> {
        let mut connection = self.read().await?;
        let row = sqlx::query("SELECT body FROM cache WHERE key = $1 AND expires_at > $2")
            .bind(indexed(key))
            .bind(self.now())
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| row.text("body")).transpose()
    }

    /// Keeps an answer under a key until it expires; what has expired is dropped.
    ///
    /// # Errors
    /// [`AlertStoreError`]
    pub async fn keep_answer(
        &self,
        key: &str,
        body: &str,
        expires_at: Timestamp,
    ) -> Result<(), AlertStoreError> {
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM cache WHERE expires_at <= $1")
            .bind(self.now())
            .execute(&mut *write)
            .await?;
        sqlx::query(
            "INSERT INTO cache (key, body, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (key) DO UPDATE SET body = excluded.body, expires_at = excluded.expires_at",
        )
        .bind(indexed(key))
        .bind(text(body))
        .bind(expires_at.micros())
        .execute(&mut *write)
        .await?;
        write.commit().await
    }
}

/// Returns the calls that were made for an incident or one of its alerts, oldest first.
pub(crate) async fn of_incident(
    connection: &mut AnyConnection,
    incident: &str,
    limit: u32,
) -> Result<Vec<CallRow>, AlertStoreError> {
    let statement = "SELECT * FROM calls WHERE subject = $1 OR subject IN (SELECT id FROM alerts WHERE incident = $1)
        ORDER BY n LIMIT $2";
    let rows = sqlx::query(statement)
        .bind(incident.to_owned())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &AnyRow) -> Result<CallRow, AlertStoreError> {
    Ok(CallRow {
        at: row.time("at")?,
        plugin: row.text("plugin")?,
        subject: row.text("subject")?,
        method: row.text("method")?,
        url: row.text("url")?,
        status: row
            .maybe_int("status")?
            .and_then(|status| u16::try_from(status).ok()),
        bytes_sent: row.count("bytes_sent")?,
        bytes_received: row.count("bytes_received")?,
        micros: row.count("micros")?,
        is_cached: row.int("is_cached")? != 0,
        error: row.maybe_text("error")?,
    })
}
