//! What is provisional, what is withdrawn, and what is final: what would be told, compared with what was.

use std::collections::{BTreeMap, BTreeSet};

use yagura_core::Alert;
use yagura_core::rule::Report;

use super::{Change, CorrelationEngine, Inbox, SpillStore};
use crate::window::AlertWindow;

impl CorrelationEngine {
    /// Compares what would be told of a watermark group with what has been, and tells the difference.
    pub(super) fn tell(
        &mut self,
        number: usize,
        closed: Vec<(String, AlertWindow)>,
        mut touched: BTreeSet<String>,
        spilled: &mut dyn SpillStore,
        told: &mut Vec<Change>,
    ) -> Result<(), String> {
        let mut settled: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
        for (key, window) in &closed {
            if let Some(alert) = self.alert(key, window) {
                settled.entry(key.clone()).or_default().push(alert);
            }
        }
        if !self.options.is_live {
            let alerts = settled.into_values().flatten();
            told.extend(alerts.map(Change::settled));
            return Ok(());
        }
        let mut windows = BTreeMap::new();
        if std::mem::take(&mut self.watermark_groups[number].is_stale) {
            windows = self.speculate(number, spilled)?;
            // What was told because of findings that wait, and is not any more.
            touched.extend(self.reports.waiting(number).cloned());
            self.reports
                .set_waiting(number, windows.keys().cloned().collect());
        }
        touched.extend(windows.keys().cloned());
        touched.extend(settled.keys().cloned());
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
            let settled = settled.remove(&key).unwrap_or_default();
            self.reports.compare(&key, settled, provisional, told);
        }
        Ok(())
    }

    fn waits(&self, rule: usize) -> bool {
        self.graph.waits[rule] || self.rules[rule].alert.report != Report::Provisional
    }

    /// Folds what waits for the watermark into copies of the states, and returns the windows that there would be.
    fn speculate(
        &mut self,
        number: usize,
        spilled: &mut dyn SpillStore,
    ) -> Result<BTreeMap<String, Vec<AlertWindow>>, String> {
        let mut pending = self.watermark_groups[number].pending.clone();
        let objects = &self.objects;
        pending.sort_by(|a, b| a.compare(b, objects));
        let mut inbox = Inbox::new(self.stages.len());
        for found in pending {
            self.route(found, &mut inbox, None);
        }
        for stage in 0..self.stages.len() {
            let rule = self.graph.order[stage].rule;
            if self.graph.group_of[rule] != number || self.graph.waits[rule] {
                continue;
            }
            let hits = inbox.take(stage);
            if hits.is_empty() {
                continue;
            }
            self.warm(stage, &hits, i64::MIN, spilled)?;
            let spoken = self.stages[stage].speculate(hits);
            for found in self.found(rule, spoken) {
                self.route(found, &mut inbox, None);
            }
        }
        let hits = std::mem::take(&mut inbox.alerts);
        self.warm_windows(number, &hits, i64::MIN, spilled)?;
        Ok(self.watermark_groups[number]
            .windows
            .speculate_windows(hits))
    }
}
