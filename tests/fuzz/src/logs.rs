//! Logs: objects as they lie in a lake, and text before it gets there.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::future::Future;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Once, OnceLock};

use tokio::runtime::Runtime;
use yagura_core::json::members;
use yagura_engine::RunOptions;
use yagura_formats::{Avro, DAMAGED, Decode, Decoded, Evtx, Grok, LineFormat, Taken, XmlRecords};
use yagura_host::{NormalizedRecords, RecordContent};
use yagura_lake::ingest::{Normalize, Normalized, ParsedRecord, RecordParser, SourceTable};
use yagura_lake::{Format, IngestOptions, Location};
use yagura_tests::fixture::Fixture;

/// The time to which lines without a year belong at the latest, in microseconds: 2026-03-02.
const NOW: i64 = 1_772_409_600_000_000;

fn block_on<T>(work: impl Future<Output = T>) -> Option<T> {
    // The fuzzer ends with the first panic that is told.
    static QUIET: Once = Once::new();
    QUIET.call_once(yagura_lake::guard::print_no_caught_panics);
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().ok()
    });
    Some(runtime.as_ref()?.block_on(work))
}

/// Evaluates the events of a table by a rule that looks at several columns.
async fn evaluate(table: &Path) {
    let Some(url) = table.to_str() else { return };
    let rule = "name = 'n' OR number > 5 OR nested.inner LIKE '%x%' OR name IS NULL";
    let fixture = Fixture::over("t", url).rule("r", "t", rule, "[rule.alert]\nkey = [\"name\"]");
    let options = RunOptions {
        partitions: 1,
        ..RunOptions::default()
    };
    let _ = fixture.run(&options).await;
}

pub(crate) fn parquet(bytes: &[u8]) {
    let Ok(dir) = tempfile::tempdir() else { return };
    let table = dir.path().join("t");
    if fs::create_dir(&table).is_ok() && fs::write(table.join("part-0.parquet"), bytes).is_ok() {
        block_on(evaluate(&table));
    }
}

/// Answers with what a plugin returned, about any records.
#[derive(Debug)]
struct Answer(NormalizedRecords);

impl RecordParser for Answer {
    fn parse(&self, _: &[&[u8]]) -> Result<Vec<ParsedRecord>, Box<dyn Error + Send + Sync>> {
        let parsed = self.0.iter().map(|content| match content {
            RecordContent::Events(events) => {
                ParsedRecord::Events(events.into_iter().map(str::to_owned).collect())
            }
            RecordContent::Malformed(reason) => ParsedRecord::Wrong(reason.to_owned()),
        });
        Ok(parsed.collect())
    }
}

#[derive(Debug)]
struct AsTheyAre;

impl Normalize for AsTheyAre {
    fn normalize(&self, events: &[&str]) -> Vec<Normalized> {
        vec![Normalized::default(); events.len()]
    }
}

/// The first byte says how many records there are; then come the four lists of bytes of the answer, each behind its length in two
/// bytes, and the indexes of malformed records.
pub(crate) fn normalized(bytes: &[u8]) {
    let Some((records, rest)) = bytes.split_first() else {
        return;
    };
    let records = usize::from(*records % 8) + 1;
    let mut rest = rest;
    let mut list = || {
        let Some((length, after)) = rest.split_first_chunk::<2>() else {
            return [].as_slice();
        };
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (list, after) = after.split_at(length);
        rest = after;
        list
    };
    let answer = (list(), list(), list(), list());
    let malformed = rest
        .iter()
        .map(|at| (u32::from(*at), "\u{1b}[2J".repeat(900)));
    let Ok(answer) = NormalizedRecords::of_bytes(records, answer, malformed.collect()) else {
        return;
    };
    assert_eq!(answer.iter().count(), records, "not all records are there");
    let Ok(dir) = tempfile::tempdir() else { return };
    let (file, lake) = (dir.path().join("logs"), dir.path().join("lake"));
    let Some(Ok(to)) = lake
        .to_str()
        .map(|lake| Location::parse(lake, &BTreeMap::new()))
    else {
        return;
    };
    if fs::write(&file, "record\n".repeat(records)).is_err() {
        return;
    }
    let source = SourceTable {
        name: "plugin".to_owned(),
        time_paths: Vec::new(),
        grok: None,
        parser: Some(Arc::new(Answer(answer))),
        each: None,
        repeats: None,
        processed_time: None,
        columns: Vec::new(),
        normalizer: Arc::new(AsTheyAre),
    };
    let options = IngestOptions {
        strict: false,
        format: Format::Lines(LineFormat::Text),
        source: Some(source),
        ..IngestOptions::new("t", to)
    };
    block_on(async {
        let report = yagura_lake::ingest(options, &[file], |_| {}).await;
        let report = report.expect("no answer ends an ingest");
        // A record may hold several events.
        let known = report.events + report.rejected + report.counts.without_event.count;
        assert!(known >= records as u64, "a record is lost: {report:?}");
        if report.events > 0 {
            evaluate(&lake.join("t")).await;
        }
    });
}

pub(crate) fn ingest(bytes: &[u8]) {
    let Ok(dir) = tempfile::tempdir() else { return };
    let (file, lake) = (dir.path().join("logs"), dir.path().join("lake"));
    let Some(Ok(to)) = lake
        .to_str()
        .map(|lake| Location::parse(lake, &BTreeMap::new()))
    else {
        return;
    };
    if fs::write(&file, bytes).is_err() {
        return;
    }
    let options = IngestOptions {
        strict: false,
        ..IngestOptions::new("t", to)
    };
    block_on(async {
        let files = [file];
        let first = yagura_lake::ingest(options.clone(), &files, |_| {}).await;
        if first.is_ok() {
            let second = yagura_lake::ingest(options, &files, |_| {}).await;
            assert!(
                second.is_ok_and(|report| report.events == 0),
                "an event came twice"
            );
            evaluate(&lake.join("t")).await;
        }
    });
}

/// Reads text as lines of the format that it looks like, and as plain text.
pub(crate) fn lines(bytes: &[u8]) {
    let format = LineFormat::detect(bytes);
    lines_of(format.unwrap_or(LineFormat::Text), bytes);
}

/// Reads text as lines of a format, each by itself and gathered to records.
pub(crate) fn lines_of(format: LineFormat, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut decoder = format.decoder(NOW);
    text.lines().for_each(|line| decode(decoder.as_mut(), line));
    let Some(mut gather) = format.gatherer() else {
        return;
    };
    let mut count = 0;
    let mut records = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match gather.line(line, number) {
            Taken::Alone => count += 1,
            Taken::Waits => {}
            Taken::Records { records: found, .. } => records.extend(found),
        }
    }
    records.extend(gather.end().records);
    for record in &records {
        decode(decoder.as_mut(), &record.text);
        count += record.text.lines().count();
    }
    assert!(count <= text.lines().count(), "a line came twice");
}

fn decode(decoder: &mut dyn Decode, line: &str) {
    match decoder.line(line) {
        Ok(Decoded::Event(event)) => {
            let json = serde_json::Value::Object(event).to_string();
            assert!(members(&json).is_ok(), "{json}");
        }
        Ok(Decoded::Nothing) => {}
        Err(wrong) => assert!(
            wrong.at <= line.len() && !wrong.reason.is_empty(),
            "{wrong:?}"
        ),
    }
}

/// Reads bytes as the first chunk of an EVTX file.
pub(crate) fn evtx(bytes: &[u8]) {
    let mut file = b"ElfFile\0".to_vec();
    file.resize(4_096, 0);
    file.extend(bytes.iter().take(65_536));
    file.resize(4_096 + 65_536, 0);
    let mut text = String::new();
    let read = Evtx::new(file.as_slice()).read_to_string(&mut text);
    assert!(read.is_ok(), "{read:?}");
    let mut decoder = LineFormat::WindowsXml.decoder(NOW);
    for line in text.lines() {
        assert!(line.len() < 1 << 20, "a record has no bound");
        decode(decoder.as_mut(), line);
    }
}

/// Reads lines that were made of something else: each is an event or a part that could not be read.
fn converted(mut lines: impl Read) {
    let mut bytes = Vec::new();
    // What stands before a fault is read all the same.
    let _ = lines.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    for line in text.lines() {
        let is_damage = line.starts_with(DAMAGED) && line.ends_with("?>");
        assert!(is_damage || members(line).is_ok(), "{line}");
    }
}

/// Reads bytes as an Avro file. Blocks are packed by a codec that turns their bytes around.
pub(crate) fn avro(bytes: &[u8]) {
    let turned = |_: &str, packed: &[u8], most: usize| match packed.len() > most {
        true => Err("too long".to_owned()),
        false => Ok(packed.iter().rev().copied().collect()),
    };
    converted(Avro::new(bytes, &["deflate"], turned));
}

/// Reads the first line as the path of records, and the others as a document.
pub(crate) fn xml(bytes: &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let (path, document) = bytes.split_at(end);
    let path = String::from_utf8_lossy(path);
    let path = path.split('.').map(str::to_owned).collect();
    converted(XmlRecords::new(document, vec![path], Vec::new(), 1 << 16));
}

/// Reads the first line as a grok pattern, and the others as lines of this shape.
pub(crate) fn grok(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, lines) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(mut grok) = Grok::new(pattern, []) {
        lines.lines().for_each(|line| decode(&mut grok, line));
    }
}
