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
    /// Whether objects were written since opening began.
    open_again: bool,
    pub(super) status: TableStatus,
    range: TimeRange,
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
            open_again: false,
            status: store.table(&config.name)?.unwrap_or_default(),
            range,
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

    /// Notes that objects were written: an opening that is under way may have missed them.
    pub(super) fn expect_objects(&mut self) {
        self.open_again = self.opening.is_some();
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
        let opened = self.opening.take()?.end().await;
        let opens_again = std::mem::take(&mut self.open_again);
        let opened = opened?;
        if opened.is_err() && opens_again {
            self.start_open(self.range);
        }
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
