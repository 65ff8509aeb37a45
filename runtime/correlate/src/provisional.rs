//! What was told of alerts before they were final.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use yagura_core::{Alert, EvidenceEvent};

use crate::correlation_engine::{Change, State};

/// A provisional alert that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The alert as it was told last.
    pub alert: Alert,
    /// Of what it said.
    digest: [u8; 16],
}

/// All provisional alerts that were told and are neither settled nor withdrawn, by rule and key.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    told: BTreeMap<String, Vec<Reported>>,
    /// For each watermark group the keys of which findings wait.
    waiting: BTreeMap<usize, BTreeSet<String>>,
    changed: BTreeSet<String>,
}

const MOVED: &str = "an event that arrived later, and happened earlier, moved its window";
const GONE: &str = "with the events that have arrived since, its condition does not hold";

impl Reports {
    /// Tells what is final, new, changed and gone of one key.
    pub(crate) fn compare(
        &mut self,
        key: &str,
        settled: Vec<Alert>,
        provisional: Vec<Alert>,
        told: &mut Vec<Change>,
    ) {
        let before = self.told.remove(key).unwrap_or_default();
        let mut after = Vec::with_capacity(provisional.len());
        for old in &before {
            let is = |alert: &&Alert| alert.id == old.alert.id;
            if settled.iter().chain(&provisional).any(|alert| is(&alert)) {
                continue;
            }
            // The alert that its first event is part of now.
            let first = old.alert.evidence.events.first();
            let replaced = settled.iter().chain(&provisional).find(|alert| {
                let start = alert.window_start.min(alert.first_time);
                let lists = |of: &EvidenceEvent| {
                    let is_same = |e: &EvidenceEvent| (&e.object, e.row) == (&of.object, of.row);
                    alert.evidence.events.iter().any(is_same)
                };
                first.is_some_and(lists)
                    || (start..=alert.last_time).contains(&old.alert.first_time)
            });
            told.push(Change {
                state: State::Withdrawn,
                reason: Some(if replaced.is_some() { MOVED } else { GONE }.to_owned()),
                replaced_by: replaced.map(|alert| alert.id.clone()),
                alert: old.alert.clone(),
            });
        }
        for alert in provisional {
            let digest = digest(&alert);
            let known = before.iter().find(|old| old.alert.id == alert.id);
            if known.is_none_or(|old| old.digest != digest) {
                told.push(Change {
                    state: State::Provisional,
                    reason: None,
                    replaced_by: None,
                    alert: alert.clone(),
                });
            }
            after.push(Reported { alert, digest });
        }
        told.extend(settled.into_iter().map(|alert| Change {
            state: State::Final,
            reason: None,
            replaced_by: None,
            alert,
        }));
        if before != after {
            self.changed.insert(key.to_owned());
        }
        if !after.is_empty() {
            self.told.insert(key.to_owned(), after);
        }
    }

    pub(crate) fn waiting(&self, watermark_group: usize) -> impl Iterator<Item = &String> {
        self.waiting.get(&watermark_group).into_iter().flatten()
    }

    pub(crate) fn set_waiting(&mut self, watermark_group: usize, keys: BTreeSet<String>) {
        self.waiting.insert(watermark_group, keys);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Reported> {
        self.told.values().flatten()
    }

    /// Returns what changed since the last call: keys with all that is told of them, as bytes; nothing where that is
    /// nothing.
    pub(crate) fn take_changed(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|key| {
                let told = self.told.get(&key);
                let bytes = told.and_then(|told| postcard::to_allocvec(told).ok());
                (key, bytes)
            })
            .collect()
    }

    /// Takes back what [`Reports::take_changed`] returned.
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
        self.told.insert(key, postcard::from_bytes(bytes)?);
        Ok(())
    }

    /// Takes back what was told of a rule that there is no more.
    pub(crate) fn withdraw(
        &mut self,
        bytes: &[u8],
        key: String,
    ) -> Result<Vec<Change>, postcard::Error> {
        let told: Vec<Reported> = postcard::from_bytes(bytes)?;
        self.changed.insert(key);
        Ok(told
            .into_iter()
            .map(|old| Change {
                state: State::Withdrawn,
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
