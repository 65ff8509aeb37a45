//! Who may use a store, and what it must withstand.

use yagura_alerts::store::IncidentFilter;
use yagura_alerts::{Deliver, Desk, DeskError, Location, Store, StoreError};

use crate::support::{
    Hands, Lines, Place, SIMPLE, Server, alert, became, desk_with, incident_of, policy, ports,
    quick,
};

#[tokio::test]
async fn a_store_has_one_desk_and_a_form_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alerts.sqlite");
    let location: Location = format!("sqlite://{}", file.display()).parse().unwrap();
    let hands = Hands::new();
    let error = Store::open_existing(&location, hands.clock())
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Absent { .. }), "{error}");
    let store = Store::open(&location, hands.clock()).await.unwrap();
    let desk = Desk::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let beside = Store::open_existing(&location, hands.clock())
        .await
        .unwrap();
    let error = Desk::open(&beside, policy(SIMPLE), &[]).await.unwrap_err();
    assert!(
        matches!(error, DeskError::Store(StoreError::Busy { .. })),
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
    drop(desk);
    Desk::open(&beside, policy(SIMPLE), &[]).await.unwrap();
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
    let error = Store::open(&location, hands.clock()).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Version { found: 99, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_an_attacker_writes_into_logs_does_not_stop_the_desk() {
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
    let desk = desk_with(SIMPLE, &lines).await;
    let id = incident_of(&desk, &one).await;
    assert_eq!(incident_of(&desk, &same).await, id);
    assert_eq!(incident_of(&desk, &same_long).await, id);
    assert_ne!(incident_of(&desk, &other_long).await, id);
    // The alert itself is kept as it came.
    assert_eq!(became(&desk, &one).await.alert.alert, one);
    let filter = IncidentFilter {
        observable: Some(("host".to_owned(), long)),
        ..IncidentFilter::default()
    };
    let found = desk.store().incidents(&filter).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, id);
}

#[tokio::test]
async fn who_was_replaced_writes_nothing() {
    let place = Place::new().await;
    let hands = Hands::new();
    let store = place.open(hands.clock()).await;
    let desk = Desk::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let error = Desk::open(&store, policy(SIMPLE), &[]).await.unwrap_err();
    assert!(
        matches!(error, DeskError::Store(StoreError::Busy { .. })),
        "{error}"
    );
    let mut lines = Lines::default();
    lines.provisional(&alert("scan", 0, &[("ip", "10.0.0.1")]));
    desk.take(&lines.0).await.unwrap();
    // As if its lock had been lost, and another process had come.
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&place.url()).await.unwrap();
    sqlx::query("UPDATE meta SET value = value + 1 WHERE name = 'term'")
        .execute(&pool)
        .await
        .unwrap();
    lines.provisional(&alert("scan", 9, &[("ip", "10.0.0.1")]));
    let error = desk.take(&lines.0).await.unwrap_err();
    assert!(
        matches!(error, DeskError::Store(StoreError::TakenOver)),
        "{error}"
    );
    let server = Server::with(&[]);
    let mut deliver = Deliver::start(&desk, ports(&[("slack", &server)]), quick());
    let error = deliver.failed().await;
    assert!(matches!(error, StoreError::TakenOver), "{error}");
    assert_eq!(server.calls(), 0);
}
