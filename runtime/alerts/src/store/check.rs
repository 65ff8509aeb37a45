//! Looks at a store before a pool of connections is made for it: a pool tries again and again, and then does not report why.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AnyConnection, ConnectOptions, Connection, Row};
use tokio::time::timeout;

use super::{AlertStoreError, StoreLocation};

/// Bytes of a file whose pages are all checked, however busy the machine is.
const CHECKED_WHOLE: u64 = 8 << 20;
/// How long the pages of a larger file are checked. The rest is checked when it is used.
const PAGES: Duration = Duration::from_millis(700);
/// How long another process may keep the file locked meanwhile.
const LOCKED: Duration = Duration::from_secs(10);
/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Instructions of SQLite between two looks at the clock.
const INSTRUCTIONS: i32 = 1_000;

/// Connects once. The pages of a file are checked if `pages` is set.
///
/// # Errors
/// [`AlertStoreError::Unusable`] for a damaged file, else [`AlertStoreError::Open`].
pub(super) async fn check(location: &StoreLocation, pages: bool) -> Result<(), AlertStoreError> {
    match location {
        StoreLocation::Memory => Ok(()),
        StoreLocation::Sqlite(file) => {
            // One without a byte is new.
            let bytes = std::fs::metadata(file).map_or(0, |found| found.len());
            if bytes == 0 {
                return Ok(());
            }
            let found = check_file(file, bytes, pages).await;
            let found = found.map_err(|source| open_error(location, source))?;
            match found {
                None => Ok(()),
                Some(what) => Err(AlertStoreError::Unusable {
                    location: location.to_string(),
                    what,
                }),
            }
        }
        StoreLocation::Postgres(_) => {
            let connect = async {
                let connection = AnyConnection::connect(&location.url(false)).await?;
                connection.close().await
            };
            let answered = timeout(ANSWER, connect).await;
            answered
                .unwrap_or_else(|_| Err(no_answer()))
                .map_err(|source| open_error(location, source))
        }
    }
}

/// The error of a store that does not answer in time.
fn no_answer() -> sqlx::Error {
    let message = format!("it did not answer within {} seconds", ANSWER.as_secs());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, message))
}

/// Returns the first thing that is wrong with the pages of a file of `bytes`.
async fn check_file(file: &Path, bytes: u64, pages: bool) -> Result<Option<String>, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(LOCKED);
    let mut connection: SqliteConnection = options.connect().await?;
    if bytes > CHECKED_WHOLE {
        let deadline = Instant::now() + PAGES;
        connection
            .lock_handle()
            .await?
            .set_progress_handler(INSTRUCTIONS, move || Instant::now() < deadline);
    }
    // Reads the header and the schema, and finds out whether the directory can be written to.
    for statement in [
        "SELECT COUNT(*) FROM sqlite_schema",
        "PRAGMA journal_mode = WAL",
    ] {
        sqlx::query(statement).fetch_all(&mut connection).await?;
    }
    let mut found = None;
    if pages {
        let checked = sqlx::query("PRAGMA quick_check(1)")
            .fetch_one(&mut connection)
            .await;
        found = match checked {
            Ok(row) => Some(row.try_get::<String, _>(0)?).filter(|text| text != "ok"),
            Err(error) if primary_code(&error) == Some(INTERRUPTED) => None,
            Err(error) => return Err(error),
        };
    }
    connection.lock_handle().await?.remove_progress_handler();
    connection.close().await?;
    // It may name several things, a line each.
    Ok(found.map(|text| text.lines().last().unwrap_or_default().to_owned()))
}

/// SQLite's codes: the file is damaged, is not a database, or a statement was stopped.
const DAMAGED: [i32; 2] = [11, 26];
const INTERRUPTED: i32 = 9;
/// The disk does not answer, or is full.
const NO_DISK: [i32; 2] = [10, 13];

/// Returns SQLite's primary code of an error. PostgreSQL's codes have five characters.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    let code: i32 = (code.len() < 5).then(|| code.parse().ok())??;
    Some(code & 0xff)
}

/// Says which error it is that a store cannot be opened.
pub(super) fn open_error(location: &StoreLocation, source: sqlx::Error) -> AlertStoreError {
    let location_text = location.to_string();
    match primary_code(&source).filter(|_| location.is_sqlite()) {
        Some(code) if DAMAGED.contains(&code) => AlertStoreError::Unusable {
            location: location_text,
            what: match source.as_database_error() {
                Some(error) => error.message().to_owned(),
                None => source.to_string(),
            },
        },
        _ => AlertStoreError::Open {
            location: location_text,
            source,
        },
    }
}

/// Says whether a store may answer later: a server is away, starts or stops, or has no room for a connection; the disk of a file
/// is full or does not answer.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(of_database) => {
            let code = of_database.code();
            let of_server = code.is_some_and(|code| {
                code.len() == 5 && ["57P", "53", "08"].iter().any(|of| code.starts_with(of))
            });
            of_server || primary_code(error).is_some_and(|code| NO_DISK.contains(&code))
        }
        _ => false,
    }
}
