//! Reports, failures, dead letters, limits.

use std::time::Duration;

use yagura_alerts::store::IncidentFilter;
use yagura_alerts::store::rows::{DeliveryState, IncidentKind};
use yagura_alerts::{AlertStore, Deliver, DeliverOptions, Triage};
use yagura_core::Severity;
use yagura_core::report::{AlertState, IncidentStatus};

use crate::support::{
    Answer, Hands, Lines, MINUTE, SECOND, SIMPLE, Server, alert, incident_of, memory, more_severe,
    policy, ports, quick, until,
};

async fn delivery(store: &AlertStore, incident: &str) -> yagura_alerts::store::rows::DeliveryRow {
    store.incident(incident, 1).await.unwrap().deliveries[0].clone()
}

#[tokio::test]
async fn an_incident_is_one_ticket_from_first_report_to_last() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let server = Server::with(&[]);
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let mut lines = Lines::default();
    let first = alert("scan", 0, &[("ip", "10.0.0.1")]);
    lines.provisional(&first);
    triage.take(&lines.0).await.unwrap();
    until("the first report", || async { server.came().len() == 1 }).await;
    let report = server.came()[0].report.clone();
    assert_eq!((report.revision, report.alert_count), (1, 1));
    assert_eq!(report.alerts[0].state, AlertState::Provisional);
    assert_eq!(report.earlier, None);
    assert!(!report.uncertain);
    assert!(report.text.contains("10.0.0.1"), "{}", report.text);

    // Two changes inside of ten seconds are reported together, after these.
    lines.finalise(&more_severe(first.clone(), Severity::High));
    triage.take(&lines.0).await.unwrap();
    lines.provisional(&alert("login", 5, &[("ip", "10.0.0.1")]));
    triage.take(&lines.0).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.came().len(), 1);
    until("the second report", || async {
        hands.advance(SECOND);
        server.came().len() == 2
    })
    .await;
    let report = server.came()[1].report.clone();
    assert_eq!((report.revision, report.alert_count), (3, 2));
    assert_eq!(report.severity, Severity::High);
    assert_eq!(report.earlier.as_deref(), Some("T-1"));

    let id = incident_of(&triage, &first).await;
    store
        .close_incident(&id, "ann", "a scanner of ours")
        .await
        .unwrap();
    until("the last report", || async {
        hands.advance(SECOND);
        server.came().len() == 3
    })
    .await;
    let report = server.came()[2].report.clone();
    assert_eq!(report.status, IncidentStatus::Closed);
    assert!(
        report.text.contains("Closed by ann: a scanner of ours"),
        "{}",
        report.text
    );
    deliver.stop().await.unwrap();
    assert_eq!(server.tickets().len(), 1);
    let row = delivery(&store, &id).await;
    assert_eq!((row.state, row.sent_revision), (DeliveryState::Idle, 4));
    assert_eq!(row.receipt.as_deref(), Some("T-1"));
}

#[tokio::test]
async fn what_fails_is_tried_again_and_an_answer_that_was_lost_opens_no_second_ticket() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let server = Server::with(&[Answer::Refuse, Answer::TakeAndLose, Answer::Refuse]);
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let mut lines = Lines::default();
    let one = alert("scan", 0, &[("ip", "10.0.0.1")]);
    lines.provisional(&one);
    triage.take(&lines.0).await.unwrap();
    for attempts in 1..4 {
        until("an attempt", || async { server.calls() == attempts }).await;
        let id = incident_of(&triage, &one).await;
        until("its record", || async {
            delivery(&store, &id).await.state == DeliveryState::Due
        })
        .await;
        let row = delivery(&store, &id).await;
        assert_eq!(row.error.as_deref(), Some("it did not work"));
        // After the second attempt nobody knows, and the third, which failed for certain, does not change that.
        assert_eq!(row.is_uncertain, attempts >= 2);
        hands.advance(SECOND);
    }
    until("the report", || async {
        hands.advance(SECOND);
        server.calls() == 4
    })
    .await;
    deliver.stop().await.unwrap();
    assert_eq!(server.tickets().len(), 1);
    let row = delivery(&store, &incident_of(&triage, &one).await).await;
    assert_eq!(row.state, DeliveryState::Idle);
    assert_eq!(
        (row.attempts, row.is_uncertain, row.error),
        (0, false, None)
    );
}

#[tokio::test]
async fn who_asks_to_come_back_later_is_not_asked_sooner() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let server = Server::with(&[Answer::Later(Duration::from_secs(60))]);
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let mut lines = Lines::default();
    lines.provisional(&alert("scan", 0, &[("ip", "10.0.0.1")]));
    triage.take(&lines.0).await.unwrap();
    until("the first attempt", || async { server.calls() == 1 }).await;
    hands.advance(59 * SECOND);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(server.calls(), 1);
    until("the second attempt", || async {
        hands.advance(SECOND);
        server.calls() == 2
    })
    .await;
    deliver.stop().await.unwrap();
}

#[tokio::test]
async fn a_report_that_cannot_be_sent_is_a_dead_letter_that_can_be_sent_again() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let text = SIMPLE.replace("plugin =", "give_up = \"1h\"\nplugin =");
    let triage = Triage::open(&store, policy(&text), &[]).await.unwrap();
    let mut answers = vec![Answer::Never];
    answers.extend([Answer::Refuse; 2]);
    let server = Server::with(&answers);
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let mut lines = Lines::default();
    let never = alert("scan", 0, &[("ip", "10.0.0.1")]);
    lines.provisional(&never);
    triage.take(&lines.0).await.unwrap();
    let dead = || async { store.dead_letters().await.unwrap().len() };
    until("the first dead letter", || async { dead().await == 1 }).await;
    assert_eq!(
        store.dead_letters().await.unwrap()[0].error.as_deref(),
        Some("no such channel")
    );

    let refused = alert("login", 0, &[("user", "ann")]);
    lines.provisional(&refused);
    triage.take(&lines.0).await.unwrap();
    until("an attempt", || async { server.calls() == 2 }).await;
    let id = incident_of(&triage, &refused).await;
    until("its record", || async {
        delivery(&store, &id).await.failing_since.is_some()
    })
    .await;
    hands.advance(61 * MINUTE);
    until("the second dead letter", || async { dead().await == 2 }).await;

    assert_eq!(store.resend(Some(&id), None, "ann").await.unwrap(), 1);
    until("the report", || async {
        hands.advance(SECOND);
        server.came().len() == 1
    })
    .await;
    // Something new is worth another try, too.
    lines.finalise(&never);
    triage.take(&lines.0).await.unwrap();
    until("the other report", || async {
        hands.advance(SECOND);
        server.came().len() == 2
    })
    .await;
    deliver.stop().await.unwrap();
    assert_eq!(dead().await, 0);
    let history = store.incident(&id, 1).await.unwrap().history;
    let what: Vec<_> = history.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(
        what,
        [
            "opened: login by ann",
            "given up: it did not work",
            "sent again to slack",
            "first report arrived"
        ]
    );
}

#[tokio::test]
async fn a_notifier_that_hangs_holds_up_itself_alone() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let text = r#"
[notifier.slack]
plugin = "slack/notifier.wasm"
[notifier.pager]
plugin = "pager/notifier.wasm"
[[route]]
notify = ["pager", "slack"]
"#;
    let triage = Triage::open(&store, policy(text), &[]).await.unwrap();
    let slack = Server::with(&[]);
    let pager = Server::with(&[Answer::Hang; 6]);
    let options = DeliverOptions {
        deadline: Duration::from_millis(300),
        ..quick()
    };
    let deliver = Deliver::start(
        &triage,
        ports(&[("slack", &slack), ("pager", &pager)]),
        options,
    );
    let mut lines = Lines::default();
    for n in 0..20 {
        lines.provisional(&alert("scan", n, &[("ip", &format!("10.0.0.{n}"))]));
    }
    let begin = std::time::Instant::now();
    triage.take(&lines.0).await.unwrap();
    until("slack", || async { slack.came().len() == 20 }).await;
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    // Four at a time.
    assert!(pager.calls() <= 4 || begin.elapsed() > Duration::from_millis(300));
    until("pager", || async {
        hands.advance(SECOND);
        pager.tickets().len() == 20
    })
    .await;
    deliver.stop().await.unwrap();
    // What hung may have arrived, and the next attempt said so.
    let uncertain = pager
        .came()
        .iter()
        .filter(|came| came.report.uncertain)
        .count();
    assert_eq!(uncertain, 6);
}

#[tokio::test]
async fn incidents_over_the_limit_are_reported_in_one_summary() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let text = SIMPLE.replace(
        "plugin =",
        "limit = { incidents = 3, per = \"1h\" }\nplugin =",
    );
    let triage = Triage::open(&store, policy(&text), &[]).await.unwrap();
    let server = Server::with(&[]);
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let mut lines = Lines::default();
    let all: Vec<_> = (0..10)
        .map(|n| alert(&format!("rule-{n}"), n, &[("host", &format!("web-{n}"))]))
        .collect();
    for one in &all {
        lines.provisional(one);
    }
    triage.take(&lines.0).await.unwrap();
    let summary_of = || async {
        let filter = IncidentFilter {
            kind: Some(IncidentKind::Summary),
            ..IncidentFilter::default()
        };
        store.incidents(&filter).await.unwrap()
    };
    until("the summary", || async {
        hands.advance(SECOND);
        let last = server.came().last().map(|came| came.report.clone());
        last.is_some_and(|report| report.alert_count == 7)
    })
    .await;
    assert_eq!(server.tickets().len(), 4);
    let summary = summary_of().await;
    assert_eq!(summary.len(), 1);
    assert_eq!(summary[0].alerts, 7);
    let report = server.came().last().unwrap().report.clone();
    assert_eq!(report.id, summary[0].id);
    let summarised = store
        .incident(&summary[0].id, 100)
        .await
        .unwrap()
        .summarised;
    for one in &summarised {
        let rule = one.rule.clone().unwrap();
        assert!(report.text.contains(&rule), "{rule} in {}", report.text);
    }
    // Later changes are reported by the summary.
    let changed = summarised[0].clone();
    let place = all
        .iter()
        .position(|one| Some(&one.rule) == changed.rule.as_ref());
    lines.finalise(&more_severe(
        all[place.unwrap()].clone(),
        Severity::Critical,
    ));
    triage.take(&lines.0).await.unwrap();
    until("the changed summary", || async {
        hands.advance(SECOND);
        server.came().last().unwrap().report.severity == Severity::Critical
    })
    .await;
    assert_eq!(server.tickets().len(), 4);
    // After an hour incidents are reported one by one again.
    hands.advance(60 * MINUTE);
    lines.provisional(&alert("rule-11", 100, &[("host", "web-11")]));
    triage.take(&lines.0).await.unwrap();
    until("the next incident", || async {
        server.tickets().len() == 5
    })
    .await;
    deliver.stop().await.unwrap();
    assert_eq!(summary_of().await.len(), 1);
}

#[tokio::test]
async fn what_a_policy_no_longer_names_is_a_dead_letter() {
    let hands = Hands::new();
    let store = memory(&hands).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let mut lines = Lines::default();
    lines.provisional(&alert("scan", 0, &[("ip", "10.0.0.1")]));
    triage.take(&lines.0).await.unwrap();
    drop(triage);
    Triage::open(&store, policy(""), &[]).await.unwrap();
    let dead = store.dead_letters().await.unwrap();
    assert_eq!(dead.len(), 1);
    assert!(dead[0].error.as_deref().unwrap().contains("policy"));
}

#[tokio::test]
async fn a_report_sent_after_a_backup_is_looked_for_before_it_is_sent_again() {
    let mut lines = Lines::default();
    let (before, after) = (
        alert("scan", 0, &[("ip", "10.0.0.1")]),
        alert("scan", 60, &[("ip", "10.0.0.2")]),
    );
    lines.provisional(&before);
    lines.provisional(&after);
    let hands = Hands::new();
    let server = Server::with(&[]);
    // One store went on, the other is the backup: it has the first incident, and no report was sent.
    let stores = [memory(&hands).await, memory(&hands).await];
    for (number, store) in stores.iter().enumerate() {
        let triage = Triage::open(store, policy(SIMPLE), &[]).await.unwrap();
        if number == 1 {
            triage.take(&lines.0[..1]).await.unwrap();
            store.mark_restored().await.unwrap();
        }
        triage.take(&lines.0).await.unwrap();
        let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
        let reports = 2 * (number + 1);
        until("both reports", || async { server.came().len() == reports }).await;
        deliver.stop().await.unwrap();
        assert_eq!(server.tickets().len(), 2);
    }
    // Later changes are reported as ever.
    let triage = Triage::open(&stores[1], policy(SIMPLE), &[]).await.unwrap();
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    lines.provisional(&alert("scan", 100_000, &[("ip", "10.0.0.3")]));
    triage.take(&lines.0).await.unwrap();
    until("the new report", || async { server.came().len() == 5 }).await;
    assert!(!server.came()[4].report.uncertain);
    deliver.stop().await.unwrap();
}
