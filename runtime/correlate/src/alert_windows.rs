//! Windows of alerts: findings of one rule and key become one alert, for a time that begins with the first of them.

use hashbrown::HashMap;
use yagura_core::Severity;

use crate::alert_window::AlertWindow;
use crate::hit::Hit;
use crate::objects::EventNumber;
use crate::operator::Operator;
use crate::output::OperatorOutput;

/// How the findings of each rule become alerts, by the rule's index.
#[derive(Debug, Clone)]
pub(crate) struct AlertWindows {
    pub(crate) policies: Vec<WindowPolicy>,
    /// Rules, by id, that time has not passed as far as the others.
    pub(crate) held: HashMap<String, i64>,
}

/// How the findings of a rule become alerts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowPolicy {
    pub(crate) length: i64,
    pub(crate) threshold: u64,
    pub(crate) severity: Severity,
}

impl Operator for AlertWindows {
    type State = AlertWindow;

    fn push(&self, state: &mut AlertWindow, hit: Hit, out: &mut OperatorOutput) {
        let Some(finding) = hit.finding else {
            return;
        };
        let Some(policy) = self.policies.get(finding.rule as usize) else {
            return;
        };
        // A window that ends with the time line still holds its first finding.
        if state.count > 0 && hit.time >= state.end {
            let closed = std::mem::take(state);
            out.closed.extend(closed.is_alert().then_some(closed));
        }
        if state.count == 0 {
            state.start = hit.time;
            state.end = hit.time.saturating_add(policy.length);
            state.threshold = policy.threshold;
            state.severity = finding.severity.unwrap_or(policy.severity);
        }
        state.severity = state
            .severity
            .max(finding.severity.unwrap_or(policy.severity));
        state.add(&finding);
    }

    fn due(&self, state: &AlertWindow) -> i64 {
        state.end
    }

    fn now(&self, key: &str, now: i64) -> i64 {
        if self.held.is_empty() {
            return now;
        }
        let rule = key.split('\0').next().unwrap_or_default();
        self.held.get(rule).map_or(now, |held| now.min(*held))
    }

    fn advance(&self, state: &mut AlertWindow, now: i64, out: &mut OperatorOutput) -> bool {
        if state.end >= now {
            return true;
        }
        let closed = std::mem::take(state);
        out.closed.extend(closed.is_alert().then_some(closed));
        false
    }

    fn heap(&self, state: &AlertWindow) -> usize {
        let texts = |pairs: &mut dyn Iterator<Item = &(String, String)>| {
            pairs.map(|(a, b)| 64 + a.len() + b.len()).sum::<usize>()
        };
        state.title.len()
            + texts(&mut state.context.iter())
            + texts(&mut state.observables.iter().take(20))
            + state.events.capacity() * size_of::<EventNumber>()
            + state.distinct.len() * 24
    }
}

#[cfg(test)]
mod tests {
    use yagura_core::{Evidence, Rule};

    use super::*;
    use crate::finding::CompactFinding;
    use crate::objects::ObjectNumbers;
    use crate::operator::testing;

    const MINUTE: i64 = 60_000_000;

    fn found(minute: i64) -> Hit {
        let mut hit = testing::hit(minute);
        hit.time = minute * MINUTE;
        hit.finding = Some(Box::new(CompactFinding {
            rule: 0,
            time: hit.time,
            events: vec![EventNumber {
                time: hit.time,
                object: 0,
                row: 1,
            }],
            key: "k".into(),
            title: format!("at {minute}"),
            severity: (minute == 30).then_some(Severity::Critical),
            observables: vec![("ip".into(), format!("10.0.0.{}", minute % 2))],
            context: vec![],
            fields: vec![],
            continues: false,
            bytes: 0,
        }));
        hit
    }

    fn closed(threshold: u64, hits: &[i64]) -> Vec<AlertWindow> {
        let windows = AlertWindows {
            policies: vec![WindowPolicy {
                length: 60 * MINUTE,
                threshold,
                severity: Severity::Medium,
            }],
            held: HashMap::new(),
        };
        let mut state = AlertWindow::default();
        let mut out = OperatorOutput::default();
        for minute in hits {
            windows.push(&mut state, found(*minute), &mut out);
        }
        windows.advance(&mut state, i64::MAX, &mut out);
        out.closed
    }

    #[test]
    fn a_window_opens_at_its_first_finding() {
        let seen = closed(1, &[0, 30, 59, 60, 90, 125]);
        let windows: Vec<(&str, u64)> = seen.iter().map(|w| (w.title.as_str(), w.count)).collect();
        assert_eq!(windows, [("at 0", 3), ("at 60", 2), ("at 125", 1)]);
        assert_eq!(seen[0].severity, Severity::Critical);
        assert_eq!(seen[1].severity, Severity::Medium);
        assert_eq!(seen[0].last, 59 * MINUTE);
        assert_eq!(seen[0].observables.len(), 2);
        assert_eq!(closed(3, &[0, 30, 59, 60, 90, 125]).len(), 1);
    }

    #[test]
    fn evidence_lists_the_first_events_and_counts_each_once() {
        let minutes: Vec<i64> = (0..50).chain(0..1).collect();
        let windows = closed(1, &minutes);
        assert_eq!((windows[0].count, windows[0].total), (51, 50));
        let rule: Rule = Rule {
            id: "r".into(),
            ..Rule::default()
        };
        let alert = windows[0].alert(&rule, "k", &ObjectNumbers::default());
        assert_eq!(alert.evidence.total, 50);
        assert_eq!(alert.evidence.events.len(), Evidence::LISTED);
    }
}
