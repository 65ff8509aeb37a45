//! A grid of forms: every way to write one moment is that moment, and anything else is none.

use proptest::prelude::*;
use yagura_core::{FieldPath, Timestamp};

use super::{Range, of_event, of_json};
use crate::ingest::event::members;

fn range() -> Range {
    Range::of(None)
}

fn read(json: &str) -> Option<String> {
    let micros = of_json(json, range(), 0)?.micros()?;
    Timestamp::from_micros(micros).map(|time| time.to_string())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Dates of 2026-03-01, times of day of 10:11:12 with fractions, zones with their offsets in minutes.
const DATES: [&str; 4] = ["2026-03-01T", "2026-03-01 ", "2026/03/01 ", "2026.03.01 "];
const FRACTIONS: [(&str, i64); 8] = [
    ("", 0),
    (".1", 100_000),
    (".123", 123_000),
    (",123", 123_000),
    (".123456", 123_456),
    (".1234567", 123_456),
    (".123456789", 123_456),
    (".000001", 1),
];
const ZONES: [(&str, i64); 26] = [
    ("", 0),
    ("Z", 0),
    (" UTC", 0),
    (" GMT", 0),
    ("+00:00", 0),
    ("-00:00", 0),
    ("+01:00", 60),
    ("+0100", 60),
    ("+01", 60),
    (" +01:00", 60),
    (" +0100", 60),
    ("-05:30", -330),
    ("+05:45", 345),
    ("+14:00", 840),
    ("[UTC]", 0),
    ("Z[UTC]", 0),
    ("[Europe/Berlin]", 60),
    ("+01:00[Europe/Berlin]", 60),
    ("+01:00[Europe/Berlin][u-ca=iso8601]", 60),
    (" Europe/Berlin", 60),
    (" Asia/Kolkata", 330),
    (" CET", 60),
    (" EST", -300),
    (" PDT", -420),
    (" JST", 540),
    (" GMT+0100 (Central European Standard Time)", 60),
];
/// 2026-03-01T10:11:12Z.
const SECONDS: i64 = 1_772_359_872;

fn at(micros: i64) -> Option<String> {
    Timestamp::from_micros(micros).map(|time| time.to_string())
}

#[test]
fn every_date_fraction_and_zone_of_one_moment() {
    let mut count = 0;
    for date in DATES {
        for (fraction, micros) in FRACTIONS {
            for (zone, minutes) in ZONES {
                let text = format!("{date}10:11:12{fraction}{zone}");
                let expected = at((SECONDS - minutes * 60) * 1_000_000 + micros);
                assert_eq!(read(&quoted(&text)), expected, "{text}");
                count += 1;
            }
        }
        // Without seconds.
        for (zone, minutes) in ZONES {
            let text = format!("{date}10:11{zone}");
            let expected = at((SECONDS - 12 - minutes * 60) * 1_000_000);
            assert_eq!(read(&quoted(&text)), expected, "{text}");
            count += 1;
        }
    }
    assert_eq!(count, 4 * 26 * 9);
}

#[test]
fn compact_dates_in_every_zone() {
    for (zone, minutes) in [
        ("Z", 0),
        ("", 0),
        ("+0100", 60),
        ("+01:00", 60),
        ("-0530", -330),
    ] {
        for (fraction, micros) in [("", 0), (".5", 500_000), (".123456", 123_456)] {
            for text in [
                format!("20260301T101112{fraction}{zone}"),
                format!("20260301101112{fraction}{zone}"),
                format!("20260301 101112{fraction}{zone}"),
                format!("20260301-101112{fraction}{zone}"),
                format!("20260301 10:11:12{fraction}{zone}"),
            ] {
                let expected = at((SECONDS - minutes * 60) * 1_000_000 + micros);
                assert_eq!(read(&quoted(&text)), expected, "{text}");
            }
        }
    }
}

#[test]
fn numbers_of_every_unit_as_number_and_as_text() {
    let exact = at(SECONDS * 1_000_000);
    let (since_1, since_1601) = (SECONDS + 62_135_596_800, SECONDS + 11_644_473_600);
    for number in [
        format!("{SECONDS}"),
        format!("{SECONDS}.0"),
        format!("{SECONDS}000"),
        format!("{SECONDS}000000"),
        format!("{SECONDS}000000000"),
        format!("{since_1}0000000"),
        format!("{since_1601}0000000"),
        format!("{since_1601}000000"),
        "1.772359872e9".to_owned(),
        "1.772359872E+12".to_owned(),
        "20260301101112".to_owned(),
        "20260301101112000".to_owned(),
        "20260301101112000000".to_owned(),
    ] {
        for json in [
            number.clone(),
            quoted(&number),
            quoted(&format!(" {number} ")),
        ] {
            assert_eq!(read(&json), exact, "{json}");
        }
    }
    for (json, micros) in [
        (
            "1772359872.123456".to_owned(),
            SECONDS * 1_000_000 + 123_456,
        ),
        (
            "1772359872.123456789".to_owned(),
            SECONDS * 1_000_000 + 123_456,
        ),
        (
            "1772359872123.456".to_owned(),
            SECONDS * 1_000_000 + 123_456,
        ),
        (
            "1772359872123456789".to_owned(),
            SECONDS * 1_000_000 + 123_456,
        ),
        (
            format!("{since_1601}1234567"),
            SECONDS * 1_000_000 + 123_456,
        ),
        (
            "20260301101112123".to_owned(),
            SECONDS * 1_000_000 + 123_000,
        ),
        ("202603011011".to_owned(), (SECONDS - 12) * 1_000_000),
        ("20260301".to_owned(), 1_772_323_200_000_000),
        // The first and the last moments of the usual range.
        ("631152000".to_owned(), 631_152_000_000_000),
        ("4102444800".to_owned(), 4_102_444_800_000_000),
        ("900000000000".to_owned(), 900_000_000_000_000),
    ] {
        assert_eq!(read(&json), at(micros), "{json}");
        assert_eq!(read(&quoted(&json)), at(micros), "{json}");
    }
}

#[test]
fn forms_of_mail_servers_and_languages() {
    let exact = at(SECONDS * 1_000_000);
    for text in [
        "Sun, 01 Mar 2026 10:11:12 +0000",
        "Sun, 1 Mar 2026 10:11:12 GMT",
        "01 Mar 2026 10:11:12 +0000 (UTC)",
        "1 Mar 26 02:11:12 -0800 (PST)",
        "Sunday, 01-Mar-26 10:11:12 GMT",
        "[01/Mar/2026:10:11:12 +0000]",
        "01/Mar/2026:11:11:12 +0100",
        "01-Mar-2026 10:11:12",
        "01-MAR-26 10.11.12.000000 AM +00:00",
        "Sun Mar  1 10:11:12 2026",
        "Sun Mar 1 10:11:12 UTC 2026",
        "Sun Mar 1 11:11:12 CET 2026",
        "Sun Mar 1 10:11:12 +0000 2026",
        "Sun Mar 01 2026 11:11:12 GMT+0100 (Central European Standard Time)",
        "Mar 1, 2026 10:11:12 AM",
        "March 1, 2026, 10:11:12 am UTC",
        "March 1, 2026 at 10:11:12 AM UTC",
        "Mar  1 2026 10:11:12.000 UTC:",
        "*Mar  1 2026 10:11:12.000:",
        "2026-03-01T10:11:12 AM",
        "2026-03-01, 10:11:12",
        "2026:03:01 10:11:12",
        "2026-03-01-10.11.12.000000",
        "2026-03-01 10:11:12:000",
        "2026-03-01T10:11:12\u{2212}00:00",
        "2026-060T10:11:12Z",
        "20260301111112.000000+060",
        "/Date(1772359872000)/",
        "/Date(1772359872000+0000)/",
        "/Date(1772359872000-0500)/",
        "new Date(1772359872000)",
        "audit(1772359872.000:421)",
        "@1772359872",
        "01.03.2026 10:11:12",
        "1.3.2026, 10:11:12",
        "[2026-03-01T10:11:12Z]",
        "\"2026-03-01T10:11:12Z\"",
        "2026-03-01T02:11:12-08:00",
        "2026-02-28T22:11:12-12:00",
    ] {
        assert_eq!(read(&quoted(text)), exact, "{text}");
    }
    for (text, expected) in [
        ("3/14/2026 9:05:01 PM", "2026-03-14T21:05:01.000000Z"),
        ("14/03/2026 09:05", "2026-03-14T09:05:00.000000Z"),
        ("12/31/2026 12:00:00 AM", "2026-12-31T00:00:00.000000Z"),
        ("03/03/2026 12:00:00 PM", "2026-03-03T12:00:00.000000Z"),
        ("2026-03-01", "2026-03-01T00:00:00.000000Z"),
        ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00.000000Z"),
        (
            "2026-07-01T10:00:00[Europe/Berlin]",
            "2026-07-01T08:00:00.000000Z",
        ),
        // The hour that comes twice, and the one that is skipped.
        (
            "2026-10-25T02:30:00[Europe/Berlin]",
            "2026-10-25T00:30:00.000000Z",
        ),
        (
            "2026-03-29T02:30:00[Europe/Berlin]",
            "2026-03-29T01:30:00.000000Z",
        ),
        ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520000Z"),
    ] {
        assert_eq!(read(&quoted(text)).as_deref(), Some(expected), "{text}");
    }
    for (json, expected) in [
        (r#"{"$date":"2026-03-01T10:11:12Z"}"#, &exact),
        (r#"{"$date":{"$numberLong":"1772359872000"}}"#, &exact),
        (r#"{"SystemTime":"2026-03-01T10:11:12Z"}"#, &exact),
        (
            r##"{"#attributes":{"SystemTime":"2026-03-01 10:11:12"}}"##,
            &exact,
        ),
        (r#"{"seconds":1772359872,"nanos":0}"#, &exact),
        (r#"{"epochSecond":"1772359872"}"#, &exact),
        (r#"["2026-03-01T10:11:12.000Z"]"#, &exact),
        (r#""2026-03-01T10:\u00311:12Z""#, &exact),
    ] {
        assert_eq!(&read(json), expected, "{json}");
    }
}

#[test]
fn what_is_no_time_is_none() {
    for json in [
        "null",
        "true",
        "{}",
        "[]",
        "0",
        "-0",
        "1",
        "0.25",
        "86400",
        "99999999",
        "99991231235959",
        "20261301000000",
        "20260229101112",
        "999999999999999999999999999999",
        "-1772359872",
        "1e400",
        "9e20",
        "1e",
        "inf",
        "nan",
        "",
        "-",
        "yesterday",
        "10:11:12",
        "2026",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+25:00",
        "2026-01-01T00:00:00 IST",
        "2026-01-01T00:00:00 BST",
        "2026-01-01T00:00:00[Mars/Olympus]",
        "2026-03-01T13:00:00 PM",
        "2026-366T00:00:00Z",
        "01/02/2026 10:11:12",
        "1/2/2026 10:11:12 AM",
        "01-02-2026",
        "Mar  1 10:11:12",
        "Mar  1 10:11:12 host sshd[1]: x",
        "0000-01-01T00:00:00+01:00",
        "é026-01-01T00:00:00Z",
        "/Date()/",
        "192.168.2026.1",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00",
        "0001-01-01",
        "1601-01-01T00:00:00.0000000Z",
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T01:00:00+01:00",
        "1969-12-31T16:00:00-08:00",
        "1970-01-01 00:00:00 +05:00",
        "Thu Jan  1 00:00:00 1970",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "1900-01-01T00:00:00",
        "9999-12-31T23:59:59.999Z",
    ] {
        assert_eq!(read(json), None, "{json}");
        assert_eq!(read(&quoted(json)), None, "{json} as text");
    }
}

#[test]
fn a_table_has_a_range_of_its_own() {
    let bounds = crate::TimeBounds {
        from: "1970-01-01T00:00:00Z".parse().unwrap(),
        to: "1980-01-01T00:00:00Z".parse().unwrap(),
    };
    let range = Range::of(Some(bounds));
    let read = |json: &str| of_json(json, range, 0).and_then(super::Read::micros);
    assert_eq!(read("86400"), Some(86_400_000_000));
    assert_eq!(read("631152000000000000000"), None);
    assert_eq!(read("0"), None);
    assert_eq!(read("\"2026-03-01T10:11:12Z\""), Some(SECONDS * 1_000_000));
}

fn found(event: &str, paths: &[&str]) -> Option<String> {
    found_by(event, paths, &[])
}

fn found_by(event: &str, paths: &[&str], known: &[&str]) -> Option<String> {
    let parse = |paths: &[&str]| -> Vec<FieldPath> {
        paths.iter().map(|path| path.parse().unwrap()).collect()
    };
    let members = members(event).unwrap();
    let looked = of_event(&members, &parse(paths), &parse(known), range());
    looked.found.map(|found| found.time.to_string())
}

#[test]
fn usual_names_are_found_in_every_spelling() {
    let moment = Some("2026-03-01T10:11:12.000000Z".to_owned());
    for name in [
        "timestamp",
        "Timestamp",
        "timeStamp",
        "TimeStamp",
        "TIMESTAMP",
        "_timestamp",
        "@timestamp",
        "time-stamp",
        "time",
        "Time",
        "_time",
        "ts",
        "eventTime",
        "EventTime",
        "eventtime",
        "event_time",
        "Event Time",
        "EventReceivedTime",
        "start",
        "rt",
        "deviceReceiptTime",
        "winlog.time_created",
        "System.TimeCreated.SystemTime",
        "TimeCreated",
        "startTime",
        "logged_at",
        "requestReceivedTimestamp",
        "stageTimestamp",
        "__REALTIME_TIMESTAMP",
        "TimeGenerated",
        "CreationTime",
        "createdAt",
        "created_at",
        "published",
        "datetime",
        "occurred_at",
        "isotimestamp",
        "unixTime",
        "calendarTime",
        "date",
        "messageTime",
        "receiveTimestamp",
    ] {
        let event = format!(r#"{{"other": 1, "{name}": "2026-03-01T10:11:12Z"}}"#);
        assert_eq!(found(&event, &[]), moment, "{name}");
    }
    for nested in [
        r##"{"Event": {"System": {"TimeCreated": {"#attributes": {"SystemTime": "2026-03-01T10:11:12Z"}}}}}"##,
        r#"{"Event": {"System": {"TimeCreated": {"@SystemTime": "2026-03-01T10:11:12Z"}}}}"#,
        r#"{"System": {"TimeCreated": {"SystemTime": 1772359872.0}}}"#,
        r#"{"winlog": {"time_created": "2026-03-01T10:11:12Z"}}"#,
        r#"{"TimeCreated": "/Date(1772359872000)/"}"#,
        r#"{"TimeCreated": {"SystemTime": "2026-03-01T10:11:12Z"}}"#,
        r#"{"id": {"time": "2026-03-01T10:11:12Z"}}"#,
        r#"{"_source": {"@timestamp": "2026-03-01T10:11:12Z"}}"#,
        r#"{"t": {"$date": "2026-03-01T10:11:12.000+00:00"}}"#,
        r#"{"date": "2026-03-01", "time": "10:11:12", "x": 1}"#,
        r#"{"time": "10:11:12", "Date": "2026-03-01"}"#,
        r#"{"__REALTIME_TIMESTAMP": "1772359872000000", "PRIORITY": "6"}"#,
    ] {
        assert_eq!(found(nested, &[]), moment, "{nested}");
    }
}

#[test]
fn the_best_place_wins_and_zero_never() {
    let right = r#""2026-03-01T10:11:12Z""#;
    let moment = Some("2026-03-01T10:11:12.000000Z".to_owned());
    for empty in [
        "0",
        "\"0\"",
        "\"\"",
        "null",
        "\"-\"",
        "0.25",
        "-1",
        "12",
        "true",
        "{}",
        "\"0001-01-01T00:00:00Z\"",
        "\"1601-01-01T00:00:00Z\"",
        "\"1970-01-01T00:00:00Z\"",
        // Not nothing, but less likely than what follows.
        "\"1980-01-06T00:00:12Z\"",
        "\"2222-01-01T00:00:00Z\"",
        "\"2025-01-01\"",
    ] {
        let event = format!(r#"{{"timestamp": {empty}, "time": {right}}}"#);
        assert_eq!(found(&event, &[]), moment, "{empty}");
        if empty != "\"2025-01-01\"" && !empty.contains("2222") && !empty.contains("1980") {
            assert_eq!(
                found(&format!(r#"{{"timestamp": {empty}}}"#), &[]),
                None,
                "{empty}"
            );
            // A declared place that holds nothing is no reason to have no time.
            let event = format!(r#"{{"mine": {empty}, "time": {right}}}"#);
            assert_eq!(found(&event, &["mine"]), moment, "{empty}");
        }
    }
    let old = r#"{"timestamp": "1985-04-12T23:20:50Z", "count": 3}"#;
    assert_eq!(
        found(old, &[]).as_deref(),
        Some("1985-04-12T23:20:50.000000Z")
    );
    let declared =
        format!(r#"{{"eventTime": {right}, "mine": "1999-01-01T00:00:00Z", "other": {right}}}"#);
    assert_eq!(
        found(&declared, &["mine"]).as_deref(),
        Some("1999-01-01T00:00:00.000000Z")
    );
    assert_eq!(found(&declared, &["none", "other"]), moment);
    assert_eq!(found("{}", &[]), None);
}

#[test]
fn an_added_key_does_not_move_an_event_of_a_table_whose_time_is_known() {
    let moment = Some("2026-03-01T10:11:12.000000Z".to_owned());
    for added in [
        r#""eventTime": "2020-01-01T00:00:00Z""#,
        r#""@timestamp": 1577836800"#,
    ] {
        let event = format!(r#"{{{added}, "ts": "2026-03-01T10:11:12Z"}}"#);
        assert_ne!(found(&event, &[]), moment);
        assert_eq!(found_by(&event, &[], &["ts"]), moment);
        // What the user says comes first; a table's other usual names come where its own hold no time.
        assert_eq!(
            found_by(&event, &["eventTime", "@timestamp"], &["ts"]),
            found(&event, &[])
        );
        assert_eq!(found_by(&event, &[], &["none"]), found(&event, &[]));
        let unusable = format!(r#"{{{added}, "ts": "soon"}}"#);
        assert_eq!(found_by(&unusable, &[], &["ts"]), found(&event, &[]));
    }
    let day = r#"{"eventTime": "2020-01-01T00:00:00Z", "date": "2026-03-01"}"#;
    let first = Some("2026-03-01T00:00:00.000000Z".to_owned());
    assert_eq!(found_by(day, &[], &["date"]), first);
}

#[test]
fn what_was_refused_is_shown() {
    let event = members(r#"{"a": 1, "time": "soon", "ts": 4}"#).unwrap();
    let looked = of_event(&event, &[], &[], range());
    assert_eq!(looked.refused, Some("4"));
    let paths = ["time".parse().unwrap()];
    let looked = of_event(&event, &paths, &[], range());
    assert_eq!(
        (looked.refused, looked.has_declared),
        (Some("\"soon\""), true)
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_not_and_never_a_fault(text in "\\PC{0,40}") {
        let _ = read(&quoted(&text));
        let _ = of_json(&text, range(), 0);
    }

    #[test]
    fn texts_like_times_are_no_fault(text in "[0-9]{0,4}[-/.: ]?[0-9]{0,4}[-/.: T]?[0-9]{0,3}[ T:]?[0-9]{0,2}[:.]?[0-9]{0,2}[:.,]?[0-9]{0,9} ?(Z|AM|[+-][0-9:]{0,6}|\\[[A-Za-z/]{0,12}\\]|[A-Z]{0,4})") {
        let _ = read(&quoted(&text));
    }

    #[test]
    fn every_second_comes_back_in_every_form(seconds in 631_152_000i64..4_102_444_800) {
        let expected = at(seconds * 1_000_000);
        let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
        for form in [
            "%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%SZ", "%Y%m%d%H%M%S", "%a, %d %b %Y %H:%M:%S +0000", "%a %b %e %H:%M:%S %Y",
            "%d/%b/%Y:%H:%M:%S +0000", "%d.%m.%Y %H:%M:%S", "%Y-%jT%H:%M:%SZ", "%B %d, %Y %I:%M:%S %p", "%s", "%s000", "%s000000000",
        ] {
            let text = time.format(form).to_string();
            // Nanoseconds of 1990 are .NET ticks.
            if form != "%s000000000" || seconds > 662_400_000 {
                prop_assert_eq!(read(&quoted(&text)), expected.clone(), "{}", text);
            }
        }
    }
}
