//! The plan: one shared scan a table, every rule over it, findings out.
//!
//! ```text
//! DataSourceExec   one scan: union of the rules' columns; time range, pruning and prefilter pushed down
//!       │ RecordBatch + object and row of each event
//! DetectExec       prefilter → rows of each rule → (its plugin, in batches) → findings
//!       │ RecordBatch of findings
//! run              collects findings; what plugins failed on twice is skipped and reported
//! ```
//!
//! Composes tables (`lake`), paths and columns (`rules`) and plugins (`host`). Knows nothing of alerts, commands or
//! configuration files. Plugins and counters come from the session that executes a plan.

mod adapt;
mod author;
mod background;
mod calls;
mod condition;
mod detect;
mod dictionary;
mod error;
mod evaluate;
mod event_path;
mod evidence;
pub mod findings;
mod growth;
pub mod keyed;
pub mod live;
mod oddity;
pub mod plan;
mod predicate;
mod prefilter;
mod prune;
mod quarantine;
pub mod report;
mod rows;
mod ruleset;
pub mod run;
pub mod runtime;
pub mod sample;
mod scan;
pub mod search;
mod shown;
mod sigma;
mod sql;
pub mod table_run;

pub use adapt::ConvertedValues;
pub use author::{
    Nearest, condition_predicate, explain, fields_of, nearest, oddities_of, predicate_of,
    syntax_error,
};
pub use condition::ConditionError;
pub use detect::DetectExec;
pub use error::EngineError;
pub use evidence::Hasher;
pub use live::{Live, LiveError, LiveOptions, Replaced};
pub use plan::{RuleSource, Tuning};
pub use quarantine::Fairness;
pub use run::{RunInput, RunOptions, RunOutcome, open_tables, run};
pub use runtime::PluginSource;
pub use sample::{Sample, plain_type};
pub use sigma::{
    Placed, SigmaInput, correlations, place, rule_id as sigma_rule_id, unknown_source,
};
