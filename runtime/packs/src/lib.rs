//! Packs as files that a team can trust: what belongs to one, what it is made of, who signed it, what it may reach, and how
//! it travels.
//!
//! In this order: names and files ([`names`], [`files`]), the pack in memory and its manifest ([`contents`], [`manifest`]), the pack in one file ([`archive`]),
//! keys and signatures ([`sign`]), who is trusted and what was used before ([`trust`], [`installed`]), what is asked for and granted
//! ([`grants`]), what it is made of ([`sbom`]), how it
//! travels ([`registry`]), and all of it together for an author ([`author`]) and on the way into a
//! service ([`gate`]).
//!
//! The crate prints nothing and asks nobody: it returns results, and the commands print them. It must not know DataFusion,
//! Arrow or wasmtime: a component is a file like others here.

pub mod archive;
pub mod author;
pub mod contents;
pub mod digest;
mod fault;
pub mod files;
pub mod gate;
pub mod grants;
pub mod installed;
pub mod manifest;
pub mod names;
pub mod registry;
pub mod sbom;
pub mod sign;
#[cfg(test)]
mod testing;
pub mod trust;

pub use archive::{ArchiveError, ArchiveProblem};
pub use contents::{Contents, UnpackError, VerifiedPack, VerifyError};
pub use digest::Digest;
pub use files::{Bounds, Excess, FilesError, PackFiles};
pub use gate::{Gate, GateError, OpenedPack};
pub use installed::Installed;
pub use manifest::{FileDifference, FileManifest};
pub use names::{NameError, NameProblem, PackPath};
pub use trust::{TrustPolicy, TrustVerdict};
