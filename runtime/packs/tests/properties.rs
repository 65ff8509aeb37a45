//! What holds for every pack and every change: a changed byte is found, and no bytes make a reader panic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use tempfile::TempDir;
use yagura_packs::registry::{PackLock, Reference, load, save};
use yagura_packs::sign::{self, PublicKey, SecretKey, Signature};
use yagura_packs::{Bounds, Contents, FileManifest, Installed, PackPath, TrustPolicy, archive};

const SMALL: Bounds = Bounds {
    files: 64,
    file_bytes: 1 << 20,
    total_bytes: 4 << 20,
};

/// A signed pack as directory and archive, and the policy that trusts it.
struct Signed {
    dir: TempDir,
    archive: Vec<u8>,
    layout: Vec<u8>,
    signature: Vec<u8>,
    manifest: Vec<u8>,
    policy_text: String,
    policy: TrustPolicy,
}

static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let pack = dir.path().join("pack");
    fs::create_dir_all(pack.join("rules/deep")).unwrap();
    fs::write(
        pack.join("pack.toml"),
        "[pack]\nname = \"demo\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n",
    )
    .unwrap();
    fs::write(pack.join("rules/a.toml"), "[rule]\nid = \"a\"\n").unwrap();
    fs::write(
        pack.join("rules/deep/b.toml"),
        "[rule]\nid = \"b\"\n".repeat(20),
    )
    .unwrap();
    fs::write(pack.join("detector.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    let mut contents = Contents::read_dir(&pack, &SMALL).unwrap();
    contents.seal();
    let mut signed = contents.verify().unwrap();
    let made = sign::keygen(&dir.path().join("acme"), None).unwrap();
    let key = SecretKey::read(&made.secret_file, None).unwrap();
    let name = sign::sign(&mut signed, &key, None).unwrap();
    let contents = signed.contents();
    contents.write_seal(&pack, &SMALL).unwrap();
    let (mut bytes, mut layout) = (Vec::new(), Vec::new());
    archive::write(contents, &mut bytes).unwrap();
    save(&[&signed], &mut layout).unwrap();
    let policy_text = format!(
        "[[key]]\nname = \"acme\"\npublic = \"{}\"\npacks = [\"demo\"]\n",
        made.public
    );
    Signed {
        signature: contents.signatures[&name].clone(),
        manifest: contents.manifest.clone().unwrap(),
        policy: TrustPolicy::parse(Path::new("trust.toml"), &policy_text).unwrap(),
        archive: bytes,
        layout,
        policy_text,
        dir,
    }
});

/// Says whether contents are a pack that the policy trusts.
fn is_trusted(contents: Contents) -> bool {
    let pack = contents.verify().ok();
    pack.is_some_and(|pack| {
        SIGNED
            .policy
            .evaluate(&pack, &Installed::default())
            .is_trusted()
    })
}

/// Flips, cuts or lengthens bytes.
fn changed(original: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let flip = (any::<prop::sample::Index>(), 1..=255_u8).prop_map(move |(at, by)| {
        let mut bytes = original.to_vec();
        bytes[at.index(original.len())] ^= by;
        bytes
    });
    let cut = (0..original.len()).prop_map(move |end| original[..end].to_vec());
    let longer = prop::collection::vec(any::<u8>(), 1..40)
        .prop_map(move |more| [original, more.as_slice()].concat());
    prop_oneof![8 => flip, 1 => cut, 1 => longer]
}

/// Exchanges a few bytes for others, so that readers get past the first check.
fn mangled(original: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12).prop_map(
        move |changes| {
            let mut bytes = original.to_vec();
            for (at, by) in changes {
                let index = at.index(bytes.len());
                bytes[index] = by;
            }
            bytes
        },
    )
}

/// Seals a frame again, as an attacker would.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let end = bytes.len().saturating_sub(40);
    bytes.truncate(end);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&[0x5a, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]);
    bytes.extend_from_slice(&digest);
    bytes
}

#[test]
fn the_unchanged_pack_is_trusted() {
    assert!(is_trusted(
        Contents::read_dir(&SIGNED.dir.path().join("pack"), &SMALL).unwrap()
    ));
    assert!(is_trusted(
        archive::read(SIGNED.archive.as_slice(), "x", &SMALL).unwrap()
    ));
    assert_eq!(
        load(SIGNED.layout.as_slice(), "x", &SMALL).unwrap().len(),
        1
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_archive_is_found(bytes in changed(&SIGNED.archive)) {
        let found = archive::read(bytes.as_slice(), "x", &SMALL);
        prop_assert!(!found.is_ok_and(is_trusted));
    }

    /// Whoever seals again still cannot change what the manifest covers.
    #[test]
    fn a_changed_archive_that_was_sealed_again_has_the_same_files(bytes in mangled(&SIGNED.archive)) {
        if let Ok(found) = archive::read(resealed(bytes).as_slice(), "x", &SMALL) {
            let original = archive::read(SIGNED.archive.as_slice(), "x", &SMALL).unwrap();
            let files = found.files.clone();
            prop_assert!(!is_trusted(found) || files == original.files);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), text in "\\PC{0,400}") {
        let _ = archive::read(bytes.as_slice(), "x", &SMALL);
        let _ = archive::read(resealed([&SIGNED.archive[..40], &bytes].concat()).as_slice(), "x", &SMALL);
        let _ = load(bytes.as_slice(), "x", &SMALL);
        let _ = FileManifest::parse(&bytes);
        let _ = Signature::parse(&bytes);
        let _ = FileManifest::parse(text.as_bytes());
        let _ = PublicKey::parse(&text);
        let _ = Reference::parse(&text);
        let _ = TrustPolicy::parse(Path::new("x"), &text);
        let _ = Installed::parse(Path::new("x"), &text);
        let _ = PackLock::parse(Path::new("x"), &text);
    }

    #[test]
    fn no_mangled_text_makes_a_reader_panic(
        manifest in mangled(&SIGNED.manifest),
        signature in mangled(&SIGNED.signature),
        policy in mangled(SIGNED.policy_text.as_bytes()),
        layout in mangled(&SIGNED.layout),
    ) {
        let _ = FileManifest::parse(&manifest);
        let _ = Signature::parse(&signature);
        let _ = TrustPolicy::parse(Path::new("x"), &String::from_utf8_lossy(&policy));
        let _ = load(layout.as_slice(), "x", &SMALL);
    }

    /// What is read is what is written: one manifest, one text.
    #[test]
    fn a_manifest_that_is_read_is_written_the_same(bytes in mangled(&SIGNED.manifest)) {
        if let Ok(read) = FileManifest::parse(&bytes) {
            prop_assert_eq!(read.text().into_bytes(), bytes);
        }
    }

    /// A path of a pack never leaves its directory, whatever it is made of.
    #[test]
    fn a_path_stays_in_its_pack(text in "[a-zA-Z0-9./\\\\: é\u{301}ß]{0,30}") {
        if let Ok(path) = PackPath::parse(&text) {
            let parts = Path::new(path.as_str()).components();
            let mut parts = parts.map(|part| matches!(part, std::path::Component::Normal(_)));
            prop_assert!(parts.all(|is_normal| is_normal), "{}", path);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_in_a_directory_is_found(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), by in 1..=255_u8) {
        let pack = SIGNED.dir.path().join("pack");
        let original = Contents::read_dir(&pack, &SMALL).unwrap();
        let all = original.all();
        let names: Vec<&str> = all.keys().copied().collect();
        let name = names[file.index(names.len())];
        let mut bytes = all[name].to_vec();
        let index = at.index(bytes.len());
        bytes[index] ^= by;
        let copy = tempfile::tempdir().unwrap();
        for (other, content) in &all {
            let target = copy.path().join(other);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            let content = if *other == name { bytes.as_slice() } else { content };
            fs::write(target, content).unwrap();
        }
        let found = Contents::read_dir(copy.path(), &SMALL);
        prop_assert!(!found.is_ok_and(is_trusted), "byte {} of {}", index, name);
    }

    #[test]
    fn any_files_come_back_from_an_archive(files in prop::collection::btree_map("[a-z]{1,8}(/[a-zé日]{1,8}){0,3}", prop::collection::vec(any::<u8>(), 0..1_500), 0..20)) {
        let mut contents = Contents::read_dir(&SIGNED.dir.path().join("pack"), &SMALL).unwrap();
        contents.files = files.iter().filter_map(|(name, bytes)| Some((PackPath::parse(name).ok()?, bytes.clone()))).collect();
        contents.seal();
        let mut bytes = Vec::new();
        archive::write(&contents, &mut bytes).unwrap();
        // Files that are another's folder are no pack.
        if let Ok(back) = archive::read(bytes.as_slice(), "x", &SMALL) {
            prop_assert_eq!(back.files, contents.files);
        } else {
            let clash = files.keys().any(|name| files.keys().any(|other| other.starts_with(&format!("{name}/"))));
            prop_assert!(clash);
        }
    }
}
