//! What a quarantined rule with state skips in a step.

use yagura_core::EventRef;
use yagura_plan::RulePlan;

use crate::calls::QUARANTINED;
use crate::report::{RunCounters, SkipCause, SkippedEvents};

/// Events and wake-ups that a quarantined rule skips, reported together.
#[derive(Debug, Default)]
pub(super) struct QuarantineSkips {
    pub(super) rows: u64,
    pub(super) wakes: u64,
    first: Option<EventRef>,
    last: Option<EventRef>,
}

impl QuarantineSkips {
    pub(super) fn add(&mut self, event: &EventRef) {
        if self.first.as_ref().is_none_or(|first| event < first) {
            self.first = Some(event.clone());
        }
        if self.last.as_ref().is_none_or(|last| event > last) {
            self.last = Some(event.clone());
        }
    }

    pub(super) fn report(self, rule: &RulePlan, progress: &RunCounters) {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return;
        };
        progress.skipped(SkippedEvents {
            rule: rule.index,
            rule_id: rule.rule.id.clone(),
            cause: SkipCause::Quarantine,
            reason: QUARANTINED.to_owned(),
            rows: self.rows,
            wakes: self.wakes,
            first,
            last,
        });
    }
}
