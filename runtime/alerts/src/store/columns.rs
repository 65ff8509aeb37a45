//! Reading columns of rows, and writing many rows by one statement.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use yagura_core::alert::hex;
use yagura_core::{Severity, Timestamp};

use super::AlertStoreError;
use super::rows::Word;

/// Reads columns by name.
pub(crate) trait RowColumns {
    fn text(&self, name: &str) -> Result<String, AlertStoreError>;
    fn maybe_text(&self, name: &str) -> Result<Option<String>, AlertStoreError>;
    fn int(&self, name: &str) -> Result<i64, AlertStoreError>;
    fn maybe_int(&self, name: &str) -> Result<Option<i64>, AlertStoreError>;

    fn count(&self, name: &str) -> Result<u64, AlertStoreError> {
        Ok(u64::try_from(self.int(name)?).unwrap_or(0))
    }

    fn time(&self, name: &str) -> Result<Timestamp, AlertStoreError> {
        Ok(Timestamp::clamped(self.int(name)?))
    }

    fn maybe_time(&self, name: &str) -> Result<Option<Timestamp>, AlertStoreError> {
        Ok(self.maybe_int(name)?.map(Timestamp::clamped))
    }

    fn word<W: Word>(&self, name: &str) -> Result<W, AlertStoreError> {
        let word = self.text(name)?;
        W::from_word(&word).ok_or_else(|| damaged(name, &word))
    }

    fn maybe_word<W: Word>(&self, name: &str) -> Result<Option<W>, AlertStoreError> {
        match self.maybe_text(name)? {
            Some(word) => Ok(Some(
                W::from_word(&word).ok_or_else(|| damaged(name, &word))?,
            )),
            None => Ok(None),
        }
    }

    fn severity(&self, name: &str) -> Result<Severity, AlertStoreError> {
        Ok(severity_of(self.int(name)?))
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, AlertStoreError> {
        let text = self.text(name)?;
        serde_json::from_str(&text).map_err(|error| AlertStoreError::Damaged {
            what: format!("{name}: {error}"),
        })
    }
}

impl RowColumns for AnyRow {
    fn text(&self, name: &str) -> Result<String, AlertStoreError> {
        Ok(self.try_get(name)?)
    }

    fn maybe_text(&self, name: &str) -> Result<Option<String>, AlertStoreError> {
        Ok(self.try_get(name)?)
    }

    fn int(&self, name: &str) -> Result<i64, AlertStoreError> {
        Ok(self.try_get(name)?)
    }

    fn maybe_int(&self, name: &str) -> Result<Option<i64>, AlertStoreError> {
        Ok(self.try_get(name)?)
    }
}

fn damaged(name: &str, word: &str) -> AlertStoreError {
    AlertStoreError::Damaged {
        what: format!("{name} is `{word}`"),
    }
}

/// Returns a severity as the number that orders it.
pub(crate) fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

pub(crate) fn severity_of(rank: i64) -> Severity {
    match rank {
        ..=0 => Severity::Info,
        1 => Severity::Low,
        2 => Severity::Medium,
        3 => Severity::High,
        _ => Severity::Critical,
    }
}

/// Returns a number as the store keeps it.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a text as the store keeps it: PostgreSQL takes no NUL, and who writes logs chooses what is in an alert.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Bytes of a text that an index takes. PostgreSQL refuses more than a third of a page, all columns together.
const INDEXED: usize = 512;

/// Returns a text as an index keeps it: a long one ends in its hash.
pub(crate) fn indexed(value: &str) -> String {
    if value.len() <= INDEXED {
        return text(value);
    }
    let hash = hex(&Sha256::digest(value)[..16]);
    let start = value.floor_char_boundary(INDEXED - 64);
    format!("{}… sha256:{hash}", text(&value[..start]))
}

/// Returns a value as the JSON that the store keeps.
pub(crate) fn json(value: &impl Serialize) -> Result<String, AlertStoreError> {
    serde_json::to_string(value).map_err(|error| AlertStoreError::Damaged {
        what: format!("a value is not JSON: {error}"),
    })
}

/// Rows that one statement writes: SQLite and PostgreSQL both take more, but every number is a statement to prepare.
const ROWS: usize = 32;

/// Writes rows of texts: `head` VALUES (…), (…) `tail`.
pub(crate) async fn insert_texts<const N: usize>(
    connection: &mut AnyConnection,
    head: &str,
    tail: &str,
    rows: &[[String; N]],
) -> Result<(), AlertStoreError> {
    for rows in rows.chunks(ROWS) {
        let places: Vec<String> = (0..rows.len())
            .map(|row| {
                let columns: Vec<String> = (1..=N)
                    .map(|column| format!("${}", row * N + column))
                    .collect();
                format!("({})", columns.join(", "))
            })
            .collect();
        let statement = format!("{head} VALUES {} {tail}", places.join(", "));
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for value in rows.iter().flatten() {
            query = query.bind(value.clone());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_stay_apart_in_an_index() {
        assert_eq!(indexed("10.0.0.1"), "10.0.0.1");
        assert_eq!(indexed("a\0b"), "a\u{fffd}b");
        let long = "あ".repeat(1_000);
        let one = indexed(&long);
        assert!(one.len() <= INDEXED, "{}", one.len());
        assert_ne!(one, indexed(&format!("{long}!")));
    }
}
