//! What humans do, from another process, while the service runs.

use yagura_alerts::store::rows::{CallRow, Outcome};
use yagura_alerts::store::{AlertFilter, CallFilter, IncidentFilter};
use yagura_alerts::{AlertStore, AlertStoreError, Deliver, Triage};
use yagura_core::report::IncidentStatus;
use yagura_core::{Severity, Timestamp};

use crate::support::{
    Hands, Lines, MINUTE, SECOND, SIMPLE, START, Server, TestStore, alert, incident_of,
    more_severe, policy, ports, quick, until,
};

#[tokio::test]
async fn an_act_beside_the_service_is_reported() {
    let hands = Hands::new();
    let place = TestStore::new().await;
    let store = place.open(hands.clock()).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let server = Server::with(&[]);
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let mut lines = Lines::default();
    let one = alert("scan", 0, &[("ip", "10.0.0.1")]);
    lines.provisional(&one);
    triage.take(&lines.0).await.unwrap();
    until("the first report", || async { server.came().len() == 1 }).await;
    let id = incident_of(&triage, &one).await;
    // Its own connections, as another process has.
    let beside = AlertStore::open_existing(&place.location, hands.clock())
        .await
        .unwrap();
    beside.acknowledge(&id, "ann").await.unwrap();
    until("the acknowledgement", || async {
        hands.advance(SECOND);
        server.came().len() == 2
    })
    .await;
    assert_eq!(server.came()[1].report.status, IncidentStatus::Acknowledged);
    beside.close_incident(&id, "ann", "done").await.unwrap();
    let error = beside.close_incident(&id, "bob", "done").await.unwrap_err();
    assert!(matches!(error, AlertStoreError::NotNow { .. }), "{error}");
    beside.reopen(&id, "bob").await.unwrap();
    until("the end", || async {
        hands.advance(SECOND);
        server.came().len() == 3
    })
    .await;
    assert_eq!(server.came()[2].report.status, IncidentStatus::Open);
    let error = beside.acknowledge("abcdef", "ann").await.unwrap_err();
    assert!(
        matches!(error, AlertStoreError::NoIncident { .. }),
        "{error}"
    );
    let error = beside.acknowledge("%", "ann").await.unwrap_err();
    assert!(
        matches!(error, AlertStoreError::NoIncident { .. }),
        "{error}"
    );
    deliver.stop().await.unwrap();
}

#[tokio::test]
async fn lists_are_narrowed_by_what_is_asked_for() {
    let hands = Hands::new();
    let place = TestStore::new().await;
    let store = place.open(hands.clock()).await;
    let text = format!("{SIMPLE}\n[staging]\nrules = [\"trial\"]\n");
    let triage = Triage::open(&store, policy(&text), &[]).await.unwrap();
    let mut lines = Lines::default();
    let low = more_severe(alert("scan", 0, &[("ip", "10.0.0.1")]), Severity::Low);
    let high = more_severe(alert("login", 7_200, &[("user", "ann")]), Severity::High);
    for one in [&low, &high, &alert("trial", 60, &[("user", "bob")])] {
        lines.provisional(one);
    }
    triage.take(&lines.0).await.unwrap();
    let ids = |filter: IncidentFilter| {
        let store = store.clone();
        async move {
            let rows = store.incidents(&filter).await.unwrap();
            rows.into_iter()
                .filter_map(|row| row.rule)
                .collect::<Vec<_>>()
        }
    };
    let all = IncidentFilter::default();
    assert_eq!(ids(all.clone()).await, ["login", "scan"]);
    let severity = Some(Severity::High);
    assert_eq!(
        ids(IncidentFilter {
            severity,
            ..all.clone()
        })
        .await,
        ["login"]
    );
    let rule = Some("scan".to_owned());
    assert_eq!(
        ids(IncidentFilter {
            rule,
            ..all.clone()
        })
        .await,
        ["scan"]
    );
    let since = Some(Timestamp::clamped(START + 60 * MINUTE));
    assert_eq!(
        ids(IncidentFilter {
            since,
            ..all.clone()
        })
        .await,
        ["login"]
    );
    let observable = Some(("ip".to_owned(), "10.0.0.1".to_owned()));
    assert_eq!(
        ids(IncidentFilter {
            observable,
            ..all.clone()
        })
        .await,
        ["scan"]
    );
    let status = vec![IncidentStatus::Closed, IncidentStatus::Acknowledged];
    assert!(
        ids(IncidentFilter {
            status,
            ..all.clone()
        })
        .await
        .is_empty()
    );
    let limit = Some(1);
    assert_eq!(ids(IncidentFilter { limit, ..all }).await, ["login"]);
    let staged = AlertFilter {
        outcome: Some(Outcome::Staged),
        ..AlertFilter::default()
    };
    let staged = store.alerts(&staged).await.unwrap();
    assert_eq!(staged.len(), 1);
    assert_eq!(staged[0].alert.rule, "trial");
}

#[tokio::test]
async fn what_is_old_and_done_with_is_removed() {
    let hands = Hands::new();
    let place = TestStore::new().await;
    let store = place.open(hands.clock()).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let server = Server::with(&[]);
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let mut lines = Lines::default();
    let done = alert("scan", 0, &[("ip", "10.0.0.1")]);
    let open = alert("login", 0, &[("user", "ann")]);
    lines.provisional(&done);
    lines.provisional(&open);
    triage.take(&lines.0).await.unwrap();
    let id = incident_of(&triage, &done).await;
    store
        .record_calls(&[CallRow {
            at: store.clock().now(),
            plugin: "intel/reputation.wasm".to_owned(),
            subject: done.id.clone(),
            method: "GET".to_owned(),
            url: "https://intel.example/10.0.0.1?key={{secret:INTEL}}".to_owned(),
            status: Some(200),
            bytes_sent: 0,
            bytes_received: 17,
            micros: 1_200,
            is_cached: false,
            error: None,
        }])
        .await
        .unwrap();
    assert_eq!(store.incident(&id, 1).await.unwrap().calls.len(), 1);
    until("the reports", || async { server.came().len() == 2 }).await;
    store.close_incident(&id, "ann", "done").await.unwrap();
    let old = hands.clock().now().saturating_add(60 * MINUTE);
    // The report that it was closed is still due.
    assert_eq!(store.prune(old, false).await.unwrap().incidents, 0);
    until("the last report", || async {
        hands.advance(SECOND);
        server.came().len() == 3
    })
    .await;
    deliver.stop().await.unwrap();
    let early = Timestamp::clamped(START);
    assert_eq!(store.prune(early, true).await.unwrap().incidents, 0);
    let pruned = store.prune(old, false).await.unwrap();
    assert_eq!((pruned.incidents, pruned.alerts), (1, 1));
    assert!(
        store
            .calls(&CallFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.alert(&done.id).await.unwrap().is_none());
    assert!(store.alert(&open.id).await.unwrap().is_some());
    assert_eq!(store.prune(old, true).await.unwrap().incidents, 1);
}

#[tokio::test]
async fn answers_are_kept_until_they_expire() {
    let hands = Hands::new();
    let place = TestStore::new().await;
    let store = place.open(hands.clock()).await;
    let later = hands.clock().now().saturating_add(MINUTE);
    store.keep_answer("key", "one", later).await.unwrap();
    store.keep_answer("key", "two", later).await.unwrap();
    assert_eq!(
        store.kept_answer("key").await.unwrap().as_deref(),
        Some("two")
    );
    assert_eq!(store.kept_answer("other").await.unwrap(), None);
    hands.advance(MINUTE);
    assert_eq!(store.kept_answer("key").await.unwrap(), None);
}
