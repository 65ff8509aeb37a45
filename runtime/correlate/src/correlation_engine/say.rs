//! What operators said, as findings and alerts for a reader.

use std::collections::BTreeMap;

use yagura_core::rule::{Report, TitlePart};
use yagura_core::{Alert, Rule, key};

use super::{Change, CorrelationEngine, alert_hit};
use crate::found::{Found, Hit};
use crate::node::{Keyed, Node, Work};
use crate::operator::number;
use crate::shard::Spoken;
use crate::window::AlertWindow;

impl CorrelationEngine {
    /// Completes what a correlation said with what its rule declares.
    pub(super) fn found(&self, index: usize, spoken: Spoken) -> Vec<Found> {
        let rule = &self.rules[index];
        let Some(correlation) = &rule.correlation else {
            return Vec::new();
        };
        let title = TitlePart::split(&rule.title);
        let mut all: Vec<Found> = spoken
            .said
            .into_iter()
            .map(|(joined, said)| {
                let values = key::split(&joined);
                let measured = said.value.map(number);
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
                let mut events = said.events;
                events.sort_by(|a, b| self.objects.compare(*a, *b));
                events.dedup();
                let named = correlation.by.iter().zip(&values);
                let mut context: Vec<(String, String)> = named
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                let measure = measured
                    .clone()
                    .map(|value| (measure(rule).to_owned(), value));
                context.extend(measure);
                context.extend(said.context);
                let fields = values.iter().cloned().map(Some);
                Found {
                    rule: u32::try_from(index).unwrap_or(u32::MAX),
                    time: said.time,
                    key: if rule.alert.key.is_empty() {
                        joined
                    } else {
                        let names = rule.alert.key.iter().map(ToString::to_string);
                        let names: Vec<String> = names.collect();
                        key::join(names.iter().map(|name| value(name)))
                    },
                    title: pieces.collect(),
                    severity: said.severity,
                    observables: said.observables,
                    fields: fields.chain([measured.clone(), measured.clone()]).collect(),
                    events,
                    context,
                    continues: said.continues,
                }
            })
            .collect();
        all.sort_by(|a, b| a.compare(b, &self.objects));
        all
    }

    /// Makes alerts of findings that came too late to be ordered: each window by itself, told once, and marked.
    pub(super) fn late_alerts(&self, mut late: Vec<Found>) -> Vec<Change> {
        let objects = &self.objects;
        late.sort_by(|a, b| a.compare(b, objects));
        let mut by_domain: BTreeMap<usize, Vec<(String, Hit)>> = BTreeMap::new();
        for found in late {
            let rule = &self.rules[found.rule as usize];
            if rule.alert.report != Report::None {
                let watermark_group = self.graph.group_of[found.rule as usize];
                let hits = by_domain.entry(watermark_group).or_default();
                hits.push(alert_hit(&rule.id, found));
            }
        }
        let mut changes = Vec::new();
        for (watermark_group, hits) in by_domain {
            let mut windows = Keyed::new(
                self.watermark_groups[watermark_group]
                    .windows
                    .operator()
                    .clone(),
            );
            let (spoken, _) = windows.settle(Work {
                hits,
                watermark: i64::MAX,
                workers: 1,
                step: 0,
                wants_keys: false,
            });
            for (key, window) in spoken.closed {
                if let Some(mut alert) = self.alert(&key, &window) {
                    // Not the identity of the window that was told in time, nor of one that was late before it.
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
                    changes.push(Change::settled(alert));
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

/// Returns the name of what a correlation measures.
fn measure(rule: &Rule) -> &'static str {
    use yagura_core::correlation::CorrelationKind as Kind;
    match rule
        .correlation
        .as_ref()
        .map(|correlation| correlation.kind)
    {
        Some(Kind::Sum | Kind::Avg | Kind::Percentile | Kind::Travel) => "value",
        _ => "count",
    }
}
