//! Findings over event time: correlation, the windows of alerts, and the state that lasts.

mod checkpoint;
mod correlation_engine;
mod found;
mod graph;
mod shard;
mod hashing;
mod operator;
mod provisional;
mod node;
pub mod store;
mod window;

pub use correlation_engine::{
    Change, SpilledKey, SpillStore, Counters, CorrelationEngine, CorrelationOptions, Watermark, NoSpill, State, StepOutput,
};
pub use graph::{Graph, GraphError};
pub use operator::travel::Geolocation;
pub use provisional::Reported;
pub use node::Size;
