//! Tables, opened to be planned over.

use std::sync::Arc;

use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::cache::default_cache::DefaultCache;
use yagura_core::TimeRange;
use yagura_lake::table::{Table, TableConfig, TableError};

/// Bytes that the footers of one table may take; above it the least used are fetched again.
const FOOTER_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Returns a cache for a table's footers.
pub fn footer_cache() -> Arc<FileMetadataCache> {
    Arc::new(DefaultCache::new(FOOTER_CACHE_BYTES))
}

/// Opens every table, to check or explain rules over it.
///
/// # Errors
/// As [`Table::open`].
pub async fn open_tables(
    tables: &[TableConfig],
    range: TimeRange,
) -> Result<Vec<Arc<Table>>, TableError> {
    let cache = footer_cache();
    let mut open = Vec::with_capacity(tables.len());
    for config in tables {
        let table = Table::open(config.clone(), range, Arc::clone(&cache)).await?;
        open.push(Arc::new(table));
    }
    Ok(open)
}
