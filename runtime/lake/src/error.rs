//! What can go wrong with locations and definitions.

/// Why a place on object storage cannot be used, or a table definition not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// Not a URL, although it has the form of one.
    #[error("`{text}` is not a usable location: {reason}")]
    NotALocation {
        /// What was given.
        text: String,
        /// What is wrong with it and what to write instead.
        reason: String,
    },
    /// A scheme that no store serves.
    #[error(
        "`{text}` has the unknown scheme `{scheme}`: use file, s3, gs, az, abfs, memory, or a plain path{hint}"
    )]
    UnknownScheme {
        /// What was given.
        text: String,
        /// Its scheme.
        scheme: String,
        /// `; did you mean …?` or nothing.
        hint: String,
    },
    /// An option that the store does not have.
    #[error("the store of `{text}` has no option `{option}`: remove it or check its spelling")]
    UnknownOption {
        /// The location.
        text: String,
        /// The option.
        option: String,
    },
    /// Requests to another machine would travel unencrypted.
    #[error(
        "the store of `{text}` would be reached over plain http at `{endpoint}`: use https, or set the option `allow_http = \"true\"` if the way there is trusted"
    )]
    Insecure {
        /// The location.
        text: String,
        /// The endpoint with `http://`.
        endpoint: String,
    },
    /// The store's client refuses its options.
    #[error(
        "cannot set up the client for `{text}`: check its options and the environment's AWS_, GOOGLE_ or AZURE_ settings"
    )]
    Client {
        /// The location.
        text: String,
        /// What the client says.
        #[source]
        source: object_store::Error,
    },
    /// The object cannot be read.
    #[error("cannot read `{object}`")]
    Read {
        /// The object.
        object: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// The object cannot be written.
    #[error("cannot write `{object}`")]
    Write {
        /// The object.
        object: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// An object of the table cannot be written without the rows of a file that was rewritten.
    #[error("cannot take rows out of `{object}`")]
    Rewrite {
        /// The object.
        object: String,
        /// What is wrong with it.
        #[source]
        source: datafusion::parquet::errors::ParquetError,
    },
    /// The lock that writers take in turn cannot be had.
    #[error("cannot lock `{lock}`, which processes that write to the table take in turn")]
    Lock {
        /// The lock's file or object.
        lock: String,
        /// What the system or the store says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others change the definition all the time.
    #[error(
        "cannot update `{object}`: others changed it during each of {attempts} attempts; try again when fewer write to the table"
    )]
    Contended {
        /// The definition's object.
        object: String,
        /// How often it was tried.
        attempts: usize,
    },
    /// The definition is not one.
    #[error(
        "`{object}` is not a table definition: restore it, or move it away and ingest the table anew"
    )]
    NotADefinition {
        /// The definition's object.
        object: String,
        /// Where reading stopped.
        #[source]
        source: serde_json::Error,
    },
    /// The ledger of what was ingested cannot be read.
    #[error(
        "`{object}` is damaged ({reason}): restore it; without the ledger's folder, files that were ingested before would be ingested again"
    )]
    BadLedger {
        /// The ledger's object.
        object: String,
        /// What is wrong.
        reason: String,
    },
    /// The definition contradicts itself.
    #[error("`{object}` is not a usable table definition: {reason}")]
    BadDefinition {
        /// The definition's object.
        object: String,
        /// What is wrong.
        reason: String,
    },
}
