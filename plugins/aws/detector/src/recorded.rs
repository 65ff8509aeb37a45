//! The recorded events beside each rule, and events by column for the unit tests: both through the rule's own TOML, so
//! that a rule and its detector cannot drift apart.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use yagura_sdk::Finding;
use yagura_sdk::testing::{Events, evaluate_rule};

fn pack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rule(id: &str) -> toml::Table {
    let file = pack().join("rules").join(format!("{id}.toml"));
    let text =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut file: toml::Table = toml::from_str(&text).unwrap();
    match file.remove("rule") {
        Some(toml::Value::Table(rule)) => rule,
        other => panic!("{id}: [rule] is {other:?}"),
    }
}

fn columns(rule: &toml::Table) -> Vec<&str> {
    rule["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect()
}

fn config(rule: &toml::Table) -> String {
    rule.get("config").map_or("{}".to_owned(), |config| {
        serde_json::to_string(config).unwrap()
    })
}

/// Evaluates one event of these columns by the detector of rule `id`, with the rule's own configuration.
pub(crate) fn evaluate_columns(id: &str, values: &[(&str, &str)]) -> Vec<Finding> {
    evaluate_columns_with(id, &config(&rule(id)), values)
}

/// As [`evaluate_columns`], with another configuration.
pub(crate) fn evaluate_columns_with(
    id: &str,
    config: &str,
    values: &[(&str, &str)],
) -> Vec<Finding> {
    let rule = rule(id);
    let columns = columns(&rule);
    for (name, _) in values {
        assert!(
            columns.contains(name),
            "rule {id} does not list the column `{name}`"
        );
    }
    let value = |name: &str| {
        values
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    };
    let mut events = Events::new();
    for name in columns {
        events = add(events, name, &[value(name).map(str::to_owned)]);
    }
    evaluate_rule::<crate::Plugin>(id, config, &events).unwrap()
}

fn add(events: Events, name: &str, values: &[Option<String>]) -> Events {
    match name {
        "read_only" | "management_event" => events.boolean(
            name,
            values
                .iter()
                .map(|value| value.as_deref().map(|text| text == "true")),
        ),
        _ => events.text(name, values.iter().map(Option::as_deref)),
    }
}

/// Returns the value of a column of the table `aws_cloudtrail` in a raw event.
fn column_value(event: &Value, name: &str) -> Option<String> {
    let (column, path) = name
        .split_once('.')
        .map_or((name, None), |(column, path)| (column, Some(path)));
    let sources: &[&str] = match column {
        "user_type" => &["/userIdentity/type"],
        "user_name" => &[
            "/userIdentity/userName",
            "/userIdentity/sessionContext/sessionIssuer/userName",
        ],
        "user_arn" => &["/userIdentity/arn"],
        "account_id" => &["/userIdentity/accountId"],
        "invoked_by" => &["/userIdentity/invokedBy"],
        "session_issuer_arn" => &["/userIdentity/sessionContext/sessionIssuer/arn"],
        "mfa_authenticated" => &["/userIdentity/sessionContext/attributes/mfaAuthenticated"],
        "event_name" => &["/eventName"],
        "event_type" => &["/eventType"],
        "source_ip" => &["/sourceIPAddress"],
        "error_code" => &["/errorCode"],
        "recipient_account_id" => &["/recipientAccountId"],
        "read_only" => &["/readOnly"],
        "request_parameters" => &["/requestParameters"],
        "response_elements" => &["/responseElements"],
        "additional_event_data" => &["/additionalEventData"],
        other => panic!("`{other}` has no source here: add it"),
    };
    let mut value = sources.iter().find_map(|source| event.pointer(source))?;
    for segment in path.into_iter().flat_map(|path| path.split('.')) {
        value = value.get(segment)?;
    }
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn recorded(id: &str, file: &str) -> Vec<Value> {
    let path = pack().join("tests").join(id).join(file);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn evaluate_event(id: &str, rule: &toml::Table, event: &Value) -> Vec<Finding> {
    let mut events = Events::new();
    for name in columns(rule) {
        events = add(events, name, &[column_value(event, name)]);
    }
    evaluate_rule::<crate::Plugin>(id, &config(rule), &events).unwrap()
}

/// Says whether an event may pass the rule's `where`, as far as the calls, the type of user and the success it names go.
fn may_pass(rule: &toml::Table, event: &Value) -> bool {
    let condition = rule["where"].as_str().unwrap();
    let call = format!("'{}'", event["eventName"].as_str().unwrap());
    let equals = |column: &str| {
        let (_, rest) = condition.split_once(&format!("{column} = '"))?;
        Some(rest.split_once('\'')?.0.to_owned())
    };
    let fits = |column: &str| {
        equals(column).is_none_or(|wanted| column_value(event, column) == Some(wanted))
    };
    (!condition.contains("event_name") || condition.contains(&call))
        && (!condition.contains("error_code IS NULL") || event.get("errorCode").is_none())
        && fits("user_type")
        && fits("response_elements.ConsoleLogin")
}

fn rules_with_code() -> Vec<(String, toml::Table)> {
    let mut rules: Vec<(String, toml::Table)> = fs::read_dir(pack().join("rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .map(|id| (id.clone(), rule(&id)))
        .filter(|(_, rule)| rule.contains_key("plugin"))
        .collect();
    rules.sort_by(|a, b| a.0.cmp(&b.0));
    rules
}

#[test]
fn every_positive_event_is_found_and_no_negative_one() {
    let rules = rules_with_code();
    assert!(rules.len() >= 8, "{}", rules.len());
    for (id, rule) in &rules {
        let positive = recorded(id, "positive.ndjson");
        let negative = recorded(id, "negative.ndjson");
        assert!(
            positive.len() >= 2 && negative.len() >= 3,
            "{id} has too few recorded events"
        );
        for event in &positive {
            assert!(
                may_pass(rule, event),
                "{id}: `where` stops {}",
                event["eventID"]
            );
            let found = evaluate_event(id, rule, event);
            assert_eq!(
                found.len(),
                1,
                "{id}: positive {} of {}",
                event["eventID"],
                event["eventName"]
            );
        }
        for event in negative.iter().filter(|event| may_pass(rule, event)) {
            let found = evaluate_event(id, rule, event);
            let titles: Vec<_> = found.iter().map(|finding| &finding.title).collect();
            assert!(
                found.is_empty(),
                "{id}: negative {} is found as {titles:?}",
                event["eventID"]
            );
        }
        // A near miss that never reaches the detector tests only the `where`.
        let near = negative
            .iter()
            .filter(|event| may_pass(rule, event))
            .count();
        assert!(
            near >= 2,
            "{id}: only {near} negative events reach the detector"
        );
    }
}
