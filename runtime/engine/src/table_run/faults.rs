//! Which objects made a scan fail, and what is wrong with them.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::TryStreamExt;
use yagura_core::TimeRange;
use yagura_lake::guard::Guarded;
use yagura_lake::table::{DataFile, reason_of, store_failure};
use yagura_plan::{ReadOptions, footer_cache, scan};

use super::TableRun;
use crate::error::EngineError;
use crate::session::{scan_error, session};

/// The largest object that is read whole to prove that it is bad, in bytes.
const MAX_COPIED: u64 = 1 << 30;

impl TableRun {
    /// Reads the needed columns of every object by itself, without a condition, and returns those that fail, with the reason:
    /// whatever rules there are, they are the same. Finds out whether text has to be read as bytes.
    pub(super) async fn unreadable(
        &mut self,
        session: &SessionContext,
        files: &[DataFile],
    ) -> Result<Vec<(String, String)>, EngineError> {
        let mut bad = Vec::new();
        for file in files {
            let mut read = self
                .read_plainly(session, file, self.text_as_bytes, None)
                .await;
            if read.is_err() && !self.text_as_bytes {
                let again = self.read_plainly(session, file, true, None).await;
                self.text_as_bytes = again.is_ok();
                // The first error describes text that is not UTF-8 better.
                read = again.or(read);
            }
            let Err(error) = read else {
                continue;
            };
            let reason = self.fault_of(file, error).await?;
            bad.push((self.table.location.name_of(&file.meta.location), reason));
        }
        Ok(bad)
    }

    /// Returns what is wrong with an object that cannot be read.
    ///
    /// # Errors
    /// Where it is the store that failed: only bytes that are there, all of them, and cannot be read make an object bad.
    pub(crate) async fn fault_of(
        &self,
        file: &DataFile,
        error: DataFusionError,
    ) -> Result<String, EngineError> {
        if store_failure(&error).is_some() {
            return Err(scan_error(&self.table, error));
        }
        // What is read in one go to prove it must fit into memory.
        if file.meta.size > MAX_COPIED {
            return Ok(reason_of(&error));
        }
        let copied = self.copied(file).await;
        let copy = match copied {
            Ok(copy) => copy,
            Err(StoreError::NotFound { .. }) => return Ok(reason_of(&error)),
            Err(source) => {
                let source = DataFusionError::ObjectStore(Box::new(source));
                return Err(scan_error(&self.table, source));
            }
        };
        let session = session(&self.table, &self.options, None)?;
        match self.read_plainly(&session, file, true, Some(copy)).await {
            Err(error) => Ok(reason_of(&error)),
            Ok(()) => Err(scan_error(
                &self.table,
                DataFusionError::ObjectStore(Box::new(StoreError::Generic {
                    store: "answer",
                    source: format!(
                        "a request for a part of the object gave other bytes than one for all of it ({})",
                        reason_of(&error)
                    )
                    .into(),
                })),
            )),
        }
    }

    /// Returns a store that holds all bytes of an object.
    async fn copied(&self, file: &DataFile) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let object = &file.meta.location;
        let bytes = self.table.location.store.get(object).await?.bytes().await?;
        if bytes.len() as u64 != file.meta.size {
            return Err(StoreError::Generic {
                store: "answer",
                source: format!(
                    "{} bytes came of an object that was listed with {}",
                    bytes.len(),
                    file.meta.size
                )
                .into(),
            });
        }
        let copy = InMemory::new();
        copy.put(object, bytes.into()).await?;
        Ok(Arc::new(copy))
    }

    async fn read_plainly(
        &self,
        session: &SessionContext,
        file: &DataFile,
        text_as_bytes: bool,
        store: Option<Arc<dyn ObjectStore>>,
    ) -> Result<(), DataFusionError> {
        let reading = ReadOptions {
            range: TimeRange::default(),
            text_as_bytes,
            is_narrowed: false,
            counts: Arc::default(),
            store,
            rows: Arc::default(),
        };
        let one = std::slice::from_ref(file);
        let state = session.state();
        let cache = match &reading.store {
            Some(_) => footer_cache(),
            None => Arc::clone(&self.cache),
        };
        let input = scan(&self.plan, one, &reading, cache, state.config_options())?;
        for partition in 0..input.output_partitioning().partition_count() {
            let batches = input.execute(partition, session.task_ctx())?;
            let mut batches = Guarded::new(batches);
            while batches.try_next().await?.is_some() {}
        }
        Ok(())
    }
}
