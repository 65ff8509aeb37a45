//! The crate from outside, on SQLite; and the same on PostgreSQL, where there is one.
//!
//! * [`support`]: alerts, policies, stores, ports that remember.
//! * [`desk`]: what becomes of alerts.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail the test")]

mod desk;
mod support;
