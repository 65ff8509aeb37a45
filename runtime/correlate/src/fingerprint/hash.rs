//! The hash of a fingerprint.

use sha2::{Digest, Sha256};
use yagura_core::alert::hex;

/// Returns the first half of the SHA-256 of a text, in hexadecimal.
pub(super) fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    hex(&digest[..16])
}
