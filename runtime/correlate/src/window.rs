//! Windows of alerts, anchored at their first finding.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use yagura_core::alert::{ContextEntry, Observable, identity};
use yagura_core::{Alert, Evidence, EvidenceEvent, Rule, Severity, Timestamp};

use crate::found::{Event, Found, Hit, Objects};
use crate::operator::{Operator, Out};

/// Events of a window that are told apart, so that one that several findings name counts once.
const MOST_TOLD_APART: usize = 10_000;

/// How the findings of each rule become alerts, by the rule's index.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    pub(crate) policies: Vec<Policy>,
    /// Rules, by id, that time has not passed as far as the others.
    pub(crate) held: HashMap<String, i64>,
}

/// How the findings of a rule become alerts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) length: i64,
    pub(crate) threshold: u64,
    pub(crate) severity: Severity,
}

/// An open window: what its alert would be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AlertWindow {
    pub(crate) start: i64,
    /// The first instant after it.
    pub(crate) end: i64,
    pub(crate) count: u64,
    threshold: u64,
    title: String,
    severity: Severity,
    context: Vec<(String, String)>,
    observables: BTreeSet<(String, String)>,
    first: i64,
    last: i64,
    /// The first ones in order.
    events: Vec<Event>,
    told_apart: BTreeSet<(i64, u32, u32)>,
    total: u64,
}

impl AlertWindow {
    /// Says whether it holds as many findings as its rule asks for.
    pub(crate) fn is_alert(&self) -> bool {
        self.count >= self.threshold.max(1)
    }

    fn add(&mut self, found: &Found) {
        self.count += 1;
        if self.count == 1 {
            self.title.clone_from(&found.title);
            self.context.clone_from(&found.context);
            self.first = i64::MAX;
            self.last = i64::MIN;
        }
        self.observables.extend(found.observables.iter().cloned());
        for event in &found.events {
            let key = (event.time, event.object, event.row);
            if self.told_apart.len() < MOST_TOLD_APART {
                if !self.told_apart.insert(key) {
                    continue;
                }
            } else if self.told_apart.contains(&key) {
                continue;
            }
            self.total += 1;
            self.first = self.first.min(event.time);
            self.last = self.last.max(event.time);
            // Twice as many as are listed, because those of a correlation may come out of order.
            if self.events.len() < 2 * Evidence::LISTED {
                self.events.push(*event);
            }
        }
    }

    /// Returns the alert that the window makes, its evidence without hashes.
    pub(crate) fn alert(&self, rule: &Rule, key: &str, objects: &Objects) -> Alert {
        let mut events = self.events.clone();
        events.sort_by(|a, b| objects.compare(*a, *b));
        let start = Timestamp::clamped(self.start);
        Alert {
            id: identity(&rule.id, key, start),
            rule: rule.id.clone(),
            title: self.title.clone(),
            severity: self.severity,
            key: key.to_owned(),
            window_start: start,
            first_time: Timestamp::clamped(self.first),
            last_time: Timestamp::clamped(self.last),
            count: self.count,
            observables: self
                .observables
                .iter()
                .map(|(kind, value)| Observable {
                    kind: kind.clone(),
                    value: value.clone(),
                })
                .collect(),
            context: self
                .context
                .iter()
                .map(|(name, value)| ContextEntry {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            tags: rule.tags.clone(),
            evidence: Evidence {
                total: self.total,
                events: events
                    .into_iter()
                    .take(Evidence::LISTED)
                    .map(|event| objects.event(event))
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
}

impl Operator for Windows {
    type State = AlertWindow;

    fn push(&self, state: &mut AlertWindow, hit: Hit, out: &mut Out) {
        let Some(found) = hit.found else {
            return;
        };
        let Some(policy) = self.policies.get(found.rule as usize) else {
            return;
        };
        // A window that ends with the time line still holds its first finding.
        if state.count > 0 && hit.time >= state.end {
            let closed = std::mem::take(state);
            out.closed.extend(closed.is_alert().then_some(closed));
        }
        if state.count == 0 {
            state.start = hit.time;
            state.end = hit.time.saturating_add(policy.length);
            state.threshold = policy.threshold;
            state.severity = found.severity.unwrap_or(policy.severity);
        }
        state.severity = state
            .severity
            .max(found.severity.unwrap_or(policy.severity));
        state.add(&found);
    }

    fn due(&self, state: &AlertWindow) -> i64 {
        state.end
    }

    fn now(&self, key: &str, now: i64) -> i64 {
        if self.held.is_empty() {
            return now;
        }
        let rule = key.split('\0').next().unwrap_or_default();
        self.held.get(rule).map_or(now, |held| now.min(*held))
    }

    fn advance(&self, state: &mut AlertWindow, now: i64, out: &mut Out) -> bool {
        if state.end >= now {
            return true;
        }
        let closed = std::mem::take(state);
        out.closed.extend(closed.is_alert().then_some(closed));
        false
    }

    fn heap(&self, state: &AlertWindow) -> usize {
        let texts = |pairs: &mut dyn Iterator<Item = &(String, String)>| {
            pairs.map(|(a, b)| 64 + a.len() + b.len()).sum::<usize>()
        };
        state.title.len()
            + texts(&mut state.context.iter())
            + texts(&mut state.observables.iter().take(20))
            + state.events.capacity() * size_of::<Event>()
            + state.told_apart.len() * 24
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing;

    const MINUTE: i64 = 60_000_000;

    fn found(minute: i64) -> Hit {
        let mut hit = testing::hit(minute);
        hit.time = minute * MINUTE;
        hit.found = Some(Box::new(Found {
            rule: 0,
            time: hit.time,
            events: vec![Event {
                time: hit.time,
                object: 0,
                row: 1,
            }],
            key: "k".into(),
            title: format!("at {minute}"),
            severity: (minute == 30).then_some(Severity::Critical),
            observables: vec![("ip".into(), format!("10.0.0.{}", minute % 2))],
            context: vec![],
            fields: vec![],
            continues: false,
        }));
        hit
    }

    fn closed(threshold: u64, hits: &[i64]) -> Vec<AlertWindow> {
        let windows = Windows {
            policies: vec![Policy {
                length: 60 * MINUTE,
                threshold,
                severity: Severity::Medium,
            }],
            held: HashMap::new(),
        };
        let mut state = AlertWindow::default();
        let mut out = Out::default();
        for minute in hits {
            windows.push(&mut state, found(*minute), &mut out);
        }
        windows.advance(&mut state, i64::MAX, &mut out);
        out.closed
    }

    #[test]
    fn a_window_opens_at_its_first_finding() {
        let seen = closed(1, &[0, 30, 59, 60, 90, 125]);
        let told: Vec<(&str, u64)> = seen.iter().map(|w| (w.title.as_str(), w.count)).collect();
        assert_eq!(told, [("at 0", 3), ("at 60", 2), ("at 125", 1)]);
        assert_eq!(seen[0].severity, Severity::Critical);
        assert_eq!(seen[1].severity, Severity::Medium);
        assert_eq!(seen[0].last, 59 * MINUTE);
        assert_eq!(seen[0].observables.len(), 2);
        assert_eq!(closed(3, &[0, 30, 59, 60, 90, 125]).len(), 1);
    }

    #[test]
    fn evidence_lists_the_first_events_and_counts_each_once() {
        let minutes: Vec<i64> = (0..50).chain(0..1).collect();
        let windows = closed(1, &minutes);
        assert_eq!((windows[0].count, windows[0].total), (51, 50));
        let rule: Rule = Rule {
            id: "r".into(),
            ..Rule::default()
        };
        let alert = windows[0].alert(&rule, "k", &Objects::default());
        assert_eq!(alert.evidence.total, 50);
        assert_eq!(alert.evidence.events.len(), Evidence::LISTED);
    }
}
