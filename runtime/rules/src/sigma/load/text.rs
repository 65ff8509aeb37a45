//! The text of a file.

use std::path::{Path, PathBuf};
use std::{fs, io};

use yagura_core::files;

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
