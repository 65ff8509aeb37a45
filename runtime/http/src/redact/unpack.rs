//! Finds compressed data in an answer and unpacks it.

use std::io::Read;
use std::ops::Range;

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

use super::error::Unsearchable;

/// Bytes that every answer may unpack to, whatever its size.
const BASE_BYTES: usize = 1 << 20;

/// The maximum size of unpacked data, as a multiple of the answer's size.
const MAX_RATIO: usize = 32;

/// How many starts of compressed data are tried in every answer, and one more for every so many bytes.
const BASE_STARTS: usize = 1024;
const BYTES_PER_START: usize = 4096;

/// How much is unpacked at a time.
const CHUNK: usize = 8 << 10;

/// The unpacked data, and whether it is complete.
type UnpackedData = (Vec<u8>, bool);

/// How much of one answer may still be unpacked.
#[derive(Debug)]
pub(super) struct Allowance {
    bytes: usize,
    starts: usize,
}

impl Allowance {
    /// Returns the allowance of an answer of this size.
    pub(super) fn of(size: usize) -> Self {
        Self {
            bytes: size.saturating_mul(MAX_RATIO).saturating_add(BASE_BYTES),
            starts: BASE_STARTS + size / BYTES_PER_START,
        }
    }

    /// Unpacks as much as there is.
    fn read(&mut self, mut from: impl Read) -> Result<UnpackedData, Unsearchable> {
        self.starts = self.starts.checked_sub(1).ok_or(Unsearchable::Packed)?;
        let mut unpacked = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => return Ok((unpacked, true)),
                Ok(read) => {
                    self.bytes = self.bytes.checked_sub(read).ok_or(Unsearchable::Packed)?;
                    unpacked.extend_from_slice(&chunk[..read]);
                }
                // Truncated or damaged: keep the data before that.
                Err(_) => return Ok((unpacked, false)),
            }
        }
    }
}

/// Calls `each` with the range and the unpacked data of every piece of compressed data in `bytes`: gzip, zlib and Zstandard
/// anywhere, and with `is_whole` also raw deflate if it is the whole of `bytes`.
///
/// # Errors
/// [`Unsearchable::Packed`] for more data than allowed, and the errors of `each`.
pub(super) fn unpack(
    bytes: &[u8],
    is_whole: bool,
    allowance: &mut Allowance,
    mut each: impl FnMut(&mut Allowance, Range<usize>, Vec<u8>) -> Result<(), Unsearchable>,
) -> Result<(), Unsearchable> {
    let mut at = 0;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr3(0x1f, 0x78, 0x28, rest))
    {
        at += found;
        let rest = &bytes[at..];
        let opened = match rest {
            [0x1f, 0x8b, 0x08, flags, ..] if flags & 0xe0 == 0 => {
                let mut gzip = GzDecoder::new(rest);
                let read = allowance.read(&mut gzip)?;
                Some((read, gzip.into_inner().len()))
            }
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
                let mut zlib = ZlibDecoder::new(rest);
                let read = allowance.read(&mut zlib)?;
                Some((read, zlib.into_inner().len()))
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd(rest, allowance)?,
            _ => None,
        };
        let start = at;
        at += 1;
        if let Some(((unpacked, is_complete), left)) = opened
            && !unpacked.is_empty()
        {
            let end = bytes.len() - left;
            if is_complete {
                at = end.max(at);
            }
            // The rest of the bytes may belong to a damaged piece.
            let end = if is_complete { end } else { bytes.len() };
            each(allowance, start..end, unpacked)?;
        }
    }
    if is_whole && std::str::from_utf8(bytes).is_err() {
        let (unpacked, _) = allowance.read(DeflateDecoder::new(bytes))?;
        if !unpacked.is_empty() {
            each(allowance, 0..bytes.len(), unpacked)?;
        }
    }
    Ok(())
}

/// Unpacks one frame, and returns also how many bytes follow it.
fn zstd(
    bytes: &[u8],
    allowance: &mut Allowance,
) -> Result<Option<(UnpackedData, usize)>, Unsearchable> {
    let Ok(frame) = zstd::stream::read::Decoder::with_buffer(bytes) else {
        return Ok(None);
    };
    let mut frame = frame.single_frame();
    let read = allowance.read(&mut frame)?;
    let left = frame.finish().len();
    Ok(Some((read, left)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    type Pieces = Vec<(Range<usize>, Vec<u8>)>;

    fn pieces(bytes: &[u8], is_whole: bool) -> Result<Pieces, Unsearchable> {
        let mut pieces = Vec::new();
        let mut allowance = Allowance::of(bytes.len());
        unpack(bytes, is_whole, &mut allowance, |_, range, unpacked| {
            pieces.push((range, unpacked));
            Ok(())
        })?;
        Ok(pieces)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn each_format_is_found_where_it_lies() {
        let text = b"some text that repeats, some text that repeats".to_vec();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&text).unwrap();
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        let mut all = b"begin".to_vec();
        let mut starts = Vec::new();
        for packed in [gzip(&text), zlib.finish().unwrap(), zstd] {
            starts.push((all.len()..all.len() + packed.len(), text.clone()));
            all.extend(packed);
            all.extend(b"between");
        }
        assert_eq!(pieces(&all, false).unwrap(), starts);

        let mut bare = DeflateEncoder::new(Vec::new(), Compression::best());
        bare.write_all(&text).unwrap();
        let bare = bare.finish().unwrap();
        assert_eq!(pieces(&bare, true).unwrap(), [(0..bare.len(), text)]);
        assert_eq!(pieces(b"x\x9c is no zlib", false).unwrap(), []);
    }

    #[test]
    fn truncated_data_is_unpacked_up_to_its_end() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_le_bytes()).collect();
        let packed = gzip(&text);
        let cut = &packed[..packed.len() / 2];
        let found = pieces(cut, false).unwrap();
        assert_eq!(found[0].0, 0..cut.len());
        assert!(found[0].1.len() > 10_000 && text.starts_with(&found[0].1));
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert_eq!(pieces(&bomb, false), Err(Unsearchable::Packed));
        let many = b"x\x9c".repeat(1 << 16);
        assert_eq!(pieces(&many, false), Err(Unsearchable::Packed));
    }
}
