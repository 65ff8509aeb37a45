//! Compression taken off: members of gzip, frames of zstd and streams of bzip2 and xz, one after another, and what stands behind them.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;

/// A reader whose next bytes can be looked at before they are read.
pub(crate) struct Ahead<R> {
    front: Vec<u8>,
    used: usize,
    inner: R,
    /// What is wrong behind the bytes that were looked at. Decoders say it once.
    fault: Option<(io::ErrorKind, String)>,
}

impl<R: BufRead> Ahead<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            front: Vec::new(),
            used: 0,
            inner,
            fault: None,
        }
    }

    /// Returns the next bytes, `count` of them unless the end comes before. A fault behind the first byte is met again when
    /// the bytes before it are read.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.used > 0 {
            self.front.drain(..self.used);
            self.used = 0;
        }
        let missing = count.saturating_sub(self.front.len());
        if let Some((kind, text)) = &self.fault
            && self.front.is_empty()
        {
            return Err(io::Error::new(*kind, text.clone()));
        }
        if self.fault.is_some() || missing == 0 {
            return Ok(&self.front);
        }
        let read = (&mut self.inner)
            .take(missing as u64)
            .read_to_end(&mut self.front);
        match read {
            Err(error) if self.front.is_empty() => Err(error),
            Err(error) => {
                self.fault = Some((error.kind(), error.to_string()));
                Ok(&self.front)
            }
            Ok(_) => Ok(&self.front),
        }
    }
}

impl<R: BufRead> Read for Ahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used < self.front.len() {
            return Ok(&self.front[self.used..]);
        }
        if let Some((kind, text)) = &self.fault {
            return Err(io::Error::new(*kind, text.clone()));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        let of_front = count.min(self.front.len() - self.used);
        self.used += of_front;
        if self.used == self.front.len() {
            self.front = Vec::new();
            self.used = 0;
        }
        self.inner.consume(count - of_front);
    }
}

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Packing {
    /// Recognises the compression by the first bytes. A skippable frame, which pzstd writes first, is zstd.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', ..] => Some(Self::Xz),
            _ => None,
        }
    }
}

/// What decoding xz may use, in KiB. The strongest usual setting, `xz -9`, needs 65 MiB; a header may ask for 4 GiB.
const XZ_MEMORY: u32 = 256 << 10;

type Packed = Ahead<Box<dyn BufRead>>;

enum Decoder {
    Gzip(Box<GzDecoder<Packed>>),
    Zstd(zstd::Decoder<'static, Packed>),
    Bzip2(Box<BzDecoder<Packed>>),
    Xz(Box<XzReader<Packed>>),
}

/// Decompressed bytes. Zeros behind a member or frame are padding, as on tapes; anything else ends the reading and is counted.
pub(crate) struct Unpacked {
    /// Nothing once the end was met.
    decoder: Option<Decoder>,
    /// Bytes behind the compressed data that are neither padding nor compressed.
    trailing: Arc<AtomicU64>,
}

impl Unpacked {
    pub(crate) fn new(
        packing: Packing,
        bytes: Packed,
        trailing: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        Ok(Self {
            decoder: Some(Decoder::new(packing, bytes)?),
            trailing,
        })
    }

    /// Begins the member or frame that follows, if there is one.
    fn next_part(&self, mut bytes: Packed) -> io::Result<Option<Decoder>> {
        loop {
            let available = bytes.fill_buf()?;
            let zeros = available.iter().take_while(|byte| **byte == 0).count();
            if zeros == 0 {
                break;
            }
            bytes.consume(zeros);
        }
        match bytes.peek(4)? {
            [] => Ok(None),
            start => match Packing::of(start) {
                Some(packing) => Decoder::new(packing, bytes).map(Some),
                None => {
                    let count = io::copy(&mut bytes, &mut io::sink())?;
                    self.trailing.fetch_add(count, Ordering::Relaxed);
                    Ok(None)
                }
            },
        }
    }
}

impl Decoder {
    fn new(packing: Packing, bytes: Packed) -> io::Result<Self> {
        Ok(match packing {
            Packing::Gzip => Self::Gzip(Box::new(GzDecoder::new(bytes))),
            Packing::Zstd => Self::Zstd(zstd::Decoder::with_buffer(bytes)?.single_frame()),
            Packing::Bzip2 => Self::Bzip2(Box::new(BzDecoder::new(bytes))),
            Packing::Xz => Self::Xz(Box::new(XzReader::new_mem_limit(bytes, false, XZ_MEMORY))),
        })
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(decoder) = &mut self.decoder {
            let count = match decoder {
                Decoder::Gzip(decoder) => decoder.read(buffer)?,
                Decoder::Zstd(decoder) => decoder.read(buffer)?,
                Decoder::Bzip2(decoder) => decoder.read(buffer)?,
                Decoder::Xz(decoder) => decoder.read(buffer)?,
            };
            if count > 0 {
                return Ok(count);
            }
            let bytes = match self.decoder.take() {
                Some(Decoder::Gzip(decoder)) => decoder.into_inner(),
                Some(Decoder::Zstd(decoder)) => decoder.finish(),
                Some(Decoder::Bzip2(decoder)) => decoder.into_inner(),
                Some(Decoder::Xz(decoder)) => decoder.into_inner(),
                None => return Ok(0),
            };
            self.decoder = self.next_part(bytes)?;
        }
        Ok(0)
    }
}

/// UTF-16 decoded to UTF-8. Half of a surrogate pair becomes U+FFFD.
pub(crate) struct Utf16<R> {
    inner: R,
    is_big_endian: bool,
    /// Bytes and a unit that wait for their other half.
    odd_byte: Option<u8>,
    high: Option<u16>,
    text: Vec<u8>,
    used: usize,
}

impl<R: Read> Utf16<R> {
    pub(crate) fn new(inner: R, is_big_endian: bool) -> Self {
        Self {
            inner,
            is_big_endian,
            odd_byte: None,
            high: None,
            text: Vec::new(),
            used: 0,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        let mut block = vec![0; 64 * 1024];
        let count = self.inner.read(&mut block)?;
        self.text.clear();
        self.used = 0;
        let odd = self.odd_byte.take();
        let mut bytes = odd.into_iter().chain(block[..count].iter().copied());
        let mut units: Vec<u16> = self.high.take().into_iter().collect();
        while let Some(first) = bytes.next() {
            match bytes.next() {
                Some(second) if self.is_big_endian => {
                    units.push(u16::from_be_bytes([first, second]))
                }
                Some(second) => units.push(u16::from_le_bytes([first, second])),
                None => self.odd_byte = Some(first),
            }
        }
        if count > 0
            && units
                .last()
                .is_some_and(|unit| (0xd800..0xdc00).contains(unit))
        {
            self.high = units.pop();
        }
        for letter in char::decode_utf16(units) {
            let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
            let mut buffer = [0; 4];
            self.text
                .extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
        }
        if count > 0 && self.text.is_empty() {
            return self.refill();
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.text.len() {
            self.refill()?;
        }
        let count = (self.text.len() - self.used).min(buffer.len());
        buffer[..count].copy_from_slice(&self.text[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}

/// Recognises UTF-16 by its mark, or without one by text in which each second byte is zero; true for big endian.
pub(crate) fn utf16(start: &[u8]) -> Option<bool> {
    match start {
        [0xff, 0xfe, 0, 0, ..] => return None,
        [0xff, 0xfe, ..] => return Some(false),
        [0xfe, 0xff, ..] => return Some(true),
        _ => {}
    }
    let units: Vec<[u8; 2]> = start.as_chunks().0.iter().take(8).copied().collect();
    let all = |is_text: fn(&[u8; 2]) -> bool| units.len() > 1 && units.iter().all(is_text);
    if all(|[low, high]| *high == 0 && *low != 0) {
        Some(false)
    } else if all(|[high, low]| *high == 0 && *low != 0) {
        Some(true)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 3).unwrap()
    }

    fn bzip2(text: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        let mut encoder = bzip2::read::BzEncoder::new(text, bzip2::Compression::fast());
        encoder.read_to_end(&mut packed).unwrap();
        packed
    }

    /// What `printf 'first\nsecond\n' | xz` writes.
    const XZ: &[u8] = &[
        253, 55, 122, 88, 90, 0, 0, 4, 230, 214, 180, 70, 2, 0, 33, 1, 22, 0, 0, 0, 116, 47, 229,
        163, 1, 0, 12, 102, 105, 114, 115, 116, 10, 115, 101, 99, 111, 110, 100, 10, 0, 0, 0, 0,
        108, 61, 206, 124, 135, 253, 41, 22, 0, 1, 37, 13, 113, 25, 196, 182, 31, 182, 243, 125, 1,
        0, 0, 0, 0, 4, 89, 90,
    ];

    #[test]
    fn bzip2_and_xz_are_unpacked_and_cut_ones_reported() {
        let both = b"first\nsecond\n";
        let padded = [XZ, &[0; 8], XZ].concat();
        for (name, bytes, count) in [
            ("bzip2", bzip2(both), 1),
            ("bzip2 twice", [bzip2(both), bzip2(both)].concat(), 2),
            ("xz", XZ.to_vec(), 1),
            ("xz twice", padded, 2),
            (
                "mixed",
                [bzip2(both).as_slice(), XZ, &gzip(both)].concat(),
                3,
            ),
        ] {
            let (text, rest) = unpacked(&bytes).unwrap();
            assert_eq!((text, rest), (both.repeat(count), 0), "{name}");
        }
        for whole in [bzip2(both), XZ.to_vec()] {
            for end in 4..whole.len() {
                let error = unpacked(&whole[..end]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}: {error}");
            }
            let mut changed = whole.clone();
            let last = changed.len() - 20;
            changed[last] ^= 1;
            assert!(unpacked(&changed).is_err());
        }
        // A header that asks for 4 GiB.
        let mut greedy = XZ.to_vec();
        let dictionary = greedy.iter().position(|byte| *byte == 0x21).unwrap() + 2;
        greedy[dictionary] = 40;
        let header = 12..12 + (usize::from(greedy[12]) + 1) * 4 - 4;
        let mut crc = flate2::Crc::new();
        crc.update(&greedy[header.clone()]);
        greedy[header.end..header.end + 4].copy_from_slice(&crc.sum().to_le_bytes());
        let error = unpacked(&greedy).unwrap_err().to_string();
        assert!(error.contains("mem"), "{error}");
    }

    /// The text, and the bytes that were passed over, whatever the reader's buffer.
    fn unpacked(bytes: &[u8]) -> io::Result<(Vec<u8>, u64)> {
        let mut results = Vec::new();
        for capacity in [1, 3, 4096] {
            let trailing = Arc::default();
            let reader = io::BufReader::with_capacity(capacity, io::Cursor::new(bytes.to_vec()));
            let reader: Box<dyn BufRead> = Box::new(reader);
            let mut ahead = Ahead::new(reader);
            let packing = Packing::of(ahead.peek(4)?).unwrap();
            let mut text = Vec::new();
            Unpacked::new(packing, ahead, Arc::clone(&trailing))?.read_to_end(&mut text)?;
            results.push((text, trailing.load(Ordering::Relaxed)));
        }
        assert!(results.iter().all(|result| *result == results[0]));
        Ok(results.remove(0))
    }

    #[test]
    fn parts_padding_and_trailing_bytes_are_recognised() {
        let (a, b) = (b"first\n".as_slice(), b"second\n".as_slice());
        let skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd".to_vec();
        for pack in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
            let both = [a, b].concat();
            for (name, bytes, rest) in [
                ("one after another", [pack(a), pack(b)].concat(), 0),
                (
                    "padding",
                    [pack(a), vec![0; 700], pack(b), vec![0; 9]].concat(),
                    0,
                ),
                ("a rest", [pack(&both), b"\0\0x".to_vec()].concat(), 1),
                (
                    "a long rest",
                    [pack(&both), b"{\"a\":1}\n".to_vec()].concat(),
                    8,
                ),
                ("mixed", [pack(a), zstd(b)].concat(), 0),
                (
                    "pzstd",
                    [skippable.clone(), zstd(a), skippable.clone(), zstd(b)].concat(),
                    0,
                ),
            ] {
                assert_eq!(unpacked(&bytes).unwrap(), (both.clone(), rest), "{name}");
            }
            let cut = pack(&both);
            let error = unpacked(&cut[..cut.len() - 3]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_fault_behind_what_was_looked_at_is_met_however_small_the_file_is() {
        for pack in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
            let mut bytes = pack(b"{\"a\":1}\n");
            match bytes[0] {
                // The checksum.
                0x1f => {
                    let at = bytes.len() - 6;
                    bytes[at] ^= 1;
                }
                _ => bytes.truncate(bytes.len() - 1),
            }
            let trailing = Arc::default();
            let reader: Box<dyn BufRead> = Box::new(io::Cursor::new(bytes));
            let mut packed = Ahead::new(reader);
            let packing = Packing::of(packed.peek(4).unwrap()).unwrap();
            let unpacked = Unpacked::new(packing, packed, Arc::clone(&trailing)).unwrap();
            let mut ahead = Ahead::new(io::BufReader::new(unpacked));
            let seen = ahead.peek(1_000).map(<[u8]>::to_vec);
            assert!(seen.is_err() || ahead.peek(2_000).is_ok());
            let mut text = Vec::new();
            assert!(
                seen.is_err() || ahead.read_to_end(&mut text).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn utf16_is_seen_and_decoded() {
        let text = "{\"a\": \"é😀x\"}\n".repeat(20_000);
        for is_big in [false, true] {
            let bytes: Vec<u8> = text
                .encode_utf16()
                .flat_map(|unit| {
                    if is_big {
                        unit.to_be_bytes()
                    } else {
                        unit.to_le_bytes()
                    }
                })
                .collect();
            assert_eq!(utf16(&bytes), Some(is_big));
            for capacity in [1, 7, 100_000] {
                let reader = io::BufReader::with_capacity(capacity, bytes.as_slice());
                let mut decoded = String::new();
                Utf16::new(reader, is_big)
                    .read_to_string(&mut decoded)
                    .unwrap();
                assert!(decoded == text);
            }
        }
        for other in [
            b"{\"a\":1}\n{\"a\":2}\n".as_slice(),
            b"",
            b"{",
            b"\0\0\0\0\0\0\0\0{\"a\":1}",
            b"\0{\"a\":1}\n{}",
            b"{\0\0\0\"\0\0\0",
        ] {
            assert_eq!(utf16(other), None, "{other:?}");
        }
        let mut decoded = String::new();
        let lone = [b'{', 0, 0, 0xd8, b'}', 0];
        Utf16::new(lone.as_slice(), false)
            .read_to_string(&mut decoded)
            .unwrap();
        assert_eq!(decoded, "{\u{fffd}}");
    }
}
