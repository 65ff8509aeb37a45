//! What limits made a table's rules give up: counted by rule, and said.

use std::collections::BTreeMap;

use yagura_core::{Finding, Timestamp};

use super::keys::{ForgottenKeys, KeyLimits};
use crate::pending_rows::DroppedRows;

/// What was given up since it was asked for last, by rule.
#[derive(Debug, Default)]
pub(super) struct Capped {
    keys: BTreeMap<String, (ForgottenKeys, KeyLimits)>,
    rows: BTreeMap<String, DroppedRows>,
    findings: BTreeMap<String, u64>,
}

impl Capped {
    pub(super) fn add_keys(&mut self, rule: &str, forgotten: ForgottenKeys, limits: KeyLimits) {
        let known = self.keys.entry(rule.to_owned());
        let (known, _) = known.or_insert((ForgottenKeys::default(), limits));
        known.add(forgotten);
    }

    pub(super) fn add_rows(&mut self, rule: &str, cut: DroppedRows) {
        let known = self.rows.entry(rule.to_owned()).or_insert(DroppedRows {
            rows: 0,
            first: cut.first,
        });
        known.add(cut);
    }

    pub(super) fn add_findings(&mut self, rule: &str, count: u64) {
        *self.findings.entry(rule.to_owned()).or_default() += count;
    }

    /// Returns and forgets for each rule how much it gave up, and a message. `most` events of the table may wait.
    pub(super) fn take(&mut self, table: &str, most: usize) -> Vec<(String, u64, String)> {
        let Self {
            keys,
            rows,
            findings,
        } = std::mem::take(self);
        let keys = keys.into_iter().map(|(rule, (forgotten, limits))| {
            let message = of_keys(&rule, &forgotten, limits);
            (rule, forgotten.keys, message)
        });
        let rows = rows.into_iter().map(|(rule, cut)| {
            let events = match cut.rows {
                1 => "1 event".to_owned(),
                count => format!("{count} events"),
            };
            let message = format!(
                "more than {most} events of table `{table}` waited for rules with `partition_by`, so rule `{rule}` does not evaluate {events} at {} or later; make its `where` narrower, lower the table's lateness, or raise `pending_rows` of [serve]",
                cut.first
            );
            (rule, cut.rows, message)
        });
        let findings = findings.into_iter().map(|(rule, count)| {
            let message = format!(
                "rule `{rule}` found more in one step than one rule may hold: {count} further findings are counted and not reported; make its `where` narrower"
            );
            (rule, count, message)
        });
        keys.chain(rows).chain(findings).collect()
    }
}

fn of_keys(rule: &str, forgotten: &ForgottenKeys, limits: KeyLimits) -> String {
    let (bound, key) = match forgotten.is_of_bytes {
        true => (
            format!("more than {} MiB of state", limits.bytes >> 20),
            "state_mib_per_rule",
        ),
        false => (
            format!("state of more than {} keys", limits.keys),
            "keys_per_rule",
        ),
    };
    format!(
        "rule `{rule}` kept {bound}, so it forgot the {} keys without an event after {}; narrow its `where` or `partition_by`, shorten its `state_for`, or raise `{key}`",
        forgotten.keys,
        Timestamp::clamped(forgotten.last),
    )
}

/// How much each rule may find while a table's watermark advances once, where a step must not end because of one of them.
#[derive(Debug)]
pub(super) struct FindingLimit {
    count: usize,
    bytes: usize,
    /// Of each rule, by its place.
    taken: BTreeMap<usize, (usize, usize)>,
}

impl FindingLimit {
    /// Divides what all may find by the number of rules.
    pub(super) fn new(count: usize, bytes: usize, rules: usize) -> Self {
        Self {
            count: count / rules.max(1),
            bytes: bytes / rules.max(1),
            taken: BTreeMap::new(),
        }
    }

    /// Drops findings of a rule over its share, those from `from` on; returns how many.
    pub(super) fn keep(&mut self, rule: usize, findings: &mut Vec<Finding>, from: usize) -> u64 {
        let (count, bytes) = self.taken.entry(rule).or_default();
        let (most, most_bytes) = (self.count, self.bytes);
        let mut over = 0;
        findings
            .extract_if(from.., |finding| {
                let size = finding.bytes();
                let is_over = *count >= most || *bytes + size > most_bytes;
                if !is_over {
                    *count += 1;
                    *bytes += size;
                }
                is_over
            })
            .for_each(|_| over += 1);
        over
    }
}
