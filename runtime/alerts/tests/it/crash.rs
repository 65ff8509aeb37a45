//! A process that dies at any point reports everything, and nothing twice.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use yagura_alerts::policy::CompiledPolicy;
use yagura_alerts::store::IncidentFilter;
use yagura_alerts::store::rows::DeliveryState;
use yagura_alerts::{
    AlertStore, AlertStoreError, Clock, Deliver, StoreLocation, Triage, TriageError,
};
use yagura_core::report::{AlertLine, AlertState};

use crate::support::{Lines, Server, TestStore, alert, policy, ports, quick};

const POLICY: &str = r#"
[notifier.slack]
plugin = "slack/notifier.wasm"
every = "1ms"
[notifier.jira]
plugin = "jira/notifier.wasm"
every = "1ms"
[[route]]
notify = ["slack", "jira"]
"#;

/// Opens the triage as soon as the process that died has let go of it.
async fn open(location: &StoreLocation, policy: &Arc<CompiledPolicy>) -> (AlertStore, Triage) {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let store = AlertStore::open(location, Clock::system()).await.unwrap();
        match Triage::open(&store, Arc::clone(policy), &[]).await {
            Ok(triage) => return (store, triage),
            Err(TriageError::Store(AlertStoreError::Busy { .. })) => {
                assert!(Instant::now() < give_up, "the dead process holds it still");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Err(error) => unreachable!("{error}"),
        }
    }
}

fn story() -> Vec<AlertLine> {
    let mut lines = Lines::default();
    for n in 0..12i64 {
        let user = format!("user-{}", n % 4);
        let one = alert("scan", n * 600, &[("user", &user)]);
        lines.provisional(&one);
        match n % 3 {
            0 => lines.finalise(&one),
            1 => {
                let next = alert("scan", n * 600 - 60, &[("user", &user)]);
                lines.withdraw(&one, Some(&next));
                lines.provisional(&next);
            }
            _ => {}
        }
    }
    lines.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_tells_everything_and_nothing_twice() {
    let policy = policy(POLICY);
    let lines = story();
    let mut deaths = 0u32;
    let mut uncertain = 0;
    for round in 0..12u64 {
        let place = TestStore::new().await;
        let (slack, jira) = (
            Server::slow(Duration::from_millis(1)),
            Server::slow(Duration::from_micros(300)),
        );
        // What a generator of Lehmer's says, so that a round can be run again.
        let mut dice = (round + 1) * 7_919;
        let mut roll = move |sides: u64| {
            dice = dice * 48_271 % 2_147_483_647;
            dice % sides
        };
        let mut upto = 0;
        // On a busy machine a life may be too short to get anywhere: the next one is longer.
        let mut stuck = 0;
        loop {
            let (store, triage) = open(&place.location, &policy).await;
            let deliver = Deliver::start(
                &triage,
                ports(&[("slack", &slack), ("jira", &jira)]),
                quick(),
            );
            let is_last = upto >= lines.len();
            let before = upto;
            let life = Duration::from_micros(500 + roll(12_000) + stuck * 1_000);
            let work = async {
                while upto < lines.len() {
                    let next = (upto + 1 + usize::try_from(roll(4)).unwrap()).min(lines.len());
                    triage.take(&lines[..next]).await.unwrap();
                    upto = next;
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
                if is_last {
                    while !all_sent(&store).await {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                } else {
                    std::future::pending::<()>().await;
                }
            };
            if is_last {
                tokio::time::timeout(Duration::from_secs(20), work)
                    .await
                    .expect("all is reported in the end");
                deliver.stop().await.unwrap();
                drop(triage);
                let all = IncidentFilter {
                    limit: Some(1_000),
                    ..IncidentFilter::default()
                };
                for incident in store.incidents(&all).await.unwrap() {
                    let record = store.incident(&incident.id, 100).await.unwrap();
                    for (name, server) in [("slack", &slack), ("jira", &jira)] {
                        let tickets = server.tickets();
                        let of = tickets
                            .values()
                            .filter(|reports| reports[0].id == incident.id)
                            .collect::<Vec<_>>();
                        let row = record.deliveries.iter().find(|row| row.notifier == name);
                        if row.unwrap().sent_revision == 0 {
                            assert_eq!(incident.live, 0, "an incident that holds was not reported");
                            continue;
                        }
                        assert_eq!(
                            of.len(),
                            1,
                            "round {round}: tickets at {name} for {}",
                            incident.id
                        );
                        let revisions: Vec<_> =
                            of[0].iter().map(|report| report.revision).collect();
                        assert!(revisions.is_sorted(), "round {round}: {revisions:?}");
                        let last = of[0].last().unwrap();
                        assert_eq!(i64::from(last.revision), incident.revision);
                        let listed = last
                            .alerts
                            .iter()
                            .filter(|one| one.state != AlertState::Withdrawn)
                            .count() as u64;
                        assert_eq!(listed, incident.live);
                    }
                }
                for server in [&slack, &jira] {
                    uncertain += server
                        .came()
                        .iter()
                        .filter(|came| came.report.uncertain)
                        .count();
                }
                store.close().await;
                break;
            }
            let _ = tokio::time::timeout(life, work).await;
            stuck = if upto > before { 0 } else { stuck + 1 };
            // All tasks end where they are.
            drop(deliver);
            drop(triage);
            deaths += 1;
        }
    }
    println!(
        "{deaths} deaths, {uncertain} reports that were sent once more after an attempt without an end"
    );
    assert!(deaths > 24, "{deaths}");
    assert!(
        uncertain > 0,
        "no death fell between an attempt and its end"
    );
}

async fn all_sent(store: &AlertStore) -> bool {
    let all = IncidentFilter {
        limit: Some(1_000),
        ..IncidentFilter::default()
    };
    for incident in store.incidents(&all).await.unwrap() {
        let record = store.incident(&incident.id, 0).await.unwrap();
        let is_idle = |state| state == DeliveryState::Idle;
        if !record.deliveries.iter().all(|row| is_idle(row.state)) {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_breaks_off_at_any_await_is_taken_wholly_or_not() {
    let policy = policy(POLICY);
    let lines = story();
    let place = TestStore::new().await;
    let mut broken = 0;
    for polls in 0.. {
        let (store, triage) = open(&place.location, &policy).await;
        let before = triage.last().await.unwrap();
        let upto = usize::try_from(before).unwrap() + 2;
        if upto > lines.len() {
            break;
        }
        {
            let mut take = pin!(triage.take(&lines[..upto]));
            let mut left = polls * 3;
            let outcome = std::future::poll_fn(|context| match take.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => {
                    left -= 1;
                    Poll::Pending
                }
            })
            .await;
            if let Some(outcome) = outcome {
                outcome.unwrap();
            } else {
                broken += 1;
            }
        }
        // A commit that was on its way is waited for: nobody else writes meanwhile.
        triage.take(&[]).await.unwrap();
        let after = triage.last().await.unwrap();
        assert!(after == before || after == before + 2, "{before} {after}");
        let taken = usize::try_from(after).unwrap();
        for (place, line) in lines.iter().enumerate() {
            let is_known = lines[..taken]
                .iter()
                .any(|one| one.alert.id == line.alert.id);
            let is_there = store.alert(&line.alert.id).await.unwrap().is_some();
            assert_eq!(is_there, is_known, "line {place} of {taken}");
        }
        drop(triage);
        store.close().await;
    }
    println!("{broken} batches broke off");
    assert!(broken > 5, "{broken}");
}
