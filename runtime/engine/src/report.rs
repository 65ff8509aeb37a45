//! Reports of a run besides its alerts: progress, skipped events, costs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use yagura_core::EventRef;
use yagura_host::CallCost;

/// Why events are not evaluated that came while too many waited to be evaluated in the background.
pub(crate) const NO_ROOM: &str =
    "too many events of the table wait already for rules whose plugins are slow or fail";

/// Why a rule did not evaluate events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipCause {
    /// Its plugin failed on them, twice.
    Plugin,
    /// Its `where` fails on them.
    Condition,
    /// It is quarantined after repeated faults.
    Quarantine,
    /// Too many waited already to be evaluated in the background.
    NoRoom,
}

/// Events that a rule did not evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedEvents {
    /// Index of the rule among the run's rules.
    pub rule: usize,
    /// Id of the rule.
    pub rule_id: String,
    /// Why.
    pub cause: SkipCause,
    /// The same in words; of a plugin, from the second try.
    pub reason: String,
    /// How many events.
    pub rows: u64,
    /// How many wake-ups that a rule's detector asked for; `first` and `last` are events of the keys that were to be woken.
    pub wakes: u64,
    /// The first of them.
    pub first: EventRef,
    /// The last of them.
    pub last: EventRef,
}

impl SkippedEvents {
    fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.wakes += more.wakes;
        if more.first < self.first {
            self.first = more.first;
        }
        if more.last > self.last {
            self.last = more.last;
        }
    }

    /// Describes what was not evaluated, where it begins, and why.
    pub fn message(&self) -> String {
        let several = |number: u64, what: &str| match number {
            1 => format!("one {what}"),
            _ => format!("{number} {what}s"),
        };
        let (row, object) = (self.first.row, &self.first.object);
        let evaluate = format!("did not evaluate {}", several(self.rows, "event"));
        let answer = format!("did not answer {}", several(self.wakes, "wake-up"));
        let what = match (self.rows, self.wakes) {
            // A wake-up has no place of its own: it is that of the key's last event.
            (0, _) => format!("{answer}, asked for by the key of row {row} of {object}"),
            (_, 0) => format!("{evaluate} from row {row} of {object}"),
            _ => format!("{evaluate} and {answer}, from row {row} of {object}"),
        };
        format!("rule `{}` {what}: {}", self.rule_id, self.reason)
    }
}

/// Counters of a run, shared by its partitions.
#[derive(Debug, Default)]
pub struct RunCounters {
    /// Events that came out of the scans, after pruning and pushed-down filters.
    pub scanned: AtomicU64,
    /// Events handed to rules, once for each rule that took them.
    pub evaluated: AtomicU64,
    /// Rows left out for want of a usable time.
    pub null_times: AtomicU64,
    /// Findings made.
    pub findings: AtomicU64,
    skipped: Mutex<Vec<SkippedEvents>>,
    costs: Mutex<BTreeMap<usize, RuleCost>>,
}

/// What the plugin of one rule cost, where the host measures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleCost {
    /// Batches handed over.
    pub calls: u64,
    /// Their rows.
    pub rows: u64,
    /// Time from call to return, in all.
    pub total: Duration,
    /// Time in the plugin's own function, in all.
    pub guest: Duration,
    /// Fuel, in all.
    pub fuel: u64,
    /// The most linear memory of an instance, in bytes; rules of one plugin share it.
    pub memory: u64,
}

impl RunCounters {
    /// Adds to a counter.
    pub(crate) fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(amount as u64, Ordering::Relaxed);
    }

    /// Records events that were skipped. Events of one rule are reported together unless its plugin failed on them.
    pub(crate) fn skipped(&self, events: SkippedEvents) {
        let mut all = self.lock();
        if events.cause != SkipCause::Plugin
            && let Some(known) = all
                .iter_mut()
                .find(|known| known.rule == events.rule && known.cause == events.cause)
        {
            known.add(events);
            return;
        }
        tracing::warn!(
            rule = events.rule_id,
            rows = events.rows,
            reason = events.reason,
            "events skipped"
        );
        all.push(events);
    }

    /// Returns and forgets what was skipped, in order of rule and event.
    pub(crate) fn take_skipped(&self) -> Vec<SkippedEvents> {
        let mut all = std::mem::take(&mut *self.lock());
        all.sort_by(|a, b| (a.rule, &a.first).cmp(&(b.rule, &b.first)));
        all
    }

    /// Adds what a call of a rule's plugin cost.
    pub(crate) fn add_cost(&self, rule: usize, rows: u32, call: CallCost) {
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = costs.entry(rule).or_default();
        cost.calls += 1;
        cost.rows += u64::from(rows);
        cost.total += call.total;
        cost.guest += call.guest;
        cost.fuel += call.fuel;
        cost.memory = cost.memory.max(call.memory);
    }

    /// Returns and forgets what rules cost, by their index among the run's.
    pub(crate) fn take_costs(&self) -> BTreeMap<usize, RuleCost> {
        std::mem::take(&mut *self.costs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the counters as they are.
    pub(crate) fn counters(&self) -> [u64; 4] {
        self.all().map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Goes back to earlier counters, for objects that are read again.
    pub(crate) fn reset_to(&self, earlier: [u64; 4]) {
        for (counter, value) in self.all().into_iter().zip(earlier) {
            counter.store(value, Ordering::Relaxed);
        }
        self.lock().clear();
        self.take_costs();
    }

    fn all(&self) -> [&AtomicU64; 4] {
        [
            &self.scanned,
            &self.evaluated,
            &self.null_times,
            &self.findings,
        ]
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SkippedEvents>> {
        // A poisoned lock only means that another thread panicked between two pushes.
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use yagura_core::Timestamp;

    use super::*;

    #[test]
    fn what_was_skipped_is_told_as_events_or_wake_ups() {
        let message = |rows, wakes| {
            let event = EventRef {
                time: Timestamp::MIN,
                object: "o".into(),
                row: 7,
            };
            let skipped = SkippedEvents {
                rule: 0,
                rule_id: "r".to_owned(),
                cause: SkipCause::Plugin,
                reason: "it trapped".to_owned(),
                rows,
                wakes,
                first: event.clone(),
                last: event,
            };
            skipped.message()
        };
        assert_eq!(
            [message(1, 0), message(3, 0), message(0, 1), message(2, 1)],
            [
                "rule `r` did not evaluate one event from row 7 of o: it trapped",
                "rule `r` did not evaluate 3 events from row 7 of o: it trapped",
                "rule `r` did not answer one wake-up, asked for by the key of row 7 of o: it trapped",
                "rule `r` did not evaluate 2 events and did not answer one wake-up, from row 7 of o: it trapped",
            ]
        );
    }

    #[test]
    fn what_was_not_tried_is_told_together_and_not_forgotten() {
        let event = |row| EventRef {
            time: Timestamp::MIN,
            object: "o".into(),
            row,
        };
        let aside = |rule, cause, reason: &str, row| SkippedEvents {
            rule,
            rule_id: format!("r{rule}"),
            cause,
            reason: reason.to_owned(),
            rows: 5,
            wakes: 0,
            first: event(row),
            last: event(row + 4),
        };
        let progress = RunCounters::default();
        for row in [20, 10] {
            progress.skipped(aside(0, SkipCause::NoRoom, NO_ROOM, row));
            progress.skipped(aside(
                1,
                SkipCause::Quarantine,
                "the rule is quarantined",
                row,
            ));
            progress.skipped(aside(0, SkipCause::Plugin, "it trapped", row));
        }
        let all = progress.take_skipped();
        let told: Vec<_> = all.iter().map(SkippedEvents::message).collect();
        assert_eq!(
            told,
            [
                "rule `r0` did not evaluate 10 events from row 10 of o: too many events of the table wait already for rules whose plugins are slow or fail",
                "rule `r0` did not evaluate 5 events from row 10 of o: it trapped",
                "rule `r0` did not evaluate 5 events from row 20 of o: it trapped",
                "rule `r1` did not evaluate 10 events from row 10 of o: the rule is quarantined",
            ]
        );
    }
}
