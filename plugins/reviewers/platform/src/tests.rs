use serde_json::json;
use yagura_sdk::testing::{AlertBuilder, alert, review};

use super::*;

/// The configuration that comes with the pack.
fn defaults() -> String {
    let manifest: toml::Value = toml::from_str(include_str!("../../pack.toml")).unwrap();
    serde_json::to_string(&manifest["plugin"][0]["config"]).unwrap()
}

fn facts(facts: &[(&str, &str)]) -> Vec<Attribute> {
    let facts = facts.iter();
    facts
        .map(|(name, value)| Attribute {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
            source: "test".to_owned(),
        })
        .collect()
}

fn evaluated(
    config: &str,
    alert: AlertBuilder,
    found: &[(&str, &str)],
) -> Option<(Severity, Verdict, String)> {
    let assessment = review::<Platform>(config, &alert.build(), &facts(found)).unwrap()?;
    Some((assessment.severity, assessment.verdict, assessment.reason))
}

#[test]
fn malware_for_windows_on_a_mac_is_low() {
    let site = || {
        alert()
            .severity(Severity::High)
            .observable(Observable::Domain, "bad.example")
    };
    let seen = [
        ("urlhaus.verdict", "malicious"),
        ("urlhaus.file_type", "exe"),
    ];
    let with = |system: &'static str| [&seen[..], &[("asset.os", system)]].concat();
    let (severity, verdict, reason) = evaluated(&defaults(), site(), &with("macOS 15")).unwrap();
    assert_eq!((severity, verdict), (Severity::Low, Verdict::Suspicious));
    assert!(
        reason.ends_with("(asset.os: macOS 15, urlhaus.file_type: exe)"),
        "{reason}"
    );
    // The same on Windows, and where both are there, is what it looks like.
    for found in [
        with("Windows 11"),
        [with("Linux"), with("Windows Server 2022")].concat(),
    ] {
        let (severity, verdict, _) = evaluated(&defaults(), site(), &found).unwrap();
        assert_eq!((severity, verdict), (Severity::High, Verdict::Malicious));
    }
    // A rule that says by its tag which system it is about needs no outside service.
    let tagged = evaluated(
        &defaults(),
        site().tag("platform.windows"),
        &[("asset.os", "Ubuntu 24.04")],
    );
    assert_eq!(tagged.unwrap().0, Severity::Low);
}

#[test]
fn what_is_held_for_malicious_is_raised_and_never_lowered() {
    for (before, after) in [
        (Severity::Low, Severity::High),
        (Severity::Critical, Severity::Critical),
    ] {
        let assessment = evaluated(
            &defaults(),
            alert().severity(before),
            &[("abuseipdb.verdict", "malicious")],
        );
        let (severity, verdict, _) = assessment.unwrap();
        assert_eq!((severity, verdict), (after, Verdict::Malicious));
    }
}

#[test]
fn known_scanners_are_benign() {
    let own = evaluated(
        &defaults(),
        alert(),
        &[("asset.role", "vulnerability scanner")],
    )
    .unwrap();
    assert_eq!((own.0, own.1), (Severity::Info, Verdict::Benign));
    let research = [
        ("greynoise.verdict", "benign"),
        ("greynoise.scanner", "true"),
    ];
    let research = evaluated(&defaults(), alert().severity(Severity::High), &research).unwrap();
    assert_eq!((research.0, research.1), (Severity::Low, Verdict::Benign));
    // A scanner that meets what is malicious is no scanner's work any more.
    let both = [
        ("asset.role", "scanner"),
        ("virustotal.verdict", "malicious"),
    ];
    assert_eq!(
        evaluated(&defaults(), alert(), &both).unwrap().1,
        Verdict::Malicious
    );
}

#[test]
fn there_is_no_assessment_without_a_reason_for_one() {
    assert_eq!(evaluated(&defaults(), alert(), &[]), None);
    assert_eq!(
        evaluated(&defaults(), alert(), &[("virustotal.verdict", "clean")]),
        None
    );
    assert_eq!(
        evaluated(&defaults(), alert(), &[("asset.os", "macOS")]),
        None
    );
}

#[test]
fn rules_of_the_operators_own_come_first() {
    let mut config: serde_json::Value = serde_json::from_str(&defaults()).unwrap();
    config["own"] = json!([{
        "name": "backup", "reason": "The backup does that.", "severity": "info", "verdict": "benign",
        "when": {"rules": ["aws-*"], "keys": ["backup*"], "context": {"account": ["1*"]},
                 "observables": {"user": ["svc-*"]}, "not": {"tags": ["attack.impact"]}},
    }]);
    let config = config.to_string();
    let fitting = || {
        let alert = alert()
            .rule("aws-root-use")
            .context("account", "111")
            .observable(Observable::User, "svc-b");
        let mut alert = alert.build();
        alert.key = "Backup|x".to_owned();
        alert
    };
    let evaluated = |alert: &Alert| {
        let assessment = review::<Platform>(&config, alert, &facts(&[("x.verdict", "malicious")]));
        assessment
            .unwrap()
            .map(|assessment| assessment.reason)
            .unwrap_or_default()
    };
    assert_eq!(
        evaluated(&fitting()),
        "The backup does that. (account: 111, user: svc-b)"
    );
    let changes: [fn(&mut Alert); 5] = [
        |alert| alert.rule = "gcp".to_owned(),
        |alert| alert.key = "b".to_owned(),
        |alert| alert.context.clear(),
        |alert| alert.observables.clear(),
        |alert| alert.tags.push("attack.impact".to_owned()),
    ];
    for change in changes {
        let mut alert = fitting();
        change(&mut alert);
        assert!(!evaluated(&alert).starts_with("The backup"), "{alert:?}");
    }
}

#[test]
fn rules_are_checked() {
    for (rule, part) in [
        (
            json!({"name": "r", "when": {}, "reason": "x"}),
            "would fit every alert",
        ),
        (
            json!({"name": "r", "when": {"tags": ["a"]}, "reason": "x", "severity": "severe"}),
            "`severity` is",
        ),
        (
            json!({"name": "r", "when": {"tags": ["a"]}, "reason": "x", "verdict": "bad"}),
            "`verdict` is",
        ),
        (
            json!({"name": "r", "when": {"tags": ["a"]}, "reason": "x", "severity": "low", "at_most": "low"}),
            "says it all",
        ),
        (
            json!({"name": "r", "when": {"tags": ["a"]}, "reason": "x", "at_least": "high", "at_most": "low"}),
            "above",
        ),
        (
            json!({"name": "r", "when": {"tag": ["a"]}, "reason": "x"}),
            "unknown field `tag`",
        ),
        (
            json!({"name": "r", "when": {"tags": ["a"]}}),
            "missing field `reason`",
        ),
    ] {
        let config = json!({"rules": [rule]}).to_string();
        let error = Platform::open(&Config::new(&config))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(Platform::open(&Config::new("{}")).is_err());
}
