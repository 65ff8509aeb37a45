//! What was ingested is known by its content: it comes once, however often, under whatever name and with whatever neighbours.

use std::io::Write;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ingest::known::HEAD;

fn lenient(lake: &Lake) -> IngestOptions {
    IngestOptions {
        strict: false,
        ..lake.options("t")
    }
}

/// Some of them in days that share an object.
fn event(n: usize) -> String {
    let time = match n % 9 {
        4 => json!(format!("19{:02}-05-06T07:08:09Z", n % 80)),
        _ => json!(1_600_000_000 + n * 7_000),
    };
    json!({"time": time, "n": n, "x": "y".repeat(n % 40)}).to_string()
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| event(n) + "\n").collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Checks that the table holds exactly the events with these numbers.
fn holds(lake: &Lake, range: std::ops::Range<usize>) {
    check(&lake.stored("t"), &range.map(event).collect::<Vec<_>>());
}

#[test]
fn an_event_that_was_cut_within_a_character_comes_when_it_is_whole() {
    let lake = Lake::new();
    let text = "{\"time\":\"2026-01-02T03:04:05Z\",\"who\":\"J\u{fc}rg\"}\n";
    let cut = text.find('\u{fc}').unwrap() + 1;
    let path = lake.file("a.ndjson", &text.as_bytes()[..cut]);
    let report = lake
        .run(lenient(&lake), std::slice::from_ref(&path))
        .unwrap();
    assert_eq!((report.events, report.rejected), (0, 0), "{report:?}");
    std::fs::write(&path, text).unwrap();
    let report = lake.run(lenient(&lake), &[path]).unwrap();
    assert_eq!((report.events, report.rejected), (1, 0), "{report:?}");
}

#[test]
fn names_places_and_compression_make_no_other_source() {
    for count in [1, 3, 200] {
        let lake = Lake::new();
        let text = lines(0..count);
        let folder = lake.directory.path().join("in");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("a.ndjson");
        std::fs::write(&path, &text).unwrap();
        let twin = |name: &str, bytes: Vec<u8>| lake.file(name, bytes);
        let files = [
            path.clone(),
            folder.join("../in/./a.ndjson"),
            folder.clone(),
            twin("a.gz", gzip(&text)),
            twin("a.zst", zstd::encode_all(text.as_bytes(), 3).unwrap()),
            twin("bom", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
            twin(
                "utf16",
                text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            ),
            twin("blanks", [text.as_bytes(), b"\n\n"].concat()),
            twin("no-end", text.trim_end().into()),
        ];
        // One after another, and all at once.
        for file in &files {
            lake.run(lenient(&lake), std::slice::from_ref(file))
                .unwrap();
        }
        holds(&lake, 0..count);
        let report = lake.run(lenient(&lake), &files).unwrap();
        assert_eq!(
            (report.events, report.ingested_before.len()),
            (0, files.len())
        );
        let lake = Lake::new();
        let report = lake.run(lenient(&lake), &files).unwrap();
        assert_eq!(report.events, count as u64);
        holds(&lake, 0..count);
    }
}

#[test]
fn a_folder_that_grew_gives_what_is_new() {
    let lake = Lake::new();
    let folder = lake.directory.path().join("in");
    std::fs::create_dir(&folder).unwrap();
    let mut names = Vec::new();
    // New files come between, before and after the others.
    for (day, place) in [5, 2, 9, 1, 7, 8].into_iter().enumerate() {
        std::fs::write(
            folder.join(format!("{place}.ndjson")),
            lines(day * 10..day * 10 + 10),
        )
        .unwrap();
        let report = lake
            .run(lenient(&lake), std::slice::from_ref(&folder))
            .unwrap();
        assert_eq!(
            (report.events, report.files, report.ingested_before.len()),
            (10, 1, day)
        );
        holds(&lake, 0..day * 10 + 10);
        let now: Vec<_> = lake.stored("t").files.into_keys().collect();
        assert!(
            names.iter().all(|name| now.contains(name)),
            "objects stay as they are"
        );
        names = now;
    }
}

#[test]
fn a_file_that_grew_gives_what_is_new() {
    // As lines; as an array that is closed each time; compressed anew, in one piece or by a new member.
    for form in ["lines", "array", "gzip", "members", "envelope"] {
        let lake = Lake::new();
        let mut members = Vec::new();
        for day in 0..6usize {
            let all: Vec<String> = (0..day * 30 + 30).map(event).collect();
            let new = lines(day * 30..day * 30 + 30);
            members.extend(gzip(&new));
            let content = match form {
                "lines" => lines(0..day * 30 + 30).into_bytes(),
                "array" => format!("[{}]", all.join(",\n")).into_bytes(),
                "envelope" => format!("{{\"Records\":[\n{}]}}", all.join(",\n")).into_bytes(),
                "gzip" => gzip(&lines(0..day * 30 + 30)),
                _ => members.clone(),
            };
            let file = lake.file("input", content);
            let report = lake.run(lenient(&lake), &[file]).unwrap();
            assert_eq!(
                (report.events, report.grown.len()),
                (30, usize::from(day > 0)),
                "{form}"
            );
            holds(&lake, 0..day * 30 + 30);
        }
    }
}

#[test]
fn a_line_that_is_being_written_waits_for_its_end() {
    let whole = lines(0..5);
    let second = whole.find('\n').unwrap() + 1;
    for cut in 1..whole.len() {
        let lake = Lake::new();
        let report = lake
            .run(lenient(&lake), &[lake.file("input", &whole[..cut])])
            .unwrap();
        assert_eq!(report.rejected, 0, "{cut}");
        assert!(report.failed.is_empty(), "{report:?}");
        let is_torn = !whole[..cut].ends_with(['\n', '}']);
        assert_eq!(report.incomplete.len(), usize::from(is_torn), "{cut}");
        if cut > second + 3 && is_torn {
            let strict = lake.run(lake.options("u"), &[lake.file("input", &whole[..cut])]);
            assert!(
                matches!(strict, Err(IngestError::Malformed { .. })),
                "{strict:?}"
            );
        }
        lake.run(lenient(&lake), &[lake.file("input", &whole)])
            .unwrap();
        holds(&lake, 0..5);
    }
    // Several events on one line, as Firehose writes them.
    let whole = (0..5).map(event).collect::<String>();
    for cut in 1..whole.len() {
        let lake = Lake::new();
        for end in [cut, whole.len()] {
            lake.run(lenient(&lake), &[lake.file("input", &whole[..end])])
                .unwrap();
        }
        holds(&lake, 0..5);
    }
}

#[test]
fn again_means_again() {
    let lake = Lake::new();
    let file = lake.file("input", lines(0..3));
    for count in 1..4 {
        let options = IngestOptions {
            again: count > 1,
            ..lake.options("t")
        };
        let report = lake.run(options, std::slice::from_ref(&file)).unwrap();
        assert_eq!(report.events, 3);
        assert_eq!(lake.stored("t").rows(), count * 3);
    }
    let report = lake.run(lake.options("t"), &[file]).unwrap();
    assert_eq!(report.events, 0);
}

#[test]
fn an_older_copy_of_a_file_that_grew_is_named() {
    let lake = Lake::new();
    lake.run(lenient(&lake), &[lake.file("new", lines(0..100))])
        .unwrap();
    let old = lake.file("old", lines(0..80));
    assert!(
        lines(0..80).len() > HEAD,
        "the files must be longer than what leads to their entries"
    );
    let report = lake
        .run(lenient(&lake), std::slice::from_ref(&old))
        .unwrap();
    assert_eq!(report.shorter, [old.display().to_string()]);
    // In the order in which they grew nothing is odd.
    let lake = Lake::new();
    for count in [80, 100, 80] {
        let file = lake.file("input", lines(0..count));
        let report = lake.run(lenient(&lake), &[file]).unwrap();
        assert_eq!(report.shorter, [] as [String; 0]);
    }
    holds(&lake, 0..100);
}

#[test]
fn many_small_files_share_objects() {
    let lake = Lake::new();
    let files: Vec<_> = (0..100)
        .map(|n| lake.file(&format!("{n:03}"), event(n)))
        .collect();
    let report = lake.run(lenient(&lake), &files).unwrap();
    assert!(report.written_files < 15, "{}", report.written_files);
    holds(&lake, 0..100);
}

/// Files below the table, and what is in them.
fn files_of(lake: &Lake) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![lake.directory.path().join("lake/t")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

#[test]
fn a_killed_ingest_is_repeated_whatever_its_files_are_by_then() {
    // What a process leaves that dies within the step that writes: any number of its objects, `pending`, and no entries.
    let whole = Lake::new();
    let small = || {
        vec![
            whole.file("a", lines(0..40)),
            whole.file("b", lines(40..60)),
        ]
    };
    whole.run(lenient(&whole), &small()).unwrap();
    let written = files_of(&whole);
    let table = whole.directory.path().join("lake/t");
    let (ledger, others): (Vec<_>, Vec<_>) = written
        .iter()
        .partition(|(path, _)| path.starts_with(table.join("_ingested")));
    let (definition, objects): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|(path, _)| path.ends_with("_table.json") || path.ends_with("_table.lock"));
    assert!(objects.len() > 3);
    let entries = ledger
        .iter()
        .find(|(path, _)| path.ends_with("0000000001.txt"))
        .unwrap();
    let mut pending = String::from("yagura ingested 1\n");
    for (path, _) in &objects {
        pending += &format!("object {}\n", path.strip_prefix(&table).unwrap().display());
    }
    for line in std::str::from_utf8(entries.1).unwrap().lines().skip(1) {
        pending += &format!("from 0 {line}\n");
    }
    for count in 0..=objects.len() {
        for then in ["the same", "a file more between", "one of them", "grown"] {
            let lake = Lake::new();
            let table_here = lake.directory.path().join("lake/t");
            let put = |path: &Path, bytes: &[u8]| {
                let path = table_here.join(path.strip_prefix(&table).unwrap());
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            };
            for (path, bytes) in definition.iter().chain(&objects[..count]) {
                put(path, bytes);
            }
            put(&table.join("_ingested/pending.txt"), pending.as_bytes());
            let (a, b) = (lake.file("a", lines(0..40)), lake.file("b", lines(40..60)));
            let between = lake.file("a2", lines(60..70));
            let (files, end) = match then {
                "the same" => (vec![a, b], 60),
                "a file more between" => (vec![a, between, b], 70),
                // Only one file is there: the other comes later.
                "one of them" => {
                    lake.run(lenient(&lake), std::slice::from_ref(&b)).unwrap();
                    (vec![a, b], 60)
                }
                _ => {
                    std::fs::write(&b, lines(40..70)).unwrap();
                    (vec![b, a], 70)
                }
            };
            lake.run(lenient(&lake), &files).unwrap();
            holds(&lake, 0..end);
            let report = lake.run(lenient(&lake), &files).unwrap();
            assert_eq!(
                (report.events, report.ingested_before.len()),
                (0, files.len())
            );
        }
    }
}

#[test]
fn ingests_at_once_double_nothing() {
    let lake = Lake::new();
    let files: Vec<_> = (0..6)
        .map(|n| lake.file(&format!("{n}"), lines(n * 50..n * 50 + 50)))
        .collect();
    // Each takes all files, in an order of its own, and in chunks of its own.
    let runs = (0..6).map(|run| {
        let mut files = files.clone();
        files.rotate_left(run);
        let options = IngestOptions {
            chunk_events: 20 + run * 30,
            ..lenient(&lake)
        };
        async move { ingest(options, &files, |_| {}).await.unwrap() }
    });
    let reports = block_on(async {
        let tasks: Vec<_> = runs.map(tokio::spawn).collect();
        futures::future::join_all(tasks).await
    });
    let events: u64 = reports
        .into_iter()
        .map(|report| report.unwrap().events)
        .sum();
    assert_eq!(events, 300);
    holds(&lake, 0..300);
}

#[test]
fn the_ledger_stays_small_in_files() {
    let lake = Lake::new();
    for n in 0..70 {
        let file = lake.file("input", lines(n..n + 1));
        lake.run(lenient(&lake), &[file]).unwrap();
    }
    let ledger = lake.directory.path().join("lake/t/_ingested");
    let files = std::fs::read_dir(ledger).unwrap().count();
    assert!(files < 20, "{files}");
    for n in 0..70 {
        let file = lake.file("input", lines(n..n + 1));
        assert_eq!(lake.run(lenient(&lake), &[file]).unwrap().events, 0);
    }
    holds(&lake, 0..70);
}

#[test]
fn a_damaged_ledger_is_named() {
    let lake = Lake::new();
    let file = lake.file("input", lines(0..3));
    lake.run(lenient(&lake), std::slice::from_ref(&file))
        .unwrap();
    let entries = lake
        .directory
        .path()
        .join("lake/t/_ingested/0000000001.txt");
    for wrong in ["", "x", "yagura ingested 1\nx\n"] {
        std::fs::write(&entries, wrong).unwrap();
        let error = lake
            .run(lenient(&lake), std::slice::from_ref(&file))
            .unwrap_err();
        assert!(error.to_string().contains("0000000001.txt"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Files that grow, move, are compressed and come together in random ways hold each event once in the end.
    #[test]
    fn whatever_becomes_of_files_each_event_comes_once(
        steps in prop::collection::vec((0..4usize, 0..30usize, any::<bool>(), 1..40usize, any::<bool>()), 1..12),
    ) {
        let lake = Lake::new();
        let mut lengths = [0usize; 4];
        for (round, (which, more, packed, chunk_events, all)) in steps.into_iter().enumerate() {
            lengths[which] += more;
            let name = |n: usize| format!("{round}-{n}");
            let mut files = Vec::new();
            for (n, length) in lengths.into_iter().enumerate() {
                if n == which || all {
                    let text = lines(n * 1_000..n * 1_000 + length);
                    let bytes = if packed { gzip(&text) } else { text.into_bytes() };
                    files.push(lake.file(&name(n), bytes));
                }
            }
            let options = IngestOptions { chunk_events, ..lenient(&lake) };
            lake.run(options, &files).unwrap();
        }
        let expected: Vec<String> = (0..4).flat_map(|n| (n * 1_000..n * 1_000 + lengths[n]).map(event)).collect();
        check(&lake.stored("t"), &expected);
    }
}
