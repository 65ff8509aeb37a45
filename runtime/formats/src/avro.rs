//! Avro object container files: their records as lines of JSON.
//!
//! ```text
//! file   = "Obj" %x01 meta sync *block       meta = map of bytes: "avro.schema", "avro.codec"; sync = 16 random bytes
//! block  = count size data sync              data = count records, compressed as one by the codec
//! ```
//!
//! A file is read by its own schema, so a table can be written by files of several versions of a schema: the names of fields decide.
//!
//! | Avro | JSON |
//! |---|---|
//! | record, map | an object; a value at the top that is neither is the member `value` |
//! | union | the value that it holds |
//! | enum | its name |
//! | bytes, fixed | hexadecimal digits |
//! | `NaN`, infinite numbers | text |
//! | `date`, `time-*`, `timestamp-*`, `local-timestamp-*` | text as in ISO 8601, in UTC but for the local ones |
//! | `decimal` | a number with all its digits; with more than 128 bytes hexadecimal digits |
//! | `uuid`, `duration` | text: `P1M2DT3.004S` |
//!
//! Blocks go in as a whole or not at all. One that cannot be read becomes a line `<?damaged …?>` with its number, its place and the reason.
//! The next one is found by the marker behind it.
//!
//! Source: Avro 1.12, <https://avro.apache.org/docs/1.12.0/specification/>.

mod datum;
mod schema;

use std::io::{self, Read};

use self::datum::Datum;
use self::schema::Schema;
use crate::DAMAGED;

const MAGIC: &[u8] = b"Obj\x01";
const SYNC: usize = 16;
/// The longest header, in bytes.
const MOST_HEADER: usize = 16 << 20;
/// The longest block, compressed and not, in bytes.
const MOST_BLOCK: usize = 256 << 20;
/// The longest event as JSON, in bytes.
const MOST_EVENT: usize = 256 << 20;
/// How much text is made at once, in bytes.
const AT_ONCE: usize = 4 << 20;
const STEP: usize = 64 << 10;

/// Takes the compression of a codec off a block, into a number of bytes at most.
///
/// # Errors
/// The reason, as the end of a sentence.
pub type Unpack = fn(codec: &str, packed: &[u8], most: usize) -> Result<Vec<u8>, String>;

/// Reads an Avro object container file and gives its records out as JSON, each on a line. It keeps one block in memory.
pub struct Avro<R> {
    inner: R,
    unpack: Unpack,
    codecs: &'static [&'static str],
    /// What was read and not used, and where it begins in the file.
    window: Vec<u8>,
    used: usize,
    offset: u64,
    file: Option<Header>,
    blocks: u64,
    /// Records of a block that are not made to text yet.
    rest: Option<Records>,
    is_done: bool,
    out: Vec<u8>,
    given: usize,
}

struct Header {
    schema: Schema,
    codec: String,
    sync: [u8; SYNC],
}

struct Records {
    data: Vec<u8>,
    at: usize,
    left: u64,
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

impl<R: Read> Avro<R> {
    /// Reads a file from its first byte. `unpack` is called with one of `codecs`.
    pub fn new(inner: R, codecs: &'static [&'static str], unpack: Unpack) -> Self {
        Self {
            inner,
            unpack,
            codecs,
            window: Vec::new(),
            used: 0,
            offset: 0,
            file: None,
            blocks: 0,
            rest: None,
            is_done: false,
            out: Vec::new(),
            given: 0,
        }
    }

    /// Says whether a file begins as an Avro file does.
    pub fn is_start(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    fn ahead(&self) -> &[u8] {
        &self.window[self.used..]
    }

    /// Reads until so many bytes are ahead, and says whether there are as many.
    fn have(&mut self, count: usize) -> io::Result<bool> {
        if self.used > STEP && self.used * 2 > self.window.len() {
            self.window.drain(..self.used);
            self.used = 0;
        }
        while self.ahead().len() < count {
            let missing = (count - self.ahead().len()).clamp(STEP, 1 << 20);
            let limited = (&mut self.inner)
                .take(missing as u64)
                .read_to_end(&mut self.window)?;
            if limited == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
        self.offset += count as u64;
    }

    fn header(&mut self) -> io::Result<Header> {
        let (mut schema, mut codec) = (None, "null".to_owned());
        let mut most = STEP;
        loop {
            let is_more = self.have(most)?;
            match meta(self.ahead()) {
                Some(Ok((pairs, length))) => {
                    for (key, value) in pairs {
                        match key.as_slice() {
                            b"avro.schema" => {
                                schema = Some(String::from_utf8_lossy(&value).into_owned())
                            }
                            b"avro.codec" => codec = String::from_utf8_lossy(&value).into_owned(),
                            _ => {}
                        }
                    }
                    self.have(length + SYNC)?;
                    let marker = self
                        .ahead()
                        .get(length..)
                        .and_then(<[u8]>::first_chunk::<SYNC>);
                    let Some(sync) = marker.copied() else {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    };
                    self.consume(length + SYNC);
                    let schema = schema.ok_or_else(|| invalid("the Avro header has no schema"))?;
                    let schema = Schema::read(&schema).map_err(|reason| {
                        invalid(format!("the Avro schema cannot be read: {reason}"))
                    })?;
                    if codec != "null" && !self.codecs.contains(&codec.as_str()) {
                        let known = self.codecs.join(", ");
                        return Err(invalid(format!(
                            "its blocks have the codec `{codec}`; known are null, {known}"
                        )));
                    }
                    return Ok(Header {
                        schema,
                        codec,
                        sync,
                    });
                }
                Some(Err(reason)) => return Err(invalid(format!("the Avro header {reason}"))),
                None if !is_more => return Err(io::ErrorKind::UnexpectedEof.into()),
                None if most > MOST_HEADER => {
                    return Err(invalid(format!(
                        "the Avro header is longer than {MOST_HEADER} bytes"
                    )));
                }
                None => most *= 2,
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.given = 0;
        while self.out.is_empty() && !self.is_done {
            let file = match self.file.take() {
                Some(file) => file,
                None => self.header()?,
            };
            let result = match self.rest.take() {
                Some(records) => self.go_on(&file, records),
                None => self.block(&file),
            };
            self.file = Some(file);
            result?;
        }
        Ok(())
    }

    /// Reads a block.
    fn block(&mut self, file: &Header) -> io::Result<()> {
        if !self.have(1)? {
            self.is_done = true;
            return Ok(());
        }
        self.have(2 * 10)?;
        self.blocks += 1;
        let mut start = Datum::new(self.ahead(), MOST_EVENT);
        let (count, size) = (start.long(), start.long());
        let length = start.place();
        let (count, size) = match (count, size) {
            (Ok(count), Ok(size)) => (u64::try_from(count), usize::try_from(size)),
            // A number that is not ended, at the end of the file.
            _ if self.ahead().len() < 2 * 10 && !self.has_marker(file) => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            _ => return self.skip(file, "its size is not a number"),
        };
        let (Ok(count), Ok(size)) = (count, size) else {
            return self.skip(file, "its size or its count is negative");
        };
        if size > MOST_BLOCK {
            return self.skip(
                file,
                &format!("its size is {size} bytes; at most {MOST_BLOCK} are read"),
            );
        }
        if !self.have(length + size + SYNC)? {
            return match self.has_marker(file) {
                true => self.skip(file, "it does not end with the marker of the file"),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        let ahead = self.ahead();
        if ahead[length + size..length + size + SYNC] != file.sync {
            return self.skip(file, "it does not end with the marker of the file");
        }
        let packed = &ahead[length..length + size];
        let data = match file.codec.as_str() {
            "null" => Ok(packed.to_vec()),
            codec => (self.unpack)(codec, packed, MOST_BLOCK)
                .map_err(|reason| format!("its {codec} data cannot be unpacked: {reason}")),
        };
        let place = self.place();
        self.consume(length + size + SYNC);
        let made = data.and_then(|data| self.records(file, data, count));
        if let Err(reason) = made {
            self.damaged(
                &place,
                &format!("{reason}; its {count} events are left out"),
            );
        }
        Ok(())
    }

    /// Makes the records of a block to text, all of them or, if the text is long, the first ones after a look at all.
    fn records(&mut self, file: &Header, data: Vec<u8>, count: u64) -> Result<(), String> {
        if count > data.len() as u64 {
            return Err(format!("it has {} bytes for {count} events", data.len()));
        }
        let mut datum = Datum::new(&data, MOST_EVENT);
        let (mut text, mut unseen) = (Vec::new(), Vec::new());
        let mut left = None;
        for number in 0..count {
            if left.is_none() && text.len() > AT_ONCE {
                left = Some((datum.place(), count - number));
            }
            let out = if left.is_some() {
                &mut unseen
            } else {
                &mut text
            };
            if left.is_some() {
                out.clear();
            }
            let event = datum.event(&file.schema, out);
            event.map_err(|reason| format!("event {} of it {reason}", number + 1))?;
        }
        let behind = data.len() - datum.place();
        if behind > 0 {
            return Err(format!("{behind} bytes stand behind its events"));
        }
        self.out = text;
        self.rest = left.map(|(at, left)| Records { data, at, left });
        Ok(())
    }

    /// Makes more records to text. They were looked at before.
    fn go_on(&mut self, file: &Header, mut records: Records) -> io::Result<()> {
        let mut datum = Datum::new(&records.data[records.at..], MOST_EVENT);
        while records.left > 0 && self.out.len() < AT_ONCE {
            datum.event(&file.schema, &mut self.out).map_err(invalid)?;
            records.left -= 1;
        }
        records.at += datum.place();
        self.rest = (records.left > 0).then_some(records);
        Ok(())
    }

    fn place(&self) -> String {
        format!("block {} at byte {}", self.blocks, self.offset)
    }

    fn damaged(&mut self, place: &str, reason: &str) {
        let reason = reason.replace("?>", "? >").replace(['\n', '\r'], " ");
        self.out
            .extend_from_slice(format!("{DAMAGED}{place}: {reason}?>\n").as_bytes());
    }

    fn has_marker(&self, file: &Header) -> bool {
        self.marker(file).is_some()
    }

    /// Returns where the next marker ends ahead.
    fn marker(&self, file: &Header) -> Option<usize> {
        let windows = self.ahead().windows(SYNC);
        let at = windows.enumerate().find(|(_, window)| *window == file.sync);
        at.map(|(at, _)| at + SYNC)
    }

    /// Passes over a block whose end is unknown, to behind the next marker or to the end of the file.
    fn skip(&mut self, file: &Header, reason: &str) -> io::Result<()> {
        let (place, start) = (self.place(), self.offset);
        loop {
            if let Some(end) = self.marker(file) {
                self.consume(end);
                break;
            }
            // A marker may begin at the end of what is ahead.
            let passed = self.ahead().len().saturating_sub(SYNC - 1);
            self.consume(passed);
            let ahead = self.ahead().len();
            if !self.have(ahead + 1)? {
                let rest = self.ahead().len();
                self.consume(rest);
                break;
            }
        }
        let passed = self.offset - start;
        self.damaged(&place, &format!("{reason}; {passed} bytes are left out"));
        Ok(())
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads the pairs of a header and its length; nothing if it is not whole.
fn meta(bytes: &[u8]) -> Option<Result<(Pairs, usize), String>> {
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(start) {
        return Some(Err("does not begin with `Obj` and 1".to_owned()));
    }
    let mut datum = Datum::new(bytes.get(MAGIC.len()..)?, MOST_EVENT);
    let mut pairs = Vec::new();
    loop {
        let count = datum.long().ok()?;
        if count == 0 {
            return Some(Ok((pairs, MAGIC.len() + datum.place())));
        }
        if count < 0 {
            datum.long().ok()?;
        }
        if count.unsigned_abs() > MOST_HEADER as u64 {
            return Some(Err(format!("has {count} entries")));
        }
        for _ in 0..count.unsigned_abs() {
            let pair = datum.bytes().and_then(|key| Ok((key, datum.bytes()?)));
            match pair {
                Ok((key, value)) => pairs.push((key.to_vec(), value.to_vec())),
                Err(_) if datum.is_negative => {
                    return Some(Err("has an entry of negative length".to_owned()));
                }
                Err(_) => return None,
            }
        }
    }
}

impl<R: Read> Read for Avro<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.out.len() {
            self.fill()?;
        }
        let count = (self.out.len() - self.given).min(buffer.len());
        buffer[..count].copy_from_slice(&self.out[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
