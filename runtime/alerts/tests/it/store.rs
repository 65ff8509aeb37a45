//! Who may use a store, and what it must withstand.

use std::time::{Duration, Instant};

use yagura_alerts::store::IncidentFilter;
use yagura_alerts::triage::Feed;
use yagura_alerts::{AlertStore, AlertStoreError, Deliver, StoreLocation, Triage, TriageError};

use crate::support::{
    Hands, Lines, SIMPLE, Server, TestStore, alert, became, incident_of, policy, ports, quick,
    triage_with,
};

#[tokio::test]
async fn a_store_has_one_triage_and_a_schema_version_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alerts.sqlite");
    let location: StoreLocation = format!("sqlite://{}", file.display()).parse().unwrap();
    let hands = Hands::new();
    let error = AlertStore::open_existing(&location, hands.clock())
        .await
        .unwrap_err();
    assert!(matches!(error, AlertStoreError::Absent { .. }), "{error}");
    let store = AlertStore::open(&location, hands.clock()).await.unwrap();
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let beside = AlertStore::open_existing(&location, hands.clock())
        .await
        .unwrap();
    let error = Triage::open(&beside, policy(SIMPLE), &[])
        .await
        .unwrap_err();
    assert!(
        matches!(error, TriageError::Store(AlertStoreError::Busy { .. })),
        "{error}"
    );
    // Reading is free.
    assert!(
        beside
            .incidents(&IncidentFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
    drop(triage);
    Triage::open(&beside, policy(SIMPLE), &[]).await.unwrap();
    store.close().await;
    beside.close().await;

    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    sqlx::query("INSERT INTO schema_version (version) VALUES (99)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let error = AlertStore::open(&location, hands.clock())
        .await
        .unwrap_err();
    assert!(
        matches!(error, AlertStoreError::Version { found: 99, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_an_attacker_writes_into_logs_does_not_stop_the_triage() {
    let mut lines = Lines::default();
    // Digits that no database makes smaller.
    let long: String = (0..2_000u64)
        .map(|n| format!("{:016x}", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let nul = "ann\0' OR 1=1 --";
    let mut one = alert("scan", 0, &[("user", nul), ("host", &long)]);
    one.title = "a\0title\u{202e}".to_owned();
    let same = alert("login", 10, &[("user", nul)]);
    let same_long = alert("login", 20, &[("host", &long)]);
    let other_long = alert("login", 30, &[("host", &format!("{long}!"))]);
    for one in [&one, &same, &same_long, &other_long] {
        lines.provisional(one);
    }
    lines.withdraw(&same, None).reason = Some("be\0cause".to_owned());
    let triage = triage_with(SIMPLE, &lines).await;
    let id = incident_of(&triage, &one).await;
    assert_eq!(incident_of(&triage, &same).await, id);
    assert_eq!(incident_of(&triage, &same_long).await, id);
    assert_ne!(incident_of(&triage, &other_long).await, id);
    // The alert itself is kept as it came.
    assert_eq!(became(&triage, &one).await.alert.alert, one);
    let filter = IncidentFilter {
        observable: Some(("host".to_owned(), long)),
        ..IncidentFilter::default()
    };
    let found = triage.store().incidents(&filter).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, id);
}

#[tokio::test]
async fn who_was_replaced_writes_nothing() {
    let place = TestStore::new().await;
    let hands = Hands::new();
    let store = place.open(hands.clock()).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let error = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap_err();
    assert!(
        matches!(error, TriageError::Store(AlertStoreError::Busy { .. })),
        "{error}"
    );
    let mut lines = Lines::default();
    lines.provisional(&alert("scan", 0, &[("ip", "10.0.0.1")]));
    triage.take(&lines.0).await.unwrap();
    // As if its lock had been lost, and another process had come.
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&place.url()).await.unwrap();
    sqlx::query("UPDATE meta SET value = value + 1 WHERE name = 'term'")
        .execute(&pool)
        .await
        .unwrap();
    lines.provisional(&alert("scan", 9, &[("ip", "10.0.0.1")]));
    let error = triage.take(&lines.0).await.unwrap_err();
    assert!(
        matches!(error, TriageError::Store(AlertStoreError::TakenOver)),
        "{error}"
    );
    let server = Server::with(&[]);
    let mut deliver = Deliver::start(&triage, ports(&[("slack", &server)]), quick());
    let error = deliver.failed().await;
    assert!(matches!(error, AlertStoreError::TakenOver), "{error}");
    assert_eq!(server.calls(), 0);
}

/// Opens a store as a service does, and takes a line that is known and one that is not.
async fn serve(location: &StoreLocation, lines: &Lines) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| {
        let source = error.source().map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    };
    let store = AlertStore::open(location, Hands::new().clock()).await;
    let store = store.map_err(|error| text(&error))?;
    let answer = async {
        let triage = Triage::open(&store, policy(SIMPLE), &[]).await?;
        triage
            .follow(Feed {
                state: 1,
                delivered: 0,
                last: 9,
            })
            .await?;
        triage.take(&lines.0).await?;
        triage.store().incidents(&IncidentFilter::default()).await?;
        Ok::<_, TriageError>(())
    };
    let answer = answer.await.map_err(|error| text(&error));
    store.close().await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_a_flipped_byte_works_or_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alerts.db");
    let location = StoreLocation::Sqlite(file.clone());
    let mut lines = Lines::default();
    for n in 0..12 {
        let user = format!("user-{n}");
        lines.provisional(&alert("scan", n, &[("user", &user), ("ip", "10.0.0.1")]));
    }
    serve(&location, &lines).await.unwrap();
    lines.provisional(&alert("scan", 99, &[("ip", "10.0.0.1")]));
    let whole = std::fs::read(&file).unwrap();
    // All of the header, the head of each page, and places inside.
    let header = (0..100).map(|at| (at, 0xff));
    let bits = [18, 19, 20, 47, 59, 63].map(|at| (at, 0x01));
    let pages = (0..whole.len()).step_by(4_096);
    let heads = pages.flat_map(|page| [0, 5, 9].map(|at| (page + at, 0xff)));
    let inside = (100..whole.len()).step_by(2_027).map(|at| (at, 0x55));
    let mut refused = 0;
    let mut slowest = Duration::ZERO;
    for (at, flip) in header.chain(bits).chain(heads).chain(inside) {
        let mut damaged = whole.clone();
        damaged[at] ^= flip;
        for name in ["alerts.db-wal", "alerts.db-shm"] {
            let _ = std::fs::remove_file(dir.path().join(name));
        }
        std::fs::write(&file, &damaged).unwrap();
        let start = Instant::now();
        let answer = tokio::time::timeout(Duration::from_secs(20), serve(&location, &lines)).await;
        let answer = answer.unwrap_or_else(|_| panic!("byte {at} ^ {flip:#x} hangs"));
        slowest = slowest.max(start.elapsed());
        if let Err(reason) = answer {
            refused += 1;
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "byte {at} ^ {flip:#x} is refused after {:?}: {reason}",
                start.elapsed()
            );
            assert!(reason.len() > 20, "byte {at}: {reason}");
        }
    }
    assert!(refused > 50, "{refused} were refused; slowest {slowest:?}");
    // What is no database at all, and half of one.
    for bytes in [
        &b"no database, and long enough to be looked at as one"[..],
        &whole[..whole.len() / 2],
    ] {
        std::fs::write(&file, bytes).unwrap();
        let start = Instant::now();
        let error = AlertStore::open(&location, Hands::new().clock())
            .await
            .unwrap_err();
        assert!(matches!(error, AlertStoreError::Unusable { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(2), "{error}");
        assert!(error.to_string().contains("alerts.db"), "{error}");
    }
}
