//! Syslog from sockets, written as raw objects to a store: the one input that is pushed, for what cannot write to a bucket.
//!
//! ```text
//! UDP ─datagrams──────────┐
//! TCP ─┐                  ├─record──▶ lines of JSON ─queue, bounded──▶ objects ─PUT──▶ prefix/DAY/NAME-TIME-RUN-NUMBER.ndjson.zst
//! TLS ─┴─bytes─frames──▶ ─┘                            │
//!                                  full: TCP and TLS wait, datagrams are dropped and counted
//! ```
//!
//! A line of an object is one message with the time at which it was received, and its peer ([`record`]). A message is safe when
//! its object is in the store. Syslog has no acknowledgement: what a killed process had received and not written is lost.
//!
//! This crate must not know how objects are listed and ingested, nor what a message means.

mod connection;
mod counts;
mod framing;
#[cfg(target_os = "linux")]
mod kernel;
mod listener;
mod objects;
mod options;
mod queue;
mod record;
mod tls;
mod udp;

#[cfg(test)]
mod tests;

pub use counts::ListenCounts;
pub use framing::Framing;
pub use listener::{Bound, ListenError, Listener, Stopped};
pub use options::{Compression, ListenLimits, ListenOptions};
pub use tls::{TlsError, TlsFiles, tls_server};
