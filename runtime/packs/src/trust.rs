//! Who may sign which packs: `trust.toml`, and the verdict on a pack.
//!
//! ```toml
//! [[key]]
//! name = "acme"
//! public = "RWQ…"                # the second line of acme.pub
//! packs = ["aws", "team-*"]      # what it may sign
//!
//! [[identity]]                   # keyless, with sigstore: in programs built with that feature
//! name = "acme-ci"
//! identity = "https://github.com/acme/packs/.github/workflows/release.yml@refs/heads/main"
//! issuer = "https://token.actions.githubusercontent.com"
//! packs = ["aws"]
//!
//! [[require]]                    # all that match a pack must be met; where none does, one signature is enough
//! packs = ["team-*"]
//! all_of = ["acme"]
//! any_of = ["review-1", "review-2"]
//! at_least = 1                   # of any_of; without any_of, of all keys that may sign the pack
//!
//! [[unsigned]]                   # packs that need no signature
//! packs = ["scratch-*"]
//! ```

#[cfg(feature = "sigstore")]
mod keyless;
mod policy;
mod verdict;

pub use policy::{Requirement, Signer, TrustError, TrustPolicy, TrustedKey};
pub use verdict::{CheckedSignature, Refusal, SignatureStatus, TrustVerdict};

#[cfg(test)]
mod tests;
