//! What detectors remember, on its way to the store and back.

use super::KeyedDetectors;
use super::bytes::{self, StoredError, StoredRows, read_rows};
use super::changes::KeyedChanges;
use crate::error::{EngineError, too_many_pending};

impl KeyedDetectors {
    /// Returns what changed since the last call, to be stored together with the watermark. Plugins that were called since
    /// then are asked for their memory.
    ///
    /// # Errors
    /// Faults of our own.
    pub fn take_changes(&mut self) -> Result<KeyedChanges, EngineError> {
        let mut changes = KeyedChanges::default();
        for keyed in &mut self.rules {
            let rule = &self.plan.rules[keyed.position];
            let id = &rule.rule.id;
            let (states, gone) = keyed.keys.take_changes();
            let states = states.into_iter();
            let states = states.map(|(key, bytes)| (id.clone(), key, bytes));
            changes.states.extend(states);
            let gone = gone.into_iter().map(|hash| (id.clone(), hash));
            changes.gone.extend(gone);
            for (latest, rows) in keyed.pending.take_fresh()? {
                let bytes = bytes::rows(rule, &rows)?;
                changes.pending.push((id.clone(), latest, bytes));
            }
            if let Some(memory) = keyed.instance.changed_memory() {
                let bytes = bytes::memory(&memory);
                changes.snapshots.push((id.clone(), bytes));
            }
        }
        self.leave_on_disk();
        Ok(changes)
    }

    /// Leaves on disk what has no room in memory: of each rule its part of what is too much.
    fn leave_on_disk(&mut self) {
        let memory = self.memory();
        let Some((disk, most)) = self.disk.as_ref().filter(|(_, most)| memory > *most) else {
            return;
        };
        for keyed in &mut self.rules {
            // Half of it, so that the next step need not do it again.
            let share = keyed.keys.memory() as u128 * (*most / 2) as u128 / memory.max(1) as u128;
            let share = usize::try_from(share).unwrap_or(usize::MAX);
            keyed.keys.evict(share, disk);
        }
    }

    /// Restores the state of a key from [`KeyedChanges::states`].
    ///
    /// # Errors
    /// [`EngineError::State`]: a rule that keeps no state here, bytes that are damaged.
    pub fn restore_state(
        &mut self,
        rule_id: &str,
        key: &str,
        bytes: &[u8],
    ) -> Result<(), EngineError> {
        let watermark = self.watermark;
        let keyed = self.rule(rule_id)?;
        keyed
            .keys
            .restore(key, bytes, watermark, keyed.state_for)
            .map_err(|reason| damaged("a key's state", rule_id, &reason))
    }

    /// Restores the state of a key, or leaves it on disk where memory has no room for it.
    ///
    /// # Errors
    /// As [`KeyedDetectors::restore_state`].
    pub fn restore_or_leave(
        &mut self,
        rule_id: &str,
        (key, hash): (&str, u64),
        bytes: &[u8],
    ) -> Result<(), EngineError> {
        let is_full = match &self.disk {
            Some((_, most)) => self.memory() >= *most / 2,
            None => false,
        };
        let watermark = self.watermark;
        let keyed = self.rule(rule_id)?;
        let is_left = is_full
            && keyed
                .keys
                .leave(key, hash, bytes, watermark, keyed.state_for)
                .map_err(|reason| damaged("a key's state", rule_id, &reason))?;
        match is_left {
            true => Ok(()),
            false => self.restore_state(rule_id, key, bytes),
        }
    }

    /// Restores rows that waited, from [`KeyedChanges::pending`], but for those that the watermark has passed. Rows with
    /// other columns than the rule has now are counted in `outdated`.
    ///
    /// # Errors
    /// [`EngineError::State`]: a rule that keeps no state here, bytes that are damaged. [`EngineError::TooManyPending`] in
    /// a single run.
    pub fn restore_pending(&mut self, rule_id: &str, bytes: &[u8]) -> Result<(), EngineError> {
        let position = self.rule(rule_id)?.position;
        let rows = read_rows(&self.plan.rules[position], bytes)
            .map_err(|reason| damaged("rows that wait", rule_id, &reason))?;
        let rows = match rows {
            StoredRows::Rows(rows) => rows.not_before(self.watermark)?,
            StoredRows::Outdated(rows) => {
                tracing::warn!(
                    rule = rule_id,
                    rows,
                    "events that waited are dropped: the rule has other columns now"
                );
                *self.outdated.entry(rule_id.to_owned()).or_default() += rows;
                return Ok(());
            }
        };
        if !self.is_shared && self.pending_rows() + rows.len() > self.max_pending_rows {
            let waiting = self.rules.iter();
            let waiting = waiting.map(|rule| (rule.position, rule.pending.len()));
            let counts = waiting.chain([(position, rows.len())]);
            return Err(too_many_pending(&self.plan, self.max_pending_rows, counts));
        }
        self.rule(rule_id)?.pending.push(rows, true)?;
        // What was given up before may be among what is stored: it goes again, and only as much as is too much now.
        if self.pending_rows() > self.max_pending_rows + self.max_pending_rows / 8 {
            self.give_up_rows()?;
        }
        Ok(())
    }

    /// Restores the memory of a rule's plugin from [`KeyedChanges::snapshots`]. A plugin that does not take it is reported
    /// in the log and begins anew.
    ///
    /// # Errors
    /// [`EngineError::State`]: a rule that keeps no state here, bytes that are damaged.
    pub fn restore_snapshot(&mut self, rule_id: &str, bytes: &[u8]) -> Result<(), EngineError> {
        let keyed = self.rule(rule_id)?;
        let memory = bytes::read_memory(bytes)
            .map_err(|reason| damaged("a plugin's memory", rule_id, &reason))?;
        keyed.instance.set_memory(memory);
        Ok(())
    }

    /// Sets the time before which everything was evaluated, in microseconds, and drops what waits from before it.
    ///
    /// # Errors
    /// Faults of our own.
    pub fn set_watermark(&mut self, watermark: i64) -> Result<(), EngineError> {
        self.watermark = watermark;
        for keyed in &mut self.rules {
            keyed.pending.take_before(watermark)?;
        }
        Ok(())
    }
}

fn damaged(what: &str, rule: &str, reason: &StoredError) -> EngineError {
    EngineError::State(format!(
        "{what} of rule `{rule}` cannot be read back: {reason}"
    ))
}
