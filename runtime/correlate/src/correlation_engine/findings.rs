//! The findings of operators, completed for a reader, and alerts of late ones.

use std::collections::BTreeMap;

use yagura_core::rule::{ReportMode, TitlePart};
use yagura_core::{Alert, AlertState, key};

use super::{CorrelationEngine, alert_hit};
use crate::alert_window::AlertWindow;
use crate::change::AlertChange;
use crate::finding::CompactFinding;
use crate::hit::Hit;
use crate::node::{CorrelationNode, KeyedNode, NodeWork};
use crate::output::number;
use crate::shard::ShardOutput;

impl CorrelationEngine {
    /// Completes the findings of a correlation with what its rule declares.
    pub(super) fn completed(&self, index: usize, output: ShardOutput) -> Vec<CompactFinding> {
        let rule = &self.rules[index];
        let Some(correlation) = &rule.correlation else {
            return Vec::new();
        };
        let title = TitlePart::split(&rule.title);
        let mut all: Vec<CompactFinding> = output
            .findings
            .into_iter()
            .map(|(joined, finding)| {
                let values = key::split(&joined);
                let measured = finding.value.map(number);
                let value = |name: &str| -> Option<&str> {
                    match correlation.by.iter().position(|by| by == name) {
                        Some(at) => values.get(at).map(String::as_str),
                        None => measured.as_deref(),
                    }
                };
                let pieces = title.iter().map(|part| match part {
                    TitlePart::Text(text) => text.clone(),
                    TitlePart::Column(path) => {
                        value(&path.to_string()).unwrap_or("(none)").to_owned()
                    }
                });
                let mut events = finding.events;
                events.sort_by(|a, b| self.objects.compare(*a, *b));
                events.dedup();
                let named = correlation.by.iter().zip(&values);
                let mut context: Vec<(String, String)> = named
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                let name = correlation.kind.measure().unwrap_or("count");
                let measure = measured.clone().map(|value| (name.to_owned(), value));
                context.extend(measure);
                context.extend(finding.context);
                let fields = values.iter().cloned().map(Some);
                CompactFinding {
                    rule: u32::try_from(index).unwrap_or(u32::MAX),
                    time: finding.time,
                    key: if rule.alert.key.is_empty() {
                        joined
                    } else {
                        let names = rule.alert.key.iter().map(ToString::to_string);
                        let names: Vec<String> = names.collect();
                        key::join(names.iter().map(|name| value(name)))
                    },
                    title: pieces.collect(),
                    severity: finding.severity,
                    observables: finding.observables,
                    fields: fields.chain([measured.clone(), measured.clone()]).collect(),
                    events,
                    context,
                    continues: finding.continues,
                    bytes: 0,
                }
            })
            .collect();
        all.sort_by(|a, b| a.compare(b, &self.objects));
        all
    }

    /// Makes alerts of findings that came too late to be ordered: each window by itself, emitted once, and marked.
    pub(super) fn late_alerts(&self, mut late: Vec<CompactFinding>) -> Vec<AlertChange> {
        let objects = &self.objects;
        late.sort_by(|a, b| a.compare(b, objects));
        let mut by_group: BTreeMap<usize, Vec<(String, Hit)>> = BTreeMap::new();
        for found in late {
            let rule = &self.rules[found.rule as usize];
            if rule.alert.report != ReportMode::None {
                let watermark_group = self.graph.watermark_group_of[found.rule as usize];
                let hits = by_group.entry(watermark_group).or_default();
                hits.push(alert_hit(&rule.id, found));
            }
        }
        let mut changes = Vec::new();
        for (watermark_group, hits) in by_group {
            let mut windows = KeyedNode::new(
                self.watermark_groups[watermark_group]
                    .windows
                    .operator()
                    .clone(),
            );
            let (output, _) = windows.process(NodeWork {
                hits,
                watermark: i64::MAX,
                workers: 1,
                step: 0,
                wants_keys: false,
            });
            for (key, window) in output.closed {
                if let Some(mut alert) = self.alert(&key, &window) {
                    // Not the identity of the window that was emitted in time, nor of one that was late before it.
                    let first = alert.evidence.events.first();
                    let event = first.map(|event| format!("{}\0{}", event.object, event.row));
                    let marked = format!("{}\0late\0{}", alert.key, event.unwrap_or_default());
                    alert.id =
                        yagura_core::alert::identity(&alert.rule, &marked, alert.window_start);
                    alert.context.push(yagura_core::alert::ContextEntry {
                        name: "late".to_owned(),
                        value: "arrived after its time had been final; correlations did not see it"
                            .to_owned(),
                    });
                    changes.push(AlertChange::to(AlertState::Final, alert));
                }
            }
        }
        changes
    }

    pub(super) fn alert(&self, key: &str, window: &AlertWindow) -> Option<Alert> {
        let (id, key) = key.split_once('\0')?;
        let rule = &self.rules[*self.index_of.get(id)?];
        Some(window.alert(rule, key, &self.objects))
    }
}
