//! Windows anchored at their first finding.

use std::collections::{BTreeMap, BTreeSet};

use yagura_core::alert::{ContextEntry, Observable, identity};
use yagura_core::rule::Report;
use yagura_core::{Alert, EventRef, Evidence, EvidenceEvent, Finding, Rule, Timestamp};

/// Turns findings into settled alerts, sorted by window start, rule and key.
///
/// Findings of one rule and key are taken in event-time order. The first opens a window of the rule's length; those
/// inside join it; the first one after it opens the next. A window below the rule's threshold gives no alert, and neither does a rule that is only a part of others. The result
/// depends on the findings alone, not on the order in which they arrive. Evidence hashes are left empty.
pub fn assemble(rules: &[Rule], findings: Vec<Finding>) -> Vec<Alert> {
    let mut groups: BTreeMap<(usize, String), Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        let group = (finding.rule, finding.key.clone());
        groups.entry(group).or_default().push(finding);
    }
    let mut alerts = Vec::new();
    for ((index, key), mut findings) in groups {
        let Some(rule) = rules.get(index) else {
            continue;
        };
        if rule.alert.report == Report::None {
            continue;
        }
        // By events first; the rest only so that equal events cannot leave the order open.
        findings.sort_by(|a, b| {
            (&a.events, &a.title, a.severity, &a.observables, &a.context).cmp(&(
                &b.events,
                &b.title,
                b.severity,
                &b.observables,
                &b.context,
            ))
        });
        let length = rule.alert.window_micros();
        let mut rest = findings.as_slice();
        while let Some(start) = rest.first().and_then(start_of) {
            let end = start.saturating_add(length);
            let inside = rest
                .iter()
                .take_while(|finding| start_of(finding).is_some_and(|time| time < end))
                // A window that ends with the time line still holds its first finding.
                .count()
                .max(1);
            let (window, later) = rest.split_at(inside);
            if window.len() as u64 >= rule.alert.threshold {
                alerts.push(alert(rule, &key, start, window));
            }
            rest = later;
        }
    }
    alerts
        .sort_by(|a, b| (a.window_start, &a.rule, &a.key).cmp(&(b.window_start, &b.rule, &b.key)));
    alerts
}

fn start_of(finding: &Finding) -> Option<Timestamp> {
    finding.events.first().map(|event| event.time)
}

fn alert(rule: &Rule, key: &str, start: Timestamp, window: &[Finding]) -> Alert {
    let events: BTreeSet<&EventRef> = window.iter().flat_map(|f| &f.events).collect();
    let observables: BTreeSet<&(String, String)> =
        window.iter().flat_map(|f| &f.observables).collect();
    let severity = window
        .iter()
        .map(|finding| finding.severity.unwrap_or(rule.severity))
        .max()
        .unwrap_or(rule.severity);
    Alert {
        id: identity(&rule.id, key, start),
        rule: rule.id.clone(),
        title: window[0].title.clone(),
        severity,
        key: key.to_owned(),
        window_start: start,
        first_time: start,
        last_time: events.last().map_or(start, |event| event.time),
        count: window.len() as u64,
        observables: observables
            .into_iter()
            .map(|(kind, value)| Observable {
                kind: kind.clone(),
                value: value.clone(),
            })
            .collect(),
        context: window[0]
            .context
            .iter()
            .map(|(name, value)| ContextEntry {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        tags: rule.tags.clone(),
        evidence: Evidence {
            total: events.len() as u64,
            events: events
                .into_iter()
                .take(Evidence::LISTED)
                .map(|event| EvidenceEvent {
                    object: event.object.to_string(),
                    row: event.row,
                    time: event.time,
                    hash: String::new(),
                })
                .collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_core::Severity;
    use yagura_core::pack::parse_rule;

    fn rule(threshold: u64) -> Rule {
        let text = format!(
            "[rule]\nid = \"r\"\ntitle = \"t\"\ntable = \"x\"\nwhere = \"true\"\n[rule.alert]\nwindow = \"1h\"\nthreshold = {threshold}\n"
        );
        parse_rule("r.toml".as_ref(), &text).unwrap().rule
    }

    fn finding(minute: i64, key: &str) -> Finding {
        Finding {
            time: Timestamp::clamped(minute * 60_000_000),
            fields: vec![],
            rule: 0,
            events: vec![EventRef {
                time: Timestamp::clamped(minute * 60_000_000),
                object: "o".into(),
                row: u64::try_from(minute).unwrap(),
            }],
            key: key.into(),
            title: format!("at {minute}"),
            severity: (minute == 30).then_some(Severity::Critical),
            observables: vec![("ip".into(), format!("10.0.0.{}", minute % 2))],
            context: vec![],
        }
    }

    #[test]
    fn a_window_opens_at_its_first_finding_whatever_the_order_of_arrival() {
        let minutes = [0, 30, 59, 60, 90, 125];
        let mut forward: Vec<Finding> = minutes.iter().map(|m| finding(*m, "k")).collect();
        let alerts = assemble(&[rule(1)], forward.clone());
        let seen: Vec<(String, u64)> = alerts.iter().map(|a| (a.title.clone(), a.count)).collect();
        assert_eq!(
            seen,
            [
                ("at 0".into(), 3),
                ("at 60".into(), 2),
                ("at 125".into(), 1)
            ]
        );
        assert_eq!(alerts[0].severity, Severity::Critical);
        assert_eq!(alerts[0].last_time, Timestamp::clamped(59 * 60_000_000));
        assert_eq!(alerts[0].observables.len(), 2);
        assert_eq!(alerts[1].severity, Severity::Medium);
        forward.reverse();
        assert_eq!(alerts, assemble(&[rule(1)], forward));
    }

    #[test]
    fn keys_are_apart_and_thresholds_hold() {
        let findings = vec![finding(0, "a"), finding(1, "a"), finding(2, "b")];
        let alerts = assemble(&[rule(2)], findings);
        assert_eq!(alerts.len(), 1);
        assert_eq!((alerts[0].key.as_str(), alerts[0].count), ("a", 2));
    }

    #[test]
    fn evidence_lists_the_first_events_and_counts_all() {
        let findings = (0..50).map(|minute| finding(minute, "k")).collect();
        let alerts = assemble(&[rule(1)], findings);
        assert_eq!(alerts[0].evidence.total, 50);
        assert_eq!(alerts[0].evidence.events.len(), Evidence::LISTED);
    }
}
