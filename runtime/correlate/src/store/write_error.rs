//! Why a batch was not written.

/// Why a batch is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk is full or does not answer, or another program holds the file. The batch is kept, and the next wait tries again.
    #[error(transparent)]
    Passing(rusqlite::Error),
    /// SQLite refused, and would again.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    /// The thread is gone.
    #[error("the thread that writes has stopped")]
    Stopped,
}

/// Says whether what failed may succeed later as it is: no room, a disk that does not answer, or another program that holds the file.
pub(super) fn may_pass(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
    matches!(
        error.sqlite_error_code(),
        Some(DiskFull | SystemIoFailure | DatabaseBusy | DatabaseLocked)
    )
}
