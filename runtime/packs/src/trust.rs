//! Who may sign which packs: `trust.toml`, and the verdict on a pack.
//!
//! ```toml
//! [[key]]
//! name = "acme"
//! public = "RWQ…"                # the second line of acme.pub
//! packs = ["aws", "team-*"]      # what it may sign
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

mod policy;
mod verdict;

pub use policy::{Requirement, TrustError, TrustPolicy, TrustedKey};
pub use verdict::{Finding, JudgedSignature, Refusal, Verdict};

#[cfg(test)]
mod tests;
