//! What a rule needs of Arrow data: where a field path leads in a schema, the values there, the byte columns that
//! plugins receive, and which rows the predicates of thousands of rules select.
//!
//! Arrow only: nothing here knows DataFusion, object storage, Wasm or async code, so that every stage of the engine can
//! use it on any batch.

pub mod case_folding;
pub mod column;
pub mod explain;
mod field_texts;
pub mod json_path;
pub mod lint;
mod number;
pub mod pattern_cost;
pub mod predicate;
pub mod prefilter;
pub mod resolve;
pub mod sigma;
mod text;

pub use column::{ColumnError, PluginColumn, PluginType, not_utf8, project, render_text};
pub use explain::{Explanation, explain};
pub use field_texts::{FieldTexts, addresses};
pub use predicate::Predicate;
pub use prefilter::{Matches, Methods, PrefilterState, Program, Undecided};
pub use resolve::{FieldValues, ResolveError, Resolved, resolve};
