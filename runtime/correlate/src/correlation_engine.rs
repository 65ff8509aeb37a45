//! The fold: findings in, alerts out, over event time.
//!
//! ```text
//! findings ─▶ pending, by watermark group ─ watermark ─▶ in order of time ─▶ correlations, chained ─▶ windows ─▶ final alerts
//!                     └──────────── speculation: the same, on copies of the states ───────▶ provisional alerts
//! ```
//!
//! What is final is a function of the findings in event-time order. How they arrive, in which steps, and how many threads
//! work decides only when.

mod hold;
mod say;
mod tell;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
pub use types::{
    Change, CorrelationOptions, Counters, NoSpill, SpillStore, SpilledKey, State, StepOutput,
    Watermark,
};
use yagura_core::rule::Report;
use yagura_core::{Finding, Rule, key};

use crate::correlation_engine::hold::Hold;
use crate::found::{Found, Hit, Kept, Objects};
use crate::graph::{Graph, GraphError, Source};
use crate::hashing::Hashing;
use crate::node::{Keyed, Node, Size, Work, stage};
use crate::provisional::{Reported, Reports};
use crate::shard::Spilled;
use crate::window::{AlertWindow, Policy, Windows};

/// Windows of alerts that ended, with their keys.
type Ended = Vec<(String, AlertWindow)>;

/// Rules with what they remember.
#[derive(Debug)]
pub struct CorrelationEngine {
    pub(crate) rules: Vec<Arc<Rule>>,
    /// Their indexes, by id.
    pub(crate) index_of: HashMap<String, usize>,
    pub(crate) graph: Graph,
    /// In the order of the graph.
    pub(crate) stages: Vec<Box<dyn Node>>,
    /// For each rule the stages that take its findings.
    routes: Vec<Vec<(usize, Source)>>,
    pub(crate) watermark_groups: Vec<WatermarkGroup>,
    pub(crate) hold: Hold,
    pub(crate) objects: Objects,
    pub(crate) reports: Reports,
    options: CorrelationOptions,
    pub(crate) step: u32,
    /// The longest time that a finding can matter.
    pub(crate) horizon: i64,
}

/// Rules whose findings may meet, and the tables that they read.
#[derive(Debug)]
pub(crate) struct WatermarkGroup {
    pub(crate) tables: Vec<String>,
    /// Everything before it has been folded.
    pub(crate) watermark: i64,
    pub(crate) pending: Vec<Found>,
    /// Of them, at the end, those that came since the last checkpoint.
    pub(crate) fresh: usize,
    pub(crate) windows: Keyed<Windows>,
    /// Whether its speculation is out of date.
    pub(crate) is_stale: bool,
}

impl CorrelationEngine {
    /// Makes a correlation engine of these rules that remembers nothing.
    ///
    /// # Errors
    /// [`GraphError`]: a correlation that does not fit the others.
    pub fn new(rules: Vec<Arc<Rule>>, options: CorrelationOptions) -> Result<Self, GraphError> {
        let graph = Graph::new(&rules)?;
        let mut stages = Vec::with_capacity(graph.order.len());
        let mut routes: Vec<Vec<(usize, Source)>> = vec![Vec::new(); rules.len()];
        let mut horizon: i64 = 0;
        for (number, node) in graph.order.iter().enumerate() {
            let rule = &rules[node.rule];
            let Some(correlation) = &rule.correlation else {
                continue;
            };
            let places = options.geolocation.get(&rule.id);
            let places = places.or_else(|| options.geolocation.get(""));
            let made = stage(correlation, places).map_err(|message| GraphError {
                rule: node.rule,
                key: "correlation",
                message,
            })?;
            stages.push(made);
            for source in &node.sources {
                routes[source.rule].push((number, source.clone()));
            }
            horizon = horizon.saturating_add(longest(rule));
        }
        let policies: Vec<Policy> = rules
            .iter()
            .map(|rule| Policy {
                length: rule.alert.window_micros(),
                threshold: rule.alert.threshold,
                severity: rule.severity,
            })
            .collect();
        let windows = policies.iter().map(|policy| policy.length).max();
        let watermark_groups = graph.watermark_groups.iter().map(|tables| WatermarkGroup {
            tables: tables.clone(),
            watermark: i64::MIN,
            pending: Vec::new(),
            fresh: 0,
            windows: Keyed::new(Windows {
                policies: policies.clone(),
                held: HashMap::new(),
            }),
            is_stale: false,
        });
        Ok(Self {
            watermark_groups: watermark_groups.collect(),
            index_of: (rules.iter().enumerate())
                .map(|(place, rule)| (rule.id.clone(), place))
                .collect(),
            rules,
            graph,
            stages,
            routes,
            hold: Hold::default(),
            objects: Objects::default(),
            reports: Reports::default(),
            options,
            step: 0,
            horizon: horizon.saturating_add(windows.unwrap_or(0)),
        })
    }

    /// Returns the rules, to which findings refer by index.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Sets how keys are hashed, before anything is remembered.
    pub(crate) fn set_hashing(&mut self, hashing: Hashing) {
        let windows = self.watermark_groups.iter_mut();
        windows.for_each(|watermark_group| watermark_group.windows.set_hashing(hashing));
        let stages = self.stages.iter_mut();
        stages.for_each(|stage| stage.set_hashing(hashing));
    }

    /// Returns for each rule the paths that correlations ask of its findings.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes findings, moves time on to what `watermark` says of the tables, and tells what came of it.
    ///
    /// # Errors
    /// When keys on disk cannot be read. The fold is not to be used after that.
    pub fn step(
        &mut self,
        findings: Vec<Finding>,
        watermark: &dyn Fn(&str) -> Watermark,
        spilled: &mut dyn SpillStore,
    ) -> Result<StepOutput, String> {
        self.step = self.step.wrapping_add(1);
        let mut output = StepOutput::default();
        let mut late = Vec::new();
        if let [only] = self.watermark_groups.as_mut_slice() {
            only.pending.reserve(findings.len());
        }
        for finding in findings {
            let Some(number) = self.graph.group_of.get(finding.rule).copied() else {
                continue;
            };
            let is_late = finding.time.micros() < self.passed(finding.rule);
            let watermark_group = &mut self.watermark_groups[number];
            let found = Found::new(finding, &mut self.objects);
            if is_late {
                let id = &self.rules[found.rule as usize].id;
                *output.counters.late.entry(id.clone()).or_default() += 1;
                late.push(found);
            } else {
                watermark_group.pending.push(found);
                watermark_group.fresh += 1;
                watermark_group.is_stale = true;
            }
        }
        let mut told = self.late_alerts(late);
        for number in 0..self.watermark_groups.len() {
            let marks = self.watermark_groups[number]
                .tables
                .iter()
                .map(|table| watermark(table));
            let passed = Watermark::of_all(marks).max(self.watermark_groups[number].watermark);
            self.hold_back(number, passed);
            let (closed, touched) = self.settle(number, passed, spilled, &mut output.counters)?;
            self.tell(number, closed, touched, spilled, &mut told)?;
        }
        sort(&mut told);
        output.changes = told;
        Ok(output)
    }

    /// Ends the time of every watermark group right after its last finding, or at `end` of a table if that is later, and closes
    /// what is open. What needs more time to be certain, such as an absence whose deadline lies beyond, is not told.
    ///
    /// # Errors
    /// When keys on disk cannot be read.
    pub fn finish(
        &mut self,
        end: &dyn Fn(&str) -> i64,
        spilled: &mut dyn SpillStore,
    ) -> Result<StepOutput, String> {
        let mut output = StepOutput::default();
        let mut told = Vec::new();
        self.hold = Hold::default();
        for number in 0..self.watermark_groups.len() {
            let watermark_group = &self.watermark_groups[number];
            let last = watermark_group.pending.iter().map(|found| found.time).max();
            let tables = watermark_group.tables.iter().map(|table| end(table)).max();
            let passed = last.into_iter().chain(tables).max().unwrap_or(i64::MIN);
            let passed = passed.saturating_add(1).max(watermark_group.watermark);
            let (mut closed, mut touched) =
                self.settle(number, passed, spilled, &mut output.counters)?;
            let last = Work {
                hits: Vec::new(),
                watermark: i64::MAX,
                workers: 1,
                step: self.step,
                wants_keys: true,
            };
            self.warm_windows(number, &[], i64::MAX, spilled)?;
            let (spoken, keys) = self.watermark_groups[number].windows.settle(last);
            closed.extend(spoken.closed);
            touched.extend(keys);
            self.tell(number, closed, touched, spilled, &mut told)?;
        }
        sort(&mut told);
        output.changes = told;
        Ok(output)
    }

    /// Folds what the watermark has passed. Returns the windows that ended, and the keys of those that changed.
    fn settle(
        &mut self,
        number: usize,
        watermark: i64,
        spilled: &mut dyn SpillStore,
        counters: &mut Counters,
    ) -> Result<(Ended, BTreeSet<String>), String> {
        self.watermark_groups[number].watermark = watermark;
        let mut ready = std::mem::take(&mut self.watermark_groups[number].pending);
        let is_ready = |found: &Found| found.time < self.passed(found.rule as usize);
        let are_ready: Vec<bool> = ready.iter().map(is_ready).collect();
        let watermark_group = &mut self.watermark_groups[number];
        if are_ready.iter().all(|is_ready| *is_ready) {
            watermark_group.fresh = 0;
        } else {
            let first_fresh = ready.len() - watermark_group.fresh.min(ready.len());
            watermark_group.fresh = 0;
            let all = std::mem::take(&mut ready);
            for (at, (found, is_ready)) in all.into_iter().zip(are_ready).enumerate() {
                if is_ready {
                    ready.push(found);
                } else {
                    watermark_group.fresh += usize::from(at >= first_fresh);
                    watermark_group.pending.push(found);
                }
            }
        }
        watermark_group.is_stale |= !ready.is_empty();
        let objects = &self.objects;
        ready.sort_by(|a, b| a.compare(b, objects));
        let mut inbox = Inbox::new(self.stages.len());
        if let [only] = inbox.stages.as_mut_slice() {
            only.reserve(ready.len());
        }
        for found in ready {
            self.route(found, &mut inbox, Some(counters));
        }
        for stage in 0..self.stages.len() {
            let rule = self.graph.order[stage].rule;
            if self.graph.group_of[rule] != number {
                continue;
            }
            let hits = inbox.take(stage);
            let passed = self.passed(rule);
            self.warm(stage, &hits, passed, spilled)?;
            let work = Work {
                hits,
                watermark: passed,
                workers: self.options.workers,
                step: self.step,
                wants_keys: false,
            };
            let (spoken, _) = self.stages[stage].settle(work);
            for (count, by_rule) in [
                (spoken.capped, &mut counters.capped),
                (spoken.without_value, &mut counters.without_value),
            ] {
                if count > 0 {
                    *by_rule.entry(self.rules[rule].id.clone()).or_default() += count;
                }
            }
            for found in self.found(rule, spoken) {
                self.route(found, &mut inbox, Some(counters));
            }
        }
        let hits = std::mem::take(&mut inbox.alerts);
        self.warm_windows(number, &hits, watermark, spilled)?;
        let work = Work {
            hits,
            watermark,
            workers: self.options.workers,
            step: self.step,
            wants_keys: self.options.is_live,
        };
        let held = self.held_rules();
        let windows = &mut self.watermark_groups[number].windows;
        windows.hold(held);
        let (spoken, keys) = windows.settle(work);
        windows.hold(HashMap::new());
        Ok((spoken.closed, keys.into_iter().collect()))
    }

    /// Puts a finding before the correlations that take it and the windows of its own alerts.
    fn route(&self, found: Found, inbox: &mut Inbox, mut counters: Option<&mut Counters>) {
        let rule = found.rule as usize;
        let routes = self.routes.get(rule).map_or(&[][..], Vec::as_slice);
        for (stage, source) in routes {
            let value = |at: &usize| found.fields.get(*at).and_then(Option::as_deref);
            if source.by.iter().any(|at| value(at).is_none()) {
                if let Some(counters) = &mut counters {
                    let id = &self.rules[self.graph.order[*stage].rule].id;
                    *counters.without_key.entry(id.clone()).or_default() += 1;
                }
                continue;
            }
            let hit = Hit {
                time: found.time,
                source: u16::try_from(source.entry).unwrap_or(u16::MAX),
                kept: Kept::of(&found),
                values: source
                    .values
                    .iter()
                    .map(|at| value(at).map(Into::into))
                    .collect(),
                continues: found.continues,
                found: None,
            };
            let key = key::join(source.by.iter().map(value));
            inbox.stages[*stage].push((key, hit));
        }
        if self.rules[rule].alert.report != Report::None {
            inbox.alerts.push(alert_hit(&self.rules[rule].id, found));
        }
    }

    fn warm(
        &mut self,
        stage: usize,
        hits: &[(String, Hit)],
        watermark: i64,
        spilled: &mut dyn SpillStore,
    ) -> Result<(), String> {
        let wanted = self.stages[stage].wanted(hits, watermark);
        if wanted.is_empty() {
            return Ok(());
        }
        let id = &self.rules[self.graph.order[stage].rule].id;
        for (group, keys) in by_group(spilled.take(id, &wanted)?) {
            let step = self.step;
            let warmed = self.stages[stage].warm(group, keys, step);
            warmed
                .map_err(|error| format!("the state of rule `{id}` on disk is damaged: {error}"))?;
        }
        Ok(())
    }

    fn warm_windows(
        &mut self,
        number: usize,
        hits: &[(String, Hit)],
        watermark: i64,
        spilled: &mut dyn SpillStore,
    ) -> Result<(), String> {
        let step = self.step;
        let watermark_group = &mut self.watermark_groups[number];
        let wanted = watermark_group.windows.wanted(hits, watermark);
        if wanted.is_empty() {
            return Ok(());
        }
        for (group, keys) in by_group(spilled.take(&watermark_group.name(), &wanted)?) {
            let warmed = watermark_group.windows.warm(group, keys, step);
            warmed
                .map_err(|error| format!("the windows of alerts on disk are damaged: {error}"))?;
        }
        Ok(())
    }

    /// Returns how much state each correlation has, by its id, and the windows of alerts under the empty name.
    pub fn sizes(&self) -> BTreeMap<String, Size> {
        let mut sizes = BTreeMap::new();
        for (stage, node) in self.stages.iter().zip(&self.graph.order) {
            sizes.insert(self.rules[node.rule].id.clone(), stage.size());
        }
        let windows: &mut Size = sizes.entry(String::new()).or_default();
        for watermark_group in &self.watermark_groups {
            windows.add(watermark_group.windows.size());
        }
        sizes
    }

    /// Returns how many findings wait for the watermark.
    pub fn pending(&self) -> usize {
        self.watermark_groups
            .iter()
            .map(|watermark_group| watermark_group.pending.len())
            .sum()
    }

    /// Returns the provisional alerts that are neither settled nor withdrawn.
    pub fn provisional(&self) -> impl Iterator<Item = &Reported> {
        self.reports.all()
    }
}

impl WatermarkGroup {
    /// Returns the name under which its windows are stored.
    pub(crate) fn name(&self) -> String {
        format!("alerts {}", self.tables.join(","))
    }
}

/// Hits before each stage, and before the windows of alerts.
struct Inbox {
    stages: Vec<Vec<(String, Hit)>>,
    alerts: Vec<(String, Hit)>,
}

impl Inbox {
    fn new(stages: usize) -> Self {
        Self {
            stages: vec![Vec::new(); stages],
            alerts: Vec::new(),
        }
    }

    /// Takes the hits of a stage, by time, and at one time in the order of the correlation's rules.
    fn take(&mut self, stage: usize) -> Vec<(String, Hit)> {
        let mut hits = std::mem::take(&mut self.stages[stage]);
        hits.sort_by_key(|(_, hit)| (hit.time, hit.source));
        hits
    }
}

fn alert_hit(rule: &str, found: Found) -> (String, Hit) {
    let key = format!("{rule}\0{}", found.key);
    let hit = Hit {
        time: found.time,
        source: 0,
        kept: Kept::of(&found),
        values: Vec::new(),
        continues: false,
        found: Some(Box::new(found)),
    };
    (key, hit)
}

fn by_group(keys: Vec<SpilledKey>) -> BTreeMap<usize, Vec<Spilled>> {
    let mut groups: BTreeMap<usize, Vec<Spilled>> = BTreeMap::new();
    for key in keys {
        groups.entry(key.group).or_default().push(Spilled {
            hash: key.hash,
            key: key.key.into(),
            state: key.state,
            due: key.due,
        });
    }
    groups
}

/// Returns the longest time for which a correlation remembers an event.
fn longest(rule: &Rule) -> i64 {
    let Some(correlation) = &rule.correlation else {
        return 0;
    };
    let texts = [
        &correlation.within,
        &correlation.baseline,
        &correlation.learn,
        &correlation.gap,
    ];
    let lengths = texts.into_iter().flatten();
    let lengths = lengths.filter_map(|text| yagura_core::time::parse_duration(text).ok());
    lengths.fold(0, i64::saturating_add).saturating_mul(2)
}

fn sort(changes: &mut [Change]) {
    changes.sort_by(|a, b| {
        let order = |change: &Change| (change.alert.window_start, change.state);
        let (a_key, b_key) = (order(a), order(b));
        a_key
            .cmp(&b_key)
            .then_with(|| a.alert.rule.cmp(&b.alert.rule))
            .then_with(|| a.alert.key.cmp(&b.alert.key))
    });
}
