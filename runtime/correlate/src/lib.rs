//! Findings over event time: correlation, the windows of alerts, and the state that lasts.

mod checkpoint;
mod fold;
mod found;
mod graph;
mod group;
mod hashing;
mod machine;
mod provisional;
mod stage;
pub mod store;
mod window;

pub use fold::{
    Change, ColdKey, ColdStore, Counters, Fold, FoldOptions, Mark, NoCold, State, StepOutput,
};
pub use graph::{Graph, GraphError};
pub use machine::travel::Places;
pub use provisional::Reported;
pub use stage::Size;
