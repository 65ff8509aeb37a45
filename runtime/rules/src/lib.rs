//! What a rule needs of Arrow data: where a field path leads in a schema, the values there, and the byte columns that
//! plugins receive.
//!
//! Arrow only: nothing here knows DataFusion, object storage, Wasm or async code, so that every stage of the engine,
//! and later the prefilter, can use it on any batch.

pub mod column;
pub mod json_path;
pub mod resolve;

pub use column::{ColumnError, PluginColumn, PluginType, project, render_text};
pub use resolve::{ResolveError, Resolved, resolve};
