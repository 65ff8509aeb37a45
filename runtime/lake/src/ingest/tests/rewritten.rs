//! A file that is rewritten replaces its rows, whatever other files hold and whenever the process dies.

use std::path::PathBuf;

use super::*;

fn replacing(lake: &Lake) -> IngestOptions {
    IngestOptions {
        strict: false,
        replaces: true,
        ..lake.options("t")
    }
}

fn event(n: usize) -> String {
    let day = n % 2 + 1;
    format!("{{\"time\":\"2026-03-0{day}T00:00:00Z\",\"n\":{n}}}")
}

fn lines(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|n| event(n) + "\n").collect()
}

/// Returns the numbers of all events in the table, of those objects that a listing shows.
fn numbers(lake: &Lake) -> Vec<usize> {
    let stored = lake.stored("t");
    let mut found = Vec::new();
    let paths: Vec<String> = stored.files.keys().cloned().collect();
    for (path, (_, batch)) in &stored.files {
        let is_hidden = paths
            .iter()
            .any(|other| crate::earlier_names(&format!("/{other}")).contains(&format!("/{path}")));
        if is_hidden {
            continue;
        }
        let raw = cast(batch.column_by_name(RAW_COLUMN).unwrap(), &DataType::Utf8).unwrap();
        for text in raw.as_string::<i32>().iter().flatten() {
            let value: Value = serde_json::from_str(text).unwrap();
            found.push(usize::try_from(value["n"].as_u64().unwrap()).unwrap());
        }
    }
    found.sort_unstable();
    found
}

fn ingest_all(lake: &Lake, files: &[&PathBuf]) -> IngestReport {
    let files: Vec<PathBuf> = files.iter().map(|file| (*file).clone()).collect();
    lake.run(replacing(lake), &files).unwrap()
}

#[test]
fn rows_of_the_content_before_leave_and_those_of_others_stay() {
    let lake = Lake::new();
    let a = lake.file("a", lines(0..6));
    let b = lake.file("b", lines(10..16));
    ingest_all(&lake, &[&a, &b]);
    let a = lake.file("a", lines([100, 101]));
    let report = ingest_all(&lake, &[&a, &b]);
    assert_eq!(report.replaced.len(), 1, "{report:?}");
    assert!(report.replaced[0].ends_with("/a"), "{report:?}");
    assert_eq!(report.events, 2);
    let of_b: [usize; 6] = [10, 11, 12, 13, 14, 15];
    assert_eq!(numbers(&lake), [&of_b[..], &[100, 101]].concat());
    // Once more, nothing is to be done.
    let report = ingest_all(&lake, &[&a, &b]);
    assert_eq!((report.events, report.replaced.len()), (0, 0));
    // What comes back is there again, under another name.
    let a = lake.file("a", lines(0..6));
    let report = ingest_all(&lake, &[&a]);
    assert_eq!((report.events, report.replaced.len()), (6, 1));
    assert_eq!(numbers(&lake), [&[0, 1, 2, 3, 4, 5][..], &of_b].concat());
    // It may grow, shrink and become empty.
    let a = lake.file("a", lines(0..8));
    assert_eq!(ingest_all(&lake, &[&a]).replaced.len(), 0);
    let a = lake.file("a", lines(0..6));
    assert_eq!(ingest_all(&lake, &[&a]).replaced.len(), 1);
    assert_eq!(numbers(&lake), [&[0, 1, 2, 3, 4, 5][..], &of_b].concat());
    let a = lake.file("a", "");
    assert_eq!(ingest_all(&lake, &[&a]).replaced.len(), 1);
    assert_eq!(numbers(&lake), of_b);
    // Both days of the last file go.
    let b = lake.file("b", lines([200]));
    ingest_all(&lake, &[&b]);
    assert_eq!(numbers(&lake), [200]);
}

#[test]
fn what_another_file_holds_too_stays() {
    let lake = Lake::new();
    let a = lake.file("a", lines(0..3));
    let copy = lake.file("copy", lines(0..3));
    ingest_all(&lake, &[&a, &copy]);
    assert_eq!(numbers(&lake), [0, 1, 2]);
    let a = lake.file("a", lines(5..6));
    let report = ingest_all(&lake, &[&a]);
    assert_eq!(
        (report.replaced.len(), report.kept_for_others.len()),
        (0, 1)
    );
    assert_eq!(numbers(&lake), [0, 1, 2, 5]);
    // As it is when the copy comes together with the rewritten file, which is how logs are rotated.
    let b = lake.file("b", lines(20..22));
    ingest_all(&lake, &[&b]);
    let rotated = lake.file("b.1", lines(20..22));
    let b = lake.file("b", lines(30..31));
    ingest_all(&lake, &[&b, &rotated]);
    assert_eq!(numbers(&lake), [0, 1, 2, 5, 20, 21, 30]);
}

#[test]
fn what_cannot_be_read_whole_replaces_nothing() {
    let lake = Lake::new();
    let a = lake.file("a", lines(0..3));
    ingest_all(&lake, &[&a]);
    let torn: [&[u8]; 3] = [&[0x1f, 0x8b, 8, 0], b"{\"n\":", b"PAR1"];
    for torn in torn {
        let a = lake.file("a", torn);
        let report = ingest_all(&lake, &[&a]);
        assert!(report.replaced.is_empty(), "{torn:?}: {report:?}");
        assert_eq!(numbers(&lake), [0, 1, 2], "{torn:?}");
    }
    // Nor is anything replaced where that is not asked for.
    let lake = Lake::new();
    let options = || IngestOptions {
        replaces: false,
        ..replacing(&lake)
    };
    let a = lake.file("a", lines(0..3));
    lake.run(options(), std::slice::from_ref(&a)).unwrap();
    lake.file("a", lines(5..6));
    lake.run(options(), &[a]).unwrap();
    assert_eq!(numbers(&lake), [0, 1, 2, 5]);
}

/// Returns the files below a folder, with their contents.
fn files_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_of(&path)),
            false => {
                let bytes = std::fs::read(&path).unwrap();
                files.insert(path, bytes);
            }
        }
    }
    files
}

#[test]
fn a_process_that_dies_at_any_step_leaves_the_rest_to_the_next() {
    let lake = Lake::new();
    let table = lake.directory.path().join("lake/t");
    let first = lake.file("a", lines(0..6));
    let other = lake.file("b", lines(10..14));
    ingest_all(&lake, &[&first, &other]);
    let second = lake.file("a", lines(100..102));
    // The new rows are committed, and the process died before the old ones left.
    let committed = IngestOptions {
        replaces: false,
        ..replacing(&lake)
    };
    lake.run(committed, std::slice::from_ref(&second)).unwrap();
    let before = files_of(&table);
    ingest_all(&lake, &[&second]);
    let after = files_of(&table);
    let expected = [10, 11, 12, 13, 100, 101];
    assert_eq!(numbers(&lake), expected);

    let is_data = |path: &Path| path.extension().is_some_and(|of| of == "parquet");
    let written = after
        .iter()
        .filter(|(path, _)| !before.contains_key(*path))
        .map(|(path, bytes)| (path.clone(), bytes.clone()));
    let written: Vec<_> = written.collect();
    let removed: Vec<PathBuf> = before
        .keys()
        .filter(|path| !after.contains_key(*path) && is_data(path))
        .cloned()
        .collect();
    assert_eq!(removed.len(), 2, "an object a day");
    let ledger = written.iter().find(|(path, _)| !is_data(path)).unwrap();
    let text = String::from_utf8(ledger.1.clone()).unwrap();
    let mut pending: String = text
        .lines()
        .filter(|line| !line.starts_with("of "))
        .map(|line| format!("{line}\n"))
        .collect();
    for path in &removed {
        let path = path.strip_prefix(&table).unwrap();
        pending += &format!("in {}\n", path.display());
    }
    let objects: Vec<_> = written.iter().filter(|(path, _)| is_data(path)).collect();
    // So many of the objects are written, of these so many earlier ones removed, and the ledger has it or not.
    for count in 0..=objects.len() {
        for gone in 0..=count {
            for has_line in [false, true] {
                if has_line && gone < objects.len() {
                    continue;
                }
                std::fs::remove_dir_all(&table).unwrap();
                for (path, bytes) in &before {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, bytes).unwrap();
                }
                for (path, bytes) in &objects[..count] {
                    std::fs::write(path, bytes).unwrap();
                }
                for path in &removed[..gone] {
                    std::fs::remove_file(path).unwrap();
                }
                if has_line {
                    std::fs::write(&ledger.0, &ledger.1).unwrap();
                }
                std::fs::write(table.join("_ingested/pending.txt"), &pending).unwrap();
                let report = ingest_all(&lake, &[&second, &other]);
                assert_eq!(report.events, 0, "{count} {gone} {has_line}");
                assert_eq!(numbers(&lake), expected, "{count} {gone} {has_line}");
                assert!(!table.join("_ingested/pending.txt").exists());
                let names: Vec<_> = files_of(&table).into_keys().collect();
                assert!(
                    !names.iter().any(|name| removed.contains(name)),
                    "{count} {gone}: an object that is replaced stays: {names:?}"
                );
            }
        }
    }
    // Nothing was begun: the old rows leave with the next ingest of the file.
    std::fs::remove_dir_all(&table).unwrap();
    for (path, bytes) in &before {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    ingest_all(&lake, &[&second]);
    assert_eq!(numbers(&lake), expected);
}
