//! A pack's tests: which cases there are, what they expect, and what the rules say.
//!
//! A case is a few events and the alerts that one rule must make of them. It runs through the same ingest, engine and
//! alerts as `yagura run`, over a lake in memory that holds its events alone.

pub(crate) mod answers;
mod cases;
mod evaluate;
mod needed;
pub(crate) mod policy;

pub(crate) use cases::{Case, Events, collect};
pub(crate) use evaluate::{Outcome, Suite};
pub(crate) use needed::sigma_ids;
