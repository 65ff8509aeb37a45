//! The functions of `yagura-functions` in conditions.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Int32Type;

use super::matches;

fn events() -> RecordBatch {
    let raw = [
        Some("<34>Feb  3 04:05:06 web sshd[7]: from 10.1.2.3 port=22"),
        Some(r#"{"url": "https://Example.com/a?q=1", "ip": "192.0.2.7"}"#),
        Some("neither"),
        None,
    ];
    let ips = [Some("10.1.2.3"), Some("192.0.2.7"), Some("-"), None];
    let numbers = [Some(6), Some(17), Some(42), None];
    let times = [1_706_933_106_000_000, 0, 0, 0].map(Some);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("raw", Arc::new(StringArray::from(raw.to_vec()))),
        ("bytes", Arc::new(BinaryArray::from_iter(raw))),
        (
            "ip",
            Arc::new(ips.into_iter().collect::<DictionaryArray<Int32Type>>()),
        ),
        ("n", Arc::new(Int64Array::from(numbers.to_vec()))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(times.to_vec())),
        ),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[test]
fn conditions_call_them_on_columns_of_any_type() {
    for (text, expected) in [
        ("cidr_contains('10.0.0.0/8', ip)", vec![0]),
        ("NOT cidr_contains('10.0.0.0/8', ip)", vec![1]),
        ("cidr_contains('10.0.0.0/8', ip) IS NOT TRUE", vec![1, 2, 3]),
        ("is_private_ip(ip) OR ip_version(ip) = 4", vec![0, 1]),
        ("NOT is_ip(ip)", vec![2]),
        ("is_ip(ip) = false", vec![2]),
        (
            "parse_url(json_get(raw, 'url'), 'host') = 'example.com'",
            vec![1],
        ),
        ("parse_url(raw.url, 'port') > 400", vec![1]),
        ("parse_query(raw.url, 'q') = 1", vec![1]),
        ("parse_syslog(raw, 'app_name') IN ('sshd', 'sudo')", vec![0]),
        ("parse_syslog(bytes, 'app_name') LIKE 'ssh%'", vec![0]),
        (
            "parse_grok(raw, 'from %{IP:a} port=%{INT:b}', 'b') = 22",
            vec![0],
        ),
        (
            "cidr_contains('10.0.0.0/8', parse_regex(raw, 'from ([0-9.]+)', 1))",
            vec![0],
        ),
        (
            "map_value(n, 6, 'TCP', 17, 'UDP', 'other') = 'UDP'",
            vec![1],
        ),
        ("luhn(n)", vec![2]),
        (
            "parse_time('2024-02-03 04:05:06', '%Y-%m-%d %H:%M:%S') = at",
            vec![0],
        ),
        ("parse_time('2024-02-03', '%Y-%m-%d') > at", vec![1, 2, 3]),
        ("parse_duration('90s') = 90000 AND n = 6", vec![0]),
        (
            "json_get(base64_decode_text('eyJhIjoge319'), 'a') = '{}' AND n = 6",
            vec![0],
        ),
    ] {
        let matches = matches(text, &events()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let rules = matches.rules.first();
        let rows: Vec<usize> =
            rules.map_or_else(Vec::new, |(_, rows)| rows.set_indices().collect());
        assert_eq!(rows, expected, "{text}");
        assert!(matches.undecided.is_empty(), "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_call_is_named() {
    for (text, expected) in [
        (
            "cidr_contains('10.0.0.0/99', ip)",
            "`cidr_contains`: '10.0.0.0/99' is not a network",
        ),
        (
            "parse_regex(raw, '(', 0) = 'a'",
            "'(' is not a regular expression: unclosed group",
        ),
        ("parse_regex(raw, ip, 0) = 'a'", "not written out"),
        (
            "parse_grok(raw, '%{IPX:a}', 'a') = 'a'",
            "no pattern has the name `IPX`",
        ),
        (
            "parse_url(raw, 'hots') = 'a'",
            "'hots' is not a part of a URL",
        ),
        (
            "parse_time(raw, '%Q') = at",
            "'%Q' is not a format of times",
        ),
        ("json_get(raw) = 'a'", "it is called with 1 arguments"),
    ] {
        let error = matches(text, &events()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
