//! Alerts that were emitted before they were final.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use yagura_core::{Alert, AlertState, EvidenceEvent};

use crate::change::AlertChange;
use crate::hashing::Hashing;
use crate::spill::{CorrelationError, SpillStore};

/// A provisional alert that was emitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ProvisionalAlert {
    /// The alert as it was emitted last.
    alert: Alert,
    /// Of its content.
    digest: AlertDigest,
}

type AlertDigest = [u8; 16];

/// What was emitted of one key.
#[derive(Debug)]
struct Emitted {
    alerts: Vec<ProvisionalAlert>,
    /// Memory of them and of the key, about, in bytes.
    bytes: usize,
    /// The step in which it changed last.
    touched: u32,
}

/// All provisional alerts that were emitted and are neither final nor withdrawn, by rule and key.
///
/// The store has all of them. Memory has those that changed last, and of all others the digests.
#[derive(Debug)]
pub(crate) struct ProvisionalAlerts {
    emitted: BTreeMap<String, Emitted>,
    /// Of each key that is in the store alone, by its hash, the digests of its alerts.
    spilled: HashMap<u64, Box<[AlertDigest]>>,
    hashing: Hashing,
    /// How many alerts there are, those in the store alone included.
    count: usize,
    /// Memory of those in memory, about.
    bytes: usize,
    /// For each watermark group the keys of which findings wait.
    waiting: BTreeMap<usize, BTreeSet<String>>,
    changed: BTreeSet<String>,
}

const MOVED: &str = "an event that arrived later, and happened earlier, moved its window";
const GONE: &str = "with the events that have arrived since, its condition does not hold";

impl Default for ProvisionalAlerts {
    fn default() -> Self {
        Self {
            emitted: BTreeMap::new(),
            spilled: HashMap::new(),
            hashing: Hashing::random(),
            count: 0,
            bytes: 0,
            waiting: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }
}

impl ProvisionalAlerts {
    /// Sets how keys are hashed, before there is one.
    pub(crate) fn set_hashing(&mut self, hashing: Hashing) {
        self.hashing = hashing;
    }

    /// Emits what is final, new, changed and gone of one key. `step` is the number of the engine's step.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn compare(
        &mut self,
        key: &str,
        (final_alerts, provisional): (Vec<Alert>, Vec<Alert>),
        step: u32,
        store: &mut dyn SpillStore,
        changes: &mut Vec<AlertChange>,
    ) -> Result<(), CorrelationError> {
        let with_digest = |alert| {
            let digest = digest(&alert);
            ProvisionalAlert { alert, digest }
        };
        let after: Vec<ProvisionalAlert> = provisional.into_iter().map(with_digest).collect();
        if final_alerts.is_empty() && self.is_spilled_as(key, &after) {
            return Ok(());
        }
        let before = self.take(key, store)?;
        for old in &before {
            let is = |alert: &&Alert| alert.id == old.alert.id;
            if final_alerts
                .iter()
                .chain(after.iter().map(|new| &new.alert))
                .any(|alert| is(&alert))
            {
                continue;
            }
            // The alert that its first event is part of now.
            let first = old.alert.evidence.events.first();
            let provisional = after.iter().map(|new| &new.alert);
            let replaced = final_alerts.iter().chain(provisional).find(|alert| {
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
        for new in &after {
            let known = before.iter().find(|old| old.alert.id == new.alert.id);
            if known.is_none_or(|old| old.digest != new.digest) {
                changes.push(AlertChange::to(AlertState::Provisional, new.alert.clone()));
            }
        }
        let finals = final_alerts.into_iter();
        changes.extend(finals.map(|alert| AlertChange::to(AlertState::Final, alert)));
        if before != after {
            self.changed.insert(key.to_owned());
        }
        self.put(key.to_owned(), after, step);
        Ok(())
    }

    /// Says whether the alerts of a key are in the store alone, and are these.
    fn is_spilled_as(&self, key: &str, alerts: &[ProvisionalAlert]) -> bool {
        if self.spilled.is_empty() || self.emitted.contains_key(key) {
            return false;
        }
        let stored = self.spilled.get(&self.hashing.of(key));
        // An alert names its key, so those of another key with this hash have other digests.
        stored.is_some_and(|stored| alerts.iter().map(|alert| &alert.digest).eq(stored.iter()))
    }

    /// Takes out what was emitted of a key, from wherever it is.
    fn take(
        &mut self,
        key: &str,
        store: &mut dyn SpillStore,
    ) -> Result<Vec<ProvisionalAlert>, CorrelationError> {
        let mut alerts = Vec::new();
        if let Some(emitted) = self.emitted.remove(key) {
            self.bytes -= emitted.bytes;
            alerts = emitted.alerts;
        } else {
            let hash = self.hashing.of(key);
            if self.spilled.contains_key(&hash)
                && let Some(bytes) = store.provisional(key)?
            {
                let read = postcard::from_bytes(&bytes);
                alerts = read.map_err(|source| CorrelationError::Damaged {
                    node: "alerts".to_owned(),
                    source,
                })?;
                self.spilled.remove(&hash);
            }
        }
        self.count -= alerts.len();
        Ok(alerts)
    }

    fn put(&mut self, key: String, alerts: Vec<ProvisionalAlert>, step: u32) {
        if alerts.is_empty() {
            return;
        }
        let bytes = key.len() + alerts.iter().map(|of| bytes_of(&of.alert)).sum::<usize>();
        self.count += alerts.len();
        self.bytes += bytes;
        let emitted = Emitted {
            alerts,
            bytes,
            touched: step,
        };
        self.emitted.insert(key, emitted);
    }

    /// Forgets the alerts that changed longest ago until those in memory take no more than `most` bytes. What changed must have
    /// been taken for the store before.
    pub(crate) fn evict(&mut self, most: usize) {
        if self.bytes <= most {
            return;
        }
        let entries = self.emitted.iter();
        let mut by_age: Vec<(u32, String)> = entries
            .map(|(key, emitted)| (emitted.touched, key.clone()))
            .collect();
        by_age.sort_unstable();
        for (_, key) in by_age {
            // Half of what fits, so that the next step need not do so again.
            if self.bytes <= most / 2 {
                break;
            }
            let hash = self.hashing.of(&key);
            // Two keys of one hash: the second stays.
            if !self.spilled.contains_key(&hash)
                && let Some(emitted) = self.emitted.remove(&key)
            {
                self.bytes -= emitted.bytes;
                let digests = emitted.alerts.iter().map(|alert| alert.digest);
                self.spilled.insert(hash, digests.collect());
            }
        }
    }

    /// Returns how many alerts there are, those in the store alone included.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns about how many bytes of memory they take.
    pub(crate) fn bytes(&self) -> usize {
        let each = size_of::<(u64, Box<[AlertDigest]>)>() + size_of::<AlertDigest>();
        self.bytes + self.spilled.len() * each
    }

    pub(crate) fn waiting(&self, watermark_group: usize) -> impl Iterator<Item = &String> {
        self.waiting.get(&watermark_group).into_iter().flatten()
    }

    pub(crate) fn set_waiting(&mut self, watermark_group: usize, keys: BTreeSet<String>) {
        self.waiting.insert(watermark_group, keys);
    }

    /// Returns what changed since the last call: keys with all that was emitted of them, as bytes; nothing where that is
    /// nothing.
    pub(crate) fn take_changed(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|key| {
                let emitted = self.emitted.get(&key);
                let bytes = emitted.and_then(|emitted| postcard::to_allocvec(&emitted.alerts).ok());
                (key, bytes)
            })
            .collect()
    }

    /// Takes back what [`ProvisionalAlerts::take_changed`] returned. Over `memory` bytes, what changed longest ago stays in the
    /// store alone.
    pub(crate) fn restore(
        &mut self,
        key: String,
        bytes: &[u8],
        watermark_group: usize,
        memory: usize,
    ) -> Result<(), postcard::Error> {
        self.waiting
            .entry(watermark_group)
            .or_default()
            .insert(key.clone());
        self.put(key, postcard::from_bytes(bytes)?, 0);
        self.evict(memory);
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

/// Returns about how many bytes of memory an emitted alert takes.
fn bytes_of(alert: &Alert) -> usize {
    let text = size_of::<String>();
    let observables = alert.observables.iter();
    let observables = observables.map(|of| 2 * text + of.kind.len() + of.value.len());
    let context = alert.context.iter();
    let context = context.map(|of| 2 * text + of.name.len() + of.value.len());
    let events = alert.evidence.events.iter();
    let events = events.map(|of| size_of::<EvidenceEvent>() + of.object.len() + of.hash.len());
    let tags = alert.tags.iter().map(|tag| text + tag.len());
    let texts = [&alert.id, &alert.rule, &alert.title, &alert.key];
    size_of::<ProvisionalAlert>()
        + texts.iter().map(|text| text.len()).sum::<usize>()
        + observables
            .chain(context)
            .chain(events)
            .chain(tags)
            .sum::<usize>()
}

fn digest(alert: &Alert) -> AlertDigest {
    let bytes = postcard::to_allocvec(alert).unwrap_or_default();
    let hash = Sha256::digest(&bytes);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    digest
}
