//! The first-party CloudTrail pack: every rule finds its positive events, none finds its negative ones.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use yagura_core::Pack;
use yagura_tests::command::yagura;

#[test]
fn every_rule_finds_its_events_and_no_others() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/aws");
    let pack = Pack::read(&dir).unwrap();
    let with_code = pack
        .rules
        .iter()
        .filter(|source| source.rule.plugin.is_some());
    assert!(with_code.count() >= 8);
    let without = pack
        .rules
        .iter()
        .filter(|source| source.rule.plugin.is_none());
    assert!(without.count() >= 3);

    let ran = yagura(&[
        "test",
        dir.to_str().unwrap(),
        "--no-build",
        "--format",
        "json",
    ]);
    let mut cases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in ran.stdout.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        assert_eq!(case["passed"], true, "{case}");
        let rule = case["rule"].as_str().unwrap().to_owned();
        let name = case["name"].as_str().unwrap().to_owned();
        cases.entry(rule).or_default().push(name);
    }
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // A rule without a positive or a negative case is a warning.
    assert_eq!(ran.stderr, "");
    assert_eq!(cases.len(), pack.rules.len());
}
