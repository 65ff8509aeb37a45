//! What authors of packs get: templates of new packs, the SDKs, schemas for editors, and components from their sources.
//!
//! The crate calls compilers and writes into packs. It does not know tables, rules at work, or services.

pub mod build;
mod files;
pub mod schema;
pub mod sdk;
pub mod templates;
