//! Which time rules have, of which some are held back.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::CorrelationEngine;

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
        let is_other = self.held.events != by_unit;
        self.held.events = by_unit;
        is_other
    }

    /// Returns the time that has been final for a rule, by its id, in microseconds; for none that is not known.
    pub fn passed_of(&self, id: &str) -> i64 {
        let rule = self.index_of.get(id);
        rule.map_or(i64::MIN, |rule| self.passed(*rule))
    }

    /// Returns the time that has been final for a rule.
    pub(crate) fn passed(&self, rule: usize) -> i64 {
        let watermark_group = self.graph.watermark_group_of.get(rule);
        let watermark = watermark_group.map_or(i64::MIN, |watermark_group| {
            self.watermark_groups[*watermark_group].watermark
        });
        if self.held.passed.is_empty() {
            return watermark;
        }
        let unit = self.graph.unit_of.get(rule);
        let held = unit.and_then(|unit| self.held.passed.get(unit));
        held.copied().unwrap_or(watermark)
    }

    /// Finds how far each set of rules of a watermark group comes that is held back, where the watermark group's time moves on to `watermark`.
    pub(crate) fn hold_back(&mut self, watermark_group: usize, watermark: i64) {
        let in_group = |unit: &usize| self.graph.watermark_group_of[*unit] == watermark_group;
        let known = self.held.events.keys().chain(self.held.passed.keys());
        let units: Vec<usize> = known.copied().filter(in_group).collect();
        for unit in units {
            let event = self.held.events.get(&unit);
            let time = event.map(|event| watermark.min(*event).max(self.passed(unit)));
            match time.filter(|time| *time < watermark) {
                Some(time) => self.held.passed.insert(unit, time),
                None => self.held.passed.remove(&unit),
            };
        }
    }

    /// Returns the rules that are behind their watermark group, by id, with their times.
    pub(crate) fn held_rules(&self) -> HashMap<String, i64> {
        if self.held.passed.is_empty() {
            return HashMap::new();
        }
        let rules = self.rules.iter().zip(&self.graph.unit_of);
        rules
            .filter_map(|(rule, unit)| Some((rule.id.clone(), *self.held.passed.get(unit)?)))
            .collect()
    }

    /// Returns the earliest time that some rule of a watermark group still needs its findings from.
    pub(crate) fn needed_from(&self, watermark_group: usize) -> i64 {
        let held = self.held.passed.iter();
        let in_group =
            held.filter(|(unit, _)| self.graph.watermark_group_of[**unit] == watermark_group);
        let times = in_group.map(|(_, time)| *time);
        times.fold(self.watermark_groups[watermark_group].watermark, i64::min)
    }

    /// Notes the time up to which the rules of these tables were final.
    pub(crate) fn restore_time(&mut self, tables: &[String], watermark: i64) {
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.correlation.is_none() && tables.contains(&rule.table) {
                self.held.restored.insert(index, watermark);
            }
        }
    }

    /// Notes the time up to which a rule was final, behind others of its watermark group, whose time was `watermark`. What a version left
    /// behind that knew nothing of it is not meant: it has another.
    pub(crate) fn restore_held(&mut self, id: &str, time: i64, watermark: i64) {
        if let Some(rule) = self.index_of.get(id)
            && let Some(final_until) = self.held.restored.get_mut(rule)
            && *final_until == watermark
            && time < watermark
        {
            *final_until = time;
        }
    }

    /// Finds the time of each set that is behind its watermark group, once all is noted. Rules that are joined now and were not have
    /// the latest of theirs: nothing is final twice.
    pub(crate) fn restored_times(&mut self) {
        let mut latest: BTreeMap<usize, i64> = BTreeMap::new();
        for (rule, time) in &self.held.restored {
            let unit = self.graph.unit_of[*rule];
            let known = latest.entry(unit).or_insert(*time);
            *known = (*known).max(*time);
        }
        let group_of = |unit: &usize| self.graph.watermark_group_of[*unit];
        latest.retain(|unit, time| *time < self.watermark_groups[group_of(unit)].watermark);
        self.held.passed = latest;
    }

    /// Says whether a stored finding was not final yet.
    pub(crate) fn waits_still(&self, rule: usize, time: i64) -> bool {
        let final_until = self.held.restored.get(&rule).copied();
        final_until.is_none_or(|final_until| time >= final_until)
    }
}
