//! The Open Cybersecurity Schema Framework (OCSF, <https://schema.ocsf.io>): its classes and attributes, and what follows from them.
//!
//! [`Schema::shipped`] is the schema that Yagura ships: version 1.8.0 with the extensions for Linux, macOS and Windows. On it
//! stand three functions over events as JSON:
//!
//! * [`validate()`] finds what the schema does not allow in an event of a class;
//! * [`completed`] adds what follows from what an event has, such as `type_uid` and `severity`;
//! * [`observables()`] finds the values that the schema marks as observables, such as addresses and user names.
//!
//! ```
//! use serde_json::json;
//! use yagura_ocsf::{Schema, completed, observables, validate};
//!
//! let class = Schema::shipped().find_class("authentication")?;
//! let mut event = json!({
//!     "time": 1769760000500_i64,
//!     "activity_name": "logon",
//!     "severity_id": 1,
//!     "metadata": { "product": { "name": "Example" } },
//!     "user": { "name": "mallory" },
//!     "dst_endpoint": { "ip": "192.0.2.300" },
//! });
//! completed(class, event.as_object_mut().expect("an object"));
//! assert_eq!(event["type_uid"], 300201);
//! let problems = validate(class, &event);
//! assert_eq!(problems[0].path, "dst_endpoint.ip");
//! assert!(observables(class, &event).iter().any(|one| one.name == "user.name"));
//! # Ok::<(), yagura_ocsf::UnknownClass>(())
//! ```
//!
//! The schema comes from `schema.txt`, which `cargo xtask ocsf PATH` makes from a release of <https://github.com/ocsf/ocsf-schema>.
//!
//! This crate must not know rules, tables or alerts: it needs names and JSON only.

mod complete;
mod observables;
mod path;
mod read;
mod schema;
mod types;
mod validate;

pub use complete::completed;
pub use observables::{Observable, observables};
pub use path::UnknownAttribute;
pub use schema::{
    Attribute, Category, Class, Constraint, EnumValue, Requirement, Schema, UnknownClass,
};
pub use types::BaseType;
pub use validate::{Problem, ProblemKind, validate};
