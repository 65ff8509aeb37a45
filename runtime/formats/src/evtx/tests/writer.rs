//! Writes EVTX files, with what the tests need of binary XML.

use super::*;

/// A chunk that is being written.
pub(super) struct Writer {
    bytes: Vec<u8>,
    first: u64,
    next: u64,
    /// Where the template of logons stands.
    template: Option<usize>,
}

/// A part of a template that is too long.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Itself,
    Value,
}

/// Joins chunks to a file.
pub(super) fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    file.resize(HEADER, 0);
    file.extend(chunks.concat());
    file
}

/// Returns the size of a record.
pub(super) fn record_of(file: &[u8], at: usize) -> usize {
    usize::try_from(u32_at(file, at + 4).unwrap()).unwrap()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl Writer {
    pub(super) fn new(first: u64) -> Self {
        Self {
            bytes: vec![0; FIRST_RECORD],
            first,
            next: first,
            template: None,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn u32(&mut self, number: usize) -> &mut Self {
        self.put(&u32::try_from(number).unwrap().to_le_bytes())
    }

    /// Writes a name at its first place.
    fn name(&mut self, name: &str) {
        let here = self.bytes.len() + 4;
        let count = u16::try_from(name.encode_utf16().count()).unwrap();
        self.u32(here)
            .put(&[0; 6])
            .put(&count.to_le_bytes())
            .put(&utf16(name))
            .put(&[0, 0]);
    }

    /// Begins an element, with attributes if `token` says so.
    fn start(&mut self, token: u8, name: &str) {
        self.put(&[token, 0xff, 0xff]).u32(0);
        self.name(name);
        if token == 0x41 {
            self.u32(0);
        }
    }

    fn attribute(&mut self, name: &str) {
        self.put(&[0x06]);
        self.name(name);
    }

    fn text(&mut self, text: &str) {
        let count = u16::try_from(text.encode_utf16().count()).unwrap();
        self.put(&[0x05, 0x01])
            .put(&count.to_le_bytes())
            .put(&utf16(text));
    }

    fn substitution(&mut self, index: u8) {
        self.put(&[0x0d, index, 0, 0x01]);
    }

    /// Writes an element whose text is a value, and closes it.
    fn element(&mut self, name: &str, index: u8) {
        self.start(0x01, name);
        self.put(&[0x02]);
        self.substitution(index);
        self.put(&[0x04]);
    }

    fn record(&mut self, content: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        let number = self.next;
        self.put(RECORD_MAGIC)
            .put(&[0; 4])
            .put(&number.to_le_bytes())
            .put(&[0; 8]);
        self.put(&[0x0f, 1, 1, 0]);
        content(self);
        self.put(&[0]);
        let size = self.bytes.len() - start + 4;
        self.u32(size);
        let size = u32::try_from(size).unwrap().to_le_bytes();
        self.bytes[start + 4..start + 8].copy_from_slice(&size);
        self.next += 1;
    }

    /// Writes the definition of a template, and returns its place.
    fn definition(&mut self, content: impl FnOnce(&mut Self)) -> usize {
        let here = self.bytes.len() + 4;
        self.u32(here).put(&[0; 24]);
        self.put(&[0x0f, 1, 1, 0]);
        content(self);
        self.put(&[0]);
        let size = u32::try_from(self.bytes.len() - here - 24).unwrap();
        self.bytes[here + 20..here + 24].copy_from_slice(&size.to_le_bytes());
        here
    }

    fn values(&mut self, values: &[(u8, &[u8])]) {
        self.u32(values.len());
        for (kind, bytes) in values {
            let size = u16::try_from(bytes.len()).unwrap();
            self.put(&size.to_le_bytes()).put(&[*kind, 0]);
        }
        for (_, bytes) in values {
            self.put(bytes);
        }
    }

    /// Writes a logon with all that events usually have.
    pub(super) fn logon(&mut self, user: &str, id: u16) {
        let number = self.next;
        self.record(|to| {
            to.put(&[0x0c, 1, 7, 0, 0, 0]);
            match to.template {
                Some(place) => {
                    to.u32(place);
                }
                None => to.template = Some(to.definition(Self::logon_template)),
            }
            // 2026-03-01T10:11:12.1234567Z
            let time = (1_772_359_872 + 11_644_473_600) * 10_000_000 + 1_234_567u64;
            to.values(&[
                (0x06, &id.to_le_bytes()),
                (0x06, &7u16.to_le_bytes()),
                (0x0a, &number.to_le_bytes()),
                (0x11, &time.to_le_bytes()),
                (0x00, &[]),
                (0x01, &utf16(user)),
                (0x13, &[1, 2, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 7, 0, 0, 0]),
                (0x81, &utf16("a\0\0b\0")),
            ]);
        });
    }

    fn logon_template(&mut self) {
        self.start(0x41, "Event");
        self.attribute("xmlns");
        self.text("urn:test");
        self.put(&[0x02]);
        self.start(0x01, "System");
        self.put(&[0x02]);
        self.start(0x41, "EventID");
        self.attribute("Qualifiers");
        self.substitution(1);
        self.put(&[0x02]);
        self.substitution(0);
        self.put(&[0x04]);
        self.element("EventRecordID", 2);
        self.start(0x41, "TimeCreated");
        self.attribute("SystemTime");
        self.substitution(3);
        self.put(&[0x03]);
        self.start(0x41, "Security");
        self.attribute("UserID");
        self.substitution(4);
        self.put(&[0x03, 0x04]);
        self.start(0x01, "EventData");
        self.put(&[0x02]);
        for (name, index) in [("User", 5), ("Sid", 6)] {
            self.start(0x41, "Data");
            self.attribute("Name");
            self.text(name);
            self.put(&[0x02]);
            self.substitution(index);
            self.put(&[0x04]);
        }
        self.element("Data", 7);
        self.put(&[0x04, 0x04]);
    }

    /// Writes an event with one value.
    pub(super) fn one_value(&mut self, kind: u8, bytes: &[u8]) {
        self.record(|to| {
            to.put(&[0x0c, 1, 7, 0, 0, 0]);
            to.definition(|to| {
                to.start(0x01, "Event");
                to.put(&[0x02]);
                to.element("V", 0);
                to.put(&[0x04]);
            });
            to.values(&[(kind, bytes)]);
        });
    }

    /// Writes an event whose template has these parts.
    pub(super) fn bomb(&mut self, parts: &[Part]) {
        self.record(|to| {
            to.put(&[0x0c, 1, 7, 0, 0, 0]);
            let here = to.bytes.len() + 4;
            to.definition(|to| {
                for part in parts {
                    match part {
                        Part::Itself => {
                            to.put(&[0x0c, 1, 7, 0, 0, 0]).u32(here).u32(0);
                        }
                        Part::Value => to.substitution(0),
                    }
                }
            });
            to.values(&[(0x01, &utf16(&"x".repeat(1_000)))]);
        });
    }

    /// Returns the chunk, with its header and checksums.
    pub(super) fn chunk(mut self) -> Vec<u8> {
        let free = self.bytes.len();
        let last = self.next - 1;
        let mut set =
            |at: usize, bytes: &[u8]| self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        set(0, CHUNK_MAGIC);
        for (at, number) in [(8, self.first), (16, last), (24, self.first), (32, last)] {
            set(at, &number.to_le_bytes());
        }
        set(40, &128u32.to_le_bytes());
        set(48, &u32::try_from(free).unwrap().to_le_bytes());
        let sum = crc32fast::hash(&self.bytes[FIRST_RECORD..]);
        self.bytes[52..56].copy_from_slice(&sum.to_le_bytes());
        let header = [&self.bytes[..120], &self.bytes[128..FIRST_RECORD]].concat();
        let sum = crc32fast::hash(&header);
        self.bytes[124..128].copy_from_slice(&sum.to_le_bytes());
        self.bytes.resize(CHUNK, 0);
        self.bytes
    }
}
