//! The words and sentences of documents and messages.
//!
//! `tests/words.toml` lists words that are not used, `docs/contributors/words.md` explains the ones that are. A document has no
//! sentence of more than thirty words.

mod list;
mod sentences;
mod strings;

use std::fs;
use std::path::{Path, PathBuf};

use list::List;

/// The longest sentence of a document, in words.
const LONGEST: usize = 30;

const GLOSSARY: &str = "docs/contributors/words.md";

/// Between these a document names words that are not used.
const OFF: &str = "<!-- words: off -->";
const ON: &str = "<!-- words: on -->";

/// Folders that hold nothing of ours.
const NOT_OURS: [&str; 5] = ["target", ".git", "node_modules", ".venv", "book"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the project's files, with paths relative to its root.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !path.is_dir() {
                files.push(path.strip_prefix(root()).unwrap().to_owned());
            } else if !NOT_OURS.contains(&&*name) && !path.join("CACHEDIR.TAG").exists() {
                folders.push(path);
            }
        }
    }
    files.sort();
    files
}

fn read(file: &Path) -> Option<String> {
    fs::read_to_string(root().join(file)).ok()
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|ext| ext == extension)
}

/// Returns what a reader sees of a file, with everything else blanked, so that lines stay where they are.
fn seen(file: &Path) -> Option<String> {
    let path = file.to_string_lossy().replace('\\', "/");
    let parts: Vec<&str> = path.split('/').collect();
    let shown_whole = has_extension(file, "md")
        || has_extension(file, "wit")
        || path.ends_with("/default.toml")
        || parts.contains(&"templates");
    if shown_whole {
        return read(file).map(|text| without_exceptions(&text));
    }
    let is_source = parts.first() == Some(&"runtime")
        && parts.get(2) == Some(&"src")
        && has_extension(file, "rs");
    let is_test = parts
        .iter()
        .any(|part| ["tests", "tests.rs", "testing.rs"].contains(part));
    if !is_source || is_test {
        return None;
    }
    // Doc comments of the binary are what `--help` prints.
    let help = parts[1] == "yagura";
    Some(strings::literals(&read(file)?, help))
}

/// Returns a text without its lines between [`OFF`] and [`ON`].
fn without_exceptions(text: &str) -> String {
    let mut is_off = false;
    let lines = text.lines().map(|line| {
        is_off = (is_off || line.trim() == OFF) && line.trim() != ON;
        if is_off { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn lines_may_be_excepted() {
    let text = format!("one\n{OFF}\ntwo\n{ON}\nthree");
    assert_eq!(without_exceptions(&text), format!("one\n\n\n{ON}\nthree"));
}

#[test]
fn documents_and_messages_use_the_words_of_the_field() {
    let list = List::read(&root().join("tests/words.toml"));
    let mut found = Vec::new();
    let mut looked_at = 0;
    for file in files() {
        let Some(text) = seen(&file) else { continue };
        looked_at += 1;
        for hit in list.find(&text) {
            let (line, word, instead) = (hit.line, hit.word, hit.instead);
            found.push(format!("{}:{line}: \"{word}\": {instead}", file.display()));
        }
    }
    assert!(looked_at > 300, "only {looked_at} files were looked at");
    assert!(
        found.is_empty(),
        "{} words of which {GLOSSARY} names a better one:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn no_sentence_of_a_document_is_longer_than_thirty_words() {
    let mut found = Vec::new();
    let mut looked_at = 0;
    for file in files() {
        if !has_extension(&file, "md") {
            continue;
        }
        looked_at += 1;
        for sentence in sentences::of_document(&read(&file).unwrap()) {
            if sentence.words > LONGEST {
                let (line, words) = (sentence.line, sentence.words);
                let begin: String = sentence.text.chars().take(70).collect();
                found.push(format!(
                    "{}:{line}: {words} words: {begin}…",
                    file.display()
                ));
            }
        }
    }
    assert!(looked_at > 20, "only {looked_at} documents were looked at");
    assert!(
        found.is_empty(),
        "{} sentences of more than {LONGEST} words, to be split:\n{}",
        found.len(),
        found.join("\n")
    );
}
