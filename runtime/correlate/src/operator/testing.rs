//! Helpers of the operators' tests.

use super::Operator;
use crate::hit::{Hit, HitDetails, KeptHit};
use crate::objects::EventNumber;
use crate::output::{OperatorFinding, OperatorOutput};

/// An operator with the state of one key.
pub(crate) struct Run<O: Operator> {
    operator: O,
    state: Option<O::State>,
    out: OperatorOutput,
    pub(crate) findings: Vec<OperatorFinding>,
}

impl<O: Operator> Run<O> {
    pub(crate) fn new(operator: O) -> Self {
        Self {
            operator,
            state: None,
            out: OperatorOutput::default(),
            findings: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, hit: Hit) {
        self.advance(hit.time);
        let state = self.state.get_or_insert_default();
        self.operator.push(state, hit, &mut self.out);
        self.findings.append(&mut self.out.findings);
    }

    pub(crate) fn advance(&mut self, now: i64) {
        while let Some(state) = &mut self.state
            && self.operator.due(state) < now
        {
            if !self.operator.advance(state, now, &mut self.out) {
                self.state = None;
            }
        }
        self.findings.append(&mut self.out.findings);
    }

    /// Stores the state and reads it back.
    pub(crate) fn restart(&mut self) {
        let stored = postcard::to_allocvec(&self.state).unwrap();
        self.state = postcard::from_bytes(&stored).unwrap();
    }

    /// Returns how many hits were passed over.
    pub(crate) fn without_value(&self) -> u64 {
        self.out.without_value
    }

    /// Returns time and number of events of each finding.
    pub(crate) fn seen(&self) -> Vec<(i64, usize)> {
        let findings = self.findings.iter();
        findings
            .map(|finding| (finding.time, finding.events.len()))
            .collect()
    }

    /// Returns the rows of each finding's events.
    pub(crate) fn rows(&self) -> Vec<Vec<u32>> {
        let rows =
            |finding: &OperatorFinding| finding.events.iter().map(|event| event.row).collect();
        self.findings.iter().map(rows).collect()
    }

    /// Returns of each finding whether it goes on from the one before.
    pub(crate) fn going_on(&self) -> Vec<bool> {
        self.findings
            .iter()
            .map(|finding| finding.continues)
            .collect()
    }

    /// Returns one entry of each finding's context.
    pub(crate) fn context(&self, name: &str) -> Vec<&str> {
        let finding = self.findings.iter().flat_map(|finding| &finding.context);
        finding
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

pub(crate) fn hit(time: i64) -> Hit {
    from(time, 0)
}

pub(crate) fn from(time: i64, source: u16) -> Hit {
    Hit {
        time,
        source,
        kept: KeptHit {
            time,
            object: 0,
            row: u32::try_from(time).unwrap(),
            more: None,
        },
        values: Vec::new(),
        continues: false,
        finding: None,
    }
}

/// Returns a hit about a certain event of its time.
pub(crate) fn about(time: i64, source: u16, row: u32) -> Hit {
    let mut hit = from(time, source);
    hit.kept.row = row;
    hit
}

/// Returns a hit about these events of object 0: time and row.
pub(crate) fn several(source: u16, events: &[(i64, u32)]) -> Hit {
    let events: Vec<EventNumber> = events
        .iter()
        .map(|(time, row)| EventNumber {
            time: *time,
            object: 0,
            row: *row,
        })
        .collect();
    let newest = events.last().copied().unwrap();
    let mut hit = about(newest.time, source, events[0].row);
    hit.kept.more = Some(Box::new(HitDetails {
        events,
        observables: Vec::new(),
    }));
    hit
}

/// Returns the hit as one that goes on from the one before.
pub(crate) fn going_on(hit: Hit) -> Hit {
    Hit {
        continues: true,
        ..hit
    }
}

pub(crate) fn valued(time: i64, value: &str) -> Hit {
    Hit {
        values: vec![Some(value.into())],
        ..hit(time)
    }
}
