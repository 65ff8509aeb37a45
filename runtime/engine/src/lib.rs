//! The plan: one shared scan a table, every rule over it, findings out.
//!
//! ```text
//! DataSourceExec   one scan: union of the rules' columns, time range AND (OR of their conditions) pushed down
//!       │ RecordBatch + object and row of each event
//! DetectExec       per rule: condition → rows → (plugin, in batches) → findings
//!       │ RecordBatch of findings
//! run              collects findings; what plugins failed on twice is set aside and reported
//! ```
//!
//! Composes tables (`lake`), paths and columns (`rules`) and plugins (`host`). Knows nothing of alerts, commands or
//! configuration files. Plugins and counters come from the session that executes a plan.

mod condition;
mod detect;
mod error;
mod event_path;
pub mod findings;
mod judge;
pub mod plan;
pub mod report;
mod rows;
pub mod run;
pub mod runtime;
mod scan;

pub use condition::ConditionError;
pub use detect::DetectExec;
pub use error::EngineError;
pub use plan::RuleSource;
pub use run::{RunInput, RunOptions, RunOutcome, run};
pub use runtime::PluginSource;
