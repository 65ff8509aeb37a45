//! A service: its configuration, the packs that it admits, its loop, and the triage of its alerts.
//!
//! In this order: [`config`] is the file, [`admission`] decides which packs run, [`packs`] loads their rules and plugins,
//! [`listen`] writes syslog from sockets as raw logs, [`sources`] opens raw logs and [`collecting`] ingests them as they arrive,
//! [`serve`] runs the rules over tables that grow, [`outbox`] writes the lines of alerts, and [`answering`] turns them into reports.
//! The crate does not know the command line, or how its results are printed.

pub mod admission;
pub mod answering;
mod collecting;
pub mod config;
mod disk_full;
pub mod listen;
mod live_error;
mod lookups;
pub mod messages;
pub mod outbox;
pub mod packs;
pub mod quarantine_requests;
pub mod serve;
mod signals;
pub mod sources;
