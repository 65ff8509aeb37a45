//! What a correlation engine remembers, as bytes: what changed since the last time, and all of it back.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use yagura_core::Rule;
use yagura_core::alert::hex;

use crate::correlation_engine::{Change, CorrelationEngine};
use crate::found::{Found, StoredObject};
use crate::node::Node;
use crate::shard::Spilled;

/// What changed since the last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    pub(crate) pages: Vec<PageDelta>,
    /// Keys that left memory: stage, share, key.
    pub(crate) spilled: Vec<(String, usize, Spilled)>,
    /// Findings that wait.
    pub(crate) pending: Vec<Waiting>,
    pub(crate) objects: Vec<(u32, Vec<u8>)>,
    pub(crate) objects_gone: Vec<u32>,
    pub(crate) reports: Vec<(String, Option<Vec<u8>>)>,
    /// For each stage when its rule saw its first hit.
    pub(crate) started: Vec<(String, i64)>,
    /// For each watermark group.
    pub(crate) watermarks: Vec<Settled>,
    /// Rules that are behind their watermark group, the time that they have settled, and that of their watermark group.
    pub(crate) held: Vec<(String, i64, i64)>,
}

/// What a watermark group has settled.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// The watermark group's tables.
    pub(crate) tables: String,
    /// Everything before it, but for rules that are held back.
    pub(crate) watermark: i64,
    /// Findings before it are not needed any more.
    pub(crate) needed_from: i64,
}

/// Findings of one watermark group that wait.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// The watermark group's tables.
    pub(crate) tables: String,
    /// The latest of their times.
    pub(crate) last: i64,
    pub(crate) bytes: Vec<u8>,
}

/// What changed in a share of a stage's keys.
#[derive(Debug, Clone)]
pub(crate) struct PageDelta {
    pub(crate) stage: String,
    pub(crate) group: usize,
    pub(crate) bytes: Vec<u8>,
}

/// Says what of a rule its state depends on, and all that it depends on, as hashes.
pub(crate) fn fingerprints(rule: &Rule) -> (String, String) {
    let hash = |value: &dyn erased::Debug| {
        let digest = Sha256::digest(value.text().as_bytes());
        hex(&digest[..16])
    };
    let whole = (
        &rule.table,
        &rule.condition,
        &rule.columns,
        &rule.plugin,
        &rule.config,
        &rule.partition_by,
        &rule.correlation,
        &rule.alert,
    );
    let shape = rule.correlation.as_ref().map(|correlation| {
        let at_close = correlation
            .condition
            .is_some_and(|condition| !condition.is_lower_bound());
        (
            correlation.kind,
            &correlation.rules,
            (&correlation.by, &correlation.aliases),
            (&correlation.field, &correlation.fields),
            correlation.window,
            &correlation.expression,
            correlation.approximate,
            (&correlation.latitude, &correlation.longitude),
            // The number of a window is part of what is counted by it.
            matches!(
                correlation.kind,
                yagura_core::correlation::CorrelationKind::Spike
                    | yagura_core::correlation::CorrelationKind::Flatline
            )
            .then_some(&correlation.within),
            at_close,
        )
    });
    let shape = if rule.partition_by.is_empty() {
        hash(&shape)
    } else {
        // What a detector keeps is of the keys of one table.
        hash(&(&rule.table, &rule.partition_by))
    };
    let whole = match &rule.state_for {
        // As before there was such a key, so that an update changes no rule.
        None => hash(&whole),
        given => hash(&(&whole, given)),
    };
    (shape, whole)
}

mod erased {
    /// Anything that can be written for comparison.
    pub(super) trait Debug {
        fn text(&self) -> String;
    }

    impl<T: std::fmt::Debug> Debug for T {
        fn text(&self) -> String {
            format!("{self:?}")
        }
    }
}

impl CorrelationEngine {
    /// Returns what changed since the last call. `numbers` gives each rule its lasting number; shares that take more than
    /// `memory` bytes together give up the keys that were touched longest ago.
    pub(crate) fn checkpoint(&mut self, numbers: &[u32], memory: usize) -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        let total: usize = self.sizes().values().map(|size| size.bytes).sum();
        let is_over = total > memory;
        let ids: Vec<String> = self
            .graph
            .order
            .iter()
            .map(|node| self.rules[node.rule].id.clone())
            .collect();
        let mut each = |stage: &mut dyn Node, id: &str| {
            let bytes = stage.size().bytes;
            if is_over && bytes > 0 {
                // Each gives up its part of what is too much.
                let most = (bytes as u128 * memory as u128 / total.max(1) as u128) as usize;
                let moved = stage.evict(most).into_iter();
                let moved = moved.map(|(group, spilled)| (id.to_owned(), group, spilled));
                checkpoint.spilled.extend(moved);
            }
            let deltas = stage.delta().into_iter();
            checkpoint
                .pages
                .extend(deltas.map(|(group, bytes)| PageDelta {
                    stage: id.to_owned(),
                    group,
                    bytes,
                }));
            if stage.started() != i64::MAX {
                checkpoint.started.push((id.to_owned(), stage.started()));
            }
        };
        for (stage, id) in self.stages.iter_mut().zip(&ids) {
            each(stage.as_mut(), id);
        }
        for watermark_group in &mut self.watermark_groups {
            let name = watermark_group.name();
            each(&mut watermark_group.windows, &name);
        }
        checkpoint.pending = self.waiting(numbers);
        let settled = self.watermark_groups.iter().enumerate();
        let settled = settled.map(|(number, watermark_group)| Settled {
            tables: watermark_group.tables.join(","),
            watermark: watermark_group.watermark,
            needed_from: self.needed_from(number),
        });
        checkpoint.watermarks.extend(settled);
        let held = self.held_rules().into_iter().filter_map(|(id, time)| {
            let rule = *self.index_of.get(&id)?;
            let watermark_group = &self.watermark_groups[self.graph.group_of[rule]];
            Some((id, time, watermark_group.watermark))
        });
        checkpoint.held.extend(held);
        let needed_from = checkpoint
            .watermarks
            .iter()
            .map(|watermark_group| watermark_group.needed_from);
        let oldest = needed_from.min().unwrap_or(i64::MIN);
        checkpoint.objects = self
            .objects
            .take_changed()
            .into_iter()
            .filter_map(|(number, object)| Some((number, postcard::to_allocvec(&object).ok()?)))
            .collect();
        checkpoint.objects_gone = self
            .objects
            .forget_before(oldest.saturating_sub(self.horizon).saturating_sub(DAY));
        checkpoint.reports = self.reports.take_changed();
        checkpoint
    }

    /// Returns the findings that wait and came since the last call.
    pub(crate) fn waiting(&mut self, numbers: &[u32]) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for watermark_group in &mut self.watermark_groups {
            let fresh =
                std::mem::take(&mut watermark_group.fresh).min(watermark_group.pending.len());
            let fresh = &watermark_group.pending[watermark_group.pending.len() - fresh..];
            if let Some(last) = fresh.iter().map(|found| found.time).max() {
                waiting.push(Waiting {
                    tables: watermark_group.tables.join(","),
                    last,
                    bytes: encode(fresh, numbers),
                });
            }
        }
        waiting
    }

    pub(crate) fn stage_of_mut(&mut self, name: &str) -> Option<&mut dyn Node> {
        let rules = &self.rules;
        let mut nodes = self.graph.order.iter().zip(&mut self.stages);
        if let Some((_, stage)) = nodes.find(|(node, _)| rules[node.rule].id == name) {
            return Some(stage.as_mut());
        }
        let mut watermark_groups = self.watermark_groups.iter_mut();
        let watermark_group =
            watermark_groups.find(|watermark_group| watermark_group.name() == name)?;
        Some(&mut watermark_group.windows)
    }

    /// Takes waiting findings back; those of rules that there are no more are left out, and counted.
    pub(crate) fn restore_pending(
        &mut self,
        bytes: &[u8],
        rule_of: &BTreeMap<u32, (usize, Vec<String>)>,
    ) -> Result<usize, postcard::Error> {
        let all: Vec<Found> = postcard::from_bytes(bytes)?;
        let mut gone = 0;
        for mut found in all {
            let Some((rule, names)) = rule_of.get(&found.rule) else {
                gone += 1;
                continue;
            };
            let rule = *rule;
            found.rule = u32::try_from(rule).unwrap_or(u32::MAX);
            // Correlations may ask for other fields than they did then: those that it lacks are absent.
            let fields = self.graph.fields[rule].iter().map(|path| {
                let at = names.iter().position(|name| *name == path.to_string())?;
                found.fields.get(at).cloned().flatten()
            });
            found.fields = fields.collect();
            let is_needed = self.waits_still(rule, found.time);
            let watermark_group = &mut self.watermark_groups[self.graph.group_of[rule]];
            if is_needed {
                watermark_group.pending.push(found);
                watermark_group.fresh += 1;
            }
            watermark_group.is_stale = true;
        }
        Ok(gone)
    }

    /// Gives windows of alerts back that were stored for other sets of tables than there are now.
    pub(crate) fn restore_moved_windows(
        &mut self,
        group: usize,
        bytes: &[u8],
    ) -> Result<(), postcard::Error> {
        let (index_of, group_of) = (&self.index_of, &self.graph.group_of);
        for (number, watermark_group) in self.watermark_groups.iter_mut().enumerate() {
            let takes = |key: &str| {
                let id = key.split('\0').next().unwrap_or_default();
                let rule = index_of.get(id);
                rule.is_some_and(|rule| group_of[*rule] == number)
            };
            watermark_group
                .windows
                .restore(group, bytes, &takes, true)?;
        }
        Ok(())
    }

    /// Gives the watermark group of these tables its time back. A watermark group that was made of several has the latest of theirs.
    pub(crate) fn restore_watermark(&mut self, tables: &[String], watermark: i64) {
        for watermark_group in &mut self.watermark_groups {
            if watermark_group
                .tables
                .iter()
                .any(|table| tables.contains(table))
            {
                watermark_group.watermark = watermark_group.watermark.max(watermark);
            }
        }
        self.restore_time(tables, watermark);
    }

    pub(crate) fn restore_object(
        &mut self,
        number: u32,
        bytes: &[u8],
    ) -> Result<(), postcard::Error> {
        let stored: StoredObject = postcard::from_bytes(bytes)?;
        self.objects.restore(number, stored);
        Ok(())
    }

    /// Takes back what was told of a key, or takes it back from the reader if its rule is gone.
    pub(crate) fn restore_report(
        &mut self,
        key: String,
        bytes: &[u8],
    ) -> Result<Vec<Change>, postcard::Error> {
        let id = key.split('\0').next().unwrap_or_default();
        match self.index_of.get(id).copied() {
            Some(rule) => {
                let watermark_group = self.graph.group_of[rule];
                self.reports.restore(key, bytes, watermark_group)?;
                Ok(Vec::new())
            }
            None => self.reports.withdraw(bytes, key),
        }
    }
}

/// A day, in microseconds: how long an object's name outlives what can refer to it.
const DAY: i64 = 86_400_000_000;

/// Returns findings as bytes, their rules by lasting number.
pub(crate) fn encode(found: &[Found], numbers: &[u32]) -> Vec<u8> {
    let numbered: Vec<Found> = found
        .iter()
        .map(|found| {
            let mut found = found.clone();
            found.rule = numbers
                .get(found.rule as usize)
                .copied()
                .unwrap_or(u32::MAX);
            found
        })
        .collect();
    postcard::to_allocvec(&numbered).unwrap_or_default()
}
