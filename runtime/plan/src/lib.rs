//! Planning: the rules of a table as one scan and one program of predicates.
//!
//! ```text
//! `where` of a rule ──▶ condition   SQL text → expression → predicate
//! Sigma rule        ──▶ sigma       detection → predicate over each table that holds its log source
//!                         │
//!                       table_plan  columns of all rules, their predicates as one program, what each rule reads
//!                         │
//!                       scan        one DataFusion scan: time range, pruning (prune) and prefilter pushed down;
//!                                   objects adapted to the table's columns (adapt)
//! ```
//!
//! Knows neither plugins nor findings: `yagura-engine` evaluates the rules on what a scan yields. A plan holds no live
//! handle but the table's store client.

mod adapt;
mod author;
mod classes;
mod condition;
mod dictionary;
mod error;
mod prefilter;
mod prune;
mod rule_source;
mod sample;
mod scan;
mod session;
mod sigma;
mod table_plan;
mod tables;
mod type_name;

pub use adapt::{Conversions, ConvertedValues};
pub use author::{
    Nearest, condition_hints, condition_predicate, explain, fields_of, nearest, predicate_of,
    syntax_error,
};
pub use classes::{CLASS_COLUMN, PlacedRules, place_classes, unknown_class};
pub use condition::{Bound, ConditionError, FieldExpression, SyntaxError};
pub use error::PlanError;
pub use rule_source::{NotRun, RuleSource};
pub use sample::Sample;
pub use scan::{ReadOptions, location_url, object_store_url, scan};
pub use session::session;
pub use sigma::{
    SigmaInput, SigmaRules, lower_sigma, rule_id as sigma_rule_id, sigma_correlations,
    unknown_source,
};
pub use table_plan::{FieldPlan, FieldRead, RulePlan, TablePlan, TitlePiece, Tuning};
pub use tables::{footer_cache, open_tables};
pub use type_name::plain_type;
