//! Records that a parser reads: each ends as rows, among the rejected lines, or counted, whatever the sizes.

use std::error::Error;

use proptest::prelude::*;

use super::*;

/// A parser that does what a record says.
#[derive(Debug)]
struct Words;

impl RecordParser for Words {
    fn parse(&self, records: &[&[u8]]) -> Result<Vec<ParsedRecord>, Box<dyn Error + Send + Sync>> {
        let parsed = records.iter().map(|record| {
            let text = String::from_utf8_lossy(record);
            match text.split(' ').next() {
                Some("broken") => ParsedRecord::Events(vec!["{\"a\":".to_owned()]),
                Some("list") => ParsedRecord::Events(vec!["[]".to_owned()]),
                Some("bad") => ParsedRecord::Wrong("it is bad".to_owned()),
                Some("header") => ParsedRecord::Events(Vec::new()),
                Some("two") => ParsedRecord::Events(vec![
                    json!({"text": text, "n": 1}).to_string(),
                    json!({"text": text, "n": 2}).to_string(),
                ]),
                _ => ParsedRecord::Events(vec![
                    json!({"text": text, "time": "2026-02-03T04:05:06Z"}).to_string(),
                ]),
            }
        });
        match records.iter().any(|record| record.starts_with(b"down")) {
            true => Err("it is down".into()),
            false => Ok(parsed.collect()),
        }
    }
}

#[derive(Debug)]
struct Same;

impl Normalize for Same {
    fn normalize(&self, events: &[&str]) -> Vec<Normalized> {
        vec![Normalized::default(); events.len()]
    }
}

fn options(lake: &Lake) -> IngestOptions {
    let mut options = lake.options("t");
    options.strict = false;
    options.format = Format::Lines(LineFormat::Text);
    options.source = Some(SourceTable {
        name: "words".to_owned(),
        time_paths: Vec::new(),
        grok: None,
        parser: Some(Arc::new(Words)),
        each: None,
        repeats: None,
        processed_time: None,
        columns: Vec::new(),
        normalizer: Arc::new(Same),
    });
    options
}

/// Returns the texts of the rows with their source texts, sorted.
fn rows(stored: &Stored) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (_, batch) in stored.files.values() {
        let column = |name: &str| {
            let values = cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
            let values = values.as_string::<i32>();
            let texts = values
                .iter()
                .map(|text| text.unwrap_or_default().to_owned());
            texts.collect::<Vec<_>>()
        };
        rows.extend(column("text").into_iter().zip(column(RAW_COLUMN)));
    }
    rows.sort();
    rows
}

#[test]
fn each_record_is_rows_or_rejected_or_counted() {
    let lake = Lake::new();
    let text = "one 1\nbroken\n\ntwo\nbad \u{e9}\nheader\nlist\nlast\u{ff}";
    let file = lake.file("log", text);
    let report = lake.run(options(&lake), &[file]).unwrap();
    assert_eq!((report.events, report.rejected), (4, 3));
    assert_eq!(report.counts.without_event.count, 1);
    let first = report.counts.without_event.first.as_ref().unwrap();
    assert_eq!((first.line, first.value.as_str()), (6, "header"));
    let bad: Vec<&str> = report.counts.bad_lines.iter().map(String::as_str).collect();
    assert!(bad[0].contains("line 2, column 1: its event"), "{bad:?}");
    assert!(bad[0].contains("is not a JSON object"), "{bad:?}");
    assert!(bad[1].ends_with("line 5, column 1: it is bad"), "{bad:?}");
    assert!(bad[2].contains("line 7"), "{bad:?}");
    let own = |text: &str| (text.to_owned(), text.to_owned());
    assert_eq!(
        rows(&lake.stored("t")),
        [own("last\u{ff}"), own("one 1"), own("two"), own("two")]
    );
}

#[test]
fn what_the_parser_cannot_read_at_present_is_read_by_the_next_ingest() {
    let lake = Lake::new();
    let mut small = options(&lake);
    small.chunk_events = 2;
    let lines: String = (0..5_000).map(|n| format!("n {n}\n")).collect();
    let file = lake.file("log", format!("{lines}down\n"));
    let error = lake
        .run(small.clone(), std::slice::from_ref(&file))
        .unwrap_err();
    assert!(error.to_string().contains("from line 4097 on"), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "it is down");
    // What was written before stays, and comes once.
    let file = lake.file("log", format!("{lines}up\n"));
    let report = lake.run(small, &[file]).unwrap();
    assert!(report.events < 5_001, "{}", report.events);
    assert_eq!(rows(&lake.stored("t")).len(), 5_001);
}

#[test]
fn a_strict_ingest_ends_at_the_first_record_that_is_not_an_event() {
    let lake = Lake::new();
    let file = lake.file("log", "a\nbad\nb\n");
    let mut strict = options(&lake);
    strict.strict = true;
    let error = lake.run(strict, &[file]).unwrap_err();
    assert!(
        error.to_string().contains("line 2, column 1: it is bad"),
        "{error}"
    );
}

#[test]
fn a_record_that_is_too_long_hides_none_before_it() {
    let lake = Lake::new();
    let mut short = options(&lake);
    short.max_event_bytes = 200;
    let file = lake.file(
        "log",
        format!("a\n{}\nb\ntwo {}\n", "x".repeat(300), "y".repeat(90)),
    );
    let report = lake.run(short, &[file]).unwrap();
    assert_eq!((report.events, report.rejected), (2, 2), "{report:?}");
    assert!(
        report.counts.bad_lines[1].contains("its 2 events, each with the record in `raw`"),
        "{report:?}"
    );
    assert_eq!(rows(&lake.stored("t")).len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn rows_do_not_depend_on_which_records_come_together(
        lines in prop::collection::vec(
            prop::sample::select(vec!["a 1", "two", "bad", "header", "broken", "b"]), 1..80),
        chunk in 1_usize..9,
        grown in 0_usize..80,
    ) {
        let text = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let whole = Lake::new();
        let file = whole.file("log", text(&lines));
        let report = whole.run(options(&whole), &[file]).unwrap();
        let of = |word: &str| lines.iter().filter(|line| **line == word).count() as u64;
        prop_assert_eq!(report.rejected, of("bad") + of("broken"));
        prop_assert_eq!(report.counts.without_event.count, of("header"));
        prop_assert_eq!(report.events, of("a 1") + of("b") + 2 * of("two"));
        // A file that grows, in small chunks.
        let parts = Lake::new();
        let mut small = options(&parts);
        small.chunk_events = chunk;
        let file = parts.file("log", text(&lines[..grown.min(lines.len())]));
        parts.run(small.clone(), &[file]).unwrap();
        let file = parts.file("log", text(&lines));
        parts.run(small, &[file]).unwrap();
        if report.events > 0 {
            prop_assert_eq!(rows(&whole.stored("t")), rows(&parts.stored("t")));
        }
    }
}
