//! A report as JSON, in the words of Yagura's own files.

use serde_json::{Value, json};
use yagura_sdk::time::rfc3339;
use yagura_sdk::{Alert, Report};

pub(crate) fn body(report: &Report) -> Value {
    let alerts: Vec<Value> = report.alerts.iter().map(alert).collect();
    let attributes: Vec<Value> = report
        .attributes
        .iter()
        .map(|fact| json!({"name": fact.name, "value": fact.value, "source": fact.source}))
        .collect();
    let assessments: Vec<Value> = report
        .assessments
        .iter()
        .map(|(reviewer, assessment)| {
            json!({
                "reviewer": reviewer,
                "severity": assessment.severity.name(),
                "verdict": assessment.verdict.name(),
                "reason": assessment.reason,
            })
        })
        .collect();
    json!({
        "id": report.id,
        "revision": report.revision,
        "status": report.status.name(),
        "title": report.title,
        "severity": report.severity.name(),
        "text": report.text,
        "time": rfc3339(report.time),
        "alerts": alerts,
        "alert_count": report.alert_count,
        "attributes": attributes,
        "assessments": assessments,
        "earlier": report.earlier,
        "uncertain": report.uncertain,
    })
}

fn alert(alert: &Alert) -> Value {
    let observables = alert.observables.iter();
    let observables: Vec<Value> = observables
        .map(|(kind, value)| json!({"kind": kind, "value": value}))
        .collect();
    let context = alert.context.iter();
    let context: Vec<Value> = context
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({
        "state": alert.state.name(),
        "id": alert.id,
        "rule": alert.rule,
        "title": alert.title,
        "severity": alert.severity.name(),
        "key": alert.key,
        "window_start": rfc3339(alert.window_start),
        "first_time": rfc3339(alert.first_time),
        "last_time": rfc3339(alert.last_time),
        "count": alert.count,
        "observables": observables,
        "context": context,
        "tags": alert.tags,
    })
}
