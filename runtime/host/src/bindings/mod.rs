//! The plugin contract as Rust types, one module a released version of `wit/`.
//!
//! An older version is converted to the latest here, once, when a component is loaded.

pub(crate) mod v0_1_0;
