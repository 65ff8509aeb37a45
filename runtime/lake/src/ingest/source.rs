//! Files to bytes: directories opened up, compression and encodings taken off, the form guessed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use yagura_core::json::{Cursor, Kind};
use yagura_formats::{Avro, Evtx, LineFormat, XmlRecords};

use super::archive::in_a_file;
use super::avro;
use super::kinds::{Other, bare, foreign, without_json};
use super::rows::{self, Rows};
use super::unpack::{Ahead, Packing, Unpacked, Utf16, utf16};
use super::{Format, IngestError};
use crate::definition::DEFINITION_OBJECT;
use crate::names::of_path;

/// How many bytes are looked at to tell NDJSON from JSON.
const PEEK: usize = 256 * 1024;
const BUFFER: usize = 128 * 1024;
/// How often a file may be compressed: a gzip file in a gzip file happens on the way over HTTP.
const DEEPEST_PACKING: usize = 3;

/// What is to be read.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<Listed>,
    /// Files of folders that are passed over without a look into them, and why.
    pub(crate) passed_over: Vec<(String, &'static str)>,
    pub(crate) failed: Vec<IngestError>,
}

/// A file, or standard input as `-`.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) path: PathBuf,
    /// Whether a folder that holds it was given, not the file itself.
    pub(crate) is_from_folder: bool,
}

/// Lists the files, in place of each directory every file below it, sorted. `-` stays and means standard input. In folders
/// hidden files, and what is neither file nor folder, are passed over.
pub(crate) fn expand(files: &[PathBuf]) -> Listing {
    let mut listing = Listing::default();
    for file in files {
        if file == Path::new("-") {
            listing.files.push(Listed {
                path: file.clone(),
                is_from_folder: false,
            });
        } else {
            walk(file, false, &mut HashSet::new(), &mut listing);
        }
    }
    listing
}

fn walk(path: &Path, is_from_folder: bool, seen: &mut HashSet<PathBuf>, listing: &mut Listing) {
    let name = || of_path(path);
    let listed = (|| {
        let metadata = path.metadata()?;
        if !metadata.is_dir() {
            return Ok((metadata.is_file(), None));
        }
        // A symbolic link may lead back up.
        if !seen.insert(path.canonicalize()?) {
            return Ok((false, Some(Vec::new())));
        }
        let entries: io::Result<Vec<PathBuf>> = path
            .read_dir()?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect();
        Ok((false, Some(entries?)))
    })();
    let (is_file, entries) = match listed {
        Ok(found) => found,
        Err(source) => {
            listing.failed.push(IngestError::Open {
                file: name(),
                source,
            });
            return;
        }
    };
    if let Some(entries) = &entries
        && entries
            .iter()
            .any(|entry| entry.ends_with(DEFINITION_OBJECT))
    {
        listing.passed_over.push((name(), "a table of a lake"));
        return;
    }
    match entries {
        None if is_file || !is_from_folder => listing.files.push(Listed {
            path: path.to_owned(),
            is_from_folder,
        }),
        None => listing
            .passed_over
            .push((name(), "neither a file nor a folder")),
        Some(mut entries) => {
            entries.sort();
            for entry in entries {
                let file_name = entry.file_name().unwrap_or_default();
                if file_name.as_encoded_bytes().starts_with(b".") {
                    listing.passed_over.push((of_path(&entry), "hidden"));
                } else {
                    walk(&entry, true, seen, listing);
                }
            }
        }
    }
}

/// Returns the bytes on disk of the files, or nothing if one has no length.
pub(crate) fn total_bytes(files: &[Listed]) -> Option<u64> {
    let length = |file: &Listed| {
        file.path
            .metadata()
            .ok()
            .filter(|m| m.is_file())
            .map(|m| m.len())
    };
    files.iter().map(length).sum()
}

/// Something that can be read from its start.
pub(crate) enum Input {
    /// A file or, as `-`, standard input.
    Path(PathBuf),
    /// What was copied from something that can be read once only.
    Copy(File),
}

impl Input {
    /// Says whether it can be read again.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Copy(_) => true,
            Self::Path(path) => path.metadata().is_ok_and(|metadata| metadata.is_file()),
        }
    }

    /// Returns the bytes on disk, or 0 if they are not known.
    pub(crate) fn size(&self) -> u64 {
        let metadata = match self {
            Self::Path(path) => path.metadata(),
            Self::Copy(file) => file.metadata(),
        };
        metadata.map_or(0, |metadata| metadata.len())
    }

    /// Returns the file if Parquet lies in it uncompressed: its reader begins at the end.
    fn file_of_rows(&self) -> Option<File> {
        let mut file = match self {
            Self::Path(path) if path != Path::new("-") => File::open(path).ok()?,
            Self::Path(_) => return None,
            Self::Copy(file) => file.try_clone().ok()?,
        };
        let mut start = [0; 4];
        file.rewind().ok()?;
        file.read_exact(&mut start).ok()?;
        (start == rows::MAGIC).then_some(file)
    }

    /// Returns the same input once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Path(path) => Self::Path(path.clone()),
            Self::Copy(file) => Self::Copy(file.try_clone()?),
        })
    }

    fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Path(path) if path == Path::new("-") => Box::new(io::stdin()),
            Self::Path(path) => Box::new(File::open(path)?),
            Self::Copy(file) => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                Box::new(file)
            }
        })
    }
}

/// An opened file: decompressed bytes and their form.
pub(crate) struct Source {
    pub(crate) bytes: Ahead<Box<dyn BufRead>>,
    pub(crate) format: Format,
    /// Whether the bytes are lines that were made of something else: a line `<?damaged …?>` is a part that could not be read.
    pub(crate) is_converted: bool,
    /// Bytes behind the compressed data that were passed over, as far as it was read.
    pub(crate) trailing: Arc<AtomicU64>,
}

/// What a file is expected to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub(crate) format: Format,
    /// Of XML, the elements that are events, as names from the outermost on.
    pub(crate) paths: Vec<Vec<String>>,
    /// Elements beside those that are events of their own.
    pub(crate) apart: Vec<Vec<String>>,
    /// The longest event, in bytes.
    pub(crate) limit: usize,
}

impl Source {
    /// Opens an input; `read` counts the bytes taken from it, still compressed.
    pub(crate) fn open(
        input: &Input,
        name: &str,
        shape: Shape,
        read: Arc<AtomicU64>,
    ) -> Result<Self, IngestError> {
        let unreadable = |source| unreadable(source, name);
        let trailing = Arc::default();
        let mut bytes = unpacked(input, name, read, &trailing)?;
        let has_rows = bytes.peek(4).map_err(unreadable)?.starts_with(rows::MAGIC);
        if has_rows {
            let file = match input.file_of_rows() {
                Some(file) => file,
                None => in_a_file(&mut bytes, input.size()).map_err(unreadable)?,
            };
            let rows = Rows::open(file).map_err(unreadable)?;
            bytes = Ahead::new(Box::new(BufReader::with_capacity(BUFFER, rows)));
        }
        if Evtx::<&[u8]>::is_start(bytes.peek(8).map_err(unreadable)?) {
            bytes = Ahead::new(Box::new(BufReader::with_capacity(BUFFER, Evtx::new(bytes))));
        }
        let has_avro = Avro::<&[u8]>::is_start(bytes.peek(4).map_err(unreadable)?);
        if has_avro {
            let records = Avro::new(bytes, &avro::CODECS, avro::unpack);
            bytes = Ahead::new(Box::new(BufReader::with_capacity(BUFFER, records)));
        }
        let not_read = |other: Other| IngestError::Unsupported {
            file: name.to_owned(),
            found: other.found,
            next: other.next,
        };
        let start = bytes.peek(512).map_err(unreadable)?;
        if let Some(other) = foreign(start) {
            return Err(not_read(other));
        }
        if let Some(is_big_endian) = utf16(start) {
            let decoded = BufReader::with_capacity(BUFFER, Utf16::new(bytes, is_big_endian));
            bytes = Ahead::new(Box::new(decoded));
        }
        if bytes
            .peek(3)
            .map_err(unreadable)?
            .starts_with(b"\xef\xbb\xbf")
        {
            bytes.consume(3);
        }
        let has_xml = shape.format == Format::Lines(LineFormat::Xml);
        if has_xml {
            let records = XmlRecords::new(bytes, shape.paths, shape.apart, shape.limit);
            bytes = Ahead::new(Box::new(BufReader::with_capacity(BUFFER, records)));
        }
        let is_converted = has_rows || has_avro || has_xml;
        let start = bytes.peek(PEEK).map_err(unreadable)?;
        let format = match shape.format {
            _ if has_avro || has_xml => Format::Ndjson,
            Format::Auto if has_rows => Format::Ndjson,
            Format::Auto => match (LineFormat::detect(start), without_json(start)) {
                (Some(lines), _) => Format::Lines(lines),
                (None, Some(other)) => return Err(not_read(other)),
                (None, None) => guess(start),
            },
            given => given,
        };
        Ok(Self {
            bytes,
            format,
            is_converted,
            trailing,
        })
    }
}

fn unreadable(source: io::Error, name: &str) -> IngestError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => IngestError::Truncated {
            file: name.to_owned(),
            line: 0,
        },
        _ => IngestError::Read {
            file: name.to_owned(),
            line: 0,
            source,
        },
    }
}

/// Opens an input and takes its compression off.
pub(crate) fn unpacked(
    input: &Input,
    name: &str,
    read: Arc<AtomicU64>,
    trailing: &Arc<AtomicU64>,
) -> Result<Ahead<Box<dyn BufRead>>, IngestError> {
    let unreadable = |source| unreadable(source, name);
    let inner = input.open().map_err(|source| IngestError::Open {
        file: name.to_owned(),
        source,
    })?;
    let counted: Box<dyn BufRead> =
        Box::new(BufReader::with_capacity(BUFFER, Counted { inner, read }));
    let mut bytes = Ahead::new(counted);
    for _ in 0..DEEPEST_PACKING {
        let Some(packing) = Packing::of(bytes.peek(4).map_err(unreadable)?) else {
            break;
        };
        let unpacked = Unpacked::new(packing, bytes, Arc::clone(trailing));
        let unpacked = BufReader::with_capacity(BUFFER, unpacked.map_err(unreadable)?);
        bytes = Ahead::new(Box::new(unpacked));
    }
    Ok(bytes)
}

/// Distinguishes lines of events from JSON that spans lines. A single object on its first line may be either, and is read as
/// JSON only where it is too long to be looked at whole. A first line that is torn does not hide that lines of events follow.
fn guess(start: &[u8]) -> Format {
    let start = bare_start(start);
    match start {
        [b'{', ..] => {}
        // Text logs may begin with a bracket too.
        [b'[', rest @ ..] if matches!(rest.trim_ascii_start(), [] | [b'{' | b']', ..]) => {
            return Format::Json;
        }
        _ => return Format::Ndjson,
    }
    // Events one after another without an end of line, as Firehose writes them, need not be in memory together.
    if start.len() > PEEK / 2 && !start.contains(&b'\n') {
        return Format::Json;
    }
    let mut lines = start.split(|byte| *byte == b'\n');
    let first = bare(lines.next().unwrap_or(start));
    if !is_open(first) {
        return Format::Ndjson;
    }
    let goes_on = matches!(first.last(), Some(b'{' | b'[' | b',' | b':'));
    let next = lines.find(|line| !bare(line).is_empty());
    match next {
        Some([b'{', rest @ ..]) if !goes_on && bare(rest).ends_with(b"}") => {
            match is_open(bare(next.unwrap_or_default())) {
                true => Format::Json,
                false => Format::Ndjson,
            }
        }
        _ => Format::Json,
    }
}

/// Says whether the value that a line begins with is not closed in it.
fn is_open(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let mut cursor = Cursor::new(&text);
    // A value that is broken in another way is one wrong line.
    matches!(cursor.kind(), Ok(Kind::Object))
        && cursor
            .take()
            .is_err_and(|error| error.reason.contains("not closed"))
}

/// Returns the bytes from the first that means something.
fn bare_start(start: &[u8]) -> &[u8] {
    let line_end = |from: &[u8]| from.iter().position(|byte| *byte == b'\n');
    let mut start = start;
    loop {
        let line = &start[..line_end(start).unwrap_or(start.len())];
        let bare = bare(line);
        if !bare.is_empty() || line.len() == start.len() {
            let at = bare.as_ptr() as usize - start.as_ptr() as usize;
            return start.get(at..).unwrap_or_default();
        }
        start = &start[line.len() + 1..];
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
            ("\0\0\0 {\"a\":1}\n", Format::Ndjson),
            ("\u{1e}{\"a\":1}\n\u{1e}{\"a\":2}\n", Format::Ndjson),
            ("{\"a\":1\n{\"a\":2}\n", Format::Ndjson),
            ("{\"a\":\"x\n{\"a\":2}\n", Format::Ndjson),
            ("{\"a\":1,\n\"b\":{\n}}", Format::Json),
            ("{\"Records\":[\n{\"a\":1}\n]}", Format::Json),
            ("{\"a\":1}{\"a\":2}", Format::Ndjson),
            ("{\"Records\":[{\"a\"", Format::Json),
        ] {
            assert_eq!(guess(text.as_bytes()), format, "{text}");
        }
    }

    fn open(path: &Path) -> Result<Source, IngestError> {
        let input = Input::Path(path.to_owned());
        Source::open(&input, "x", Shape::default(), Arc::default())
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
            ("twice", gzip(&gzip(text)), text),
            (
                "utf16-le",
                b"\xff\xfe{\0\"\0a\0\"\0:\x001\0}\0\n\0".to_vec(),
                text,
            ),
            ("utf16-be", b"\0{\0\"\0a\0\"\0:\x001\0}\0\n".to_vec(), text),
        ] {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            let mut source = open(&path).unwrap();
            let mut bytes = Vec::new();
            source.bytes.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, expected, "{name}");
        }
        for (content, found) in [
            (b"7z\xbc\xaf\x27\x1c".as_slice(), "a 7-Zip archive: extract"),
            (b"\xff\xfe\0\0{\0\0\0", "UTF-32 text: convert"),
            (&gzip(b"Rar!\x1a\x07"), "a RAR archive"),
        ] {
            let path = directory.path().join("foreign");
            std::fs::write(&path, content).unwrap();
            let error = open(&path).err().unwrap();
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
        std::fs::write(root.join(".hidden"), "").unwrap();
        std::fs::create_dir(root.join(".git")).unwrap();
        std::fs::create_dir(root.join("table")).unwrap();
        std::fs::write(root.join("table/_table.json"), "{}").unwrap();
        let listing = expand(&[root.to_owned(), PathBuf::from("-"), root.join(".hidden")]);
        let names: Vec<_> = listing
            .files
            .iter()
            .map(|file| {
                file.path
                    .strip_prefix(root)
                    .unwrap_or(&file.path)
                    .to_str()
                    .unwrap()
            })
            .collect();
        assert_eq!(names, ["a", "b/1", "b/2", "b/c/3", "z", "-", ".hidden"]);
        assert_eq!(listing.passed_over.len(), 3);
        let error = &expand(&[root.join("nothing")]).failed[0];
        assert!(error.to_string().contains("nothing"), "{error}");
    }
}
