//! Why a table cannot be opened.

use crate::LakeError;

/// Why a table cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The location or the definition cannot be used.
    #[error("table `{table}` cannot be opened")]
    Lake {
        /// The table.
        table: String,
        /// The cause.
        source: LakeError,
    },
    /// The store refused or failed to list.
    #[error("cannot list the objects of table `{table}` under {location}")]
    List {
        /// The table.
        table: String,
        /// Its location.
        location: String,
        /// The cause.
        source: object_store::Error,
    },
    /// There is not one Parquet object.
    #[error(
        "table `{table}` has no Parquet objects under {location}{found}; `yagura ingest --table {table} --to LAKE FILE…` makes some"
    )]
    Empty {
        /// The table.
        table: String,
        /// Its location.
        location: String,
        /// What is there instead, as the rest of a sentence.
        found: String,
    },
    /// The objects belong to a table whose log says which of them hold events.
    #[error(
        "table `{table}`: {folder} is a table of {format}, whose log says which of its objects are current; yagura reads plain Parquet, so export it (in Spark: `spark.read.format(…).load(…).write.parquet(…)`) and name the export"
    )]
    Foreign {
        /// The table.
        table: String,
        /// Name of the format.
        format: &'static str,
        /// The folder of its table.
        folder: String,
    },
    /// An object's footer cannot be read.
    #[error(
        "{file} of table `{table}` is not a readable Parquet object: {reason}; mend or remove it, or set `on_bad_file = \"skip\"` for the table"
    )]
    BadFile {
        /// The table.
        table: String,
        /// The object.
        file: String,
        /// What the reader said.
        reason: String,
    },
    /// The store refused or failed to give an object's footer.
    #[error("cannot read {file} of table `{table}`, the store fails: {reason}")]
    Store {
        /// The table.
        table: String,
        /// The object.
        file: String,
        /// What it said.
        reason: String,
    },
    /// The time column is not given and cannot be guessed, or is no time.
    #[error("table `{table}`: {reason}")]
    Time {
        /// The table.
        table: String,
        /// What was looked for and found, and what to do.
        reason: String,
    },
}
