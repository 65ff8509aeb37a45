//! How many alerts a second the triage takes, on a file of SQLite and, where `YAGURA_TEST_POSTGRES` names a database, on a
//! server: `cargo bench -p yagura-alerts --bench triage`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::sync::Arc;
use std::time::Instant;

use yagura_alerts::policy::{CompiledPolicy, Policy};
use yagura_alerts::{AlertStore, Clock, StoreLocation, Triage};
use yagura_core::alert::{Observable, identity};
use yagura_core::report::{AlertLine, AlertState};
use yagura_core::{Alert, Evidence, Severity, Timestamp};

const POLICY: &str = r#"
[notifier.slack]
plugin = "slack/notifier.wasm"
[notifier.pager]
plugin = "pager/notifier.wasm"
[[route]]
when = { severity = "critical" }
notify = ["pager"]
also = true
[[route]]
notify = ["slack"]
[[enrich]]
plugin = "inventory/asset.wasm"
delays = ["0s", "5m"]
[[inhibit]]
by = { rules = ["rule-1"] }
silences = { rules = ["rule-2"] }
share = ["host"]
within = "10m"
[flood]
incidents = 200
per = "1h"
"#;

/// Alerts of forty rules on two thousand users and a hundred hosts, over a day, each settled once.
fn lines(count: i64) -> Vec<AlertLine> {
    let mut lines = Vec::new();
    for n in 0..count {
        let time = Timestamp::clamped(1_769_846_400_000_000 + n * 86_400_000_000 / count);
        let rule = format!("rule-{}", n % 40);
        let user = format!("user-{}", n * 7_919 % 2_000);
        let host = format!("host-{}", n * 104_729 % 100);
        let alert = Alert {
            id: identity(&rule, &user, time),
            title: format!("{rule} by {user}"),
            severity: Severity::Medium,
            key: user.clone(),
            window_start: time,
            first_time: time,
            last_time: time,
            count: 1,
            observables: [("host", host), ("user", user)]
                .map(|(kind, value)| Observable {
                    kind: kind.to_owned(),
                    value,
                })
                .into(),
            context: Vec::new(),
            tags: vec!["attack.t1078".to_owned()],
            evidence: Evidence::default(),
            rule,
        };
        for state in [AlertState::Provisional, AlertState::Final] {
            lines.push(AlertLine {
                seq: i64::try_from(lines.len()).unwrap() + 1,
                state,
                reason: None,
                replaced_by: None,
                alert: alert.clone(),
            });
        }
    }
    lines
}

async fn measure(name: &str, location: &StoreLocation, batch: usize) {
    let policy: Policy = toml::from_str(POLICY).unwrap();
    let policy = Arc::new(CompiledPolicy::compile(&policy).unwrap());
    let store = AlertStore::open(location, Clock::system()).await.unwrap();
    let triage = Triage::open(&store, policy, &[]).await.unwrap();
    let last = triage.last().await.unwrap();
    let mut lines = lines(5_000);
    for line in &mut lines {
        line.seq += last;
    }
    let begin = Instant::now();
    let mut opened = 0;
    for lines in lines.chunks(batch) {
        opened += triage.take(lines).await.unwrap().opened;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let lines = u32::try_from(lines.len()).unwrap();
    println!(
        "{name}, {batch} lines a batch: {:.0} lines/s ({lines} lines, {opened} incidents, {seconds:.2} s)",
        f64::from(lines) / seconds
    );
    store.close().await;
}

#[tokio::main]
async fn main() {
    for batch in [1, 10, 100, 1_000] {
        let dir = tempfile::tempdir().unwrap();
        let file = format!("sqlite://{}/alerts.sqlite", dir.path().display());
        measure("SQLite", &file.parse().unwrap(), batch).await;
    }
    let Ok(url) = std::env::var("YAGURA_TEST_POSTGRES") else {
        println!("PostgreSQL: not measured, YAGURA_TEST_POSTGRES names no database");
        return;
    };
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&url).await.unwrap();
    for batch in [10, 100, 1_000] {
        let run = |text: &'static str| sqlx::query(text).execute(&pool);
        run("DROP SCHEMA IF EXISTS yagura_bench CASCADE")
            .await
            .unwrap();
        run("CREATE SCHEMA yagura_bench").await.unwrap();
        let url = format!("{url}?options=-c%20search_path%3Dyagura_bench");
        measure("PostgreSQL", &url.parse().unwrap(), batch).await;
        run("DROP SCHEMA yagura_bench CASCADE").await.unwrap();
    }
}
