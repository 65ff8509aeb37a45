use yagura_core::alert::Observable;

use super::*;
use crate::format::tests::{alert, report};

fn story<'a>(alerts: &'a [StoryAlert<'a>]) -> Story<'a> {
    Story {
        kind: StoryKind::Alerts,
        status: IncidentStatus::Open,
        severity: Severity::High,
        alerts,
        alert_count: alerts.len() as u64,
        attributes: &[],
        assessments: &[],
    }
}

fn story_alert(alert: &Alert, state: AlertState) -> StoryAlert<'_> {
    StoryAlert {
        state,
        reason: None,
        alert,
    }
}

#[test]
fn a_first_report_is_short_and_says_what_who_when_and_how_severe() {
    let alert = alert();
    let alerts = [story_alert(&alert, AlertState::Provisional)];
    let story = story(&alerts);
    assert_eq!(title(&story), "Console login without MFA by alice");
    assert_eq!(
        text(&story),
        "\
HIGH · provisional, may still change

Console login without MFA by alice
high, provisional
Key: alice
When: 2026-01-30 08:00:00 to 08:01:30 UTC
Findings: 3
Rule: aws-console-login-without-mfa
ip: 198.51.100.7
user: alice
region: eu-west-1
"
    );
}

#[test]
fn an_investigated_report_has_facts_by_source_and_assessments_with_reasons() {
    let (one, report) = (alert(), report());
    let mut other = alert();
    other.title = "Root login".to_owned();
    other.severity = Severity::Critical;
    other.observables.clear();
    other.context.clear();
    other.key.clear();
    other.evidence.total = 7;
    other.last_time = "2026-01-31T00:00:01Z".parse().unwrap();
    let mut withdrawn = story_alert(&one, AlertState::Withdrawn);
    withdrawn.reason = Some("late events changed its window");
    let alerts = [withdrawn, story_alert(&other, AlertState::Final)];
    let attribute = |name: &str, value: &str, source: &str| Attribute {
        name: name.to_owned(),
        value: value.to_owned(),
        source: source.to_owned(),
    };
    let attributes = [
        attribute("country", "NL", "GeoIP"),
        attribute("score", "97", "AbuseIPDB"),
        attribute("reports", "12", "AbuseIPDB"),
        attribute("country", "NL", "GeoIP"),
    ];
    let story = Story {
        status: IncidentStatus::Acknowledged,
        severity: Severity::Low,
        attributes: &attributes,
        assessments: &report.assessments,
        ..story(&alerts)
    };
    assert_eq!(title(&story), "Root login (+1 more)");
    assert_eq!(
        text(&story),
        "\
LOW · acknowledged · final, 1 withdrawn · 2 alerts

Console login without MFA by alice
high, withdrawn: late events changed its window
Key: alice
When: 2026-01-30 08:00:00 to 08:01:30 UTC
Findings: 3
Rule: aws-console-login-without-mfa
ip: 198.51.100.7
user: alice
region: eu-west-1

Root login
critical, final
When: 2026-01-30 08:00:00 to 2026-01-31 00:00:01 UTC
Findings: 3 in 7 events
Rule: aws-console-login-without-mfa

AbuseIPDB
reports: 12
score: 97

GeoIP
country: NL

Review
travel: low, benign. an office address
"
    );
    // The order in which facts came is not shown.
    let mut reversed = attributes.clone();
    reversed.reverse();
    let again = Story {
        attributes: &reversed,
        ..story
    };
    assert_eq!(text(&again), text(&story));
}

#[test]
fn an_incident_whose_alerts_were_withdrawn_says_so() {
    let alert = alert();
    let alerts = [story_alert(&alert, AlertState::Withdrawn)];
    let story = Story {
        status: IncidentStatus::Closed,
        ..story(&alerts)
    };
    assert!(text(&story).starts_with("HIGH · closed · all withdrawn\n"));
}

#[test]
fn floods_and_summaries_count_by_rule_and_key() {
    let alert = alert();
    let alerts = [story_alert(&alert, AlertState::Final)];
    let mut counts: Vec<(String, u64)> =
        (0..24).map(|n| (format!("host-{n:02}"), 40 - n)).collect();
    counts[1].0.clear();
    let flood = Story {
        kind: StoryKind::Flood {
            rule: "broken-rule",
            counts: &counts,
            newest: &["host-23".to_owned(), String::new()],
        },
        alert_count: 684,
        ..story(&alerts)
    };
    let named = title(&flood);
    assert!(
        named.starts_with("Flood of broken-rule, such as \"Console login")
            && named.ends_with(": 684 alerts, 24 keys"),
        "{named}"
    );
    let long = Alert {
        title: "x".repeat(10_000),
        ..alert.clone()
    };
    let alerts_of_long = [story_alert(&long, AlertState::Final)];
    let named = title(&Story {
        alerts: &alerts_of_long,
        ..flood
    });
    assert!(
        named.len() < 300 && named.ends_with("…: 684 alerts, 24 keys"),
        "{named}"
    );
    let said = text(&flood);
    assert!(
        said.starts_with("HIGH · 684 alerts\n\n40 × host-00\n39 × without key\n38 × host-02\n"),
        "{said}"
    );
    assert!(
        said.contains(
            "21 × host-19\n… and 4 more\nThe newest: host-23, without key\n\nConsole login"
        ),
        "{said}"
    );

    let counts = [
        (("rule-a".to_owned(), "alice".to_owned()), 9),
        (("rule-b".to_owned(), String::new()), 1),
    ];
    let summary = Story {
        kind: StoryKind::Summary {
            incidents: 3,
            counts: &counts,
        },
        alert_count: 10,
        ..story(&alerts)
    };
    assert_eq!(title(&summary), "3 incidents more, 10 alerts");
    assert_eq!(
        text(&summary),
        "HIGH · 10 alerts · 3 incidents\n\n9 × rule-a, alice\n1 × rule-b, without key\n"
    );
}

#[test]
fn what_logs_hold_cannot_shape_the_report() {
    let mut alert = alert();
    alert.title = format!(
        "bad\r\nReview\n\u{1b}[31m{}\u{202e}cod.exe",
        "x".repeat(500)
    );
    alert.key = "a\u{0}\tb".to_owned();
    alert.observables = (0..40)
        .map(|n| Observable {
            kind: "user".to_owned(),
            value: format!("u{n:02}\nu"),
        })
        .collect();
    let alerts = [story_alert(&alert, AlertState::Final)];
    let story = story(&alerts);
    let title = title(&story);
    assert_eq!(title.chars().count(), TITLE);
    assert!(
        title.starts_with("bad Review [31mxxx") && title.ends_with('…'),
        "{title}"
    );
    let said = text(&story);
    assert!(said.lines().all(|line| line != "Review"), "{said}");
    assert!(
        !said.contains(['\r', '\u{1b}', '\u{0}', '\u{202e}']),
        "{said}"
    );
    assert!(
        said.contains("\nKey: a b\n") && said.contains("\nuser: u11 u\n… and 29 more\n"),
        "{said}"
    );
    assert!(said.lines().all(|line| line.chars().count() <= VALUE));
}

#[test]
fn a_long_incident_lists_the_first_alerts() {
    let alert = alert();
    let alerts = vec![story_alert(&alert, AlertState::Final); 25];
    let story = Story {
        alert_count: 70,
        ..story(&alerts)
    };
    let said = text(&story);
    assert_eq!(said.matches("\nRule: ").count(), 20);
    assert!(said.ends_with("\n… and 50 more alerts\n"), "{said}");
    let mut long = alert.clone();
    long.title = "t".repeat(400);
    let alerts = [story_alert(&long, AlertState::Final)];
    let story = Story {
        alert_count: 70,
        ..self::story(&alerts)
    };
    let title = title(&story);
    assert!(
        title.ends_with("…(+69 more)") || title.ends_with("… (+69 more)"),
        "{title}"
    );
    assert_eq!(title.chars().count(), TITLE);
}
