//! Events of several lines, and events of Windows: each once, wherever a file ends in between.

use std::io::Write;

use super::*;

fn lenient(lake: &Lake) -> IngestOptions {
    IngestOptions {
        strict: false,
        ..lake.options("t")
    }
}

/// The source texts of the table, sorted.
fn raws(lake: &Lake) -> Vec<String> {
    let mut raws: Vec<String> = lake
        .stored("t")
        .texts(RAW_COLUMN)
        .into_iter()
        .flatten()
        .collect();
    raws.sort();
    raws
}

/// Ingests a file as it grows: up to each of the ends.
fn grown(text: &str, ends: &[usize], chunk_events: usize) -> (Vec<String>, Vec<IngestReport>) {
    let lake = Lake::new();
    let mut reports = Vec::new();
    for end in ends {
        let file = lake.file("input", &text[..*end]);
        let options = IngestOptions {
            chunk_events,
            ..lenient(&lake)
        };
        reports.push(lake.run(options, &[file]).unwrap());
    }
    (raws(&lake), reports)
}

fn line_ends(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at + 1).collect()
}

const TABLE: &str = "time,note,user\n2026-03-01T10:11:12Z,one,ann\n2026-03-01T10:11:13Z,\"two\n\n  \"\"lines\"\"\",ben\n2026-03-01T10:11:14Z,three,cid\n2026-03-01T10:11:15Z,\"a\nb\nc\",\n";

#[test]
fn a_table_whose_fields_span_lines_comes_once_wherever_it_grows() {
    let all = [
        "2026-03-01T10:11:12Z,one,ann",
        "2026-03-01T10:11:13Z,\"two\n\n  \"\"lines\"\"\",ben",
        "2026-03-01T10:11:14Z,three,cid",
        "2026-03-01T10:11:15Z,\"a\nb\nc\",",
    ];
    for first in line_ends(TABLE).into_iter().skip(1) {
        for chunk_events in [1, 100] {
            let (found, reports) = grown(TABLE, &[first, TABLE.len()], chunk_events);
            assert_eq!(found, all, "{first}");
            assert!(reports.iter().all(|report| report.rejected == 0), "{first}");
        }
    }
    let (_, reports) = grown(TABLE, &[TABLE.find("b\nc").unwrap()], 100);
    assert_eq!(
        reports[0].incomplete,
        [(reports[0].incomplete[0].0.clone(), 7)]
    );
    assert_eq!(reports[0].events, 3);
}

#[test]
fn a_stray_quote_costs_its_own_line() {
    let text = "time,note,user\n2026-03-01T10:11:11Z,zero,zoe\n2026-03-01T10:11:12Z,\"one,ann\n2026-03-01T10:11:13Z,two,ben\n2026-03-01T10:11:14Z,\"three, four\",cid\n";
    let (found, reports) = grown(text, &[text.len()], 100);
    assert_eq!((found.len(), reports[0].rejected), (3, 1));
    assert!(
        reports[0].counts.bad_lines[0].contains("line 3, column 22: a quote is not closed"),
        "{:?}",
        reports[0].counts.bad_lines
    );
}

#[test]
fn audit_records_come_once_wherever_the_log_grows() {
    let record = |kind: &str, serial: u32| {
        format!("type={kind} msg=audit(1772359872.{serial:03}:{serial}): a={kind}{serial}\n")
    };
    let text = [
        record("USER_AUTH", 1),
        record("SYSCALL", 2),
        record("SYSCALL", 3),
        record("PATH", 2),
        record("PATH", 2).replace("a=", "b="),
        record("PROCTITLE", 3),
        record("PROCTITLE", 2),
        record("SYSCALL", 4),
        record("CWD", 4),
        record("PROCTITLE", 4),
        record("EOE", 4),
        record("USER_END", 5),
    ]
    .concat();
    for chunk_events in [1, 100] {
        let (whole, reports) = grown(&text, &[text.len()], chunk_events);
        assert_eq!((whole.len(), reports[0].events), (5, 5));
        assert!(whole.iter().any(|event| event.lines().count() == 4));
        for first in line_ends(&text) {
            let (found, _) = grown(&text, &[first, text.len()], chunk_events);
            let mut lines: Vec<&str> = found.iter().flat_map(|event| event.lines()).collect();
            lines.sort_unstable();
            let mut all: Vec<&str> = text.lines().collect();
            all.sort_unstable();
            assert_eq!(lines, all, "{first}");
        }
    }
}

#[test]
fn a_line_that_is_too_long_takes_no_waiting_line_with_it() {
    let record = |kind: &str| format!("type={kind} msg=audit(1772359872.123:7): a=1\n");
    let long = format!(
        "type=TTY msg=audit(1772359872.123:7): data={}\n",
        "4142".repeat(100)
    );
    let text = [record("SYSCALL"), long, record("PATH")].concat();
    let lake = Lake::new();
    let options = IngestOptions {
        max_event_bytes: 200,
        ..lenient(&lake)
    };
    for (end, events, rejected) in [(text.len() - 43, 1, 1), (text.len(), 1, 0)] {
        let report = lake
            .run(options.clone(), &[lake.file("x", &text[..end])])
            .unwrap();
        assert_eq!(
            (report.events, report.rejected),
            (events, rejected),
            "{end}"
        );
    }
    assert_eq!(raws(&lake).len(), 2);
}

#[test]
fn events_of_windows_come_from_xml_and_evtx_alike() {
    let lake = Lake::new();
    let sample = include_bytes!("../../../../../tests/fuzz/corpus/ingest/evtx");
    let report = lake
        .run(lake.options("t"), &[lake.file("a.evtx", sample)])
        .unwrap();
    assert_eq!(report.events, 3);
    assert_eq!(report.formats.keys().collect::<Vec<_>>(), [&"windows-xml"]);
    assert_eq!(report.without_time, 0);
    let lines = raws(&lake);
    let columns = lake.stored("t").texts("Event");
    // The same events as a document over lines are the same events, and as text another source.
    let other = Lake::new();
    let document = format!(
        "<?xml version=\"1.0\"?>\r\n<Events>\r\n{}\r\n</Events>\r\n",
        lines.join("\r\n").replace("<System>", "\r\n  <System>")
    );
    let ends = [document.find("</Event>").unwrap() + 20, document.len()];
    for end in ends {
        other
            .run(lenient(&other), &[other.file("b.xml", &document[..end])])
            .unwrap();
    }
    let mut found = other.stored("t").texts("Event");
    let mut expected = columns.clone();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!(raws(&other)[0].contains("\n  <System>"));
}

#[test]
fn rows_of_parquet_are_events() {
    let events = [
        r#"{"time":"2026-03-01T10:11:12Z","n":7,"x":{"y":[1,2]}}"#.to_owned(),
        r#"{"time":"2026-03-01T10:11:13Z","n":8}"#.to_owned(),
    ];
    let from = Lake::new();
    from.ingested("t", events.join("\n"));
    let (_, (parquet, _)) = from.stored("t").files.into_iter().next().unwrap();
    let lake = Lake::new();
    let report = lake
        .run(lake.options("t"), &[lake.file("a", &parquet)])
        .unwrap();
    assert_eq!((report.events, report.without_time), (2, 0));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    packed.write_all(&parquet).unwrap();
    let packed = packed.finish().unwrap();
    let report = lake
        .run(lake.options("t"), &[lake.file("b", packed)])
        .unwrap();
    assert_eq!(report.events, 0);
    let stored = lake.stored("t");
    assert_eq!(
        stored.texts("n"),
        [Some("7".to_owned()), Some("8".to_owned())]
    );
    for end in (4..parquet.len()).step_by(41) {
        let lake = Lake::new();
        let report = lake
            .run(lenient(&lake), &[lake.file("a", &parquet[..end])])
            .unwrap();
        assert_eq!((report.events, report.failed.len()), (0, 1), "{end}");
    }
    for at in (4..parquet.len()).step_by(41) {
        let mut changed = parquet.clone();
        changed[at] ^= 0xff;
        let lake = Lake::new();
        let report = lake
            .run(lenient(&lake), &[lake.file("a", &changed)])
            .unwrap();
        assert!(report.events <= 2, "{at}");
    }
}

#[test]
fn a_damaged_record_costs_itself_and_is_named() {
    let lake = Lake::new();
    let text = "<Event xmlns='x'><System><EventID>1</EventID></System></Event>\n<Event><System></Event>\n<Event><System><EventID>2</EventID></System></Event>\n";
    let report = lake.run(lenient(&lake), &[lake.file("a", text)]).unwrap();
    assert_eq!((report.events, report.rejected), (2, 1));
    let bad = &report.counts.bad_lines[0];
    assert!(
        bad.contains("line 2, column 16: the XML of the event is damaged"),
        "{bad}"
    );
}

/// Text of an event that was written as it is may hold what begins a comment.
#[test]
fn what_looks_like_a_comment_hides_no_event_of_windows() {
    let event = |id: u32, data: &str| {
        format!(
            "<Event xmlns='x'><System><EventID>{id}</EventID></System><EventData><Data Name='a'>{data}</Data></EventData></Event>\n"
        )
    };
    for (open, close) in [("<!--", "-->"), ("<?", "?>")] {
        let lake = Lake::new();
        let text = [
            event(1, "x"),
            event(2, &format!("x {open} y")),
            event(3, "hidden"),
            event(4, &format!("x {close} y")),
        ];
        let report = lake
            .run(lenient(&lake), &[lake.file("a", text.concat())])
            .unwrap();
        assert_eq!(
            (report.events, report.rejected),
            (3, 1),
            "{open}: {report:?}"
        );
        let bad = &report.counts.bad_lines[0];
        assert!(bad.contains("line 2, "), "{bad}");
        assert!(raws(&lake).iter().any(|raw| raw.contains("hidden")));
    }
}
