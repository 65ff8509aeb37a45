//! Sources of a service: raw logs that arrive while it runs.

use super::*;

/// Starts a service over an S3 server.
fn serve(place: &Place) -> Child {
    Command::new(binary())
        .args(["serve", "--quiet", "--config", &place.path("yagura.toml")])
        .stdout(Stdio::null())
        .stderr(fs::File::create(place.path("serve.err")).unwrap())
        .spawn()
        .unwrap()
}

#[test]
fn a_source_that_does_not_come_in_is_reported_until_it_does() {
    let place = Place::new();
    place.0.write(
        "yagura.toml",
        "packs = [\"pack\"]\n[serve]\npoll = \"100ms\"\nreport_trouble = \"300ms\"\n[lake]\nurl = \"lake\"\n\
         [source.gate]\nurl = \"later\"\npoll = \"100ms\"\nindex = \"100ms\"\n",
    );
    let mut service = serve(&place);
    let wait_for = |expected: &str, state: &str| {
        let until = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let lines = fs::read_to_string(place.path("alerts.ndjson")).unwrap_or_default();
            let mut lines = lines.lines();
            if lines.any(|line| line.contains(expected) && line.contains(state)) {
                return;
            }
            let said = fs::read_to_string(place.path("serve.err")).unwrap_or_default();
            assert!(
                std::time::Instant::now() < until,
                "no {state} {expected}: {said}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for("yagura.self.source", "provisional");
    place.0.write("later/gate.log", GATE_LOG);
    wait_for("refused.gate", "provisional");
    wait_for("yagura.self.source", "withdrawn");
    // The service adds the table's objects to its index.
    let until = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let config = place.path("yagura.toml");
        let known = yagura(&["search", "--config", &config, "--prevalence", "user:eve"]);
        if known.stdout.contains("gate") && known.stderr.is_empty() {
            break;
        }
        assert!(std::time::Instant::now() < until, "{known:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    service.kill().unwrap();
    service.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_ingests_each_record_once() {
    const OBJECTS: usize = 120;
    let place = Place::new();
    place.0.write("store/logs/.keep", "");
    let server = S3Server::start(place.path("store").as_ref()).await.unwrap();
    let raw = server.location("s3://logs/raw").unwrap();
    let options = server.settings();
    place.0.write(
        "yagura.toml",
        &format!(
            "packs = [\"pack\"]\n[serve]\npoll = \"100ms\"\nfirst_load = \"1s\"\nlateness = \"1s\"\n\
             [lake]\nurl = \"s3://logs/lake\"\n[lake.options]\n{options}\
             [source.gates]\nurl = \"s3://logs/raw\"\nsource = \"gate\"\npoll = \"100ms\"\n[source.gates.options]\n{options}"
        ),
    );
    let mut number = 0;
    for round in 0..12 {
        let mut service = serve(&place);
        for _ in 0..OBJECTS / 12 {
            put(&raw, number).await;
            number += 1;
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        // At another moment in each round.
        tokio::time::sleep(Duration::from_millis(150 + 90 * round)).await;
        if let Some(ended) = service.try_wait().unwrap() {
            let said = fs::read_to_string(place.path("serve.err")).unwrap_or_default();
            panic!("it ended by itself, {ended}: {said}");
        }
        service.kill().unwrap();
        service.wait().unwrap();
    }
    yagura(&[
        "serve",
        "--once",
        "--quiet",
        "--config",
        &place.path("yagura.toml"),
    ])
    .must_work();
    let status = yagura(&[
        "source",
        "status",
        "--format",
        "json",
        "--config",
        &place.path("yagura.toml"),
    ]);
    let totals: Value = serde_json::from_str(status.must_work().stdout.trim()).unwrap();
    assert_eq!(totals["waiting"], 0, "{totals}");
    // What was read of an object before a kill is counted in the ledger of the table alone.
    let lines = fs::read_to_string(place.path("alerts.ndjson")).unwrap();
    let alerts = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = BTreeSet::new();
    let mut counts = 0;
    for line in alerts {
        let alert = &line["alert"];
        if found.insert(alert["key"].as_str().unwrap().to_owned()) {
            counts += alert["count"].as_u64().unwrap();
        }
    }
    assert_eq!(found.len(), OBJECTS * 2, "{status}", status = totals);
    assert_eq!(counts, (OBJECTS * 2) as u64, "a record came twice");
}

async fn put(raw: &Location, number: usize) {
    let line = |user: usize| {
        format!("ts=2026-02-03T04:10:00Z user=u{number}-{user} peer=192.0.2.7 result=denied\n")
    };
    let text = line(0) + &line(1);
    let path = raw.join(&format!("{number:04}.log")).prefix;
    let stored = raw
        .store
        .put_opts(&path, text.into_bytes().into(), Default::default());
    stored.await.unwrap();
}
