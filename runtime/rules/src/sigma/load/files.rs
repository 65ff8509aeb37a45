//! Rule files of a folder, each read once, as text.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use yagura_core::diagnostic::{Code, Diagnostic};

use super::loaded::Load;
use super::parse::load_text;
use super::text::{canonical_path, text_in};

/// Reads all `.yml` and `.yaml` files below a directory, whatever the case of the ending, or one file. A folder or a file
/// that several paths lead to, by links, is read once.
///
/// # Errors
/// The directory that cannot be listed. A file below it, or a folder, that cannot be read is one of the problems.
pub fn load_dir(path: &Path) -> io::Result<Load> {
    let mut all = Load::default();
    let mut files = Vec::new();
    if path.is_dir() {
        fs::read_dir(path)?;
        let mut folders = BTreeSet::new();
        collect(path, &mut folders, &mut files, &mut all.problems);
    } else {
        fs::metadata(path)?;
        files.push(path.to_owned());
    }
    files.sort();
    let mut seen = BTreeSet::new();
    for file in files {
        let is_new = canonical_path(&file).is_none_or(|path| seen.insert(path));
        if is_new {
            all.extend(load_file(&file));
        }
    }
    let mut load = Load::default();
    load.append(all);
    Ok(load)
}

fn collect(
    folder: &Path,
    folders: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PathBuf>,
    problems: &mut Vec<Diagnostic>,
) {
    // A link may lead to a folder that holds it.
    if fs::canonicalize(folder).is_ok_and(|place| !folders.insert(place)) {
        return;
    }
    let mut entries = Vec::new();
    let listed = fs::read_dir(folder).and_then(|list| {
        for entry in list {
            entries.push(entry?.path());
        }
        Ok(())
    });
    if let Err(error) = listed {
        let message = format!("the folder cannot be listed: {error}; its rules do not run");
        problems.push(Diagnostic::error(Code::UnreadableFile, message).in_file(folder));
    }
    entries.sort();
    for path in entries {
        let is_rule = path.extension().is_some_and(|ending| {
            ending.eq_ignore_ascii_case("yml") || ending.eq_ignore_ascii_case("yaml")
        });
        if path.is_dir() {
            collect(&path, folders, files, problems);
        } else if is_rule {
            files.push(path);
        }
    }
}

/// Reads one file, which may hold several documents.
pub fn load_file(file: &Path) -> Load {
    match text_in(file) {
        Ok(text) => load_text(file, text),
        Err(reason) => {
            let message = format!("cannot be read: {reason}");
            Load {
                problems: vec![Diagnostic::error(Code::UnreadableFile, message).in_file(file)],
                ..Load::default()
            }
        }
    }
}
