//! Cases for the kinds of values that rules and events write in several ways.

use serde_json::{Value, json};

use super::golden::Golden;

/// Returns a case for each kind.
pub(super) fn cases() -> Vec<Golden> {
    let s = |text: &str| json!({"S": text});
    let all = |texts: &[&str]| -> Vec<Value> { texts.iter().map(|text| s(text)).collect() };
    let long = "1234567890123456789012345678901234567890";
    vec![
        (
            "integers of any size",
            json!({"sel": {"S": 9_007_199_254_740_993_i64}}),
            "sel",
            all(&[
                "9007199254740993",
                "9007199254740993.000",
                "+9007199254740993",
            ]),
            all(&[
                "9007199254740992",
                "9007199254740994",
                "9007199254740993.5",
                "9007199254740993a",
            ]),
        ),
        (
            "integers beyond 64 bits in either sign",
            json!({"sel": [{"S": u64::MAX}, {"S": i64::MIN}]}),
            "sel",
            all(&["18446744073709551615", "-9223372036854775808"]),
            all(&[
                "18446744073709551614",
                "18446744073709551616",
                "-9223372036854775807",
                "-9223372036854775809",
            ]),
        ),
        (
            "more than an integer",
            json!({"sel": {"S|gt": 1_234_567_890_123_456_788_i64}}),
            "sel",
            all(&[
                "1234567890123456789",
                "1234567890123456788.5",
                long,
                "1e40",
                "1e999",
            ]),
            all(&[
                "1234567890123456788",
                "1234567890123456787",
                "-1e40",
                "infinity",
                "inf",
                "nan",
                "text",
                "",
            ]),
        ),
        (
            "less than an integer",
            json!({"sel": {"S|lte": 5}}),
            "sel",
            all(&["5", "5.0", "4.999999999999999999999", "-1e999", "-0"]),
            all(&["5.000000000000000000001", "-infinity", "-inf", "nan"]),
        ),
        (
            "numbers as text",
            json!({"sel": {"S": 4688}}),
            "sel",
            all(&["4688", "4688.0", "04688", "4.688e3"]),
            all(&["4688 ", "0x1250", "4,688", "46880"]),
        ),
        (
            "case of Greek and German",
            json!({"sel": {"S|contains": ["ΟΔΟΣ", "Straße"]}}),
            "sel",
            all(&["οδος", "οδοσ", "Οδός ΟΔΟΣ x", "STRAẞE", "straße"]),
            all(&["STRASSE", "οδο"]),
        ),
        (
            "case of letters with several lower cases",
            json!({"sel": {"S": ["kelvin", "Åse", "ſeven*", "?İx"]}}),
            "sel",
            all(&["\u{212a}ELVIN", "\u{212b}SE", "åſe", "SEVEN up", "aİX"]),
            all(&["elvin", "aix", "aıx"]),
        ),
        (
            "cased knows them apart",
            json!({"sel": {"S|cased": ["σ", "k"]}}),
            "sel",
            all(&["σ", "k"]),
            all(&["ς", "Σ", "K", "\u{212a}"]),
        ),
        (
            "partly without case",
            json!({"sel": {"S|re": ["ab(?i:cde)f", "(?i)x(?-i:yz)w{2}", "(?i:straße)"]}}),
            "sel",
            all(&["abCDEf", "abcdef", "XyzWw", "_xyzwW_", "STRAẞE", "straße"]),
            all(&["ABcdef", "abcdeF", "xYZww", "strasse"]),
        ),
        (
            "mapped addresses and zones",
            json!({"sel": {"S|cidr": ["10.0.0.0/8", "fe80::/10", "192.0.2.7"]}}),
            "sel",
            all(&[
                "10.1.2.3",
                "::ffff:10.1.2.3",
                "::FFFF:0a01:0203",
                "::ffff:10.1.2.3%eth0",
                "fe80::1%12",
                "[fe80::1%2]",
                "192.0.2.7",
                "::ffff:192.0.2.7",
            ]),
            all(&[
                "::ffff:11.1.2.3",
                "::10.1.2.3",
                "fec0::1",
                "10.1.2.3:80",
                "[fe80::1]:443",
                "10.1.2",
                "10.1.2.3%eth0",
                "-",
                "192.0.2.8",
            ]),
        ),
        (
            "not in a network",
            json!({"sel": {"S": "*"}, "inside": {"S|cidr": ["10.0.0.0/8", "fe80::/10"]}}),
            "sel and not inside",
            all(&["8.8.8.8", "text"]),
            all(&["::ffff:10.9.9.9", "fe80::1%eth0"]),
        ),
        (
            "windash both ways",
            json!({"sel": {"S|windash|contains": [" /enc", " –dec"]}}),
            "sel",
            all(&[
                "x -enc", "x /ENC", "x –enc", "x —enc", "x ―enc", "x -dec", "x /dec",
            ]),
            all(&["x +enc", "x enc", "x\\dec"]),
        ),
        (
            "windash of many dashes",
            json!({"sel": {"S|windash|startswith": "-a /b –c —d ―e -f*z"}}),
            "sel",
            all(&[
                "-a /b –c —d ―e -f z",
                "/A -B -C -D -E /F xZ tail",
                "―a ―b ―c ―d ―e ―f\nz",
            ]),
            all(&[
                "-a /b –c —d ―e f z",
                "x -a /b –c —d ―e -f z",
                "-a /b –c —d ―e -f",
            ]),
        ),
        (
            "windash in base64",
            json!({"sel": {"S|windash|base64offset|contains": " /enc "}}),
            "sel",
            // ` -enc ` and ` /enc ` behind nothing, one and two letters.
            all(&["IC1lbmMg", "IC9lbmMg", "eCAtZW5jIA==", "eHggL2VuYyA="]),
            all(&["ICtlbmMg"]),
        ),
        (
            "time parts with spaces",
            json!({"sel": {"S|hour": 23, "S|minute": 10}}),
            "sel",
            all(&[
                "2026-03-01 23:10:00",
                "2026-03-01 23:10",
                "2026-03-01 23:10:00 UTC",
                "2026-03-02 01:10:00 +0200",
                "2026-03-01T23:10:00.5Z",
            ]),
            all(&[
                "2026-03-01 22:10:00",
                "2026-03-01 23:11:00",
                "23:10",
                "2026-03-01",
            ]),
        ),
        (
            "keywords that are no text",
            json!({"sel": [true, 4688, 2.5]}),
            "sel",
            all(&["it is TRUE", "id 4688", "v2.50"]),
            all(&["false", "468", "2,5"]),
        ),
        (
            "keywords with modifiers",
            json!({"sel": {"|re": "^a[0-9]$"}, "other": {"|cased": "Abc"}}),
            "1 of them",
            all(&["a1", "xAbcx"]),
            all(&["xa1", "abc"]),
        ),
        (
            "none of them",
            json!({"sel_a": {"S": "a"}, "sel_b": {"T": "b"}}),
            "0 of sel_*",
            vec![s("x"), json!({})],
            vec![s("a"), json!({"T": "b"}), json!({"S": "a", "T": "b"})],
        ),
        (
            "stars anywhere in a name",
            json!({"sel_a_one": {"S": "a"}, "sel_b_one": {"S": "b"}, "sel_a_two": {"S": "c"}, "_sel_c_one": {"S": "d"}}),
            "1 of s*l_*_one",
            all(&["a", "b"]),
            all(&["c", "d"]),
        ),
        (
            "all of a pattern, and not one of another",
            json!({"s.l_1": {"S|contains": "a"}, "s.l_2": {"S|contains": "b"}, "not+1": {"S|contains": "x"}, "not+2": {"S|contains": "y"}}),
            "all of s*l_* and not 1 of not*",
            all(&["ab", "ba"]),
            all(&["a", "abx", "yab"]),
        ),
        (
            "hidden names are not among them",
            json!({"sel": {"S": "a"}, "_not": {"S": "b"}}),
            "1 of them",
            all(&["a"]),
            all(&["b"]),
        ),
        (
            "placeholders among percent signs",
            json!({"sel": {"S|expand": "100% of %admins%"}}),
            "sel",
            all(&["100% of root", "100% of administrators"]),
            all(&["100% of %admins%", "root", "100% of nobody"]),
        ),
        (
            "values of placeholders are no templates",
            json!({"sel": {"S|expand": "%odd%"}}),
            "sel",
            all(&["%admins%", "50%"]),
            all(&["root"]),
        ),
        (
            "placeholders and all",
            json!({"sel": {"S|contains|expand|all": ["%admins%", "x"]}}),
            "sel",
            all(&["root x", "x admin"]),
            all(&["root", "x"]),
        ),
        (
            "networks of placeholders",
            json!({"sel": {"S|cidr|expand": "%nets%"}}),
            "sel",
            all(&["10.1.2.3", "::ffff:192.168.1.1"]),
            all(&["8.8.8.8"]),
        ),
        (
            "40 digits",
            json!({"sel": {"S|gte": long}}),
            "sel",
            all(&[long, "1234567890123456789012345678901234567891"]),
            all(&["1234567890123456789012345678901234567889"]),
        ),
    ]
}
