//! Keys and signatures, also against the `minisign` tool.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::testing::{key, verified};

fn first(pack: &VerifiedPack) -> Signature {
    let (_, bytes) = pack.contents().signatures.first_key_value().unwrap();
    Signature::parse(bytes).unwrap()
}

#[test]
fn a_signature_says_and_proves_what_it_is_for() {
    let mut pack = verified("demo", "1.2.0", "a");
    let (_dir, secret) = key();
    let name = sign(&mut pack, &secret, None).unwrap();
    assert_eq!(name.as_str(), "MANIFEST.sha256.minisig");
    let signature = first(&pack);
    assert_eq!(signature.key_id(), secret.public().id());
    assert_eq!(signature.check(secret.public(), &pack), Ok(()));
    let expected = format!(
        "trusted comment: pack:demo version:1.2.0 sha256:{}",
        pack.digest()
    );
    assert_eq!(signature.text().lines().nth(2), Some(expected.as_str()));

    let other = verified("demo", "1.2.0", "b");
    assert_eq!(
        signature.check(secret.public(), &other),
        Err(SignatureProblem::Invalid)
    );
}

#[test]
fn further_signatures_have_further_names() {
    let mut pack = verified("demo", "1.2.0", "a");
    let ((_a, one), (_b, two)) = (key(), key());
    sign(&mut pack, &one, None).unwrap();
    let again = sign(&mut pack, &one, None).unwrap();
    assert_eq!(again.as_str(), "MANIFEST.sha256.minisig");
    let second = sign(&mut pack, &two, None).unwrap();
    let id = two.public().id().to_string().to_lowercase();
    assert_eq!(second.as_str(), format!("MANIFEST.sha256.{id}.minisig"));
    let named = sign(&mut pack, &two, Some("release")).unwrap();
    assert_eq!(named.as_str(), "MANIFEST.sha256.release.minisig");
    assert_eq!(pack.contents().signatures.len(), 3);
    let error = sign(&mut pack, &two, Some("../x")).unwrap_err();
    assert!(error.to_string().contains("is not a signer's name"));
}

#[test]
fn a_valid_signature_for_something_else_is_refused() {
    let pack = verified("demo", "1.2.0", "a");
    let (_dir, secret) = key();
    let made = minisign::sign(
        None,
        secret.inner(),
        pack.manifest().text().as_bytes(),
        Some("pack:other version:9.0.0"),
        Some("signature from minisign secret key"),
    );
    let signature = Signature::parse(made.unwrap().to_string().as_bytes()).unwrap();
    let problem = signature.check(secret.public(), &pack).unwrap_err();
    assert!(
        problem.to_string().starts_with(
            "it says `pack:other version:9.0.0`, and must say `pack:demo version:1.2.0 sha256:"
        ),
        "{problem}"
    );
}

#[test]
fn a_changed_bit_of_a_signature_is_found() {
    let mut pack = verified("demo", "1.2.0", "a");
    let (_dir, secret) = key();
    sign(&mut pack, &secret, None).unwrap();
    let text = first(&pack).text().as_bytes().to_vec();
    for index in 0..text.len() {
        for bit in 0..8 {
            let mut changed = text.clone();
            changed[index] ^= 1 << bit;
            let holds = Signature::parse(&changed).is_ok_and(|signature| {
                signature.key_id() == secret.public().id()
                    && signature.check(secret.public(), &pack).is_ok()
            });
            assert!(!holds, "bit {bit} of byte {index}");
        }
    }
}

#[test]
fn keys_are_private_never_written_over_and_open_with_their_password() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("acme");
    let made = keygen(&name, Some("hunter2")).unwrap();
    assert_eq!(PublicKey::read(&made.public_file).unwrap(), made.public);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&made.secret_file)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(matches!(
        keygen(&name, None),
        Err(SigningKeyError::Exists(_))
    ));
    let read = |password| SecretKey::read(&made.secret_file, password);
    assert!(matches!(read(None), Err(SigningKeyError::NeedsPassword(_))));
    assert!(matches!(
        read(Some("hunter3")),
        Err(SigningKeyError::Open { .. })
    ));
    assert_eq!(*read(Some("hunter2")).unwrap().public(), made.public);
    let wrong = SecretKey::read(&made.public_file, None).unwrap_err();
    assert!(
        wrong
            .to_string()
            .ends_with("this is not a secret key of minisign or `yagura keygen`")
    );
    assert!(matches!(
        PublicKey::read(&made.secret_file),
        Err(SigningKeyError::Form { .. })
    ));
}

fn minisign(dir: &Path, arguments: &[&str]) {
    let output = Command::new("minisign")
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let output_text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "minisign {arguments:?}: {output_text}"
    );
}

#[test]
#[ignore = "needs the `minisign` tool (Debian package minisign); run with --ignored"]
fn the_minisign_tool_makes_and_checks_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut pack = verified("demo", "1.2.0", "a");
    fs::write(dir.path().join("MANIFEST.sha256"), pack.manifest().text()).unwrap();

    // Ours, checked by the tool.
    let ours = keygen(&dir.path().join("ours"), None).unwrap();
    let secret = SecretKey::read(&ours.secret_file, None).unwrap();
    sign(&mut pack, &secret, None).unwrap();
    let file = dir.path().join("MANIFEST.sha256.minisig");
    fs::write(&file, first(&pack).text()).unwrap();
    minisign(
        dir.path(),
        &["-V", "-m", "MANIFEST.sha256", "-p", "ours.pub"],
    );

    // The tool's, checked by us.
    minisign(
        dir.path(),
        &["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"],
    );
    let comment = comment(&pack);
    minisign(
        dir.path(),
        &[
            "-S",
            "-W",
            "-s",
            "theirs.key",
            "-m",
            "MANIFEST.sha256",
            "-t",
            &comment,
        ],
    );
    let signature = Signature::parse(&fs::read(&file).unwrap()).unwrap();
    let theirs = PublicKey::read(&dir.path().join("theirs.pub")).unwrap();
    assert_eq!(signature.check(&theirs, &pack), Ok(()));

    // With its own comment too.
    minisign(
        dir.path(),
        &["-S", "-W", "-s", "theirs.key", "-m", "MANIFEST.sha256"],
    );
    let signature = Signature::parse(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(signature.check(&theirs, &pack), Ok(()));

    // The tool's key, used by us, and ours used by the tool.
    let secret = SecretKey::read(&dir.path().join("theirs.key"), None).unwrap();
    assert_eq!(*secret.public(), theirs);
    minisign(
        dir.path(),
        &[
            "-S",
            "-s",
            "ours.key",
            "-m",
            "MANIFEST.sha256",
            "-t",
            &comment,
        ],
    );
    let signature = Signature::parse(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(signature.check(&ours.public, &pack), Ok(()));
}
