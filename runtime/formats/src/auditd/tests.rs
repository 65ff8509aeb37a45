use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::member::check::{clock, event, loses_nothing, lost, reads_long_lines};

const LINES: [&str; 7] = [
    "type=SYSCALL msg=audit(1706933106.123:4711): arch=c000003e success=yes a0=7FFD exit=-2 comm=\"my prog\" exe=2F746D702F6120C3A9 key=(null)\u{1d}ARCH=x86_64 UID=\"root\"",
    "node=web1 type=PROCTITLE msg=audit(1706933106.123:4711): proctitle=6C73002D6C0061 name=\"x\" type=odd",
    "type=USER_AUTH msg=audit(1706933106.100:9): pid=7 uid=0 msg='op=PAM:auth acct=\"ada\" exe=\"/usr/bin/su\" hostname=? res=success'\u{1d}UID=\"root\"",
    "type=EXECVE msg=audit(1706933106.000:9): argc=3 a0=\"sh\" a1=6120622063 a2[0]=C3A9",
    "type=AVC msg=audit(1706933106.5:9): avc:  denied  { read write } for  pid=7 comm=\"a\" pid=8",
    "Feb  3 04:05:06 gate kernel: [ 12.5] audit: type=1400 audit(1706933106.5:9): apparmor=\"DENIED\" name=2F74",
    "<13>Feb  3 04:05:06 gate audispd: node=a type=USER msg=audit(1706933106.5:9): msg='PAM: authentication acct=\"x\" : exe=\"/bin/y\" (hostname=h, addr=192.0.2.1, res=failed)'",
];

fn read(line: &str) -> Value {
    Value::Object(event(&mut new(clock()), line))
}

#[test]
fn records_are_read() {
    for (line, expected) in [
        (
            0,
            json!({
                "type": "SYSCALL", "timestamp": "2024-02-03T04:05:06.123Z", "audit_id": 4711, "arch": "c000003e", "success": "yes",
                "a0": "7FFD", "exit": "-2", "comm": "my prog", "exe": "/tmp/a é", "exe_hex": "2F746D702F6120C3A9", "key": "(null)",
                "ARCH": "x86_64", "UID": "root",
            }),
        ),
        (
            1,
            json!({
                "type": "PROCTITLE", "node": "web1", "timestamp": "2024-02-03T04:05:06.123Z", "audit_id": 4711,
                "proctitle": "ls -l a", "proctitle_hex": "6C73002D6C0061", "name": "x", "field_type": "odd",
            }),
        ),
        (
            2,
            json!({
                "type": "USER_AUTH", "timestamp": "2024-02-03T04:05:06.100Z", "audit_id": 9, "pid": "7", "uid": "0", "op": "PAM:auth",
                "acct": "ada", "exe": "/usr/bin/su", "hostname": "?", "res": "success", "UID": "root",
            }),
        ),
        (
            3,
            json!({
                "type": "EXECVE", "timestamp": "2024-02-03T04:05:06Z", "audit_id": 9, "argc": "3", "a0": "sh", "a1": "a b c",
                "a1_hex": "6120622063", "a2[0]": "é", "a2[0]_hex": "C3A9",
            }),
        ),
        (
            4,
            json!({
                "type": "AVC", "timestamp": "2024-02-03T04:05:06.500Z", "audit_id": 9, "pid": ["7", "8"], "comm": "a",
                "text": "avc: denied { read write } for",
            }),
        ),
        (
            5,
            json!({
                "hostname": "gate", "app_name": "kernel", "type": "1400", "timestamp": "2024-02-03T04:05:06.500Z", "audit_id": 9,
                "apparmor": "DENIED", "name": "/t", "name_hex": "2F74", "text": "[ 12.5] audit:",
                "header_timestamp": "2024-02-03T04:05:06Z",
            }),
        ),
        (
            6,
            json!({
                "priority": 13, "facility": "user", "severity": "notice", "app_name": "audispd", "type": "USER", "node": "a",
                "timestamp": "2024-02-03T04:05:06.500Z", "audit_id": 9, "acct": "x", "exe": "/bin/y", "hostname": "h",
                "addr": "192.0.2.1", "res": "failed", "text": "PAM: authentication :", "header_hostname": "gate",
                "header_timestamp": "2024-02-03T04:05:06Z",
            }),
        ),
    ] {
        assert_eq!(read(LINES[line]), expected, "{}", LINES[line]);
    }
    let record = record(LINES[1], &clock()).unwrap();
    assert_eq!(
        (record.node.as_deref(), record.kind.as_str(), record.serial),
        (Some("web1"), "PROCTITLE", 4711)
    );
}

#[test]
fn other_lines_are_wrong() {
    for line in [
        "text",
        "type=CWD msg=audit(x:1): a=b",
        "msg=audit(1.2:3): a=b",
        "type= msg=audit(1.2:3):",
        "type=CWD msg=audit(1.2:3",
    ] {
        assert!(new(clock()).line(line).is_err(), "{line}");
        assert!(!looks_like(line), "{line}");
    }
    assert_eq!(new(clock()).line(""), Ok(Decoded::Nothing));
    for start in [
        "",
        r#"{"m":"type=CWD msg=audit(1.2:3): a=b"}"#,
        "The record type=CWD msg=audit(1.2:3): says",
    ] {
        assert!(!looks_like(start), "{start}");
    }
}

#[test]
fn no_mutation_is_a_panic_and_no_word_is_lost() {
    for line in LINES {
        assert!(looks_like(line), "{line}");
    }
    loses_nothing(
        || new(clock()),
        looks_like,
        &LINES,
        &["msg", "audit", "1706933106", "000", "Feb", "3"],
    );
}

#[test]
fn time_reads_long_lines() {
    for part in [
        "audit(",
        "type=a msg=audit(",
        "a=b ",
        "msg='",
        "a=\"",
        "a='",
        "\u{1d}",
        "a ",
        "=",
        "(",
        ")",
        "name=41",
        "é= ",
    ] {
        reads_long_lines(&mut new(clock()), "", part);
        reads_long_lines(&mut new(clock()), "type=CWD msg=audit(1.2:3): a=", part);
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC*", other in any::<String>()) {
        for text in [&text, &other, &format!("type=CWD msg=audit({text}"), &format!("type=CWD msg=audit(1.2:3): {other}")] {
            let _ = new(clock()).line(text);
            let _ = looks_like(text);
        }
    }

    #[test]
    fn encoded_text_is_found_again(text in "[^\0]{1,20}") {
        let hex: String = text.bytes().map(|b| format!("{b:02X}")).collect();
        let event = read(&format!("type=PATH msg=audit(1.2:3): name={hex} cmd=\"{}\" saddr={hex}", text.replace(['"', '\u{1d}'], "")));
        prop_assert_eq!(event["name"].as_str(), Some(text.as_str()));
        prop_assert_eq!(event["name_hex"].as_str(), Some(hex.as_str()));
        prop_assert_eq!(event["saddr"].as_str(), Some(hex.as_str()));
    }

    #[test]
    fn every_word_is_kept(words in proptest::collection::vec("[a-z0-9_.:=\"'(),é]{1,6}", 1..12)) {
        let line = words.join(" ");
        let event = event(&mut new(clock()), &format!("type=CWD msg=audit(1.2:3): {line}"));
        let lost: Vec<&str> = lost(&line, &event).into_iter().filter(|piece| *piece != "msg").collect();
        prop_assert_eq!(lost, Vec::<&str>::new());
    }
}

#[test]
fn records_of_one_event_are_members_under_their_types() {
    let event = read(
        "node=web1 type=SYSCALL msg=audit(1706933106.123:4711): exe=\"/bin/cat\" a0=7ffd\nnode=web1 type=EXECVE msg=audit(1706933106.123:4711): argc=2 a0=\"cat\" type=x\nnode=web1 type=PATH msg=audit(1706933106.123:4711): item=0 name=\"/etc/shadow\"\nnode=web1 type=PATH msg=audit(1706933106.123:4711): item=1 name=\"/lib\"",
    );
    let expected = json!({
        "type": ["SYSCALL", "EXECVE", "PATH"], "node": "web1", "timestamp": "2024-02-03T04:05:06.123Z", "audit_id": 4711,
        "SYSCALL": {"exe": "/bin/cat", "a0": "7ffd"},
        "EXECVE": {"argc": "2", "a0": "cat", "field_type": "x"},
        "PATH": [{"item": "0", "name": "/etc/shadow"}, {"item": "1", "name": "/lib"}],
    });
    assert_eq!(event, expected);
}
