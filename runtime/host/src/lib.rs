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
//!  plugin  what instances of all worlds share: start, call, what comes back
//!    │
//! detector an instance, opened with its rules; on_batch, on_keyed_batch, on_wake, snapshot, restore
//! enricher, reviewer, notifier   instances that get alerts and reports; responder: what these three share
//!    │
//!  keyed   the state of the partition key at hand, all or nothing a call
//!    │
//!  reach   what they may ask of the host, and through what       imports: the contract's side of it
//!    │
//!  http    requests checked, secrets filled in, answers without them
//!    │
//!  limits  time, memory, output and stack of each call      log  the lines that the plugin writes
//!    │
//!  budget  the memory of all plugins together      instances  those that wait, which give theirs back when it is short
//!    │
//!  meter   what a call costs, where a caller wants to know
//!    │
//!  error   guest error, trap, limit, garbage or host fault: five different things for a caller
//! ```
//!
//! This is the only crate that names wasmtime, and the only one whose HTTP goes where plugins say. It knows nothing of Arrow,
//! tables, packs on disk or incidents: it takes byte columns and answers findings, takes alerts and reports and answers what
//! plugins make of them. It decides about one call; what to retry, to restart or to quarantine is its caller's.

mod bindings;
mod budget;
mod cache;
mod capabilities;
mod detector;
mod enricher;
mod error;
mod host;
pub mod http;
mod imports;
mod inspect;
mod instances;
mod keyed;
mod limits;
mod load;
mod log;
mod meter;
mod notifier;
mod plugin;
mod responder;
mod reviewer;
mod types;

pub use cache::{CacheError, CacheOutcome, default_cache_dir};
pub use capabilities::{
    Caller, Capabilities, ColumnBytes, Events, Lookup, NoTables, Search, SearchQuery, Services,
};
pub use detector::{Detector, DetectorPlugin};
pub use enricher::{Enricher, EnricherPlugin};
pub use error::{CallError, Frame, LimitExceeded, LimitKind, PluginError, Trap};
pub use host::{Host, HostConfig, HostError};
pub use inspect::{ComponentInfo, ComponentKind, inspect};
pub use instances::{InstancePool, PluginInstance};
pub use limits::Pace;
pub use load::LoadError;
pub use log::{LogLevel, LogLine};
pub use meter::{CallCost, Meter};
pub use notifier::{Notifier, NotifierPlugin};
pub use reviewer::{Reviewer, ReviewerPlugin};
pub use types::{BatchRef, ColumnRef, DataType, Field, RawFinding, RuleSpec};
