//! Which sources a table holds: how far each was read, and the digest of what was read.
//!
//! A source is known by its content alone. Whatever it is called, wherever it lies and however it is compressed, if its
//! first bytes are those that were read before, they are not read again, and what follows them is new.

use std::collections::{BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::split::Prefix;
use crate::definition::OTHER_DAYS;

/// How many bytes of a source lead to its entries. More than the envelope and the user of a CloudTrail file, which many files share.
pub(crate) const HEAD: usize = 2_048;

/// The bytes of a source that were read, from its start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    /// Digest of the first [`HEAD`] bytes; of all, if they are fewer.
    pub(crate) head: [u8; 8],
    /// How many bytes were read.
    pub(crate) end: u64,
    /// Digest of these bytes.
    pub(crate) digest: [u8; 16],
    /// Set if only a part of the events is in the table: those behind this offset and of these days.
    pub(crate) part: Option<(u64, BTreeSet<String>)>,
}

/// The content of a source up to some byte, by its digest and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContentId {
    pub(crate) digest: [u8; 16],
    pub(crate) end: u64,
}

impl ContentId {
    /// Returns what stands in a ledger, and with each row of it.
    pub(crate) fn name(self) -> String {
        format!("{}-{}", hex(&self.digest), self.end)
    }

    /// Reads what [`ContentId::name`] wrote.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (digest, end) = name.split_once('-')?;
        Some(Self {
            digest: bytes(digest)?,
            end: end.parse().ok()?,
        })
    }
}

impl Entry {
    /// Returns what the entry is of.
    pub(crate) fn id(&self) -> ContentId {
        ContentId {
            digest: self.digest,
            end: self.end,
        }
    }

    /// Returns the entry of a source of which so much was read.
    pub(crate) fn of(prefix: &Prefix) -> Self {
        Self {
            head: prefix.head(),
            end: prefix.end,
            digest: prefix.digest(),
            part: None,
        }
    }

    /// Says whether it may be of a source that begins with `start`; for certain, if it is of fewer bytes than [`HEAD`].
    pub(crate) fn may_be_of(&self, start: &[u8]) -> bool {
        match self.is_short() {
            true => usize::try_from(self.end)
                .ok()
                .and_then(|end| start.get(..end))
                .is_some_and(|begin| whole(begin) == self.digest),
            false => start
                .get(..HEAD)
                .is_some_and(|begin| head(begin) == self.head),
        }
    }

    fn is_short(&self) -> bool {
        self.end < HEAD as u64
    }

    /// Writes the entry as a line.
    pub(crate) fn to_line(&self) -> String {
        let (head, digest) = (hex(&self.head), hex(&self.digest));
        let mut line = format!("{head} {} {digest}", self.end);
        if let Some((from, days)) = &self.part {
            let days: Vec<&str> = days.iter().map(String::as_str).collect();
            line.push_str(&format!(" {from} {}", days.join(",")));
        }
        line
    }

    /// Reads a line that [`Entry::to_line`] wrote.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let head = bytes(words.next()?)?;
        let end = words.next()?.parse().ok()?;
        let digest = bytes(words.next()?)?;
        let part = match words.next() {
            None => None,
            Some(from) => {
                let days = words.next()?.split(',').map(str::to_owned).collect();
                Some((from.parse().ok()?, days))
            }
        };
        words.next().is_none().then_some(Self {
            head,
            end,
            digest,
            part,
        })
    }
}

fn head(start: &[u8]) -> [u8; 8] {
    let mut head = [0; 8];
    head.copy_from_slice(&Sha256::digest(start)[..8]);
    head
}

fn whole(start: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(start)[..16]);
    digest
}

fn hex(bytes: &[u8]) -> String {
    yagura_core::alert::hex(bytes)
}

pub(crate) fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut found = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (at, byte) in found.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(found)
}

/// The entries of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    all: HashSet<Entry>,
    /// Those of at least [`HEAD`] bytes.
    by_head: HashMap<[u8; 8], Vec<Entry>>,
    /// Those of fewer, by length.
    short: HashMap<u64, Vec<Entry>>,
}

impl Known {
    /// Takes in an entry and says whether it is new.
    pub(crate) fn insert(&mut self, entry: Entry) -> bool {
        if !self.all.insert(entry.clone()) {
            return false;
        }
        match entry.is_short() {
            true => self.short.entry(entry.end).or_default().push(entry),
            false => self.by_head.entry(entry.head).or_default().push(entry),
        }
        true
    }

    /// Forgets all entries of a content.
    pub(crate) fn forget(&mut self, id: ContentId) {
        let gone: Vec<Entry> = self.all.extract_if(|entry| entry.id() == id).collect();
        for entry in gone {
            let others = match entry.is_short() {
                true => self.short.get_mut(&entry.end),
                false => self.by_head.get_mut(&entry.head),
            };
            if let Some(others) = others {
                others.retain(|other| *other != entry);
            }
        }
    }

    /// Returns the entries that may be of a source that begins with `start`, which has [`HEAD`] bytes unless the source has
    /// fewer. Those of fewer bytes than [`HEAD`] are certain.
    pub(crate) fn like(&self, start: &[u8]) -> Vec<Entry> {
        let mut found = Vec::new();
        for (length, entries) in &self.short {
            let begin = usize::try_from(*length)
                .ok()
                .and_then(|length| start.get(..length));
            if let Some(begin) = begin {
                let digest = whole(begin);
                found.extend(
                    entries
                        .iter()
                        .filter(|entry| entry.digest == digest)
                        .cloned(),
                );
            }
        }
        if let Some(start) = start.get(..HEAD)
            && !self.by_head.is_empty()
        {
            found.extend(
                self.by_head
                    .get(&head(start))
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
        }
        found.sort_unstable_by_key(|entry| entry.end);
        found
    }
}

/// How far a source was read before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// Events that end up to here are in the table.
    pub(crate) end: u64,
    /// Parts behind it, of which the events of some days are in the table: from, to, days.
    pub(crate) parts: Vec<(u64, u64, BTreeSet<String>)>,
}

impl Before {
    /// Sums up the entries whose digest was found to be right.
    pub(crate) fn of(entries: Vec<Entry>) -> Self {
        let mut before = Self::default();
        for entry in entries {
            match entry.part {
                None => before.end = before.end.max(entry.end),
                Some((from, days)) => before.parts.push((from, entry.end, days)),
            }
        }
        let end = before.end;
        before.parts.retain(|(_, to, _)| *to > end);
        before
    }

    /// Says whether the events of `day` that end at `end` are in the table. The object of other days is written after those of all
    /// single days: where it is there, all events are.
    pub(crate) fn holds(&self, end: u64, day: &str) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|(from, to, days)| {
            let is_stored = days.contains(day) || days.contains(OTHER_DAYS);
            (*from + 1..=*to).contains(&end) && is_stored
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &[u8]) -> Entry {
        let mut prefix = Prefix::default();
        // However it was read.
        for bytes in text.chunks(7) {
            prefix.extend(bytes);
        }
        Entry::of(&prefix)
    }

    #[test]
    fn lines_come_back() {
        let mut part = entry(b"abc");
        part.part = Some((7, ["2026-03-01".to_owned(), "2026-03-02".to_owned()].into()));
        for entry in [entry(b""), entry(&[7; 5_000]), part] {
            assert_eq!(Entry::of_line(&entry.to_line()), Some(entry));
        }
        for wrong in [
            "",
            "x",
            "00 1 00",
            "0011223344556677 1 00112233445566778899aabbccddeéff",
        ] {
            assert_eq!(Entry::of_line(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_source_is_found_by_every_beginning_of_it() {
        let text: Vec<u8> = (0..4_000u32).map(|byte| (byte % 251) as u8).collect();
        let lengths = [1, 2, 100, HEAD - 1, HEAD, HEAD + 1, 3_000, 4_000];
        let mut known = Known::default();
        for length in lengths {
            assert!(known.insert(entry(&text[..length])));
            assert!(!known.insert(entry(&text[..length])));
            // Another source of the same length.
            known.insert(entry(&vec![9; length]));
        }
        let found = |start: &[u8]| -> Vec<u64> {
            let start = &start[..start.len().min(HEAD)];
            let found = known.like(start);
            assert!(
                known
                    .all
                    .iter()
                    .all(|entry| entry.may_be_of(start) == found.contains(entry))
            );
            found.iter().map(|entry| entry.end).collect()
        };
        assert_eq!(found(&text), lengths.map(|length| length as u64));
        assert_eq!(found(&text[..HEAD - 1]), [1, 2, 100, HEAD as u64 - 1]);
        assert_eq!(found(&text[..99]), [1, 2]);
        assert_eq!(found(b""), [] as [u64; 0]);
        assert_eq!(found(&[8; HEAD + 44]), [] as [u64; 0]);
    }

    #[test]
    fn parts_count_behind_what_is_whole() {
        let days: BTreeSet<String> = ["2026-03-01".to_owned()].into();
        let part = |from, end| Entry {
            part: Some((from, days.clone())),
            ..entry(&vec![0; end])
        };
        let whole = entry(&[0; 10]);
        let before = Before::of(vec![part(0, 5), whole, part(10, 20)]);
        assert_eq!(before.end, 10);
        assert_eq!(before.parts.len(), 1);
        let holds = |end| before.holds(end, "2026-03-01");
        assert_eq!([10, 11, 20, 21].map(holds), [false, true, true, false]);
        assert!(!before.holds(15, "2026-03-02"));
        let others = Entry {
            part: Some((20, [OTHER_DAYS.to_owned()].into())),
            ..entry(&[0; 30])
        };
        let before = Before::of(vec![others]);
        assert!(before.holds(25, "2026-03-02") && !before.holds(15, "2026-03-02"));
    }
}
