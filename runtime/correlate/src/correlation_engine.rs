//! The engine: findings in, alerts out, over event time.
//!
//! ```text
//! findings ─▶ pending, by watermark group ─ watermark ─▶ in order of time ─▶ correlations, chained ─▶ windows ─▶ final alerts
//!                     └──────────── speculation: the same, on copies of the states ───────▶ provisional alerts
//! ```
//!
//! What is final is a function of the findings in event-time order. How they arrive, in which steps, and how many threads
//! work decides only when.

mod bound;
mod emit;
mod findings;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use yagura_core::rule::ReportMode;
use yagura_core::{Finding, Rule, key};

use crate::alert_window::AlertWindow;
use crate::alert_windows::{AlertWindows, WindowPolicy};
use crate::change::AlertChange;
use crate::finding::CompactFinding;
use crate::graph::{Graph, GraphError, JoinedRule};
use crate::hashing::Hashing;
use crate::held_rules::HeldRules;
use crate::hit::{Hit, KeptHit};
use crate::make::make_node;
use crate::node::{CorrelationNode, KeyedNode, NodeWork, Size};
use crate::objects::ObjectNumbers;
use crate::provisional_alerts::ProvisionalAlerts;
use crate::shard::Spilled;
use crate::spill::{CorrelationError, SpillStore, SpilledKey};
use crate::step::{CorrelationOptions, Counters, StepOutput};
use crate::watermark::Watermark;

/// Windows of alerts that ended, with their keys.
type EndedWindows = Vec<(String, AlertWindow)>;

/// Rules with what they remember.
#[derive(Debug)]
pub struct CorrelationEngine {
    pub(crate) rules: Vec<Arc<Rule>>,
    /// Their indexes, by id.
    pub(crate) index_of: HashMap<String, usize>,
    pub(crate) graph: Graph,
    /// In the order of the graph.
    pub(crate) nodes: Vec<Box<dyn CorrelationNode>>,
    /// For each rule the nodes that take its findings.
    routes: Vec<Vec<(usize, JoinedRule)>>,
    pub(crate) watermark_groups: Vec<WatermarkGroup>,
    pub(crate) held: HeldRules,
    pub(crate) objects: ObjectNumbers,
    pub(crate) provisional: ProvisionalAlerts,
    options: CorrelationOptions,
    pub(crate) step: u32,
    /// The longest time that a finding can matter.
    pub(crate) horizon: i64,
}

/// Rules whose findings may meet, and the tables that they read.
#[derive(Debug)]
pub(crate) struct WatermarkGroup {
    pub(crate) tables: Vec<String>,
    /// Everything before it has been processed.
    pub(crate) watermark: i64,
    pub(crate) pending: Vec<CompactFinding>,
    /// Of them, at the end, those that came since the last checkpoint.
    pub(crate) fresh: usize,
    pub(crate) windows: KeyedNode<AlertWindows>,
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
        let mut nodes = Vec::with_capacity(graph.order.len());
        let mut routes: Vec<Vec<(usize, JoinedRule)>> = vec![Vec::new(); rules.len()];
        let mut horizon: i64 = 0;
        for (number, joins) in graph.order.iter().enumerate() {
            let rule = &rules[joins.rule];
            let Some(correlation) = &rule.correlation else {
                continue;
            };
            let geolocation = options.geolocation.get(&rule.id);
            let geolocation = geolocation.or_else(|| options.geolocation.get(""));
            let made = make_node(correlation, geolocation).map_err(|error| GraphError {
                rule: joins.rule,
                key: "correlation",
                message: error.to_string(),
            })?;
            nodes.push(made);
            for source in &joins.sources {
                routes[source.rule].push((number, source.clone()));
            }
            horizon = horizon.saturating_add(correlation.kind.memory_micros().saturating_mul(2));
        }
        let policies: Vec<WindowPolicy> = rules
            .iter()
            .map(|rule| WindowPolicy {
                length: rule.alert.window.micros(),
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
            windows: KeyedNode::new(AlertWindows {
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
            nodes,
            routes,
            held: HeldRules::default(),
            objects: ObjectNumbers::default(),
            provisional: ProvisionalAlerts::default(),
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
        let nodes = self.nodes.iter_mut();
        nodes.for_each(|node| node.set_hashing(hashing));
        self.provisional.set_hashing(hashing);
    }

    /// Returns for each rule the paths that correlations ask of its findings.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes findings, moves time on to what `watermark` says of the tables, and returns what became of alerts.
    ///
    /// # Errors
    /// When keys on disk cannot be read. The engine must not be used after that.
    pub fn step(
        &mut self,
        findings: Vec<Finding>,
        watermark: &dyn Fn(&str) -> Watermark,
        spilled: &mut dyn SpillStore,
    ) -> Result<StepOutput, CorrelationError> {
        self.step = self.step.wrapping_add(1);
        let mut output = StepOutput::default();
        let mut late = Vec::new();
        if let [only] = self.watermark_groups.as_mut_slice() {
            only.make_room(findings.len());
        }
        for finding in findings {
            let Some(number) = self.graph.watermark_group_of.get(finding.rule).copied() else {
                continue;
            };
            let is_late = finding.time.micros() < self.passed(finding.rule);
            let watermark_group = &mut self.watermark_groups[number];
            let finding = CompactFinding::new(finding, &mut self.objects);
            if is_late {
                let id = &self.rules[finding.rule as usize].id;
                *output.counters.late.entry(id.clone()).or_default() += 1;
                late.push(finding);
            } else {
                watermark_group.pending.push(finding);
                watermark_group.fresh += 1;
                watermark_group.is_stale = true;
            }
        }
        let mut changes = self.late_alerts(late);
        let mut processed = Vec::new();
        for number in 0..self.watermark_groups.len() {
            let watermarks = self.watermark_groups[number]
                .tables
                .iter()
                .map(|table| watermark(table));
            let passed = Watermark::of_all(watermarks).max(self.watermark_groups[number].watermark);
            self.hold_back(number, passed);
            processed.push(self.process(number, passed, spilled, &mut output.counters)?);
        }
        output.dropped = self.bound_waiting();
        for (rule, dropped) in &output.dropped {
            *output.counters.capped.entry(rule.clone()).or_default() += dropped.count;
        }
        for (number, (closed, touched)) in processed.into_iter().enumerate() {
            self.emit(number, closed, touched, spilled, &mut changes)?;
        }
        sort(&mut changes);
        output.changes = changes;
        Ok(output)
    }

    /// Ends the time of every watermark group right after its last finding, or at `end` of a table if that is later, and closes
    /// what is open. What needs more time to be certain, such as an absence whose deadline lies beyond, is not emitted.
    ///
    /// # Errors
    /// When keys on disk cannot be read.
    pub fn finish(
        &mut self,
        end: &dyn Fn(&str) -> i64,
        spilled: &mut dyn SpillStore,
    ) -> Result<StepOutput, CorrelationError> {
        let mut output = StepOutput::default();
        let mut changes = Vec::new();
        self.held = HeldRules::default();
        for number in 0..self.watermark_groups.len() {
            let watermark_group = &self.watermark_groups[number];
            let pending = watermark_group.pending.iter();
            let last = pending.map(|finding| finding.time).max();
            let tables = watermark_group.tables.iter().map(|table| end(table)).max();
            let passed = last.into_iter().chain(tables).max().unwrap_or(i64::MIN);
            let passed = passed.saturating_add(1).max(watermark_group.watermark);
            let (mut closed, mut touched) =
                self.process(number, passed, spilled, &mut output.counters)?;
            let last = NodeWork {
                hits: Vec::new(),
                watermark: i64::MAX,
                workers: 1,
                step: self.step,
                wants_keys: true,
            };
            self.load_spilled_windows(number, &[], i64::MAX, spilled)?;
            let (output, keys) = self.watermark_groups[number].windows.process(last);
            closed.extend(output.closed);
            touched.extend(keys);
            self.emit(number, closed, touched, spilled, &mut changes)?;
        }
        sort(&mut changes);
        output.changes = changes;
        Ok(output)
    }

    /// Processes what the watermark has passed. Returns the windows that ended, and the keys of those that changed.
    fn process(
        &mut self,
        number: usize,
        watermark: i64,
        spilled: &mut dyn SpillStore,
        counters: &mut Counters,
    ) -> Result<(EndedWindows, BTreeSet<String>), CorrelationError> {
        self.watermark_groups[number].watermark = watermark;
        let is_ready = |finding: &CompactFinding| finding.time < self.passed(finding.rule as usize);
        let pending = self.watermark_groups[number].pending.iter();
        let are_ready: Vec<bool> = pending.map(is_ready).collect();
        let watermark_group = &mut self.watermark_groups[number];
        let mut ready = watermark_group.take_ready(&are_ready);
        watermark_group.is_stale |= !ready.is_empty();
        let objects = &self.objects;
        ready.sort_by(|a, b| a.compare(b, objects));
        let mut inbox = Inbox::new(self.nodes.len());
        if let [only] = inbox.nodes.as_mut_slice() {
            only.reserve(ready.len());
        }
        for finding in ready {
            self.route(finding, &mut inbox, Some(counters));
        }
        for node in 0..self.nodes.len() {
            let rule = self.graph.order[node].rule;
            if self.graph.watermark_group_of[rule] != number {
                continue;
            }
            let hits = inbox.take(node);
            let passed = self.passed(rule);
            self.load_spilled(node, &hits, passed, spilled)?;
            let work = NodeWork {
                hits,
                watermark: passed,
                workers: self.options.workers,
                step: self.step,
                wants_keys: false,
            };
            let (output, _) = self.nodes[node].process(work);
            for (count, by_rule) in [
                (output.capped, &mut counters.capped),
                (output.without_value, &mut counters.without_value),
            ] {
                if count > 0 {
                    *by_rule.entry(self.rules[rule].id.clone()).or_default() += count;
                }
            }
            for finding in self.completed(rule, output) {
                self.route(finding, &mut inbox, Some(counters));
            }
        }
        let hits = std::mem::take(&mut inbox.alerts);
        self.load_spilled_windows(number, &hits, watermark, spilled)?;
        let work = NodeWork {
            hits,
            watermark,
            workers: self.options.workers,
            step: self.step,
            wants_keys: self.options.is_live,
        };
        let held = self.held_rules();
        let windows = &mut self.watermark_groups[number].windows;
        windows.hold(held);
        let (output, keys) = windows.process(work);
        windows.hold(HashMap::new());
        Ok((output.closed, keys.into_iter().collect()))
    }

    /// Puts a finding before the correlations that take it and the windows of its own alerts.
    fn route(&self, finding: CompactFinding, inbox: &mut Inbox, counters: Option<&mut Counters>) {
        self.route_to_nodes(&finding, inbox, counters);
        let rule = &self.rules[finding.rule as usize];
        if rule.alert.report != ReportMode::None {
            inbox.alerts.push(alert_hit(&rule.id, finding));
        }
    }

    /// Puts a finding before the correlations that take it.
    fn route_to_nodes(
        &self,
        finding: &CompactFinding,
        inbox: &mut Inbox,
        mut counters: Option<&mut Counters>,
    ) {
        let rule = finding.rule as usize;
        let routes = self.routes.get(rule).map_or(&[][..], Vec::as_slice);
        for (node, source) in routes {
            let value = |at: &usize| finding.fields.get(*at).and_then(Option::as_deref);
            if source.by.iter().any(|at| value(at).is_none()) {
                if let Some(counters) = &mut counters {
                    let id = &self.rules[self.graph.order[*node].rule].id;
                    *counters.without_key.entry(id.clone()).or_default() += 1;
                }
                continue;
            }
            let hit = Hit {
                time: finding.time,
                source: u16::try_from(source.entry).unwrap_or(u16::MAX),
                kept: KeptHit::of(finding),
                values: source
                    .values
                    .iter()
                    .map(|at| value(at).map(Into::into))
                    .collect(),
                continues: finding.continues,
                finding: None,
            };
            let key = key::join(source.by.iter().map(value));
            inbox.nodes[*node].push((key, hit));
        }
    }

    /// Brings the keys back from disk that these hits, or time, need.
    fn load_spilled(
        &mut self,
        node: usize,
        hits: &[(String, Hit)],
        watermark: i64,
        spilled: &mut dyn SpillStore,
    ) -> Result<(), CorrelationError> {
        let wanted = self.nodes[node].wanted(hits, watermark);
        if wanted.is_empty() {
            return Ok(());
        }
        let id = &self.rules[self.graph.order[node].rule].id;
        for (shard, keys) in by_shard(spilled.take(id, &wanted)?) {
            let loaded = self.nodes[node].load_spilled(shard, keys, self.step);
            loaded.map_err(|source| CorrelationError::Damaged {
                node: id.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn load_spilled_windows(
        &mut self,
        number: usize,
        hits: &[(String, Hit)],
        watermark: i64,
        spilled: &mut dyn SpillStore,
    ) -> Result<(), CorrelationError> {
        let step = self.step;
        let watermark_group = &mut self.watermark_groups[number];
        let wanted = watermark_group.windows.wanted(hits, watermark);
        if wanted.is_empty() {
            return Ok(());
        }
        let name = watermark_group.name();
        for (shard, keys) in by_shard(spilled.take(&name, &wanted)?) {
            let loaded = watermark_group.windows.load_spilled(shard, keys, step);
            loaded.map_err(|source| CorrelationError::Damaged {
                node: name.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// Returns how much state each correlation has, by its id. Under the empty name are the windows of alerts, and the bytes of the
    /// provisional alerts.
    pub fn sizes(&self) -> BTreeMap<String, Size> {
        let mut sizes = BTreeMap::new();
        for (node, joins) in self.nodes.iter().zip(&self.graph.order) {
            sizes.insert(self.rules[joins.rule].id.clone(), node.size());
        }
        let windows: &mut Size = sizes.entry(String::new()).or_default();
        for watermark_group in &self.watermark_groups {
            windows.add(watermark_group.windows.size());
        }
        windows.bytes += self.provisional.bytes();
        sizes
    }

    /// Returns how many findings wait for the watermark.
    pub fn pending(&self) -> usize {
        self.watermark_groups
            .iter()
            .map(|watermark_group| watermark_group.pending.len())
            .sum()
    }

    /// Returns how many provisional alerts are neither final nor withdrawn.
    pub fn provisional(&self) -> usize {
        self.provisional.len()
    }
}

impl WatermarkGroup {
    /// Returns the name under which its windows are stored.
    pub(crate) fn name(&self) -> String {
        format!("alerts {}", self.tables.join(","))
    }
}

/// Hits before each node, and before the windows of alerts.
struct Inbox {
    nodes: Vec<Vec<(String, Hit)>>,
    alerts: Vec<(String, Hit)>,
}

impl Inbox {
    fn new(nodes: usize) -> Self {
        Self {
            nodes: vec![Vec::new(); nodes],
            alerts: Vec::new(),
        }
    }

    /// Takes the hits of a node, by time, and at one time in the order of the correlation's rules.
    fn take(&mut self, node: usize) -> Vec<(String, Hit)> {
        let mut hits = std::mem::take(&mut self.nodes[node]);
        hits.sort_by_key(|(_, hit)| (hit.time, hit.source));
        hits
    }
}

fn alert_hit(rule: &str, finding: CompactFinding) -> (String, Hit) {
    let key = format!("{rule}\0{}", finding.key);
    let hit = Hit {
        time: finding.time,
        source: 0,
        kept: KeptHit::of(&finding),
        values: Vec::new(),
        continues: false,
        finding: Some(Box::new(finding)),
    };
    (key, hit)
}

fn by_shard(keys: Vec<SpilledKey>) -> BTreeMap<usize, Vec<Spilled>> {
    let mut shards: BTreeMap<usize, Vec<Spilled>> = BTreeMap::new();
    for key in keys {
        shards.entry(key.shard).or_default().push(Spilled {
            hash: key.hash,
            key: key.key.into(),
            state: key.state,
            due: key.due,
        });
    }
    shards
}

fn sort(changes: &mut [AlertChange]) {
    changes.sort_by(|a, b| {
        let order = |change: &AlertChange| (change.alert.window_start, change.state);
        let (a_key, b_key) = (order(a), order(b));
        a_key
            .cmp(&b_key)
            .then_with(|| a.alert.rule.cmp(&b.alert.rule))
            .then_with(|| a.alert.key.cmp(&b.alert.key))
    });
}
