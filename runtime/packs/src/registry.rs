//! Packs on their way: in registries of containers (OCI), in an image layout for machines without network, with what they
//! need.
//!
//! A pack is an artifact of the type [`PACK`]: `pack.toml` as JSON is its config, each component a layer, everything else
//! one archive. Signatures are artifacts that refer to it, so that signing again does not change its digest.
//! Whatever comes back is compared with its digests and then with the pack's own manifest; who may be trusted is
//! [`crate::trust`]'s to say. All that a registry answers with is bounded (`http.rs`).

mod answer;
mod client;
mod http;
mod image;
mod layout;
mod lock;
mod options;
mod pull;
mod push;
mod reference;
mod resolve;
mod signatures;

pub use answer::AnswerError;
pub use client::{Registry, RegistryError};
pub use image::{Image, ImageError, PACK, SIGNATURE};
pub use layout::{LayoutError, load, save};
pub use lock::{LockError, LockedPack, PackLock};
pub use options::{Credentials, RegistryOptions};
pub use pull::Pulled;
pub use push::Pushed;
pub use reference::{Reference, ReferenceError, VersionSelector};
pub use resolve::{Asker, Conflict, MissingFact, Resolution, Universe, resolve};
