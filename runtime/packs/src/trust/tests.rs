//! Verdicts, each with its message.

use std::path::Path;

use super::*;
use crate::VerifiedPack;
use crate::installed::{Installed, Rollback};
use crate::names::PackPath;
use crate::sign::{SecretKey, SignatureProblem, sign};
use crate::testing::{key, verified};

fn policy(text: &str) -> TrustPolicy {
    TrustPolicy::parse(Path::new("trust.toml"), text).unwrap()
}

fn wrong(text: &str) -> String {
    TrustPolicy::parse(Path::new("trust.toml"), text)
        .unwrap_err()
        .to_string()
}

fn entry(name: &str, key: &SecretKey, packs: &str) -> String {
    format!(
        "[[key]]\nname = \"{name}\"\npublic = \"{}\"\npacks = {packs}\n",
        key.public()
    )
}

fn signed(keys: &[&SecretKey]) -> VerifiedPack {
    let mut pack = verified("demo", "1.2.0", "a");
    for key in keys {
        sign(&mut pack, key, None).unwrap();
    }
    pack
}

fn refusal(policy: &TrustPolicy, pack: &VerifiedPack) -> String {
    policy.evaluate(pack, &Installed::default()).to_string()
}

#[test]
fn a_pack_signed_in_scope_is_trusted() {
    let (_dir, acme) = key();
    let pack = signed(&[&acme]);
    for packs in ["[\"demo\"]", "[\"aws\", \"de*\"]", "[\"*\"]"] {
        assert_eq!(
            refusal(&policy(&entry("acme", &acme, packs)), &pack),
            "`demo` 1.2.0 is signed by `acme`"
        );
    }
}

#[test]
fn an_unsigned_pack_is_refused_unless_named() {
    let pack = signed(&[]);
    assert_eq!(
        refusal(&policy(""), &pack),
        "`demo` 1.2.0 is not trusted\n`demo` has no signature: let who made it sign it, or, to use it unsigned, write in \
         trust.toml:\n[[unsigned]]\npacks = [\"demo\"]"
    );
    let text = refusal(&policy(""), &pack);
    let allowing = text.split_once("trust.toml:\n").unwrap().1;
    assert_eq!(
        refusal(&policy(allowing), &pack),
        "`demo` 1.2.0 is not signed, which the policy allows"
    );
    // What must be signed is not allowed by being named as unsigned too.
    let (_dir, acme) = key();
    let both = format!(
        "{}{allowing}\n[[require]]\npacks = [\"demo\"]\n",
        entry("acme", &acme, "[\"demo\"]")
    );
    assert!(refusal(&policy(&both), &pack).contains("the 1. [[require]] of trust.toml is not met"));
}

#[test]
fn an_unknown_key_is_named_by_its_id() {
    let ((_a, acme), (_b, other)) = (key(), key());
    let text = refusal(
        &policy(&entry("acme", &acme, "[\"*\"]")),
        &signed(&[&other]),
    );
    let id = other.public().id();
    assert!(
        text.contains(&format!(
            "`demo` is signed by the key {id}, which is not in the policy: if you know whose it is"
        )),
        "{text}"
    );
    assert!(text.contains("[[key]]\nname = \"NAME\"\npublic = \"RW…\"\npacks = [\"demo\"]"));
    // Beside one that counts, it harms nothing.
    let verdict = policy(&entry("acme", &acme, "[\"*\"]"))
        .evaluate(&signed(&[&acme, &other]), &Installed::default());
    assert!(verdict.is_trusted());
    assert!(
        verdict
            .signatures
            .iter()
            .any(|evaluated| evaluated.finding == SignatureStatus::UnknownKey)
    );
}

#[test]
fn a_key_out_of_its_scope_is_refused_with_the_line_that_would_allow_it() {
    let (_dir, acme) = key();
    let narrow = entry("acme", &acme, "[\"aws\", \"team-*\"]");
    let text = refusal(&policy(&narrow), &signed(&[&acme]));
    assert!(
        text.contains("`demo` is signed by the key `acme`, which may sign `aws`, `team-*`: to let it sign this one too"),
        "{text}"
    );
    let line = text.lines().last().unwrap();
    assert_eq!(line, "packs = [\"aws\", \"team-*\", \"demo\"]");
    let wider = narrow.replace("packs = [\"aws\", \"team-*\"]", line);
    assert!(
        policy(&wider)
            .evaluate(&signed(&[&acme]), &Installed::default())
            .is_trusted()
    );
}

/// Returns the public key of `key` with the id of `other`, as an attacker would make it.
fn with_id_of(key: &SecretKey, other: &SecretKey) -> String {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    let mut bytes = engine.decode(key.public().to_string()).unwrap();
    let id = engine.decode(other.public().to_string()).unwrap();
    bytes[2..10].copy_from_slice(&id[2..10]);
    engine.encode(bytes)
}

#[test]
fn a_key_that_bears_another_s_id_is_found_out() {
    let ((_a, acme), (_b, mallory)) = (key(), key());
    // The signature is mallory's, with acme's id written into it.
    let mut pack = signed(&[&mallory]);
    let (name, bytes) = pack.contents().signatures.first_key_value().unwrap();
    let (name, text) = (name.clone(), String::from_utf8(bytes.clone()).unwrap());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    let mut signature = engine.decode(&lines[1]).unwrap();
    let id = engine.decode(acme.public().to_string()).unwrap();
    signature[2..10].copy_from_slice(&id[2..10]);
    lines[1] = engine.encode(signature);
    pack.add_signature(name, format!("{}\n", lines.join("\n")).into_bytes());
    let text = refusal(&policy(&entry("acme", &acme, "[\"*\"]")), &pack);
    assert!(
        text.contains(
            "it bears the id of the key `acme`, which did not make it: do not use this copy"
        ),
        "{text}"
    );
    // In the policy itself.
    let confused = format!(
        "{}[[key]]\nname = \"acme-new\"\npublic = \"{}\"\npacks = [\"*\"]\n",
        entry("acme", &acme, "[\"*\"]"),
        with_id_of(&mallory, &acme)
    );
    assert!(
        wrong(&confused).contains("`acme` and `acme-new` have the same id"),
        "{}",
        wrong(&confused)
    );
    let twice = format!(
        "{}[[key]]\nname = \"second\"\npublic = \"{}\"\npacks = [\"*\"]\n",
        entry("acme", &acme, "[\"*\"]"),
        with_id_of(&acme, &mallory)
    );
    assert!(wrong(&twice).contains("are the same key, which would count as two"));
}

#[test]
fn a_broken_signature_harms_nothing_beside_a_good_one_and_is_named_without() {
    let (_dir, acme) = key();
    let policy = policy(&entry("acme", &acme, "[\"*\"]"));
    let name = PackPath::parse("MANIFEST.sha256.x.minisig").unwrap();
    let mut pack = signed(&[&acme]);
    pack.add_signature(name.clone(), b"junk".to_vec());
    let verdict = policy.evaluate(&pack, &Installed::default());
    assert!(verdict.is_trusted(), "{verdict}");
    let findings = verdict
        .signatures
        .iter()
        .map(|evaluated| &evaluated.finding);
    assert!(
        findings
            .into_iter()
            .any(|finding| matches!(finding, SignatureStatus::Broken(_)))
    );

    let mut pack = signed(&[]);
    pack.add_signature(name, b"junk".to_vec());
    let verdict = policy.evaluate(&pack, &Installed::default());
    assert!(matches!(
        verdict.refusals.as_slice(),
        [Refusal::Broken {
            problem: SignatureProblem::Form(_),
            ..
        }]
    ));
    assert!(
        verdict
            .to_string()
            .contains("take the file out if it is not yours")
    );
}

#[test]
fn several_signatures_can_be_required() {
    let ((_a, a), (_b, b), (_c, c)) = (key(), key(), key());
    let keys = ["a", "b", "c"].iter().zip([&a, &b, &c]);
    let keys: String = keys
        .map(|(name, key)| entry(name, key, "[\"*\"]"))
        .collect();
    let with = |require: &str, signers: &[&SecretKey]| {
        let text = format!("{keys}[[require]]\npacks = [\"demo\"]\n{require}");
        refusal(&policy(&text), &signed(signers))
    };
    let trusted =
        |require: &str, signers: &[&SecretKey]| with(require, signers).contains("is signed by");
    assert!(trusted("all_of = [\"a\", \"b\"]", &[&a, &b]));
    assert_eq!(
        with("all_of = [\"a\", \"b\"]", &[&a, &c]),
        "`demo` 1.2.0 is not trusted\nthe 1. [[require]] of trust.toml is not met: signed by `a`, `c`, missing `b`; let them \
         run `yagura sign`"
    );
    assert!(trusted("any_of = [\"a\", \"b\"]", &[&b]));
    assert!(with("any_of = [\"a\", \"b\"]", &[&c]).contains("missing 1 of `a`, `b`"));
    assert!(trusted("at_least = 2", &[&a, &c]));
    assert!(with("at_least = 2", &[&a]).contains("missing 1 of `b`, `c`"));
    assert!(trusted(
        "all_of = [\"a\"]\nany_of = [\"b\", \"c\"]\nat_least = 1",
        &[&a, &b]
    ));
    assert!(
        with(
            "all_of = [\"a\"]\nany_of = [\"b\", \"c\"]\nat_least = 2",
            &[&a, &b]
        )
        .contains("missing 1 of `c`")
    );
    // One that is needed and may not sign would keep the pack out for ever, and a name that nobody has protects nothing.
    let narrow = format!(
        "{}{}[[require]]\npacks = [\"demo\"]\nall_of = [\"a\"]\n",
        entry("a", &a, "[\"other\"]"),
        entry("b", &b, "[\"*\"]")
    );
    let error = TrustPolicy::parse(Path::new("trust.toml"), &narrow).unwrap_err();
    assert!(
        error.to_string().contains(
            "`require[1].all_of[1]` needs `a` for `demo`, which `a` may not sign: add `demo`"
        ),
        "{error}"
    );
    let typo = policy(&format!(
        "{keys}[[require]]\npacks = [\"dmeo\", \"team-*\"]\n"
    ));
    assert_eq!(
        typo.unknown_packs(["demo"]),
        [
            "the 1. [[require]] of the trust policy names `dmeo`, a pack that is not loaded; did you mean `demo`?"
        ]
    );
    // One key that signs twice is one.
    let mut twice = signed(&[&a]);
    sign(&mut twice, &a, Some("again")).unwrap();
    let text = format!("{keys}[[require]]\npacks = [\"demo\"]\nat_least = 2");
    assert!(
        !policy(&text)
            .evaluate(&twice, &Installed::default())
            .is_trusted()
    );
}

#[test]
fn mistakes_in_a_policy_are_refused() {
    let (_dir, acme) = key();
    let acme = entry("acme", &acme, "[\"*\"]");
    let with = |rest: &str| wrong(&format!("{acme}{rest}"));
    assert!(
        with("[[require]]\npacks = [\"*\"]\nall_of = [\"acne\"]").contains("did you mean `acme`?")
    );
    assert!(with("[[require]]\npacks = [\"*\"]\nat_least = 2").contains("only 1 keys are there"));
    assert!(with("[[require]]\npacks = [\"*\"]\nat_least = 0").contains("[[unsigned]]"));
    assert!(with("[[require]]\npacks = []").contains("names no packs"));
    assert!(
        with("[[unsigned]]\npacks = [\"{a,b}\"]").contains("`unsigned[1].packs[1]` is `{a,b}`")
    );
    assert!(with("[[unsinged]]\n").contains("did you mean `unsigned`?"));
    assert!(with(&acme).contains("names two keys `acme`"));
    let public = wrong("[[key]]\nname = \"a\"\npublic = \"RWQ\"\npacks = [\"*\"]\n");
    assert!(
        public.starts_with(
            "trust.toml:3: `key[1].public` of `a` is wrong: `RWQ` is not a public key"
        ),
        "{public}"
    );
}

#[test]
fn an_older_version_or_another_pack_of_the_same_version_is_refused_unless_forced() {
    let mut installed = Installed::default();
    installed.record(&verified("demo", "1.2.0", "a"));
    let policy = policy("[[unsigned]]\npacks = [\"*\"]\n");
    let evaluate =
        |version: &str, rule: &str| policy.evaluate(&verified("demo", version, rule), &installed);
    for (version, rule) in [("1.2.0", "a"), ("1.2.1", "b"), ("2.0.0-rc.1", "b")] {
        assert!(evaluate(version, rule).is_trusted(), "{version}");
    }
    let mut older = evaluate("1.1.9", "b");
    assert!(
        older
            .to_string()
            .contains("`demo` 1.1.9 is older than 1.2.0, which was used here before"),
        "{older}"
    );
    older.force();
    assert!(older.is_trusted());
    assert!(matches!(
        evaluate("1.2.0-rc.1", "a").refusals[..],
        [Refusal::Rollback(Rollback::Older { .. })]
    ));
    let replaced = evaluate("1.2.0", "b");
    assert!(
        replaced.to_string().contains("a version is published once"),
        "{replaced}"
    );
    assert!(matches!(
        evaluate("1.2.0+2", "b").refusals[..],
        [Refusal::Rollback(Rollback::Replaced { .. })]
    ));
}

#[test]
fn what_was_used_survives_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("installed.toml");
    let mut installed = Installed::read(&file).unwrap();
    assert_eq!(installed, Installed::default());
    let toml = "[pack]\nname = \"demo\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"e.wasm\"\n\
                world = \"enricher\"\n[plugin.request]\nhttp = [\"https://a.org\"]\n";
    installed.record(&crate::testing::verified_of(toml, &[]));
    installed.write(&file).unwrap();
    assert_eq!(Installed::read(&file).unwrap(), installed);
    std::fs::write(&file, "[pack.demo]\nversion = \"1\"\ndigest = \"x\"\n").unwrap();
    let error = Installed::read(&file).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("without it old versions would be taken")
    );
}

#[cfg(not(feature = "sigstore"))]
#[test]
fn a_keyless_signature_counts_for_nothing_in_a_build_without_them() {
    let mut pack = signed(&[]);
    let name = PackPath::parse("MANIFEST.sha256.sigstore.json").unwrap();
    pack.add_signature(name, b"{}".to_vec());
    let verdict = policy("").evaluate(&pack, &Installed::default());
    assert_eq!(verdict.signatures[0].finding, SignatureStatus::NotChecked);
    assert!(!verdict.is_trusted());
    let identity =
        "[[identity]]\nname = \"ci\"\nidentity = \"x\"\nissuer = \"y\"\npacks = [\"*\"]\n";
    assert!(wrong(identity).contains("build it with the feature `sigstore`"));
}
