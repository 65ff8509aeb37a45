//! Rules whose plugins fail repeatedly, or take the time of others: they are evaluated in the background, quarantined, and retried
//! (a circuit breaker).
//!
//! ```text
//! working ──three faults──▶ quarantined ──cooldown is over──▶ retrying
//!    ▲                         ▲                                │
//!    └── a call that succeeds ─┼────────────────────────────────┤
//!                              └──────────── one fault ─────────┘
//! ```
//!
//! Each cooldown is twice as long as the one before, until a rule has worked for an hour without a fault. Time is that of
//! steps: a cooldown begins with the end of the step in which the fault was, and may end with the beginning of another. A run
//! is one step, so that a quarantine in it lasts to its end.
//!
//! In a service a rule whose plugin fails, or takes more time than is fair, is *evaluated in the background* (see [`crate::background`]) for as
//! long as a cooldown: the steps do not wait for it then. Rules that keep state cannot be; they are quarantined when they take
//! many times what is fair.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use yagura_core::Timestamp;
use yagura_correlate::store::QuarantinedRule;

use crate::report::{SkipCause, SkippedEvents};

/// Failed batches of one rule after which it is quarantined.
const FAULTS_UNTIL_QUARANTINE: u32 = 3;

/// The longest cooldown, unless the first one is longer, in microseconds: an hour. So long a rule must also work without a
/// fault for its faults to be forgotten.
const MAX_COOLDOWN: i64 = 3_600_000_000;

/// Time for each event that a rule may always have beside [`Fairness::rule_time`]: a rule with many events is not slow.
const TIME_OF_AN_EVENT: Duration = Duration::from_micros(10);

/// How many times what is fair a rule may take that cannot be evaluated in the background.
const WAIT_FACTOR: u32 = 100;

/// What rules that work side by side, step after step, owe each other.
#[derive(Debug, Clone, Copy)]
pub struct Fairness {
    /// Time that a step waits for one rule's plugin, beside ten microseconds for each event.
    pub rule_time: Duration,
    /// How long a rule is quarantined at first after repeated faults.
    pub cooldown: Duration,
}

impl Default for Fairness {
    fn default() -> Self {
        Self {
            rule_time: Duration::from_millis(100),
            cooldown: Duration::from_secs(60),
        }
    }
}

/// The health of the rules of a table, by their index in the run.
#[derive(Debug)]
pub(crate) struct Quarantine {
    rules: HashMap<usize, Mutex<RuleHealth>>,
    /// Nothing in a run, where nobody waits for others.
    fairness: Option<Fairness>,
}

/// The health of one rule.
#[derive(Debug)]
struct RuleHealth {
    id: String,
    /// Digest of its plugin's component: another one starts anew.
    code: String,
    mode: RuleMode,
    /// Faults since its last quarantine, or since faults were forgotten.
    faults: u32,
    /// Quarantines that followed each other without an hour between.
    repeats: u32,
    /// Of the last fault.
    reason: String,
    /// Whether there was one in this step.
    has_failed: bool,
    /// The end of the step with the last one.
    last_fault: Timestamp,
    /// Since when it does not work.
    since: Option<Timestamp>,
    until: Timestamp,
    /// Events that were skipped in this quarantine.
    skipped_count: SkippedCount,
    /// Until when at least it is evaluated in the background: `Some(None)` until the end of the step sets it.
    background_until: Option<Option<Timestamp>>,
    /// Times that it was, without an hour between.
    background_count: u32,
    /// Spent in this step, and for how many events.
    used: Duration,
    events: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuleMode {
    Working,
    /// Quarantined since this step.
    Faulted,
    Quarantined,
    Retrying,
    /// Its retry succeeded in this step.
    Recovered,
}

#[derive(Debug, Clone, Default)]
struct SkippedCount {
    events: u64,
    wakes: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Quarantine {
    /// Returns the state of rules, given by index, id and their plugin's digest, that have not failed yet.
    pub(crate) fn new(
        rules: impl Iterator<Item = (usize, String, String)>,
        fairness: Option<Fairness>,
    ) -> Self {
        let rules = rules.map(|(index, id, code)| {
            let health = RuleHealth {
                id,
                code,
                mode: RuleMode::Working,
                faults: 0,
                repeats: 0,
                reason: String::new(),
                has_failed: false,
                last_fault: Timestamp::MIN,
                since: None,
                until: Timestamp::MIN,
                skipped_count: SkippedCount::default(),
                background_until: None,
                background_count: 0,
                used: Duration::ZERO,
                events: 0,
            };
            (index, Mutex::new(health))
        });
        Self {
            rules: rules.collect(),
            fairness,
        }
    }

    fn rule(&self, index: usize) -> Option<MutexGuard<'_, RuleHealth>> {
        let rule = self.rules.get(&index)?;
        Some(rule.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether a rule is quarantined.
    pub(crate) fn is_quarantined(&self, index: usize) -> bool {
        let rule = self.rule(index);
        rule.is_some_and(|rule| matches!(rule.mode, RuleMode::Faulted | RuleMode::Quarantined))
    }

    /// Returns whether a rule is tried after a cooldown: once, and not a second time.
    pub(crate) fn is_retrying(&self, index: usize) -> bool {
        self.rule(index)
            .is_some_and(|rule| rule.mode == RuleMode::Retrying)
    }

    /// Records a fault.
    pub(crate) fn add_fault(&self, index: usize, reason: &str) {
        let Some(mut rule) = self.rule(index) else {
            return;
        };
        rule.faults += 1;
        rule.has_failed = true;
        reason.clone_into(&mut rule.reason);
        if rule.faults >= FAULTS_UNTIL_QUARANTINE || rule.mode == RuleMode::Retrying {
            rule.enter();
        }
    }

    /// Records a call that succeeded.
    pub(crate) fn add_success(&self, index: usize) {
        if let Some(mut rule) = self.rule(index)
            && rule.mode == RuleMode::Retrying
        {
            rule.mode = RuleMode::Recovered;
        }
    }

    /// Returns how long others may have to wait for a call with so many events; `None` where nobody waits.
    pub(crate) fn fair_time(&self, events: usize) -> Option<Duration> {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        Some(self.fairness?.rule_time + TIME_OF_AN_EVENT * events)
    }

    /// Returns how long others wait at most for a rule with state whose faulty events are isolated; `None` where nobody waits.
    pub(crate) fn longest_wait(&self, events: usize) -> Option<Duration> {
        Some(self.fair_time(events)? * WAIT_FACTOR)
    }

    /// Records the time that a rule took for some events, while others waited. Returns whether it is fair still.
    pub(crate) fn add_time(&self, index: usize, events: usize, time: Duration) -> bool {
        let Some(mut rule) = self.rule(index) else {
            return true;
        };
        rule.used += time;
        rule.events += events as u64;
        let events = usize::try_from(rule.events).unwrap_or(usize::MAX);
        self.fair_time(events).is_none_or(|fair| rule.used <= fair)
    }

    /// The same for a rule that cannot be evaluated in the background: it is quarantined where it took many times what is fair.
    pub(crate) fn add_time_with_state(&self, index: usize, events: usize, time: Duration) {
        if self.add_time(index, events, time) {
            return;
        }
        let (Some(fairness), Some(mut rule)) = (self.fairness, self.rule(index)) else {
            return;
        };
        let (most, each) = (
            fairness.rule_time * WAIT_FACTOR,
            TIME_OF_AN_EVENT * WAIT_FACTOR,
        );
        let events = u32::try_from(rule.events).unwrap_or(u32::MAX);
        if rule.used > most + each * events {
            rule.reason = format!(
                "it took {:.1} s for {events} events of one step, where {} s and {} ms an event is the maximum that others wait for it",
                rule.used.as_secs_f64(),
                most.as_secs_f64(),
                each.as_secs_f64() * 1e3
            );
            rule.enter();
        }
    }

    /// Has a rule evaluated in the background from now on.
    pub(crate) fn move_to_background(&self, index: usize, reason: &str) {
        if let Some(mut rule) = self.rule(index)
            && rule.background_until.is_none()
        {
            rule.background_until = Some(None);
            rule.background_count += 1;
            rule.has_failed = true;
            reason.clone_into(&mut rule.reason);
        }
    }

    /// Returns whether a rule is evaluated in the background. One retried is.
    pub(crate) fn is_in_background(&self, index: usize) -> bool {
        let rule = self.rule(index);
        rule.is_some_and(|rule| rule.background_until.is_some() || rule.mode == RuleMode::Retrying)
    }

    /// Begins a step at this time of the clock, while rows of some rules wait to be evaluated in the background: rules whose cooldown is over
    /// are retried.
    pub(crate) fn begin_step(&self, now: Timestamp, waiting: &BTreeSet<usize>) {
        for (index, rule) in &self.rules {
            let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
            rule.used = Duration::ZERO;
            let until = rule.background_until.flatten();
            if until.is_some_and(|until| until <= now) && !waiting.contains(index) {
                rule.background_until = None;
                // What was evaluated in the background is no evidence about how it does with the others.
                rule.last_fault = now;
            }
            rule.events = 0;
            if rule.mode == RuleMode::Quarantined && rule.until <= now {
                rule.mode = RuleMode::Retrying;
            }
            let is_forgiven = rule.last_fault.saturating_add(MAX_COOLDOWN) <= now;
            if rule.mode == RuleMode::Working && is_forgiven {
                rule.faults = 0;
                rule.repeats = 0;
                rule.background_count = 0;
            }
        }
    }

    /// Ends a step in which these events were skipped. Returns messages for a person.
    pub(crate) fn end_step(&self, now: Timestamp, skipped: &[SkippedEvents]) -> Vec<String> {
        let cooldown = self.fairness.unwrap_or_default().cooldown;
        let mut messages = Vec::new();
        for (index, rule) in &self.rules {
            let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut rule.has_failed) {
                rule.last_fault = now;
            }
            if rule.background_until == Some(None) {
                rule.background_until = Some(Some(
                    now.saturating_add(length(cooldown, rule.background_count)),
                ));
                messages.push(format!(
                    "rule `{}` is evaluated in the background for a while: {}",
                    rule.id, rule.reason
                ));
            }
            if rule.mode == RuleMode::Faulted {
                messages.push(rule.quarantine_from(now, cooldown));
            }
            let skipped_count = skipped
                .iter()
                .filter(|aside| aside.cause == SkipCause::Quarantine);
            for aside in skipped_count.filter(|aside| aside.rule == *index) {
                rule.skipped_count.add(aside);
            }
            if rule.mode == RuleMode::Recovered {
                // The hour of work begins now.
                rule.last_fault = now;
                messages.push(rule.recover("works again"));
            }
        }
        messages.sort();
        messages
    }

    /// Ends the quarantine of a rule of this id, as if it had never failed. Returns a message, or `None` where no rule of
    /// this id is quarantined.
    pub(crate) fn clear(&self, id: &str) -> Option<String> {
        let mut rules = self.rules.values();
        rules.find_map(|rule| {
            let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
            if rule.id != id || rule.mode == RuleMode::Working {
                return None;
            }
            rule.repeats = 0;
            rule.background_count = 0;
            rule.background_until = None;
            rule.has_failed = false;
            Some(rule.recover("was cleared from quarantine"))
        })
    }

    /// Returns the rules that are quarantined, or were lately, by id.
    pub(crate) fn stored(&self) -> Vec<QuarantinedRule> {
        let rules = self.rules.values();
        let repeats = rules.map(|rule| {
            rule.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .to_stored()
        });
        let mut repeats: Vec<QuarantinedRule> = repeats.flatten().collect();
        repeats.sort_by(|a, b| a.rule.cmp(&b.rule));
        repeats
    }

    /// Restores what [`Quarantine::stored`] returned. Returns messages: of rules that are still quarantined, and of those whose
    /// plugin is another now.
    pub(crate) fn restore(&self, stored: &[QuarantinedRule]) -> Vec<String> {
        let mut messages = Vec::new();
        for rule in self.rules.values() {
            let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(rest) = stored.iter().find(|rest| rest.rule == rule.id) else {
                continue;
            };
            messages.extend(rule.restore(rest));
        }
        messages.sort();
        messages
    }
}

impl RuleHealth {
    fn enter(&mut self) {
        if !matches!(self.mode, RuleMode::Faulted | RuleMode::Quarantined) {
            self.mode = RuleMode::Faulted;
            self.repeats += 1;
            self.faults = 0;
            self.has_failed = true;
        }
    }

    fn quarantine_from(&mut self, now: Timestamp, first: Duration) -> String {
        let length = length(first, self.repeats);
        self.since.get_or_insert(now);
        self.until = now.saturating_add(length);
        self.mode = RuleMode::Quarantined;
        let seconds = length as f64 / 1e6;
        let length = match seconds {
            60.0 => "1 minute".to_owned(),
            seconds if seconds % 60.0 == 0.0 => format!("{} minutes", seconds / 60.0),
            seconds => format!("{seconds} s"),
        };
        format!(
            "rule `{}` is quarantined for {length}: {}",
            self.id, self.reason
        )
    }

    fn recover(&mut self, how: &str) -> String {
        self.mode = RuleMode::Working;
        self.faults = 0;
        self.since = None;
        let skipped_count = std::mem::take(&mut self.skipped_count);
        format!("rule `{}` {how}{}", self.id, skipped_count.message())
    }

    fn to_stored(&self) -> Option<QuarantinedRule> {
        (self.repeats > 0).then(|| QuarantinedRule {
            rule: self.id.clone(),
            code: self.code.clone(),
            reason: self.reason.clone(),
            is_quarantined: self.mode != RuleMode::Working,
            repeats: self.repeats,
            since: self.since,
            until: self.until,
            last_fault: self.last_fault,
            events: self.skipped_count.events,
            wakes: self.skipped_count.wakes,
            first: self.skipped_count.first,
            last: self.skipped_count.last,
        })
    }

    fn restore(&mut self, rest: &QuarantinedRule) -> Option<String> {
        self.skipped_count = SkippedCount {
            events: rest.events,
            wakes: rest.wakes,
            first: rest.first,
            last: rest.last,
        };
        if rest.code != self.code {
            return rest
                .is_quarantined
                .then(|| self.recover("has another plugin now and is tried again"));
        }
        self.reason.clone_from(&rest.reason);
        self.repeats = rest.repeats;
        self.since = rest.since;
        self.until = rest.until;
        self.last_fault = rest.last_fault;
        if !rest.is_quarantined {
            return None;
        }
        self.mode = RuleMode::Quarantined;
        Some(format!(
            "rule `{}` is still quarantined, until {}: {}",
            self.id, self.until, self.reason
        ))
    }
}

/// Returns how long a cooldown is, in microseconds, that follows others.
fn length(first: Duration, repeats: u32) -> i64 {
    let first = i64::try_from(first.as_micros()).unwrap_or(MAX_COOLDOWN);
    let doublings = (repeats.max(1) - 1).min(16);
    first
        .saturating_mul(1 << doublings)
        .min(MAX_COOLDOWN.max(first))
}

impl SkippedCount {
    fn add(&mut self, aside: &SkippedEvents) {
        self.events += aside.rows;
        self.wakes += aside.wakes;
        let (first, last) = (aside.first.time, aside.last.time);
        self.first = Some(self.first.map_or(first, |known| known.min(first)));
        self.last = self.last.max(Some(last));
    }

    fn message(&self) -> String {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return String::new();
        };
        let wakes = match self.wakes {
            0 => String::new(),
            wakes => format!(" and {wakes} wake-ups"),
        };
        format!(
            "; {} events{wakes} were not evaluated, which `yagura run --from {first} --to {}` does",
            self.events,
            // The end of a range is not in it.
            last.saturating_add(1)
        )
    }
}

#[cfg(test)]
mod tests;
