//! The bound of what waits for the watermark: a rule with more than its share loses its newest findings, others lose none.

use std::collections::BTreeMap;

use yagura_core::share::level;

use super::CorrelationEngine;
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
