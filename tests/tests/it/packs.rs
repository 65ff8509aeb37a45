//! Packs from their author to the service that runs them, through the real binary: keys, signatures, archives, trust, grants,
//! upgrades.

use std::fs;
use std::path::Path;

use serde_json::Value;
use yagura_packs_testing::RegistryServer;
use yagura_tests::command::{Ran, yagura};
use yagura_tests::scratch::Scratch;

/// A place with a key, a lake of failed logins, and what an operator says.
struct Place(Scratch);

const RULE: &str = "[rule]\nid = \"failed\"\ntitle = \"{user} failed\"\nseverity = \"medium\"\ntable = \"logins\"\nwhere = \"outcome = 'failure'\"\n[rule.alert]\nkey = [\"user\"]\n";

const CONFIG: &str = "packs = [\"packs/demo.tar.zst\"]\ntrust = \"trust.toml\"\ngrants = \"grants.toml\"\n[lake]\nurl = \"lake\"\n";

impl Place {
    fn new() -> Self {
        let place = Self(Scratch::new());
        place.0.write(
            "raw.ndjson",
            "{\"time\":\"2026-03-01T00:00:00Z\",\"user\":\"u\",\"outcome\":\"failure\"}\n",
        );
        let (lake, raw) = (place.path("lake"), place.path("raw.ndjson"));
        yagura(&["ingest", "--table", "logins", "--to", &lake, &raw]).must_work();
        let made = place
            .run(&["keygen", "--no-password", "--out", &place.path("acme")])
            .must_work();
        let public = fs::read_to_string(place.path("acme.pub")).unwrap();
        let public = public.lines().nth(1).unwrap();
        // What is printed is what a policy needs.
        assert!(made.stdout.contains(public), "{}", made.stdout);
        place.0.write(
            "trust.toml",
            &format!("[[key]]\nname = \"acme\"\npublic = \"{public}\"\npacks = [\"demo\"]\n"),
        );
        place.0.write("grants.toml", "");
        place.0.write("yagura.toml", CONFIG);
        place.source("1.0.0", "");
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        yagura(arguments)
    }

    /// Writes the pack that its author works on.
    fn source(&self, version: &str, more: &str) {
        self.0.write(
            "source/pack.toml",
            &format!(
                "[pack]\nname = \"demo\"\nversion = \"{version}\"\napi = \"0.1.0\"\nlicense = \"MIT\"\n{more}"
            ),
        );
        self.0.write("source/rules/failed.toml", RULE);
    }

    /// Adds a plugin that asks for a server.
    fn source_that_asks(&self, version: &str) {
        self.source(
            version,
            "[[plugin]]\nfile = \"tell.wasm\"\nworld = \"notifier\"\n[plugin.request]\nhttp = [\"https://api.example.org\"]\n",
        );
        // The smallest component there is; nothing runs it here.
        fs::write(self.path("source/tell.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    }

    /// Signs and packs, and brings the pack to where it is run.
    fn release(&self) {
        let (source, key, file) = (
            self.path("source"),
            self.path("acme.key"),
            self.path("saved.tar"),
        );
        self.run(&["sign", &source, "--key", &key]).must_work();
        let archive = self.path("demo.tar.zst");
        self.run(&["pack", &source, "--out", &archive]).must_work();
        self.run(&["save", &archive, "--out", &file]).must_work();
        let (to, trust) = (self.path("packs"), self.path("trust.toml"));
        self.run(&["load", &file, "--to", &to, "--trust", &trust])
            .must_work();
    }

    /// Runs the rules of the configuration.
    fn alerts(&self, more: &[&str]) -> Ran {
        let config = self.path("yagura.toml");
        let mut arguments = vec!["run", "--config", &config, "--format", "json"];
        arguments.extend(more);
        self.run(&arguments)
    }

    fn grants(&self, more: &[&str]) -> Ran {
        let config = self.path("yagura.toml");
        let mut arguments = vec!["grants", "--config", &config];
        arguments.extend(more);
        self.run(&arguments)
    }
}

fn refused(ran: &Ran, texts: &[&str]) {
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    for text in texts {
        assert!(ran.stderr.contains(text), "no `{text}` in\n{}", ran.stderr);
    }
}

#[test]
fn a_pack_travels_signed_and_an_upgrade_that_asks_for_more_waits() {
    let place = Place::new();
    place.release();
    let ran = place.alerts(&[]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 1);
    assert!(
        ran.stderr.contains("`demo` 1.0.0 is signed by `acme`"),
        "{}",
        ran.stderr
    );

    // The next version asks for a server: it does not load, and says what would let it.
    place.source_that_asks("1.1.0");
    place.release();
    let line = "http = [\"https://api.example.org\"]";
    refused(
        &place.alerts(&[]),
        &[
            "`demo` 1.1.0 asks for more",
            "tell.wasm",
            line,
            "yagura grants --config FILE --accept demo",
        ],
    );
    let shown = place.grants(&[]);
    assert_eq!(shown.code, Some(1), "{}{}", shown.stdout, shown.stderr);
    for text in [
        "demo 1.1.0, used before: 1.0.0",
        "NOT granted: write `http = [\"https://api.example.org\"]` under `[pack.demo]`",
        "+ plugin tell.wasm",
        "+ tell.wasm: connect to `https://api.example.org`",
        "~ pack.toml",
        "    + tell.wasm",
        "WOULD NOT LOAD",
    ] {
        assert!(
            shown.stdout.contains(text),
            "no `{text}` in\n{}",
            shown.stdout
        );
    }
    // Whoever asks before it runs is told the same.
    let (config, archive) = (place.path("yagura.toml"), place.path("packs/demo.tar.zst"));
    let held = "asks for more than the version before it";
    let checked = place.run(&["check", "--config", &config]);
    assert_eq!(
        checked.code,
        Some(2),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    assert!(checked.stdout.contains(held), "{}", checked.stdout);
    let verified = place.run(&["verify", &archive, "--config", &config]);
    assert_eq!(verified.code, Some(1), "{}", verified.stdout);
    assert!(verified.stdout.contains(held), "{}", verified.stdout);
    // Granted as the message says, it loads.
    place
        .0
        .write("grants.toml", &format!("[pack.demo]\n{line}\n"));
    let shown = place.grants(&["--format", "json"]).must_work();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["asked"][0]["granted"], "yes");
    place.run(&["check", "--config", &config]).must_work();
    let verified = place
        .run(&["verify", &archive, "--config", &config])
        .must_work();
    assert!(
        verified.stdout.ends_with("  trusted\n"),
        "{}",
        verified.stdout
    );
    assert_eq!(place.alerts(&[]).code, Some(0));

    // An older version can bring back what was mended.
    place.source("1.0.0", "");
    fs::remove_file(place.path("source/tell.wasm")).unwrap();
    place.release();
    refused(
        &place.alerts(&[]),
        &["1.0.0 is older than 1.1.0", "--allow-rollback"],
    );
    let ran = place.alerts(&["--allow-rollback"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    // What is granted now, nobody asks for.
    let shown = place.grants(&[]).must_work();
    assert!(
        shown
            .stdout
            .contains("granted, and asked for by no plugin: connect to `https://api.example.org`"),
        "{}",
        shown.stdout
    );
}

#[test]
fn an_upgrade_may_be_accepted_without_what_it_asks_for() {
    let place = Place::new();
    place.release();
    assert_eq!(place.alerts(&[]).code, Some(0));
    place.source_that_asks("1.1.0");
    place.release();
    assert_eq!(place.alerts(&[]).code, Some(2));
    let unknown = place.grants(&["--accept", "dmeo"]);
    assert_eq!(unknown.code, Some(3), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("did you mean `demo`?"),
        "{}",
        unknown.stderr
    );
    place.grants(&["--accept", "demo"]).must_work();
    assert_eq!(place.alerts(&[]).code, Some(0));
    // A copy that was damaged is made anew, and a memory that was lost is told.
    let copies = fs::read_dir(place.path("state/packs")).unwrap();
    for copy in copies {
        fs::write(copy.unwrap().path().join("rules/failed.toml"), "x").unwrap();
    }
    assert_eq!(place.alerts(&[]).code, Some(0));
    place.0.write("state/installed.toml", "");
    let lost = place.alerts(&[]);
    assert_eq!(lost.code, Some(2), "{}", lost.stderr);
    assert!(
        lost.stderr.contains("installed.toml is damaged"),
        "{}",
        lost.stderr
    );
}

#[test]
fn grants_alone_hold_an_upgrade_back_and_show_all_that_is_to_be_seen() {
    let place = Place::new();
    place.source("1.0.0", "");
    let config = CONFIG
        .replace("packs/demo.tar.zst", "source")
        .replace("trust = \"trust.toml\"\n", "");
    assert!(!config.contains("trust"), "{config}");
    place.0.write("yagura.toml", &config);
    assert_eq!(place.alerts(&[]).code, Some(0));
    place.source_that_asks("1.1.0");
    refused(&place.alerts(&[]), &["now asks to", "--accept demo"]);
    let accepted = place.grants(&["--accept", "demo"]).must_work();
    assert!(
        accepted.stderr.contains("accepted `demo` 1.1.0"),
        "{}",
        accepted.stderr
    );
    assert_eq!(place.alerts(&[]).code, Some(0));
    // An older version is refused without signatures too.
    place.source("1.0.0", "");
    let older = "`demo` 1.0.0 is older than 1.1.0";
    refused(&place.alerts(&[]), &[older, "--allow-rollback"]);
    refused(&place.grants(&["--accept", "demo"]), &[older]);
    let shown = place.grants(&[]);
    assert_eq!(shown.code, Some(1), "{}{}", shown.stdout, shown.stderr);
    let would_not = format!("WOULD NOT LOAD: {older}");
    assert!(shown.stdout.contains(&would_not), "{}", shown.stdout);
    let forced = place.alerts(&["--allow-rollback"]);
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    assert!(
        forced
            .stderr
            .contains("replaces the newer 1.1.0, by --allow-rollback"),
        "{}",
        forced.stderr
    );

    // One pack that cannot be read hides none of the others.
    place.0.write(
        "yagura.toml",
        &config.replace("\"source\"", "\"nothing.tar.zst\", \"source\""),
    );
    let shown = place.grants(&[]);
    assert_eq!(shown.code, Some(1), "{}{}", shown.stdout, shown.stderr);
    assert!(
        shown.stdout.contains("nothing.tar.zst\n  WOULD NOT LOAD")
            && shown.stdout.contains("demo 1.0.0"),
        "{}",
        shown.stdout
    );
}

#[test]
fn what_a_pack_needs_must_be_there() {
    let place = Place::new();
    place.source("1.0.0", "[pack.dependencies]\nbase = \">=0.2, <0.4\"\n");
    let (source, key) = (place.path("source"), place.path("acme.key"));
    place.run(&["sign", &source, "--key", &key]).must_work();
    place.0.write(
        "yagura.toml",
        &CONFIG.replace("packs/demo.tar.zst", "source"),
    );
    refused(
        &place.alerts(&[]),
        &["`demo` 1.0.0 needs `base` >=0.2, <0.4, and there is none beside it"],
    );
    let needs = "`demo` 1.0.0 needs `base` >=0.2, <0.4";
    let (lake, config) = (place.path("lake"), place.path("yagura.toml"));
    let alone = place.run(&["run", "--pack", &source, "--lake", &lake]);
    refused(&alone, &[needs]);
    // What a single pack needs may lie elsewhere.
    let ran = place.run(&["check", "--pack", &source]).must_work();
    assert!(
        ran.stdout.contains(&format!("note: {needs}")),
        "{}",
        ran.stdout
    );
    let ran = place.run(&["check", "--config", &config]);
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains(&format!("error: {needs}")),
        "{}",
        ran.stdout
    );
    let file = place.path("saved.tar");
    place.run(&["save", &source, "--out", &file]).must_work();
    let to = place.path("packs");
    let ran = place.run(&["load", &file, "--to", &to]);
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("nothing was written"), "{}", ran.stderr);
    assert!(!Path::new(&to).join("demo.tar.zst").exists());
}

#[test]
fn a_pack_without_its_component_is_not_published() {
    let place = Place::new();
    place.source_that_asks("1.0.0");
    fs::remove_file(place.path("source/tell.wasm")).unwrap();
    let ran = place.run(&[
        "sign",
        &place.path("source"),
        "--key",
        &place.path("acme.key"),
    ]);
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("yagura build"), "{}", ran.stderr);
}

#[test]
fn what_was_changed_on_the_way_is_neither_run_nor_accepted() {
    let place = Place::new();
    place.release();
    let directory = CONFIG.replace("packs/demo.tar.zst", "source");
    place.0.write("yagura.toml", &directory);
    assert_eq!(place.alerts(&[]).code, Some(0));

    // A rule that was changed, one that was added, one that was taken away.
    place
        .0
        .write("source/rules/failed.toml", &RULE.replace("medium", "low"));
    refused(&place.alerts(&[]), &["rules/failed.toml", "changed"]);
    place.0.write("source/rules/failed.toml", RULE);
    place.0.write("source/rules/more.toml", RULE);
    refused(&place.alerts(&[]), &["rules/more.toml"]);
    let shown = place.grants(&["--accept", "demo"]);
    assert_eq!(shown.code, Some(2), "{}{}", shown.stdout, shown.stderr);
    fs::remove_file(place.path("source/rules/more.toml")).unwrap();
    fs::remove_file(place.path("source/rules/failed.toml")).unwrap();
    refused(&place.alerts(&[]), &["rules/failed.toml"]);
    place.0.write("source/rules/failed.toml", RULE);
    assert_eq!(place.alerts(&[]).code, Some(0));

    // A list of files that fits them again is not the one that was signed.
    place
        .0
        .write("source/rules/failed.toml", &RULE.replace("medium", "low"));
    let (other, source) = (place.path("other"), place.path("source"));
    place
        .run(&["keygen", "--no-password", "--out", &other])
        .must_work();
    place
        .run(&["sign", &source, "--key", &place.path("other.key")])
        .must_work();
    refused(
        &place.alerts(&[]),
        &["`demo` 1.0.0 is not trusted", "trust.toml"],
    );

    // Of an archive a byte is enough.
    place.0.write("yagura.toml", CONFIG);
    let file = place.path("packs/demo.tar.zst");
    let whole = fs::read(&file).unwrap();
    for at in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        refused(&place.alerts(&[]), &["demo.tar.zst"]);
    }
}

#[test]
fn verify_tells_everything_and_packs_can_be_looked_into_and_tested() {
    let place = Place::new();
    place.release();
    let archive = place.path("packs/demo.tar.zst");
    for key in ["acme.pub", "acme"] {
        let key = place.path(key);
        let ran = place.run(&["verify", &archive, "--key", &key]).must_work();
        assert!(ran.stdout.contains("valid, by"), "{}", ran.stdout);
    }
    let ran = place
        .run(&["verify", &archive, "--format", "json"])
        .must_work();
    let view: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(view["trusted"], Value::Null);
    assert_eq!(view["files"], 2);
    let ran = place.run(&["inspect", &archive]).must_work();
    assert!(
        ran.stdout.contains("MANIFEST.sha256.minisig"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("1 rule\n"), "{}", ran.stdout);
    // Packing again gives the same bytes.
    let again = place.path("again.tar.zst");
    place
        .run(&["pack", &place.path("source"), "--out", &again])
        .must_work();
    assert_eq!(fs::read(&again).unwrap(), fs::read(&archive).unwrap());
    // A pack without tests says so, whatever it comes in.
    let ran = place.run(&["test", &archive]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stderr.contains("there is nothing to test"),
        "{}",
        ran.stderr
    );
    place
        .0
        .write("source/rules/failed.toml", &RULE.replace("medium", "low"));
    let ran = place.run(&["inspect", &place.path("source")]).must_work();
    assert!(
        ran.stdout
            .contains("MANIFEST.sha256.minisig (of other contents: sign them again)"),
        "{}",
        ran.stdout
    );
    let ran = place.run(&["verify", &place.path("nothing.tar.zst")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("nothing.tar.zst"), "{}", ran.stdout);
}

#[test]
fn secret_keys_have_passwords_and_are_never_written_over() {
    let place = Place::new();
    let name = place.path("acme");
    let ran = place.run(&["keygen", "--no-password", "--out", &name]);
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    assert!(ran.stderr.contains("never written over"), "{}", ran.stderr);
    let other = place.path("other");
    let ran = place.run(&["keygen", "--out", &other]);
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    assert!(ran.stderr.contains("YAGURA_KEY_PASSWORD"), "{}", ran.stderr);
    // A key in a pack would be published.
    fs::copy(place.path("acme.key"), place.path("source/acme.key")).unwrap();
    let ran = place.run(&[
        "sign",
        &place.path("source"),
        "--key",
        &place.path("acme.key"),
    ]);
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    assert!(ran.stderr.contains("is a secret key"), "{}", ran.stderr);
}

/// As an author publishes, and an operator on another machine takes: a clean directory with the public key and nothing else.
#[test]
#[ignore = "needs `docker-registry` (Debian package docker-registry); run with --ignored"]
fn a_pack_goes_through_a_registry_to_another_machine_and_is_upgraded_there() {
    let registry = RegistryServer::start();
    let author = Place::new();
    let base = author.path("base");
    author.0.write(
        "base/pack.toml",
        "[pack]\nname = \"base\"\nversion = \"0.3.0\"\napi = \"0.1.0\"\n",
    );
    author
        .0
        .write("base/rules/other.toml", &RULE.replace("failed", "other"));
    let key = author.path("acme.key");
    let push = |path: &str, name: &str| {
        author.run(&["sign", path, "--key", &key]).must_work();
        author.run(&["push", path, &format!("{}/team/{name}", registry.address)])
    };
    push(&base, "base").must_work();
    author.source("1.0.0", "[pack.dependencies]\nbase = \">=0.2, <0.4\"\n");
    let source = author.path("source");
    let pushed = push(&source, "demo").must_work();
    assert!(
        pushed.stdout.contains("with MANIFEST.sha256.minisig"),
        "{}",
        pushed.stdout
    );

    let machine = Place::new();
    let trust = fs::read_to_string(author.path("trust.toml")).unwrap();
    let (to, file) = (machine.path("packs"), machine.path("trust.toml"));
    machine.0.write("trust.toml", &trust);
    let place = format!("{}/team/demo", registry.address);
    let pull = |more: &[&str]| {
        let mut arguments = vec!["pull", &place, "--to", &to, "--trust", &file];
        arguments.extend(more);
        machine.run(&arguments)
    };
    // What it needs is signed by the same key, which may not sign that.
    refused(
        &pull(&[]),
        &["base", "may sign `demo`", "nothing was written"],
    );
    assert!(!Path::new(&to).exists());
    machine.0.write(
        "trust.toml",
        &trust.replace("[\"demo\"]", "[\"demo\", \"base\"]"),
    );
    let pulled = pull(&[]).must_work();
    for text in [
        "demo 1.0.0",
        "base 0.3.0",
        "is signed by `acme`",
        "demo came from ",
        "@sha256:",
        "locked in",
    ] {
        assert!(
            pulled.stdout.contains(text),
            "no `{text}` in\n{}",
            pulled.stdout
        );
    }
    let both = "\"packs/demo.tar.zst\", \"packs/base.tar.zst\"";
    machine.0.write(
        "yagura.toml",
        &CONFIG.replace("\"packs/demo.tar.zst\"", both),
    );
    let shown = machine.grants(&[]).must_work();
    assert!(
        shown.stdout.contains("asks for nothing"),
        "{}",
        shown.stdout
    );
    let ran = machine.alerts(&[]);
    assert_eq!(
        ran.stdout.lines().count(),
        2,
        "{}{}",
        ran.stdout,
        ran.stderr
    );

    // A version that was published stays what it is, and the lock file holds on to it.
    author
        .0
        .write("source/rules/failed.toml", &RULE.replace("medium", "low"));
    let again = push(&source, "demo");
    assert_eq!(again.code, Some(3), "{}{}", again.stdout, again.stderr);
    assert!(
        again.stderr.contains("raise `version` in pack.toml"),
        "{}",
        again.stderr
    );
    author.source_that_asks("1.1.0");
    push(&source, "demo").must_work();
    let pulled = pull(&[]).must_work();
    assert!(pulled.stdout.contains("demo 1.0.0"), "{}", pulled.stdout);
    let pulled = pull(&["--update"]).must_work();
    assert!(
        pulled.stdout.contains("demo 1.1.0, in place of 1.0.0"),
        "{}",
        pulled.stdout
    );
    refused(&machine.alerts(&[]), &["asks for more"]);
    let shown = machine.grants(&[]);
    assert!(
        shown.stdout.contains("+ tell.wasm: connect to"),
        "{}",
        shown.stdout
    );
    machine.grants(&["--accept", "demo"]).must_work();
    assert_eq!(machine.alerts(&[]).code, Some(0));

    // A version that somebody else signed does not keep anybody from those before it.
    author.source_that_asks("1.2.0");
    let other = machine.path("acme.key");
    author.run(&["sign", &source, "--key", &other]).must_work();
    author.run(&["push", &source, &place]).must_work();
    refused(
        &pull(&["--update"]),
        &["nothing was written", "team/demo:VERSION`"],
    );
    let lock = machine.path("packs/yagura.lock");
    let named = fs::read_to_string(&lock).unwrap();
    assert!(named.contains("1.1.0"), "{named}");
    // What comes in a file is not withdrawn for what was locked.
    author.source("1.3.0", "[pack.dependencies]\nbase = \">=0.2, <0.4\"\n");
    fs::remove_file(author.path("source/tell.wasm")).unwrap();
    author.run(&["sign", &source, "--key", &key]).must_work();
    let saved = author.path("saved.tar");
    author.run(&["save", &source, "--out", &saved]).must_work();
    let loaded = machine
        .run(&["load", &saved, "--to", &to, "--trust", &file])
        .must_work();
    assert!(
        loaded
            .stdout
            .contains("yagura.lock no longer names demo 1.1.0"),
        "{}",
        loaded.stdout
    );
    let named = fs::read_to_string(&lock).unwrap();
    assert!(!named.contains("demo") && named.contains("base"), "{named}");
}

#[test]
fn a_version_that_never_ran_does_not_count_as_used() {
    let place = Place::new();
    place.release();
    place.alerts(&[]).must_work();
    // The next version does not fit its table: it is found out when it is to run.
    place.source("1.1.0", "");
    place.0.write(
        "source/rules/failed.toml",
        &RULE.replace("outcome =", "result ="),
    );
    place.release();
    let ran = place.alerts(&[]);
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stderr.contains("`demo` 1.1.0 comes after 1.0.0"),
        "{}",
        ran.stderr
    );
    // Back to what ran, without force.
    place.source("1.0.0", "");
    place.release();
    place.alerts(&[]).must_work();
}

#[test]
fn what_stands_in_a_pack_does_not_speak_to_the_terminal() {
    let place = Place::new();
    place.0.write(
        "source/rules/failed.toml",
        "[rule]\nid = \"x\u{1b}]0;hi\u{7}\"\ntitle \u{1b}[2J\n",
    );
    let (source, lake) = (place.path("source"), place.path("lake"));
    for arguments in [
        &["check", "--pack", &source][..],
        &["run", "--pack", &source, "--lake", &lake],
        &["inspect", &source],
    ] {
        let ran = place.run(arguments);
        assert_ne!(ran.code, Some(0), "{arguments:?}");
        let printed = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            printed.contains("failed.toml") && !printed.contains(['\u{1b}', '\u{7}']),
            "{arguments:?}: {printed:?}"
        );
    }
}

#[test]
fn a_pack_that_is_named_twice_is_told_as_that() {
    let place = Place::new();
    place.release();
    let archive = place.path("packs/demo.tar.zst");
    let twice = format!("packs = [\"{archive}\", ");
    place
        .0
        .write("yagura.toml", &CONFIG.replace("packs = [", &twice));
    refused(&place.alerts(&[]), &["the pack `demo` is named twice, as "]);
    let shown = place.grants(&[]);
    assert_eq!(shown.code, Some(1));
    assert!(
        shown.stderr.contains("the pack `demo` is named twice"),
        "{}",
        shown.stderr
    );
    let source = place.path("source");
    let lake = place.path("lake");
    let ran = place.run(&["run", "--lake", &lake, "--pack", &source, "--pack", &source]);
    refused(&ran, &["the pack `demo` is named twice"]);
}
