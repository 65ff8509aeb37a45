//! Finds compressed data in an answer, and unpacks it.

use std::io::Read;
use std::ops::Range;

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

use super::Unsearchable;

/// Bytes that any answer may unpack to, whatever its size.
const LEAST_BYTES: usize = 1 << 20;

/// How many times its size an answer may unpack to.
const MOST_TIMES: usize = 32;

/// Places of any answer at which compressed data may seem to begin; there is one more for so many bytes of it.
const LEAST_PLACES: usize = 1024;
const BYTES_A_PLACE: usize = 4096;

/// How much is unpacked at a time.
const CHUNK: usize = 8 << 10;

/// What was unpacked, and whether the data came to its end.
type Unpacked = (Vec<u8>, bool);

/// What may still be unpacked of one answer.
#[derive(Debug)]
pub(super) struct Allowance {
    bytes: usize,
    places: usize,
}

impl Allowance {
    /// Returns what an answer of this size may have.
    pub(super) fn of(size: usize) -> Self {
        Self {
            bytes: size.saturating_mul(MOST_TIMES).saturating_add(LEAST_BYTES),
            places: LEAST_PLACES + size / BYTES_A_PLACE,
        }
    }

    /// Unpacks as far as there is something to unpack.
    fn read(&mut self, mut from: impl Read) -> Result<Unpacked, Unsearchable> {
        self.places = self.places.checked_sub(1).ok_or(Unsearchable::Packed)?;
        let mut unpacked = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => return Ok((unpacked, true)),
                Ok(read) => {
                    self.bytes = self.bytes.checked_sub(read).ok_or(Unsearchable::Packed)?;
                    unpacked.extend_from_slice(&chunk[..read]);
                }
                // Cut short, or none at all: what came before counts.
                Err(_) => return Ok((unpacked, false)),
            }
        }
    }
}

/// Hands out what each piece of compressed data in `bytes` unpacks to, with its place: gzip, zlib and Zstandard anywhere, and
/// with `is_whole` also deflate without a frame, as all of it.
///
/// # Errors
/// [`Unsearchable::Packed`] for more than is allowed, and what `each` returns.
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
            // What follows a damaged piece may be a part of it.
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
) -> Result<Option<(Unpacked, usize)>, Unsearchable> {
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
        unpack(bytes, is_whole, &mut allowance, |_, place, unpacked| {
            pieces.push((place, unpacked));
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
        let mut places = Vec::new();
        for packed in [gzip(&text), zlib.finish().unwrap(), zstd] {
            places.push((all.len()..all.len() + packed.len(), text.clone()));
            all.extend(packed);
            all.extend(b"between");
        }
        assert_eq!(pieces(&all, false).unwrap(), places);

        let mut bare = DeflateEncoder::new(Vec::new(), Compression::best());
        bare.write_all(&text).unwrap();
        let bare = bare.finish().unwrap();
        assert_eq!(pieces(&bare, true).unwrap(), [(0..bare.len(), text)]);
        assert_eq!(pieces(b"x\x9c is no zlib", false).unwrap(), []);
    }

    #[test]
    fn what_is_cut_short_is_unpacked_as_far_as_it_goes() {
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
