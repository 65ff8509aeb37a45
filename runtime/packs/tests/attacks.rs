//! What an attacker may do to a pack, one case a test, and what the operator reads.
//!
//! Everything goes through the gate that a service opens packs by. What is meant: a pack `demo` 1.2.0 was signed by `acme`,
//! whom the operator trusts for it; then somebody changes what lies on the disk.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use yagura_core::Grants;
use yagura_packs::sign::{self, SecretKey};
use yagura_packs::{
    Bounds, Contents, Gate, Installed, OpenedPack, PackPath, TrustPolicy, VerifiedPack, archive,
};

/// An operator's machine with a signed pack on it.
struct Scene {
    dir: TempDir,
    acme: SecretKey,
    trust: TrustPolicy,
    installed: Installed,
    grants: Grants,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let acme = key(dir.path(), "acme");
        let trust = policy(&[("acme", &acme, "[\"demo\"]")]);
        let scene = Self {
            dir,
            acme,
            trust,
            installed: Installed::default(),
            grants: Grants::default(),
        };
        scene.write("1.2.0", "", &scene.acme);
        scene
    }

    fn pack(&self) -> PathBuf {
        self.dir.path().join("demo")
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("demo.tar.zst")
    }

    /// Writes the pack as a directory and as an archive, signed.
    fn write(&self, version: &str, rest: &str, key: &SecretKey) {
        let _ = fs::remove_dir_all(self.pack());
        fs::create_dir_all(self.pack().join("rules")).unwrap();
        let toml =
            format!("[pack]\nname = \"demo\"\nversion = \"{version}\"\napi = \"0.1.0\"\n{rest}");
        fs::write(self.pack().join("pack.toml"), toml).unwrap();
        for rule in ["a", "b"] {
            fs::write(self.pack().join(format!("rules/{rule}.toml")), rule).unwrap();
        }
        let bounds = Bounds::default();
        let mut contents = Contents::read_dir(&self.pack(), &bounds).unwrap();
        contents.seal();
        let mut pack = contents.verify().unwrap();
        sign::sign(&mut pack, key, None).unwrap();
        pack.contents().write_seal(&self.pack(), &bounds).unwrap();
        archive::write_file(pack.contents(), &self.archive(), &bounds).unwrap();
    }

    fn gate(&self) -> Gate<'_> {
        Gate {
            trust: Some(&self.trust),
            installed: &self.installed,
            grants: &self.grants,
            bounds: Bounds::default(),
            allow_rollback: false,
        }
    }

    fn open(&self, path: &Path) -> Result<OpenedPack, String> {
        self.gate().open(path).map_err(|error| text_of(&error))
    }

    /// Opens directory and archive, which must both be refused, with the same words.
    fn refused(&self) -> String {
        let message = self.open(&self.pack()).unwrap_err();
        let archived = self.open(&self.archive()).unwrap_err();
        assert_eq!(message, archived);
        message
    }

    /// Makes an archive of changed contents, as an attacker would who knows the format.
    fn repack(&self, change: impl FnOnce(&mut Contents)) {
        let mut contents = archive::read_file(&self.archive(), &Bounds::default()).unwrap();
        change(&mut contents);
        archive::write_file(&contents, &self.archive(), &Bounds::default()).unwrap();
    }
}

fn key(dir: &Path, name: &str) -> SecretKey {
    let made = sign::keygen(&dir.join(name), None).unwrap();
    SecretKey::read(&made.secret_file, None).unwrap()
}

fn policy(keys: &[(&str, &SecretKey, &str)]) -> TrustPolicy {
    let keys = keys.iter().map(|(name, key, packs)| {
        format!(
            "[[key]]\nname = \"{name}\"\npublic = \"{}\"\npacks = {packs}\n",
            key.public()
        )
    });
    TrustPolicy::parse(Path::new("trust.toml"), &keys.collect::<String>()).unwrap()
}

fn text_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

fn path(name: &str) -> PackPath {
    PackPath::parse(name).unwrap()
}

/// Gives a header what `yagura pack` gives it.
fn plain(header: &mut tar::Header) {
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
}

/// Writes a tar archive of entries with these names, sealed as `yagura pack` does.
fn tar(file: &Path, entries: &[(&str, tar::EntryType)]) {
    use sha2::{Digest, Sha256};
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(*kind);
        plain(&mut header);
        header.set_size(0);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..168].copy_from_slice(match kind {
            tar::EntryType::Regular => &[0; 11],
            _ => b"/etc/passwd",
        });
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
    }
    let tar = builder.into_inner().unwrap();
    let mut bytes = zstd::bulk::compress(&tar, 3).unwrap();
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&[0x5a, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]);
    bytes.extend_from_slice(&digest);
    fs::write(file, bytes).unwrap();
}

#[test]
fn nothing_was_done() {
    let scene = Scene::new();
    for path in [scene.pack(), scene.archive()] {
        let opened = scene.open(&path).unwrap();
        assert_eq!(
            opened.verdict.unwrap().to_string(),
            "`demo` 1.2.0 is signed by `acme`"
        );
    }
}

#[test]
fn a_file_was_tampered_with() {
    let scene = Scene::new();
    fs::write(scene.pack().join("rules/a.toml"), "A").unwrap();
    let message = scene.open(&scene.pack()).unwrap_err();
    let expected = "differs from its MANIFEST.sha256: `rules/a.toml` was changed; if these changes are yours, sign the pack \
                    again, otherwise get it again and do not use this copy";
    assert!(message.ends_with(expected), "{message}");
    scene.repack(|contents| {
        contents.files.insert(path("rules/a.toml"), b"A".to_vec());
    });
    let message = scene.open(&scene.archive()).unwrap_err();
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn a_file_was_added() {
    let scene = Scene::new();
    fs::write(scene.pack().join("rules/evil.toml"), "x").unwrap();
    let message = scene.open(&scene.pack()).unwrap_err();
    assert!(
        message.contains("MANIFEST.sha256: `rules/evil.toml` was added;"),
        "{message}"
    );
    scene.repack(|contents| {
        contents
            .files
            .insert(path("rules/evil.toml"), b"x".to_vec());
    });
    let message = scene.open(&scene.archive()).unwrap_err();
    assert!(
        message.contains("MANIFEST.sha256: `rules/evil.toml` was added;"),
        "{message}"
    );
}

#[test]
fn a_file_was_added_where_leftovers_lie() {
    let scene = Scene::new();
    fs::create_dir(scene.pack().join("rules/target")).unwrap();
    fs::write(scene.pack().join("rules/target/evil.toml"), "x").unwrap();
    let message = scene.open(&scene.pack()).unwrap_err();
    assert!(
        message.contains("lies where rules or tables are read: remove or rename it"),
        "{message}"
    );
}

#[test]
fn a_file_was_removed() {
    let scene = Scene::new();
    fs::remove_file(scene.pack().join("rules/b.toml")).unwrap();
    let message = scene.open(&scene.pack()).unwrap_err();
    assert!(
        message.contains("MANIFEST.sha256: `rules/b.toml` is missing;"),
        "{message}"
    );
    scene.repack(|contents| {
        contents.files.remove(&path("rules/b.toml"));
    });
    let message = scene.open(&scene.archive()).unwrap_err();
    assert!(
        message.contains("MANIFEST.sha256: `rules/b.toml` is missing;"),
        "{message}"
    );
}

#[test]
fn file_and_manifest_were_changed_together() {
    let scene = Scene::new();
    let bounds = Bounds::default();
    let signature = fs::read(scene.pack().join("MANIFEST.sha256.minisig")).unwrap();
    fs::write(scene.pack().join("rules/a.toml"), "A").unwrap();
    let mut contents = Contents::read_dir(&scene.pack(), &bounds).unwrap();
    contents.seal();
    contents
        .signatures
        .insert(path("MANIFEST.sha256.minisig"), signature);
    contents.write_seal(&scene.pack(), &bounds).unwrap();
    archive::write_file(&contents, &scene.archive(), &bounds).unwrap();
    let message = scene.refused();
    assert!(
        message.contains("the signature `MANIFEST.sha256.minisig` is broken: it does not fit the manifest and the key"),
        "{message}"
    );
}

#[test]
fn the_signature_was_taken_away() {
    let scene = Scene::new();
    fs::remove_file(scene.pack().join("MANIFEST.sha256.minisig")).unwrap();
    scene.repack(|contents| contents.signatures.clear());
    let message = scene.refused();
    assert!(message.contains("`demo` has no signature"), "{message}");
    assert!(
        message.ends_with("[[unsigned]]\npacks = [\"demo\"]"),
        "{message}"
    );
}

#[test]
fn it_was_signed_by_an_unknown_key() {
    let scene = Scene::new();
    let mallory = key(scene.dir.path(), "mallory");
    scene.write("1.2.0", "", &mallory);
    let message = scene.refused();
    let id = mallory.public().id();
    assert!(
        message.contains(&format!(
            "`demo` is signed by the key {id}, which is not in the policy"
        )),
        "{message}"
    );
}

#[test]
fn it_was_signed_by_a_key_for_other_packs() {
    let mut scene = Scene::new();
    let web = key(scene.dir.path(), "web");
    scene.trust = policy(&[
        ("acme", &scene.acme, "[\"demo\"]"),
        ("web", &web, "[\"web-*\"]"),
    ]);
    scene.write("1.2.0", "", &web);
    let message = scene.refused();
    assert!(
        message.contains("`demo` is signed by the key `web`, which may sign `web-*`"),
        "{message}"
    );
    assert!(
        message.ends_with("packs = [\"web-*\", \"demo\"]"),
        "{message}"
    );
}

#[test]
fn a_key_pretends_to_be_another() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let scene = Scene::new();
    let mallory = key(scene.dir.path(), "mallory");
    scene.write("1.2.0", "", &mallory);
    let file = scene.pack().join("MANIFEST.sha256.minisig");
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut bytes = STANDARD.decode(&lines[1]).unwrap();
    let acme = STANDARD.decode(scene.acme.public().to_string()).unwrap();
    bytes[2..10].copy_from_slice(&acme[2..10]);
    lines[1] = STANDARD.encode(bytes);
    let text = format!("{}\n", lines.join("\n"));
    fs::write(&file, &text).unwrap();
    scene.repack(|contents| {
        contents
            .signatures
            .insert(path("MANIFEST.sha256.minisig"), text.into_bytes());
    });
    let message = scene.refused();
    assert!(
        message.contains(
            "it bears the id of the key `acme`, which did not make it: do not use this copy"
        ),
        "{message}"
    );
}

#[test]
fn an_older_version_was_put_back() {
    let mut scene = Scene::new();
    let opened = scene.open(&scene.archive()).unwrap();
    scene.installed.record(&opened.pack);
    scene.write("1.1.0", "", &scene.acme);
    let message = scene.refused();
    assert!(
        message.contains("`demo` 1.1.0 is older than 1.2.0, which was used here before"),
        "{message}"
    );
    let forced = Gate {
        allow_rollback: true,
        ..scene.gate()
    };
    assert!(forced.open(&scene.archive()).is_ok());
    // Where nobody signs either, once it is written down what was used.
    let unsigned = Gate {
        trust: None,
        ..scene.gate()
    };
    let message = text_of(&unsigned.open(&scene.pack()).unwrap_err());
    assert!(
        message.contains("`demo` 1.1.0 is older than 1.2.0, which was used here before"),
        "{message}"
    );
}

#[test]
fn an_archive_leads_out_of_the_pack() {
    let scene = Scene::new();
    for (name, reason) in [
        (
            "../../etc/cron.d/evil",
            "leads out of its folder by `.` or `..`",
        ),
        (
            "/etc/cron.d/evil",
            "is absolute: paths of a pack begin at its directory",
        ),
    ] {
        tar(&scene.archive(), &[(name, tar::EntryType::Regular)]);
        let message = scene.open(&scene.archive()).unwrap_err();
        assert!(
            message.ends_with(&format!("demo.tar.zst: `{name}` {reason}")),
            "{message}"
        );
    }
}

#[test]
fn an_archive_has_links() {
    let scene = Scene::new();
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        tar(&scene.archive(), &[("rules", kind)]);
        let message = scene.open(&scene.archive()).unwrap_err();
        assert!(
            message.ends_with("`rules` is a link: an archive of a pack has regular files only"),
            "{message}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_directory_has_links() {
    let scene = Scene::new();
    let file = scene.pack().join("rules/a.toml");
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    let message = scene.open(&scene.pack()).unwrap_err();
    assert!(
        message.ends_with(
            "rules/a.toml is a link: a pack has only files and folders; put a copy there"
        ),
        "{message}"
    );
}

#[test]
fn an_archive_is_a_bomb() {
    use sha2::{Digest, Sha256};
    let scene = Scene::new();
    let mut header = tar::Header::new_ustar();
    header.set_path("lookups/a.csv").unwrap();
    plain(&mut header);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(64 << 20);
    header.set_cksum();
    let tar = [header.as_bytes(), &vec![0; 64 << 20][..]].concat();
    let mut bytes = zstd::bulk::compress(&tar, 3).unwrap();
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&[0x5a, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]);
    bytes.extend_from_slice(&digest);
    fs::write(scene.archive(), bytes).unwrap();
    let message = scene.open(&scene.archive()).unwrap_err();
    assert!(message.ends_with("it is a decompression bomb"), "{message}");
}

#[test]
fn an_archive_has_entries_twice_or_under_another_s_name() {
    let scene = Scene::new();
    let regular = tar::EntryType::Regular;
    for (first, second, reason) in [
        ("pack.toml", "pack.toml", "`pack.toml` is there twice"),
        (
            "Pack.toml",
            "pack.toml",
            "`pack.toml` is the same name as `Pack.toml`",
        ),
        (
            "straSSe",
            "straße",
            "`straße` is the same name as `straSSe`",
        ),
        (
            "a",
            "cafe\u{301}",
            "is not in Unicode's composed form (NFC): rename it to `café` written so",
        ),
    ] {
        tar(&scene.archive(), &[(first, regular), (second, regular)]);
        let message = scene.open(&scene.archive()).unwrap_err();
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn an_update_asks_for_more() {
    let mut scene = Scene::new();
    let plugin = "[[plugin]]\nfile = \"e.wasm\"\nworld = \"enricher\"\n";
    scene.write("1.3.0", plugin, &scene.acme);
    let opened = scene.open(&scene.archive()).unwrap();
    scene.installed.record(&opened.pack);
    let more = format!(
        "{plugin}[plugin.limits]\nmemory_mib = 2048\n[plugin.request]\nhttp = [\"https://evil.example\"]\n"
    );
    scene.write("1.4.0", &more, &scene.acme);
    assert_eq!(
        scene.refused(),
        "`demo` 1.4.0 asks for more than the version before it, so it is not loaded:\n`e.wasm` now asks to connect to \
         `https://evil.example`: write `http = [\"https://evil.example\"]` under `[pack.demo]` in the grants file, or accept it \
         with `yagura grants --config FILE --accept demo` to load it without\n`e.wasm` now asks to have `limits.memory_mib = 2048`, which was \
         256: write `limits.memory_mib = 2048` under `[pack.demo]` in the grants file, or accept it with `yagura grants --config FILE \
         --accept demo` to load it with 256"
    );
    let pack: VerifiedPack = archive::read_file(&scene.archive(), &Bounds::default())
        .unwrap()
        .verify()
        .unwrap();
    scene.installed.record(&pack);
    let opened = scene.open(&scene.archive()).unwrap();
    assert_eq!(opened.asked.missing().count(), 1);
}

#[test]
fn without_a_policy_a_directory_is_taken_as_it_is_and_an_archive_is_not() {
    let scene = Scene::new();
    fs::write(scene.pack().join("rules/a.toml"), "A").unwrap();
    scene.repack(|contents| {
        contents.files.insert(path("rules/a.toml"), b"A".to_vec());
    });
    let gate = Gate {
        trust: None,
        ..scene.gate()
    };
    assert!(gate.open(&scene.pack()).is_ok());
    assert!(gate.open(&scene.archive()).is_err());
}
