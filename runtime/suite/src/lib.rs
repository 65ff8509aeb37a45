//! The tests of packs and policies: which cases there are, what they expect, and how rules and plugins evaluate them.
//!
//! A case is a few events and the alerts that one rule must make of them. It runs through the same ingest, engine and
//! alerts as `yagura run`, over a lake in memory that holds its events alone.

mod answer_file;
pub mod answers;
mod cases;
mod compare;
mod evaluate;
mod needed;
mod outcome;
pub mod policy;
mod recorded_services;
pub mod sources;

pub use cases::{Case, CaseEvents, Cases, Expected, collect};
pub use evaluate::Suite;
pub use needed::sigma_ids;
pub use outcome::Outcome;
