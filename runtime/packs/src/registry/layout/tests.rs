//! Files of packs: what was saved comes back, and what was changed in between is found.

use std::error::Error;

use super::*;
use crate::sign::sign;
use crate::testing::{key, verified, verified_of};

fn saved(packs: &[&VerifiedPack]) -> Vec<u8> {
    let mut bytes = Vec::new();
    save(packs, &mut bytes).unwrap();
    bytes
}

fn signed() -> VerifiedPack {
    let (_dir, key) = key();
    let toml = "[pack]\nname = \"demo\"\nversion = \"1.2.0\"\napi = \"0.1.0\"\n";
    let mut pack = verified_of(
        toml,
        &[
            ("a.wasm", "\0asm"),
            ("empty.wasm", ""),
            ("rules/a.toml", "a"),
        ],
    );
    sign(&mut pack, &key, None).unwrap();
    pack
}

fn entries(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    read_entries(bytes, &Bounds::default()).unwrap()
}

/// Writes entries as another tool does.
fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o600);
        header.set_mtime(1_700_000_000);
        header.set_size(bytes.len() as u64);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn message(bytes: &[u8]) -> String {
    let error = load(bytes, "x.tar", &Bounds::default()).unwrap_err();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

#[test]
fn packs_come_back_with_their_signatures_and_the_same_bytes() {
    let (demo, other) = (signed(), verified("other", "0.1.0", "b"));
    let bytes = saved(&[&demo, &other]);
    assert_eq!(bytes, saved(&[&other, &demo, &demo]));
    let loaded = load(bytes.as_slice(), "x.tar", &Bounds::default()).unwrap();
    assert_eq!(loaded.len(), 2);
    let back = loaded.iter().find(|pack| pack.name() == "demo").unwrap();
    assert_eq!(back.contents().files, demo.contents().files);
    assert_eq!(back.contents().signatures, demo.contents().signatures);
    assert_eq!(saved(&[back]), saved(&[&demo]));
}

#[test]
fn what_another_tool_wrote_is_read() {
    let demo = signed();
    let all = entries(&saved(&[&demo]));
    let folders: [(&str, EntryType, &[u8]); 2] = [
        ("blobs/", EntryType::Directory, b""),
        ("blobs/sha256/", EntryType::Directory, b""),
    ];
    let files = all
        .iter()
        .map(|(name, bytes)| (name.as_str(), EntryType::Regular, bytes.as_slice()));
    let bytes = archive(&folders.into_iter().chain(files).collect::<Vec<_>>());
    let loaded = load(bytes.as_slice(), "x.tar", &Bounds::default()).unwrap();
    assert_eq!(loaded[0].contents().files, demo.contents().files);
}

#[test]
fn a_blob_that_was_changed_or_taken_is_refused() {
    let all = entries(&saved(&[&signed()]));
    for name in all.keys().filter(|name| name.starts_with("blobs/")) {
        let changed = all.iter().map(|(other, bytes)| {
            let mut bytes = bytes.clone();
            if other == name {
                bytes[0] ^= 1;
            }
            (other.clone(), bytes)
        });
        let changed: Vec<(String, Vec<u8>)> = changed.collect();
        let list: Vec<(&str, EntryType, &[u8])> = changed
            .iter()
            .map(|(name, bytes)| (name.as_str(), EntryType::Regular, bytes.as_slice()))
            .collect();
        assert!(message(&archive(&list)).contains("is not what its name says: it was changed"));
        let without: Vec<_> = list
            .into_iter()
            .filter(|(other, ..)| other != name)
            .collect();
        // Without the blob of a signature the pack is one without signature; its config says nothing and is not read.
        let is_signed = all[name] == b"{}";
        let loaded = load(archive(&without).as_slice(), "x.tar", &Bounds::default());
        match loaded {
            Ok(packs) => assert_eq!(!packs[0].contents().signatures.is_empty(), is_signed),
            Err(error) => assert!(matches!(
                error,
                LayoutError::Image {
                    source: ImageError::NoBlob(_),
                    ..
                }
            )),
        }
    }
}

#[test]
fn what_has_no_place_in_a_layout_is_refused() {
    for (name, kind) in [
        ("../x", EntryType::Regular),
        ("/etc/passwd", EntryType::Regular),
        ("blobs/sha256/x", EntryType::Regular),
        ("oci-layout", EntryType::Symlink),
        ("other/", EntryType::Directory),
    ] {
        let refusal = message(&archive(&[(name, kind, b"")]));
        assert!(
            refusal.contains("has no place in an image layout"),
            "{refusal}"
        );
    }
    let twice = ("oci-layout", EntryType::Regular, LAYOUT);
    assert!(message(&archive(&[twice, twice])).contains("has no place"));
    assert!(message(&archive(&[twice])).ends_with("it has no index"));
    assert!(message(&archive(&[])).ends_with("it has no `oci-layout`"));
    let small = Bounds {
        total_bytes: 1_000,
        ..Bounds::default()
    };
    let error = load(saved(&[&signed()]).as_slice(), "x.tar", &small).unwrap_err();
    assert!(matches!(error, LayoutError::Excess { .. }), "{error}");
}

#[test]
fn an_image_that_says_other_than_its_pack_is_refused() {
    let pack = verified("demo", "1.2.0", "a");
    let image = Image::of(&pack).unwrap();
    let bounds = Bounds::default();
    let mut manifest = image::read_pack_manifest(&image.manifest, &bounds).unwrap();
    let mut blobs: BTreeMap<String, Vec<u8>> = image
        .blobs
        .iter()
        .map(|(digest, bytes)| (digest.tagged(), bytes.clone()))
        .collect();
    let lie = String::from_utf8(blobs[&manifest.config.digest].clone()).unwrap();
    let lie = lie.replace("1.2.0", "9.9.9").into_bytes();
    manifest.config.digest = Digest::of(&lie).tagged();
    blobs.insert(manifest.config.digest.clone(), lie);
    let error = image::read_pack(&manifest, &blobs, BTreeMap::new(), "x", &bounds).unwrap_err();
    assert!(matches!(error, ImageError::Config), "{error}");

    let index = serde_json::to_vec(&Index::new(Vec::new())).unwrap();
    let error = image::read_pack_manifest(&index, &bounds).unwrap_err();
    assert!(matches!(error, ImageError::Json { .. }), "{error}");
    let other = String::from_utf8(image.manifest)
        .unwrap()
        .replace(PACK, "application/vnd.other");
    let error = image::read_pack_manifest(other.as_bytes(), &bounds).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it is of the type `application/vnd.other`"),
        "{error}"
    );
}
