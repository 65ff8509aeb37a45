//! From lines of alerts to reports: triage with what it needs from outside, as a configuration names it.
//!
//! [`TriageLink`] is what the service's loop holds. It opens a running triage, whose ports are plugins, e-mail, searches and
//! lookup tables.

mod audit;
mod link;
mod network;
mod plugins;
mod policy;
mod ports;
mod running;
mod services;

pub use link::TriageLink;
pub use network::Network;
pub use plugins::{capabilities, read as read_component};
pub use policy::read_policy;
pub use ports::try_plugins;
pub use services::{TIME, text_column};
