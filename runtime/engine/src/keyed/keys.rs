//! The keys of one rule with what is kept of each: in memory as bytes, or on disk only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use yagura_core::Timestamp;
use yagura_correlate::Size;
use yagura_correlate::store::DetectorKeys;

use super::bytes::{self, StoredError};
use super::key::{KeyRecord, SWEEP_INTERVAL, boundary};

/// Memory of a key besides its name and its state, about.
const OF_A_KEY: usize = 128;

/// Memory of a key that is on disk only, about.
const OF_A_KEY_ON_DISK: usize = 64;

/// How much a rule may remember.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyLimits {
    pub(super) keys: usize,
    /// Of the names and states of all keys.
    pub(super) bytes: u64,
    /// The most that one key takes of them.
    pub(super) each: u64,
}

/// What is known of a key without its state.
#[derive(Debug, Clone, Copy)]
struct KeySummary {
    /// When its last event was, in microseconds.
    seen: i64,
    /// From when on nothing is left of it.
    ends: i64,
    /// Bytes of its name and its state.
    weight: u32,
}

/// A key in memory.
#[derive(Debug)]
struct StoredKey {
    bytes: Box<[u8]>,
    mark: KeySummary,
    /// When something comes without an event, if it has wake-ups.
    due: Option<i64>,
}

impl StoredKey {
    fn of(name: &str, key: &KeyRecord, bytes: Box<[u8]>, state_for: i64) -> Self {
        let by_events = Timestamp::clamped(key.seen).saturating_add(state_for);
        let entries = key.state.entries.values();
        // What has expired is dropped at full hours. After all of it nothing is left.
        let expired = entries
            .map(|entry| entry.expires)
            .try_fold(Timestamp::MIN, |latest: Timestamp, expires| {
                Some(latest.max(expires?))
            });
        let expired = expired.map(|latest| match boundary(latest) {
            hour if hour == latest => hour,
            hour => hour.saturating_add(SWEEP_INTERVAL),
        });
        let wake = key.state.wakes.first().copied();
        let ends = match (wake, expired) {
            (None, Some(expired)) => by_events.min(expired),
            _ => by_events,
        };
        let weight = name.len() as u64 + key.state.bytes();
        Self {
            bytes,
            mark: KeySummary {
                seen: key.seen,
                ends: ends.micros(),
                weight: u32::try_from(weight).unwrap_or(u32::MAX),
            },
            due: wake.map(|wake| wake.min(by_events).micros()),
        }
    }

    fn memory(&self, name: &str) -> usize {
        let of_due = if self.due.is_some() { 64 } else { 0 };
        OF_A_KEY + name.len() + self.bytes.len() + of_due
    }
}

/// What was forgotten because a rule remembered too much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ForgottenKeys {
    pub(super) keys: u64,
    /// When the last of them had its last event, in microseconds.
    pub(super) last: i64,
    /// Whether it was their bytes that were too many.
    pub(super) is_of_bytes: bool,
}

impl ForgottenKeys {
    /// Adds what was forgotten later.
    pub(super) fn add(&mut self, later: Self) {
        self.keys += later.keys;
        self.last = later.last;
        self.is_of_bytes = later.is_of_bytes;
    }
}

/// The keys of one rule.
#[derive(Debug, Default)]
pub(super) struct RuleKeys {
    known: HashMap<Arc<str>, StoredKey>,
    due: BTreeSet<(i64, Arc<str>)>,
    /// Keys that changed since they were handed out last.
    changed: BTreeSet<Arc<str>>,
    /// Keys that are on disk only, by hash.
    on_disk: HashMap<u64, KeySummary>,
    /// When something comes for them without an event; also for keys that have come back since.
    due_on_disk: BTreeSet<(i64, u64)>,
    /// Those of them that are gone since they were handed out last.
    gone: Vec<u64>,
    weight: u64,
    memory: usize,
}

impl RuleKeys {
    pub(super) fn len(&self) -> usize {
        self.known.len() + self.on_disk.len()
    }

    pub(super) fn size(&self) -> Size {
        Size {
            keys: self.known.len(),
            spilled: self.on_disk.len(),
            bytes: self.memory(),
        }
    }

    /// Returns how much memory the keys take, about.
    pub(super) fn memory(&self) -> usize {
        self.memory + self.on_disk.len() * OF_A_KEY_ON_DISK
    }

    /// Returns whether keys are on disk only.
    pub(super) fn are_on_disk(&self) -> bool {
        !self.on_disk.is_empty()
    }

    /// Returns whether something is kept of a key.
    pub(super) fn has(&self, name: &str, disk: Option<&DetectorKeys>) -> bool {
        self.known.contains_key(name)
            || disk.is_some_and(|disk| {
                !self.on_disk.is_empty() && self.on_disk.contains_key(&disk.hash(name))
            })
    }

    /// Returns whether so many keys more, and so many that may grow, stay within the limits.
    pub(super) fn have_room(&self, limits: KeyLimits, new: usize, touched: usize) -> bool {
        let growth = (touched as u64).saturating_mul(limits.each);
        self.len().saturating_add(new) <= limits.keys
            && self.weight.saturating_add(growth) <= limits.bytes
    }

    /// Returns what is kept of a key that is in memory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn get(&self, name: &str) -> Result<Option<KeyRecord>, StoredError> {
        let kept = self.known.get(name);
        kept.map(|kept| bytes::read_key(&kept.bytes, kept.mark.seen))
            .transpose()
    }

    /// Keeps a key, unless there is nothing to keep.
    pub(super) fn set(
        &mut self,
        name: &str,
        key: &KeyRecord,
        state_for: i64,
    ) -> Result<(), StoredError> {
        let was_kept = self.remove(name);
        if key.state.is_empty() {
            if let Some(name) = was_kept {
                self.changed.insert(name);
            }
            return Ok(());
        }
        let bytes = bytes::key(key)?;
        let name = was_kept.unwrap_or_else(|| name.into());
        let kept = StoredKey::of(&name, key, bytes.into(), state_for);
        self.insert(Arc::clone(&name), kept);
        self.changed.insert(name);
        Ok(())
    }

    /// Restores a key that is stored.
    ///
    /// # Errors
    /// When its bytes are damaged.
    pub(super) fn restore(
        &mut self,
        name: &str,
        bytes: &[u8],
        watermark: i64,
        state_for: i64,
    ) -> Result<(), StoredError> {
        let key = bytes::read_key(bytes, watermark)?;
        let kept = StoredKey::of(name, &key, bytes.into(), state_for);
        self.remove(name);
        self.insert(name.into(), kept);
        Ok(())
    }

    /// Records a key that is stored, and leaves it on disk. Returns false where another one has its hash.
    ///
    /// # Errors
    /// When its bytes are damaged.
    pub(super) fn leave(
        &mut self,
        name: &str,
        hash: u64,
        bytes: &[u8],
        watermark: i64,
        state_for: i64,
    ) -> Result<bool, StoredError> {
        if self.on_disk.contains_key(&hash) {
            return Ok(false);
        }
        let key = bytes::read_key(bytes, watermark)?;
        let kept = StoredKey::of(name, &key, Box::default(), state_for);
        self.note(hash, kept.mark, kept.due);
        Ok(true)
    }

    fn note(&mut self, hash: u64, mark: KeySummary, due: Option<i64>) {
        self.weight += u64::from(mark.weight);
        self.on_disk.insert(hash, mark);
        if let Some(due) = due {
            self.due_on_disk.insert((due, hash));
        }
    }

    fn insert(&mut self, name: Arc<str>, kept: StoredKey) {
        self.weight += u64::from(kept.mark.weight);
        self.memory += kept.memory(&name);
        if let Some(due) = kept.due {
            self.due.insert((due, Arc::clone(&name)));
        }
        self.known.insert(name, kept);
    }

    fn remove(&mut self, name: &str) -> Option<Arc<str>> {
        let (name, kept) = self.known.remove_entry(name)?;
        self.weight -= u64::from(kept.mark.weight);
        self.memory -= kept.memory(&name);
        if let Some(due) = kept.due {
            self.due.remove(&(due, Arc::clone(&name)));
        }
        Some(name)
    }

    /// Returns the keys in memory for which something comes before a time without an event.
    pub(super) fn due_before(&self, time: i64) -> impl Iterator<Item = &Arc<str>> {
        let due = self.due.iter().take_while(move |(due, _)| *due < time);
        due.map(|(_, name)| name)
    }

    /// Returns how many keys there are for which something comes before a time without an event, at most.
    pub(super) fn count_due(&self, time: i64) -> usize {
        let on_disk = self.due_on_disk.iter();
        self.due_before(time).count() + on_disk.take_while(|(due, _)| *due < time).count()
    }

    /// Restores from disk these keys, and those for which something comes before a time without an event.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn warm<'a>(
        &mut self,
        rule: &str,
        names: impl Iterator<Item = &'a String>,
        time: i64,
        (watermark, state_for): (i64, i64),
        disk: &DetectorKeys,
    ) -> Result<(), StoredError> {
        if self.on_disk.is_empty() {
            return Ok(());
        }
        let mut wanted = Vec::new();
        for name in names {
            if !self.known.contains_key(name.as_str()) {
                wanted.push(disk.hash(name));
            }
        }
        while let Some((due, hash)) = self.due_on_disk.first().copied()
            && due < time
        {
            self.due_on_disk.remove(&(due, hash));
            wanted.push(hash);
        }
        for hash in wanted {
            let Some(mark) = self.on_disk.remove(&hash) else {
                continue;
            };
            self.weight -= u64::from(mark.weight);
            let stored = disk.read(rule, hash)?;
            if stored.is_empty() {
                return Err(StoredError::Missing(rule.to_owned()));
            }
            for (name, bytes) in stored {
                if !self.known.contains_key(name.as_str()) {
                    self.restore(&name, &bytes, watermark, state_for)
                        .map_err(|source| StoredError::OnDisk {
                            rule: rule.to_owned(),
                            source: Box::new(source),
                        })?;
                }
            }
        }
        Ok(())
    }

    /// Drops the keys of which nothing is left by then.
    pub(super) fn sweep(&mut self, time: Timestamp) {
        let time = time.micros();
        self.drop_where(|mark| mark.ends <= time);
    }

    /// Drops the keys whose last events were longest ago until the rest is well within the limits. Keys that had their last
    /// events at one time go together.
    pub(super) fn forget(&mut self, limits: KeyLimits) -> Option<ForgottenKeys> {
        let is_of_bytes = self.weight > limits.bytes;
        if self.len() <= limits.keys && !is_of_bytes {
            return None;
        }
        let known = self.known.values().map(|kept| kept.mark);
        let marks = known.chain(self.on_disk.values().copied());
        let mut marks: Vec<(i64, u32)> = marks.map(|mark| (mark.seen, mark.weight)).collect();
        marks.sort_unstable();
        // An eighth more than need be, so that this is not done for each key.
        let (keys, bytes) = (
            limits.keys - limits.keys / 8,
            limits.bytes - limits.bytes / 8,
        );
        let (mut left, mut weight, mut last) = (marks.len(), self.weight, i64::MIN);
        for (seen, of_key) in marks {
            if left <= keys && weight <= bytes {
                break;
            }
            left -= 1;
            weight -= u64::from(of_key);
            last = seen;
        }
        let before = self.len();
        self.drop_where(|mark| mark.seen <= last);
        Some(ForgottenKeys {
            keys: (before - self.len()) as u64,
            last,
            is_of_bytes,
        })
    }

    fn drop_where(&mut self, is_over: impl Fn(&KeySummary) -> bool) {
        let over = self.known.iter().filter(|(_, kept)| is_over(&kept.mark));
        let over: Vec<Arc<str>> = over.map(|(name, _)| Arc::clone(name)).collect();
        for name in over {
            self.remove(&name);
            self.changed.insert(name);
        }
        let (gone, weight) = (&mut self.gone, &mut self.weight);
        self.on_disk.retain(|hash, mark| {
            let is_over = is_over(mark);
            if is_over {
                gone.push(*hash);
                *weight -= u64::from(mark.weight);
            }
            !is_over
        });
    }

    /// Returns the keys that changed since the last call, with what is kept of them, and the hashes of those that are gone
    /// and were on disk only.
    pub(super) fn take_changes(&mut self) -> (BTreeMap<String, Option<Vec<u8>>>, Vec<u64>) {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let changed = changed.map(|name| {
            let kept = self.known.get(&name);
            (name.to_string(), kept.map(|kept| kept.bytes.to_vec()))
        });
        (changed.collect(), std::mem::take(&mut self.gone))
    }

    /// Leaves keys that are stored as they are on disk only, those first whose last events were longest ago, until the rest
    /// takes no more than `most` bytes.
    pub(super) fn evict(&mut self, most: usize, disk: &DetectorKeys) {
        let known = self.known.iter();
        let known = known.filter(|(name, _)| !self.changed.contains(*name));
        let mut by_age: Vec<(i64, Arc<str>)> = known
            .map(|(name, kept)| (kept.mark.seen, Arc::clone(name)))
            .collect();
        by_age.sort_unstable();
        for (_, name) in by_age {
            if self.memory <= most {
                break;
            }
            let hash = disk.hash(&name);
            let Some(kept) = self.known.get(&name) else {
                continue;
            };
            // Two keys with one hash cannot be told apart there.
            if self.on_disk.contains_key(&hash) {
                continue;
            }
            let (mark, due) = (kept.mark, kept.due);
            self.remove(&name);
            self.note(hash, mark, due);
        }
        self.known.shrink_to_fit();
    }
}
