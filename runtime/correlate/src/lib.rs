//! Findings over event time: correlation, the windows of alerts, and the state that lasts.

mod alert_window;
mod alert_windows;
mod change;
mod checkpoint;
mod correlation_engine;
mod finding;
mod fingerprint;
mod graph;
mod hashing;
mod held_rules;
mod hit;
mod limits;
mod make;
mod node;
mod objects;
mod operator;
mod output;
mod provisional_alerts;
mod shard;
mod spill;
mod step;
pub mod store;
mod watermark;

pub use change::AlertChange;
pub use correlation_engine::CorrelationEngine;
pub use graph::{Graph, GraphError};
pub use node::Size;
pub use operator::{Geolocation, GeolocationError};
pub use spill::{CorrelationError, NoSpill, SpillStore, SpilledKey};
pub use step::{CorrelationOptions, Counters, DroppedFindings, StepOutput};
pub use watermark::Watermark;
