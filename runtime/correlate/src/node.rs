//! A correlation, or the windows of alerts, over all of its keys.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::vec::Drain;

use hashbrown::HashMap;

use crate::alert_window::AlertWindow;
use crate::alert_windows::AlertWindows;
use crate::hashing::Hashing;
use crate::hit::Hit;
use crate::operator::Operator;
use crate::shard::{SHARDS, Shard, ShardOutput, Spilled, shard_of};

/// Shards that one thread works on, with their hits.
type ShardsWithHits<'a, S> = (&'a mut [Shard<S>], Vec<KeyedHits>);

/// Hits with their keys.
type KeyedHits = Vec<(String, Hit)>;

/// Hits of a step from which on shards are worked on side by side.
const WORTH_THREADS: usize = 4_096;

/// An operator over all of its keys, whatever its state is.
pub(crate) trait CorrelationNode: Send + Debug {
    /// Pushes hits in order of time, then does what is due before `watermark`. Returns the output, and the keys whose
    /// state changed if `wants_keys`.
    fn process(&mut self, work: NodeWork) -> (ShardOutput, Vec<String>);
    /// Returns what the output would be, had these hits been pushed.
    fn speculate(&self, hits: Vec<(String, Hit)>) -> ShardOutput;
    /// Returns the hashes of keys on disk that work needs, with their shards, and takes note that they come back.
    fn wanted(&mut self, hits: &[(String, Hit)], watermark: i64) -> Vec<(usize, u64)>;
    fn load_spilled(
        &mut self,
        shard: usize,
        keys: Vec<Spilled>,
        step: u32,
    ) -> Result<(), postcard::Error>;
    fn evict(&mut self, most: usize) -> Vec<(usize, Spilled)>;
    fn note_spilled(&mut self, shard: usize, hash: u64, due: i64);
    fn delta(&mut self) -> Vec<(usize, Vec<u8>)>;
    /// Takes stored keys back, of those that `takes` names; `is_moved` if they are to be stored anew.
    fn restore(
        &mut self,
        shard: usize,
        bytes: &[u8],
        takes: &dyn Fn(&str) -> bool,
        is_moved: bool,
    ) -> Result<(), postcard::Error>;
    /// Sets how keys are hashed, before there is one.
    fn set_hashing(&mut self, hashing: Hashing);
    fn size(&self) -> Size;
    fn started(&self) -> i64;
    fn set_started(&mut self, started: i64);
}

/// What a node has to do in a step.
#[derive(Debug)]
pub(crate) struct NodeWork {
    pub(crate) hits: Vec<(String, Hit)>,
    pub(crate) watermark: i64,
    pub(crate) workers: usize,
    pub(crate) step: u32,
    pub(crate) wants_keys: bool,
}

/// How much state there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Keys in memory.
    pub keys: usize,
    /// Keys on disk.
    pub spilled: usize,
    /// Memory of states, about, in bytes.
    pub bytes: usize,
}

impl Size {
    pub(crate) fn add(&mut self, other: Self) {
        self.keys += other.keys;
        self.spilled += other.spilled;
        self.bytes += other.bytes;
    }
}

/// An operator with the states of its keys.
pub(crate) struct KeyedNode<O: Operator> {
    operator: O,
    /// None are made before the first hit: most of thousands of rules never have one.
    shards: Vec<Shard<O::State>>,
    hashing: Hashing,
    started: i64,
}

impl<O: Operator> Debug for KeyedNode<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyedNode").finish_non_exhaustive()
    }
}

impl<O: Operator> KeyedNode<O> {
    pub(crate) fn new(operator: O) -> Self {
        Self {
            operator,
            shards: Vec::new(),
            hashing: Hashing::random(),
            started: i64::MAX,
        }
    }

    fn shard(&mut self, shard: usize) -> &mut Shard<O::State> {
        self.make_shards();
        &mut self.shards[shard % SHARDS]
    }

    fn make_shards(&mut self) {
        if self.shards.is_empty() {
            let hashing = self.hashing;
            self.shards.resize_with(SHARDS, || Shard::new(hashing));
        }
    }

    pub(crate) fn state(&self, key: &str) -> Option<&O::State> {
        self.shards.get(shard_of(self.hashing.of(key)))?.state(key)
    }
}

impl KeyedNode<AlertWindows> {
    pub(crate) fn operator(&self) -> &AlertWindows {
        &self.operator
    }

    /// Holds rules back, by id, at times of their own.
    pub(crate) fn hold(&mut self, held: HashMap<String, i64>) {
        self.operator.held = held;
    }

    /// Returns for each key that has hits the windows that it would have: those that would have ended, and the open one.
    pub(crate) fn speculate_windows(
        &self,
        hits: Vec<(String, Hit)>,
    ) -> BTreeMap<String, Vec<AlertWindow>> {
        let mut windows: BTreeMap<String, Vec<AlertWindow>> = BTreeMap::new();
        let empty = Shard::new(self.hashing);
        for_each_key(hits, |key, hits| {
            let shard = self.shards.get(shard_of(self.hashing.of(&key)));
            let shard = shard.unwrap_or(&empty);
            let (output, open) = shard.speculate(&self.operator, &key, hits, self.started);
            let ended = output.closed.into_iter().map(|(_, window)| window);
            let all = ended.chain((open.count > 0 && open.is_alert()).then_some(open));
            windows.insert(key, all.collect());
        });
        windows
    }
}

/// Calls `each` with each key and its hits, in order of the keys. Hits of one key stay in their order. No second copy of the hits
/// is made: each step does this with all that wait, and most keys may have one.
fn for_each_key(mut hits: KeyedHits, mut each: impl FnMut(String, Drain<'_, Hit>)) {
    hits.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut of_key: Vec<Hit> = Vec::new();
    let mut hits = hits.into_iter().peekable();
    while let Some((key, hit)) = hits.next() {
        of_key.push(hit);
        if hits.peek().is_none_or(|(next, _)| *next != key) {
            each(key, of_key.drain(..));
        }
    }
}

impl<O: Operator> CorrelationNode for KeyedNode<O> {
    fn process(&mut self, work: NodeWork) -> (ShardOutput, Vec<String>) {
        let mut output = ShardOutput::default();
        let mut keys = Vec::new();
        if work.hits.is_empty() && self.shards.is_empty() {
            return (output, keys);
        }
        if let Some((_, first)) = work.hits.first() {
            self.started = self.started.min(first.time);
        }
        self.make_shards();
        if work.wants_keys {
            keys.extend(work.hits.iter().map(|(key, _)| key.clone()));
        }
        let is_large = work.hits.len() >= WORTH_THREADS;
        // A little more than each has on the average: growing would move most of them once more.
        let each = work.hits.len() / SHARDS;
        let each = each + each / 8;
        let mut hits_of_shards: Vec<KeyedHits> = Vec::new();
        hits_of_shards.resize_with(SHARDS, || Vec::with_capacity(each));
        for (key, hit) in work.hits {
            hits_of_shards[shard_of(self.hashing.of(&key))].push((key, hit));
        }
        let (operator, started) = (&self.operator, self.started);
        let run = |shard: &mut Shard<O::State>, hits: Vec<(String, Hit)>| {
            let mut keys = Vec::new();
            let mut output = shard.push(operator, hits, started, work.step);
            output.append(shard.advance(operator, work.watermark, started, &mut keys));
            (output, keys)
        };
        let workers = if is_large { work.workers.max(1) } else { 1 };
        let results: Vec<(ShardOutput, Vec<String>)> = if workers == 1 {
            let shards = self.shards.iter_mut().zip(hits_of_shards);
            shards.map(|(shard, hits)| run(shard, hits)).collect()
        } else {
            let shard = SHARDS.div_ceil(workers);
            let mut parts: Vec<ShardsWithHits<'_, O::State>> = Vec::new();
            for shards in self.shards.chunks_mut(shard) {
                let rest = hits_of_shards.split_off(shards.len().min(hits_of_shards.len()));
                parts.push((shards, std::mem::replace(&mut hits_of_shards, rest)));
            }
            std::thread::scope(|scope| {
                let started: Vec<_> = parts
                    .into_iter()
                    .map(|(shards, hits_of_shards)| {
                        scope.spawn(|| {
                            let shards = shards.iter_mut().zip(hits_of_shards);
                            shards
                                .map(|(shard, hits)| run(shard, hits))
                                .collect::<Vec<_>>()
                        })
                    })
                    .collect();
                let joined = started.into_iter().map(|thread| thread.join());
                joined
                    .flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            })
        };
        for (part, touched) in results {
            output.append(part);
            if work.wants_keys {
                keys.extend(touched);
            }
        }
        (output, keys)
    }

    fn speculate(&self, hits: Vec<(String, Hit)>) -> ShardOutput {
        let mut all = ShardOutput::default();
        let first = hits.first().map_or(i64::MAX, |(_, hit)| hit.time);
        let started = self.started.min(first);
        let empty = Shard::new(self.hashing);
        for_each_key(hits, |key, hits| {
            let shard = self.shards.get(shard_of(self.hashing.of(&key)));
            let shard = shard.unwrap_or(&empty);
            all.append(shard.speculate(&self.operator, &key, hits, started).0);
        });
        all
    }

    fn wanted(&mut self, hits: &[(String, Hit)], watermark: i64) -> Vec<(usize, u64)> {
        let mut wanted = Vec::new();
        if self.shards.iter().all(|shard| shard.spilled_len() == 0) {
            return wanted;
        }
        for (key, _) in hits {
            let hash = self.hashing.of(key);
            let shard = shard_of(hash);
            if self.shards[shard].take_spilled(hash) {
                wanted.push((shard, hash));
            }
        }
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let due = shard.take_due(watermark).into_iter();
            wanted.extend(due.map(|hash| (number, hash)));
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    fn load_spilled(
        &mut self,
        shard: usize,
        keys: Vec<Spilled>,
        step: u32,
    ) -> Result<(), postcard::Error> {
        self.make_shards();
        self.shards[shard % SHARDS].load_spilled(&self.operator, keys, step)
    }

    fn evict(&mut self, most: usize) -> Vec<(usize, Spilled)> {
        let mut moved = Vec::new();
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let of_shard = shard.evict(&self.operator, most / SHARDS);
            moved.extend(of_shard.into_iter().map(|spilled| (number, spilled)));
        }
        moved
    }

    fn note_spilled(&mut self, shard: usize, hash: u64, due: i64) {
        self.shard(shard).note_spilled(hash, due);
    }

    fn delta(&mut self) -> Vec<(usize, Vec<u8>)> {
        let shards = self.shards.iter_mut().enumerate();
        shards
            .filter_map(|(number, shard)| Some((number, shard.delta()?)))
            .collect()
    }

    fn restore(
        &mut self,
        shard: usize,
        bytes: &[u8],
        takes: &dyn Fn(&str) -> bool,
        is_moved: bool,
    ) -> Result<(), postcard::Error> {
        self.make_shards();
        let shard = &mut self.shards[shard % SHARDS];
        shard.restore(&self.operator, bytes, takes)?;
        if is_moved {
            shard.mark_all();
        }
        Ok(())
    }

    fn set_hashing(&mut self, hashing: Hashing) {
        self.hashing = hashing;
    }

    fn size(&self) -> Size {
        let mut size = Size::default();
        for shard in &self.shards {
            size.add(Size {
                keys: shard.len(),
                spilled: shard.spilled_len(),
                bytes: shard.bytes(),
            });
        }
        size
    }

    fn started(&self) -> i64 {
        self.started
    }

    fn set_started(&mut self, started: i64) {
        self.started = started;
    }
}
