//! Notifiers and reviewers that misbehave, and what is known after their failures.
//!
//! The guests are `tests/guests/hostile-notifier` and `hostile-reviewer`; a title says what they do.

use std::sync::OnceLock;
use std::time::Duration;

use yagura_core::Severity;
use yagura_core::pack::World;
use yagura_core::report::{Attribute, Verdict};
use yagura_host::{
    CallError, LimitKind, Notifier, NotifierPlugin, PluginError, Reviewer, ReviewerPlugin,
};

use crate::guests::{alert, grant_capabilities, guest, host, limits, report};
use yagura_http_testing::grant;
use yagura_http_testing::server::{Server, answer, answer_with, misbehaving, resetting};

fn notifier() -> &'static NotifierPlugin {
    static PLUGIN: OnceLock<NotifierPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let bytes = guest("hostile_notifier");
        host().load_notifier("n.wasm", &bytes, &limits()).unwrap()
    })
}

fn reviewer() -> &'static ReviewerPlugin {
    static PLUGIN: OnceLock<ReviewerPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let bytes = guest("hostile_reviewer");
        host().load_reviewer("r.wasm", &bytes, &limits()).unwrap()
    })
}

fn open_notifier(server: &str) -> Notifier {
    let granted = grant_capabilities(World::Notifier, &grant(server));
    notifier().open(server, &granted.capabilities).unwrap()
}

#[test]
fn a_notifier_sends_signed_reports_and_keeps_its_receipt() {
    let server = Server::start(|seen| answer(200, format!("receipt of {}", &seen.body[..10])));
    let mut notifier = open_notifier(&server.url());
    let receipt = notifier.notify(&report("tell")).unwrap();
    assert_eq!(receipt, "receipt of incident-3");
    let seen = server.seen().pop().unwrap();
    assert!(
        seen.body
            .starts_with("incident-3 2 Some(\"receipt-1\") text { secret:TOKEN}}"),
        "{}",
        seen.body
    );
    assert!(!seen.body.contains("{{"), "{}", seen.body);
    assert!(seen.header("x-signature").starts_with("v0="));
    assert!(!notifier.last_calls().uncertain);
}

#[test]
fn what_may_have_been_told_is_known_after_a_failure() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/429" => answer_with(429, "retry-after", "7"),
        _ => answer(500, ""),
    });
    let slow = misbehaving(|stream| {
        std::thread::sleep(Duration::from_secs(10));
        drop(stream);
    });
    for (url, title, uncertain, wait) in [
        (server.url(), "429", false, Some(7)),
        (server.url(), "500", true, None),
        (resetting(), "reset", true, None),
        (slow, "slow", true, None),
        ("http://127.0.0.1:1".to_owned(), "closed", false, None),
    ] {
        let mut notifier = open_notifier(&url);
        let error = notifier.notify(&report(title)).unwrap_err();
        let is_retry = matches!(&error, CallError::Guest(PluginError::Retry(_)));
        assert!(is_retry, "{title}: {error}");
        let outcome = notifier.last_calls();
        assert_eq!(outcome.uncertain, uncertain, "{title}");
        assert_eq!(
            outcome.retry_after,
            wait.map(Duration::from_secs),
            "{title}"
        );
        assert!(!notifier.is_poisoned(), "{title}: it had time to say so");
    }
    // A call that is cut off knows it too.
    let mut notifier = open_notifier(&server.url());
    let error = notifier.notify(&report("notify-for-ever")).unwrap_err();
    assert!(
        matches!(&error, CallError::Limit(limit) if limit.kind == LimitKind::Time),
        "{error}"
    );
    assert!(notifier.last_calls().uncertain);
}

#[test]
fn a_notifier_that_misbehaves_ends_in_its_own_error() {
    for (title, is_garbage) in [
        ("receipt-huge", true),
        ("receipt-garbage", true),
        ("panics", false),
    ] {
        let mut notifier = open_notifier("http://127.0.0.1:1");
        let error = notifier.notify(&report(title)).unwrap_err();
        match is_garbage {
            true => assert!(
                matches!(&error, CallError::Garbage { .. }),
                "{title}: {error}"
            ),
            false => assert!(matches!(&error, CallError::Trap(_)), "{title}: {error}"),
        }
        assert!(notifier.is_poisoned());
        assert!(matches!(
            notifier.notify(&report(title)),
            Err(CallError::Poisoned)
        ));
    }
}

#[test]
fn a_reviewer_sees_alert_attributes_and_lookups_only() {
    let open = || -> Reviewer {
        let granted = grant_capabilities(World::Reviewer, "lookups = [\"assets\"]");
        reviewer().open("{}", &granted.capabilities).unwrap()
    };
    let found = [Attribute {
        name: "asn".to_owned(),
        value: "{{secret:TOKEN}}".to_owned(),
        source: "geo".to_owned(),
    }];
    let assessment = open().review(&alert("tells-all"), &found).unwrap().unwrap();
    assert_eq!(
        (assessment.severity, assessment.verdict),
        (Severity::Low, Verdict::Benign)
    );
    assert!(
        assessment.reason.contains("assets") && assessment.reason.contains("asn"),
        "{}",
        assessment.reason
    );
    assert!(!assessment.reason.contains("{{"), "{}", assessment.reason);
    assert_eq!(open().review(&alert("says-nothing"), &[]).unwrap(), None);
    let error = open().review(&alert("reason-huge"), &[]).unwrap_err();
    assert!(matches!(&error, CallError::Garbage { .. }), "{error}");
    let error = open().review(&alert("look-up-for-ever"), &[]).unwrap_err();
    assert!(
        matches!(&error, CallError::Limit(limit) if limit.kind == LimitKind::Time),
        "{error}"
    );
}
