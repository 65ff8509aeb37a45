//! A pack in one file: `.tar.zst`, with one form only.
//!
//! The same pack gives the same bytes: entries in order of path, plain headers without owner and time, one zstd frame of a
//! fixed level with its size and checksum, and a frame that readers of zstd skip with the SHA-256 digest of the first. So a
//! changed bit is found before anything is unpacked, also where zstd would not mind it. Whatever has another form is refused,
//! and an archive has no place for anything that the manifest does not cover. (Another version of zstd may compress
//! otherwise; it still reads what this one wrote.)

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};
use zstd::zstd_safe::{self, CParameter, DParameter};

use crate::contents::replace;
use crate::names::{FileRole, NameError, NameSet, PackPath};
use crate::{Bounds, Contents, Excess};

/// Level of compression: beyond it, packs take much longer for a few per cent.
const LEVEL: i32 = 12;

/// Logarithm of the window: 8 MiB, which every reader of zstd has.
const WINDOW_LOG: u32 = 23;

/// Bytes of a block of a tar archive.
const BLOCK: usize = 512;

/// What the frame with the digest begins with: a number of skippable frames, and the digest's length. RFC 8878, section 3.1.2.
const SEAL: [u8; 8] = [0x5a, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];

/// Bytes of the frame with the digest.
const SEAL_BYTES: usize = SEAL.len() + 32;

/// How many times larger than its archive a pack may be, beyond [`ALWAYS`].
const RATIO: u64 = 1_000;

/// Bytes that any archive may unpack to, however small it is.
const ALWAYS: u64 = 4 << 20;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the pack {archive}")]
pub struct ArchiveError {
    /// The archive.
    pub archive: String,
    /// What is wrong with it.
    pub source: ArchiveProblem,
}

/// What can be wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveProblem {
    /// It cannot be read.
    #[error("reading failed")]
    Read(#[source] io::Error),
    /// It cannot be written.
    #[error("writing failed")]
    Write(#[source] io::Error),
    /// Not a pack's zstd frame.
    #[error("it is not a .tar.zst as `yagura pack` writes it")]
    NotAnArchive,
    /// It does not end with its digest.
    #[error(
        "it does not end as `yagura pack` ends an archive: it is cut off, or something follows its end, and you must get it again; or another tool made it, and `yagura pack DIR` makes one that is right"
    )]
    Unsealed,
    /// Its bytes are not those that were written.
    #[error("it is damaged or cut off, or something follows its end: get it again")]
    Seal,
    /// Its frame cannot be unpacked.
    #[error("it is damaged: get it again")]
    Damaged(#[source] io::Error),
    /// It ends too early.
    #[error("it is cut off after `{0}`: get it again")]
    CutOff(String),
    /// Something follows the archive's end in its frame.
    #[error("something follows the end of its files: nothing may be hidden there")]
    Trailing,
    /// It would grow too much.
    #[error("it grows to {bytes} bytes, over {RATIO} times its size: it is a decompression bomb")]
    Bomb {
        /// Bytes in its header, or read so far.
        bytes: u64,
    },
    /// Too many files or bytes.
    #[error("`{name}` is too much for a pack")]
    Excess {
        /// The entry.
        name: String,
        /// The bound.
        source: Excess,
    },
    /// A link, device, folder, or an entry that changes another.
    #[error("`{name}` is {kind}: an archive of a pack has regular files only")]
    Kind {
        /// The entry.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// A name that no file of a pack may have, or one that is there twice.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not in order of path.
    #[error("`{0}` is not in order: make the archive with `yagura pack`")]
    Order(PackPath),
    /// A header with an owner, a time, a mode, or in another format.
    #[error("the header of `{0}` is not as `yagura pack` writes it: make the archive with it")]
    Header(PackPath),
}

/// Writes a pack as an archive.
///
/// # Errors
/// When writing fails.
pub fn write(contents: &Contents, out: impl Write) -> io::Result<()> {
    write_entries(&contents.all(), out)
}

/// Writes files as an archive.
pub(crate) fn write_entries(
    entries: &BTreeMap<&str, &[u8]>,
    mut out: impl Write,
) -> io::Result<()> {
    let blocks = |bytes: &&[u8]| (bytes.len().div_ceil(BLOCK) + 1) * BLOCK;
    let size = entries.values().map(blocks).sum::<usize>() + 2 * BLOCK;
    let mut frame = zstd::Encoder::new(Vec::new(), LEVEL)?;
    frame.include_checksum(true)?;
    frame.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    frame.set_pledged_src_size(Some(size as u64))?;
    frame.include_contentsize(true)?;
    for (name, bytes) in entries {
        frame.write_all(header(name, bytes.len() as u64)?.as_bytes())?;
        frame.write_all(bytes)?;
        frame.write_all(&[0; BLOCK][..padding(bytes.len())])?;
    }
    frame.write_all(&[0; 2 * BLOCK])?;
    let frame = frame.finish()?;
    out.write_all(&frame)?;
    out.write_all(&seal(&frame))?;
    out.flush()
}

/// Returns the frame with the digest of another.
fn seal(frame: &[u8]) -> [u8; SEAL_BYTES] {
    let mut seal = [0; SEAL_BYTES];
    seal[..SEAL.len()].copy_from_slice(&SEAL);
    seal[SEAL.len()..].copy_from_slice(&Sha256::digest(frame));
    seal
}

/// Writes a pack to an archive file, in full or not at all.
///
/// # Errors
/// When writing fails, or when the pack is one that would not be read again, such as one that unpacks like a bomb.
pub fn write_file(contents: &Contents, file: &Path, bounds: &Bounds) -> Result<(), ArchiveError> {
    let archive = file.display().to_string();
    let mut bytes = Vec::new();
    let written = write(contents, &mut bytes);
    let written = written.map_err(ArchiveProblem::Write).and_then(|()| {
        read_entries(bytes.as_slice(), bounds)?;
        replace(file, &bytes).map_err(ArchiveProblem::Write)
    });
    written.map_err(|source| ArchiveError { archive, source })
}

/// Reads an archive file.
///
/// # Errors
/// [`ArchiveError`].
pub fn read_file(file: &Path, bounds: &Bounds) -> Result<Contents, ArchiveError> {
    let archive = file.display().to_string();
    match File::open(file) {
        Ok(open) => read(open, &archive, bounds),
        Err(error) => Err(ArchiveError {
            archive,
            source: ArchiveProblem::Read(error),
        }),
    }
}

/// Reads an archive; `origin` is for messages.
///
/// # Errors
/// [`ArchiveError`] with the first entry that is wrong.
pub fn read(input: impl Read, origin: &str, bounds: &Bounds) -> Result<Contents, ArchiveError> {
    let read = || {
        let mut contents = Contents {
            origin: origin.to_owned(),
            files: BTreeMap::new(),
            manifest: None,
            signatures: BTreeMap::new(),
            left_out: BTreeSet::new(),
        };
        for (path, bytes) in read_entries(input, bounds)? {
            match FileRole::of(&path)? {
                FileRole::Content => contents.files.insert(path, bytes),
                FileRole::Manifest => contents.manifest.replace(bytes),
                FileRole::Signature => contents.signatures.insert(path, bytes),
            };
        }
        Ok(contents)
    };
    read().map_err(|source| ArchiveError {
        archive: origin.to_owned(),
        source,
    })
}

/// Reads the files of an archive.
pub(crate) fn read_entries(
    input: impl Read,
    bounds: &Bounds,
) -> Result<BTreeMap<PackPath, Vec<u8>>, ArchiveProblem> {
    let headers = (bounds.files as u64).saturating_mul(2 * BLOCK as u64);
    let limit = bounds.total_bytes.saturating_add(headers);
    let too_much = || ArchiveProblem::Excess {
        name: "the archive".to_owned(),
        source: Excess::TotalBytes(bounds.total_bytes),
    };
    let mut archive = Vec::new();
    let mut input = input.take(limit.saturating_add(1));
    input
        .read_to_end(&mut archive)
        .map_err(ArchiveProblem::Read)?;
    if archive.len() as u64 > limit {
        return Err(too_much());
    }
    if !archive.starts_with(&zstd_safe::MAGICNUMBER.to_le_bytes()) {
        return Err(ArchiveProblem::NotAnArchive);
    }
    let (frame, end) = archive.split_at(archive.len().saturating_sub(SEAL_BYTES));
    if !end.starts_with(&SEAL) {
        return Err(ArchiveProblem::Unsealed);
    }
    if end != seal(frame) {
        return Err(ArchiveProblem::Seal);
    }
    match zstd_safe::get_frame_content_size(frame) {
        Ok(Some(size)) if size > limit => return Err(too_much()),
        Ok(Some(_)) => {}
        _ => return Err(ArchiveProblem::NotAnArchive),
    }
    let mut decoder = zstd::Decoder::with_buffer(frame)
        .map_err(ArchiveProblem::Read)?
        .single_frame();
    decoder
        .set_parameter(DParameter::WindowLogMax(WINDOW_LOG))
        .map_err(ArchiveProblem::Read)?;
    let mut tar = Tar {
        frame: decoder,
        packed: frame.len(),
        read: 0,
        last: "its beginning".to_owned(),
    };
    let entries = tar.entries(bounds)?;
    match tar.frame.finish() {
        [] => Ok(entries),
        _ => Err(ArchiveProblem::Trailing),
    }
}

/// The entries of an archive on their way out of the frame.
struct Tar<'a> {
    frame: zstd::Decoder<'a, &'a [u8]>,
    /// Bytes of the frame.
    packed: usize,
    /// Bytes that came out of it.
    read: u64,
    last: String,
}

impl Tar<'_> {
    fn entries(&mut self, bounds: &Bounds) -> Result<BTreeMap<PackPath, Vec<u8>>, ArchiveProblem> {
        let mut entries: BTreeMap<PackPath, Vec<u8>> = BTreeMap::new();
        let mut names = NameSet::default();
        let mut total = 0_u64;
        loop {
            let block = self.block()?;
            if block == [0; BLOCK] {
                break;
            }
            let (path, size) = entry(&block)?;
            names.add(&path)?;
            if let Some((last, _)) = entries.last_key_value()
                && *last > path
            {
                return Err(ArchiveProblem::Order(path));
            }
            total = total.saturating_add(size);
            if let Some(source) = bounds.excess(entries.len() + 1, size, total) {
                let name = path.to_string();
                return Err(ArchiveProblem::Excess { name, source });
            }
            self.last = path.to_string();
            let bytes = self.file(&path, size)?;
            entries.insert(path, bytes);
        }
        if self.block()? != [0; BLOCK] || self.some(&mut [0; 1])? != 0 {
            return Err(ArchiveProblem::Trailing);
        }
        Ok(entries)
    }

    /// Reads a file in steps, so that memory follows what is there and not the size in a header.
    fn file(&mut self, path: &PackPath, size: u64) -> Result<Vec<u8>, ArchiveProblem> {
        let mut bytes = Vec::new();
        let mut left = size.next_multiple_of(BLOCK as u64);
        while left > 0 {
            let block = self.block()?;
            bytes.extend_from_slice(&block);
            left -= BLOCK as u64;
        }
        let end = usize::try_from(size).unwrap_or(usize::MAX);
        if bytes.iter().skip(end).any(|byte| *byte != 0) {
            return Err(ArchiveProblem::Header(path.clone()));
        }
        bytes.truncate(end);
        Ok(bytes)
    }

    fn block(&mut self) -> Result<[u8; BLOCK], ArchiveProblem> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.some(&mut block[filled..])? {
                0 => return Err(ArchiveProblem::CutOff(self.last.clone())),
                read => filled += read,
            }
        }
        Ok(block)
    }

    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveProblem> {
        let read = self.frame.read(buffer).map_err(ArchiveProblem::Damaged)?;
        self.read += read as u64;
        let packed = (self.packed - self.frame.get_ref().len()) as u64;
        match self.read > packed.saturating_mul(RATIO).max(ALWAYS) {
            true => Err(ArchiveProblem::Bomb { bytes: self.read }),
            false => Ok(read),
        }
    }
}

/// Reads the name and the size from a header, which must be the one that [`header`] makes of them.
fn entry(block: &[u8; BLOCK]) -> Result<(PackPath, u64), ArchiveProblem> {
    let found = Header::from_byte_slice(block);
    let name = found.path_bytes();
    let name = String::from_utf8_lossy(&name);
    if let Some(kind) = refused(found.entry_type()) {
        let name = name.escape_debug().to_string();
        return Err(ArchiveProblem::Kind { name, kind });
    }
    let path = PackPath::parse(&name)?;
    let size = found.entry_size().ok();
    let expected = size.and_then(|size| Some((size, header(path.as_str(), size).ok()?)));
    match expected {
        Some((size, expected)) if expected.as_bytes() == block => Ok((path, size)),
        _ => Err(ArchiveProblem::Header(path)),
    }
}

fn refused(kind: EntryType) -> Option<&'static str> {
    match kind {
        EntryType::Regular => None,
        EntryType::Link | EntryType::Symlink => Some("a link"),
        EntryType::Char | EntryType::Block | EntryType::Fifo => Some("a device or a pipe"),
        EntryType::Directory => Some("a folder"),
        EntryType::GNUSparse => Some("a sparse file"),
        EntryType::GNULongName | EntryType::GNULongLink => Some("a long name for another entry"),
        EntryType::XGlobalHeader | EntryType::XHeader => Some("an extended header for others"),
        _ => Some("of a kind that is not known"),
    }
}

fn header(name: &str, size: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

fn padding(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK) - bytes
}

#[cfg(test)]
mod tests;
