//! From alert to answer: lines of alerts come in, reports of incidents go out.
//!
//! ```text
//! lines of alerts ──▶ triage         suppress, maintenance, staging, inhibit │ group into incidents │ route
//!                       │ one transaction with the number of the last line
//!                       ▼
//!                     store        SQLite or PostgreSQL
//!                       │                         │
//!                       ▼                         ▼
//!                     investigate  enrich,      deliver  a report an incident and notifier, in order,
//!                       at each delay, review     retried, at least once; its receipt is kept
//!                       └──────▶ new revision ────▶
//! ```
//!
//! The crate knows nothing of tables, plugins or HTTP: what carries reports, finds facts and evaluates is handed in
//! ([`ports`]). What is decided about an alert follows from the policy, the alerts and their event times; only delays,
//! retries and rates of reports follow the clock.

pub mod clock;
pub mod deliver;
pub mod email;
pub mod format;
pub mod investigate;
pub mod policy;
pub mod ports;
pub mod render;
pub mod store;
pub mod triage;
mod workers;

pub use clock::Clock;
pub use deliver::{Deliver, DeliverOptions};
pub use investigate::{Investigate, InvestigateOptions, Investigators};
pub use store::{AlertStore, AlertStoreError, StoreLocation};
pub use triage::{Feed, FeedPosition, Triage, TriageCounts, TriageError};
