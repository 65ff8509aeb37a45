//! Alerts that were emitted before they were final.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use yagura_core::{Alert, AlertState, EvidenceEvent};

use crate::change::AlertChange;

/// A provisional alert that was emitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionalAlert {
    /// The alert as it was emitted last.
    pub alert: Alert,
    /// Of its content.
    digest: [u8; 16],
}

/// All provisional alerts that were emitted and are neither final nor withdrawn, by rule and key.
#[derive(Debug, Default)]
pub(crate) struct ProvisionalAlerts {
    emitted: BTreeMap<String, Vec<ProvisionalAlert>>,
    /// For each watermark group the keys of which findings wait.
    waiting: BTreeMap<usize, BTreeSet<String>>,
    changed: BTreeSet<String>,
}

const MOVED: &str = "an event that arrived later, and happened earlier, moved its window";
const GONE: &str = "with the events that have arrived since, its condition does not hold";

impl ProvisionalAlerts {
    /// Emits what is final, new, changed and gone of one key.
    pub(crate) fn compare(
        &mut self,
        key: &str,
        final_alerts: Vec<Alert>,
        provisional: Vec<Alert>,
        changes: &mut Vec<AlertChange>,
    ) {
        let before = self.emitted.remove(key).unwrap_or_default();
        let mut after = Vec::with_capacity(provisional.len());
        for old in &before {
            let is = |alert: &&Alert| alert.id == old.alert.id;
            if final_alerts
                .iter()
                .chain(&provisional)
                .any(|alert| is(&alert))
            {
                continue;
            }
            // The alert that its first event is part of now.
            let first = old.alert.evidence.events.first();
            let replaced = final_alerts.iter().chain(&provisional).find(|alert| {
                let start = alert.window_start.min(alert.first_time);
                let lists = |of: &EvidenceEvent| {
                    let is_same = |e: &EvidenceEvent| (&e.object, e.row) == (&of.object, of.row);
                    alert.evidence.events.iter().any(is_same)
                };
                first.is_some_and(lists)
                    || (start..=alert.last_time).contains(&old.alert.first_time)
            });
            changes.push(AlertChange {
                state: AlertState::Withdrawn,
                reason: Some(if replaced.is_some() { MOVED } else { GONE }.to_owned()),
                replaced_by: replaced.map(|alert| alert.id.clone()),
                alert: old.alert.clone(),
            });
        }
        for alert in provisional {
            let digest = digest(&alert);
            let known = before.iter().find(|old| old.alert.id == alert.id);
            if known.is_none_or(|old| old.digest != digest) {
                changes.push(AlertChange::to(AlertState::Provisional, alert.clone()));
            }
            after.push(ProvisionalAlert { alert, digest });
        }
        let finals = final_alerts.into_iter();
        changes.extend(finals.map(|alert| AlertChange::to(AlertState::Final, alert)));
        if before != after {
            self.changed.insert(key.to_owned());
        }
        if !after.is_empty() {
            self.emitted.insert(key.to_owned(), after);
        }
    }

    pub(crate) fn waiting(&self, watermark_group: usize) -> impl Iterator<Item = &String> {
        self.waiting.get(&watermark_group).into_iter().flatten()
    }

    pub(crate) fn set_waiting(&mut self, watermark_group: usize, keys: BTreeSet<String>) {
        self.waiting.insert(watermark_group, keys);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &ProvisionalAlert> {
        self.emitted.values().flatten()
    }

    /// Returns what changed since the last call: keys with all that was emitted of them, as bytes; nothing where that is
    /// nothing.
    pub(crate) fn take_changed(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|key| {
                let emitted = self.emitted.get(&key);
                let bytes = emitted.and_then(|emitted| postcard::to_allocvec(emitted).ok());
                (key, bytes)
            })
            .collect()
    }

    /// Takes back what [`ProvisionalAlerts::take_changed`] returned.
    pub(crate) fn restore(
        &mut self,
        key: String,
        bytes: &[u8],
        watermark_group: usize,
    ) -> Result<(), postcard::Error> {
        self.waiting
            .entry(watermark_group)
            .or_default()
            .insert(key.clone());
        self.emitted.insert(key, postcard::from_bytes(bytes)?);
        Ok(())
    }

    /// Withdraws what was emitted of a rule that there is no more.
    pub(crate) fn withdraw(
        &mut self,
        bytes: &[u8],
        key: String,
    ) -> Result<Vec<AlertChange>, postcard::Error> {
        let emitted: Vec<ProvisionalAlert> = postcard::from_bytes(bytes)?;
        self.changed.insert(key);
        Ok(emitted
            .into_iter()
            .map(|old| AlertChange {
                state: AlertState::Withdrawn,
                reason: Some("its rule was removed or changed".to_owned()),
                replaced_by: None,
                alert: old.alert,
            })
            .collect())
    }
}

fn digest(alert: &Alert) -> [u8; 16] {
    let bytes = postcard::to_allocvec(alert).unwrap_or_default();
    let hash = Sha256::digest(&bytes);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    digest
}
