//! Findings as the correlation engine holds them.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use yagura_core::{Finding, Severity};

use crate::objects::{EventNumber, ObjectNumbers};

/// A finding with numbered events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompactFinding {
    pub(crate) rule: u32,
    pub(crate) time: i64,
    /// In order of time, object and row; never empty.
    pub(crate) events: Vec<EventNumber>,
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) severity: Option<Severity>,
    pub(crate) observables: Vec<(String, String)>,
    pub(crate) context: Vec<(String, String)>,
    pub(crate) fields: Vec<Option<String>>,
    /// It goes on from the one before, and has only what is new. Findings of tables, the only ones that are stored, do not.
    #[serde(skip)]
    pub(crate) continues: bool,
    /// What [`Self::bytes`] returned, or nought.
    #[serde(skip)]
    pub(crate) bytes: u32,
}

impl CompactFinding {
    pub(crate) fn new(finding: Finding, objects: &mut ObjectNumbers) -> Self {
        let time = finding.time.micros();
        Self {
            rule: u32::try_from(finding.rule).unwrap_or(u32::MAX),
            time,
            events: finding
                .events
                .iter()
                .map(|event| objects.number(event, time))
                .collect(),
            key: finding.key,
            title: finding.title,
            severity: finding.severity,
            observables: finding.observables,
            context: finding.context,
            fields: finding.fields,
            continues: false,
            bytes: 0,
        }
    }

    /// Returns about how many bytes it takes. They are counted once, when it begins to wait.
    pub(crate) fn bytes(&mut self) -> usize {
        if self.bytes == 0 {
            let pairs = self.observables.iter().chain(&self.context);
            let pairs =
                pairs.map(|(name, value)| 2 * size_of::<String>() + name.len() + value.len());
            let fields = self.fields.iter().flatten().map(String::len);
            let bytes = size_of::<Self>()
                + self.events.len() * size_of::<EventNumber>()
                + self.key.len()
                + self.title.len()
                + pairs.sum::<usize>()
                + self.fields.len() * size_of::<String>()
                + fields.sum::<usize>();
            self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        }
        self.bytes as usize
    }

    /// Compares by time and events; by all the rest only so that equal events leave no order open.
    pub(crate) fn compare(&self, other: &Self, objects: &ObjectNumbers) -> Ordering {
        self.time.cmp(&other.time).then_with(|| {
            let pairs = self.events.iter().zip(&other.events);
            pairs
                .map(|(a, b)| objects.compare(*a, *b))
                .find(|order| order.is_ne())
                .unwrap_or_else(|| self.events.len().cmp(&other.events.len()))
                .then_with(|| {
                    (
                        self.rule,
                        &self.key,
                        &self.title,
                        self.severity,
                        &self.observables,
                        &self.context,
                        &self.fields,
                    )
                        .cmp(&(
                            other.rule,
                            &other.key,
                            &other.title,
                            other.severity,
                            &other.observables,
                            &other.context,
                            &other.fields,
                        ))
                })
        })
    }
}
