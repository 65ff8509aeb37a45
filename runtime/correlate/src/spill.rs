//! Where keys and provisional alerts are that left memory.

/// Where the keys and provisional alerts are that were moved to disk.
pub trait SpillStore {
    /// Returns the keys under these shards and hashes, with state and due time, and forgets them with the next checkpoint.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn take(
        &mut self,
        node: &str,
        wanted: &[(usize, u64)],
    ) -> Result<Vec<SpilledKey>, CorrelationError>;

    /// Returns the provisional alerts of a key as the last checkpoint has them, if there are any.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn provisional(&mut self, key: &str) -> Result<Option<Vec<u8>>, CorrelationError>;
}

/// A key that comes back from disk.
#[derive(Debug, Clone)]
pub struct SpilledKey {
    /// Its shard.
    pub shard: usize,
    /// Its hash.
    pub hash: u64,
    /// The key.
    pub key: String,
    /// Its state.
    pub state: Vec<u8>,
    /// When it is due.
    pub due: i64,
}

/// For correlation engines that never move keys to disk.
#[derive(Debug, Default)]
pub struct NoSpill;

impl SpillStore for NoSpill {
    fn take(&mut self, _: &str, _: &[(usize, u64)]) -> Result<Vec<SpilledKey>, CorrelationError> {
        Ok(Vec::new())
    }

    fn provisional(&mut self, _: &str) -> Result<Option<Vec<u8>>, CorrelationError> {
        Ok(None)
    }
}

/// Why a correlation engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CorrelationError {
    /// The store of spilled keys cannot be read.
    #[error("cannot read the spilled keys of `{node}` from the state")]
    Read {
        /// The correlation, or `alerts` and the tables of alert windows.
        node: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was read is not what was spilled.
    #[error(
        "the spilled keys of `{node}` are damaged; restore a copy of the state, or move it away to start anew"
    )]
    Damaged {
        /// The correlation, or `alerts` and the tables of alert windows.
        node: String,
        /// The cause.
        source: postcard::Error,
    },
}
