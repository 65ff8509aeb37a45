//! Alerts, policies, stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use yagura_alerts::policy::{CompiledPolicy, Policy};
use yagura_alerts::store::AlertRecord;
use yagura_alerts::{Clock, Desk, Location, Store};
use yagura_core::alert::{Observable, identity};
use yagura_core::report::{AlertLine, AlertState};
use yagura_core::{Alert, Evidence, Severity, Timestamp};

/// 2026-01-31T08:00:00Z.
pub(crate) const START: i64 = 1_769_846_400_000_000;
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;

/// A clock that only moves when it is told to.
#[derive(Clone)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START + 1_000 * MINUTE)))
    }

    pub(crate) fn clock(&self) -> Clock {
        let hands = Arc::clone(&self.0);
        Clock::new(move || Timestamp::clamped(hands.load(Ordering::SeqCst)))
    }
}

pub(crate) fn policy(text: &str) -> Arc<CompiledPolicy> {
    let policy: Policy = toml::from_str(text).unwrap();
    Arc::new(CompiledPolicy::compile(&policy).unwrap())
}

/// A policy that tells everything to one notifier.
pub(crate) const SIMPLE: &str = r#"
[notifier.slack]
plugin = "slack/notifier.wasm"
[[route]]
notify = ["slack"]
"#;

/// Returns an alert `seconds` after [`START`].
pub(crate) fn alert(rule: &str, seconds: i64, observables: &[(&str, &str)]) -> Alert {
    let time = Timestamp::clamped(START + seconds * SECOND);
    let key = observables.first().map_or("", |(_, value)| value);
    let mut alert = Alert {
        id: identity(rule, key, time),
        rule: rule.to_owned(),
        title: format!("{rule} by {key}"),
        severity: Severity::Medium,
        key: key.to_owned(),
        window_start: time,
        first_time: time,
        last_time: time,
        count: 1,
        observables: Vec::new(),
        context: Vec::new(),
        tags: Vec::new(),
        evidence: Evidence::default(),
    };
    alert.observables = observables
        .iter()
        .map(|(kind, value)| Observable {
            kind: (*kind).to_owned(),
            value: (*value).to_owned(),
        })
        .collect();
    alert
}

pub(crate) fn graver(mut alert: Alert, severity: Severity) -> Alert {
    alert.severity = severity;
    alert
}

/// Lines that count from one.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Vec<AlertLine>);

impl Lines {
    pub(crate) fn add(&mut self, state: AlertState, alert: &Alert) -> &mut AlertLine {
        self.0.push(AlertLine {
            seq: i64::try_from(self.0.len()).unwrap() + 1,
            state,
            reason: None,
            replaced_by: None,
            alert: alert.clone(),
        });
        self.0.last_mut().unwrap()
    }

    pub(crate) fn provisional(&mut self, alert: &Alert) {
        self.add(AlertState::Provisional, alert);
    }

    pub(crate) fn settle(&mut self, alert: &Alert) {
        self.add(AlertState::Settled, alert);
    }

    pub(crate) fn withdraw(&mut self, alert: &Alert, replaced_by: Option<&Alert>) {
        let line = self.add(AlertState::Withdrawn, alert);
        line.reason = Some("its condition does not hold".to_owned());
        line.replaced_by = replaced_by.map(|alert| alert.id.clone());
    }
}

pub(crate) async fn memory(hands: &Hands) -> Store {
    Store::open(&Location::Memory, hands.clock()).await.unwrap()
}

/// A desk in memory that has taken these lines.
pub(crate) async fn desk_with(text: &str, lines: &Lines) -> Desk {
    let store = memory(&Hands::new()).await;
    let desk = Desk::open(&store, policy(text), &[]).await.unwrap();
    desk.take(&lines.0).await.unwrap();
    desk
}

pub(crate) async fn became(desk: &Desk, alert: &Alert) -> AlertRecord {
    desk.store().alert(&alert.id).await.unwrap().unwrap()
}

/// Returns the incident of an alert that is told.
pub(crate) async fn incident_of(desk: &Desk, alert: &Alert) -> String {
    let record = became(desk, alert).await;
    let why = record.alert.why.unwrap_or_default();
    let missing = format!("{} is {}: {why}", alert.title, record.alert.outcome);
    record.alert.incident.expect(&missing)
}
