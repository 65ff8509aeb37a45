//! The hash by which keys are spread and found. Whoever writes log content chooses the keys, so it is keyed.

use std::hash::{BuildHasher, RandomState};

use siphasher::sip::SipHasher13;

/// How keys are hashed: SipHash-1-3 under a random key. A state stores its key, because what it keeps is found by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hashing(Option<[u64; 2]>);

impl Hashing {
    /// Returns one under a key of the process, for what is not stored.
    pub(crate) fn random() -> Self {
        let keys = RandomState::new();
        Self::with([keys.hash_one(0_u8), keys.hash_one(1_u8)])
    }

    /// Returns the one of a state with this key.
    pub(crate) fn with(key: [u64; 2]) -> Self {
        Self(Some(key))
    }

    /// Returns the one of a state that an earlier version made: FNV-1a, then mixed, without a key.
    pub(crate) fn without_key() -> Self {
        Self(None)
    }

    /// Returns the hash of a key.
    pub(crate) fn of(self, key: &str) -> u64 {
        match self.0 {
            Some([first, second]) => SipHasher13::new_with_keys(first, second).hash(key.as_bytes()),
            None => fnv(key),
        }
    }
}

fn fnv(key: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in key.as_bytes() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_follows_from_its_key_alone() {
        // Stored states are found by it: it must never change.
        assert_eq!(
            Hashing::with([1, 2]).of("user"),
            Hashing::with([1, 2]).of("user")
        );
        assert_ne!(
            Hashing::with([1, 2]).of("user"),
            Hashing::with([1, 3]).of("user")
        );
        assert_ne!(Hashing::random().of("user"), Hashing::random().of("user"));
        // The first vector of SipHash-1-3: key 00 01 … 0f, no input.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(Hashing::with(key).of(""), 0xabac_0158_050f_c4dc);
        assert_eq!(
            Hashing::without_key().of("k"),
            Hashing::without_key().of("k")
        );
    }
}
