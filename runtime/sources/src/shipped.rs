//! The sources that are part of Yagura: `plugins/sources`.

use std::path::PathBuf;

use include_dir::{Dir, DirEntry, include_dir};

static SOURCES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sources/sources");

/// Returns the name and text of the file of the shipped source of this name.
pub fn shipped(name: &str) -> Option<(PathBuf, &'static str)> {
    files().find_map(|(path, text)| {
        let is_it = path.file_stem().is_some_and(|stem| stem == name);
        is_it.then_some((path, text))
    })
}

/// Returns the names of all shipped sources, in alphabetical order.
pub fn shipped_names() -> Vec<String> {
    let names = files().filter_map(|(path, _)| Some(path.file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn files() -> impl Iterator<Item = (PathBuf, &'static str)> {
    let mut all = Vec::new();
    collect(&SOURCES, &mut all);
    all.into_iter()
}

fn collect(dir: &'static Dir<'static>, all: &mut Vec<(PathBuf, &'static str)>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(below) => collect(below, all),
            DirEntry::File(file) => {
                let is_source = file.path().extension().is_some_and(|of| of == "toml");
                if let (true, Some(text)) = (is_source, file.contents_utf8()) {
                    all.push((file.path().to_owned(), text));
                }
            }
        }
    }
}
