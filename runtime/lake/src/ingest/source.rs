//! Files to bytes: directories opened up, compression taken off, the form guessed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::event::members;
use super::{Format, IngestError};

/// How many bytes are looked at to tell NDJSON from JSON.
const PEEK: u64 = 256 * 1024;

/// Lists the files, in place of each directory every file below it, sorted. `-` stays and means standard input.
pub(crate) fn expand(files: &[PathBuf]) -> Result<Vec<PathBuf>, IngestError> {
    let mut found = Vec::new();
    for file in files {
        if file == Path::new("-") {
            found.push(file.clone());
        } else {
            let mut seen = HashSet::new();
            walk(file, &mut seen, &mut found).map_err(|(file, source)| IngestError::Open {
                file: file.display().to_string(),
                source,
            })?;
        }
    }
    Ok(found)
}

fn walk(
    path: &Path,
    seen: &mut HashSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let blame = |error| (path.to_owned(), error);
    if !path.metadata().map_err(blame)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    // A symbolic link may lead back up.
    if !seen.insert(path.canonicalize().map_err(blame)?) {
        return Ok(());
    }
    let entries: io::Result<Vec<PathBuf>> = path
        .read_dir()
        .map_err(blame)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut entries = entries.map_err(blame)?;
    entries.sort();
    for entry in entries {
        walk(&entry, seen, found)?;
    }
    Ok(())
}

/// Returns the bytes on disk of the files, or nothing if one has no length.
pub(crate) fn total_bytes(files: &[PathBuf]) -> Option<u64> {
    let length = |file: &PathBuf| {
        file.metadata()
            .ok()
            .filter(|m| m.is_file())
            .map(|m| m.len())
    };
    files.iter().map(length).sum()
}

/// An opened file: decompressed bytes and their form.
pub(crate) struct Source {
    pub(crate) bytes: Box<dyn BufRead>,
    pub(crate) format: Format,
}

impl Source {
    /// Opens a file, or standard input for `-`; `read` counts the bytes taken from it, still compressed.
    pub(crate) fn open(
        path: &Path,
        format: Format,
        read: Arc<AtomicU64>,
    ) -> Result<Self, IngestError> {
        let name = path.display().to_string();
        let unreadable = |source| IngestError::Read {
            file: name.clone(),
            line: 0,
            source,
        };
        let inner: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            let file = File::open(path).map_err(|source| IngestError::Open {
                file: name.clone(),
                source,
            })?;
            Box::new(file)
        };
        let counted = BufReader::with_capacity(128 * 1024, Counted { inner, read });
        let (magic, whole) = peeked(counted, 6).map_err(unreadable)?;
        let plain: Box<dyn BufRead> = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(
                128 * 1024,
                MultiGzDecoder::new(whole),
            )),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let decoder = zstd::Decoder::with_buffer(whole).map_err(unreadable)?;
                Box::new(BufReader::with_capacity(128 * 1024, decoder))
            }
            other => match foreign(other) {
                Some(found) => return Err(IngestError::Unsupported { file: name, found }),
                None => Box::new(whole),
            },
        };
        let (start, mut bytes) = peeked(plain, PEEK).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => IngestError::Truncated {
                file: name.clone(),
                line: 0,
            },
            _ => unreadable(source),
        })?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(IngestError::Unsupported {
                file: name,
                found: "UTF-16 text",
            });
        }
        let start = match start.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => {
                bytes.consume(3);
                rest
            }
            None => &start,
        };
        let format = match format {
            Format::Auto => guess(start),
            given => given,
        };
        Ok(Self {
            bytes: Box::new(bytes),
            format,
        })
    }
}

/// A reader with its first bytes put back.
type Peeked<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// Takes up to `limit` bytes and returns them with a reader of everything.
fn peeked<R: BufRead>(mut reader: R, limit: u64) -> io::Result<(Vec<u8>, Peeked<R>)> {
    let mut start = Vec::new();
    // A fault behind the start is met again where the events around it are known.
    match (&mut reader).take(limit).read_to_end(&mut start) {
        Err(error) if start.is_empty() => return Err(error),
        _ => {}
    }
    let whole = Cursor::new(start.clone()).chain(reader);
    Ok((start, whole))
}

/// Names other kinds of files that logs are often given as.
fn foreign(start: &[u8]) -> Option<&'static str> {
    match start {
        [b'P', b'K', 3, 4, ..] => Some("a zip archive"),
        [b'B', b'Z', b'h', ..] => Some("compressed with bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Some("compressed with xz"),
        [b'P', b'A', b'R', b'1', ..] => Some("Parquet, which needs no ingest"),
        [b'E', b'l', b'f', b'F', b'i', b'l'] => Some("a Windows event log"),
        [b'O', b'b', b'j', 1, ..] => Some("Avro"),
        _ => None,
    }
}

/// Tells lines of events from JSON that spans lines. A single object on its first line may be either, and is read as
/// JSON only where it is too long to be looked at whole.
fn guess(start: &[u8]) -> Format {
    let start = start.trim_ascii_start();
    match start {
        [b'{', ..] => {}
        // Text logs may begin with a bracket too.
        [b'[', rest @ ..] if matches!(rest.trim_ascii_start(), [] | [b'{' | b']', ..]) => {
            return Format::Json;
        }
        _ => return Format::Ndjson,
    }
    let first = start.split(|byte| *byte == b'\n').next().unwrap_or(start);
    let parsed = std::str::from_utf8(first).map(members);
    match parsed {
        Ok(Err(error)) if error.is_eof() => Format::Json,
        _ => Format::Ndjson,
    }
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn forms_are_told_apart() {
        for (text, format) in [
            ("{\"a\":1}\n{\"a\":2}\n", Format::Ndjson),
            ("{\"a\":1}", Format::Ndjson),
            ("\n\n  {\"a\":1}\r\n", Format::Ndjson),
            ("{\"a\":tru}\n", Format::Ndjson),
            ("Jan 1 host sshd", Format::Ndjson),
            ("[2020-01-01] started", Format::Ndjson),
            ("[]", Format::Json),
            ("", Format::Ndjson),
            ("{\n  \"a\": 1\n}\n", Format::Json),
            (" [\n{\"a\":1}]", Format::Json),
            ("{\"Records\":[{\"a\"", Format::Json),
        ] {
            assert_eq!(guess(text.as_bytes()), format, "{text}");
        }
    }

    #[test]
    fn compression_is_seen_by_content() {
        let directory = tempfile::tempdir().unwrap();
        let text = b"{\"a\":1}\n";
        let gzip = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let members = [gzip(text), gzip(text)].concat();
        let doubled = text.repeat(2);
        for (name, content, expected) in [
            ("plain.gz", text.to_vec(), text.as_slice()),
            ("members", members, &doubled),
            ("zstd", zstd::encode_all(text.as_slice(), 3).unwrap(), text),
            ("bom", [b"\xef\xbb\xbf", text.as_slice()].concat(), text),
            ("empty", Vec::new(), b""),
        ] {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            let mut source = Source::open(&path, Format::Auto, Default::default()).unwrap();
            let mut bytes = Vec::new();
            source.bytes.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, expected, "{name}");
        }
        for (content, found) in [
            (b"PK\x03\x04zip".as_slice(), "zip"),
            (b"\xff\xfe{\x00", "UTF-16"),
        ] {
            let path = directory.path().join("foreign");
            std::fs::write(&path, content).unwrap();
            let error = Source::open(&path, Format::Auto, Default::default())
                .err()
                .unwrap();
            assert!(error.to_string().contains(found), "{error}");
        }
    }

    #[test]
    fn directories_are_walked_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("b/c")).unwrap();
        for name in ["z", "a", "b/2", "b/1", "b/c/3"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("b/c/loop")).unwrap();
        let found = expand(&[root.to_owned(), PathBuf::from("-")]).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(root).unwrap_or(path).to_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "b/1", "b/2", "b/c/3", "z", "-"]);
        let error = expand(&[root.join("nothing")]).unwrap_err();
        assert!(error.to_string().contains("nothing"), "{error}");
    }
}
