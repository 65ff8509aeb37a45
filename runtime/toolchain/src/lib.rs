//! Compilers that make Wasm: where they are on this machine, and how to get them.
//!
//! The crate needs nothing but the standard library. `cargo xtask` builds the guests of tests with it, before anything else of
//! the workspace is built. It does not know packs or plugins.

pub mod go;
mod paths;
pub mod pypi;
mod rust;

pub use paths::{cache_dir, on_path};
pub use rust::{APT, NoToolchain, TARGET, Toolchain, forget_package, guests_target};
