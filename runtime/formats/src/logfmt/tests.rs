use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::member::check::{clock, event, loses_nothing, lost, reads_long_lines};

const LINES: [&str; 6] = [
    r#"ts=2024-02-03T04:05:06Z level=info msg="a \"b\"\té \u00e9" debug url=http://x/?a=b dup=1 dup=2 empty="#,
    r#"<189>date=2024-02-03 time=04:05:06 devname="wall-1" tz="+0200" path="C:\new\"x" severity=high"#,
    "Feb  3 04:05:06 gate kernel: [ 12.5] DROP: IN=eth0 OUT= LEN=40 DF PROTO=TCP SPT=1 ACK PSH URGP=0 LEN=20",
    "2024-02-03 04:05:06,357 WARN  [events] type=LOGIN_ERROR, realm=shop, user=ada byron lovelace, ip=192.0.2.1",
    "app.kubernetes.io/name=x @t=1 node:cpu=2 a=\"open to the end",
    r#"Feb  3 04:05:06 gate [LAN-1] DESCR="x y" IN=eth0 OUT=eth1"#,
];

fn read(line: &str) -> Value {
    Value::Object(event(&mut new(clock()), line))
}

#[test]
fn pairs_are_read() {
    let expected = json!({
        "ts": "2024-02-03T04:05:06Z", "level": "info", "msg": "a \"b\"\té é", "url": "http://x/?a=b",
        "debug": true, "dup": ["1", "2"], "empty": "",
    });
    assert_eq!(read(LINES[0]), expected);
    let expected = json!({
        "priority": 189, "facility": "local7", "date": "2024-02-03", "time": "04:05:06", "devname": "wall-1",
        "tz": "+0200", "path": r#"C:\new"x"#, "severity": "high", "timestamp": "2024-02-03T04:05:06+02:00",
        "header_severity": "notice",
    });
    assert_eq!(read(LINES[1]), expected);
    let expected = json!({
        "timestamp": "2024-02-03T04:05:06Z", "hostname": "gate", "app_name": "kernel", "text": "[ 12.5] DROP:",
        "IN": "eth0", "OUT": "", "LEN": ["40", "20"], "DF": true, "PROTO": "TCP", "SPT": "1", "ACK": true, "PSH": true,
        "URGP": "0",
    });
    assert_eq!(read(LINES[2]), expected);
    let expected = json!({
        "timestamp": "2024-02-03T04:05:06.357Z", "text": ["WARN  [events]", "byron lovelace,"], "type": "LOGIN_ERROR",
        "realm": "shop", "user": "ada", "ip": "192.0.2.1",
    });
    assert_eq!(read(LINES[3]), expected);
    let expected =
        json!({"app.kubernetes.io/name": "x", "@t": "1", "node:cpu": "2", "a": "open to the end"});
    assert_eq!(read(LINES[4]), expected);
    assert_eq!(read(LINES[5])["text"], "[LAN-1]");
}

#[test]
fn lines_without_pairs_are_wrong() {
    for line in [
        "plain text",
        "<13>text",
        "=",
        "=x",
        "see http://x/?a=b",
        "a = b",
    ] {
        assert!(new(clock()).line(line).is_err(), "{line}");
    }
    assert_eq!(new(clock()).line(""), Ok(Decoded::Nothing));
}

#[test]
fn only_pairs_look_like_it() {
    for (at, line) in LINES.iter().enumerate() {
        // Too many words beside the pairs.
        assert_eq!(looks_like(line), at != 3, "{line}");
    }
    for start in [
        "",
        r#"{"a":"b=1 c=2 d=3"}"#,
        "<a b=1 c=2 d=3>",
        "Set a=1, b=2 and c=3 before you start the program.",
        "a=1",
        "CEF:0|a|b|c|d|e|1|a=1 b=2 c=3",
        "type=CWD msg=audit(1700000000.123:45): a=1 b=2 c=3",
    ] {
        assert!(!looks_like(start), "{start}");
    }
}

#[test]
fn no_mutation_is_a_panic_and_no_word_is_lost() {
    loses_nothing(
        || new(clock()),
        looks_like,
        &LINES,
        &["Feb", "3", "té", "u00e9"],
    );
}

#[test]
fn time_reads_long_lines() {
    for part in [
        "a=b ",
        "a=\"",
        "a=\"\\\" ",
        "a ",
        "=",
        "A a=b ",
        "a, ",
        "a=b, ",
        "é=\"\\u",
        "\" ",
    ] {
        reads_long_lines(&mut new(clock()), "", part);
        reads_long_lines(&mut new(clock()), "<34>Feb  3 04:05:06 gate app: a=", part);
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC*", other in any::<String>()) {
        for text in [&text, &other, &format!("a={text}"), &format!("a=\"{other}"), &format!("date=1 a=\"{other}\" b={text}")] {
            let _ = new(clock()).line(text);
            let _ = looks_like(text);
        }
    }

    #[test]
    fn every_value_is_found_again(values in proptest::collection::vec(any::<String>(), 1..6)) {
        let quoted = |text: &String| text.replace('\\', "\\\\").replace('"', "\\\"");
        let line: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("k{at}=\"{}\"", quoted(value))).collect();
        let event = read(&line.join(" "));
        for (at, value) in values.iter().enumerate() {
            prop_assert_eq!(event[format!("k{at}")].as_str(), Some(value.as_str()));
        }
    }

    #[test]
    fn every_word_is_kept(words in proptest::collection::vec("[a-zA-Z0-9_.:=\",é]{1,6}", 1..12)) {
        let line = format!("k=1 {}", words.join(" "));
        let Value::Object(event) = read(&line) else { unreachable!() };
        prop_assert_eq!(lost(&line, &event), Vec::<&str>::new());
    }
}
