//! Events by observable and time, over tables that were ingested.

use std::collections::BTreeMap;

use yagura_core::TimeRange;
use yagura_engine::search::{EventQuery, EventSearch, FoundEvent, SearchError, SearchedTable};
use yagura_lake::Location;
use yagura_lake::table::{OnProblem, TableConfig};
use yagura_tests::command::yagura;
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::time;

/// A table of leases over two days, and a search over it.
fn leases(place: &Scratch, observables: &[(&str, &[&str])]) -> EventSearch {
    let day = 86_400;
    let lines = [
        (10, "10.0.0.7", "mac-7", r#"["10.0.0.7","10.0.0.8"]"#),
        (20, "10.0.0.8", "MAC-8", r#"["10.0.0.9"]"#),
        (30, "10.0.0.7", "mac-9", "[]"),
        (day + 10, "10.0.0.7", "mac-3", "[]"),
    ];
    let lines = lines.map(|(second, ip, host, answers)| {
        let time = time(second);
        format!("{{\"time\":\"{time}\",\"assigned_ip\":\"{ip}\",\"hostname\":\"{host}\",\"answers\":{answers},\"lease\":{{\"seconds\":{second}}}}}\n")
    });
    table(place, &lines.concat(), observables)
}

/// A table of these lines, and a search over it.
fn table(place: &Scratch, lines: &str, observables: &[(&str, &[&str])]) -> EventSearch {
    place.write("raw.ndjson", lines);
    let (lake, raw) = (place.path("lake"), place.path("raw.ndjson"));
    yagura(&["ingest", "--table", "dhcp", "--to", &lake, &raw]).must_work();
    let config = TableConfig {
        name: "dhcp".to_owned(),
        location: Location::parse(&lake, &BTreeMap::new())
            .unwrap()
            .join("dhcp"),
        time: None,
        day_partition: None,
        time_unit: None,
        on_null_time: None,
        on_bad_file: OnProblem::Fail,
    };
    let observables = observables.iter().map(|(kind, columns)| {
        let columns = columns.iter().map(|column| column.parse().unwrap());
        ((*kind).to_owned(), columns.collect())
    });
    EventSearch::new([SearchedTable {
        config,
        observables: observables.collect(),
    }])
}

fn query(kind: &str, value: &str) -> EventQuery {
    EventQuery {
        table: "dhcp".to_owned(),
        kind: kind.to_owned(),
        value: value.to_owned(),
        range: TimeRange::default(),
        columns: vec![
            "hostname".parse().unwrap(),
            "lease.seconds".parse().unwrap(),
        ],
        limit: 100,
    }
}

fn hosts(events: &[FoundEvent]) -> Vec<&str> {
    let first = events.iter().map(|event| event.values[0].as_deref());
    first.map(|host| host.unwrap_or("-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observable_is_found_in_every_column_that_holds_its_kind() {
    let place = Scratch::new();
    let search = leases(&place, &[]);
    let found = search.find(&query("ip", "10.0.0.7")).await.unwrap();
    assert_eq!(hosts(&found.events), ["mac-7", "mac-9", "mac-3"]);
    assert_eq!(found.events[0].values[1].as_deref(), Some("10"));
    assert!(!found.is_truncated);
    // In a list, and in another column.
    let found = search.find(&query("ip", "10.0.0.8")).await.unwrap();
    assert_eq!(hosts(&found.events), ["mac-7", "MAC-8"]);
    // Names without regard to case.
    let found = search.find(&query("host", "mac-8")).await.unwrap();
    assert_eq!(hosts(&found.events), ["MAC-8"]);
    assert!(
        search
            .find(&query("host", "mac"))
            .await
            .unwrap()
            .events
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_limit_bound_what_is_found() {
    let place = Scratch::new();
    let search = leases(&place, &[]);
    let mut asked = query("ip", "10.0.0.7");
    asked.range = TimeRange::new(
        Some(time(11).parse().unwrap()),
        Some(time(86_410).parse().unwrap()),
    )
    .unwrap();
    // The start lies inside, the end does not.
    let found = search.find(&asked).await.unwrap();
    assert_eq!(hosts(&found.events), ["mac-9"]);
    let mut asked = query("ip", "10.0.0.7");
    asked.limit = 2;
    let found = search.find(&asked).await.unwrap();
    assert_eq!(hosts(&found.events), ["mac-9", "mac-3"], "the latest");
    assert!(found.is_truncated);
    asked.limit = 3;
    assert!(!search.find(&asked).await.unwrap().is_truncated);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_are_found_whatever_there_was_before() {
    let place = Scratch::new();
    let lines = (0..50_000).map(|second| {
        let time = time(second);
        format!("{{\"time\":\"{time}\",\"assigned_ip\":\"10.0.0.7\",\"hostname\":\"h{second}\"}}\n")
    });
    let search = table(&place, &lines.collect::<String>(), &[]);
    let mut asked = query("ip", "10.0.0.7");
    asked.columns.truncate(1);
    asked.limit = 3;
    asked.range = TimeRange::new(
        Some(time(0).parse().unwrap()),
        Some(time(49_000).parse().unwrap()),
    )
    .unwrap();
    let found = search.find(&asked).await.unwrap();
    assert_eq!(hosts(&found.events), ["h48997", "h48998", "h48999"]);
    assert!(found.is_truncated);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_searched_is_said_with_the_next_step() {
    let place = Scratch::new();
    let search = leases(&place, &[]);
    let mut asked = query("ip", "10.0.0.7");
    asked.table = "dhpc".to_owned();
    let error = search.find(&asked).await.unwrap_err();
    assert!(
        error.to_string().contains("did you mean `dhcp`?"),
        "{error}"
    );
    let error = search
        .find(&query("email", "a@example.com"))
        .await
        .unwrap_err();
    assert!(matches!(error, SearchError::NoColumn { .. }));
    assert!(
        error.to_string().contains("[table.dhcp.observables]"),
        "{error}"
    );
    // Named by the configuration, another column is searched, and the usual ones are not.
    let place = Scratch::new();
    let search = leases(&place, &[("ip", &["answers"])]);
    let found = search.find(&query("ip", "10.0.0.7")).await.unwrap();
    assert_eq!(hosts(&found.events), ["mac-7"]);
}
