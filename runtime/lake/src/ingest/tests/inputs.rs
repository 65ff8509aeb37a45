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

/// Options under which what is wrong ends nothing.
fn lenient(lake: &Lake) -> IngestOptions {
    IngestOptions {
        strict: false,
        ..lake.options("t")
    }
}

#[test]
fn wrong_lines_are_named_and_kept_and_end_nothing() {
    let good = r#"{"time":1600000000}"#;
    let cases: [(&[u8], &str); 7] = [
        (b"{\"a\":1", "line 2, column 1: the value that begins here"),
        (b"[1]", "line 2, column 1: an event is a JSON object"),
        (b"plain text", "line 2, column 1: an event is a JSON object"),
        (b"{\"a\" 1}", "line 2, column 6: expected a colon"),
        (
            b"{\"a\":\"x}",
            "line 2, column 6: the string that begins here is not closed",
        ),
        (
            b"{\"Records\":[{\"a\":1},2]}",
            "line 2, column 1: an event is",
        ),
        (b"7,\"a\":1}", "line 2, column 1: an event is"),
    ];
    for (line, said) in cases {
        let content = [good.as_bytes(), b"\n", line, b"\n", good.as_bytes(), b"\n"].concat();
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
        assert!(message.contains(said), "{message}");
        assert!(
            message.contains("input") && message.contains("--strict"),
            "{message}"
        );

        let options = IngestOptions {
            strict: false,
            ..options
        };
        let report = lake
            .run(options.clone(), std::slice::from_ref(&file))
            .unwrap();
        assert_eq!((report.events, report.rejected), (2, 1));
        assert!(report.counts.bad_lines[0].contains(said), "{report:?}");
        let kept = std::fs::read(&report.kept[0]).unwrap();
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept["text"].as_str().unwrap().as_bytes(), line);
        assert!(kept["file"].as_str().unwrap().ends_with("input"), "{kept}");
        let place = format!(
            "line {}, column {}: {}",
            kept["line"],
            kept["column"],
            kept["reason"].as_str().unwrap()
        );
        assert!(place.contains(said), "{place}");
        assert_eq!(lake.stored("t").rows(), 2);
        // Neither the events nor the line come again.
        let report = lake
            .run(options.clone(), std::slice::from_ref(&file))
            .unwrap();
        assert_eq!(
            (report.events, report.rejected, report.ingested_before.len()),
            (0, 0, 1)
        );

        let rejects = lake.file("rejects", "before\n");
        let options = IngestOptions {
            rejects: Some(rejects.clone()),
            table: "u".to_owned(),
            ..options
        };
        lake.run(options.clone(), std::slice::from_ref(&file))
            .unwrap();
        lake.run(options, &[file]).unwrap();
        assert_eq!(
            std::fs::read(rejects).unwrap(),
            [b"before\n", line, b"\n"].concat()
        );
    }
}

#[test]
fn the_file_for_rejected_lines_is_not_read() {
    let lake = Lake::new();
    let file = lake.file("input", "{}\nbroken\n");
    let by = |rejects: &Path| IngestOptions {
        rejects: Some(rejects.to_owned()),
        ..lenient(&lake)
    };
    let error = lake
        .run(by(&file), std::slice::from_ref(&file))
        .unwrap_err();
    assert!(
        matches!(error, IngestError::RejectsRead { .. }),
        "{error:?}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"{}\nbroken\n");
    let folder = lake.directory.path().to_owned();
    for round in 0..2 {
        let report = lake
            .run(by(&folder.join("bad")), std::slice::from_ref(&folder))
            .unwrap();
        // The table, its ledger and its definition are no logs either.
        let is_named = report
            .passed_over
            .iter()
            .any(|(name, _)| name.ends_with("bad"));
        // The first round makes it.
        assert_eq!(is_named, round == 1);
    }
    assert_eq!(std::fs::read(folder.join("bad")).unwrap(), b"broken\n");
    assert_eq!(lake.stored("t").rows(), 1);
}

#[test]
fn several_events_of_a_line_are_read() {
    let (a, b) = (
        r#"{"timestamp":"2026-03-01T00:00:01Z","n":1}"#.to_owned(),
        r#"{"timestamp":"2026-03-01T00:00:02Z","n":2}"#.to_owned(),
    );
    for content in [
        format!("{a}{b}"),
        format!("{a}{b}\n"),
        format!("{a} {b}\n"),
        format!("[{a},{b}]"),
        format!("\0\0\0\0\0\0\0\0{a}\n{b}\n\0\0\0"),
        format!("{a}\0\0\0{b}"),
        format!("\u{feff}{a}\n\u{feff}{b}\n"),
        format!("\u{1e}{a}\n\u{1e}{b}\n"),
        format!("{a}\r\n{b}\r\n\u{1a}"),
        format!("{a}\n{b}{}", " ".repeat(300_000)),
        format!("{a}{b}{}", " ".repeat(300_000)),
    ] {
        for format in [Format::Auto, Format::Ndjson, Format::Json] {
            let lake = Lake::new();
            let file = lake.file("input", &content);
            let options = IngestOptions {
                format,
                ..lake.options("t")
            };
            let report = lake.run(options, &[file]).unwrap();
            assert_eq!(
                report.zeros.is_empty(),
                !content.contains('\0'),
                "{content:?}"
            );
            check(&lake.stored("t"), &[a.clone(), b.clone()]);
        }
    }
    let encode = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("{a}\n{b}\n")
            .encode_utf16()
            .flat_map(to_bytes)
            .collect()
    };
    for content in [
        encode(u16::to_le_bytes),
        encode(u16::to_be_bytes),
        [b"\xff\xfe".to_vec(), encode(u16::to_le_bytes)].concat(),
    ] {
        let (_, stored) = Lake::new().ingested("t", content);
        check(&stored, &[a.clone(), b.clone()]);
    }
}

#[test]
fn bytes_that_are_not_utf8_cost_no_event() {
    let lake = Lake::new();
    let file = lake.file(
        "input",
        b"{\"time\":1600000000,\"a\":\"x\xff\xfey\",\"b\":\"seen\"}\n{\"time\":1600000000}\n",
    );
    let report = lake.run(lake.options("t"), &[file]).unwrap();
    assert_eq!((report.events, report.counts.not_utf8.count), (2, 1));
    assert_eq!(report.counts.not_utf8.first.unwrap().line, 1);
    let stored = lake.stored("t");
    assert_eq!(stored.texts("a")[0].as_deref(), Some("x\u{fffd}\u{fffd}y"));
    assert_eq!(stored.texts("b")[0].as_deref(), Some("seen"));
}

#[test]
fn files_that_are_no_logs_are_named_and_hide_no_others() {
    let lake = Lake::new();
    let folder = lake.directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let good = r#"{"time":1600000000}"#;
    for (name, content) in [
        (".DS_Store", b"\0\0\0\x01Bud1".as_slice()),
        ("a.json", good.as_bytes()),
        ("b.png", b"\x89PNG\r\n\x1a\n"),
        ("c.log", b"Mar  1 00:00:01 host sshd[1]: Failed\n"),
        ("d.json", b"{\"time\":1600000001} {\"time\":1600000002}"),
        ("e.csv", b"a,b\n1,2\n"),
        ("f.lz4", b"\x04\x22\x4d\x18xxxx"),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    let explicit = lake.file("x.csv", "a,b\n1,2\n");
    let files = [explicit, lake.directory.path().join("missing"), folder];
    let report = lake.run(lenient(&lake), &files).unwrap();
    // Of `a.json` and `d.json`, and the line of `c.log`.
    assert_eq!(report.events, 4);
    assert_eq!(report.formats.keys().collect::<Vec<_>>(), [&"syslog"]);
    let names: Vec<_> = report
        .passed_over
        .iter()
        .map(|(name, why)| format!("{}: {why}", name.rsplit('/').next().unwrap()))
        .collect();
    assert!(names[0] == ".DS_Store: hidden", "{names:?}");
    assert!(
        names[1].starts_with("b.png: a PNG image: leave it out"),
        "{names:?}"
    );
    assert!(
        names[2].starts_with("e.csv: a table such as CSV"),
        "{names:?}"
    );
    let failed: Vec<_> = report.failed.iter().map(ToString::to_string).collect();
    assert_eq!(failed.len(), 3);
    // Events may be in what is packed: that it is left out is an error.
    assert!(
        failed[2].contains("f.lz4` cannot be read, because it is compressed with LZ4: decompress"),
        "{failed:?}"
    );
    assert!(failed[0].contains("missing"), "{failed:?}");
    assert!(
        failed[1].contains("x.csv` cannot be read, because it is a table"),
        "{failed:?}"
    );
}

#[test]
fn what_stands_behind_compressed_data_is_counted() {
    let lake = Lake::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    encoder.write_all(b"{\"time\":1600000000}\n").unwrap();
    let gzip = encoder.finish().unwrap();
    let files = [
        lake.file("padded", [gzip.as_slice(), &[0; 512]].concat()),
        lake.file("trailing", [gzip.as_slice(), b"\0\0x"].concat()),
    ];
    let report = lake
        .run(
            IngestOptions {
                again: true,
                ..lake.options("t")
            },
            &files,
        )
        .unwrap();
    assert_eq!(report.events, 2);
    assert_eq!(report.trailing.len(), 1);
    assert_eq!(report.trailing[0].1, 1);
}

#[test]
fn keys_that_an_event_has_twice_keep_all_values() {
    let event = r#"{"time":1600000000,"u":"first","o":{"u":"a","u":"b"},"u":"last","u":"last"}"#;
    let (report, stored) = Lake::new().ingested("t", event);
    assert_eq!(report.counts.duplicate_keys.count, 1);
    assert_eq!(report.counts.duplicate_keys.first.unwrap().value, "u");
    assert_eq!(stored.texts("u")[0].as_deref(), Some("first"));
    assert_eq!(
        stored.texts(UNMAPPED_COLUMN)[0].as_deref(),
        Some(r#"{"u":"last","u":"last"}"#)
    );
    assert_eq!(
        stored.texts("o")[0].as_deref(),
        Some(r#"{"u":"a","u":"b"}"#)
    );

    let nested = r#"{"eventTime":"2023-07-10T11:42:36Z","eventName":"A","userIdentity":{"userName":"a","userName":"b"},"eventName":"B"}"#;
    let (report, stored) = Lake::new().ingested("aws_cloudtrail", nested);
    assert_eq!(report.counts.duplicate_keys.count, 1);
    assert_eq!(stored.texts("user_name")[0].as_deref(), Some("a"));
    assert_eq!(stored.texts("event_name")[0].as_deref(), Some("A"));
    assert_eq!(
        stored.texts(UNMAPPED_COLUMN)[0].as_deref(),
        Some(r#"{"userIdentity":{"userName":"a","userName":"b"},"eventName":"B"}"#)
    );
}

#[test]
fn columns_that_differ_in_case_only_are_named() {
    let lake = Lake::new();
    let first = lake.file("1", r#"{"time":1600000000,"user":"a","User":"b","x":1}"#);
    let report = lake.run(lake.options("t"), &[first]).unwrap();
    assert_eq!(report.alike, ["user, User"]);
    let second = lake.file("2", r#"{"time":1600000001,"user":"a"}"#);
    let report = lake.run(lake.options("t"), &[second]).unwrap();
    assert_eq!(report.alike, [] as [String; 0]);
}

#[test]
fn a_time_field_that_no_event_has_is_an_error_and_is_not_kept() {
    let lake = Lake::new();
    let file = lake.file(
        "input",
        r#"{"time":1600000000,"observed":"2021-01-01T00:00:00Z"}"#,
    );
    let by = |field: &str| IngestOptions {
        time_field: Some(field.parse().unwrap()),
        ..lenient(&lake)
    };
    let error = lake
        .run(by("observd"), std::slice::from_ref(&file))
        .unwrap_err();
    let message = error.to_string();
    assert!(message.contains("did you mean `observed`"), "{message}");
    assert!(!lake.directory.path().join("lake/t/_table.json").exists());
    lake.run(by("observed"), &[file]).unwrap();
    assert!(
        lake.stored("t")
            .files
            .keys()
            .all(|path| path.contains("2021-01-01"))
    );
    let more = lake.file("more", r#"{"time":1600000000,"n":2}"#);
    let error = lake.run(by("nothing"), &[more]).unwrap_err();
    assert!(
        matches!(error, IngestError::NoTimeField { .. }),
        "{error:?}"
    );
    let stored = lake.stored("t");
    assert_eq!(stored.definition.time_paths, ["observed".parse().unwrap()]);
    assert_eq!(stored.rows(), 1);
}

#[test]
fn events_whose_time_deserves_a_look_are_counted_with_the_first() {
    let lake = Lake::new();
    let lines = [
        r#"{"seen":"2026-03-01T00:00:00Z"}"#,
        r#"{"seen":"9000-01-01T00:00:00Z","n":2}"#,
        r#"{"seen":"1985-01-01T00:00:00Z","n":3}"#,
        r#"{"seen":0,"n":4}"#,
        r#"{"time":"2026-03-01T00:00:00Z","n":5}"#,
        r#"{"seen":"9001-01-01T00:00:00Z","n":6}"#,
    ];
    let file = lake.file("input", lines.join("\n"));
    let options = IngestOptions {
        time_field: Some("seen".parse().unwrap()),
        ..lenient(&lake)
    };
    let counts = lake.run(options, &[file]).unwrap().counts;
    let tally = |tally: &Tally| (tally.count, tally.first.as_ref().unwrap().line);
    assert_eq!(tally(&counts.in_future), (2, 2));
    assert_eq!(tally(&counts.before_1990), (1, 3));
    assert_eq!(tally(&counts.without_time), (1, 4));
    assert_eq!(tally(&counts.elsewhere), (1, 5));
    assert!(counts.in_future.first.unwrap().value.contains("9000"));
    assert_eq!(counts.without_time.first.unwrap().value, "0 is not a time");
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
    // What could be read stays, and comes once.
    let cut = lake.file("cut", &gzip[..gzip.len() - 1_000]);
    let report = lake.run(lenient(&lake), &[cut]).unwrap();
    assert!(
        report.events > 1_900 && report.failed.len() == 1,
        "{report:?}"
    );
    let again = lake
        .run(lenient(&lake), &[lake.directory.path().join("cut")])
        .unwrap();
    assert_eq!((again.events, again.failed.len()), (0, 1));
    let whole = lake.file("whole", &gzip);
    let report = lake.run(lenient(&lake), &[whole]).unwrap();
    assert_eq!(report.grown.len(), 1);
    assert_eq!(lake.stored("t").rows(), 2_000);
    let error = lake
        .run(lake.options("t"), &["missing".into()])
        .unwrap_err();
    assert!(matches!(error, IngestError::Open { .. }), "{error:?}");
    let error = lake.run(lake.options("../t"), &[]).unwrap_err();
    assert!(matches!(error, IngestError::TableName { .. }), "{error:?}");
}

/// Damaged files, with names that a folder's owner did not choose, and what is said of each.
fn damaged(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let lines = |name: &str| -> Vec<u8> {
        let line = |n: usize| format!("{{\"time\":{},\"of\":\"{name}\"}}\n", 1_600_000_000 + n);
        (0..3_000).map(line).collect::<String>().into_bytes()
    };
    let mut cut = gzip(&lines("cut"));
    cut.truncate(cut.len() / 2);
    let mut crc = gzip(b"{\"time\":1600000000,\"of\":\"crc\"}\n");
    let at = crc.len() - 6;
    crc[at] ^= 1;
    let one = |name: &str| format!("{{\"time\":1600000000,\"of\":\"{name}\"}}\n").into_bytes();
    let mut magic = gzip(&one("magic"));
    magic[..2].fill(0);
    let first = zstd::encode_all(one("frame").as_slice(), 3).unwrap();
    let mut second = zstd::encode_all(lines("frame").as_slice(), 3).unwrap();
    second[4..12].fill(0xff);
    // The header of a zip with an encrypted entry.
    let zip = b"PK\x03\x04\x14\0\x01\0\x08\0abcdefgh".to_vec();
    let mut tar = vec![0; 1_024];
    tar[..5].copy_from_slice(b"a.gz\0");
    tar[257..263].copy_from_slice(b"ustar\0");
    tar.extend(&cut);
    let deep = (0..5).fold(one("deep"), |bytes, _| gzip(&bytes));
    let files: [(&[u8], Vec<u8>, &str); 8] = [
        (b"1\ncut.json.gz", cut, "1\\ncut.json.gz` is cut short"),
        (b"2\tcrc.gz", crc, "cannot read on in `"),
        (
            b"3\xffmagic.json.gz",
            magic,
            "3\\xffmagic.json.gz` cannot be read",
        ),
        (b"4.zst", [first, second].concat(), "4.zst` after line"),
        (b"5.zip", zip, "5.zip` is cut short"),
        (b"6.tar", tar, "6.tar` after line"),
        (
            b"7.gz",
            deep,
            "7.gz` cannot be read, because it is binary data",
        ),
        (
            b"8.json",
            b"\x93NUMPY\x01\0\x01\x02\x03\x04\x05\x06".to_vec(),
            "8.json` cannot be read",
        ),
    ];
    files
        .into_iter()
        .map(|(name, content, said)| {
            use std::os::unix::ffi::OsStrExt;
            let path = folder.join(std::ffi::OsStr::from_bytes(name));
            std::fs::write(&path, content).unwrap();
            (path, said)
        })
        .collect()
}

#[test]
fn a_damaged_file_costs_itself_is_named_and_hides_no_other() {
    let lake = Lake::new();
    let folder = lake.directory.path().join("logs");
    std::fs::create_dir(&folder).unwrap();
    let damaged = damaged(&folder);
    // Good files before, between and behind, also in a folder that is named as a file, and with names that would tear messages.
    std::fs::create_dir(folder.join("5.json.gz")).unwrap();
    for name in [
        "0.json",
        "3a\nerror: forged.json",
        "5.json.gz/x\t.json",
        "9.json",
    ] {
        let event = format!("{{\"time\":1600000000,\"of\":{:?}}}\n", name);
        std::fs::write(folder.join(name), event).unwrap();
    }
    let report = lake.run(lenient(&lake), &[folder]).unwrap();
    let failed: Vec<_> = report.failed.iter().map(ToString::to_string).collect();
    assert_eq!(failed.len(), damaged.len(), "{failed:#?}");
    for (message, (path, said)) in failed.iter().zip(&damaged) {
        assert!(message.contains(said), "{path:?}: {message}");
        assert!(!message.contains(['\n', '\t']), "{message}");
    }
    let of = lake.stored("t").texts("of");
    let count = |name: &str| of.iter().flatten().filter(|of| *of == name).count();
    for name in [
        "0.json",
        "3a\nerror: forged.json",
        "5.json.gz/x\t.json",
        "9.json",
    ] {
        assert_eq!(count(name), 1, "{name}");
    }
    // What comes before the damage is in, and what is damaged is not.
    assert!((1..3_000).contains(&count("cut")), "{}", count("cut"));
    assert_eq!(count("frame"), 1);
    assert_eq!(count("deep") + count("magic"), 0);
    assert_eq!(of.len() as u64, report.events);
}

#[test]
fn a_line_that_is_too_long_costs_itself_in_every_form() {
    let good = |n: usize| format!("{{\"time\":1600000000,\"n\":{n}}}");
    let long = format!("{{\"time\":1600000000,\"n\":{}}}", "1".repeat(5_000));
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let lines = format!("{}\n{long}\n{}\n{long}\n{}\n", good(1), good(2), good(3));
    let array = format!("[{},\n{long},\n{},\n{long},{}]", good(1), good(2), good(3));
    let envelope = format!("{{\"Records\":{array}}}");
    for (content, place) in [
        (lines.clone().into_bytes(), "line 2, column 1"),
        (gzip(&lines), "line 2, column 1"),
        (array.clone().into_bytes(), "line 2, column 1"),
        (gzip(&array), "line 2, column 1"),
        (envelope.into_bytes(), "line 2, column 1"),
    ] {
        let lake = Lake::new();
        let file = lake.file("input", content);
        let options = IngestOptions {
            max_event_bytes: 2_000,
            ..lenient(&lake)
        };
        let report = lake
            .run(options.clone(), std::slice::from_ref(&file))
            .unwrap();
        assert_eq!((report.events, report.rejected), (3, 2), "{report:?}");
        let said = &report.counts.bad_lines[0];
        assert!(
            said.contains(place) && said.contains("is longer than 2000 bytes"),
            "{said}"
        );
        let kept = std::fs::read_to_string(&report.kept[0]).unwrap();
        let is_start = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            long.starts_with(line["text"].as_str().unwrap())
        };
        assert!(kept.lines().all(is_start), "{kept}");
        let mut numbers: Vec<_> = lake.stored("t").texts("n").into_iter().flatten().collect();
        numbers.sort();
        assert_eq!(numbers, ["1", "2", "3"]);
        let again = lake.run(options, &[file]).unwrap();
        assert_eq!((again.events, again.rejected), (0, 0), "it comes once");
    }
}

#[test]
fn a_bomb_costs_its_own_line() {
    let good = "{\"time\":1600000000}\n";
    for (fill, is_array) in [(b'x', false), (b' ', false), (b'1', true), (b'[', true)] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let (start, end): (&[u8], &[u8]) = match is_array {
            true => (b"[{\"time\":1600000000},\"", b"\",{\"time\":1600000000}]"),
            false => (good.as_bytes(), b"\n{\"time\":1600000000}\n"),
        };
        encoder.write_all(start).unwrap();
        for _ in 0..16 {
            encoder.write_all(&vec![fill; 1 << 20]).unwrap();
        }
        encoder.write_all(end).unwrap();
        let lake = Lake::new();
        let bomb = lake.file("bomb.gz", encoder.finish().unwrap());
        assert!(bomb.metadata().unwrap().len() < 100_000);
        let options = IngestOptions {
            max_event_bytes: 1 << 18,
            ..lenient(&lake)
        };
        let report = lake.run(options, &[bomb, lake.file("good", good)]).unwrap();
        assert_eq!(report.events, 3, "{report:?}");
        assert_eq!(report.rejected, u64::from(fill != b' '));
        assert!(report.counts.bad_lines.iter().all(|line| line.len() < 300));
        assert!(report.failed.is_empty(), "{report:?}");
    }
}

#[test]
fn lines_of_other_formats_become_events_with_their_source_text() {
    let lake = Lake::new();
    let syslog = "<34>1 2026-03-01T10:11:12Z web app 8 - - blocked \"a\"\n".repeat(10)
        + "not of this format, and yet kept: it begins with no time\n";
    let csv =
        "time,user,port\n2026-03-01T10:11:13Z,\"ann \"\"b\"\"\",22\n2026-03-01T10:11:14Z,bob\n";
    let files = [
        lake.file("1.log", &syslog),
        lake.file("2.txt", csv),
        lake.file(
            "3",
            "CEF:0|Acme|Wall|1|7|blocked|5|rt=1772359875000 src=192.0.2.7 msg=a b\n",
        ),
    ];
    let report = lake.run(lenient(&lake), &files).unwrap();
    let formats: Vec<(&str, usize)> = report
        .formats
        .iter()
        .map(|(format, files)| (*format, files.len()))
        .collect();
    assert_eq!(formats, [("cef", 1), ("csv", 1), ("syslog", 1)]);
    // Every line is an event or a line that is kept; the header of the table is neither.
    assert_eq!(report.events + report.rejected, 14, "{:?}", report.counts);
    assert!(
        report
            .counts
            .bad_lines
            .iter()
            .any(|line| line.contains("2.txt`, line 3")),
        "{:?}",
        report.counts
    );
    assert_eq!(report.without_time, report.events - 12);
    let stored = lake.stored("t");
    let raw = stored.texts("raw");
    for line in [
        "<34>1 2026-03-01T10:11:12Z web app 8 - - blocked \"a\"",
        "2026-03-01T10:11:13Z,\"ann \"\"b\"\"\",22",
        "CEF:0|Acme|Wall|1|7|blocked|5|rt=1772359875000 src=192.0.2.7 msg=a b",
    ] {
        assert!(
            raw.iter().any(|raw| raw.as_deref() == Some(line)),
            "{raw:?}"
        );
    }
    let has = |column: &str, value: &str| {
        let values = stored.texts(column);
        assert!(
            values.iter().any(|found| found.as_deref() == Some(value)),
            "{column}: {values:?}"
        );
    };
    has("user", "ann \"b\"");
    has("hostname", "web");
    has("src", "192.0.2.7");
    // The same files again, and one that has grown, whose header is known.
    let grown = lake.file("2.txt", format!("{csv}2026-03-01T10:11:15Z,carl,23\n"));
    let files = [files[0].clone(), grown, files[2].clone()];
    let report = lake.run(lenient(&lake), &files).unwrap();
    assert_eq!((report.events, report.rejected), (1, 0));
    let users = lake.stored("t").texts("user");
    assert!(users.iter().any(|user| user.as_deref() == Some("carl")));
}
