//! Search over the events of all tables at once, without a schema to maintain.
//!
//! ```text
//! text of a query ──▶ query        terms, AND, OR, NOT
//!                       │
//!                     lower        for each table: which columns hold such values (kinds) → the predicate that rules have too
//!                       │
//!                     index        which objects of a table, and which rows of them, may hold hits
//!                       │
//!                     table_scan   objects in slices of time → one scan a slice, prefilter inside the reader (yagura-plan)
//!                       │            → hits (hits) → sorted, in temporary files where memory does not suffice
//!                     merge        one timeline of all tables, the newest first or the oldest
//! ```
//!
//! Instead of a timeline it also yields counts over time ([`Histogram`]) and the observables of all hits ([`Pivot`]).
//!
//! Knows neither rules of packs nor alerts, commands nor output.

mod counting_store;
mod event_json;
mod histogram;
mod hits;
mod hits_file;
mod index;
mod kinds;
mod lower;
mod merge;
mod pivot;
mod query;
mod search;
mod table_scan;

pub use histogram::Histogram;
pub use hits_file::HitsFile;
pub use index::{IndexError, IndexReport, KnownValue, KnownValues, known_values, update_index};
pub use kinds::Kind;
pub use merge::{Hits, SearchHit};
pub use pivot::{CountedObservable, Pivot};
pub use query::{Query, QueryError};
pub use search::{
    HitOrder, MIN_SORT_MEMORY, Search, SearchError, SearchOptions, SearchProgress, SearchTable,
};
