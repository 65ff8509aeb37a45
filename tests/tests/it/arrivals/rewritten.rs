//! An object that is rewritten while a service runs: its rows are replaced, and rules see the new ones.

use super::*;

/// Returns how often `yagura source status` says that rows were replaced.
fn replaced(place: &Place) -> u64 {
    place.status_of("gates")["replaced"]
        .as_u64()
        .unwrap_or_default()
}

fn records(numbers: &[usize]) -> Vec<String> {
    let of = numbers.iter().flat_map(|number| users(*number));
    let mut records: Vec<String> = of.map(|user| record(&user)).collect();
    records.sort();
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_object_replaces_its_rows_and_rules_see_the_new_ones() {
    let place = Place::new();
    place.0.write("store/raw/gates/.keep", "");
    let store = S3Server::start(place.path("store").as_ref()).await.unwrap();
    let options = store.settings();
    place.configure(
        // Only what was ingested lets the table be listed again.
        "poll = \"1h\"\n",
        &format!(
            "[source.gates]\nurl = \"s3://raw/gates\"\nsource = \"gate\"\npoll = \"200ms\"\n\
             [source.gates.options]\n{options}"
        ),
    );
    let raw = store.location("s3://raw/gates").unwrap();
    put(&raw, "1.log", 4).await;
    put(&raw, "2.log", 2).await;
    let service = place.serve();
    place
        .until(60, "the first records", || place.alerts().len() == 5)
        .await;
    assert_eq!(place.rows(), records(&[2, 4]));
    // A B A: each content in turn, and killed in between.
    put(&raw, "1.log", 7).await;
    place
        .until(60, "the records of the new content", || {
            place.alerts().contains_key("u7-1") && replaced(&place) == 1
        })
        .await;
    assert_eq!(place.rows(), records(&[2, 7]));
    drop(service);
    put(&raw, "1.log", 4).await;
    let service = place.serve();
    place
        .until(60, "the first content once more", || replaced(&place) == 2)
        .await;
    assert_eq!(place.rows(), records(&[2, 4]));
    let said = place.said();
    assert!(
        said.contains("gates/1.log was rewritten: the rows of its earlier content left the table"),
        "{said}"
    );
    // The rows that stay in a rewritten object of the table are evaluated once.
    drop(service);
    let config = place.path("yagura.toml");
    yagura(&["serve", "--once", "--quiet", "--config", &config]).must_work();
    let alerts = place.alerts();
    for user in users(2) {
        assert_eq!(alerts.get(&user), Some(&1), "{user}: {alerts:?}");
    }
    assert_eq!(place.rows(), records(&[2, 4]));
}
