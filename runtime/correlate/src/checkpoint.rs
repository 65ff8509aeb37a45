//! What a correlation engine remembers, as bytes: what changed since the last time, and all of it back.

use std::collections::BTreeMap;

use crate::change::AlertChange;
use crate::correlation_engine::CorrelationEngine;
use crate::finding::CompactFinding;
use crate::node::CorrelationNode;
use crate::objects::StoredObject;
use crate::shard::Spilled;

/// What changed since the last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    pub(crate) shards: Vec<ShardChange>,
    /// Keys that left memory: node, shard, key.
    pub(crate) spilled: Vec<(String, usize, Spilled)>,
    /// Findings that wait.
    pub(crate) pending: Vec<PendingFindings>,
    pub(crate) objects: Vec<(u32, Vec<u8>)>,
    pub(crate) objects_gone: Vec<u32>,
    pub(crate) provisional: Vec<(String, Option<Vec<u8>>)>,
    /// For each node when its rule saw its first hit.
    pub(crate) started: Vec<(String, i64)>,
    /// For each watermark group.
    pub(crate) watermarks: Vec<GroupWatermark>,
    /// Rules that are behind their watermark group, the time up to which they are final, and the watermark of their group.
    pub(crate) held: Vec<(String, i64, i64)>,
}

/// The watermark of a watermark group.
#[derive(Debug, Clone)]
pub(crate) struct GroupWatermark {
    /// The watermark group's tables.
    pub(crate) tables: String,
    /// Everything before it, but for rules that are held back.
    pub(crate) watermark: i64,
    /// Findings before it are not needed any more.
    pub(crate) needed_from: i64,
}

/// Findings of one watermark group that wait.
#[derive(Debug, Clone)]
pub(crate) struct PendingFindings {
    /// The watermark group's tables.
    pub(crate) tables: String,
    /// The latest of their times.
    pub(crate) last: i64,
    pub(crate) bytes: Vec<u8>,
}

/// What changed in a shard of a node's keys.
#[derive(Debug, Clone)]
pub(crate) struct ShardChange {
    pub(crate) node: String,
    pub(crate) shard: usize,
    pub(crate) bytes: Vec<u8>,
}

impl CorrelationEngine {
    /// Returns what changed since the last call. `numbers` gives each rule its lasting number; shards that take more than
    /// `memory` bytes together give up the keys that were touched longest ago.
    pub(crate) fn checkpoint(&mut self, numbers: &[u32], memory: usize) -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        let total: usize = self.sizes().values().map(|size| size.bytes).sum();
        let is_over = total > memory;
        let ids: Vec<String> = self
            .graph
            .order
            .iter()
            .map(|joins| self.rules[joins.rule].id.clone())
            .collect();
        let mut each = |node: &mut dyn CorrelationNode, id: &str| {
            let bytes = node.size().bytes;
            if is_over && bytes > 0 {
                // Each gives up its part of what is too much.
                let most = (bytes as u128 * memory as u128 / total.max(1) as u128) as usize;
                let moved = node.evict(most).into_iter();
                let moved = moved.map(|(shard, spilled)| (id.to_owned(), shard, spilled));
                checkpoint.spilled.extend(moved);
            }
            let changes = node.delta().into_iter();
            checkpoint
                .shards
                .extend(changes.map(|(shard, bytes)| ShardChange {
                    node: id.to_owned(),
                    shard,
                    bytes,
                }));
            if node.started() != i64::MAX {
                checkpoint.started.push((id.to_owned(), node.started()));
            }
        };
        for (node, id) in self.nodes.iter_mut().zip(&ids) {
            each(node.as_mut(), id);
        }
        for watermark_group in &mut self.watermark_groups {
            let name = watermark_group.name();
            each(&mut watermark_group.windows, &name);
        }
        checkpoint.pending = self.waiting(numbers);
        let groups = self.watermark_groups.iter().enumerate();
        let watermarks = groups.map(|(number, watermark_group)| GroupWatermark {
            tables: watermark_group.tables.join(","),
            watermark: watermark_group.watermark,
            needed_from: self.needed_from(number),
        });
        checkpoint.watermarks.extend(watermarks);
        let held = self.held_rules().into_iter().filter_map(|(id, time)| {
            let rule = *self.index_of.get(&id)?;
            let watermark_group = &self.watermark_groups[self.graph.watermark_group_of[rule]];
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
        checkpoint.provisional = self.provisional.take_changed();
        if is_over {
            let bytes = self.provisional.bytes();
            let most = (bytes as u128 * memory as u128 / total.max(1) as u128) as usize;
            self.provisional.evict(most);
        }
        checkpoint
    }

    /// Returns the findings that wait and came since the last call.
    pub(crate) fn waiting(&mut self, numbers: &[u32]) -> Vec<PendingFindings> {
        let mut waiting = Vec::new();
        for watermark_group in &mut self.watermark_groups {
            let fresh =
                std::mem::take(&mut watermark_group.fresh).min(watermark_group.pending.len());
            let fresh = &watermark_group.pending[watermark_group.pending.len() - fresh..];
            if let Some(last) = fresh.iter().map(|found| found.time).max() {
                waiting.push(PendingFindings {
                    tables: watermark_group.tables.join(","),
                    last,
                    bytes: encode(fresh, numbers),
                });
            }
        }
        waiting
    }

    pub(crate) fn node_mut(&mut self, name: &str) -> Option<&mut dyn CorrelationNode> {
        let rules = &self.rules;
        let mut nodes = self.graph.order.iter().zip(&mut self.nodes);
        if let Some((_, node)) = nodes.find(|(joins, _)| rules[joins.rule].id == name) {
            return Some(node.as_mut());
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
        let all: Vec<CompactFinding> = postcard::from_bytes(bytes)?;
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
            let watermark_group = &mut self.watermark_groups[self.graph.watermark_group_of[rule]];
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
        shard: usize,
        bytes: &[u8],
    ) -> Result<(), postcard::Error> {
        let (index_of, group_of) = (&self.index_of, &self.graph.watermark_group_of);
        for (number, watermark_group) in self.watermark_groups.iter_mut().enumerate() {
            let takes = |key: &str| {
                let id = key.split('\0').next().unwrap_or_default();
                let rule = index_of.get(id);
                rule.is_some_and(|rule| group_of[*rule] == number)
            };
            watermark_group
                .windows
                .restore(shard, bytes, &takes, true)?;
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

    /// Restores what was emitted of a key, or withdraws it if its rule is gone. All keys together take at most `memory` bytes.
    pub(crate) fn restore_provisional(
        &mut self,
        key: String,
        bytes: &[u8],
        memory: usize,
    ) -> Result<Vec<AlertChange>, postcard::Error> {
        let id = key.split('\0').next().unwrap_or_default();
        match self.index_of.get(id).copied() {
            Some(rule) => {
                let watermark_group = self.graph.watermark_group_of[rule];
                self.provisional
                    .restore(key, bytes, watermark_group, memory)?;
                Ok(Vec::new())
            }
            None => self.provisional.withdraw(bytes, key),
        }
    }
}

/// A day, in microseconds: how long an object's name outlives what can refer to it.
const DAY: i64 = 86_400_000_000;

/// Returns findings as bytes, their rules by lasting number.
pub(crate) fn encode(found: &[CompactFinding], numbers: &[u32]) -> Vec<u8> {
    let numbered: Vec<CompactFinding> = found
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
