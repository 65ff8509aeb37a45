//! XML documents, such as reports of scanners: each record of a document becomes a line of JSON.
//!
//! ```text
//! document = [declaration] element                        elements with content of all kinds
//! record   = the element at one of the given paths        without paths, the document's element
//! event    = {"a": {content of <a> so far, "b": {content of <b> so far, "record": {…}}}}
//! ```
//!
//! A document is read once, from its start, and only the record and what stands before it beside its path are in memory.
//!
//! * An element is its text, or `null` without one. If it has attributes, it is an object with `#attributes`, and with `#text` for
//!   text. Elements inside are members; a name that occurs again becomes an array. So events of Windows are written, too.
//! * Elements that have text and only the attribute `name`, `Name` or `key` are one object, of their names and texts.
//! * A comment or a processing instruction inside the document's element is the member `#comment`: it may hide elements that somebody
//!   wanted to be unseen.
//! * What an element around the record holds and no record showed, is an event of its own, when that element ends. So is what is named
//!   to stand apart, or too long to be repeated in each event.
//! * Text is UTF-8. What is not UTF-8 is read as Latin-1.
//!
//! Sources: XML 1.0, <https://www.w3.org/TR/xml/>.

mod bounded;
mod element;

use std::io::{self, BufRead, Read};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use self::bounded::Bounded;
use self::element::{Element, Role, attributes_of, put, size_of, value};
use crate::member::add;
use crate::windows_xml::{DAMAGED, unescaped};
use crate::{Decode, Decoded, Wrong};

/// How deep elements may lie in one another.
const DEEPEST: usize = 64;
/// How much of what stands beside the records is repeated in each event, for each element around them, in bytes.
const MOST_BESIDE: usize = 256 << 10;
/// How many times its own size a document may become, beyond [`ROOM`], because of what is repeated.
const MOST_TIMES: u64 = 100;
const ROOM: u64 = 64 << 20;

/// Reads an XML document and gives its records out as JSON, each on a line. What cannot be an event becomes a line `<?damaged …?>` with
/// the reason.
///
/// # Errors
/// `InvalidData` for what is not XML, with the place; `UnexpectedEof` if an element is not closed. Records before it were given out.
pub struct XmlRecords<R> {
    reader: Reader<Bounded<R>>,
    paths: Vec<Vec<String>>,
    apart: Vec<Vec<String>>,
    /// The longest record, in bytes.
    limit: usize,
    open: Vec<Element>,
    /// How many elements were open when one inside a record made it too long, and what is wrong.
    skips: Option<(usize, String)>,
    buffer: Vec<u8>,
    given: u64,
    has_root: bool,
    is_done: bool,
    out: Vec<u8>,
    used: usize,
}

impl<R: BufRead> XmlRecords<R> {
    /// Reads a document from its first byte. `paths` are the names of elements from the outermost to the records, and `apart` those to
    /// elements beside them that are events of their own; `limit` is the size of the longest record.
    pub fn new(inner: R, paths: Vec<Vec<String>>, apart: Vec<Vec<String>>, limit: usize) -> Self {
        let mut reader = Reader::from_reader(Bounded {
            inner,
            left: limit,
            limit,
        });
        // Names in end tags are compared, so that a damaged document is one.
        reader.config_mut().check_end_names = true;
        Self {
            reader,
            paths: paths.into_iter().filter(|path| !path.is_empty()).collect(),
            apart,
            limit,
            open: Vec::new(),
            skips: None,
            buffer: Vec::new(),
            given: 0,
            has_root: false,
            is_done: false,
            out: Vec::new(),
            used: 0,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.used = 0;
        while self.out.is_empty() && !self.is_done {
            self.step()?;
        }
        Ok(())
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> io::Error {
        let at = self.reader.buffer_position();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("byte {at} of the XML: {reason}"),
        )
    }

    fn step(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let bounded = self.reader.get_mut();
        bounded.left = bounded.limit;
        let at = self.reader.buffer_position();
        let event = match self.reader.read_event_into(&mut buffer) {
            Ok(event) => event.into_owned(),
            Err(quick_xml::Error::Io(error)) => {
                return Err(io::Error::new(error.kind(), error.to_string()));
            }
            // The end of the file lies within a tag, a comment or the like.
            Err(quick_xml::Error::Syntax(_)) if self.is_at_end() => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Err(error) => return Err(self.wrong(error)),
        };
        self.buffer = buffer;
        match event {
            Event::Eof if self.open.is_empty() && (self.has_root || at == 0) => self.is_done = true,
            Event::Eof => return Err(io::ErrorKind::UnexpectedEof.into()),
            Event::Start(tag) => self.begin(&tag, at)?,
            Event::Empty(tag) => {
                self.begin(&tag, at)?;
                self.end()?;
            }
            Event::End(_) => self.end()?,
            Event::Text(part) => self.text(&text_of(&part))?,
            Event::CData(part) => self.text(&text_of(&part))?,
            Event::GeneralRef(name) => self.text(&unescaped(&format!("&{};", text_of(&name))))?,
            Event::Comment(part) => self.comment(&text_of(&part))?,
            Event::PI(part) => self.comment(&format!("?{}?", text_of(&part)))?,
            Event::Decl(_) | Event::DocType(_) => {}
        }
        self.check_length();
        Ok(())
    }

    fn is_at_end(&mut self) -> bool {
        let inner = &mut self.reader.get_mut().inner;
        inner.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// Says what an element is that lies in those that are open.
    fn role_of(&self, name: &str) -> Role {
        let depth = self.open.len();
        if self.open.iter().any(|element| element.role != Role::Around) {
            return Role::Other;
        }
        if self.paths.is_empty() {
            return Role::Record;
        }
        let mut is_around = false;
        for path in &self.paths {
            let names = self
                .open
                .iter()
                .map(|element| element.name.as_str())
                .chain([name]);
            if path.len() > depth && names.eq(path[..=depth].iter().map(String::as_str)) {
                if path.len() == depth + 1 {
                    return Role::Record;
                }
                is_around = true;
            }
        }
        if is_around { Role::Around } else { Role::Other }
    }

    fn begin(&mut self, tag: &BytesStart<'_>, at: u64) -> io::Result<()> {
        if self.open.is_empty() && self.has_root {
            return Err(self.wrong("a second element stands behind the document's element"));
        }
        if self.open.len() >= DEEPEST {
            return Err(self.wrong(format!("more than {DEEPEST} elements lie in one another")));
        }
        self.has_root = true;
        let name = text_of(tag.name().as_ref());
        let mut attributes = Map::new();
        for attribute in tag.attributes().with_checks(false) {
            let attribute = attribute
                .map_err(|error| self.wrong(format!("an attribute is damaged: {error}")))?;
            add(
                &mut attributes,
                &text_of(attribute.key.as_ref()),
                unescaped(&text_of(&attribute.value)),
            );
        }
        let role = self.role_of(&name);
        let beside = attributes
            .iter()
            .map(|(key, value)| key.len() + size_of(value))
            .sum();
        if self.skips.is_some() {
            attributes = Map::new();
        }
        self.open.push(Element {
            name,
            attributes,
            role,
            at,
            beside,
            ..Element::default()
        });
        Ok(())
    }

    fn text(&mut self, part: &str) -> io::Result<()> {
        if self.skips.is_some() {
            return Ok(());
        }
        let is_blank = part
            .trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace())
            .is_empty();
        let wrong = match self.open.last_mut() {
            Some(element) => {
                element.text.push_str(part);
                if element.role == Role::Around {
                    element.beside += part.len();
                    element.is_shown &= is_blank;
                    element.beside > MOST_BESIDE
                } else {
                    false
                }
            }
            None if is_blank => false,
            None => return Err(self.wrong("text stands outside of the document's element")),
        };
        match wrong {
            true => Err(self.wrong(format!(
                "more than {MOST_BESIDE} bytes of text stand around the records"
            ))),
            false => Ok(()),
        }
    }

    fn comment(&mut self, text: &str) -> io::Result<()> {
        if self.skips.is_some() || self.open.is_empty() {
            return Ok(());
        }
        let comment = Element {
            name: "#comment".to_owned(),
            text: text.to_owned(),
            at: self.reader.buffer_position(),
            ..Element::default()
        };
        self.close(comment)
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(element) = self.open.pop() else {
            return Ok(());
        };
        if let Some((depth, _)) = self.skips {
            if self.open.len() + 1 > depth {
                return Ok(());
            }
            let (_, reason) = self.skips.take().unwrap_or_default();
            self.out
                .extend_from_slice(format!("{DAMAGED}{reason}?>\n").as_bytes());
            return Ok(());
        }
        match element.role {
            Role::Around => {
                // What its events did not show.
                if element.is_shown {
                    return Ok(());
                }
                self.open.push(element);
                self.give("", None)?;
                self.open.pop();
                Ok(())
            }
            Role::Other if !self.open.is_empty() => self.close(element),
            // A document without any of the paths is one event.
            Role::Record | Role::Other => {
                let name = element.name.clone();
                self.give(&name, Some(&value(element)))
            }
        }
    }

    /// Adds an element that was closed to the one around it.
    fn close(&mut self, element: Element) -> io::Result<()> {
        let is_apart = self.apart.iter().any(|path| {
            let names = self.open.iter().map(|element| element.name.as_str());
            names
                .chain([element.name.as_str()])
                .eq(path.iter().map(String::as_str))
        });
        let Some(parent) = self.open.last_mut() else {
            return Ok(());
        };
        parent.has_elements = true;
        let is_around = parent.role == Role::Around;
        let name = element.name.clone();
        let key = element.key();
        let value = value(element);
        if !is_around {
            put(&mut parent.members, &name, key, value);
            return Ok(());
        }
        let size = name.len() + size_of(&value);
        if !is_apart && parent.beside + size <= MOST_BESIDE {
            parent.beside += size;
            parent.is_shown = false;
            put(&mut parent.members, &name, key, value);
            return Ok(());
        }
        // Too long to be repeated: an event of its own, under the attributes of those around it.
        let mut alone = Map::new();
        put(&mut alone, &name, key, value);
        let mut event = Value::Object(alone);
        for around in self.open.iter().rev() {
            let mut members = attributes_of(around);
            if let Value::Object(inside) = event {
                members.extend(inside);
            }
            event = Value::Object(Map::from_iter([(
                around.name.clone(),
                Value::Object(members),
            )]));
        }
        self.write(&event.to_string())
    }

    /// Gives an event out: what stands around a record, and the record.
    fn give(&mut self, name: &str, record: Option<&Value>) -> io::Result<()> {
        let mut text = String::from("{");
        for around in &mut self.open {
            around.is_shown = true;
            text.push_str(&quoted(&around.name));
            text.push_str(":{");
            let mut members = attributes_of(around);
            if !around.text.trim().is_empty() {
                members.insert("#text".to_owned(), Value::from(around.text.as_str()));
            }
            for (key, value) in members.iter().chain(&around.members) {
                text.push_str(&format!("{}:{value},", quoted(key)));
            }
        }
        if let Some(record) = record {
            text.push_str(&format!("{}:{record}", quoted(name)));
        }
        if text.ends_with(',') {
            text.pop();
        }
        text.push_str(&"}".repeat(self.open.len() + 1));
        self.write(&text)
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.given += line.len() as u64;
        let most = ROOM + MOST_TIMES * self.reader.buffer_position();
        if self.given > most {
            return Err(self.wrong(format!(
                "its events are more than {MOST_TIMES} times as long as the document, because of what stands around the records: split it"
            )));
        }
        self.out.extend_from_slice(line.as_bytes());
        self.out.push(b'\n');
        Ok(())
    }

    /// Skips the rest of a record, or of what stands beside records, that is too long.
    fn check_length(&mut self) {
        if self.skips.is_some() {
            return;
        }
        let now = self.reader.buffer_position();
        let Some(depth) = self
            .open
            .iter()
            .position(|element| element.role != Role::Around)
        else {
            return;
        };
        let outermost = &self.open[depth];
        if now - outermost.at <= self.limit as u64 {
            return;
        }
        let reason = format!(
            "the element <{}> at byte {} is longer than {} bytes and is left out",
            outermost.name, outermost.at, self.limit
        );
        self.skips = Some((depth + 1, reason.replace("?>", "? >").replace('\n', " ")));
        for element in &mut self.open[depth..] {
            element.members = Map::new();
            element.text = String::new();
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Returns text as UTF-8, or else as Latin-1, in which each byte is a character.
fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

impl<R: BufRead> Read for XmlRecords<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.out.len() {
            self.fill()?;
        }
        let count = (self.out.len() - self.used).min(buffer.len());
        buffer[..count].copy_from_slice(&self.out[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}

/// Reads a line that is a whole document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct XmlLine;

impl Decode for XmlLine {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        let text = line.trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
        if text.is_empty() {
            return Ok(Decoded::Nothing);
        }
        let mut json = String::new();
        let read = XmlRecords::new(text.as_bytes(), Vec::new(), Vec::new(), text.len())
            .read_to_string(&mut json);
        let reason = match (read, serde_json::from_str(json.trim_end())) {
            (Ok(_), Ok(event)) => return Ok(Decoded::Event(event)),
            (Err(error), _) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "the XML ends within an element".to_owned()
            }
            (Err(error), _) => error.to_string(),
            (Ok(_), Err(error)) => error.to_string(),
        };
        Err(Wrong { reason, at: 0 })
    }
}

#[cfg(test)]
mod tests;
