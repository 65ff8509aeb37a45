use plugin_common::testing::{Blame, blames_the_right_one};
use yagura_sdk::testing::{Answer, Host, Request, notify, report};

use super::*;

const CONFIG: &str = r#"{"repository": "soc/incidents", "labels": ["security"]}"#;
const ISSUES: &str = "POST https://api.github.com/repos/soc/incidents/issues";
const ISSUE: &str = "PATCH https://api.github.com/repos/soc/incidents/issues/7";
const COMMENTS: &str = "POST https://api.github.com/repos/soc/incidents/issues/7/comments";
const LIST: &str = "GET https://api.github.com/repos/soc/incidents/issues?labels=yagura&state=all&sort=created&direction=desc&per_page=100&page=";

fn body(request: &Request) -> Value {
    serde_json::from_str(request.body_text()).unwrap()
}

#[test]
fn an_issue_is_made_rewritten_and_closed() {
    let host = Host::new()
        .answers(ISSUES, Answer::json(201, r#"{"number":7}"#))
        .answers(ISSUE, Answer::json(200, r#"{"number":7}"#))
        .answers(ISSUE, Answer::json(200, r#"{"number":7}"#));
    let first = notify::<GitHub>(CONFIG, &report().title("Root login").build()).unwrap();
    assert_eq!(first, "7 medium");
    let second = report().revision(2).text("More").earlier(&first).build();
    assert_eq!(notify::<GitHub>(CONFIG, &second).unwrap(), "7 medium");
    let third = report()
        .revision(3)
        .status(Status::Closed)
        .earlier(&first)
        .build();
    notify::<GitHub>(CONFIG, &third).unwrap();
    let requests = host.requests();
    assert_eq!(
        requests[0].header("authorization"),
        Some("Bearer {{secret:github_token}}")
    );
    assert_eq!(body(&requests[0])["title"], "[medium] Root login");
    assert_eq!(body(&requests[0])["labels"], json!(["yagura", "security"]));
    assert!(
        body(&requests[1])["body"]
            .as_str()
            .unwrap()
            .contains("\nMore\n")
    );
    assert_eq!(body(&requests[1])["state"], "open");
    assert_eq!(
        body(&requests[1])["labels"],
        Value::Null,
        "people's labels stay"
    );
    assert_eq!(body(&requests[2])["state"], "closed");
}

#[test]
fn an_issue_that_may_be_there_is_found_by_the_start_of_its_body() {
    let quoting = json!({"number": 9, "body": "see <!-- yagura:inc-1 -->"});
    let full: Vec<Value> = (0..100).map(|_| quoting.clone()).collect();
    let rest = json!([{"number": 8, "body": null}, {"number": 7, "body": "<!-- yagura:inc-1 -->\n**high**"}]);
    let host = Host::new()
        .answers(
            &format!("{LIST}1"),
            Answer::json(200, json!(full).to_string()),
        )
        .answers(&format!("{LIST}2"), Answer::json(200, rest.to_string()))
        .answers(ISSUE, Answer::json(200, "{}"));
    assert_eq!(
        notify::<GitHub>(CONFIG, &report().uncertain().build()).unwrap(),
        "7 medium"
    );
    drop(host);
    let _host = Host::new()
        .answers(&format!("{LIST}1"), Answer::json(200, "[]"))
        .answers(ISSUES, Answer::json(201, r#"{"number":8}"#));
    assert_eq!(
        notify::<GitHub>(CONFIG, &report().uncertain().build()).unwrap(),
        "8 medium"
    );
}

#[test]
fn a_change_of_severity_is_a_comment_and_only_one() {
    let host = Host::new()
        .answers(ISSUE, Answer::json(200, "{}"))
        .answers(COMMENTS, Answer::json(201, "{}"));
    let more_severe = || {
        report()
            .revision(2)
            .severity(Severity::Critical)
            .earlier("7 medium")
    };
    assert_eq!(
        notify::<GitHub>(CONFIG, &more_severe().build()).unwrap(),
        "7 critical"
    );
    let comment = body(&host.requests()[1])["body"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        comment.contains("from **medium** to **critical**"),
        "{comment}"
    );
    drop(host);
    let list = "GET https://api.github.com/repos/soc/incidents/issues/7/comments?since=2026-01-01T03%3A04%3A06.000000Z&per_page=100";
    let _host = Host::new().answers(ISSUE, Answer::json(200, "{}")).answers(
        list,
        Answer::json(200, json!([{"body": comment}]).to_string()),
    );
    notify::<GitHub>(CONFIG, &more_severe().uncertain().build()).unwrap();
}

#[test]
fn a_deleted_issue_is_made_anew_and_one_that_begins_closed_is_closed() {
    let _host = Host::new()
        .answers(
            ISSUE,
            Answer::json(410, r#"{"message":"This issue was deleted"}"#),
        )
        .answers(ISSUES, Answer::json(201, r#"{"number":7}"#))
        .answers(ISSUE, Answer::json(200, "{}"));
    let closed = report().status(Status::Closed).earlier("7 medium").build();
    assert_eq!(notify::<GitHub>(CONFIG, &closed).unwrap(), "7 medium");
}

#[test]
fn failures_say_who_must_act() {
    blames_the_right_one(ISSUES, || notify::<GitHub>(CONFIG, &report().build()));
    blames_the_right_one(ISSUE, || {
        notify::<GitHub>(CONFIG, &report().earlier("7 low").build())
    });
    blames_the_right_one(&format!("{LIST}1"), || {
        notify::<GitHub>(CONFIG, &report().uncertain().build())
    });
    for (answer, blame) in [
        (
            Answer::json(
                403,
                r#"{"message":"Resource not accessible by integration"}"#,
            ),
            Blame::Config,
        ),
        (
            Answer::json(
                403,
                r#"{"message":"You have exceeded a secondary rate limit"}"#,
            ),
            Blame::Retry,
        ),
        (
            Answer::json(403, "{}").header("X-RateLimit-Remaining", "0"),
            Blame::Retry,
        ),
        (
            Answer::json(422, r#"{"message":"Validation Failed"}"#),
            Blame::Data,
        ),
        (Answer::json(201, "{\"number\":"), Blame::Retry),
    ] {
        let _host = Host::new().answers(ISSUES, answer);
        let error = notify::<GitHub>(CONFIG, &report().build()).unwrap_err();
        assert_eq!(Blame::of(&error), blame, "{error}");
    }
}

#[test]
fn the_configuration_is_checked() {
    for config in [
        r#"{"repository": "incidents"}"#,
        r#"{"repository": "a/b/c"}"#,
        r#"{"repository": "a/b?x"}"#,
        r#"{"repository": "a/b", "label": "x,y"}"#,
        r#"{"repo": "a/b"}"#,
    ] {
        let error = GitHub::open(&Config::new(config)).err().unwrap();
        assert_eq!(Blame::of(&error), Blame::Config, "{config}");
    }
}
