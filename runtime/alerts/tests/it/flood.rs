//! Ten thousand alerts of one rule in an hour, beside others.

use std::time::{Duration, Instant};

use yagura_alerts::store::IncidentFilter;
use yagura_alerts::store::rows::IncidentKind;
use yagura_alerts::{Deliver, Triage};

use crate::support::{
    Hands, Lines, SECOND, SIMPLE, Server, TestStore, alert, policy, ports, quick, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_alerts_are_one_flood_and_others_are_not_delayed() {
    let hands = Hands::new();
    let place = TestStore::new().await;
    let store = place.open(hands.clock()).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let server = Server::with(&[]);
    let deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let mut lines = Lines::default();
    let mut others = Vec::new();
    for n in 0..10_000i64 {
        let at = n * 3_600 / 10_000;
        lines.provisional(&alert("broken", at, &[("process", &format!("p-{n}"))]));
        if n % 1_000 == 500 {
            let other = alert("fine", at, &[("user", &format!("u-{n}"))]);
            lines.provisional(&other);
            others.push(other);
        }
    }
    let mut longest = Duration::ZERO;
    let mut seen = 0;
    for batch in lines.0.chunks(250) {
        let begin = Instant::now();
        triage.take(batch).await.unwrap();
        let reported = batch
            .iter()
            .filter(|line| line.alert.rule == "fine")
            .count();
        if reported > 0 {
            seen += reported;
            until("the other rule's report", || async {
                let came = server.came();
                came.iter()
                    .filter(|came| came.report.alerts[0].alert.rule == "fine")
                    .count()
                    == seen
            })
            .await;
            longest = longest.max(begin.elapsed());
        }
        // As much time passes as the events took.
        hands.advance(90 * SECOND);
    }
    assert_eq!(seen, 10);
    let all = IncidentFilter {
        limit: Some(1_000),
        ..IncidentFilter::default()
    };
    let incidents = store.incidents(&all).await.unwrap();
    let floods: Vec<_> = incidents
        .iter()
        .filter(|row| row.kind == IncidentKind::Flood)
        .collect();
    assert_eq!(floods.len(), 1);
    assert_eq!(floods[0].alerts, 10_000 - 20);
    assert_eq!(incidents.len(), 20 + 1 + 10);
    let flood = floods[0].id.clone();
    until("the flood's last report", || async {
        hands.advance(10 * SECOND);
        let came = server.came();
        came.iter()
            .any(|came| came.report.id == flood && came.report.alert_count == 9_980)
    })
    .await;
    deliver.stop().await.unwrap();
    // One ticket an incident; the flood's is updated, once a batch at most.
    assert_eq!(server.tickets().len(), 31);
    let updates = server
        .came()
        .iter()
        .filter(|came| came.report.id == flood)
        .count();
    assert!(updates <= 45, "{updates} reports of the flood");
    println!(
        "31 tickets, {updates} reports of the flood, other alerts reported after at most {longest:?}"
    );
    if crate::support::on_postgres().is_none() {
        assert!(longest < Duration::from_secs(2), "{longest:?}");
    }
}
