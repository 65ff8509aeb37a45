//! Evaluation: the rules of a table over its scan, findings out; once, or step after step in a service.
//!
//! ```text
//! yagura-plan      one scan a table: RecordBatch + object and row of each event
//!       │
//! DetectExec       prefilter → rows of each rule → (its plugin, in batches) → findings
//!       │ RecordBatch of findings
//! run │ live       collect findings; events on which plugins fail are skipped and reported
//! ```
//!
//! Composes plans (`plan`), tables (`lake`), columns (`rules`), plugins (`host`) and correlations (`correlate`). Knows nothing
//! of alerts, commands or configuration files. Plugins and counters come from the session that executes a plan.

mod background;
mod calls;
mod detect;
mod error;
mod evaluate;
mod evidence;
pub mod findings;
pub mod keyed;
mod limits;
pub mod live;
mod options;
mod pending_rows;
mod quarantine;
pub mod report;
mod rows;
mod ruleset;
pub mod run;
mod running_steps;
pub mod runtime;
mod scan_output;
pub mod search;
mod session;
mod shown;
mod table_outcome;
pub mod table_run;

pub use detect::DetectExec;
pub use error::EngineError;
pub use evidence::Hasher;
pub use live::{Live, LiveError, LiveOptions, Replaced};
pub use options::RunOptions;
pub use quarantine::Fairness;
pub use rows::RuleRows;
pub use run::{RunInput, RunOutcome, run};
pub use runtime::PluginSource;
pub use scan_output::ScanOutput;
pub use table_outcome::TableOutcome;
