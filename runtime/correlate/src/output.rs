//! What operators find.

use std::collections::BTreeSet;

use yagura_core::Severity;

use crate::alert_window::AlertWindow;
use crate::hit::KeptHit;
use crate::limits::MOST_OBSERVABLES;
use crate::objects::EventNumber;

/// What operators find, key by key.
#[derive(Debug, Default)]
pub(crate) struct OperatorOutput {
    /// When the rule saw its first hit.
    pub(crate) started: i64,
    /// What they found of the key at hand.
    pub(crate) findings: Vec<OperatorFinding>,
    /// Windows of alerts that have ended.
    pub(crate) closed: Vec<AlertWindow>,
    /// Hits, values or deadlines that a key's limit made it forget.
    pub(crate) capped: u64,
    /// Hits that were passed over, because their field has no value that can be used.
    pub(crate) without_value: u64,
}

/// A finding of an operator, without what the rule adds to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OperatorFinding {
    pub(crate) time: i64,
    pub(crate) events: Vec<EventNumber>,
    /// What was measured.
    pub(crate) value: Option<f64>,
    pub(crate) severity: Option<Severity>,
    pub(crate) observables: Vec<(String, String)>,
    pub(crate) context: Vec<(String, String)>,
    /// It goes on from the finding before, and has only what is new.
    pub(crate) continues: bool,
}

impl OperatorFinding {
    /// Returns a finding at this time about these hits.
    pub(crate) fn of<'a>(time: i64, hits: impl IntoIterator<Item = &'a KeptHit>) -> Self {
        let mut events = Vec::new();
        let mut observables = BTreeSet::new();
        for hit in hits {
            hit.events(&mut events);
            if let Some(more) = &hit.more {
                for observable in &more.observables {
                    if observables.len() < MOST_OBSERVABLES {
                        observables.insert(observable.clone());
                    }
                }
            }
        }
        Self {
            time,
            events,
            value: None,
            severity: None,
            observables: observables.into_iter().collect(),
            context: Vec::new(),
            continues: false,
        }
    }

    pub(crate) fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    pub(crate) fn going_on(mut self) -> Self {
        self.continues = true;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.context.push((name.to_owned(), value.into()));
        self
    }
}

/// Writes a measured number: whole ones without a fraction.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}
