//! The outcome of alerts.

use yagura_alerts::store::IncidentFilter;
use yagura_alerts::store::rows::{IncidentKind, Outcome};
use yagura_alerts::{AlertStoreError, Triage};
use yagura_core::Severity;
use yagura_core::report::{AlertState, IncidentStatus};

use crate::support::{
    Hands, Lines, MINUTE, SIMPLE, alert, became, incident_of, memory, more_severe, policy,
    triage_with,
};

#[tokio::test]
async fn alerts_that_share_an_observable_are_one_incident() {
    let mut lines = Lines::default();
    let first = alert("brute-force", 0, &[("ip", "10.0.0.1"), ("user", "ann")]);
    let shares = alert("new-key", 600, &[("user", "ann")]);
    let other = alert("new-key", 600, &[("user", "bob")]);
    let late = alert("new-key", 600 + 3_601, &[("user", "ann")]);
    let silent = alert("odd-process", 0, &[("process", "sh")]);
    let same_process = alert("odd-process", 10, &[("process", "sh")]);
    for one in [&first, &shares, &other, &late, &silent, &same_process] {
        lines.provisional(one);
    }
    let triage = triage_with(SIMPLE, &lines).await;
    let incident = incident_of(&triage, &first).await;
    assert_eq!(incident_of(&triage, &shares).await, incident);
    assert_ne!(incident_of(&triage, &other).await, incident);
    // One hour and a second after the nearest.
    assert_ne!(incident_of(&triage, &late).await, incident);
    // Processes do not join.
    assert_ne!(
        incident_of(&triage, &silent).await,
        incident_of(&triage, &same_process).await
    );
    let record = triage.store().incident(&incident, 10).await.unwrap();
    assert_eq!((record.incident.alerts, record.incident.revision), (2, 2));
    assert_eq!(record.deliveries.len(), 1);
    assert_eq!(record.deliveries[0].due_revision, 2);
}

#[tokio::test]
async fn an_incident_is_not_joined_for_ever() {
    let mut lines = Lines::default();
    let all: Vec<_> = (0..30)
        .map(|n| alert("beacon", n * 3_000, &[("host", "web-1")]))
        .collect();
    for one in &all {
        lines.provisional(one);
    }
    let triage = triage_with(SIMPLE, &lines).await;
    let first = incident_of(&triage, &all[0]).await;
    // 28 × 50 min is inside 24 h, 29 × 50 min is not.
    assert_eq!(incident_of(&triage, &all[28]).await, first);
    assert_ne!(incident_of(&triage, &all[29]).await, first);
}

#[tokio::test]
async fn what_many_share_joins_nothing() {
    let text = format!("{SIMPLE}\n[group]\nignore = [\"10.0.0.0/8\", \"svc-*\"]\n");
    let mut lines = Lines::default();
    let one = alert("a", 0, &[("ip", "10.1.2.3"), ("user", "svc-backup")]);
    let two = alert("b", 1, &[("ip", "10.1.2.3"), ("user", "svc-backup")]);
    lines.provisional(&one);
    lines.provisional(&two);
    let triage = triage_with(&text, &lines).await;
    assert_ne!(
        incident_of(&triage, &one).await,
        incident_of(&triage, &two).await
    );
}

#[tokio::test]
async fn an_alert_is_not_reported_for_the_first_reason_that_holds() {
    let text = format!(
        r#"{SIMPLE}
[[suppress]]
when = {{ rules = ["scan"], keys = ["10.0.0.9"] }}
owner = "ann"
reason = "our own scanner"
expires = "2026-01-31T08:30:00Z"
[[maintenance]]
when = {{ observables = {{ host = ["db-*"] }} }}
owner = "bob"
reason = "move of the database"
from = "2026-01-31T08:00:00Z"
to = "2026-01-31T09:00:00Z"
[[inhibit]]
by = {{ rules = ["ransomware"] }}
silences = {{ rules = ["scan", "odd-*"] }}
share = ["host"]
within = "10m"
[staging]
rules = ["new-*"]
"#
    );
    let mut lines = Lines::default();
    let scanner = alert("scan", 60, &[("ip", "10.0.0.9")]);
    let scanner_later = alert("scan", 1_800, &[("ip", "10.0.0.9")]);
    let moved = alert("login", 60, &[("host", "db-1")]);
    let trial = alert("new-rule", 60, &[("host", "web-1")]);
    let early = alert("odd-process", 50, &[("host", "web-1")]);
    let severe = alert("ransomware", 60, &[("host", "web-1")]);
    let less_severe = alert("odd-process", 600, &[("host", "web-1")]);
    let elsewhere = alert("odd-process", 70, &[("host", "web-2")]);
    let too_late = alert("odd-process", 661, &[("host", "web-1")]);
    let all = [
        &scanner,
        &scanner_later,
        &moved,
        &trial,
        &early,
        &severe,
        &less_severe,
        &elsewhere,
        &too_late,
    ];
    for one in all {
        lines.provisional(one);
    }
    let triage = triage_with(&text, &lines).await;
    let mut outcomes = Vec::new();
    for one in all {
        outcomes.push(became(&triage, one).await.alert.outcome);
    }
    use Outcome::{Inhibited, Maintenance, Reported, Staged, Suppressed};
    assert_eq!(
        outcomes,
        [
            Suppressed,
            Reported,
            Maintenance,
            Staged,
            Reported,
            Reported,
            Inhibited,
            Reported,
            Reported
        ]
    );
    let record = became(&triage, &scanner).await.alert;
    assert_eq!(record.why.as_deref(), Some("our own scanner"));
    assert_eq!(record.silencer.as_deref(), Some("ann"));
    let record = became(&triage, &less_severe).await.alert;
    assert_eq!(record.silencer.as_deref(), Some(severe.id.as_str()));
}

#[tokio::test]
async fn alerts_that_a_withdrawn_alert_silenced_are_reported_after_all() {
    let text = format!(
        "{SIMPLE}\n[[inhibit]]\nby = {{ rules = [\"ransomware\"] }}\nsilences = {{ rules = [\"odd\"] }}\nwithin = \"10m\"\n"
    );
    let mut lines = Lines::default();
    let severe = alert("ransomware", 0, &[("host", "web-1")]);
    let less_severe = alert("odd", 60, &[("host", "web-2")]);
    lines.provisional(&severe);
    lines.provisional(&less_severe);
    lines.withdraw(&severe, None);
    let triage = triage_with(&text, &lines).await;
    let record = became(&triage, &less_severe).await;
    assert_eq!(record.alert.outcome, Outcome::Reported);
    assert_eq!(record.notifiers, ["slack"]);
}

#[tokio::test]
async fn a_suppressed_alert_whose_final_state_differs_is_reported() {
    let text = format!(
        "{SIMPLE}\n[[suppress]]\nwhen = {{ rules = [\"scan\"], not = {{ severity = \"high\" }} }}\nowner = \"ann\"\nreason = \"noise\"\nexpires = \"2027-01-01T00:00:00Z\"\n"
    );
    let mut lines = Lines::default();
    let small = alert("scan", 0, &[("ip", "10.0.0.9")]);
    lines.provisional(&small);
    lines.finalise(&more_severe(small.clone(), Severity::High));
    let triage = triage_with(&text, &lines).await;
    assert_eq!(
        became(&triage, &small).await.alert.outcome,
        Outcome::Reported
    );
}

#[tokio::test]
async fn a_final_alert_updates_its_incident() {
    let mut lines = Lines::default();
    let first = alert("scan", 0, &[("ip", "10.0.0.1")]);
    lines.provisional(&first);
    let mut settled = more_severe(first.clone(), Severity::Critical);
    settled.count = 12;
    settled.last_time = settled.last_time.saturating_add(MINUTE);
    lines.finalise(&settled);
    let text = r#"
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
"#;
    let triage = triage_with(text, &lines).await;
    let id = incident_of(&triage, &first).await;
    let record = triage.store().incident(&id, 10).await.unwrap();
    assert_eq!(record.incident.revision, 2);
    assert_eq!(record.incident.severity, Severity::Critical);
    assert_eq!(record.incident.last_time, settled.last_time);
    assert_eq!(record.alerts.len(), 1);
    assert_eq!(record.alerts[0].state, AlertState::Final);
    assert_eq!(record.alerts[0].alert, settled);
    // The pager hears of it from the moment at which it is severe.
    assert_eq!(became(&triage, &first).await.notifiers, ["pager", "slack"]);
}

#[tokio::test]
async fn an_incident_without_alerts_that_hold_is_closed_with_the_reason() {
    let mut lines = Lines::default();
    let one = alert("a", 0, &[("user", "ann")]);
    let two = alert("b", 10, &[("user", "ann")]);
    lines.provisional(&one);
    lines.provisional(&two);
    lines.withdraw(&one, None);
    let triage = triage_with(SIMPLE, &lines).await;
    let id = incident_of(&triage, &one).await;
    let record = triage.store().incident(&id, 10).await.unwrap();
    assert_eq!(record.incident.status, IncidentStatus::Open);
    assert_eq!((record.incident.alerts, record.incident.live), (2, 1));
    lines.withdraw(&two, None);
    triage.take(&lines.0).await.unwrap();
    let record = triage.store().incident(&id, 10).await.unwrap();
    assert_eq!(record.incident.status, IncidentStatus::Closed);
    assert_eq!(
        record.incident.closed_reason.as_deref(),
        Some("its condition does not hold")
    );
    // Nothing was reported, so there is nothing to withdraw.
    assert!(became(&triage, &two).await.notifiers.is_empty());
    // It holds again.
    lines.provisional(&two);
    triage.take(&lines.0).await.unwrap();
    let record = triage.store().incident(&id, 10).await.unwrap();
    assert_eq!(record.incident.status, IncidentStatus::Open);
    assert_eq!(became(&triage, &two).await.notifiers, ["slack"]);
}

#[tokio::test]
async fn a_successor_goes_on_in_the_same_incident_whichever_comes_first() {
    let old = alert("a", 100, &[("process", "sh")]);
    let new = alert("a", 50, &[("process", "sh")]);
    assert_ne!(old.id, new.id);
    for successor_first in [false, true] {
        let mut lines = Lines::default();
        lines.provisional(&old);
        if successor_first {
            lines.provisional(&new);
        }
        lines.withdraw(&old, Some(&new));
        if !successor_first {
            lines.provisional(&new);
        }
        let triage = triage_with(SIMPLE, &lines).await;
        let id = incident_of(&triage, &old).await;
        assert_eq!(incident_of(&triage, &new).await, id, "{successor_first}");
        let open = IncidentFilter {
            status: vec![IncidentStatus::Open],
            ..IncidentFilter::default()
        };
        let open = triage.store().incidents(&open).await.unwrap();
        assert_eq!(open.len(), 1, "{successor_first}");
        assert_eq!(open[0].id, id);
        assert_eq!((open[0].alerts, open[0].live), (2, 1), "{successor_first}");
        assert_eq!(became(&triage, &new).await.notifiers, ["slack"]);
    }
}

#[tokio::test]
async fn two_incidents_that_become_one_alert_leave_one_open() {
    let one = alert("a", 100, &[("process", "sh")]);
    let two = alert("a", 4_000, &[("process", "sh")]);
    let merged = alert("a", 50, &[("process", "sh")]);
    let mut lines = Lines::default();
    lines.provisional(&one);
    lines.provisional(&two);
    lines.withdraw(&one, Some(&merged));
    lines.withdraw(&two, Some(&merged));
    lines.provisional(&merged);
    let triage = triage_with(SIMPLE, &lines).await;
    let id = incident_of(&triage, &one).await;
    let other = incident_of(&triage, &two).await;
    assert_eq!(incident_of(&triage, &merged).await, id);
    let record = triage.store().incident(&other, 10).await.unwrap();
    assert_eq!(record.incident.status, IncidentStatus::Closed);
    assert_eq!(
        record.incident.closed_reason,
        Some(format!("goes on in incident {id}"))
    );
}

#[tokio::test]
async fn a_successor_that_is_not_reported_closes_the_incident() {
    let text = format!(
        "{SIMPLE}\n[[suppress]]\nwhen = {{ keys = [\"quiet\"] }}\nowner = \"ann\"\nreason = \"noise\"\nexpires = \"2027-01-01T00:00:00Z\"\n"
    );
    let old = alert("a", 100, &[("process", "loud")]);
    let new = alert("a", 50, &[("process", "quiet")]);
    let mut lines = Lines::default();
    lines.provisional(&old);
    lines.withdraw(&old, Some(&new));
    lines.provisional(&new);
    let triage = triage_with(&text, &lines).await;
    let id = incident_of(&triage, &old).await;
    let record = triage.store().incident(&id, 10).await.unwrap();
    assert_eq!(record.incident.status, IncidentStatus::Closed);
}

#[tokio::test]
async fn what_a_human_closed_is_not_joined() {
    let mut lines = Lines::default();
    let one = alert("a", 0, &[("user", "ann")]);
    let two = alert("b", 10, &[("user", "ann")]);
    lines.provisional(&one);
    let triage = triage_with(SIMPLE, &lines).await;
    let id = incident_of(&triage, &one).await;
    let store = triage.store();
    store.acknowledge(&id[..8], "ann").await.unwrap();
    store.close_incident(&id, "ann", "a test").await.unwrap();
    let error = store.acknowledge(&id, "ann").await.unwrap_err();
    assert!(matches!(error, AlertStoreError::NotNow { .. }), "{error}");
    lines.provisional(&two);
    triage.take(&lines.0).await.unwrap();
    assert_ne!(incident_of(&triage, &two).await, id);
    let record = store.incident(&id, 10).await.unwrap();
    let what: Vec<_> = record.history.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(what, ["opened: a by ann", "acknowledged", "closed: a test"]);
    assert_eq!(record.incident.assignee.as_deref(), Some("ann"));
    assert_eq!(record.deliveries[0].due_revision, 3);
}

#[tokio::test]
async fn many_alerts_of_one_rule_are_one_flood() {
    let text = format!("{SIMPLE}\n[flood]\nincidents = 3\nper = \"1h\"\n");
    let mut lines = Lines::default();
    let all: Vec<_> = (0..40)
        .map(|n| alert("broken", n * 60, &[("host", &format!("web-{n}"))]))
        .collect();
    for one in &all {
        lines.provisional(one);
    }
    let quiet = alert("broken", 39 * 60 + 3_601, &[("host", "web-99")]);
    let other = alert("fine", 100, &[("host", "mail")]);
    lines.provisional(&quiet);
    lines.provisional(&other);
    let triage = triage_with(&text, &lines).await;
    let all_incidents = triage
        .store()
        .incidents(&IncidentFilter::default())
        .await
        .unwrap();
    // Three of the rule, its flood, the one after an hour's quiet, the other rule's.
    assert_eq!(all_incidents.len(), 6);
    let flood: Vec<_> = all_incidents
        .iter()
        .filter(|row| row.kind == IncidentKind::Flood)
        .collect();
    assert_eq!(flood.len(), 1);
    assert_eq!(flood[0].alerts, 37);
    assert_eq!(
        became(&triage, &all[39]).await.kind,
        Some(IncidentKind::Flood)
    );
    assert_eq!(
        became(&triage, &quiet).await.kind,
        Some(IncidentKind::Normal)
    );
    assert_eq!(
        became(&triage, &other).await.kind,
        Some(IncidentKind::Normal)
    );
}

#[tokio::test]
async fn severe_alerts_are_no_parts_of_a_flood_where_a_policy_sets_it() {
    let text = format!("{SIMPLE}\n[flood]\nincidents = 3\nper = \"1h\"\nbelow = \"critical\"\n");
    let mut lines = Lines::default();
    for n in 0..40 {
        let host = format!("web-{n}");
        let mut one = alert("broken", n * 60, &[("host", &host)]);
        if n % 10 == 9 {
            one.severity = Severity::Critical;
        }
        lines.provisional(&one);
    }
    let triage = triage_with(&text, &lines).await;
    let all = triage
        .store()
        .incidents(&IncidentFilter::default())
        .await
        .unwrap();
    let flood: Vec<_> = all
        .iter()
        .filter(|row| row.kind == IncidentKind::Flood)
        .collect();
    assert_eq!(flood.len(), 1);
    // Three of the rule come one by one, and the four that are critical.
    assert_eq!(flood[0].alerts, 40 - 3 - 4);
    assert_eq!(all.len(), 3 + 4 + 1);
}

#[tokio::test]
async fn a_staged_rule_is_promoted_after_quiet() {
    let text = format!("{SIMPLE}\n[staging]\nrules = [\"new-*\"]\nquiet = \"1h\"\n");
    let mut lines = Lines::default();
    let first = alert("new-noisy", 0, &[("host", "a")]);
    let second = alert("new-noisy", 1_800, &[("host", "a")]);
    let promoted = alert("new-noisy", 1_800 + 3_600, &[("host", "b")]);
    let stays = alert("new-noisy", 1_800 + 3_601, &[("host", "c")]);
    // It ran from the beginning and was quiet for an hour before its first alert.
    let rare = alert("new-rare", 4_000, &[("host", "d")]);
    for one in [&first, &second, &promoted, &stays, &rare] {
        lines.provisional(one);
    }
    let store = memory(&Hands::new()).await;
    let rules = ["new-rare".to_owned(), "old".to_owned()];
    let triage = Triage::open(&store, policy(&text), &rules).await.unwrap();
    triage.take(&lines.0).await.unwrap();
    for (one, outcome) in [
        (&first, Outcome::Staged),
        (&second, Outcome::Staged),
        (&promoted, Outcome::Reported),
        (&stays, Outcome::Reported),
        (&rare, Outcome::Reported),
    ] {
        assert_eq!(
            became(&triage, one).await.alert.outcome,
            outcome,
            "{}",
            one.title
        );
    }
}

#[tokio::test]
async fn a_policy_is_tried_on_its_own_cases() {
    let text = format!(
        r#"{SIMPLE}
[[suppress]]
when = {{ rules = ["scan"] }}
owner = "ann"
reason = "noise"
expires = "2027-01-01T00:00:00Z"
[[test]]
name = "right"
alert = [
    {{ rule = "scan", time = "2026-01-31T08:00:00Z" }},
    {{ rule = "login", time = "2026-01-31T08:00:00Z", observables = {{ user = ["ann"] }} }},
    {{ rule = "new-key", time = "2026-01-31T08:10:00Z", observables = {{ user = ["ann"] }} }},
]
expect = [
    {{ outcome = "suppressed", notify = [] }},
    {{ outcome = "reported", notify = ["slack"] }},
    {{ incident = 2, flood = false }},
]
incidents = 1
[[test]]
name = "wrong"
alert = [{{ rule = "scan", time = "2026-01-31T08:00:00Z" }}]
expect = [{{ outcome = "reported" }}]
incidents = 1
"#
    );
    let raw: yagura_alerts::policy::Policy = toml::from_str(&text).unwrap();
    let mut differences = Vec::new();
    for test in &raw.test {
        let found = yagura_alerts::triage::rehearse(policy(&text), test, std::path::Path::new("."));
        differences.push(found.await.unwrap());
    }
    assert!(differences[0].is_empty(), "{differences:?}");
    assert_eq!(differences[1].len(), 2, "{differences:?}");
    assert!(differences[1][0].contains("suppressed"), "{differences:?}");
}
