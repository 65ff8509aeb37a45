use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::member::check::{clock, event, loses_nothing, reads_long_lines};

fn read(line: &str) -> Value {
    Value::Object(event(&mut new(clock()), line))
}

/// Lines of every framing.
const LINES: [&str; 16] = [
    r#"<165>1 2024-02-03T04:05:06.003Z web1 shop 8710 ID47 [id@32473 a="1" b="x\"y\]z"][other] hello  world "#,
    "<34>1 - - - - - - only text",
    "1 2024-02-03T04:05:06Z web1 shop - - - no priority",
    "73 <13>1 2024-02-03T04:05:06Z web1 shop - - [broken a=1] the rest of the message",
    "<38>Feb  3 04:05:06 gate sshd[411]: Accepted key for ada",
    "Feb  3 04:05:06 gate kernel: [ 12.5] eth0: link up",
    "Feb 03 04:05:06 gate CRON[7]: (root) CMD (run)",
    "Feb  3 04:05:06 gate - message repeated 2 times",
    "2024-02-03T04:05:06.123456+01:00 gate sudo:   ada : TTY=pts/0",
    "2024-02-03 04:05:06,5 gate ftpd[88] gate: login",
    "<189>29: core1: *Mar  1 00:00:00.123: %SYS-5-CONFIG_I: Configured by ada",
    "<189>000031: .Mar  1 00:00:00.123 CET: %LINK-3-UPDOWN: Interface Gi0/1, changed",
    "<166>Feb 03 2024 04:05:06 wall : %ASA-6-302013: Built inbound",
    r#"<14>Feb  3 04:05:06 {"a":1}"#,
    "<13>sshd[12]: no time at all",
    "<13>no time, no tag",
];

#[test]
fn rfc_5424_is_read() {
    let expected = json!({
        "priority": 165, "facility": "local4", "severity": "notice", "version": 1,
        "timestamp": "2024-02-03T04:05:06.003Z", "hostname": "web1", "app_name": "shop",
        "proc_id": "8710", "msg_id": "ID47",
        "structured_data": {"id@32473": {"a": "1", "b": "x\"y]z"}, "other": {}},
        "message": "hello  world ",
    });
    assert_eq!(read(LINES[0]), expected);
    let expected = json!({"priority": 34, "facility": "auth", "severity": "crit", "version": 1, "message": "only text"});
    assert_eq!(read(LINES[1]), expected);
    assert_eq!(read(LINES[2])["hostname"], "web1");
    let event = read(LINES[3]);
    assert_eq!(event["message"], "[broken a=1] the rest of the message");
    assert_eq!(event["octet_count"], 73);
    let event = read("<13>1 2024-02-03T04:05:06Z h a p m [i a=\"1\" a=\"2\"][i b=\"3\"] \u{feff}x");
    assert_eq!(
        event["structured_data"],
        json!({"i": [{"a": ["1", "2"]}, {"b": "3"}]})
    );
    assert_eq!(event["message"], "x");
}

#[test]
fn rfc_3164_is_read_in_every_framing() {
    let all = ["timestamp", "hostname", "app_name", "proc_id", "message"];
    for (line, expected) in [
        (
            4,
            [
                "2024-02-03T04:05:06Z",
                "gate",
                "sshd",
                "411",
                "Accepted key for ada",
            ],
        ),
        (
            5,
            [
                "2024-02-03T04:05:06Z",
                "gate",
                "kernel",
                "",
                "[ 12.5] eth0: link up",
            ],
        ),
        (
            6,
            [
                "2024-02-03T04:05:06Z",
                "gate",
                "CRON",
                "7",
                "(root) CMD (run)",
            ],
        ),
        (
            7,
            [
                "2024-02-03T04:05:06Z",
                "gate",
                "",
                "",
                "- message repeated 2 times",
            ],
        ),
        (
            8,
            [
                "2024-02-03T04:05:06.123456+01:00",
                "gate",
                "sudo",
                "",
                "  ada : TTY=pts/0",
            ],
        ),
        (
            9,
            [
                "2024-02-03T04:05:06.500Z",
                "gate",
                "ftpd",
                "88",
                "gate: login",
            ],
        ),
        (
            10,
            [
                "2024-03-01T00:00:00.123Z",
                "core1",
                "%SYS-5-CONFIG_I",
                "",
                "Configured by ada",
            ],
        ),
        (
            11,
            [
                "2024-03-01T00:00:00.123Z",
                "",
                "%LINK-3-UPDOWN",
                "",
                "Interface Gi0/1, changed",
            ],
        ),
        (
            12,
            [
                "2024-02-03T04:05:06Z",
                "wall",
                "%ASA-6-302013",
                "",
                "Built inbound",
            ],
        ),
        (13, ["2024-02-03T04:05:06Z", "", "", "", r#"{"a":1}"#]),
        (14, ["", "", "sshd", "12", "no time at all"]),
        (15, ["", "", "", "", "no time, no tag"]),
    ] {
        let event = read(LINES[line]);
        let found = all.map(|name| event.get(name).and_then(Value::as_str).unwrap_or_default());
        assert_eq!(found, expected, "{}", LINES[line]);
    }
    assert_eq!(read(LINES[10])["sequence"], "29");
    assert_eq!(read(LINES[10])["time_mark"], "*");
    assert_eq!(read(LINES[11])["time_zone"], "CET");
}

#[test]
fn lines_without_a_header_are_wrong() {
    let mut decoder = new(clock());
    for line in [
        "plain text",
        "<192>x",
        "<>x",
        "<1",
        "2024-02-03",
        "Feb 30 04:05:06 a b: c",
        r#"{"a":1}"#,
    ] {
        assert!(decoder.line(line).is_err(), "{line}");
    }
    assert_eq!(decoder.line(" "), Ok(Decoded::Nothing));
}

#[test]
fn only_syslog_looks_like_it() {
    for line in LINES {
        assert!(looks_like(line), "{line}");
    }
    for start in [
        "",
        "{\"a\":1}\n{\"a\":2}",
        "Dear all,\nthe server is down.",
        "2024-02-03 04:05:06 INFO it works",
        "2024-02-03 04:05:06 ERROR: no",
        "2024-02-03 04:05:06,5 ERROR shop: no",
        "2024-02-03T04:05:06Z WARN shop: no",
        "2024-02-03T04:05:06Z 12 [Note] Access denied",
        "<html><body>",
        "a,b,c\n1,2,3",
        "<13>Feb  3 04:05:06 gate CEF:0|a|b|c|d|e|1|",
        "May 2024 was warm",
        "Feb  3 04:05:06 gate audispd: type=CWD msg=audit(1700000000.123:45): cwd=\"/\"",
    ] {
        assert!(!looks_like(start), "{start}");
    }
}

#[test]
fn no_mutation_of_a_line_is_a_panic_and_no_word_is_lost() {
    // What a time or a count becomes.
    loses_nothing(
        || new(clock()),
        looks_like,
        &LINES,
        &[
            "Feb", "Mar", "3", "1", "5", "03", "003Z", "06Z", "03T04", "000", "73",
        ],
    );
}

#[test]
fn time_reads_long_lines() {
    for part in [
        "[a b=\" n\" m=\"]",
        "[a",
        "a=\"\\\"",
        " ",
        ": ",
        "[a b=\"c\"]",
        "é:",
    ] {
        reads_long_lines(
            &mut new(clock()),
            "<34>1 2024-02-03T04:05:06Z h a p m ",
            part,
        );
        reads_long_lines(&mut new(clock()), "<34>Feb  3 04:05:06 ", part);
        reads_long_lines(&mut new(clock()), "<34>", part);
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC*", other in any::<String>()) {
        for text in [&text, &other, &format!("<34>1 {text}"), &format!("<34>Feb  3 04:05:06 {text}")] {
            let _ = new(clock()).line(text);
            let _ = looks_like(text);
        }
    }
}

#[test]
fn repeated_messages_keep_their_number() {
    let read = |line: &str| {
        let event = event(&mut new(clock()), line);
        let text = |name: &str| event.get(name).cloned().unwrap_or_default();
        (text("message"), text("repeated"))
    };
    for (line, message, repeated) in [
        (
            "<38>Feb  3 04:05:06 gate sshd[7]: message repeated 2 times: [ Failed password for root [x]]",
            "Failed password for root [x]",
            Value::from(2),
        ),
        (
            "<38>Feb  3 04:05:06 gate last message repeated 15 times",
            "last message repeated 15 times",
            Value::from(15),
        ),
        (
            "<38>Feb  3 04:05:06 gate --- last message repeated 1 time ---",
            "--- last message repeated 1 time ---",
            Value::from(1),
        ),
        (
            "<38>Feb  3 04:05:06 gate a: message repeated many times: [ x]",
            "message repeated many times: [ x]",
            Value::Null,
        ),
        (
            "<38>Feb  3 04:05:06 gate a: message repeated 2 times: [ x",
            "message repeated 2 times: [ x",
            Value::Null,
        ),
        (
            "<38>Feb  3 04:05:06 gate a: last message repeated 2 times today",
            "last message repeated 2 times today",
            Value::Null,
        ),
    ] {
        assert_eq!(read(line), (Value::from(message), repeated), "{line}");
    }
}
