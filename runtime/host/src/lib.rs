//! Loads plugins and runs them in the sandbox, each call within its limits.
//!
//! A file becomes a running plugin in this order:
//!
//! ```text
//! inspect    kind, world, contract version and imports of the file; nothing is compiled
//!    │
//! load       the check against the world (contract), compiling (cache), linking, a first start; its errors: load_error
//!    │
//! plugin     a compiled plugin of any world (worlds, bindings) and its instances: start, call, result
//!    │
//! detector · normalizer · enricher · reviewer · notifier      the calls of each world; normalized: the check of a normalizer's
//!                                                             answer; responder: the common part of the last three
//! ```
//!
//! A call of an instance uses:
//!
//! ```text
//! host_state    everything below for one instance; made ready for each call
//!    ├─ limits        the fixed limits and ticks         processor   the processor time of calls that give way
//!    ├─ memory        memory and tables of the instance  budget      the memory of all plugins together
//!    ├─ keyed         the state of the current key; changes stay only if the call succeeds
//!    ├─ capabilities  HTTP, search and lookup, as far as they are granted
//!    ├─ log           log lines of the plugin            text        its texts, made safe to show
//!    └─ meter         the cost of the call, if a caller wants to know it
//! imports       the contract's side of state, capabilities and log
//! instances     idle instances, which are dropped if memory is short
//! error         guest error, trap (backtrace), limit_exceeded, invalid answer or host fault; classify finds which
//! ```
//!
//! This is the only crate that names wasmtime. It does not know Arrow, tables, packs on disk or incidents: it takes byte columns
//! and returns findings, it takes raw records and returns events as text, it takes alerts and reports and returns what plugins
//! make of them. HTTP itself is the crate
//! [`yagura_http`]. This crate decides about one call; its caller decides what to retry, to restart or to quarantine.

mod backtrace;
mod bindings;
mod budget;
mod cache;
mod capabilities;
mod classify;
mod contract;
mod detector;
mod enricher;
mod error;
mod host;
mod host_state;
mod imports;
mod inspect;
mod instances;
mod keyed;
mod limit_exceeded;
mod limits;
mod load;
mod load_error;
mod log;
mod memory;
mod meter;
mod normalized;
mod normalizer;
mod notifier;
mod plugin;
mod processor;
mod responder;
mod reviewer;
mod text;
mod types;
mod worlds;

pub use backtrace::Frame;
pub use cache::{CacheError, CacheOutcome, default_cache_dir};
pub use capabilities::{
    Caller, Capabilities, ColumnBytes, Lookup, NoTables, SearchPort, SearchQuery, SearchedEvents,
    Services,
};
pub use detector::{Detector, DetectorPlugin};
pub use enricher::{Enricher, EnricherPlugin};
pub use error::{CallError, PluginError, Trap};
pub use host::{Host, HostConfig, HostError};
pub use inspect::{ComponentInfo, ComponentKind, inspect};
pub use instances::{InstancePool, PluginInstance};
pub use limit_exceeded::{LimitExceeded, LimitKind};
pub use limits::Pace;
pub use load_error::LoadError;
pub use log::{LogLevel, LogLine};
pub use meter::{CallCost, Meter};
pub use normalized::{NormalizedRecords, RecordContent};
pub use normalizer::{Normalizer, NormalizerPlugin, RawRecords};
pub use notifier::{Notifier, NotifierPlugin};
pub use reviewer::{Reviewer, ReviewerPlugin};
pub use types::{BatchRef, ColumnRef, DataType, Field, RawFinding, RuleSpec};
