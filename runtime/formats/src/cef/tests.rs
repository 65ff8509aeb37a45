use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::member::check::{clock, event, loses_nothing, reads_long_lines};

const LINES: [&str; 5] = [
    r"CEF:0|Ac\|me|Wall \\ Door|1.0|100|Port scan|7|src=192.0.2.1 spt=4242 msg=a \= b\nc \d  request=http://x/?a=1&b=2 cs1Label=Rule Name cs1=Deny all cn1Label=hits cn1=12",
    "<134>Feb  3 04:05:06 wall CEF: 1.2|Acme|Wall|1|x|y|Low|loose words rt=1706933106123 hostname=inner cs2Label=only",
    "0|Acme|Wall|1|x|y|3|end=Feb 03 2024 04:05:06.250 UTC act=é act=deny",
    "noise before CEF:0|Acme|Wall|1|x|y|3|",
    "2024-02-03T04:05:06Z wall app[1]: CEF:0|Acme|Wall|1|x|y|3",
];

fn read(line: &str) -> Value {
    Value::Object(event(&mut new(clock()), line))
}

#[test]
fn header_and_extension_are_read() {
    let expected = json!({
        "cef_version": "0", "device_vendor": "Ac|me", "device_product": r"Wall \ Door", "device_version": "1.0",
        "signature_id": "100", "name": "Port scan", "severity": "7", "src": "192.0.2.1", "spt": 4242,
        "msg": "a = b\nc \\d", "request": "http://x/?a=1&b=2", "cs1Label": "Rule Name", "cs1": "Deny all",
        "cn1Label": "hits", "cn1": 12, "labelled": {"Rule Name": "Deny all", "hits": 12},
    });
    assert_eq!(read(LINES[0]), expected);
    let expected = json!({
        "priority": 134, "facility": "local0", "cef_version": "1.2", "device_vendor": "Acme", "device_product": "Wall",
        "device_version": "1", "signature_id": "x", "name": "y", "severity": "Low", "rt": "1706933106123",
        "hostname": "inner", "cs2Label": "only", "timestamp": "2024-02-03T04:05:06.123Z", "text": "loose words",
        "header_severity": "info", "header_timestamp": "2024-02-03T04:05:06Z", "header_hostname": "wall",
    });
    assert_eq!(read(LINES[1]), expected);
    let event = read(LINES[2]);
    assert_eq!(event["timestamp"], "2024-02-03T04:05:06.250Z");
    assert_eq!(event["act"], json!(["é", "deny"]));
    assert_eq!(read(LINES[3])["text"], "noise before");
    let event = read(LINES[4]);
    assert_eq!(
        (&event["timestamp"], &event["app_name"]),
        (&json!("2024-02-03T04:05:06Z"), &json!("app"))
    );
}

#[test]
fn a_short_header_is_wrong() {
    let wrong = new(clock()).line("CEF:0|a|b|c").unwrap_err();
    assert_eq!(
        wrong.reason,
        "the header of CEF has 7 fields, and this line 4"
    );
    for line in ["CEF:", "CEF:x|a|b|c|d|e|1|", "text"] {
        assert!(new(clock()).line(line).is_err(), "{line}");
    }
    assert_eq!(new(clock()).line(""), Ok(Decoded::Nothing));
}

#[test]
fn only_cef_looks_like_it() {
    for line in LINES {
        assert_eq!(looks_like(line), !line.starts_with("noise"), "{line}");
    }
    for start in [
        "",
        "0|1|2",
        r#"{"m":"CEF:0|a|b|c|d|e|1|"}"#,
        "See CEF:0|a|b|c|d|e|1| in the guide",
        "CEF:0|a",
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
        &["CEF", "Feb", "3", "nc"],
    );
}

#[test]
fn time_reads_long_lines() {
    for part in [
        "CEF:", "CEF: ", "a=b ", "=", "\\", "|", "a ", "a=", "é=\\= ",
    ] {
        reads_long_lines(&mut new(clock()), "", part);
        reads_long_lines(&mut new(clock()), "CEF:0|a|b|c|d|e|1|", part);
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC*", other in any::<String>()) {
        for text in [&text, &other, &format!("CEF:0|{text}"), &format!("CEF:0|a|b|c|d|e|1|{other}")] {
            let _ = new(clock()).line(text);
            let _ = looks_like(text);
        }
    }

    #[test]
    fn every_value_is_found_again(values in proptest::collection::vec("[^\\s\r](\\PC{0,12}[^\\s\r])?", 1..6)) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('=', "\\=");
        let extension: Vec<String> =
            values.iter().enumerate().map(|(at, value)| format!("k{at}={}", escaped(value))).collect();
        let event = read(&format!("CEF:0|a|b|c|d|{}|1|{}", escaped(&values[0]).replace('|', "\\|").replace("\\=", "="), extension.join(" ")));
        prop_assert_eq!(event["name"].as_str(), Some(values[0].trim()));
        for (at, value) in values.iter().enumerate() {
            prop_assert_eq!(event[format!("k{at}")].as_str(), Some(value.as_str()));
        }
    }
}
