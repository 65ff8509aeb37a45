//! The fuzzer: libFuzzer over the target that the environment variable `YAGURA_FUZZ_TARGET` names.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use yagura_fuzz::{TARGET, TARGETS, Target};

fuzz_target!(|bytes: &[u8]| {
    static CHOSEN: OnceLock<Option<Target>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var(TARGET).unwrap_or_default();
        TARGETS.iter().find(|target| target.name == name).copied()
    });
    assert!(chosen.is_some(), "{TARGET} names no target");
    if let Some(target) = chosen {
        (target.read)(bytes);
    }
});
