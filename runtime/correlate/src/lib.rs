//! Findings over event time: correlation, the windows of alerts, and the state that lasts.

mod checkpoint;
mod correlation_engine;
mod found;
mod graph;
mod hashing;
mod node;
mod operator;
mod provisional;
mod shard;
pub mod store;
mod window;

pub use correlation_engine::{
    Change, CorrelationEngine, CorrelationOptions, Counters, NoSpill, SpillStore, SpilledKey,
    State, StepOutput, Watermark,
};
pub use graph::{Graph, GraphError};
pub use node::Size;
pub use operator::travel::Geolocation;
pub use provisional::Reported;
