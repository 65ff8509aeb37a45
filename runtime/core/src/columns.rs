//! Names of the columns that a table has of its own, whatever its events hold.

/// The time of an event.
pub const TIME_COLUMN: &str = "event_time";
/// The UTC day of an event's time, which is the folder that its object lies in.
pub const PARTITION_COLUMN: &str = "date";
/// An object of the keys of an event that have no column.
pub const UNMAPPED_COLUMN: &str = "unmapped";
/// The source text of an event.
pub const RAW_COLUMN: &str = "raw";

/// All of these. Keys of events that have one of these names are in `unmapped`.
pub const OWN_COLUMNS: [&str; 4] = [TIME_COLUMN, PARTITION_COLUMN, UNMAPPED_COLUMN, RAW_COLUMN];

/// Columns that a table learns from its events, at most; further keys are in `unmapped`.
pub const MAX_COLUMNS: usize = 1_000;

/// Key in the metadata of the field [`UNMAPPED_COLUMN`] of a table whose events have keys that got no column.
pub const KEYS_WITHOUT_COLUMN: &str = "yagura.keys_without_column";
