//! The Open Cybersecurity Schema Framework (OCSF, <https://schema.ocsf.io>): its classes and attributes, and what follows from them.
//!
//! [`Schema::shipped`] is the schema that Yagura ships: version 1.8.0 with the extensions for Linux, macOS and Windows. On it
//! stand three functions over events as JSON:
//!
//! * [`validate()`] finds what the schema does not allow in an event of a class;
//! * [`completed`] adds what follows from what an event has, such as `type_uid` and `severity`;
//! * [`observables()`] finds the values that the schema marks as observables, such as addresses and user names.
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
