//! Plain types of Yagura: rules, packs, findings, alerts and event time.
//!
//! Everything else speaks in these words. The crate knows nothing of Arrow, DataFusion, Wasm or async code, so that
//! tools around Yagura can read packs and alerts without paying for the engine.

pub mod alert;
pub mod capability;
pub mod case;
pub mod causes;
pub mod columns;
pub mod correlation;
pub mod diagnostic;
pub mod duration;
pub mod fault;
pub mod files;
pub mod finding;
pub mod identity;
pub mod json;
pub mod key;
pub mod names;
pub mod pack;
pub mod path;
pub mod references;
pub mod report;
pub mod rule;
pub mod share;
pub mod shown;
pub mod source;
pub mod state;
pub mod time;

pub use alert::{Alert, Evidence, EvidenceEvent};
pub use capability::{CapabilityRequest, Grant, Grants, MostLimits};
pub use correlation::{Correlation, CorrelationKind};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use duration::TimeSpan;
pub use fault::{Fault, FaultKind, HasFault, OrFault};
pub use finding::{EventRef, Finding};
pub use pack::{Pack, PackError};
pub use path::FieldPath;
pub use report::{AlertState, Report};
pub use rule::{AlertPolicy, Rule, Severity};
pub use state::{KeyState, StateEntry};
pub use time::{TimeRange, Timestamp};
