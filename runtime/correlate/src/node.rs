//! A correlation, or the windows of alerts, over all of its keys.

use std::collections::BTreeMap;
use std::fmt::Debug;

use hashbrown::HashMap;
use yagura_core::Correlation;
use yagura_core::correlation::{Condition, CorrelationKind, Expression, Window};
use yagura_core::time::parse_duration;

use crate::found::Hit;
use crate::hashing::Hashing;
use crate::operator::absence::Absence;
use crate::operator::any_order::AnyOrder;
use crate::operator::baseline::Baseline;
use crate::operator::change::Change;
use crate::operator::measure::{Measure, What};
use crate::operator::novelty::NewValue;
use crate::operator::rare::Rare;
use crate::operator::sequence::Sequence;
use crate::operator::threshold::Threshold;
use crate::operator::travel::{Geolocation, Travel};
use crate::operator::{MOST_KEPT, Operator};
use crate::shard::{GROUPS, Shard, Spilled, Spoken, group_of};
use crate::window::{AlertWindow, Windows};

/// Groups that one thread works on, with their hits.
type Part<'a, S> = (&'a mut [Shard<S>], Vec<Hits>);

/// Hits with their keys.
type Hits = Vec<(String, Hit)>;

/// Hits of a step from which on groups are worked on side by side.
const WORTH_THREADS: usize = 4_096;

/// An operator over all of its keys, whatever its state is.
pub(crate) trait Node: Send + Debug {
    /// Pushes hits in order of time, then does what is due before `watermark`. Returns what was said, and the keys whose
    /// state changed if `wants_keys`.
    fn settle(&mut self, work: Work) -> (Spoken, Vec<String>);
    /// Says what would be said, had these hits been pushed.
    fn speculate(&self, hits: Vec<(String, Hit)>) -> Spoken;
    /// Returns the hashes of keys on disk that work needs, with their groups, and takes note that they come back.
    fn wanted(&mut self, hits: &[(String, Hit)], watermark: i64) -> Vec<(usize, u64)>;
    fn warm(&mut self, group: usize, keys: Vec<Spilled>, step: u32) -> Result<(), postcard::Error>;
    fn evict(&mut self, most: usize) -> Vec<(usize, Spilled)>;
    fn note_spilled(&mut self, group: usize, hash: u64, due: i64);
    fn delta(&mut self) -> Vec<(usize, Vec<u8>)>;
    /// Takes stored keys back, of those that `takes` names; `is_moved` if they are to be stored anew.
    fn restore(
        &mut self,
        group: usize,
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

/// What a stage has to do in a step.
#[derive(Debug)]
pub(crate) struct Work {
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
pub(crate) struct Keyed<M: Operator> {
    operator: M,
    /// None are made before the first hit: most of thousands of rules never have one.
    groups: Vec<Shard<M::State>>,
    hashing: Hashing,
    started: i64,
}

impl<M: Operator> Debug for Keyed<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyed").finish_non_exhaustive()
    }
}

impl<M: Operator> Keyed<M> {
    pub(crate) fn new(operator: M) -> Self {
        Self {
            operator,
            groups: Vec::new(),
            hashing: Hashing::random(),
            started: i64::MAX,
        }
    }

    fn group(&mut self, group: usize) -> &mut Shard<M::State> {
        self.make_groups();
        &mut self.groups[group % GROUPS]
    }

    fn make_groups(&mut self) {
        if self.groups.is_empty() {
            let hashing = self.hashing;
            self.groups.resize_with(GROUPS, || Shard::new(hashing));
        }
    }

    pub(crate) fn state(&self, key: &str) -> Option<&M::State> {
        self.groups.get(group_of(self.hashing.of(key)))?.state(key)
    }
}

impl Keyed<Windows> {
    pub(crate) fn operator(&self) -> &Windows {
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
        for (key, hits) in by_key(hits) {
            let group = self.groups.get(group_of(self.hashing.of(&key)));
            let group = group.unwrap_or(&empty);
            let (spoken, open) = group.speculate(&self.operator, &key, hits, self.started);
            let ended = spoken.closed.into_iter().map(|(_, window)| window);
            let all = ended.chain((open.count > 0 && open.is_alert()).then_some(open));
            windows.insert(key, all.collect());
        }
        windows
    }
}

fn by_key(hits: Vec<(String, Hit)>) -> BTreeMap<String, Vec<Hit>> {
    let mut by_key: BTreeMap<String, Vec<Hit>> = BTreeMap::new();
    for (key, hit) in hits {
        by_key.entry(key).or_default().push(hit);
    }
    by_key
}

impl<M: Operator> Node for Keyed<M> {
    fn settle(&mut self, work: Work) -> (Spoken, Vec<String>) {
        let mut spoken = Spoken::default();
        let mut keys = Vec::new();
        if work.hits.is_empty() && self.groups.is_empty() {
            return (spoken, keys);
        }
        if let Some((_, first)) = work.hits.first() {
            self.started = self.started.min(first.time);
        }
        self.make_groups();
        if work.wants_keys {
            keys.extend(work.hits.iter().map(|(key, _)| key.clone()));
        }
        let is_large = work.hits.len() >= WORTH_THREADS;
        // A little more than each has on the average: growing would move most of them once more.
        let each = work.hits.len() / GROUPS;
        let each = each + each / 8;
        let mut shares: Vec<Hits> = Vec::new();
        shares.resize_with(GROUPS, || Vec::with_capacity(each));
        for (key, hit) in work.hits {
            shares[group_of(self.hashing.of(&key))].push((key, hit));
        }
        let (operator, started) = (&self.operator, self.started);
        let run = |group: &mut Shard<M::State>, hits: Vec<(String, Hit)>| {
            let mut keys = Vec::new();
            let mut spoken = group.push(operator, hits, started, work.step);
            spoken.append(group.advance(operator, work.watermark, started, &mut keys));
            (spoken, keys)
        };
        let workers = if is_large { work.workers.max(1) } else { 1 };
        let results: Vec<(Spoken, Vec<String>)> = if workers == 1 {
            let groups = self.groups.iter_mut().zip(shares);
            groups.map(|(group, hits)| run(group, hits)).collect()
        } else {
            let share = GROUPS.div_ceil(workers);
            let mut parts: Vec<Part<'_, M::State>> = Vec::new();
            for groups in self.groups.chunks_mut(share) {
                let rest = shares.split_off(groups.len().min(shares.len()));
                parts.push((groups, std::mem::replace(&mut shares, rest)));
            }
            std::thread::scope(|scope| {
                let started: Vec<_> = parts
                    .into_iter()
                    .map(|(groups, shares)| {
                        scope.spawn(|| {
                            let groups = groups.iter_mut().zip(shares);
                            groups
                                .map(|(group, hits)| run(group, hits))
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
            spoken.append(part);
            if work.wants_keys {
                keys.extend(touched);
            }
        }
        (spoken, keys)
    }

    fn speculate(&self, hits: Vec<(String, Hit)>) -> Spoken {
        let mut all = Spoken::default();
        let first = hits.first().map_or(i64::MAX, |(_, hit)| hit.time);
        let started = self.started.min(first);
        let empty = Shard::new(self.hashing);
        for (key, hits) in by_key(hits) {
            let group = self.groups.get(group_of(self.hashing.of(&key)));
            let group = group.unwrap_or(&empty);
            all.append(group.speculate(&self.operator, &key, hits, started).0);
        }
        all
    }

    fn wanted(&mut self, hits: &[(String, Hit)], watermark: i64) -> Vec<(usize, u64)> {
        let mut wanted = Vec::new();
        if self.groups.iter().all(|group| group.spilled_len() == 0) {
            return wanted;
        }
        for (key, _) in hits {
            let hash = self.hashing.of(key);
            let group = group_of(hash);
            if self.groups[group].take_spilled(hash) {
                wanted.push((group, hash));
            }
        }
        for (number, group) in self.groups.iter_mut().enumerate() {
            let due = group.take_due(watermark).into_iter();
            wanted.extend(due.map(|hash| (number, hash)));
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    fn warm(&mut self, group: usize, keys: Vec<Spilled>, step: u32) -> Result<(), postcard::Error> {
        self.make_groups();
        self.groups[group % GROUPS].warm(&self.operator, keys, step)
    }

    fn evict(&mut self, most: usize) -> Vec<(usize, Spilled)> {
        let mut moved = Vec::new();
        for (number, group) in self.groups.iter_mut().enumerate() {
            let of_group = group.evict(&self.operator, most / GROUPS);
            moved.extend(of_group.into_iter().map(|spilled| (number, spilled)));
        }
        moved
    }

    fn note_spilled(&mut self, group: usize, hash: u64, due: i64) {
        self.group(group).note_spilled(hash, due);
    }

    fn delta(&mut self) -> Vec<(usize, Vec<u8>)> {
        let groups = self.groups.iter_mut().enumerate();
        groups
            .filter_map(|(number, group)| Some((number, group.delta()?)))
            .collect()
    }

    fn restore(
        &mut self,
        group: usize,
        bytes: &[u8],
        takes: &dyn Fn(&str) -> bool,
        is_moved: bool,
    ) -> Result<(), postcard::Error> {
        self.make_groups();
        let group = &mut self.groups[group % GROUPS];
        group.restore(&self.operator, bytes, takes)?;
        if is_moved {
            group.mark_all();
        }
        Ok(())
    }

    fn set_hashing(&mut self, hashing: Hashing) {
        self.hashing = hashing;
    }

    fn size(&self) -> Size {
        let mut size = Size::default();
        for group in &self.groups {
            size.add(Size {
                keys: group.len(),
                spilled: group.spilled_len(),
                bytes: group.bytes(),
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

/// Makes the stage of a correlation. `places` are for `travel` without coordinates in the events.
pub(crate) fn stage(
    correlation: &Correlation,
    geolocation: Option<&Geolocation>,
) -> Result<Box<dyn Node>, String> {
    use CorrelationKind as Kind;
    let micros = |text: &Option<String>| text.as_deref().and_then(|text| parse_duration(text).ok());
    let within = correlation.within_micros();
    let condition = correlation.condition.unwrap_or_default();
    let measured = || {
        let mut names: Vec<String> = correlation.field.iter().cloned().collect();
        names.extend(correlation.fields.iter().cloned());
        names
    };
    let measure = |what| -> Box<dyn Node> {
        let is_session = correlation.kind == Kind::Session;
        let window = if is_session {
            Window::Session
        } else {
            correlation.window
        };
        // A count only grows while a window lasts; a mean that is high now may be low when it ends.
        let may_fall = matches!(what, What::Avg | What::Percentile(_)) && window != Window::Sliding;
        Box::new(Keyed::new(Measure {
            what,
            window,
            within,
            gap: micros(&correlation.gap).unwrap_or(within),
            at_close: is_session || may_fall || !condition.is_lower_bound(),
            condition,
        }))
    };
    let threshold = match (correlation.kind, correlation.window) {
        (Kind::Count, Window::Sliding) => Threshold::new(condition, within, MOST_KEPT),
        _ => None,
    };
    if let Some(threshold) = threshold {
        return Ok(Box::new(Keyed::new(threshold)));
    }
    Ok(match correlation.kind {
        Kind::Count | Kind::Session => measure(What::Count),
        Kind::Distinct if correlation.approximate => measure(What::About),
        Kind::Distinct => measure(What::Distinct),
        Kind::Sum => measure(What::Sum),
        Kind::Avg => measure(What::Avg),
        Kind::Percentile => measure(What::Percentile(
            correlation.percentile.unwrap_or(50.0) / 100.0,
        )),
        Kind::Sequence | Kind::Stages => Box::new(Keyed::new(Sequence {
            steps_of: steps_of(correlation),
            steps: correlation.rules.len(),
            within,
            step_within: micros(&correlation.step_within).unwrap_or(i64::MAX),
            severities: correlation.severities.clone(),
        })),
        Kind::AnyOrder => {
            let all = (0..correlation.rules.len()).map(Expression::Rule).collect();
            let expression = match &correlation.expression {
                Some(text) => Expression::parse(text, &correlation.rules)?,
                None => Expression::And(all),
            };
            Box::new(Keyed::new(AnyOrder {
                within,
                at_close: expression.has_not() || !condition.is_lower_bound(),
                expression,
                condition: correlation.condition,
            }))
        }
        Kind::Absence => Box::new(Keyed::new(Absence {
            within,
            is_same: correlation.rules.len() == 1,
        })),
        Kind::NewValue => Box::new(Keyed::new(NewValue {
            within,
            learn: micros(&correlation.learn).unwrap_or(0),
            field: measured().join("|"),
        })),
        Kind::Rare => Box::new(Keyed::new(Rare {
            within,
            learn: micros(&correlation.learn).unwrap_or(within),
            condition: correlation.condition.unwrap_or(Condition {
                lte: Some(1.0),
                ..Condition::default()
            }),
            field: measured().join("|"),
        })),
        Kind::Change => Box::new(Keyed::new(Change {
            within,
            fields: correlation.fields.clone(),
        })),
        Kind::Spike | Kind::Flatline => {
            let is_spike = correlation.kind == Kind::Spike;
            let baseline = micros(&correlation.baseline).unwrap_or(within);
            Box::new(Keyed::new(Baseline {
                within,
                windows: (baseline / within.max(1)).max(1),
                factor: correlation
                    .factor
                    .unwrap_or(if is_spike { 3.0 } else { 0.1 }),
                minimum: correlation.minimum.unwrap_or(10),
                is_spike,
            }))
        }
        Kind::Travel => {
            let has_coordinates = correlation.latitude.is_some();
            if !has_coordinates && geolocation.is_none() {
                return Err("needs to know where addresses are: name a file of geolocation with `geoip`, or in the configuration".to_owned());
            }
            Box::new(Keyed::new(Travel {
                geolocation: geolocation.filter(|_| !has_coordinates).cloned(),
                within,
                max_speed_kmh: correlation.max_speed_kmh.unwrap_or(900.0),
                min_distance_km: correlation.min_distance_km.unwrap_or(100.0),
            }))
        }
    })
}

/// Returns for each entry of `rules` the steps that a finding under it can be: all entries of the same name.
fn steps_of(correlation: &Correlation) -> Vec<Vec<usize>> {
    let steps_of_entry = |name: &String| {
        let rules = correlation.rules.iter().enumerate();
        rules
            .filter(|(_, rule)| *rule == name)
            .map(|(step, _)| step)
            .collect()
    };
    correlation.rules.iter().map(steps_of_entry).collect()
}
