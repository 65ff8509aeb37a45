//! Properties of all decoders: no input makes one panic, and an event holds every piece of its line.

use std::collections::HashMap;

use crate::{Decode, Decoded, access, aws, csv, w3c, zeek};
use proptest::prelude::*;
use serde_json::Value;

type Make = fn() -> Box<dyn Decode>;

const DECODERS: [(&str, Make); 5] = [
    ("access", || Box::new(access::Access::new())),
    ("aws", || Box::new(aws::Aws::new())),
    ("csv", || Box::new(csv::Csv::new())),
    ("w3c", || Box::new(w3c::W3c::new())),
    ("zeek", || Box::new(zeek::Zeek::new())),
];

/// Headers that make a decoder read lines in other ways.
const HEADERS: [&[&str]; 7] = [
    &[],
    &["a,b,c"],
    &["version account-id srcaddr dstport start"],
    &["#Fields: date time cs-uri-stem sc-status cs(User-Agent)"],
    &["#Fields: date-time,client-ip,message"],
    &[
        "#separator \\x09",
        "#path\tconn",
        "#fields\tts\tuid\tport\tseen\ttags",
        "#types\ttime\tstring\tport\tbool\tset[string]",
    ],
    &[
        "#separator \\x20",
        "#fields a b c",
        "#types count vector[double] string",
    ],
];

/// Lines that are right, with the decoder and the headers before them.
const LINES: [(&str, usize, &str); 16] = [
    (
        "access",
        0,
        r#"192.0.2.7 - kim [01/Mar/2026:10:11:12 +0100] "GET /ä?b=c HTTP/1.1" 200 1513"#,
    ),
    (
        "access",
        0,
        r#"shop.example:443 192.0.2.7 - - [01/Mar/2026:10:11:12 +0100] "POST /a HTTP/2.0" 403 69 "https://b.example/" "Agent/1 (x; \"y\")" 0.010 "z""#,
    ),
    (
        "access",
        0,
        r#"2001:db8::7 - - [01/Mar/2026:10:11:12 +0100] "\x16\x03\x01" 400 0 "-" "-""#,
    ),
    (
        "aws",
        0,
        "2 111122223333 eni-0a 192.0.2.7 192.0.2.8 50000 22 6 5 300 1772359872 1772359900 ACCEPT OK",
    ),
    ("aws", 2, "5 111122223333 192.0.2.7 443 1772359872"),
    (
        "aws",
        0,
        r#"h2 2026-03-01T10:11:12.000001Z app/lb/1 192.0.2.7:50000 192.0.2.8:80 0.000 0.001 -1 502 - 34 366 "GET http://a.example:80/ HTTP/1.1" "Agent é" - - arn:x "Root=1" "-" "-" 1 2026-03-01T10:11:12.000000Z "waf,forward" "-" "-" "192.0.2.8:80" "502" "-" "-" TID_1 "-" "-" "-" "new" 7"#,
    ),
    (
        "aws",
        0,
        r#"2026-03-01T10:11:12.000001Z lb 192.0.2.7:50000 - -1 -1 -1 503 0 0 0 "GET http://a.example:80/ HTTP/1.1" "Agent" - -"#,
    ),
    (
        "aws",
        0,
        r#"owner bucket [01/Mar/2026:10:11:12 +0000] 192.0.2.7 arn:who ID REST.GET.OBJECT a%20b "GET /a%20b HTTP/1.1" 200 - 113 99 7 5 "-" "Agent 1" - host= SigV4 X AuthHeader b.example TLSv1.2 - Yes zurich more"#,
    ),
    ("csv", 1, "1,two,drei é"),
    ("csv", 1, r#""x, ""y""",z"z, q"#),
    ("w3c", 3, "2026-03-01 10:11:12 /ä 404 Agent+1"),
    ("w3c", 3, r#"2026-03-01 10:11:12 - 404 "Agent ""1"" x""#),
    ("w3c", 4, r#"2026-03-01T10:11:12.5Z,192.0.2.7,"a, ""b"" é""#),
    (
        "w3c",
        0,
        "2026-03-01\t10:11:12\tZRH50-C1\t703\t192.0.2.7\tGET\ta.example\t/é\t400\t-\tAgent\tq=1\t-\tError\tid==\tb.example\thttps\t62\t0.113\t-\tTLSv1.3\tX\tError\tHTTP/2.0\t-\t-\t51754\t0.113\tError\ttext/plain\t20\t-\t-",
    ),
    ("zeek", 5, "1772359872.123456\tC1é\t443\tT\ta,b,-"),
    ("zeek", 6, "7 1.5,2e-05,x three"),
];

fn decoder(name: &str, headers: usize) -> Box<dyn Decode> {
    let (_, make) = DECODERS.iter().find(|(other, _)| *other == name).unwrap();
    let mut decoder = make();
    for header in HEADERS[headers] {
        assert!(
            matches!(decoder.line(header), Ok(Decoded::Nothing)),
            "{header}"
        );
    }
    decoder
}

/// Texts of an event, and its numbers.
fn leaves(value: &Value, texts: &mut Vec<String>, numbers: &mut Vec<f64>) {
    match value {
        Value::Null => texts.push("-".to_owned()),
        Value::Bool(is) => texts.push(if *is { "T" } else { "F" }.to_owned()),
        Value::Number(number) => numbers.push(number.as_f64().unwrap()),
        Value::String(text) => texts.push(text.clone()),
        Value::Array(values) => values
            .iter()
            .for_each(|value| leaves(value, texts, numbers)),
        Value::Object(members) => members
            .values()
            .for_each(|value| leaves(value, texts, numbers)),
    }
}

/// Checks that each piece of a line occurs in its event as often as in the line.
fn check_nothing_lost(name: &str, line: &str, event: Value) {
    // Zeek's escapes are decoded.
    if name == "zeek" && line.contains('\\') {
        return;
    }
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    leaves(&event, &mut texts, &mut numbers);
    let separators = [
        ' ', '\t', ',', ';', '|', ':', '"', '[', ']', '\\', '\r', '\u{feff}',
    ];
    let mut pieces = HashMap::new();
    for piece in line
        .split(separators)
        .filter(|piece| !["", "-", "(empty)"].contains(piece))
    {
        *pieces.entry(piece).or_insert(0) += 1;
    }
    for (piece, count) in pieces {
        let value = piece.parse::<f64>().ok();
        let in_texts: usize = texts.iter().map(|text| text.matches(piece).count()).sum();
        let as_numbers = numbers
            .iter()
            .filter(|number| Some(**number) == value)
            .count();
        assert!(
            in_texts + as_numbers >= count,
            "{name} lost {piece:?} of {line:?} in {event}"
        );
    }
}

/// Reads a line with every decoder behind every header, and checks what comes out.
fn read_everywhere(line: &str) {
    for (name, make) in DECODERS {
        for headers in HEADERS {
            let mut decoder = make();
            for header in headers {
                let _ = decoder.line(header);
            }
            match decoder.line(line) {
                Ok(Decoded::Event(event)) => check_nothing_lost(name, line, Value::Object(event)),
                Ok(Decoded::Nothing) => {}
                Err(wrong) => assert!(
                    wrong.at <= line.len() && !wrong.reason.is_empty(),
                    "{name} {line:?} {wrong:?}"
                ),
            }
            let _ = decoder.line(line);
        }
    }
    looks(line);
}

fn looks(start: &str) -> [bool; 5] {
    [
        access::looks_like,
        aws::looks_like,
        csv::looks_like,
        w3c::looks_like,
        zeek::looks_like,
    ]
    .map(|looks| looks(start))
}

#[test]
fn right_lines_lose_nothing_and_one_decoder_claims_them() {
    for (name, headers, line) in LINES {
        let Ok(Decoded::Event(event)) = decoder(name, headers).line(line) else {
            panic!("{name} reads {line}");
        };
        check_nothing_lost(name, line, Value::Object(event));
        let start = format!("{}\n{line}\n", HEADERS[headers].join("\n"));
        let claims = looks(start.trim_start());
        let names: Vec<&str> = DECODERS
            .iter()
            .zip(claims)
            .filter(|(_, is)| *is)
            .map(|((name, _), _)| *name)
            .collect();
        assert_eq!(names, [name], "{start}");
    }
}

#[test]
fn no_change_of_a_right_line_at_any_place_panics_or_loses_a_piece() {
    for (name, headers, line) in LINES {
        let read = |decoder: &mut dyn Decode, line: &str| match decoder.line(line) {
            Ok(Decoded::Event(event)) => check_nothing_lost(name, line, Value::Object(event)),
            Ok(Decoded::Nothing) => {}
            Err(wrong) => assert!(wrong.at <= line.len(), "{name} {line:?} {wrong:?}"),
        };
        for (at, c) in line.char_indices().chain([(line.len(), ' ')]) {
            let (before, behind) = line.split_at(at);
            let mut decoder = decoder(name, headers);
            let mut reads = |line: &str| read(&mut *decoder, line);
            let rest = behind.strip_prefix(c).unwrap_or_default();
            reads(before);
            reads(behind);
            reads(&format!("{before}{rest}"));
            for new in [
                "\"",
                "\\",
                "\\\"",
                "[",
                "]",
                " ",
                "\t",
                ",",
                "-",
                "é",
                "\u{1f980}",
                "\0",
                "\r",
                "\n",
                "#",
                "\" ",
                "0",
                ":",
            ] {
                reads(&format!("{before}{new}{behind}"));
                reads(&format!("{before}{new}{rest}"));
            }
            looks(before);
            looks(behind);
        }
    }
}

#[test]
fn json_and_prose_are_claimed_by_none() {
    for start in [
        "{\"time\":\"2026-03-01\",\"a\":[1,2,3]}\n{\"time\":\"2026-03-02\",\"a\":[1,2,3]}\n",
        "[\n{\"a\":1},\n{\"b\":2}\n]\n",
        "[\"time\",\"user\",\"host\"]\n[\"a\",\"b\",\"c\"]\n",
        "In this file, as in others, there are words\nand commas, here and there, in each line\n",
        "Mar  1 10:11:12 host sshd[7]: Failed password for kim from 192.0.2.7 port 50000 ssh2\n",
        "2026-03-01 10:11:12,345 WARN [a.b] (thread-1) type=LOGIN, user=kim, address=192.0.2.7\n",
        "type=SYSCALL msg=audit(1772359872.123:7): arch=c000003e syscall=59 success=yes\n",
        "CEF:0|Maker|Product|1|2|Name|5|src=192.0.2.7\nCEF:0|Maker|Product|1|2|Name|5|src=192.0.2.8\n",
        "<Event><System/></Event>\n<Event><System/></Event>\n",
        "# Title\n\nText, with commas\n",
        "key: value\nother: [a, b, c]\n",
    ] {
        assert_eq!(looks(start), [false; 5], "{start}");
    }
}

/// Lines of pieces that mean something to a decoder.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zé]{0,4}",
        "[0-9.]{0,6}",
        prop::sample::select(vec![
            " ",
            " ",
            " ",
            "\t",
            "\t",
            ",",
            ",",
            "\"",
            "\"\"",
            "\\",
            "\\x2c",
            "-",
            "[",
            "]",
            "#",
            "#fields",
            "#Fields: ",
            "(empty)",
            "[01/Mar/2026:10:11:12 +0000]",
            " [01/Mar/2026:10:11:12 +0000] \"",
            "\" 200 5",
            "2026-03-01",
            "10:11:12",
            "2026-03-01T10:11:12Z",
            "192.0.2.7",
            "192.0.2.7:80",
            "GET / HTTP/1.1",
            "h2 ",
            "T",
            "\u{feff}",
            "\r",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A value of a field that has no separator, quote or escape in it.
fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9é_./%+=()]{1,12}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_text_is_read_without_panic(line in any::<String>()) {
        read_everywhere(&line);
    }

    #[test]
    fn any_mix_of_pieces_is_read_without_panic_or_loss(line in pieces()) {
        read_everywhere(&line);
    }

    #[test]
    fn values_come_back(words in prop::collection::vec(word(), 5), text in "[a-zé ,;\"|]{0,12}") {
        let path = &words[0];
        let line = format!("192.0.2.7 - {} [01/Mar/2026:10:11:12 +0100] \"GET /{path} HTTP/1.1\" 200 5 \"{}\" \"{}\"", words[1], words[2], words[3]);
        let Ok(Decoded::Event(event)) = access::Access::new().line(&line) else { panic!("{line}") };
        prop_assert_eq!(&event["path"], &format!("/{path}"));
        prop_assert_eq!(&event["user_agent"], &words[3]);

        let quoted = format!("\"{}\"", text.replace('"', "\"\""));
        let line = format!("{},{quoted},{}", words[0], words[1]);
        let Ok(Decoded::Event(event)) = decoder("csv", 1).line(&line) else { panic!("{line}") };
        prop_assert_eq!(&event["b"], &text);

        let line = format!("2026-03-01 10:11:12 /{path} 404 {quoted}");
        let Ok(Decoded::Event(event)) = decoder("w3c", 3).line(&line) else { panic!("{line}") };
        prop_assert_eq!(&event["cs(User-Agent)"], &text);

        let escaped = text.replace(',', "\\x2c");
        let line = format!("1772359872.123456\t{}\t80\tT\t{},x{escaped}", words[1], words[2]);
        let Ok(Decoded::Event(event)) = decoder("zeek", 5).line(&line) else { panic!("{line}") };
        prop_assert_eq!(&event["tags"][1], &format!("x{text}"));
        prop_assert_eq!(event["ts"].to_string(), "1772359872.123456");
    }
}
