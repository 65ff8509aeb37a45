//! The way back: what a correlation engine remembered, and what became of rules that changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use yagura_core::Rule;

use super::stored_rule::StoredRule;
use super::writer::{CommitBatch, ForgottenDetector};
use super::{StatePart, StateStore, StateStoreError};
use crate::change::AlertChange;
use crate::correlation_engine::CorrelationEngine;
use crate::fingerprint::{Fingerprints, RuleDifference};

impl StateStore {
    /// Gives the correlation engine its state back, and returns what became of rules that changed: messages for a person, and alerts
    /// that are withdrawn with their rules.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn load(
        &mut self,
        engine: &mut CorrelationEngine,
    ) -> Result<(Vec<String>, Vec<AlertChange>), StateStoreError> {
        let mut messages = Vec::new();
        let mut changes = Vec::new();
        engine.set_hashing(self.hashing);
        let is_new = self.count("SELECT count(*) FROM rules")? == 0;
        let stored = self.stored_rules()?;
        let restarted = self.compare_rules(engine, &stored, is_new, &mut messages)?;
        let rule_of: BTreeMap<u32, (usize, Vec<String>)> = self
            .numbers
            .iter()
            .zip(engine.rules())
            .enumerate()
            .map(|(index, (number, rule))| {
                let fields = stored.get(&rule.id).map(|rule| rule.fields.as_str());
                let fields = fields.unwrap_or_default().lines().map(str::to_owned);
                (*number, (index, fields.collect()))
            })
            .collect();

        self.each("SELECT number, value FROM objects", |row| {
            let bytes: Vec<u8> = row.get(1)?;
            Ok((row.get::<_, u32>(0)?, bytes))
        })?
        .into_iter()
        .try_for_each(|(number, bytes)| engine.restore_object(number, &bytes))
        .map_err(self.damaged(StatePart::ObjectName))?;
        engine.objects.restored();

        for (tables, watermark) in self
            .each("SELECT tables, watermark FROM watermark_groups", |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            })?
        {
            let tables: Vec<String> = tables.split(',').map(str::to_owned).collect();
            engine.restore_watermark(&tables, watermark);
        }
        for (rule, time, of_others) in
            self.each("SELECT rule, watermark, of_others FROM held_rules", |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, i64>(2)?,
                ))
            })?
        {
            engine.restore_held(&rule, time, of_others);
        }
        engine.restored_times();
        for bytes in self.each("SELECT value FROM pending ORDER BY id", |row| {
            row.get::<_, Vec<u8>>(0)
        })? {
            let gone = engine
                .restore_pending(&bytes, &rule_of)
                .map_err(self.damaged(StatePart::WaitingFindings))?;
            if gone > 0 {
                messages.push(format!(
                    "{gone} findings of rules that there are no more are forgotten"
                ));
            }
        }
        let loaded = self.load_shards(engine, &restarted)?;
        let mut orphans: BTreeSet<String> = BTreeSet::new();
        self.load_moved_windows(engine)?;
        for (node, shard, hash, due) in
            self.each("SELECT node, shard, hash, due FROM spilled", |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, i64>(3)?,
                ))
            })?
        {
            match engine.node_mut(&node) {
                Some(known) if !restarted.contains(&node) => {
                    let shard = usize::try_from(shard).unwrap_or_default();
                    known.note_spilled(shard, hash.cast_unsigned(), due);
                }
                _ => {
                    orphans.insert(node);
                }
            }
        }
        for (node, started) in self.each("SELECT node, started FROM nodes", |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })? {
            if let Some(known) = engine.node_mut(&node)
                && !restarted.contains(&node)
            {
                known.set_started(started);
            }
        }
        changes.extend(self.load_provisional(engine)?);
        // What belongs to no rule any more goes, and findings that wait are stored under the numbers of now.
        let mut batch = CommitBatch::default();
        orphans.extend(
            loaded
                .into_iter()
                .filter(|node| engine.node_mut(node).is_none()),
        );
        batch.forget_detectors = self.outdated_detectors(engine, &restarted)?;
        orphans.extend(restarted);
        batch.forget_nodes = orphans.into_iter().collect();
        batch.rules = self.rule_rows(engine);
        batch.resets_pending = true;
        batch.pending = engine.waiting(&self.numbers);
        batch.log.clone_from(&messages);
        self.write(batch)?;
        let spilled_keys = self.count("SELECT count(*) FROM spilled")?;
        self.spilled_keys = usize::try_from(spilled_keys).unwrap_or_default();
        Ok((messages, changes))
    }

    /// Gives the engine the provisional alerts back, and returns those that are withdrawn because their rules are gone. They are
    /// read one by one: there may be more of them than fit in memory.
    fn load_provisional(
        &self,
        engine: &mut CorrelationEngine,
    ) -> Result<Vec<AlertChange>, StateStoreError> {
        let states: usize = engine.sizes().values().map(|size| size.bytes).sum();
        let memory = self.limits.memory.saturating_sub(states);
        let mut changes = Vec::new();
        let mut statement = self
            .reader
            .prepare("SELECT key, value FROM provisional_alerts")
            .map_err(self.sqlite())?;
        let mut rows = statement.query([]).map_err(self.sqlite())?;
        while let Some(row) = rows.next().map_err(self.sqlite())? {
            let key: String = row.get(0).map_err(self.sqlite())?;
            let bytes: Vec<u8> = row.get(1).map_err(self.sqlite())?;
            let withdrawn = engine
                .restore_provisional(key, &bytes, memory)
                .map_err(self.damaged(StatePart::ProvisionalAlert))?;
            changes.extend(withdrawn);
        }
        Ok(changes)
    }

    fn stored_rules(&self) -> Result<BTreeMap<String, StoredRule>, StateStoreError> {
        let rows = self.each(
            "SELECT id, number, state_fingerprint, rule_fingerprint, fields FROM rules",
            |row| {
                let rule = StoredRule {
                    number: row.get(1)?,
                    fingerprints: Fingerprints {
                        state: row.get(2)?,
                        rule: row.get(3)?,
                    },
                    fields: row.get(4)?,
                };
                Ok((row.get::<_, String>(0)?, rule))
            },
        )?;
        Ok(rows.into_iter().collect())
    }

    /// Finds the detectors of which something is stored, and whose rules keep no state any more or keep another.
    fn outdated_detectors(
        &self,
        engine: &CorrelationEngine,
        restarted: &BTreeSet<String>,
    ) -> Result<Vec<ForgottenDetector>, StateStoreError> {
        let stored = self.each(
            "SELECT name, rule FROM detector_keys UNION SELECT name, rule FROM detector_rows
             UNION SELECT name, rule FROM detector_memory",
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        let outdated = stored.into_iter().filter_map(|(table, rule)| {
            let known = engine
                .index_of
                .get(&rule)
                .map(|index| &engine.rules()[*index]);
            let keeps_rows =
                known.is_some_and(|rule| !rule.partition_by.is_empty() && rule.table == table);
            (!keeps_rows || restarted.contains(&rule)).then_some(ForgottenDetector {
                table,
                rule,
                keeps_rows,
            })
        });
        Ok(outdated.collect())
    }

    /// Gives each rule its number, and finds those whose state cannot be kept.
    fn compare_rules(
        &mut self,
        engine: &CorrelationEngine,
        stored: &BTreeMap<String, StoredRule>,
        is_new: bool,
        messages: &mut Vec<String>,
    ) -> Result<BTreeSet<String>, StateStoreError> {
        let mut next = stored
            .values()
            .map(|rule| rule.number + 1)
            .max()
            .unwrap_or(0);
        let mut restarted = BTreeSet::new();
        self.numbers.clear();
        for rule in engine.rules() {
            let id = &rule.id;
            match stored.get(id) {
                None => {
                    self.numbers.push(next);
                    next += 1;
                    if !is_new {
                        messages.push(format!(
                            "rule `{id}` is new: it evaluates what comes from now on"
                        ));
                    }
                }
                Some(known) => {
                    self.numbers.push(known.number);
                    match known.fingerprints.difference(rule) {
                        RuleDifference::None => {}
                        RuleDifference::State => {
                            restarted.insert(id.clone());
                            messages.push(restart(rule));
                        }
                        RuleDifference::Rule => messages.push(changed(rule)),
                    }
                }
            }
        }
        for id in stored.keys() {
            if !engine.rules().iter().any(|rule| rule.id == *id) {
                messages.push(format!(
                    "rule `{id}` is gone: what it remembered is dropped"
                ));
            }
        }
        Ok(restarted)
    }

    fn rule_rows(&self, engine: &CorrelationEngine) -> Vec<(String, StoredRule)> {
        let rules = engine.rules().iter().zip(&self.numbers);
        rules
            .zip(engine.graph().fields())
            .map(|((rule, number), fields)| {
                let names: Vec<String> = fields.iter().map(ToString::to_string).collect();
                let stored = StoredRule {
                    number: *number,
                    fingerprints: Fingerprints::of(rule),
                    fields: names.join("\n"),
                };
                (rule.id.clone(), stored)
            })
            .collect()
    }

    /// Reads all shards back, and returns the names of the nodes that there were.
    fn load_shards(
        &mut self,
        engine: &mut CorrelationEngine,
        restarted: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, StateStoreError> {
        let mut names = BTreeSet::new();
        let mut statement = self
            .reader
            .prepare("SELECT node, shard, seq, value FROM shards ORDER BY node, shard, seq")
            .map_err(self.sqlite())?;
        let mut rows = statement.query([]).map_err(self.sqlite())?;
        let mut sizes: HashMap<(String, usize), (usize, usize)> = HashMap::new();
        let mut joined: Option<((String, usize), Vec<u8>)> = None;
        let mut ready = Vec::new();
        loop {
            let row = rows.next().map_err(self.sqlite())?;
            let Some(row) = row else { break };
            let read = || -> rusqlite::Result<(String, i64, i64)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            };
            let (node, shard, seq) = read().map_err(self.sqlite())?;
            let shard = usize::try_from(shard).unwrap_or_default();
            let value = row.get_ref(3).map_err(self.sqlite())?;
            let bytes = value
                .as_blob()
                .map_err(self.damaged(StatePart::Node(node.clone())))?;
            let size = sizes.entry((node.clone(), shard)).or_default();
            if seq == 0 {
                size.0 += bytes.len();
            } else {
                size.1 += bytes.len();
            }
            let key = (node, shard);
            match &mut joined {
                Some((known, all)) if *known == key => all.extend_from_slice(bytes),
                other => {
                    ready.extend(other.replace((key, bytes.to_vec())));
                    self.restore_shards(engine, &mut ready, restarted, &mut names)?;
                }
            }
        }
        ready.extend(joined);
        self.restore_shards(engine, &mut ready, restarted, &mut names)?;
        drop(rows);
        drop(statement);
        self.shards = sizes;
        self.shards.retain(|(node, _), _| !restarted.contains(node));
        Ok(names)
    }

    /// Gives shards that are complete to their nodes.
    fn restore_shards(
        &self,
        engine: &mut CorrelationEngine,
        ready: &mut StoredShards,
        restarted: &BTreeSet<String>,
        names: &mut BTreeSet<String>,
    ) -> Result<(), StateStoreError> {
        for ((node, shard), bytes) in ready.drain(..) {
            names.insert(node.clone());
            if restarted.contains(&node) {
                continue;
            }
            let restored = match engine.node_mut(&node) {
                Some(known) => known.restore(shard, &bytes, &|_| true, false),
                None if node.starts_with("alerts ") => engine.restore_moved_windows(shard, &bytes),
                None => Ok(()),
            };
            restored.map_err(self.damaged(StatePart::Node(node)))?;
        }
        Ok(())
    }

    /// Takes windows of alerts into memory that are on disk for sets of tables that there are no more.
    fn load_moved_windows(&self, engine: &mut CorrelationEngine) -> Result<(), StateStoreError> {
        let rows = self.each(
            "SELECT node, shard, key, value FROM spilled WHERE node LIKE 'alerts %'",
            |row| {
                let value: Vec<u8> = row.get(3)?;
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, String>(2)?,
                    value,
                ))
            },
        )?;
        for (node, shard, key, value) in rows {
            if engine.node_mut(&node).is_none() {
                // As a shard writes it.
                let entry = (key.as_str(), Some(value.as_slice()));
                let bytes = postcard::to_allocvec(&entry).unwrap_or_default();
                engine
                    .restore_moved_windows(usize::try_from(shard).unwrap_or_default(), &bytes)
                    .map_err(self.damaged(StatePart::AlertWindow))?;
            }
        }
        Ok(())
    }
}

/// Says what becomes of a rule that has changed and keeps its state.
fn changed(rule: &Rule) -> String {
    let id = &rule.id;
    match &rule.correlation {
        Some(correlation) => {
            let after = match correlation.kind.length() {
                Some(length) => length.to_string(),
                None => "its longest session".to_owned(),
            };
            format!(
                "rule `{id}` has changed and keeps its state; its windows follow the new rule after {after}"
            )
        }
        None => format!(
            "rule `{id}` has changed: it evaluates new events by the new definition, and what it found before stays"
        ),
    }
}

/// Says why what a rule remembered cannot be kept.
fn restart(rule: &Rule) -> String {
    let id = &rule.id;
    let columns: Vec<String> = rule
        .partition_by
        .iter()
        .map(|path| format!("`{path}`"))
        .collect();
    if rule.correlation.is_some() {
        format!(
            "rule `{id}` correlates something else now: what it remembered is dropped, and it starts anew"
        )
    } else if columns.is_empty() {
        format!("rule `{id}` keeps no state any more: what it remembered is dropped")
    } else {
        format!(
            "rule `{id}` keeps state by {} of table `{}` now: what it remembered is dropped, and it starts anew",
            columns.join(", "),
            rule.table
        )
    }
}

type StoredShards = Vec<((String, usize), Vec<u8>)>;
