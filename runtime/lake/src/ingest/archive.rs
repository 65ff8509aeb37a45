//! Archives: their members as files of their own, one after another.
//!
//! ```text
//! archive ─tar: from start to end │ zip: by its directory at the end─▶ member ─▶ temporary file ─▶ read as any other file
//! ```
//!
//! A member is named `ARCHIVE!MEMBER`. An archive in an archive is read, one in that one is not. Of tar, regular files are read, with the
//! names of GNU and PAX. Of zip, members that are stored or compressed with deflate are read, also with 64-bit sizes; the
//! checksum is compared before an event is ingested. Bombs are stopped by [`MOST_BYTES`], [`MOST_MEMBERS`] and [`MOST_RATIO`].
//!
//! Sources: `tar(5)` and POSIX `pax`; APPNOTE.TXT of PKWARE, 6.3.10.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use tar::EntryType;

/// Bytes of one archive that are unpacked.
const MOST_BYTES: u64 = 64 << 30;
/// Members of one archive.
const MOST_MEMBERS: u64 = 100_000;
/// How many times its own size an archive may unpack to; deflate reaches about 1,000.
const MOST_RATIO: u64 = 2_000;
/// Unpacked bytes for which the ratio does not count.
const FREE: u64 = 64 << 20;
/// The longest name, and the longest list of PAX records.
const LONGEST_NAME: u64 = 64 << 10;
/// The largest directory of a zip archive.
const LARGEST_DIRECTORY: u64 = 64 << 20;

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tar,
    Zip,
}

/// Why a member cannot be read.
#[derive(Debug)]
pub(crate) enum Failure {
    Read(io::Error),
    Encrypted,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// Receives the name of each member, and its content as a file.
pub(crate) type Each<'e, E> = &'e mut dyn FnMut(String, Result<File, Failure>) -> Result<(), E>;

/// What may still be unpacked.
#[derive(Debug)]
struct Budget {
    bytes: u64,
    members: u64,
}

impl Budget {
    fn new(packed: u64) -> Self {
        let by_ratio = packed.saturating_mul(MOST_RATIO).saturating_add(FREE);
        Self {
            bytes: by_ratio.min(MOST_BYTES),
            members: MOST_MEMBERS,
        }
    }

    fn take_member(&mut self) -> io::Result<()> {
        self.members = self
            .members
            .checked_sub(1)
            .ok_or_else(|| wrong(format!("the archive has more than {MOST_MEMBERS} members")))?;
        Ok(())
    }

    /// Copies a member to a file that nobody else sees.
    fn copy(&mut self, member: &mut dyn Read) -> io::Result<File> {
        let mut file = tempfile::tempfile()?;
        let count = io::copy(&mut member.take(self.bytes.saturating_add(1)), &mut file)?;
        self.bytes = self.bytes.checked_sub(count).ok_or_else(|| {
            self.bytes = 0;
            wrong(format!(
                "the archive unpacks to more than 64 GiB, or to more than {MOST_RATIO} times its size"
            ))
        })?;
        Ok(file)
    }
}

fn wrong(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

/// Gives out the regular files of a tar archive; `packed` is its size before it was decompressed.
///
/// # Errors
/// The archive cannot be read on. The members before were given out.
pub(crate) fn tar<E>(
    bytes: impl Read,
    packed: u64,
    each: Each<'_, E>,
) -> Result<io::Result<()>, E> {
    let mut budget = Budget::new(packed);
    let mut archive = tar::Archive::new(bytes);
    let entries = match archive.entries() {
        Ok(entries) => entries.raw(true),
        Err(error) => return Ok(Err(error)),
    };
    let mut long_name: Option<Vec<u8>> = None;
    let mut is_sparse = false;
    for entry in entries {
        let read = entry.and_then(|mut entry| {
            budget.take_member()?;
            let kind = entry.header().entry_type();
            match kind {
                EntryType::GNULongName | EntryType::XHeader => {
                    let mut text = Vec::new();
                    entry.by_ref().take(LONGEST_NAME).read_to_end(&mut text)?;
                    is_sparse |= kind == EntryType::XHeader && find(&text, b"GNU.sparse.");
                    let found = match kind {
                        EntryType::XHeader => pax_path(&text),
                        _ => Some(text),
                    };
                    long_name = found.or_else(|| long_name.take());
                    Ok(None)
                }
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                    let name = long_name.take();
                    let name = name.unwrap_or_else(|| entry.path_bytes().into_owned());
                    if std::mem::take(&mut is_sparse) || kind == EntryType::GNUSparse {
                        let why =
                            "it is stored with holes: extract it, or pack it without `--sparse`";
                        return Ok(Some((name_of(&name), Err(Failure::Read(wrong(why))))));
                    }
                    let file = budget.copy(&mut entry)?;
                    Ok(Some((name_of(&name), Ok(file))))
                }
                _ => {
                    long_name = None;
                    Ok(None)
                }
            }
        });
        match read {
            Ok(Some((name, file))) => each(name, file)?,
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(drained(archive.into_inner()))
}

/// Reads what stands behind the end of an archive, so that a checksum at the end of the compressed data is compared. Only zeros may.
fn drained(mut rest: impl Read) -> io::Result<()> {
    const MOST: u64 = 1 << 30;
    let mut limited = rest.by_ref().take(MOST);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match limited.read(&mut buffer)? {
            0 => return Ok(()),
            read if buffer.iter().take(read).any(|byte| *byte != 0) => {
                return Err(wrong(
                    "something stands behind the end of the tar archive: give each archive a file of its own",
                ));
            }
            _ => {}
        }
    }
}

/// Says whether bytes hold others.
fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn name_of(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the path of PAX records: `LENGTH path=NAME\n`.
fn pax_path(records: &[u8]) -> Option<Vec<u8>> {
    let mut rest = records;
    let mut found = None;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(rest.get(..space)?).ok()?.parse().ok()?;
        let record = rest.get(space + 1..length)?;
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        if let Some(path) = record.strip_prefix(b"path=") {
            found = Some(path.to_vec());
        }
        rest = rest.get(length..)?;
    }
    found
}

/// Copies an archive that must be read from its end.
pub(crate) fn in_a_file(bytes: &mut dyn Read, packed: u64) -> io::Result<File> {
    Budget::new(packed).copy(bytes)
}

/// Gives out the files of a zip archive.
///
/// # Errors
/// The archive has no directory, or a damaged one. The members before were given out.
pub(crate) fn zip<E>(mut archive: File, each: Each<'_, E>) -> Result<io::Result<()>, E> {
    let directory = match directory(&mut archive) {
        Ok(directory) => directory,
        Err(error) => return Ok(Err(error)),
    };
    let mut budget = Budget::new(directory.size);
    let mut rest = directory.bytes.as_slice();
    while !rest.is_empty() {
        let Some((member, behind)) = Member::read(rest) else {
            return Ok(Err(wrong("the directory of the zip archive is damaged")));
        };
        rest = behind;
        if let Err(error) = budget.take_member() {
            return Ok(Err(error));
        }
        if member.name.ends_with(b"/") {
            continue;
        }
        let content = member.content(&mut archive, &mut budget);
        each(name_of(member.name), content)?;
    }
    Ok(Ok(()))
}

struct Directory {
    bytes: Vec<u8>,
    /// The size of the archive.
    size: u64,
}

/// Reads the directory, which the end of the archive names.
fn directory(archive: &mut File) -> io::Result<Directory> {
    const END: usize = 22;
    let size = archive.seek(SeekFrom::End(0))?;
    let from = size.saturating_sub(END as u64 + u64::from(u16::MAX) + 20);
    archive.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    archive.read_to_end(&mut tail)?;
    let none = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut places = (0..=tail.len().saturating_sub(END)).rev();
    let at = places
        .find(|at| {
            tail.get(*at..)
                .is_some_and(|end| end.starts_with(b"PK\x05\x06"))
        })
        .ok_or_else(none)?;
    let end = tail.get(at..).ok_or_else(none)?;
    let mut length = u64::from(u32_at(end, 12).ok_or_else(none)?);
    let mut offset = u64::from(u32_at(end, 16).ok_or_else(none)?);
    let locator = at.checked_sub(20).and_then(|at| tail.get(at..));
    if let Some(locator) = locator.filter(|locator| locator.starts_with(b"PK\x06\x07")) {
        archive.seek(SeekFrom::Start(u64_at(locator, 8).ok_or_else(none)?))?;
        let mut long = [0; 56];
        archive.read_exact(&mut long)?;
        length = u64_at(&long, 40).ok_or_else(none)?;
        offset = u64_at(&long, 48).ok_or_else(none)?;
    }
    if length > LARGEST_DIRECTORY {
        return Err(wrong(
            "the directory of the zip archive is larger than 64 MiB",
        ));
    }
    archive.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    archive.by_ref().take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(none());
    }
    Ok(Directory { bytes, size })
}

/// A member as the directory describes it.
struct Member<'d> {
    name: &'d [u8],
    is_encrypted: bool,
    method: u16,
    checksum: u32,
    packed: u64,
    offset: u64,
}

impl<'d> Member<'d> {
    fn read(directory: &'d [u8]) -> Option<(Self, &'d [u8])> {
        const FIXED: usize = 46;
        if !directory.starts_with(b"PK\x01\x02") {
            return None;
        }
        let length = |at| Some(usize::from(u16_at(directory, at)?));
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        let behind = directory.get(FIXED + name + extra + comment..)?;
        let extra = directory.get(FIXED + name..FIXED + name + extra)?;
        let unpacked = u32_at(directory, 24)?;
        let (packed, offset) = (u32_at(directory, 20)?, u32_at(directory, 42)?);
        // What does not fit stands behind, in this order.
        let mut long = long_values(extra).as_chunks::<8>().0.iter();
        let mut wide = |value: u32| match value {
            u32::MAX => long.next().map(|bytes| u64::from_le_bytes(*bytes)),
            value => Some(u64::from(value)),
        };
        wide(unpacked)?;
        let member = Self {
            name: directory.get(FIXED..FIXED + name)?,
            is_encrypted: u16_at(directory, 8)? & 1 != 0,
            method: u16_at(directory, 10)?,
            checksum: u32_at(directory, 16)?,
            packed: wide(packed)?,
            offset: wide(offset)?,
        };
        Some((member, behind))
    }

    fn content(&self, archive: &mut File, budget: &mut Budget) -> Result<File, Failure> {
        if self.is_encrypted {
            return Err(Failure::Encrypted);
        }
        archive.seek(SeekFrom::Start(self.offset))?;
        let mut head = [0; 30];
        archive.read_exact(&mut head)?;
        let lengths = u16_at(&head, 26).zip(u16_at(&head, 28));
        let (name, extra) = lengths
            .filter(|_| head.starts_with(b"PK\x03\x04"))
            .ok_or_else(|| wrong("the member does not stand where the directory says"))?;
        archive.seek(SeekFrom::Current(i64::from(name) + i64::from(extra)))?;
        let packed = archive.take(self.packed);
        let mut crc = Crc::new();
        let file = match self.method {
            0 => budget.copy(&mut Summed {
                inner: packed,
                crc: &mut crc,
            })?,
            8 => {
                let inner = DeflateDecoder::new(packed);
                budget.copy(&mut Summed {
                    inner,
                    crc: &mut crc,
                })?
            }
            method => {
                let reason = format!("method {method} of compression is not read; use deflate");
                return Err(wrong(reason).into());
            }
        };
        if crc.sum() != self.checksum {
            return Err(wrong("the checksum of the member is wrong").into());
        }
        Ok(file)
    }
}

/// Returns the values of the extra field for 64-bit sizes.
fn long_values(extra: &[u8]) -> &[u8] {
    let mut rest = extra;
    while let Some((kind, length)) = u16_at(rest, 0).zip(u16_at(rest, 2)) {
        let length = usize::from(length);
        if kind == 1 {
            return rest.get(4..4 + length).unwrap_or_default();
        }
        rest = rest.get(4 + length..).unwrap_or_default();
    }
    &[]
}

/// Sums up what is read through it.
struct Summed<'c, R> {
    inner: R,
    crc: &'c mut Crc,
}

impl<R: Read> Read for Summed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.crc.update(&buffer[..count]);
        Ok(count)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_are_stopped() {
        let mut budget = Budget::new(1_000);
        budget.copy(&mut io::repeat(0).take(FREE)).unwrap();
        let error = budget.copy(&mut io::repeat(0)).unwrap_err().to_string();
        assert!(error.contains("2000 times its size"), "{error}");
        budget.members = 1;
        budget.take_member().unwrap();
        assert!(budget.take_member().is_err());
        assert_eq!(Budget::new(u64::MAX).bytes, MOST_BYTES);
    }

    #[test]
    fn names_of_pax_are_found() {
        let records = b"11 size=12\n16 path=a/b c d\n20 mtime=1600000000\n";
        assert_eq!(pax_path(records).as_deref(), Some(b"a/b c d".as_slice()));
        for wrong in [
            b"".as_slice(),
            b"x path=a\n",
            b"99 path=a\n",
            b"3 path=a\n",
            b"0 path=a\n",
        ] {
            assert_eq!(pax_path(wrong), None);
        }
    }

    #[test]
    fn wide_sizes_of_zip_are_read() {
        let extra = [1u16, 24].map(u16::to_le_bytes).concat();
        let extra = [extra, [7u64, 8, 9].map(u64::to_le_bytes).concat()].concat();
        let mut member = b"PK\x01\x02".to_vec();
        member.resize(46, 0);
        for at in [20, 24, 42] {
            member[at..at + 4].copy_from_slice(&[0xff; 4]);
        }
        member[28] = 1;
        member[30] = 28;
        member.push(b'n');
        member.extend(extra);
        let (read, rest) = Member::read(&member).unwrap();
        assert_eq!(
            (read.name, read.packed, read.offset, rest.len()),
            (b"n".as_slice(), 8, 9, 0)
        );
        for end in 0..member.len() {
            assert!(Member::read(&member[..end]).is_none(), "{end}");
        }
    }
}
