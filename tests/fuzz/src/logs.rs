//! Logs: objects as they lie in a lake, and text before it gets there.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::Read;
use std::path::Path;
use std::sync::{Once, OnceLock};

use tokio::runtime::Runtime;
use yagura_core::json::members;
use yagura_engine::RunOptions;
use yagura_formats::{Decode, Decoded, Evtx, Grok, LineFormat, Rest, Taken};
use yagura_lake::{IngestOptions, Location};
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
    let rest = gather.end();
    if let Rest::Records(found) = &rest {
        records.extend(found.iter().cloned());
    }
    for record in &records {
        decode(decoder.as_mut(), &record.text);
        count += record.text.lines().count();
    }
    let lines = text.lines().count();
    assert!(
        matches!(rest, Rest::Open(_)) || count <= lines,
        "a line came twice"
    );
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

/// Reads the first line as a grok pattern, and the others as lines of this shape.
pub(crate) fn grok(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, lines) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(mut grok) = Grok::new(pattern, []) {
        lines.lines().for_each(|line| decode(&mut grok, line));
    }
}
