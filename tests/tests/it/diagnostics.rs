//! What is wrong with a file of a user, as commands show it: file, line, the source line underlined, JSON and SARIF.

use serde_json::Value;
use yagura_tests::command::{Ran, yagura};
use yagura_tests::scratch::Scratch;

const PACK: &str = "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n";
const RULE: &str = "[rule]\nid = \"a-b\"\ntitle = \"t\"\ntable = \"x\"\nwhere = \"a = 1\"\n";

/// Checks a pack with these files.
fn check(manifest: &str, rule: &str, format: &str) -> Ran {
    let files = Scratch::new();
    files.write("pack/pack.toml", manifest);
    files.write("pack/rules/a.toml", rule);
    yagura(&["check", "--pack", &files.path("pack"), "--format", format])
}

fn contains(text: &str, wants: &[&str]) {
    for want in wants {
        assert!(text.contains(want), "no `{want}` in {text}");
    }
}

#[test]
fn an_unknown_key_is_underlined_in_its_line() {
    let ran = check(PACK, &RULE.replace("where", "wehre"), "text");
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    contains(
        &ran.stderr,
        &[
            "rules/a.toml:5: `rule.wehre` is not a known key; did you mean `where`?\n",
            "\n5 | wehre = \"a = 1\"\n  | ^^^^^\n",
            "= help: known keys: `id`, `title`",
        ],
    );
}

#[test]
fn the_second_plugin_is_named_where_the_second_is_wrong() {
    let plugin = |name: &str, time: &str| {
        format!(
            "[[plugin]]\nfile = \"{name}.wasm\"\nworld = \"detector\"\nlimits.time = \"{time}\"\n"
        )
    };
    let manifest = format!("{PACK}{}{}", plugin("one", "1s"), plugin("two", "soon"));
    let ran = check(&manifest, RULE, "text");
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    contains(
        &ran.stderr,
        &[
            "pack.toml:12: `plugin[2].limits.time` `soon` is not a duration",
            "12 | limits.time = \"soon\"\n   |               ^^^^^^",
        ],
    );
}

#[test]
fn a_program_gets_a_file_that_cannot_be_read_as_a_result() {
    let rule = RULE.replace("where", "wehre");
    let ran = check(PACK, &rule, "json");
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let found: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    for (key, expected) in [
        ("line", Value::from(5)),
        ("column", 1.into()),
        ("end_column", 6.into()),
        ("level", "error".into()),
        ("code", "unknown-key".into()),
        ("key", "rule.wehre".into()),
    ] {
        assert_eq!(found[key], expected, "{key} in {found}");
    }
    let ran = check(PACK, &rule, "sarif");
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let log: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "unknown-key");
    assert_eq!(result["level"], "error");
    let place = &result["locations"][0]["physicalLocation"];
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    assert!(uri.ends_with("/pack/rules/a.toml"), "{uri}");
    assert_eq!(place["region"]["startLine"], 5);
    assert_eq!(place["region"]["endColumn"], 6);
    let rule = &log["runs"][0]["tool"]["driver"]["rules"][0];
    assert_eq!(rule["id"], "unknown-key");
    let help = rule["helpUri"].as_str().unwrap();
    assert!(
        help.ends_with("docs/contributors/diagnostics.md#unknown-key"),
        "{help}"
    );
}

#[test]
fn what_looks_wrong_has_its_place_in_rules_and_sigma() {
    let files = Scratch::new();
    files.write("pack/pack.toml", PACK);
    files.write("pack/rules/a.toml", RULE);
    files.write(
        "sigma/b.yml",
        "title: b\nid: b\nlogsource: {product: nothing}\ndetection:\n  sel:\n    Image|re: '[a-z]+'\n  more: {a: b}\n  condition: sel\n",
    );
    let (pack, sigma) = (files.path("pack"), files.path("sigma"));
    let arguments = ["check", "--pack", &pack, "--sigma", &sigma];
    let ran = yagura(&arguments).must_work();
    contains(
        &ran.stdout,
        &[
            "rules/a.toml:1: note: has no tag of ATT&CK",
            "[missing-attack-tag, a-b]",
            "b.yml:4: warning: `Image matches",
            "[expensive, b]",
            "4 | detection:\n  | ^^^^^^^^^",
            "b.yml:8: warning: the condition does not use the detection `more` [unused-detection, b]",
            "8 |   condition: sel\n  |              ^^^",
        ],
    );
    let json = yagura(&[&arguments[..], &["--format", "json"]].concat()).must_work();
    assert!(json.stdout.lines().count() > 3, "{}", json.stdout);
    for line in json.stdout.lines() {
        let found: Value = serde_json::from_str(line).unwrap();
        assert!(
            found["line"].is_u64() && found["code"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn a_configuration_and_a_policy_are_shown_alike() {
    let files = Scratch::new();
    files.write(
        "yagura.toml",
        "[table.a]\nurl = \"x\"\non_bad_fiel = \"skip\"\n",
    );
    let ran = yagura(&["check", "--config", &files.path("yagura.toml")]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    contains(
        &ran.stderr,
        &[
            "yagura.toml:3: `table.a.on_bad_fiel` is not a known key; did you mean `on_bad_file`?",
            "3 | on_bad_fiel = \"skip\"\n  | ^^^^^^^^^^^",
        ],
    );
    files.write(
        "policy.toml",
        "[[route]]\nnotify = []\n[[route]]\nnotify = [\"chat\"]\n",
    );
    let ran = yagura(&["check", "--policy", &files.path("policy.toml")]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    contains(
        &ran.stdout,
        &[
            "policy.toml:4: error: `route[2].notify[1]` names `chat`, which has no [notifier.chat] [unknown-reference]",
            "4 | notify = [\"chat\"]\n  |           ^^^^^^",
            "[unreachable-route]",
        ],
    );
}
