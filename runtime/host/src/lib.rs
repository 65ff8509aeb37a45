//! Loads plugins and runs them in the sandbox, each call inside its limits.
//!
//! A file of bytes becomes a running detector in this order, one module a stage:
//!
//! ```text
//! inspect  what is it? kind, world, contract version, imports; nothing is compiled
//!    │
//!  load    the check against the world, and the errors that name what is wrong
//!    │
//!  cache   compiled code, authenticated, in a private directory
//!    │
//! detector an instance, opened with its rules; on_batch, on_keyed_batch, on_wake, snapshot, restore
//!    │
//!  keyed   the state of the partition key at hand, all or nothing a call
//!    │
//!  limits  time, memory, output and stack of each call      log  the lines that the plugin writes
//!    │
//!  meter   what a call costs, where a caller wants to know
//!    │
//!  error   guest error, trap, limit, garbage or host fault: five different things for a caller
//! ```
//!
//! This is the only crate that names wasmtime. It knows nothing of Arrow, tables, packs on disk or alerts: it takes byte
//! columns and answers findings. It decides about one call; what to retry, to restart or to quarantine is its caller's.

mod bindings;
mod cache;
mod detector;
mod error;
mod host;
mod inspect;
mod keyed;
mod limits;
mod load;
mod log;
mod meter;
mod types;

pub use cache::{CacheError, CacheOutcome, default_cache_dir};
pub use detector::{Detector, DetectorPlugin};
pub use error::{CallError, Frame, LimitExceeded, LimitKind, PluginError, Trap};
pub use host::{Host, HostConfig, HostError};
pub use inspect::{ComponentInfo, ComponentKind, inspect};
pub use load::LoadError;
pub use log::{LogLevel, LogLine};
pub use meter::{CallCost, Meter};
pub use types::{BatchRef, ColumnRef, DataType, Field, RawFinding, RuleSpec};
