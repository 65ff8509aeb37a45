//! Packs: how they travel, what they are made of, who signed them.

use std::path::Path;

use yagura_alerts::policy::PolicyFile;
use yagura_core::Grants;
use yagura_core::pack::{Manifest, parse_rule};
use yagura_packs::registry::{PackLock, load};
use yagura_packs::sign::{PublicKey, Signature};
use yagura_packs::{Bounds, FileManifest, Installed, TrustPolicy, archive};

/// Small, so that what is over them is found.
const BOUNDS: Bounds = Bounds {
    files: 64,
    file_bytes: 1 << 16,
    total_bytes: 1 << 18,
};

/// What is read is written again to the same.
pub(crate) fn archive(bytes: &[u8]) {
    let Ok(contents) = archive::read(bytes, "archive", &BOUNDS) else {
        return;
    };
    let mut again = Vec::new();
    let written = archive::write(&contents, &mut again);
    assert!(written.is_ok(), "what was read is written: {written:?}");
    let again = archive::read(again.as_slice(), "archive", &BOUNDS);
    assert!(
        again.as_ref().is_ok_and(|again| *again == contents),
        "another pack came back: {again:?}"
    );
    // Says what is wrong with it; that it can is enough.
    let _ = contents.verify();
}

pub(crate) fn archive_inside(bytes: &[u8]) {
    if let Ok(packed) = zstd::encode_all(bytes, 1) {
        archive(&packed);
    }
}

pub(crate) fn layout(bytes: &[u8]) {
    let _ = load(bytes, "layout", &BOUNDS);
}

pub(crate) fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = FileManifest::parse(bytes) {
        let again = FileManifest::parse(manifest.text().as_bytes());
        assert!(
            again.is_ok_and(|again| again == manifest),
            "another manifest came back"
        );
    }
    let _ = Signature::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = PublicKey::parse(text);
    }
}

pub(crate) fn texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let file = Path::new("file.toml");
    let _ = Manifest::read(file, text);
    let _ = parse_rule(file, text);
    let _ = TrustPolicy::parse(file, text);
    let _ = Grants::parse(file, text);
    let _ = PackLock::parse(file, text);
    let _ = Installed::parse(file, text);
    if let Ok(policy) = PolicyFile::parse(file, text.to_owned()) {
        let _ = policy.compile();
    }
}
