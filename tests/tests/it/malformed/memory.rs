//! How much memory `yagura ingest` takes of what is made to cost it: lines of 100 MB, bombs, and files without any event.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use flate2::Compression;
use flate2::write::GzEncoder;
use yagura_tests::command::binary;
use yagura_tests::malformed::{Packing, forms, mark, nested, pack};

const MIB: u64 = 1 << 20;
/// What a line of 100 MB may cost: the line, its event, a few copies on their way into the table, and the program.
const OF_A_LINE: u64 = 1_000 * MIB;
/// What an ingest may cost whose lines are short.
const USUAL: u64 = 600 * MIB;

/// What a process printed, and the most memory that it had, in bytes.
struct Ran {
    text: String,
    code: Option<i32>,
    peak: u64,
}

/// Ingests a file by the real binary, and watches its memory.
fn ingest(dir: &Path, format: Option<&str>, file: &Path) -> Ran {
    let output = dir.join("output");
    let printed = File::create(&output).unwrap();
    let mut command = Command::new(binary());
    command
        .args(["ingest", "--table", "t", "--to"])
        .arg(dir.join("lake"))
        .args(format.map(|format| format!("--format={format}")))
        .arg(file)
        .env_remove("YAGURA_LOG")
        .stdin(Stdio::null())
        .stdout(printed.try_clone().unwrap())
        .stderr(printed);
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        // The kernel keeps the greatest value, so that only what comes after the last look is missed.
        if let Ok(text) = fs::read_to_string(&status) {
            peak = peak.max(high_water(&text));
        }
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(peak > 0, "{status} says nothing of memory");
    Ran {
        text: fs::read_to_string(&output).unwrap(),
        code: ended.code(),
        peak,
    }
}

fn high_water(status: &str) -> u64 {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

impl Ran {
    /// Checks that it ended by itself, without a panic, and within its memory.
    fn check(&self, what: &str, most: u64) {
        assert!(
            matches!(self.code, Some(0 | 3)),
            "{what}: {:?} {}",
            self.code,
            self.text
        );
        assert!(!self.text.contains("panicked"), "{what}: {}", self.text);
        let mib = self.peak / MIB;
        println!("{what}: {mib} MiB");
        assert!(
            self.peak <= most,
            "{what} took {mib} MiB of {} MiB",
            most / MIB
        );
    }

    /// Returns how many events and rejected lines it says that there are.
    fn counts(&self) -> (u64, u64) {
        let number = |words: &str| {
            let text = words.split_whitespace().next_back().unwrap_or_default();
            text.replace(',', "").parse().ok()
        };
        let before = |what: &str| {
            let (before, _) = self.text.split_once(what)?;
            number(before)
        };
        let events = before(" events from").or_else(|| before(" event from"));
        let rejected = before(" lines are not events").or_else(|| before(" line is not an event"));
        (events.unwrap_or(0), rejected.unwrap_or(0))
    }
}

#[test]
fn a_line_of_100_mb_is_a_row_or_rejected_and_hides_no_other() {
    let filler = "x".repeat(100_000_000);
    for form in forms() {
        let Some(text) = form.text() else {
            continue;
        };
        let dir = tempfile::tempdir().unwrap();
        let [before, behind] = text.long;
        let long = format!("{before}{filler}{behind}");
        let path = dir.path().join("in-long");
        fs::write(&path, &text.around(0, &long).bytes).unwrap();
        drop(long);
        let ran = ingest(dir.path(), Some(form.name), &path);
        ran.check(form.name, OF_A_LINE);
        let (events, rejected) = ran.counts();
        assert_eq!(events + rejected, 3, "{}: {}", form.name, ran.text);
        if rejected > 0 {
            assert!(ran.text.contains("in-long`, line "), "{}", ran.text);
        }
    }
}

#[test]
fn bombs_cost_time_and_no_memory() {
    // A gigabyte of one letter: a line that is longer than an event may be.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in-bomb");
    let unit = vec![b'a'; Packing::UNIT];
    for packing in Packing::ALL {
        // Parts one after another, where the form allows it; archives have one member.
        let bomb = match packing {
            Packing::Tar => pack(Packing::Gzip, &pack(Packing::Tar, &unit.repeat(320))),
            Packing::Zip => pack(Packing::Zip, &unit.repeat(320)),
            _ => pack(packing, &unit).repeat(1_024),
        };
        assert!(bomb.len() < 16 << 20, "{packing:?}: {}", bomb.len());
        fs::write(&path, &bomb).unwrap();
        let ran = ingest(dir.path(), Some("ndjson"), &path);
        ran.check(&format!("{packing:?} bomb"), USUAL);
        assert!(ran.text.contains("in-bomb"), "{packing:?}: {}", ran.text);
    }
    // The same within itself.
    for packing in Packing::ALL {
        fs::write(&path, nested(packing, 3, &unit.repeat(64))).unwrap();
        let ran = ingest(dir.path(), None, &path);
        ran.check(&format!("{packing:?} in itself"), USUAL);
        assert!(ran.text.contains("in-bomb"), "{packing:?}: {}", ran.text);
    }
}

#[test]
fn lines_that_are_no_events_do_not_gather_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in-lines");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    for number in 0..4_000_000 {
        writeln!(
            file,
            "this line is no event, and there are many of them: {number:9}"
        )
        .unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
    let ran = ingest(dir.path(), Some("ndjson"), &path);
    ran.check("4,000,000 lines that are no events", USUAL);
    assert_eq!(ran.counts(), (0, 4_000_000), "{}", ran.text);
}

#[test]
fn a_line_of_many_small_events_needs_no_more_than_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in-small.gz");
    for (what, start, event, end, events) in [
        ("one after another", "", "{}", "\n", 10_000_000),
        ("an array", "[", "{},", "{}]\n", 10_000_001),
        ("an envelope", "{\"Records\":[", "{},", "{}]}\n", 10_000_001),
    ] {
        let mut encoder = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        encoder.write_all(start.as_bytes()).unwrap();
        let thousand = event.repeat(1_000);
        for _ in 0..10_000 {
            encoder.write_all(thousand.as_bytes()).unwrap();
        }
        encoder.write_all(end.as_bytes()).unwrap();
        encoder.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ran = ingest(dir.path(), Some("ndjson"), &path);
        ran.check(what, USUAL);
        assert_eq!(ran.counts(), (events, 0), "{what}: {}", ran.text);
    }
}

/// Returns the number of rows of all objects below a folder.
fn rows_below(dir: &Path) -> i64 {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let rows = |path: std::path::PathBuf| {
        if path.is_dir() {
            return rows_below(&path);
        }
        if path
            .extension()
            .is_none_or(|extension| extension != "parquet")
        {
            return 0;
        }
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        reader.metadata().file_metadata().num_rows()
    };
    entries.map(rows).sum()
}

#[test]
fn a_line_that_is_cut_by_kills_gives_each_event_once() {
    const EVENTS: i64 = 400_000;
    let event = |number: i64| format!("{{\"n\":{number}}}");
    let joined = |range: std::ops::Range<i64>, between: &str| {
        range.map(event).collect::<Vec<_>>().join(between)
    };
    for (what, line) in [
        ("one after another", joined(0..EVENTS, "")),
        ("an array", format!("[{}]", joined(0..EVENTS, " , "))),
        (
            "envelopes",
            format!(
                "{{\"Records\":[{}],\"nextToken\":\"t\"}}{{\"Records\":[{}]}}",
                joined(0..EVENTS / 2, ","),
                joined(EVENTS / 2..EVENTS, ",")
            ),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in-long");
        fs::write(&path, line + "\n").unwrap();
        let lake = dir.path().join("lake");
        let command = || {
            let mut command = Command::new(binary());
            command.args(["ingest", "--table", "t", "--format", "ndjson", "--to"]);
            command.arg(&lake).arg(&path);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let mut parts = 0;
        for kill in 0.. {
            let mut child = command().spawn().unwrap();
            std::thread::sleep(Duration::from_millis(150 + 137 * (kill % 5)));
            let ended = child.try_wait().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            let rows = if lake.join("t").exists() {
                rows_below(&lake)
            } else {
                0
            };
            parts += usize::from(ended.is_none() && rows > 0 && rows < EVENTS);
            if ended.is_some() || kill > 60 {
                break;
            }
        }
        assert!(command().status().unwrap().success());
        assert_eq!(rows_below(&lake), EVENTS, "{what}");
        assert!(parts > 0, "{what}: no kill came while the line was read");
    }
}

#[test]
fn an_event_of_many_keys_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in-keys");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    write!(file, "{{\"user\":\"{}\"", mark(0, 0)).unwrap();
    for number in 0..5_000_000 {
        write!(file, ",\"k{number}\":0").unwrap();
    }
    writeln!(file, "}}\n{{\"user\":\"{}\"}}", mark(0, 1)).unwrap();
    file.into_inner().unwrap().sync_all().unwrap();
    let ran = ingest(dir.path(), Some("ndjson"), &path);
    ran.check("an event of 5,000,000 keys", OF_A_LINE);
    let (events, rejected) = ran.counts();
    assert_eq!(events + rejected, 2, "{}", ran.text);
}
