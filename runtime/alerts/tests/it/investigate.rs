//! Enrichers at their delays, reviewers after them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use yagura_alerts::deliver::Backoff;
use yagura_alerts::ports::{Enrich, Failure, Review};
use yagura_alerts::store::rows::RunState;
use yagura_alerts::{Deliver, Investigate, InvestigateOptions, Investigators, Triage};
use yagura_core::Severity;
use yagura_core::report::{Assessment, Attribute, Enriched, ReportAlert, Verdict};

use crate::support::{
    Hands, Lines, MINUTE, SECOND, Server, alert, incident_of, memory, policy, ports, quick, until,
};

type Answers<T> = Mutex<Vec<Result<T, Failure>>>;

/// Answers each call with the next of a list, and after its end with the last.
struct Scripted<T>(Answers<T>);

impl<T: Clone> Scripted<T> {
    fn new(mut answers: Vec<Result<T, Failure>>) -> Arc<Self> {
        answers.reverse();
        Arc::new(Self(Mutex::new(answers)))
    }

    fn next(&self) -> Result<T, Failure> {
        let mut left = self.0.lock().unwrap();
        if left.len() > 1 {
            left.pop().unwrap()
        } else {
            left[0].clone()
        }
    }
}

impl Enrich for Scripted<Enriched> {
    fn enrich(&self, _: ReportAlert) -> BoxFuture<'_, Result<Enriched, Failure>> {
        async move { self.next() }.boxed()
    }
}

/// Calls an alert with this attribute harmless.
struct Reviewer(&'static str);

impl Review for Reviewer {
    fn review(
        &self,
        _: ReportAlert,
        attributes: Vec<Attribute>,
    ) -> BoxFuture<'_, Result<Option<Assessment>, Failure>> {
        async move {
            let known = attributes.iter().find(|one| one.value == self.0);
            Ok(known.map(|one| Assessment {
                severity: Severity::Low,
                verdict: Verdict::Benign,
                reason: format!("{} is {}", one.name, one.value),
            }))
        }
        .boxed()
    }
}

fn found(value: &str) -> Result<Enriched, Failure> {
    Ok(Enriched {
        attributes: vec![Attribute {
            name: "owner".to_owned(),
            value: value.to_owned(),
            source: "inventory".to_owned(),
        }],
        observables: Vec::new(),
    })
}

fn fails(message: &str) -> Result<Enriched, Failure> {
    Err(Failure::Retry {
        message: message.to_owned(),
        after: None,
        is_uncertain: false,
    })
}

fn options() -> InvestigateOptions {
    InvestigateOptions {
        poll: Duration::from_millis(20),
        backoff: Backoff {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(4),
        },
        ..InvestigateOptions::default()
    }
}

const POLICY: &str = r#"
[notifier.slack]
plugin = "slack/notifier.wasm"
every = "100ms"
[[route]]
notify = ["slack"]
[[enrich]]
plugin = "inventory/asset.wasm"
delays = ["0s", "5m"]
[[enrich]]
plugin = "intel/reputation.wasm"
[[review]]
plugin = "triage/known.wasm"
"#;

#[tokio::test]
async fn the_investigation_updates_the_same_report() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let triage = Triage::open(&store, policy(POLICY), &[]).await.unwrap();
    let server = Server::with(&[]);
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let investigators = Investigators {
        enrichers: vec![
            Scripted::new(vec![found("unknown"), found("scanner")]),
            Scripted::new(vec![fails("timed out")]),
        ],
        reviewers: vec![Arc::new(Reviewer("scanner"))],
    };
    let investigate = Investigate::start(&triage, investigators, options());
    let mut lines = Lines::default();
    let one = alert("scan", 0, &[("ip", "10.0.0.1")]);
    lines.provisional(&one);
    triage.take(&lines.0).await.unwrap();
    until("the first report", || async { !server.came().is_empty() }).await;
    let id = incident_of(&triage, &one).await;
    until("the first round", || async {
        // For the attempts of the one that fails, and far from the second delay.
        hands.advance(SECOND / 20);
        server.came().len() == 2
    })
    .await;
    let report = server.came()[1].report.clone();
    let value = |name: &str| {
        let found = report.attributes.iter().find(|one| one.name == name);
        found.map(|one| (one.value.as_str(), one.source.as_str()))
    };
    assert_eq!(value("owner"), Some(("unknown", "inventory")));
    assert_eq!(
        value("failed"),
        Some(("timed out", "intel/reputation.wasm"))
    );
    assert!(report.assessments.is_empty());
    assert_eq!(report.earlier.as_deref(), Some("T-1"));
    let runs = store.incident(&id, 1).await.unwrap().runs;
    let failed = runs
        .iter()
        .find(|run| run.state == RunState::Failed)
        .unwrap();
    assert_eq!(failed.attempts, 5);

    hands.advance(5 * MINUTE);
    until("the second round", || async {
        hands.advance(SECOND);
        server.came().len() == 3
    })
    .await;
    let report = server.came()[2].report.clone();
    assert_eq!(report.severity, Severity::Low);
    assert_eq!(report.assessments.len(), 1);
    assert_eq!(report.assessments[0].1.reason, "owner is scanner");
    assert!(report.attributes.iter().all(|one| one.value != "unknown"));
    investigate.stop().await.unwrap();
    deliver.stop().await.unwrap();
    let record = store.incident(&id, 1).await.unwrap();
    assert_eq!(record.incident.verdict, Verdict::Benign);
    // Opened, first round, second round: one revision each.
    assert_eq!(record.incident.revision, 3);
    assert_eq!(server.tickets().len(), 1);
}

#[tokio::test]
async fn a_later_round_that_finds_the_same_says_nothing() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let triage = Triage::open(&store, policy(POLICY), &[]).await.unwrap();
    let investigators = Investigators {
        enrichers: vec![
            Scripted::new(vec![found("unknown")]),
            Scripted::new(vec![found("clean")]),
        ],
        reviewers: vec![Arc::new(Reviewer("scanner"))],
    };
    let investigate = Investigate::start(&triage, investigators, options());
    let mut lines = Lines::default();
    let one = alert("scan", 0, &[("ip", "10.0.0.1")]);
    lines.provisional(&one);
    triage.take(&lines.0).await.unwrap();
    let id = incident_of(&triage, &one).await;
    let done = || async {
        let runs = store.incident(&id, 1).await.unwrap().runs;
        runs.iter()
            .filter(|run| run.state == RunState::Done)
            .count()
    };
    until("the first round", || async {
        store.incident(&id, 1).await.unwrap().incident.revision == 2
    })
    .await;
    hands.advance(5 * MINUTE);
    until("the second round", || async { done().await == 3 }).await;
    investigate.stop().await.unwrap();
    assert_eq!(store.incident(&id, 1).await.unwrap().incident.revision, 2);
}

#[tokio::test]
async fn of_a_flood_the_first_alerts_are_investigated() {
    let text = format!("{POLICY}\n[flood]\nincidents = 1\nper = \"1h\"\n");
    let hands = Hands::new();
    let store = memory(&hands).await;
    let triage = Triage::open(&store, policy(&text), &[]).await.unwrap();
    let mut lines = Lines::default();
    for n in 0..30 {
        lines.provisional(&alert("scan", n, &[("process", &format!("p-{n}"))]));
    }
    triage.take(&lines.0).await.unwrap();
    let last = incident_of(&triage, &lines.0[29].alert).await;
    let runs = store.incident(&last, 100).await.unwrap().runs;
    let mut alerts: Vec<_> = runs.iter().map(|run| run.alert.clone()).collect();
    alerts.dedup();
    assert_eq!(alerts.len(), 5);
}

#[tokio::test]
async fn what_was_withdrawn_is_not_investigated() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let triage = Triage::open(&store, policy(POLICY), &[]).await.unwrap();
    let mut lines = Lines::default();
    let one = alert("scan", 0, &[("ip", "10.0.0.1")]);
    lines.provisional(&one);
    triage.take(&lines.0).await.unwrap();
    let id = incident_of(&triage, &one).await;
    assert_eq!(store.incident(&id, 1).await.unwrap().runs.len(), 3);
    lines.withdraw(&one, None);
    triage.take(&lines.0).await.unwrap();
    assert!(store.incident(&id, 1).await.unwrap().runs.is_empty());
}
