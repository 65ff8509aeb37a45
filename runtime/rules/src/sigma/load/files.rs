//! Rule files of a folder, each read once, as text.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use yagura_core::diagnostic::{Code, Diagnostic};
use yagura_core::files;

use super::{Load, load_text};

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

/// Returns a file's path without links; of a link that leads nowhere, its own.
pub(super) fn canonical_path(file: &Path) -> Option<PathBuf> {
    let own = || {
        Some(
            fs::canonicalize(file.parent()?)
                .ok()?
                .join(file.file_name()?),
        )
    };
    fs::canonicalize(file).ok().or_else(own)
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

/// Reads the text of a file.
pub(super) fn text_in(file: &Path) -> Result<String, TextError> {
    text_of(files::read(file, files::MOST_TEXT)?)
}

/// Why the text of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum TextError {
    /// Its bytes cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It begins as UTF-16 and goes on otherwise.
    #[error("it is not the UTF-16 that it begins as: save it as UTF-8")]
    Utf16,
    /// It is not UTF-8.
    #[error("line {line} is not UTF-8: save the file as UTF-8")]
    Utf8 {
        /// The first line that is not, from 1.
        line: usize,
    },
}

/// Reads bytes as UTF-8, or as UTF-16 where they begin with its byte order mark.
fn text_of(bytes: Vec<u8>) -> Result<String, TextError> {
    let utf16 = |number: fn([u8; 2]) -> u16| {
        let units = bytes[2..]
            .chunks_exact(2)
            .map(|unit| number([unit[0], unit[1]]));
        char::decode_utf16(units)
            .collect::<Result<String, _>>()
            .map_err(|_| TextError::Utf16)
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => utf16(u16::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(u16::from_be_bytes),
        _ => String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            TextError::Utf8 { line }
        }),
    }
}
