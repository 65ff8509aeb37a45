//! How plugins reach servers.
//!
//! A plugin passes a request with placeholders; this crate checks it, fills the secrets in, sends it, and returns an answer
//! in which every secret is a placeholder again. A request passes these modules in this order:
//!
//! ```text
//! service    one call of a plugin: its redirects, its deadline, its record
//!    │
//! request    method, headers, size
//!    │
//! template   placeholders found, the URL parsed                ◀── each redirect of GET and HEAD begins here again
//!    │
//! transport  server and secrets checked against manifest and grant
//!    │
//! cache      an earlier answer   rate   too many calls?
//!    │
//! live       name resolved, addresses checked (address), secrets filled in (secrets), sent, read, redacted (redact)
//!    │         or record: the same, recorded; or replay: answered from a recording (exchange: its format)
//! outcome    what the caller must know: uncertain, wait until
//!    │
//! audit      the record of every call, refused calls included (mask: URLs without their tokens)
//! ```
//!
//! It knows plugins by name only: nothing of Wasm, of the sandbox, of rules or of alerts. What a plugin may reach is decided by
//! [`GrantedAccess`](yagura_core::capability::GrantedAccess). The crate `yagura-host` offers it to plugins as the import `http`.

mod address;
mod audit;
mod cache;
mod error;
mod exchange;
mod live;
mod mask;
mod outcome;
mod rate;
mod record;
mod redact;
mod replay;
mod request;
mod secrets;
mod service;
mod template;
mod transport;

pub use audit::{CallLog, HttpCall, NoCallLog, PluginId};
pub use cache::{HttpCache, MemoryCache};
pub use error::HttpError;
pub use exchange::{Bytes, Exchange, RecordedError, RecordingError};
pub use live::{LiveTransport, LiveTransportError, Resolve, SystemResolver};
pub use mask::masked;
pub use outcome::CallOutcome;
pub use rate::CallLimit;
pub use record::RecordingTransport;
pub use replay::Replay;
pub use request::{BodySignature, HttpRequest, HttpResponse};
pub use secrets::{Secret, SecretError, SecretReadError, SecretSource, Secrets};
pub use service::{HttpCaller, HttpPolicy, HttpService, HttpSettings};
pub use template::{disarm, disarmed};
pub use transport::{ExchangeError, Outgoing, Transport};
