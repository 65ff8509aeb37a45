//! The crate from outside, on SQLite; and the same on PostgreSQL, where there is one.
//!
//! * [`support`]: alerts, policies, stores, a notifier with a server's memory.
//! * [`triage`]: the outcome of alerts.
//! * [`feed`]: which lines a store takes.
//! * [`identity`]: batches and restarts change nothing (random alerts and policies).
//! * [`deliver`]: reports, failures, dead letters, limits.
//! * [`flood`]: ten thousand alerts of one rule beside others.
//! * [`investigate`]: enrichers at their delays, reviewers after them.
//! * [`crash`]: a process that dies at any point reports everything, and nothing twice.
//! * [`acting`]: what humans do, from another process.
//! * [`store`]: who may use a store, and what it must withstand.
//! * [`postgres`]: all of this on a server.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail the test")]

mod acting;
mod crash;
mod deliver;
mod feed;
mod flood;
mod identity;
mod investigate;
mod postgres;
mod store;
mod support;
mod triage;
