//! Rules whose plugins fail again and again, or take the time of others: they are evaluated in the background, they rest, and are tried
//! again.
//!
//! ```text
//! working ──three faults──▶ resting ──its time is over──▶ on trial
//!    ▲                         ▲                             │
//!    └── a call that succeeds ─┼─────────────────────────────┤
//!                              └──────────── one fault ──────┘
//! ```
//!
//! Each rest is twice as long as the one before, until a rule has worked for an hour without a fault. Time is that of
//! steps: a rest begins with the end of the step in which the fault was, and may end with the beginning of another. A run
//! is one step, so that a rest in it lasts to its end.
//!
//! In a service a rule whose plugin fails, or takes more time than is fair, is *evaluated in the background* (see [`crate::background`]) for as
//! long as a rest would be: the steps do not wait for it then. Rules that keep state cannot be; they rest when they take
//! many times what is fair.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use yagura_core::Timestamp;
use yagura_correlate::store::Rest;

use crate::report::{Cause, SkippedEvents};

/// Failed batches of one rule after which it rests.
const FAULTS_UNTIL_REST: u32 = 3;

/// The longest rest, unless the first one is longer, and how long a rule has to work without a fault for its faults to be forgotten, in microseconds: an
/// hour.
const LONGEST_REST: i64 = 3_600_000_000;

/// Time for each event that a rule may always have beside [`Fairness::rule_time`]: a rule with many events is not slow.
const TIME_OF_AN_EVENT: Duration = Duration::from_micros(10);

/// How many times what is fair a rule may take that cannot be evaluated in the background.
const PATIENCE: u32 = 100;

/// What rules that work side by side, step after step, owe each other.
#[derive(Debug, Clone, Copy)]
pub struct Fairness {
    /// Time that a step waits for one rule's plugin, beside ten microseconds for each event.
    pub rule_time: Duration,
    /// How long a rule rests at first after repeated faults.
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

/// The rules of a table by their index in the run, and how they fare.
#[derive(Debug)]
pub(crate) struct Quarantine {
    rules: HashMap<usize, Mutex<Health>>,
    /// Nothing in a run, where nobody waits for others.
    fairness: Option<Fairness>,
}

/// How one rule fares.
#[derive(Debug)]
struct Health {
    id: String,
    /// Digest of its plugin's component: another one starts anew.
    code: String,
    mode: Mode,
    /// Since it last rested, or since faults were forgotten.
    faults: u32,
    /// Rests that followed each other without an hour between.
    rests: u32,
    /// Of the last fault.
    reason: String,
    /// Whether there was one in this step.
    has_failed: bool,
    /// The end of the step with the last one.
    last_fault: Timestamp,
    /// Since when it does not work.
    since: Option<Timestamp>,
    until: Timestamp,
    /// What was left out in this rest.
    left_out: LeftOut,
    /// Whether it is evaluated in the background, and until when at least: set with the end of the step.
    aside: Option<Option<Timestamp>>,
    /// Times that it was, without an hour between.
    asides: u32,
    /// Spent in this step, and for how many events.
    used: Duration,
    events: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Working,
    /// Rests since this step.
    Fallen,
    Resting,
    Trial,
    /// Has worked on trial in this step.
    Recovered,
}

#[derive(Debug, Clone, Default)]
struct LeftOut {
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
            let health = Health {
                id,
                code,
                mode: Mode::Working,
                faults: 0,
                rests: 0,
                reason: String::new(),
                has_failed: false,
                last_fault: Timestamp::MIN,
                since: None,
                until: Timestamp::MIN,
                left_out: LeftOut::default(),
                aside: None,
                asides: 0,
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

    fn rule(&self, index: usize) -> Option<MutexGuard<'_, Health>> {
        let rule = self.rules.get(&index)?;
        Some(rule.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says whether a rule rests.
    pub(crate) fn rests(&self, index: usize) -> bool {
        let rule = self.rule(index);
        rule.is_some_and(|rule| matches!(rule.mode, Mode::Fallen | Mode::Resting))
    }

    /// Says whether a rule is tried after a rest: once, and not a second time.
    pub(crate) fn is_on_trial(&self, index: usize) -> bool {
        self.rule(index)
            .is_some_and(|rule| rule.mode == Mode::Trial)
    }

    /// Takes note of a fault.
    pub(crate) fn failed(&self, index: usize, reason: &str) {
        let Some(mut rule) = self.rule(index) else {
            return;
        };
        rule.faults += 1;
        rule.has_failed = true;
        reason.clone_into(&mut rule.reason);
        if rule.faults >= FAULTS_UNTIL_REST || rule.mode == Mode::Trial {
            rule.fall();
        }
    }

    /// Takes note of a call that succeeded.
    pub(crate) fn worked(&self, index: usize) {
        if let Some(mut rule) = self.rule(index)
            && rule.mode == Mode::Trial
        {
            rule.mode = Mode::Recovered;
        }
    }

    /// Returns how long others may have to wait for a call with so many events; nothing where nobody waits.
    pub(crate) fn fair_time(&self, events: usize) -> Option<Duration> {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        Some(self.fairness?.rule_time + TIME_OF_AN_EVENT * events)
    }

    /// Returns how long others wait at most for a rule with state that tells its events apart; nothing where nobody waits.
    pub(crate) fn patience(&self, events: usize) -> Option<Duration> {
        Some(self.fair_time(events)? * PATIENCE)
    }

    /// Takes note of the time that a rule took for some events, while others waited. Returns whether it is fair still.
    pub(crate) fn took(&self, index: usize, events: usize, time: Duration) -> bool {
        let Some(mut rule) = self.rule(index) else {
            return true;
        };
        rule.used += time;
        rule.events += events as u64;
        let events = usize::try_from(rule.events).unwrap_or(usize::MAX);
        self.fair_time(events).is_none_or(|fair| rule.used <= fair)
    }

    /// The same for a rule that cannot be evaluated in the background: it rests where it took many times what is fair.
    pub(crate) fn took_with_state(&self, index: usize, events: usize, time: Duration) {
        if self.took(index, events, time) {
            return;
        }
        let (Some(fairness), Some(mut rule)) = (self.fairness, self.rule(index)) else {
            return;
        };
        let (most, each) = (fairness.rule_time * PATIENCE, TIME_OF_AN_EVENT * PATIENCE);
        let events = u32::try_from(rule.events).unwrap_or(u32::MAX);
        if rule.used > most + each * events {
            rule.reason = format!(
                "it took {:.1} s for {events} events of one step, where {} s and {} ms an event are the most that others wait for it",
                rule.used.as_secs_f64(),
                most.as_secs_f64(),
                each.as_secs_f64() * 1e3
            );
            rule.fall();
        }
    }

    /// Has a rule evaluated in the background from now on.
    pub(crate) fn put_aside(&self, index: usize, reason: &str) {
        if let Some(mut rule) = self.rule(index)
            && rule.aside.is_none()
        {
            rule.aside = Some(None);
            rule.asides += 1;
            rule.has_failed = true;
            reason.clone_into(&mut rule.reason);
        }
    }

    /// Says whether a rule is evaluated in the background. One on trial is.
    pub(crate) fn is_aside(&self, index: usize) -> bool {
        let rule = self.rule(index);
        rule.is_some_and(|rule| rule.aside.is_some() || rule.mode == Mode::Trial)
    }

    /// Begins a step at this time of the clock, while rows of some rules wait to be evaluated in the background: rules whose rest is over are
    /// on trial.
    pub(crate) fn begin_step(&self, now: Timestamp, waiting: &BTreeSet<usize>) {
        for (index, rule) in &self.rules {
            let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
            rule.used = Duration::ZERO;
            let until = rule.aside.flatten();
            if until.is_some_and(|until| until <= now) && !waiting.contains(index) {
                rule.aside = None;
                // What was evaluated in the background says nothing about how it does with the others.
                rule.last_fault = now;
            }
            rule.events = 0;
            if rule.mode == Mode::Resting && rule.until <= now {
                rule.mode = Mode::Trial;
            }
            let is_forgiven = rule.last_fault.saturating_add(LONGEST_REST) <= now;
            if rule.mode == Mode::Working && is_forgiven {
                rule.faults = 0;
                rule.rests = 0;
                rule.asides = 0;
            }
        }
    }

    /// Ends a step in which these events were skipped. Returns what a person should know.
    pub(crate) fn end_step(&self, now: Timestamp, skipped: &[SkippedEvents]) -> Vec<String> {
        let cooldown = self.fairness.unwrap_or_default().cooldown;
        let mut messages = Vec::new();
        for (index, rule) in &self.rules {
            let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut rule.has_failed) {
                rule.last_fault = now;
            }
            if rule.aside == Some(None) {
                rule.aside = Some(Some(now.saturating_add(length(cooldown, rule.asides))));
                messages.push(format!(
                    "rule `{}` is evaluated in the background for a while: {}",
                    rule.id, rule.reason
                ));
            }
            if rule.mode == Mode::Fallen {
                messages.push(rule.rest_from(now, cooldown));
            }
            let left_out = skipped.iter().filter(|aside| aside.cause == Cause::Rest);
            for aside in left_out.filter(|aside| aside.rule == *index) {
                rule.left_out.add(aside);
            }
            if rule.mode == Mode::Recovered {
                // The hour of work begins now.
                rule.last_fault = now;
                messages.push(rule.recover("works again"));
            }
        }
        messages.sort();
        messages
    }

    /// Ends the rest of a rule of this id, as if it had never failed. Returns what to tell, or nothing where no rule of
    /// this id rests.
    pub(crate) fn release(&self, id: &str) -> Option<String> {
        let mut rules = self.rules.values();
        rules.find_map(|rule| {
            let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
            if rule.id != id || rule.mode == Mode::Working {
                return None;
            }
            rule.rests = 0;
            rule.asides = 0;
            rule.aside = None;
            rule.has_failed = false;
            Some(rule.recover("is released"))
        })
    }

    /// Returns the rules that rest or rested lately, by id.
    pub(crate) fn resting(&self) -> Vec<Rest> {
        let rules = self.rules.values();
        let rests = rules.map(|rule| {
            rule.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .to_stored()
        });
        let mut rests: Vec<Rest> = rests.flatten().collect();
        rests.sort_by(|a, b| a.rule.cmp(&b.rule));
        rests
    }

    /// Takes back what [`Quarantine::resting`] said. Returns what to tell: of rules that still rest, and of those whose
    /// plugin is another now.
    pub(crate) fn restore(&self, stored: &[Rest]) -> Vec<String> {
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

impl Health {
    fn fall(&mut self) {
        if !matches!(self.mode, Mode::Fallen | Mode::Resting) {
            self.mode = Mode::Fallen;
            self.rests += 1;
            self.faults = 0;
            self.has_failed = true;
        }
    }

    fn rest_from(&mut self, now: Timestamp, first: Duration) -> String {
        let length = length(first, self.rests);
        self.since.get_or_insert(now);
        self.until = now.saturating_add(length);
        self.mode = Mode::Resting;
        let seconds = length as f64 / 1e6;
        let length = match seconds {
            60.0 => "a minute".to_owned(),
            seconds if seconds % 60.0 == 0.0 => format!("{} minutes", seconds / 60.0),
            seconds => format!("{seconds} s"),
        };
        format!("rule `{}` rests for {length}: {}", self.id, self.reason)
    }

    fn recover(&mut self, how: &str) -> String {
        self.mode = Mode::Working;
        self.faults = 0;
        self.since = None;
        let left_out = std::mem::take(&mut self.left_out);
        format!("rule `{}` {how}{}", self.id, left_out.message())
    }

    fn to_stored(&self) -> Option<Rest> {
        (self.rests > 0).then(|| Rest {
            rule: self.id.clone(),
            code: self.code.clone(),
            reason: self.reason.clone(),
            is_quarantined: self.mode != Mode::Working,
            rests: self.rests,
            since: self.since,
            until: self.until,
            last_fault: self.last_fault,
            events: self.left_out.events,
            wakes: self.left_out.wakes,
            first: self.left_out.first,
            last: self.left_out.last,
        })
    }

    fn restore(&mut self, rest: &Rest) -> Option<String> {
        self.left_out = LeftOut {
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
        self.rests = rest.rests;
        self.since = rest.since;
        self.until = rest.until;
        self.last_fault = rest.last_fault;
        if !rest.is_quarantined {
            return None;
        }
        self.mode = Mode::Resting;
        Some(format!(
            "rule `{}` still rests, until {}: {}",
            self.id, self.until, self.reason
        ))
    }
}

/// Returns how long a rest is, in microseconds, that follows others.
fn length(first: Duration, rests: u32) -> i64 {
    let first = i64::try_from(first.as_micros()).unwrap_or(LONGEST_REST);
    let doublings = (rests.max(1) - 1).min(16);
    first
        .saturating_mul(1 << doublings)
        .min(LONGEST_REST.max(first))
}

impl LeftOut {
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
