//! Rules of which earlier events are still to be evaluated, and which time of their own they have meanwhile.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::CorrelationEngine;

/// What is held back. Rules that correlations join share one time; each such set goes by its first rule.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// Events that time must not pass: the earliest of each set.
    events: BTreeMap<usize, i64>,
    /// The time of each set that is behind its watermark group's.
    passed: BTreeMap<usize, i64>,
    /// While a state is read back: the time that each rule had settled.
    restored: BTreeMap<usize, i64>,
}

impl CorrelationEngine {
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

    /// Returns the time that has been final for a rule, by its id, in microseconds; for none that is not known.
    pub fn passed_of(&self, id: &str) -> i64 {
        let rule = self.index_of.get(id);
        rule.map_or(i64::MIN, |rule| self.passed(*rule))
    }

    /// Returns the time that has been final for a rule.
    pub(crate) fn passed(&self, rule: usize) -> i64 {
        let watermark_group = self.graph.group_of.get(rule);
        let watermark = watermark_group.map_or(i64::MIN, |watermark_group| {
            self.watermark_groups[*watermark_group].watermark
        });
        if self.hold.passed.is_empty() {
            return watermark;
        }
        let unit = self.graph.unit_of.get(rule);
        let held = unit.and_then(|unit| self.hold.passed.get(unit));
        held.copied().unwrap_or(watermark)
    }

    /// Finds how far each set of rules of a watermark group comes that is held back, where the watermark group's time moves on to `watermark`.
    pub(super) fn hold_back(&mut self, watermark_group: usize, watermark: i64) {
        let of_group = |unit: &usize| self.graph.group_of[*unit] == watermark_group;
        let known = self.hold.events.keys().chain(self.hold.passed.keys());
        let units: Vec<usize> = known.copied().filter(of_group).collect();
        for unit in units {
            let event = self.hold.events.get(&unit);
            let time = event.map(|event| watermark.min(*event).max(self.passed(unit)));
            match time.filter(|time| *time < watermark) {
                Some(time) => self.hold.passed.insert(unit, time),
                None => self.hold.passed.remove(&unit),
            };
        }
    }

    /// Returns the rules that are behind their watermark group, by id, with their times.
    pub(crate) fn held_rules(&self) -> HashMap<String, i64> {
        if self.hold.passed.is_empty() {
            return HashMap::new();
        }
        let rules = self.rules.iter().zip(&self.graph.unit_of);
        rules
            .filter_map(|(rule, unit)| Some((rule.id.clone(), *self.hold.passed.get(unit)?)))
            .collect()
    }

    /// Returns the earliest time that some rule of a watermark group still needs its findings from.
    pub(crate) fn needed_from(&self, watermark_group: usize) -> i64 {
        let held = self.hold.passed.iter();
        let of_group = held.filter(|(unit, _)| self.graph.group_of[**unit] == watermark_group);
        let times = of_group.map(|(_, time)| *time);
        times.fold(self.watermark_groups[watermark_group].watermark, i64::min)
    }

    /// Notes the time that the rules of these tables had settled.
    pub(crate) fn restore_time(&mut self, tables: &[String], watermark: i64) {
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.correlation.is_none() && tables.contains(&rule.table) {
                self.hold.restored.insert(index, watermark);
            }
        }
    }

    /// Notes the time that a rule had settled behind others of its watermark group, whose time was `watermark`. What a version left
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

    /// Finds the time of each set that is behind its watermark group, once all is noted. Rules that are joined now and were not have
    /// the latest of theirs: nothing is final twice.
    pub(crate) fn restored_times(&mut self) {
        let mut latest: BTreeMap<usize, i64> = BTreeMap::new();
        for (rule, time) in &self.hold.restored {
            let unit = self.graph.unit_of[*rule];
            let known = latest.entry(unit).or_insert(*time);
            *known = (*known).max(*time);
        }
        let group_of = |unit: &usize| self.graph.group_of[*unit];
        latest.retain(|unit, time| *time < self.watermark_groups[group_of(unit)].watermark);
        self.hold.passed = latest;
    }

    /// Says whether a stored finding was not final yet.
    pub(crate) fn waits_still(&self, rule: usize, time: i64) -> bool {
        let settled = self.hold.restored.get(&rule).copied();
        settled.is_none_or(|settled| time >= settled)
    }
}
