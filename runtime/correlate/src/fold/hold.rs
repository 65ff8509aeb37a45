//! Rules of which earlier events are still to be judged, and which time of their own they have meanwhile.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::Fold;

/// What is held back. Rules that correlations join share one time; each such set goes by its first rule.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// Events that time must not pass: the earliest of each set.
    events: BTreeMap<usize, i64>,
    /// The time of each set that is behind its domain's.
    passed: BTreeMap<usize, i64>,
    /// While a state is read back: the time that each rule had settled.
    restored: BTreeMap<usize, i64>,
}

impl Fold {
    /// From the next step on time does not pass these events, in microseconds, of these rules, by id, nor of those that
    /// correlations join with them. The time of all others goes on. Returns whether that is other than before.
    pub fn hold(&mut self, events: &BTreeMap<String, i64>) -> bool {
        let mut by_unit: BTreeMap<usize, i64> = BTreeMap::new();
        for (id, event) in events {
            if let Some(rule) = self.index_of.get(id) {
                let earliest = by_unit.entry(self.graph.unit_of[*rule]).or_insert(*event);
                *earliest = (*earliest).min(*event);
            }
        }
        let is_other = self.hold.events != by_unit;
        self.hold.events = by_unit;
        is_other
    }

    /// Returns the time that has been settled for a rule, by its id, in microseconds; for none that is not known.
    pub fn passed_of(&self, id: &str) -> i64 {
        let rule = self.index_of.get(id);
        rule.map_or(i64::MIN, |rule| self.passed(*rule))
    }

    /// Returns the time that has been settled for a rule.
    pub(crate) fn passed(&self, rule: usize) -> i64 {
        let domain = self.graph.domain_of.get(rule);
        let watermark = domain.map_or(i64::MIN, |domain| self.domains[*domain].watermark);
        if self.hold.passed.is_empty() {
            return watermark;
        }
        let unit = self.graph.unit_of.get(rule);
        let held = unit.and_then(|unit| self.hold.passed.get(unit));
        held.copied().unwrap_or(watermark)
    }

    /// Finds how far each set of rules of a domain comes that is held back, where the domain's time moves on to `watermark`.
    pub(super) fn hold_back(&mut self, domain: usize, watermark: i64) {
        let of_domain = |unit: &usize| self.graph.domain_of[*unit] == domain;
        let known = self.hold.events.keys().chain(self.hold.passed.keys());
        let units: Vec<usize> = known.copied().filter(of_domain).collect();
        for unit in units {
            let event = self.hold.events.get(&unit);
            let time = event.map(|event| watermark.min(*event).max(self.passed(unit)));
            match time.filter(|time| *time < watermark) {
                Some(time) => self.hold.passed.insert(unit, time),
                None => self.hold.passed.remove(&unit),
            };
        }
    }

    /// Returns the rules that are behind their domain, by id, with their times.
    pub(crate) fn held_rules(&self) -> HashMap<String, i64> {
        if self.hold.passed.is_empty() {
            return HashMap::new();
        }
        let rules = self.rules.iter().zip(&self.graph.unit_of);
        rules
            .filter_map(|(rule, unit)| Some((rule.id.clone(), *self.hold.passed.get(unit)?)))
            .collect()
    }

    /// Returns the earliest time that some rule of a domain still needs its findings from.
    pub(crate) fn needed_from(&self, domain: usize) -> i64 {
        let held = self.hold.passed.iter();
        let of_domain = held.filter(|(unit, _)| self.graph.domain_of[**unit] == domain);
        let times = of_domain.map(|(_, time)| *time);
        times.fold(self.domains[domain].watermark, i64::min)
    }

    /// Notes the time that the rules of these tables had settled.
    pub(crate) fn restore_time(&mut self, tables: &[String], watermark: i64) {
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.correlation.is_none() && tables.contains(&rule.table) {
                self.hold.restored.insert(index, watermark);
            }
        }
    }

    /// Notes the time that a rule had settled behind others of its domain, whose time was `watermark`. What a version left
    /// behind that knew nothing of it is not meant: it has another.
    pub(crate) fn restore_held(&mut self, id: &str, time: i64, watermark: i64) {
        if let Some(rule) = self.index_of.get(id)
            && let Some(settled) = self.hold.restored.get_mut(rule)
            && *settled == watermark
            && time < watermark
        {
            *settled = time;
        }
    }

    /// Finds the time of each set that is behind its domain, once all is noted. Rules that are joined now and were not have
    /// the latest of theirs: nothing is settled twice.
    pub(crate) fn restored_times(&mut self) {
        let mut latest: BTreeMap<usize, i64> = BTreeMap::new();
        for (rule, time) in &self.hold.restored {
            let unit = self.graph.unit_of[*rule];
            let known = latest.entry(unit).or_insert(*time);
            *known = (*known).max(*time);
        }
        let domain_of = |unit: &usize| self.graph.domain_of[*unit];
        latest.retain(|unit, time| *time < self.domains[domain_of(unit)].watermark);
        self.hold.passed = latest;
    }

    /// Says whether a stored finding was not settled yet.
    pub(crate) fn waits_still(&self, rule: usize, time: i64) -> bool {
        let settled = self.hold.restored.get(&rule).copied();
        settled.is_none_or(|settled| time >= settled)
    }
}
