use std::collections::BTreeSet;

use yagura_core::AlertState;

use super::*;
use crate::policy::PolicyFile;

fn case(text: &str) -> PolicyTest {
    let policy: Policy = toml::from_str(text).unwrap();
    policy.test.into_iter().next().unwrap()
}

fn became(alert: &AlertLine, outcome: TestOutcome, incident: Option<&str>) -> AlertResult {
    AlertResult {
        alert: alert.alert.id.clone(),
        outcome,
        notify: Vec::new(),
        incident: incident.map(str::to_owned),
        is_flood: false,
    }
}

const CASE: &str = r#"
    [[test]]
    name = "scanner"
    incidents = 1
    [[test.alert]]
    rule = "aws-root-login"
    time = "2026-01-30T08:00:00Z"
    severity = "high"
    key = "root"
    tags = ["attack.t1078"]
    observables = { ip = ["10.0.0.2", "10.0.0.1"], user = ["root"] }
    context = { region = "eu-west-1" }
    [[test.alert]]
    rule = "aws-root-login"
    time = "2026-01-30T08:00:00Z"
    key = "root"
    [[test.expect]]
    outcome = "reported"
    notify = ["chat", "pager"]
    incident = 1
    flood = false
    [[test.expect]]
    outcome = "suppressed"
"#;

#[test]
fn written_alerts_are_lines_with_ids_that_stay() {
    let lines = lines(&case(CASE), Path::new(".")).unwrap();
    assert_eq!(lines, super::lines(&case(CASE), Path::new(".")).unwrap());
    assert_eq!(lines.len(), 2);
    let first = &lines[0];
    assert_eq!((first.seq, first.state), (1, AlertState::Final));
    assert_eq!(
        first.alert.id,
        identity("aws-root-login", "root", first.alert.first_time)
    );
    assert_ne!(first.alert.id, lines[1].alert.id);
    let values: Vec<_> = first
        .alert
        .observables
        .iter()
        .map(|o| o.value.as_str())
        .collect();
    assert_eq!(values, ["10.0.0.1", "10.0.0.2", "root"]);
    assert_eq!(first.alert.tags, ["attack.t1078"]);
    assert_eq!(first.alert.context[0].value, "eu-west-1");
}

#[test]
fn what_was_expected_has_no_mismatch() {
    let (test, lines) = (case(CASE), lines(&case(CASE), Path::new(".")).unwrap());
    let mut found = vec![
        became(&lines[0], TestOutcome::Reported, Some("i")),
        became(&lines[1], TestOutcome::Suppressed, None),
    ];
    found[0].notify = vec!["pager".to_owned(), "chat".to_owned()];
    assert_eq!(mismatches(&test, &lines, &found, 1), Vec::<String>::new());
}

#[test]
fn a_mismatch_names_case_alert_expected_and_found() {
    let (test, lines) = (case(CASE), lines(&case(CASE), Path::new(".")).unwrap());
    let mut found = vec![became(&lines[0], TestOutcome::Staged, None)];
    found[0].is_flood = true;
    let alert =
        "case `scanner`: alert 1 (`aws-root-login` for `root`, 2026-01-30T08:00:00.000000Z)";
    let expected = [
        format!("{alert}: outcome: expected reported, found staged"),
        format!("{alert}: notify: expected `chat`, `pager`, found nobody"),
        format!("{alert}: flood: expected false, found true"),
        format!("{alert}: incident: expected the one that alert 1 opened, found none"),
        format!(
            "{}: was not decided on",
            alert.replace("alert 1", "alert 2")
        ),
        "case `scanner`: expected 1 incidents in the end, found 3".to_owned(),
    ];
    assert_eq!(mismatches(&test, &lines, &found, 3), expected);
}

#[test]
fn an_incident_is_named_by_the_alert_that_opened_it() {
    let text = r#"
        [[test]]
        name = "one incident"
        alert = [
            { rule = "a", time = "2026-01-30" },
            { rule = "b", time = "2026-01-30" },
            { rule = "c", time = "2026-01-30" },
        ]
        expect = [{ incident = 1 }, { incident = 1 }, { incident = 2 }]
    "#;
    let (test, lines) = (case(text), lines(&case(text), Path::new(".")).unwrap());
    let messages_for = |ids: [&str; 3]| {
        let found = lines.iter().zip(ids);
        let found: Vec<_> = found
            .map(|(line, id)| became(line, TestOutcome::Reported, Some(id)))
            .collect();
        mismatches(&test, &lines, &found, 2)
    };
    let messages = messages_for(["x", "x", "y"]);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].contains("alert 3 (`c`,")
            && messages[0].ends_with(
                "expected the one that alert 2 opened, found the one that alert 3 opened"
            ),
        "{messages:?}"
    );
    assert_eq!(messages_for(["x", "y", "y"]).len(), 1);
}

#[test]
fn recorded_alerts_are_read_in_both_forms() {
    let dir = tempfile::tempdir().unwrap();
    let lines_of = lines(&case(CASE), Path::new(".")).unwrap();
    let mut provisional = lines_of[0].clone();
    provisional.seq = 41;
    provisional.state = AlertState::Provisional;
    let mut withdrawn = provisional.clone();
    withdrawn.state = AlertState::Withdrawn;
    withdrawn.reason = Some("late events".to_owned());
    let text = format!(
        "{}\n\n{}\n{}\n",
        serde_json::to_string(&provisional).unwrap(),
        serde_json::to_string(&lines_of[1].alert).unwrap(),
        serde_json::to_string(&withdrawn).unwrap(),
    );
    fs::write(dir.path().join("alerts.ndjson"), text).unwrap();
    let text = r#"
        [[test]]
        name = "recorded"
        alerts = "alerts.ndjson"
        expect = [{ rule = "aws-root-login", outcome = "reported" }, { key = "nobody" }]
    "#;
    let (test, read) = (case(text), lines(&case(text), dir.path()).unwrap());
    let states: Vec<_> = read.iter().map(|line| (line.seq, line.state)).collect();
    let expected = [
        (1, AlertState::Provisional),
        (2, AlertState::Final),
        (3, AlertState::Withdrawn),
    ];
    assert_eq!(states, expected);
    assert_eq!(read[2].reason.as_deref(), Some("late events"));
    let found = [
        became(&read[0], TestOutcome::Reported, Some("i")),
        became(&read[1], TestOutcome::Inhibited, None),
    ];
    let messages = mismatches(&test, &read, &found, 1);
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("alert 2") && messages[0].contains("found inhibited"));
    assert_eq!(
        messages[1],
        "case `recorded`: no alert for expect[2], key `nobody`"
    );

    // An alert of several lines is evaluated once.
    let mut test = test;
    test.expect.truncate(1);
    test.expect[0].outcome = Some("inhibited".to_owned());
    let messages = mismatches(&test, &read, &found, 1);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("alert 1") && messages[0].contains("found reported"));

    fs::write(dir.path().join("alerts.ndjson"), "{}\n").unwrap();
    let error = lines(&case(text), dir.path()).unwrap_err();
    assert!(
        error.to_string().contains("alerts.ndjson:1: not an alert"),
        "{error}"
    );
    let error = lines(&case(text), &dir.path().join("none")).unwrap_err();
    assert!(error.to_string().contains("case `recorded`"), "{error}");
}

#[test]
fn a_case_that_cannot_be_evaluated_is_an_error() {
    let text = r#"
        [notifier.chat]
        plugin = "p/a.wasm"
        [[test]]
        name = "one"
        alert = [{ rule = "a", time = "2026-01-30" }]
        expect = [
            { outcome = "supressed", notify = ["chatt"], rule = "a", incident = 2 },
            { outcome = "reported" },
        ]
        [[test]]
        name = "one"
        alerts = "alerts.ndjson"
        alert = [{ rule = "a", time = "2026-01-30" }]
        expect = [{ incident = 0 }]
        [[test]]
        name = "two"
        expect = []
        [[route]]
        notify = ["chat"]
    "#;
    let policy = PolicyFile::parse(Path::new("policy.toml"), text.to_owned()).unwrap();
    let found = policy.lint(None, "2026-01-01".parse().unwrap());
    assert!(!PolicyFile::is_usable(&found));
    let keys: BTreeSet<String> = found
        .iter()
        .filter_map(|one| Some(one.key.as_ref()?.to_string()))
        .collect();
    let expected = [
        "test[1].expect",
        "test[1].expect[1].incident",
        "test[1].expect[1].notify[1]",
        "test[1].expect[1].outcome",
        "test[1].expect[1].rule",
        "test[2].alerts",
        "test[2].expect[1].incident",
        "test[2].name",
        "test[3]",
    ];
    assert_eq!(
        keys.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
    let message = found
        .iter()
        .find(|one| one.message.contains("supressed"))
        .unwrap();
    assert!(
        message.to_string().contains("did you mean `suppressed`?"),
        "{message}"
    );
}
