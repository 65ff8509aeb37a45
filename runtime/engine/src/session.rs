//! The DataFusion session of a table's scan, and its errors.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;
use yagura_lake::table::Table;
use yagura_plan::object_store_url;

use crate::calls::chain;
use crate::error::EngineError;
use crate::options::RunOptions;
use crate::runtime::DetectRuntime;

/// Returns a session that scans the table; `runtime` is what its operators need.
///
/// # Errors
/// A location that is not a URL.
pub(crate) fn session(
    table: &Table,
    options: &RunOptions,
    runtime: Option<Arc<DetectRuntime>>,
) -> Result<SessionContext, EngineError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.partitions.max(1))
        .with_batch_size(options.batch_rows.max(1));
    if let Some(runtime) = runtime {
        config = config.with_extension(runtime);
    }
    let session = yagura_plan::session(config);
    let url = object_store_url(table).map_err(|error| scan_error(table, error))?;
    session
        .runtime_env()
        .register_object_store(url.as_ref(), Arc::clone(&table.location.store));
    Ok(session)
}

/// Returns the error of a scan. Errors of this crate that passed through DataFusion come out as themselves.
pub(crate) fn scan_error(table: &Table, error: DataFusionError) -> EngineError {
    tracing::debug!(error = chain(&error), "scan failed");
    match error.find_root() {
        DataFusionError::External(_) => match unwrap_external(error) {
            Ok(own) => own,
            Err(source) => EngineError::Scan {
                table: table.name.clone(),
                source,
            },
        },
        _ => EngineError::Scan {
            table: table.name.clone(),
            source: error,
        },
    }
}

fn unwrap_external(error: DataFusionError) -> Result<EngineError, DataFusionError> {
    match error {
        DataFusionError::External(inner) => inner
            .downcast::<EngineError>()
            .map(|own| *own)
            .map_err(DataFusionError::External),
        DataFusionError::Context(text, inner) => {
            unwrap_external(*inner).map_err(|inner| DataFusionError::Context(text, Box::new(inner)))
        }
        other => Err(other),
    }
}
