//! Batches and restarts change nothing.

use proptest::collection::vec;
use proptest::prelude::*;
use yagura_alerts::store::{AlertFilter, IncidentFilter};
use yagura_alerts::{AlertStore, Triage};
use yagura_core::Severity;
use yagura_core::report::{AlertLine, AlertState};

use crate::support::{Hands, Lines, alert, memory, more_severe, on_postgres, policy};

/// One step of a random story: a rule, minutes, who, how severe, and what happens to an alert that came before.
type Step = (usize, i64, usize, usize, usize, usize);

fn story(steps: &[Step]) -> Vec<AlertLine> {
    let rules = ["scan", "login", "new-rule", "ransomware"];
    let severities = [Severity::Low, Severity::High, Severity::Critical];
    let mut lines = Lines::default();
    let mut all = Vec::new();
    for (n, (rule, minutes, who, severity, what, which)) in steps.iter().enumerate() {
        let user = format!("user-{who}");
        let host = format!("host-{}", who / 2);
        let at = minutes * 60 + i64::try_from(n).unwrap();
        let new = alert(rules[*rule], at, &[("user", &user), ("host", &host)]);
        let new = more_severe(new, severities[*severity]);
        let before = all.get(*which).cloned();
        match (what, before) {
            (0, Some(before)) => {
                lines.withdraw(&before, None);
            }
            (1, Some(before)) => {
                lines.withdraw(&before, Some(&new));
                lines.provisional(&new);
            }
            (2, Some(before)) => {
                lines.provisional(&new);
                lines.withdraw(&before, Some(&new));
            }
            (3, Some(before)) => {
                let mut before = more_severe(before, severities[*severity]);
                before.count += 3;
                lines.finalise(&before);
            }
            _ => lines.provisional(&new),
        }
        all.push(new);
    }
    lines.0
}

fn policy_text(bits: u8) -> String {
    let mut text = "[notifier.slack]\nplugin = \"a/b.wasm\"\n[notifier.pager]\nplugin = \"a/c.wasm\"\n\
        [[route]]\nwhen = { severity = \"critical\" }\nnotify = [\"pager\"]\nalso = true\n[[route]]\nnotify = [\"slack\"]\n\
        [[enrich]]\nplugin = \"e/f.wasm\"\ndelays = [\"0s\", \"5m\"]\n"
        .to_owned();
    let parts = [
        "[flood]\nincidents = 2\nper = \"30m\"\n",
        "[staging]\nrules = [\"new-*\"]\nquiet = \"40m\"\n",
        "[[inhibit]]\nby = { rules = [\"ransomware\"] }\nsilences = { rules = [\"scan\", \"login\"] }\nshare = [\"host\"]\nwithin = \"20m\"\n",
        "[[suppress]]\nwhen = { rules = [\"scan\"], not = { severity = \"high\" } }\nowner = \"a\"\nreason = \"b\"\nexpires = \"2026-02-01T00:00:00Z\"\n",
        "[group]\nby = [\"user\"]\nwithin = \"10m\"\nlongest = \"1h\"\n",
    ];
    for (bit, part) in parts.iter().enumerate() {
        if bits & (1 << bit) != 0 {
            text.push_str(part);
        }
    }
    text
}

/// All rows of the store, as JSON.
async fn contents(store: &AlertStore) -> Vec<String> {
    let all = IncidentFilter {
        limit: Some(100_000),
        ..IncidentFilter::default()
    };
    let mut rows = Vec::new();
    for incident in store.incidents(&all).await.unwrap() {
        let record = store.incident(&incident.id, 100_000).await.unwrap();
        rows.push(serde_json::to_string_pretty(&record).unwrap());
    }
    let all = AlertFilter {
        limit: Some(100_000),
        ..AlertFilter::default()
    };
    for row in store.alerts(&all).await.unwrap() {
        rows.push(serde_json::to_string_pretty(&row).unwrap());
    }
    rows
}

async fn taken(text: &str, lines: &[AlertLine], cuts: &[usize], restart: bool) -> Vec<String> {
    let store = memory(&Hands::new()).await;
    let policy = policy(text);
    let rules = ["new-rule".to_owned()];
    let mut triage = Triage::open(&store, policy.clone(), &rules).await.unwrap();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (lines.len() + 1)).collect();
    cuts.push(lines.len());
    cuts.sort_unstable();
    for cut in cuts {
        if restart {
            drop(triage);
            triage = Triage::open(&store, policy.clone(), &rules).await.unwrap();
        }
        // From the beginning each time, as one that does not know what was taken does.
        triage.take(&lines[..cut]).await.unwrap();
    }
    contents(&store).await
}

fn config() -> ProptestConfig {
    // A schema for each store takes a server longer.
    let cases = if on_postgres().is_some() { 16 } else { 128 };
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn batches_and_restarts_change_nothing(
        steps in vec((0usize..4, 0i64..180, 0usize..6, 0usize..3, 0usize..9, 0usize..12), 1..40),
        bits in any::<u8>(),
        cuts in vec(0usize..60, 0..8),
        restart in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let lines = story(&steps);
        let text = policy_text(bits);
        let (whole, cut) = runtime.block_on(async {
            (
                taken(&text, &lines, &[], false).await,
                taken(&text, &lines, &cuts, restart).await,
            )
        });
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn sums_follow_from_alerts(
        steps in vec((0usize..4, 0i64..180, 0usize..6, 0usize..3, 0usize..9, 0usize..12), 1..40),
        bits in any::<u8>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = memory(&Hands::new()).await;
            let triage = Triage::open(&store, policy(&policy_text(bits)), &[]).await.unwrap();
            triage.take(&story(&steps)).await.unwrap();
            for incident in store.incidents(&IncidentFilter::default()).await.unwrap() {
                let alerts = store.incident(&incident.id, 1_000).await.unwrap().alerts;
                let live: Vec<_> = alerts
                    .iter()
                    .filter(|row| row.state != AlertState::Withdrawn)
                    .collect();
                assert_eq!(incident.alerts, alerts.len() as u64);
                assert_eq!(incident.live, live.len() as u64);
                if let Some(most_severe) = live.iter().map(|row| row.severity()).max()
                    && incident.kind == yagura_alerts::store::rows::IncidentKind::Normal
                {
                    assert_eq!(incident.severity, most_severe);
                }
            }
        });
    }
}
