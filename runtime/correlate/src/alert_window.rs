//! An open window of an alert.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use yagura_core::alert::{ContextEntry, Observable, identity};
use yagura_core::{Alert, Evidence, EvidenceEvent, Rule, Severity, Timestamp};

use crate::finding::CompactFinding;
use crate::objects::{EventNumber, ObjectNumbers};

/// Events of a window that are remembered, so that one that several findings name counts once.
const MOST_DISTINCT: usize = 10_000;

/// An open window: what its alert would be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AlertWindow {
    pub(crate) start: i64,
    /// The first instant after it.
    pub(crate) end: i64,
    pub(crate) count: u64,
    pub(crate) threshold: u64,
    pub(crate) title: String,
    pub(crate) severity: Severity,
    pub(crate) context: Vec<(String, String)>,
    pub(crate) observables: BTreeSet<(String, String)>,
    first: i64,
    pub(crate) last: i64,
    /// The first ones in order.
    pub(crate) events: Vec<EventNumber>,
    pub(crate) distinct: BTreeSet<(i64, u32, u32)>,
    pub(crate) total: u64,
}

impl AlertWindow {
    /// Says whether it holds as many findings as its rule asks for.
    pub(crate) fn is_alert(&self) -> bool {
        self.count >= self.threshold.max(1)
    }

    pub(crate) fn add(&mut self, finding: &CompactFinding) {
        self.count += 1;
        if self.count == 1 {
            self.title.clone_from(&finding.title);
            self.context.clone_from(&finding.context);
            self.first = i64::MAX;
            self.last = i64::MIN;
        }
        self.observables.extend(finding.observables.iter().cloned());
        for event in &finding.events {
            let key = (event.time, event.object, event.row);
            if self.distinct.len() < MOST_DISTINCT {
                if !self.distinct.insert(key) {
                    continue;
                }
            } else if self.distinct.contains(&key) {
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
    pub(crate) fn alert(&self, rule: &Rule, key: &str, objects: &ObjectNumbers) -> Alert {
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
