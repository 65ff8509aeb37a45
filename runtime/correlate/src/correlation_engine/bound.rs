//! What waits for the watermark, and its bound: a rule with more than its share loses its newest findings, others lose none.

use std::collections::BTreeMap;

use yagura_core::share::level;

use super::{CorrelationEngine, WatermarkGroup};
use crate::finding::CompactFinding;
use crate::step::DroppedFindings;

impl CorrelationEngine {
    /// Drops the newest findings of the rules that make too much wait, by event time, and returns what it dropped.
    ///
    /// A finding that was stored while it waited stays in the store until the watermark passes it. After a restart it waits
    /// again, and is dropped again if it still does not fit.
    pub(super) fn bound_waiting(&mut self) -> BTreeMap<String, DroppedFindings> {
        let mut dropped = BTreeMap::new();
        let Some(most) = self.options.max_waiting_bytes else {
            return dropped;
        };
        let mut sizes = vec![0; self.rules.len()];
        let groups = self.watermark_groups.iter_mut();
        for finding in groups.flat_map(|group| &mut group.pending) {
            sizes[finding.rule as usize] += finding.bytes();
        }
        if sizes.iter().sum::<usize>() <= most {
            return dropped;
        }
        let share = level(sizes.clone(), most);
        for (rule, _) in sizes
            .into_iter()
            .enumerate()
            .filter(|(_, size)| *size > share)
        {
            let objects = &self.objects;
            let group = &mut self.watermark_groups[self.graph.watermark_group_of[rule]];
            let (mut kept, mut first) = (0, None);
            let mut own: Vec<usize> = (0..group.pending.len())
                .filter(|at| group.pending[*at].rule as usize == rule)
                .collect();
            own.sort_by(|a, b| group.pending[*a].compare(&group.pending[*b], objects));
            let fits = own.iter().take_while(|at| {
                kept += group.pending[**at].bytes();
                first = Some(group.pending[**at].time);
                kept <= share
            });
            let fits = fits.count();
            let over = &mut own[fits..];
            over.sort_unstable();
            let (mut at, mut next) = (0, 0);
            let first_fresh = group.pending.len() - group.fresh.min(group.pending.len());
            group.pending.retain(|_| {
                let goes = over.get(next) == Some(&at);
                group.fresh -= usize::from(goes && at >= first_fresh);
                next += usize::from(goes);
                at += 1;
                !goes
            });
            group.is_stale = true;
            let found = DroppedFindings {
                count: over.len() as u64,
                first: first.unwrap_or(i64::MIN),
            };
            dropped.insert(self.rules[rule].id.clone(), found);
        }
        dropped
    }
}

impl WatermarkGroup {
    /// Makes room for more findings that wait: for a quarter more than wait, not for as many again.
    pub(super) fn make_room(&mut self, more: usize) {
        let room = self.pending.capacity() - self.pending.len();
        if room < more {
            self.pending.reserve_exact(more.max(self.pending.len() / 4));
        }
    }

    /// Takes out the findings that do not wait any more. The others stay where they are: there may be millions.
    pub(super) fn take_ready(&mut self, are_ready: &[bool]) -> Vec<CompactFinding> {
        let first_fresh = self.pending.len() - self.fresh.min(self.pending.len());
        self.fresh = 0;
        if are_ready.iter().all(|is_ready| *is_ready) {
            return std::mem::take(&mut self.pending);
        }
        let mut at = 0;
        let ready = self.pending.extract_if(.., |_| {
            let is_ready = are_ready.get(at).copied().unwrap_or_default();
            self.fresh += usize::from(!is_ready && at >= first_fresh);
            at += 1;
            is_ready
        });
        let ready = ready.collect();
        if self.pending.capacity() / 2 > self.pending.len() {
            self.pending.shrink_to(self.pending.len() / 4 * 5);
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use yagura_core::Rule;

    use super::*;
    use crate::step::CorrelationOptions;

    fn waiting(time: i64) -> CompactFinding {
        CompactFinding {
            rule: 0,
            time,
            events: Vec::new(),
            key: String::new(),
            title: String::new(),
            severity: None,
            observables: Vec::new(),
            context: Vec::new(),
            fields: Vec::new(),
            continues: false,
            bytes: 0,
        }
    }

    fn group(times: std::ops::Range<i64>, fresh: usize) -> WatermarkGroup {
        let rule = Rule {
            id: "r".into(),
            table: "t".into(),
            ..Rule::default()
        };
        let engine = CorrelationEngine::new(vec![Arc::new(rule)], CorrelationOptions::default());
        let mut group = engine.unwrap().watermark_groups.remove(0);
        group.pending = times.map(waiting).collect();
        group.fresh = fresh;
        group
    }

    fn times(findings: &[CompactFinding]) -> Vec<i64> {
        findings.iter().map(|finding| finding.time).collect()
    }

    #[test]
    fn what_waits_takes_no_more_than_a_quarter_over_its_size() {
        let mut group = group(0..0, 0);
        for step in 0..40 {
            group.make_room(100);
            let begin = step * 100;
            group.pending.extend((begin..begin + 100).map(waiting));
            let (len, capacity) = (group.pending.len(), group.pending.capacity());
            assert!(
                capacity <= (len / 4 * 5).max(len + 100),
                "{capacity} of {len}"
            );
        }
        // The watermark passes nine of ten.
        let are_ready: Vec<bool> = (0..4_000).map(|at| at < 3_600).collect();
        assert_eq!(group.take_ready(&are_ready).len(), 3_600);
        assert_eq!(group.pending.len(), 400);
        assert!(
            group.pending.capacity() <= 500,
            "{}",
            group.pending.capacity()
        );
    }

    #[test]
    fn what_waits_on_keeps_its_order_and_what_is_new_of_it() {
        // Four are new: the last ones.
        let mut group = group(0..10, 4);
        let are_ready: Vec<bool> = (0..10).map(|at| at % 3 == 0).collect();
        assert_eq!(times(&group.take_ready(&are_ready)), [0, 3, 6, 9]);
        assert_eq!(times(&group.pending), [1, 2, 4, 5, 7, 8]);
        assert_eq!(group.fresh, 2);
        assert_eq!(group.take_ready(&[true; 6]).len(), 6);
        assert_eq!((group.pending.len(), group.fresh), (0, 0));
    }
}
