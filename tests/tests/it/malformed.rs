//! Raw logs in every form, cut, split, wrongly encoded, odd and huge: nothing is lost, nothing panics, memory is bounded, and each
//! rejected line is named with its place and the reason.

mod memory;

use std::fs;
use std::path::PathBuf;

use yagura_formats::LineFormat;
use yagura_lake::ingest::{Format, IngestOptions};
use yagura_tests::command;
use yagura_tests::malformed::{
    Form, Outcome, Packing, Sample, forms, ingested, nested, pack, tar_of, zip_of,
};

/// A folder with files that are ingested together.
struct Files {
    dir: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

impl Files {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            paths: Vec::new(),
        }
    }

    /// Writes a file, and returns its name.
    fn add(&mut self, name: &str, bytes: &[u8]) -> String {
        let name = format!("in-{name}");
        let path = self.dir.path().join(&name);
        fs::write(&path, bytes).unwrap();
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
        name
    }

    async fn ingest(&self, format: Format) -> Outcome {
        self.ingest_with(|options| options.format = format).await
    }

    async fn ingest_with(&self, change: impl FnOnce(&mut IngestOptions)) -> Outcome {
        ingested(self.dir.path(), &self.paths, change)
            .await
            .unwrap()
    }
}

/// Where a file may be cut: everywhere; in the rooms of an EVTX file where nothing stands, and in the file's head, here and there.
fn places(sample: &Sample) -> Vec<usize> {
    let last = sample.records.last().map_or(0, |record| record.range.end);
    let first = sample
        .records
        .first()
        .map_or(0, |record| record.range.start);
    let everywhere = sample.bytes.len() < 4_096;
    (0..=sample.bytes.len())
        .filter(|at| everywhere || (first..=last + 8).contains(at) || at % 509 == 0)
        .collect()
}

#[test]
fn every_form_is_in_the_corpus() {
    let forms = forms();
    let has = |name: &str| forms.iter().filter(|form| form.name == name).count() == 1;
    // Which elements of XML are events, a source says.
    let is_apart = |name: &str| name == LineFormat::Xml.name();
    for format in LineFormat::ALL
        .into_iter()
        .filter(|format| !is_apart(format.name()))
    {
        assert!(has(format.name()), "{} has no records", format.name());
    }
    // What the command offers may be more than the formats of lines.
    let help = command::yagura(&["ingest", "--help"]).must_work().stdout;
    let (_, of_format) = help.split_once("--format ").unwrap();
    let (of_format, _) = of_format.split_once("\n      --").unwrap();
    let offered = of_format.lines().filter_map(|line| {
        let (name, _) = line.trim().strip_prefix("- ")?.split_once(':')?;
        Some(name)
    });
    let offered: Vec<&str> = offered.collect();
    assert!(offered.len() > LineFormat::ALL.len(), "{help}");
    for name in offered.into_iter().filter(|name| !is_apart(name)) {
        assert!(has(name), "`--format {name}` has no records in the corpus");
    }
    // A form without a name is known by its first bytes.
    assert!(has("evtx") && has("parquet"));
}

#[tokio::test]
async fn whole_files_give_a_row_for_each_record() {
    for form in forms() {
        for format in [form.format, Format::Auto] {
            // Any text looks like `text`, which is never recognised.
            if form.name == "text" && format == Format::Auto {
                continue;
            }
            let mut files = Files::new();
            let sample = form.sample(0);
            files.add("whole", &sample.bytes);
            let outcome = files.ingest(format).await;
            outcome.reconcile(form.name);
            assert_eq!(outcome.rows.len(), 3, "{} {outcome:#?}", form.name);
            for record in &sample.records {
                assert_eq!(outcome.rows_with(&record.mark), 1, "{}", form.name);
            }
            assert!(outcome.unread.is_empty(), "{}: {outcome:?}", form.name);
        }
    }
}

#[tokio::test]
async fn a_file_that_is_cut_at_any_byte_gives_what_is_whole() {
    for form in forms() {
        let mut files = Files::new();
        let mut samples = Vec::new();
        for (number, at) in (0..).zip(places(&form.sample(0))) {
            let sample = form.sample(number);
            let name = files.add(&number.to_string(), &sample.bytes[..at]);
            samples.push((name, at, sample));
        }
        let outcome = files.ingest(form.format).await;
        outcome.reconcile(form.name);
        for (name, at, sample) in samples {
            for record in &sample.records {
                let rows = outcome.rows_with(&record.mark);
                if record.range.end <= at {
                    assert_eq!(rows, 1, "{} cut at byte {at}: {}", form.name, record.mark);
                    continue;
                }
                let is_there = Sample::has_mark(&sample.bytes[..at], &record.mark);
                let is_named = rows == 1
                    || outcome.is_rejected(&record.mark)
                    || outcome.unread.contains_key(&name);
                assert!(
                    rows < 2 && (is_named || !is_there),
                    "{} cut at byte {at} hides {}: {:?}",
                    form.name,
                    record.mark,
                    outcome.unread
                );
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_is_split_at_any_byte_into_two_loses_nothing() {
    for form in forms() {
        let mut files = Files::new();
        let mut samples = Vec::new();
        for (number, at) in (0..).zip(places(&form.sample(0))) {
            let sample = form.sample(number);
            let first = files.add(&format!("{number}a"), &sample.bytes[..at]);
            let second = files.add(&format!("{number}b"), &sample.bytes[at..]);
            samples.push(([first, second], at, sample));
        }
        let outcome = files.ingest(form.format).await;
        outcome.reconcile(form.name);
        for ([first, second], at, sample) in samples {
            let (before, behind) = sample.bytes.split_at(at);
            // The line that names the columns of the second file.
            let header = behind
                .split(|byte| *byte == b'\n')
                .find(|line| !line.is_empty());
            let header = header.filter(|_| form.is_headed).unwrap_or_default();
            for record in &sample.records {
                let mark = &record.mark;
                let rows = outcome.rows_with(mark);
                let file = match (
                    Sample::has_mark(before, mark),
                    Sample::has_mark(behind, mark),
                ) {
                    (true, _) => &first,
                    (_, true) => &second,
                    _ => continue,
                };
                let is_named = rows == 1
                    || outcome.is_rejected(mark)
                    || outcome.unread.contains_key(file)
                    || Sample::has_mark(header, mark);
                assert!(
                    rows < 2 && is_named,
                    "{} split at byte {at} hides {mark}, rows {rows}",
                    form.name
                );
                if !form.ends_at_fault {
                    let error = outcome.report.failed.first();
                    assert!(error.is_none(), "{} split at {at}: {error:?}", form.name);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_is_read_while_it_is_written_gives_each_record_once() {
    for form in forms() {
        let mut files = Files::new();
        let mut samples = Vec::new();
        for (number, at) in (0..).zip(places(&form.sample(0))) {
            let sample = form.sample(number);
            files.add(&number.to_string(), &sample.bytes[..at]);
            samples.push((at, sample));
        }
        let first = files.ingest(form.format).await;
        for (number, (_, sample)) in samples.iter().enumerate() {
            files.add(&number.to_string(), &sample.bytes);
        }
        let second = files.ingest(form.format).await;
        let events = first.report.events + second.report.events;
        assert_eq!(events, second.rows.len() as u64, "{}", form.name);
        for (at, sample) in samples {
            for record in &sample.records {
                let rows = second.rows_with(&record.mark);
                // What was read of a line before it was whole is a record of its own.
                let is_cut = record.range.contains(&at) || record.range.end == at;
                let is_right = match is_cut {
                    true => (1..=2).contains(&rows),
                    false => rows == 1,
                };
                assert!(
                    is_right,
                    "{} read at byte {at}: {rows} rows of {:?}",
                    form.name, record
                );
            }
        }
        let third = files.ingest(form.format).await;
        assert_eq!(
            (third.report.events, third.report.rejected),
            (0, 0),
            "{}",
            form.name
        );
    }
}

/// A file in another encoding, or with bytes that no log should have.
fn encodings(form: &Form, number: u32) -> Vec<(&'static str, Sample, bool)> {
    let Some(text) = form.text() else {
        return Vec::new();
    };
    let sample = |number| text.sample(number, &text.records.map(str::to_owned));
    let utf16 = |to_bytes: fn(u16) -> [u8; 2], mark: &[u8], number| {
        let mut sample = sample(number);
        let whole = String::from_utf8(sample.bytes).unwrap();
        let units = whole.encode_utf16().flat_map(to_bytes);
        sample.bytes = mark.iter().copied().chain(units).collect();
        sample
    };
    let replaced = |from: &str, to: &[u8], number| {
        let mut sample = sample(number);
        let mut bytes = Vec::new();
        let mut rest = sample.bytes.as_slice();
        while let Some(at) = rest
            .windows(from.len())
            .position(|part| part == from.as_bytes())
        {
            bytes.extend_from_slice(&rest[..at]);
            bytes.extend_from_slice(to);
            rest = &rest[at + from.len()..];
        }
        bytes.extend_from_slice(rest);
        sample.bytes = bytes;
        sample
    };
    let mut marked = sample(number + 4);
    marked.bytes.splice(0..0, *b"\xef\xbb\xbf");
    let mut holes = sample(number + 7);
    holes.bytes.extend([0; 5_000]);
    let mut bare = sample(number + 8);
    while bare.bytes.ends_with(b"\n") {
        bare.bytes.pop();
    }
    vec![
        (
            "UTF-16LE",
            utf16(u16::to_le_bytes, b"\xff\xfe", number),
            true,
        ),
        (
            "UTF-16BE",
            utf16(u16::to_be_bytes, b"\xfe\xff", number + 1),
            true,
        ),
        (
            "UTF-16LE without a mark",
            utf16(u16::to_le_bytes, b"", number + 2),
            true,
        ),
        (
            "UTF-16BE without a mark",
            utf16(u16::to_be_bytes, b"", number + 3),
            true,
        ),
        ("a mark of UTF-8", marked, true),
        ("Latin-1", replaced("q", b"q\xe9", number + 5), true),
        ("NUL in records", replaced("q", b"q\0", number + 6), false),
        ("NUL behind the records", holes, true),
        ("without a last line end", bare, true),
        ("CR LF", replaced("\n", b"\r\n", number + 9), true),
        (
            "surrogates",
            replaced("q", b"q\xed\xa0\x80", number + 10),
            true,
        ),
        (
            "an overlong form",
            replaced("q", b"q\xc0\xaf", number + 11),
            true,
        ),
    ]
}

#[tokio::test]
async fn wrong_encodings_cost_no_record() {
    for form in forms() {
        for (what, sample, are_rows) in encodings(&form, 0) {
            let what = format!("{}, {what}", form.name);
            let mut files = Files::new();
            let name = files.add("encoded", &sample.bytes);
            let outcome = files.ingest(form.format).await;
            outcome.reconcile(&what);
            for record in &sample.records {
                let is_row = outcome.rows_with(&record.mark) == 1;
                let is_kept = is_row || outcome.is_rejected(&record.mark);
                assert!(
                    is_row || (is_kept && !are_rows),
                    "{what}: {} {outcome:#?}",
                    record.mark
                );
            }
            assert!(!outcome.unread.contains_key(&name), "{what}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn an_odd_record_hides_neither_itself_nor_its_neighbours() {
    for form in forms() {
        let Some(text) = form.text() else {
            continue;
        };
        for (number, odd) in (0..).zip(text.odd(100_000)) {
            let sample = text.around(number, &odd);
            let shown: String = odd.chars().take(80).collect();
            let what = format!("{}: {shown}", form.name);
            let mut files = Files::new();
            let name = files.add("odd", &sample.bytes);
            let outcome = files.ingest(form.format).await;
            outcome.reconcile(&what);
            let [before, itself, behind] = &sample.records[..] else {
                panic!("{sample:?}");
            };
            assert_eq!(outcome.rows_with(&before.mark), 1, "{what} {outcome:#?}");
            let is_unread = form.ends_at_fault && outcome.unread.contains_key(&name);
            for record in [itself, behind] {
                let is_kept =
                    outcome.rows_with(&record.mark) > 0 || outcome.is_rejected(&record.mark);
                // A line that looks like a header is one.
                let is_header = odd.starts_with('#') || odd.starts_with("version ");
                assert!(is_kept || is_unread || is_header, "{what} {outcome:#?}");
            }
        }
    }
}

#[tokio::test]
async fn packed_files_that_are_cut_or_changed_at_any_byte_name_what_is_wrong() {
    let form = forms()
        .into_iter()
        .find(|form| form.name == "ndjson")
        .unwrap();
    for packing in Packing::ALL {
        let mut files = Files::new();
        let mut samples = Vec::new();
        let length = pack(packing, &form.sample(0).bytes).len();
        // Most of a tar archive is blank.
        let step = if packing == Packing::Tar { 7 } else { 1 };
        for (number, at) in (0..).zip((0..=length).step_by(step)) {
            let sample = form.sample(number);
            let packed = pack(packing, &sample.bytes);
            let at = at.min(packed.len());
            let name = files.add(&number.to_string(), &packed[..at]);
            samples.push((name, at == packed.len(), sample));
        }
        for (number, at) in (100_000..).zip((0..length).step_by(step)) {
            let sample = form.sample(number);
            let mut packed = pack(packing, &sample.bytes);
            if let Some(byte) = packed.get_mut(at) {
                *byte ^= 0x41;
            }
            let name = files.add(&number.to_string(), &packed);
            samples.push((name, false, sample));
        }
        let outcome = files.ingest(Format::Auto).await;
        outcome.reconcile(&format!("{packing:?}"));
        for (name, is_whole, sample) in samples {
            let rows: Vec<usize> = sample
                .records
                .iter()
                .map(|record| outcome.rows_with(&record.mark))
                .collect();
            let is_named = outcome
                .unread
                .keys()
                .any(|unread| unread.starts_with(&name));
            match is_whole {
                true => assert_eq!(rows, [1, 1, 1], "{packing:?} {name}"),
                // What was changed may mean nothing, as a time of a header does, or change a record.
                false => assert!(
                    rows == [1, 1, 1] || is_named || outcome.report.rejected > 0,
                    "{packing:?} {name} {rows:?}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn what_is_packed_too_often_is_named() {
    let line = b"{\"user\":\"somebody\"}\n";
    for packing in Packing::ALL {
        let is_archive = matches!(packing, Packing::Tar | Packing::Zip);
        // Archives open two deep, compression three.
        let deepest = if is_archive { 2 } else { 3 };
        for depth in 1..=6 {
            let mut files = Files::new();
            let name = files.add("packed", &nested(packing, depth, line));
            files.add("good", b"{\"user\":\"another\"}\n");
            let outcome = files.ingest(Format::Auto).await;
            outcome.reconcile(&format!("{packing:?}"));
            assert_eq!(outcome.rows_with("another"), 1, "{packing:?}");
            let is_read = outcome.rows_with("somebody") == 1;
            assert_eq!(
                is_read,
                depth <= deepest,
                "{packing:?} {depth}: {outcome:?}"
            );
            let is_named = outcome
                .unread
                .keys()
                .any(|unread| unread.starts_with(&name));
            assert_eq!(is_named, !is_read, "{packing:?} {depth}: {outcome:?}");
        }
    }
    // Archives whose members have names that lead elsewhere, or none.
    for name in ["../../in-x", "/in-x", "in-x\0y", "in-x\ny", "."] {
        for archive in [zip_of(name, line), tar_of("in-x", line)] {
            let mut files = Files::new();
            files.add("named", &archive);
            let outcome = files.ingest(Format::Auto).await;
            assert_eq!(outcome.rows_with("somebody"), 1, "{name:?}: {outcome:?}");
        }
    }
}
