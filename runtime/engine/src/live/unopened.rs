//! A table that cannot be opened yet: it has no objects, or its store or they are not as they should be.

use yagura_core::TimeRange;
use yagura_correlate::store::{StateStore, StateStoreError, TableStatus};
use yagura_lake::table::{TableConfig, TableError};

use super::listing::{OpenTable, open};
use super::messages::problem;
use super::task::BackgroundTask;

/// A table that cannot be opened yet.
#[derive(Debug)]
pub(super) struct UnopenedTable {
    pub(super) config: TableConfig,
    opening: Option<BackgroundTask<Result<OpenTable, TableError>>>,
    pub(super) status: TableStatus,
}

impl UnopenedTable {
    pub(super) fn new(
        config: &TableConfig,
        store: &StateStore,
        range: TimeRange,
    ) -> Result<Self, StateStoreError> {
        let mut unopened = Self {
            config: config.clone(),
            opening: None,
            status: store.table(&config.name)?.unwrap_or_default(),
        };
        unopened.status.name.clone_from(&config.name);
        unopened.start_open(range);
        unopened.status.problem = Some("its store has not answered yet".to_owned());
        Ok(unopened)
    }

    pub(super) fn start_open(&mut self, range: TimeRange) {
        if self.opening.is_none() {
            self.opening = Some(BackgroundTask::start(open(self.config.clone(), range)));
        }
    }

    pub(super) fn is_opening(&self) -> bool {
        self.opening.as_ref().is_some_and(|task| !task.has_ended())
    }

    pub(super) fn has_news(&self) -> bool {
        self.opening.as_ref().is_some_and(BackgroundTask::has_ended)
    }

    /// Returns what came of opening it, if that has ended.
    pub(super) async fn end_open(&mut self) -> Option<Result<OpenTable, TableError>> {
        if self.is_opening() {
            return None;
        }
        let opened = self.opening.take()?.end().await?;
        self.status.problem = match &opened {
            Ok(_) => None,
            Err(TableError::Empty { found, .. }) if found.is_empty() => None,
            Err(error) => Some(problem(error)),
        };
        Some(opened)
    }

    pub(super) fn message(&self) -> String {
        let name = &self.config.name;
        match &self.status.problem {
            None => {
                format!("table `{name}` has no objects yet; its rules run from the first one on")
            }
            Some(problem) => format!("table `{name}` waits, and its rules do not run: {problem}"),
        }
    }
}
