//! Forms of files, whole and broken.

use std::io::Write;

use serde_json::json;

use super::*;

#[test]
fn envelopes_are_opened_in_both_forms() {
    let events = texts(&[
        json!({"eventTime": "2020-01-01T00:00:00Z", "eventName": "A"}),
        json!({"eventName": "B"}),
    ]);
    let envelope = format!(r#"{{"Records":[{}]}}"#, events.join(","));
    let empty = r#"{"Records":[]}"#;
    for format in [Format::Auto, Format::Ndjson, Format::Json] {
        let lake = Lake::new();
        let files = [
            lake.file("a", &envelope),
            lake.file("b", empty),
            lake.file("c", ""),
        ];
        let options = IngestOptions {
            format,
            ..lake.options("t")
        };
        let report = lake.run(options, &files).unwrap();
        assert_eq!(report.events, 2, "{format:?}");
        assert_eq!(report.empty_files.len(), 2, "{format:?}");
        check(&lake.stored("t"), &events);
    }
}

#[test]
fn wrong_lines_are_named_or_set_aside() {
    let good = r#"{"time":1600000000}"#;
    let cases: [(&[u8], &str); 8] = [
        (b"{\"a\":tru}", "line 2, column 9: expected ident"),
        (b"{\"a\":1", "--format json"),
        (b"[1]", "expected an event, which is a JSON object"),
        (b"[{}]", "--format json"),
        (b"{\"a\":1} x", "trailing characters"),
        (b"{\"a\":\"\xff\"}", "byte 0xff after 6 bytes"),
        (b"plain text", "line 2, column 1: expected value"),
        (b"{\"Records\":[{\"a\":1},2]}", "expected an event"),
    ];
    for (line, said) in cases {
        let content = [good.as_bytes(), b"\n", line, b"\n", good.as_bytes()].concat();
        let lake = Lake::new();
        let file = lake.file("input", &content);
        let options = IngestOptions {
            format: Format::Ndjson,
            ..lake.options("t")
        };
        let error = lake
            .run(options.clone(), std::slice::from_ref(&file))
            .unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(said) && message.contains("input"),
            "{message}"
        );
        assert!(message.contains("--rejects"), "{message}");

        let rejects = lake.directory.path().join("rejects");
        let options = IngestOptions {
            rejects: Some(rejects.clone()),
            ..options
        };
        let report = lake.run(options, &[file]).unwrap();
        assert_eq!((report.events, report.rejected), (2, 1));
        assert_eq!(std::fs::read(rejects).unwrap(), [line, b"\n"].concat());
        assert_eq!(lake.stored("t").rows(), 2);
    }
}

#[test]
fn broken_files_are_named() {
    let lake = Lake::new();
    let line = format!("{{\"time\":1600000000,\"s\":\"{}\"}}\n", "abc".repeat(100));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(line.repeat(2_000).as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    let cut = lake.file("cut", &gzip[..gzip.len() - 1_000]);
    let error = lake.run(lake.options("t"), &[cut]).unwrap_err();
    assert!(
        matches!(&error, IngestError::Truncated { line, .. } if *line > 1_900),
        "{error:?}"
    );
    assert!(error.to_string().contains("cut short"), "{error}");
    let short = lake.file("short", &gzip[..20]);
    let error = lake.run(lake.options("t"), &[short]).unwrap_err();
    assert!(matches!(error, IngestError::Truncated { .. }), "{error:?}");

    let mut wrong = gzip.clone();
    // A bit of the checksum: the events read well, but it is unknown what they should be.
    wrong[gzip.len() - 6] ^= 1;
    let damaged = lake.file("damaged", wrong);
    let error = lake.run(lake.options("t"), &[damaged]).unwrap_err();
    assert!(error.to_string().contains("fetch it again"), "{error:?}");

    let options = IngestOptions {
        max_event_bytes: 100,
        ..lake.options("t")
    };
    let error = lake.run(options, &[lake.file("long", &line)]).unwrap_err();
    assert!(
        error.to_string().contains("longer than 100 bytes"),
        "{error}"
    );
    let json = lake.file("json", "[{\"a\":1},\n{\"b\":}]");
    let error = lake.run(lake.options("t"), &[json]).unwrap_err();
    assert!(error.to_string().contains("line 2, column 6"), "{error}");
    let error = lake
        .run(lake.options("t"), &["missing".into()])
        .unwrap_err();
    assert!(matches!(error, IngestError::Open { .. }), "{error:?}");
    let error = lake.run(lake.options("../t"), &[]).unwrap_err();
    assert!(matches!(error, IngestError::TableName { .. }), "{error:?}");
}
