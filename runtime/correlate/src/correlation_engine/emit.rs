//! What is provisional, what is withdrawn, and what is final: the alerts of now, compared with those that were emitted.

use std::collections::{BTreeMap, BTreeSet};

use yagura_core::rule::ReportMode;
use yagura_core::{Alert, AlertState};

use super::{CorrelationEngine, Inbox, alert_hit};
use crate::alert_window::AlertWindow;
use crate::change::AlertChange;
use crate::finding::CompactFinding;
use crate::spill::{CorrelationError, SpillStore};

impl CorrelationEngine {
    /// Compares the alerts of a watermark group with those that were emitted, and emits the difference.
    pub(super) fn emit(
        &mut self,
        number: usize,
        closed: Vec<(String, AlertWindow)>,
        mut touched: BTreeSet<String>,
        spilled: &mut dyn SpillStore,
        changes: &mut Vec<AlertChange>,
    ) -> Result<(), CorrelationError> {
        let mut final_alerts: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
        for (key, window) in &closed {
            if let Some(alert) = self.alert(key, window) {
                final_alerts.entry(key.clone()).or_default().push(alert);
            }
        }
        if !self.options.is_live {
            let alerts = final_alerts.into_values().flatten();
            changes.extend(alerts.map(|alert| AlertChange::to(AlertState::Final, alert)));
            return Ok(());
        }
        let mut windows = BTreeMap::new();
        if std::mem::take(&mut self.watermark_groups[number].is_stale) {
            windows = self.speculate(number, spilled)?;
            // What was emitted because of findings that wait, and does not hold any more.
            touched.extend(self.provisional.waiting(number).cloned());
            self.provisional
                .set_waiting(number, windows.keys().cloned().collect());
        }
        touched.extend(windows.keys().cloned());
        touched.extend(final_alerts.keys().cloned());
        for key in touched {
            let open = match windows.remove(&key) {
                Some(windows) => windows,
                None => {
                    let state = self.watermark_groups[number].windows.state(&key);
                    state
                        .filter(|window| window.is_alert())
                        .cloned()
                        .into_iter()
                        .collect()
                }
            };
            let rule = key.split('\0').next().unwrap_or_default();
            let waits = self.index_of.get(rule).is_none_or(|rule| self.waits(*rule));
            let provisional: Vec<Alert> = if waits {
                Vec::new()
            } else {
                let alerts = open.iter().filter_map(|window| self.alert(&key, window));
                alerts.collect()
            };
            let final_alerts = final_alerts.remove(&key).unwrap_or_default();
            let alerts = (final_alerts, provisional);
            self.provisional
                .compare(&key, alerts, self.step, spilled, changes)?;
        }
        Ok(())
    }

    fn waits(&self, rule: usize) -> bool {
        self.graph.waits[rule] || self.rules[rule].alert.report != ReportMode::Provisional
    }

    /// Processes what waits for the watermark on copies of the states, and returns the windows that there would be.
    fn speculate(
        &mut self,
        number: usize,
        spilled: &mut dyn SpillStore,
    ) -> Result<BTreeMap<String, Vec<AlertWindow>>, CorrelationError> {
        let pending = self.watermark_groups[number].pending.iter();
        let mut pending: Vec<&CompactFinding> = pending.collect();
        let objects = &self.objects;
        pending.sort_by(|a, b| a.compare(b, objects));
        let mut inbox = Inbox::new(self.nodes.len());
        if let [only] = inbox.nodes.as_mut_slice() {
            only.reserve_exact(pending.len());
        }
        for finding in pending {
            // Most of what waits may be findings of rules that report nothing: no copy of these is needed.
            self.route_to_nodes(finding, &mut inbox, None);
            let rule = &self.rules[finding.rule as usize];
            if rule.alert.report != ReportMode::None {
                inbox.alerts.push(alert_hit(&rule.id, finding.clone()));
            }
        }
        for node in 0..self.nodes.len() {
            let rule = self.graph.order[node].rule;
            if self.graph.watermark_group_of[rule] != number || self.graph.waits[rule] {
                continue;
            }
            let hits = inbox.take(node);
            if hits.is_empty() {
                continue;
            }
            self.load_spilled(node, &hits, i64::MIN, spilled)?;
            let output = self.nodes[node].speculate(hits);
            for finding in self.completed(rule, output) {
                self.route(finding, &mut inbox, None);
            }
        }
        let hits = std::mem::take(&mut inbox.alerts);
        self.load_spilled_windows(number, &hits, i64::MIN, spilled)?;
        Ok(self.watermark_groups[number]
            .windows
            .speculate_windows(hits))
    }
}
