//! Packs over a real registry: Debian's `docker-registry` (package docker-registry), which keeps no lists of referrers, on
//! loopback. `cargo test -p yagura-packs --test registry -- --ignored`

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use yagura_packs::registry::{
    Credentials, PackLock, Reference, Registry, RegistryError, RegistryOptions, load, save,
};
use yagura_packs::sign::{self, SecretKey};
use yagura_packs::{Bounds, Contents, Installed, TrustPolicy, VerifiedPack};
use yagura_packs_testing::RegistryServer;

fn reference(server: &RegistryServer, rest: &str) -> Reference {
    Reference::parse(&format!("{}/{rest}", server.address)).unwrap()
}

async fn connect(server: &RegistryServer, rest: &str) -> Registry {
    let options = RegistryOptions::default();
    Registry::connect(&reference(server, rest), &options)
        .await
        .unwrap()
}

fn pack(name: &str, version: &str, needs: &str, rule: &str) -> VerifiedPack {
    let dir = tempfile::tempdir().unwrap();
    let toml = format!(
        "[pack]\nname = \"{name}\"\nversion = \"{version}\"\napi = \"0.1.0\"\nlicense = \"MIT\"\n[pack.dependencies]\n{needs}\n"
    );
    fs::write(dir.path().join("pack.toml"), toml).unwrap();
    fs::create_dir(dir.path().join("rules")).unwrap();
    fs::write(dir.path().join("rules/a.toml"), rule).unwrap();
    fs::write(dir.path().join("detector.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    let mut contents = Contents::read_dir(dir.path(), &Bounds::default()).unwrap();
    contents.seal();
    contents.verify().unwrap()
}

fn key(dir: &Path, name: &str) -> SecretKey {
    let made = sign::keygen(&dir.join(name), None).unwrap();
    SecretKey::read(&made.secret_file, None).unwrap()
}

fn text_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

#[tokio::test]
#[ignore = "needs `docker-registry` (Debian package docker-registry); run with --ignored"]
async fn a_signed_pack_is_pushed_pulled_and_trusted() {
    let server = RegistryServer::start();
    let keys = tempfile::tempdir().unwrap();
    let (acme, review) = (key(keys.path(), "acme"), key(keys.path(), "review"));
    let mut demo = pack("demo", "1.2.0+build.7", "", "a");
    sign::sign(&mut demo, &acme, None).unwrap();
    let pushed = connect(&server, "team/demo")
        .await
        .push(&demo)
        .await
        .unwrap();
    assert_eq!(pushed.signatures.len(), 1);
    assert!(
        pushed
            .reference
            .to_string()
            .ends_with("/team/demo:1.2.0+build.7")
    );

    // A second signature, added later, leaves the digest as it is.
    sign::sign(&mut demo, &review, Some("review")).unwrap();
    let again = connect(&server, "team/demo")
        .await
        .push(&demo)
        .await
        .unwrap();
    assert_eq!(again.image, pushed.image);

    for rest in [
        "team/demo".to_owned(),
        "team/demo:1.2.0+build.7".to_owned(),
        format!("team/demo@{}", pushed.image.tagged()),
    ] {
        let pulled = connect(&server, &rest).await.pull().await.unwrap();
        assert_eq!(
            pulled.pack.contents().files,
            demo.contents().files,
            "{rest}"
        );
        assert_eq!(
            pulled.pack.contents().signatures,
            demo.contents().signatures,
            "{rest}"
        );
        assert_eq!(pulled.image, pushed.image);
        let policy = format!(
            "[[key]]\nname = \"acme\"\npublic = \"{}\"\npacks = [\"demo\"]\n[[key]]\nname = \"review\"\npublic = \"{}\"\n\
             packs = [\"*\"]\n[[require]]\npacks = [\"*\"]\nall_of = [\"acme\", \"review\"]\n",
            acme.public(),
            review.public()
        );
        let policy = TrustPolicy::parse(Path::new("trust.toml"), &policy).unwrap();
        let verdict = policy.evaluate(&pulled.pack, &Installed::default());
        assert!(verdict.is_trusted(), "{verdict}");
    }
}

#[tokio::test]
#[ignore = "needs `docker-registry` (Debian package docker-registry); run with --ignored"]
async fn a_version_is_published_once_and_previews_are_asked_for() {
    let server = RegistryServer::start();
    let demo = connect(&server, "demo").await;
    demo.push(&pack("demo", "1.0.0", "", "a")).await.unwrap();
    let error = demo
        .push(&pack("demo", "1.0.0", "", "b"))
        .await
        .unwrap_err();
    assert!(
        text_of(&error).contains("a version is published once"),
        "{}",
        text_of(&error)
    );
    let error = demo
        .push(&pack("other", "1.0.0", "", "a"))
        .await
        .unwrap_err();
    assert!(text_of(&error).contains("the path must end in the pack's name"));

    demo.push(&pack("demo", "2.0.0-rc.1", "", "a"))
        .await
        .unwrap();
    let newest = demo.pull().await.unwrap();
    assert_eq!(newest.pack.pack().pack.version, "1.0.0");
    let versions: Vec<String> = demo
        .versions()
        .await
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(versions, ["1.0.0", "2.0.0-rc.1"]);

    let none = connect(&server, "nothing").await.pull().await.unwrap_err();
    assert!(
        text_of(&none).contains("it is not there"),
        "{}",
        text_of(&none)
    );
    let preview = connect(&server, "early").await;
    preview
        .push(&pack("early", "0.1.0-a", "", "a"))
        .await
        .unwrap();
    assert!(
        text_of(&preview.pull().await.unwrap_err()).contains("no version but previews (0.1.0-a)")
    );
}

#[tokio::test]
#[ignore = "needs `docker-registry` (Debian package docker-registry); run with --ignored"]
async fn what_was_exchanged_in_the_registry_is_found() {
    let server = RegistryServer::start();
    let demo = connect(&server, "demo").await;
    let pushed = demo.push(&pack("demo", "1.0.0", "", "a")).await.unwrap();
    // Another pack's image under this one's name: its own digests are right.
    let other = connect(&server, "sub/other").await;
    other.push(&pack("other", "1.0.0", "", "a")).await.unwrap();
    let data = server
        .dir
        .path()
        .join("data/docker/registry/v2/repositories");
    fs::rename(data.join("sub/other"), data.join("sub/demo")).unwrap();
    let error = connect(&server, "sub/demo").await.pull().await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Other { .. }),
        "{}",
        text_of(&error)
    );

    // A blob that was changed on the registry's disk.
    let blobs = server
        .dir
        .path()
        .join("data/docker/registry/v2/blobs/sha256");
    let mut changed = 0;
    for folder in fs::read_dir(&blobs).unwrap().flatten() {
        for blob in fs::read_dir(folder.path()).unwrap().flatten() {
            let file = blob.path().join("data");
            let mut bytes = fs::read(&file).unwrap();
            if bytes.starts_with(b"\0asm") {
                bytes[4] ^= 1;
                fs::write(&file, bytes).unwrap();
                changed += 1;
            }
        }
    }
    assert_eq!(changed, 1);
    let by_digest = connect(&server, &format!("demo@{}", pushed.image.tagged())).await;
    let error = text_of(&by_digest.pull().await.unwrap_err());
    assert!(error.contains("igest"), "{error}");
}

#[tokio::test]
#[ignore = "needs `docker-registry` (Debian package docker-registry); run with --ignored"]
async fn packs_come_with_what_they_need_and_the_lock_keeps_them() {
    let server = RegistryServer::start();
    let push = async |pack: VerifiedPack| {
        let reference = format!("team/{}", pack.name());
        connect(&server, &reference)
            .await
            .push(&pack)
            .await
            .unwrap();
    };
    push(pack("aws", "1.0.0", "base = \"^1\"", "a")).await;
    push(pack("base", "1.0.0", "", "a")).await;
    push(pack("base", "2.0.0", "", "a")).await;
    let team = connect(&server, "team/aws").await;
    let roots = [("aws".to_owned(), "*".parse().unwrap())];
    let versions = |pulled: &[yagura_packs::registry::Pulled]| -> Vec<String> {
        let packs = pulled.iter().map(|pulled| &pulled.pack.pack().pack);
        packs
            .map(|pack| format!("{} {}", pack.name, pack.version))
            .collect()
    };
    let first = team.pull_all(&roots, &PackLock::default()).await.unwrap();
    assert_eq!(versions(&first), ["aws 1.0.0", "base 1.0.0"]);

    let file = server.dir.path().join("yagura.lock");
    PackLock::of(&first).write(&file).unwrap();
    let lock = PackLock::read(&file).unwrap();
    assert_eq!(lock, PackLock::of(&first));
    push(pack("base", "1.5.0", "", "a")).await;
    push(pack("aws", "1.1.0", "base = \"^2\"", "a")).await;
    let locked = team.pull_all(&roots, &lock).await.unwrap();
    assert_eq!(versions(&locked), ["aws 1.0.0", "base 1.0.0"]);
    let newest = team.pull_all(&roots, &PackLock::default()).await.unwrap();
    assert_eq!(versions(&newest), ["aws 1.1.0", "base 2.0.0"]);

    push(pack("sad", "1.0.0", "aws = \"=1.0.0\"\nbase = \"^2\"", "a")).await;
    let sad = [("sad".to_owned(), "*".parse().unwrap())];
    let error = text_of(&team.pull_all(&sad, &PackLock::default()).await.unwrap_err());
    assert_eq!(
        error,
        "no version of `base` meets all requirements: `sad` 1.0.0 needs `^2`, `aws` 1.0.0 needs `^1`; there are 1.0.0, 1.5.0, 2.0.0"
    );
}

#[tokio::test]
#[ignore = "needs `docker-registry` (Debian package docker-registry); run with --ignored"]
async fn what_was_pulled_travels_on_without_network() {
    let server = RegistryServer::start();
    let keys = tempfile::tempdir().unwrap();
    let mut demo = pack("demo", "1.0.0", "", "a");
    sign::sign(&mut demo, &key(keys.path(), "acme"), None).unwrap();
    connect(&server, "demo").await.push(&demo).await.unwrap();
    let pulled = connect(&server, "demo").await.pull().await.unwrap().pack;
    let mut file = Vec::new();
    save(&[&pulled], &mut file).unwrap();
    let loaded = load(file.as_slice(), "demo.tar", &Bounds::default()).unwrap();
    assert_eq!(loaded[0].contents().files, demo.contents().files);
    assert_eq!(loaded[0].contents().signatures, demo.contents().signatures);
}

#[tokio::test]
async fn plain_http_is_not_spoken_to_other_machines_and_credentials_are_not_shown() {
    // A name that never is (RFC 2606): what fails is that it is not there, and the message says what else could be.
    let reference = Reference::parse("registry.invalid/demo").unwrap();
    let credentials = Credentials::Basic {
        user: "me".to_owned(),
        password: "hunter2".to_owned(),
    };
    let options = RegistryOptions {
        credentials,
        ..RegistryOptions::default()
    };
    let registry = Registry::connect(&reference, &options).await.unwrap();
    let error = text_of(&registry.pull().await.unwrap_err());
    assert!(error.contains("oci://registry.invalid/demo"), "{error}");
    assert!(!error.contains("http://"), "{error}");
    assert!(!format!("{options:?}{error}").contains("hunter2"));
}
