use plugin_common::testing::{Blame, blames_the_right_one};
use yagura_sdk::testing::{Answer, Host, Request, notify, report};

use super::*;

const CONFIG: &str = r#"{"base_url": "https://soc.atlassian.net/", "project": "SEC", "user": "bot@example.com",
    "priorities": {"medium": "Low"}, "close_transition": "Done", "reopen_transition": "To Do"}"#;
const CREATE: &str = "POST https://soc.atlassian.net/rest/api/3/issue";
const EDIT: &str = "PUT https://soc.atlassian.net/rest/api/3/issue/SEC-7";
const SEARCH: &str = "GET https://soc.atlassian.net/rest/api/3/search/jql?jql=project%20%3D%20%22SEC%22%20AND%20labels%20%3D%20%22yagura-inc-1%22%20ORDER%20BY%20created%20ASC&fields=key&maxResults=1";
const TRANSITIONS: &str = "GET https://soc.atlassian.net/rest/api/3/issue/SEC-7/transitions";
const MOVE: &str = "POST https://soc.atlassian.net/rest/api/3/issue/SEC-7/transitions";
const LIST: &str = r#"{"transitions":[{"id":"11","name":"Start","to":{"name":"In Progress"}},{"id":"31","name":"Finish","to":{"name":"Done"}},
    {"id":"41","name":"To Do","to":{"name":"To Do"}}]}"#;

fn body(request: &Request) -> Value {
    serde_json::from_str(request.body_text()).unwrap()
}

#[test]
fn an_issue_is_made_rewritten_closed_and_opened_again() {
    let host = Host::new()
        .answers(
            CREATE,
            Answer::json(201, r#"{"id":"10000","key":"SEC-7","self":"https://x"}"#),
        )
        .answers(EDIT, Answer::text(204, ""))
        .answers(TRANSITIONS, Answer::json(200, LIST))
        .answers(MOVE, Answer::text(204, ""))
        .answers(EDIT, Answer::text(204, ""))
        .answers(EDIT, Answer::text(204, ""))
        .answers(TRANSITIONS, Answer::json(200, LIST))
        .answers(MOVE, Answer::text(204, ""));
    let first = notify::<Jira>(CONFIG, &report().title("Root\nlogin").build()).unwrap();
    assert_eq!(first, "SEC-7");
    let closed = report().revision(2).status(Status::Closed).earlier(&first);
    let second = notify::<Jira>(CONFIG, &closed.clone().build()).unwrap();
    assert_eq!(second, "SEC-7 closed");
    // Closed already: the text is brought up to date, and that is all.
    notify::<Jira>(CONFIG, &closed.revision(3).earlier(&second).build()).unwrap();
    let third = notify::<Jira>(CONFIG, &report().revision(4).earlier(&second).build()).unwrap();
    assert_eq!(third, "SEC-7");
    let requests = host.requests();
    assert_eq!(
        requests[0].header("authorization"),
        Some("Basic {{basic:bot@example.com:jira_token}}")
    );
    let fields = &body(&requests[0])["fields"];
    assert_eq!(fields["summary"], "[medium] Root login");
    assert_eq!(fields["labels"], json!(["yagura", "yagura-inc-1"]));
    assert_eq!(fields["priority"]["name"], "Low");
    assert_eq!(
        fields["description"]["content"][1]["content"][0]["text"],
        "What happened."
    );
    assert_eq!(
        body(&requests[1])["fields"]["labels"],
        Value::Null,
        "people's labels stay"
    );
    assert_eq!(body(&requests[3])["transition"]["id"], "31");
    assert_eq!(body(&requests[7])["transition"]["id"], "41");
}

#[test]
fn an_issue_that_may_be_there_is_found_by_its_label() {
    let host = Host::new()
        .answers(
            SEARCH,
            Answer::json(
                200,
                r#"{"issues":[{"id":"1","key":"SEC-7"}],"isLast":true}"#,
            ),
        )
        .answers(EDIT, Answer::text(204, ""));
    assert_eq!(
        notify::<Jira>(CONFIG, &report().uncertain().build()).unwrap(),
        "SEC-7"
    );
    drop(host);
    let _host = Host::new()
        .answers(SEARCH, Answer::json(200, r#"{"issues":[],"isLast":true}"#))
        .answers(CREATE, Answer::json(201, r#"{"key":"SEC-8"}"#));
    assert_eq!(
        notify::<Jira>(CONFIG, &report().uncertain().build()).unwrap(),
        "SEC-8"
    );
}

#[test]
fn a_deleted_issue_is_made_anew_and_a_transition_that_is_done_is_no_error() {
    let _host = Host::new()
        .answers(
            EDIT,
            Answer::json(404, r#"{"errorMessages":["Issue does not exist"]}"#),
        )
        .answers(SEARCH, Answer::json(200, r#"{"issues":[]}"#))
        .answers(CREATE, Answer::json(201, r#"{"key":"SEC-7"}"#))
        .answers(TRANSITIONS, Answer::json(200, r#"{"transitions":[]}"#));
    let closed = report().status(Status::Closed).earlier("SEC-7").build();
    assert_eq!(notify::<Jira>(CONFIG, &closed).unwrap(), "SEC-7 closed");
}

#[test]
fn failures_say_who_must_act() {
    blames_the_right_one(CREATE, || notify::<Jira>(CONFIG, &report().build()));
    blames_the_right_one(EDIT, || {
        notify::<Jira>(CONFIG, &report().earlier("SEC-7").build())
    });
    blames_the_right_one(SEARCH, || {
        notify::<Jira>(CONFIG, &report().uncertain().build())
    });
    for (status, body, blame) in [
        (
            400,
            r#"{"errors":{"issuetype":"The issue type selected is invalid."}}"#,
            Blame::Data,
        ),
        (201, r#"{"id":"1"}"#, Blame::Retry),
        (201, "<html>", Blame::Retry),
    ] {
        let _host = Host::new().answers(CREATE, Answer::json(status, body));
        let error = notify::<Jira>(CONFIG, &report().build()).unwrap_err();
        assert_eq!(Blame::of(&error), blame, "{error}");
    }
}

#[test]
fn the_configuration_is_checked() {
    let with = |key: &str, value: Value| {
        let mut config: Value = serde_json::from_str(CONFIG).unwrap();
        config[key] = value;
        Jira::open(&Config::new(&config.to_string())).map(|_| ())
    };
    with("labels", json!(["soc"])).unwrap();
    for (key, value) in [
        ("base_url", json!("soc.atlassian.net")),
        ("project", json!("a\" OR 1")),
        ("user", json!("a:b")),
        ("labels", json!(["two words"])),
        ("priorities", json!({"severe": "High"})),
        ("secret", json!("")),
        ("projekt", json!("SEC")),
    ] {
        let error = with(key, value).unwrap_err();
        assert_eq!(Blame::of(&error), Blame::Config, "{key}");
    }
}
