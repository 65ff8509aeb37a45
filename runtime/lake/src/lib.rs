//! Tables on object storage: where they lie, what they hold, and how raw logs become one.
//!
//! A table is a prefix of Parquet objects with a [`TableDefinition`] beside them. [`Location`] reaches it on any store,
//! [`ingest`](ingest()) fills it from JSON logs. The crate must not know rules, plugins, alerts or plans: reading a table
//! with DataFusion is the engine's work.

mod azure;
pub mod bytes;
mod credentials;
pub mod definition;
mod discover;
mod epoch_unit;
pub mod error;
mod event_time;
pub mod guard;
mod hash;
pub mod ingest;
mod list;
mod lock;
pub mod names;
mod passed_over;
mod raw;
mod rewritten;
pub mod rows;
mod schema;
mod sizes;
pub mod store;
pub mod table;
mod table_config;
mod table_error;
mod table_listing;
mod times;

pub use credentials::CloudCredentials;
pub use definition::{ColumnDefinition, ColumnKind, OnNullTime, TableDefinition, TimeBounds};
pub use error::LakeError;
pub use ingest::{Format, IngestError, IngestOptions, IngestReport, Progress, ingest};
pub use raw::{CopyError, copy_object, raw_objects, root_of};
pub use rewritten::earlier_names;
pub use sizes::nested_sizes;
pub use store::Location;
pub use times::{ObjectTimes, OddEvents, OddTimes};
