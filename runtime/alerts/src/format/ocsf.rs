//! Alerts and incidents as Detection Findings of the Open Cybersecurity Schema Framework.
//!
//! Class 2004 of <https://schema.ocsf.io>, with the profile `incident` where there is a verdict. Times are milliseconds.
//! What the schema has no place for is in `unmapped`; observables point there.

use serde_json::{Map, Value, json};

use crate::store::rows::{AlertRow, Outcome};

use yagura_core::alert::Observable;
use yagura_core::report::{AlertLine, Attribute, IncidentStatus, Verdict};
use yagura_core::{Alert, AlertState, EvidenceEvent, Report, Severity, Timestamp};

/// Version of the schema that findings are written in.
pub const VERSION: &str = "1.8.0";

const CATEGORY: u32 = 2;
const CLASS: u32 = 2004;

/// What has happened to a finding: `activity_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It was not reported before.
    Create,
    /// It has changed.
    Update,
    /// It is done with.
    Close,
}

/// Returns a line of the file of alerts as a finding; `time` is when it was reported, `is_first` whether that is its first line.
pub fn alert(line: &AlertLine, is_first: bool, time: Timestamp) -> Value {
    let (activity, status) = match line.state {
        AlertState::Withdrawn => (Activity::Close, status(4, "Resolved")),
        _ if is_first => (Activity::Create, status(1, "New")),
        _ => (Activity::Update, status(1, "New")),
    };
    let alert = &line.alert;
    let mut finding = base(activity, alert.severity, time, status);
    let mut info = info(&alert.id, &alert.title, &[alert], time);
    info.insert(
        "related_events_count".to_owned(),
        alert.evidence.total.into(),
    );
    finding.insert("finding_info".to_owned(), info.into());
    finding.insert("message".to_owned(), alert.title.clone().into());
    let mut unmapped = Map::new();
    unmapped.insert("state".to_owned(), json!(line.state));
    for (name, value) in [("reason", &line.reason), ("replaced_by", &line.replaced_by)] {
        if let Some(value) = value {
            unmapped.insert(name.to_owned(), value.clone().into());
        }
    }
    complete(finding, unmapped, &[alert])
}

/// Returns an alert of the store as a finding, with its outcome: one that was not reported is not an alert there.
pub fn recorded(row: &AlertRow) -> Value {
    let mut finding = alert(&row.line(), true, row.changed_at);
    if row.outcome != Outcome::Reported {
        finding["is_alert"] = false.into();
        if row.state != AlertState::Withdrawn {
            finding["status_id"] = 3.into();
            finding["status"] = "Suppressed".into();
        }
    }
    let unmapped = &mut finding["unmapped"];
    unmapped["outcome"] = row.outcome.to_string().into();
    for (name, value) in [("why", &row.why), ("incident", &row.incident)] {
        if let Some(value) = value {
            unmapped[name] = value.clone().into();
        }
    }
    finding
}

/// Returns a report of an incident as a finding. Of its alerts it has those that the report lists.
pub fn incident(report: &Report) -> Value {
    let (activity, status) = match report.status {
        IncidentStatus::Closed => (Activity::Close, status(4, "Resolved")),
        IncidentStatus::Acknowledged => (Activity::Update, status(2, "In Progress")),
        IncidentStatus::Open if report.revision > 1 => (Activity::Update, status(1, "New")),
        IncidentStatus::Open => (Activity::Create, status(1, "New")),
    };
    let alerts: Vec<&Alert> = report.alerts.iter().map(|one| &one.alert).collect();
    let mut finding = base(activity, report.severity, report.time, status);
    let mut info = info(&report.id, &report.title, &alerts, report.time);
    info.insert("desc".to_owned(), report.text.clone().into());
    finding.insert("finding_info".to_owned(), info.into());
    finding.insert("message".to_owned(), report.title.clone().into());
    if !report.attributes.is_empty() {
        let enrichments = report.attributes.iter();
        let enrichments = enrichments.map(|one| enrichment(one, &report.id));
        finding.insert("enrichments".to_owned(), enrichments.collect());
    }
    // The last assessment holds.
    if let Some((_, assessment)) = report.assessments.last() {
        let (id, caption) = match assessment.verdict {
            Verdict::Undecided => (7, "Insufficient Data"),
            Verdict::Benign => (5, "Benign"),
            Verdict::Suspicious => (4, "Suspicious"),
            Verdict::Malicious => (2, "True Positive"),
        };
        finding.insert("verdict_id".to_owned(), id.into());
        finding.insert("verdict".to_owned(), caption.into());
        finding["metadata"]["profiles"] = json!(["incident"]);
    }
    let mut unmapped = Map::new();
    unmapped.insert("revision".to_owned(), report.revision.into());
    unmapped.insert("alert_count".to_owned(), report.alert_count.into());
    if !report.assessments.is_empty() {
        let assessments = report.assessments.iter().map(|(reviewer, assessment)| {
            json!({
                "reviewer": reviewer,
                "severity": assessment.severity,
                "verdict": assessment.verdict,
                "reason": assessment.reason,
            })
        });
        unmapped.insert("assessments".to_owned(), assessments.collect());
    }
    complete(finding, unmapped, &alerts)
}

/// Returns what every finding has.
fn base(
    activity: Activity,
    severity: Severity,
    time: Timestamp,
    (status_id, status): (u32, &str),
) -> Map<String, Value> {
    let (activity_id, activity_name) = match activity {
        Activity::Create => (1, "Create"),
        Activity::Update => (2, "Update"),
        Activity::Close => (3, "Close"),
    };
    let (severity_id, severity) = match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    let fields = [
        ("category_uid", CATEGORY.into()),
        ("category_name", "Findings".into()),
        ("class_uid", CLASS.into()),
        ("class_name", "Detection Finding".into()),
        ("activity_id", activity_id.into()),
        ("activity_name", activity_name.into()),
        ("type_uid", (CLASS * 100 + activity_id).into()),
        (
            "type_name",
            format!("Detection Finding: {activity_name}").into(),
        ),
        ("time", millis(time)),
        ("severity_id", severity_id.into()),
        ("severity", severity.into()),
        ("status_id", status_id.into()),
        ("status", status.into()),
        ("is_alert", (activity == Activity::Create).into()),
        (
            "metadata",
            json!({
                "version": VERSION,
                "product": {
                    "name": "Yagura",
                    "vendor_name": "Yagura",
                    "version": env!("CARGO_PKG_VERSION"),
                },
            }),
        ),
    ];
    let fields = fields.map(|(name, value): (&str, Value)| (name.to_owned(), value));
    fields.into_iter().collect()
}

fn info(uid: &str, title: &str, alerts: &[&Alert], time: Timestamp) -> Map<String, Value> {
    let mut info = Map::new();
    let mut add = |name: &str, value: Value| info.insert(name.to_owned(), value);
    add("uid", uid.into());
    add("title", title.into());
    add("modified_time", millis(time));
    if let Some(first) = alerts.iter().map(|alert| alert.first_time).min() {
        add("first_seen_time", millis(first));
    }
    if let Some(last) = alerts.iter().map(|alert| alert.last_time).max() {
        add("last_seen_time", millis(last));
    }
    let mut rules: Vec<&str> = alerts.iter().map(|alert| alert.rule.as_str()).collect();
    rules.dedup();
    let analytic = |rule: &&str| json!({ "type_id": 1, "type": "Rule", "uid": rule, "name": rule });
    if let Some((first, others)) = rules.split_first() {
        add("analytic", analytic(first));
        let mut seen = vec![first];
        let mut related = Vec::new();
        for rule in others {
            if !seen.contains(&rule) {
                seen.push(rule);
                related.push(analytic(rule));
            }
        }
        if !related.is_empty() {
            add("related_analytics", related.into());
        }
    }
    let mut attacks: Vec<Value> = Vec::new();
    for tag in alerts.iter().flat_map(|alert| &alert.tags) {
        if let Some(attack) = attack(tag)
            && !attacks.contains(&attack)
        {
            attacks.push(attack);
        }
    }
    if !attacks.is_empty() {
        add("attacks", attacks.into());
    }
    info
}

/// Adds what alerts have in common: times, evidence, observables, and what the schema has no place for.
fn complete(
    mut finding: Map<String, Value>,
    mut unmapped: Map<String, Value>,
    alerts: &[&Alert],
) -> Value {
    if let Some(first) = alerts.iter().map(|alert| alert.first_time).min() {
        finding.insert("start_time".to_owned(), millis(first));
    }
    if let Some(last) = alerts.iter().map(|alert| alert.last_time).max() {
        finding.insert("end_time".to_owned(), millis(last));
    }
    let count = alerts.iter().map(|alert| alert.count).sum::<u64>();
    finding.insert("count".to_owned(), count.max(1).into());
    let events = alerts.iter().flat_map(|alert| &alert.evidence.events);
    let evidences: Vec<Value> = events.map(evidence).collect();
    if !evidences.is_empty() {
        finding.insert("evidences".to_owned(), evidences.into());
    }
    let mut observables: Vec<&Observable> =
        alerts.iter().flat_map(|alert| &alert.observables).collect();
    observables.sort();
    observables.dedup();
    if !observables.is_empty() {
        let all = observables.iter().map(|one| observable(one));
        finding.insert("observables".to_owned(), all.collect());
        let mut kinds: Map<String, Value> = Map::new();
        for one in observables {
            let values = kinds.entry(&one.kind).or_insert_with(|| json!([]));
            if let Value::Array(values) = values {
                values.push(one.value.clone().into());
            }
        }
        unmapped.insert("observables".to_owned(), kinds.into());
    }
    let facts = alerts.iter().map(|alert| {
        let context = alert.context.iter();
        let context: Map<String, Value> = context
            .map(|entry| (entry.name.clone(), entry.value.clone().into()))
            .collect();
        json!({
            "id": alert.id,
            "rule": alert.rule,
            "key": alert.key,
            "tags": alert.tags,
            "context": context,
        })
    });
    unmapped.insert("alerts".to_owned(), facts.collect());
    finding.insert("unmapped".to_owned(), unmapped.into());
    finding.into()
}

fn observable(observable: &Observable) -> Value {
    let (type_id, kind) = match observable.kind.as_str() {
        "domain" | "host" => (1, "Hostname"),
        "ip" => (2, "IP Address"),
        "user" => (4, "User Name"),
        "email" => (5, "Email Address"),
        "url" => (6, "URL String"),
        "hash" => (8, "Hash"),
        "process" => (9, "Process Name"),
        other => (99, other),
    };
    json!({
        "name": format!("unmapped.observables.{}", observable.kind),
        "type_id": type_id,
        "type": kind,
        "value": observable.value,
    })
}

fn evidence(event: &EvidenceEvent) -> Value {
    json!({
        "uid": format!("{}#{}", event.object, event.row),
        "data": {
            "object": event.object,
            "row": event.row,
            "time": event.time,
            "sha256": event.hash,
        },
    })
}

fn enrichment(attribute: &Attribute, uid: &str) -> Value {
    json!({
        "name": "finding_info.uid",
        "value": uid,
        "type": attribute.name,
        "provider": attribute.source,
        "data": { "name": attribute.name, "value": attribute.value },
    })
}

/// Reads a tag of Sigma's form: a technique (`attack.t1078.004`) or a tactic (`attack.initial-access`).
fn attack(tag: &str) -> Option<Value> {
    let name = tag.strip_prefix("attack.")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(number) = name.strip_prefix('t')
        && is_number(number.split('.').next().unwrap_or_default())
    {
        let uid = name.to_ascii_uppercase();
        return Some(match uid.split_once('.') {
            Some((technique, sub)) if is_number(sub) => json!({
                "technique": { "uid": technique },
                "sub_technique": { "uid": uid },
            }),
            Some(_) => return None,
            None => json!({ "technique": { "uid": uid } }),
        });
    }
    // Groups and software (`attack.g0016`) have no place here.
    if name.starts_with(['g', 's']) && is_number(&name[1..]) {
        return None;
    }
    let words = name.split(['-', '_']).map(|word| match word {
        "and" => "and".to_owned(),
        word => {
            let mut chars = word.chars();
            let first = chars.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(chars).collect::<String>()
        }
    });
    Some(json!({ "tactic": { "name": words.collect::<Vec<_>>().join(" ") } }))
}

fn millis(time: Timestamp) -> Value {
    time.micros().div_euclid(1_000).into()
}

fn status(id: u32, caption: &'static str) -> (u32, &'static str) {
    (id, caption)
}

#[cfg(test)]
mod tests;
