use plugin_common::testing::{Blame, blames_the_right_one};
use yagura_sdk::testing::{Answer, Host, notify, report};

use super::*;

const CONFIG: &str = r#"{"channel": "C024BE91L"}"#;
const POST: &str = "POST https://slack.com/api/chat.postMessage";
const UPDATE: &str = "POST https://slack.com/api/chat.update";
const HISTORY: &str = "GET https://slack.com/api/conversations.history?channel=C024BE91L&include_all_metadata=true&limit=200";
const POSTED: &str = r#"{"ok":true,"channel":"C024BE91L","ts":"1503435956.000247","message":{}}"#;

#[test]
fn the_first_report_is_posted_and_later_ones_edit_it() {
    let host = Host::new()
        .answers(POST, Answer::json(200, POSTED))
        .answers(UPDATE, Answer::json(200, POSTED));
    let receipt = notify::<Slack>(CONFIG, &report().title("Root login").build()).unwrap();
    assert_eq!(receipt, "C024BE91L:1503435956.000247");
    let update = report()
        .revision(2)
        .text("It was the backup.")
        .earlier(&receipt)
        .build();
    assert_eq!(notify::<Slack>(CONFIG, &update).unwrap(), receipt);
    let requests = host.requests();
    assert_eq!(
        requests[0].header("authorization"),
        Some("Bearer {{secret:slack_token}}")
    );
    let first: serde_json::Value = serde_json::from_str(requests[0].body_text()).unwrap();
    assert_eq!(first["text"], "[medium] Root login");
    assert_eq!(first["metadata"]["event_payload"]["id"], "inc-1");
    let second: serde_json::Value = serde_json::from_str(requests[1].body_text()).unwrap();
    assert_eq!(second["ts"], "1503435956.000247");
    assert_eq!(second["blocks"][2]["text"]["text"], "It was the backup.");
}

#[test]
fn a_message_that_may_be_there_is_searched_for_page_by_page() {
    let other = r#"{"ok":true,"messages":[{"ts":"9.1","metadata":{"event_type":"yagura_incident","event_payload":{"id":"inc-2"}}}],
        "response_metadata":{"next_cursor":"bmV4dA=="}}"#;
    let found = r#"{"ok":true,"messages":[{"ts":"8.1"},{"ts":"8.0","metadata":{"event_type":"yagura_incident",
        "event_payload":{"id":"inc-1"}}}],"response_metadata":{"next_cursor":""}}"#;
    let _host = Host::new()
        .answers(HISTORY, Answer::json(200, other))
        .answers(
            &format!("{HISTORY}&cursor=bmV4dA%3D%3D"),
            Answer::json(200, found),
        )
        .answers(UPDATE, Answer::json(200, POSTED));
    let receipt = notify::<Slack>(CONFIG, &report().uncertain().build()).unwrap();
    assert_eq!(receipt, "C024BE91L:8.0");
}

#[test]
fn a_message_that_is_not_there_is_posted() {
    let none = r#"{"ok":true,"messages":[{"ts":"9.1","metadata":{"event_type":"other","event_payload":{"id":"inc-1"}}}]}"#;
    let _host = Host::new()
        .answers(HISTORY, Answer::json(200, none))
        .answers(POST, Answer::json(200, POSTED));
    notify::<Slack>(CONFIG, &report().uncertain().build()).unwrap();
}

#[test]
fn a_message_that_was_deleted_is_posted_anew() {
    let _host = Host::new()
        .answers(
            UPDATE,
            Answer::json(200, r#"{"ok":false,"error":"message_not_found"}"#),
        )
        .answers(POST, Answer::json(200, POSTED));
    let receipt = notify::<Slack>(CONFIG, &report().earlier("C024BE91L:1.0").build()).unwrap();
    assert_eq!(receipt, "C024BE91L:1503435956.000247");
}

#[test]
fn failures_say_who_must_act() {
    blames_the_right_one(POST, || notify::<Slack>(CONFIG, &report().build()));
    blames_the_right_one(UPDATE, || {
        notify::<Slack>(CONFIG, &report().earlier("C1:1.0").build())
    });
    blames_the_right_one(HISTORY, || {
        notify::<Slack>(CONFIG, &report().uncertain().build())
    });
    for (body, blame) in [
        (r#"{"ok":false,"error":"ratelimited"}"#, Blame::Retry),
        (r#"{"ok":false,"error":"invalid_auth"}"#, Blame::Config),
        (r#"{"ok":false,"error":"channel_not_found"}"#, Blame::Config),
        (r#"{"ok":false,"error":"invalid_blocks"}"#, Blame::Data),
        (r#"{"ok":true}"#, Blame::Retry),
        (r#"{"ok":tru"#, Blame::Retry),
        ("<html>", Blame::Retry),
    ] {
        let _host = Host::new().answers(POST, Answer::json(200, body));
        let error = notify::<Slack>(CONFIG, &report().build()).unwrap_err();
        assert_eq!(Blame::of(&error), blame, "{body}: {error}");
    }
    let _host = Host::new().answers(
        HISTORY,
        Answer::json(
            200,
            r#"{"ok":false,"error":"missing_scope","needed":"channels:history"}"#,
        ),
    );
    let error = notify::<Slack>(CONFIG, &report().uncertain().build()).unwrap_err();
    assert!(error.to_string().contains("`channels:history`"), "{error}");
}

#[test]
fn the_channel_must_be_an_id() {
    for channel in ["#alerts", "alerts", "C", "", "c024be91l"] {
        let config = serde_json::json!({"channel": channel}).to_string();
        let error = Slack::open(&Config::new(&config)).err().unwrap();
        assert!(error.to_string().contains("C024BE91L"), "{error}");
    }
}
