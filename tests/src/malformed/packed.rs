//! Compressed files and archives, whole, nested and as bombs.

#![expect(clippy::unwrap_used, reason = "a test without its files must fail")]

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz. Only what [`pack`] is given of repeated [`Packing::UNIT`] becomes smaller.
    Xz,
    /// A tar archive with one member.
    Tar,
    /// A zip archive with one member.
    Zip,
}

/// What `head -c 1048576 /dev/zero | tr '\0' 'a' | xz -9 --check=crc32` writes.
const XZ_UNIT: &[u8] = &[
    253, 55, 122, 88, 90, 0, 0, 1, 105, 34, 222, 54, 2, 0, 33, 1, 28, 0, 0, 0, 16, 207, 88, 204,
    239, 255, 255, 0, 217, 93, 0, 48, 239, 251, 191, 254, 163, 177, 94, 229, 248, 63, 178, 170, 38,
    85, 248, 104, 112, 65, 112, 21, 15, 141, 253, 30, 76, 27, 138, 66, 183, 25, 244, 105, 24, 113,
    174, 102, 35, 138, 138, 77, 47, 163, 13, 217, 127, 166, 227, 140, 35, 17, 83, 224, 89, 24, 197,
    117, 138, 226, 119, 248, 182, 148, 127, 12, 106, 192, 222, 116, 73, 100, 226, 233, 92, 83, 178,
    4, 216, 247, 68, 12, 171, 95, 13, 109, 70, 233, 229, 195, 118, 136, 183, 150, 87, 172, 182, 77,
    225, 105, 29, 111, 251, 75, 136, 16, 108, 66, 203, 136, 63, 92, 0, 143, 208, 78, 175, 38, 40,
    148, 113, 31, 61, 143, 36, 225, 112, 158, 167, 35, 95, 236, 40, 203, 133, 209, 149, 152, 138,
    126, 42, 145, 242, 39, 117, 247, 25, 192, 6, 152, 77, 152, 253, 216, 175, 213, 144, 15, 196,
    37, 83, 248, 245, 145, 54, 49, 5, 165, 176, 238, 111, 193, 112, 77, 71, 12, 209, 145, 17, 170,
    173, 96, 29, 186, 206, 177, 39, 24, 92, 89, 134, 233, 102, 82, 88, 190, 233, 118, 172, 89, 228,
    229, 91, 5, 8, 249, 199, 218, 173, 252, 251, 82, 42, 247, 228, 149, 37, 0, 0, 0, 0, 0, 114, 86,
    205, 215, 0, 1, 241, 1, 128, 128, 64, 0, 111, 213, 238, 220, 62, 48, 13, 139, 2, 0, 0, 0, 0, 1,
    89, 90,
];

impl Packing {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Gzip,
        Self::Zstd,
        Self::Bzip2,
        Self::Xz,
        Self::Tar,
        Self::Zip,
    ];
    /// What a bomb is made of: so many letters `a`.
    pub const UNIT: usize = 1 << 20;
}

/// Packs bytes as the file `in-member`.
pub fn pack(packing: Packing, bytes: &[u8]) -> Vec<u8> {
    match packing {
        Packing::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => zstd::encode_all(bytes, 3).unwrap(),
        Packing::Bzip2 => {
            let mut packed = Vec::new();
            let mut encoder = bzip2::read::BzEncoder::new(bytes, bzip2::Compression::fast());
            encoder.read_to_end(&mut packed).unwrap();
            packed
        }
        Packing::Xz => xz(bytes),
        Packing::Tar => tar_of("in-member", bytes),
        Packing::Zip => zip_of("in-member", bytes),
    }
}

/// Packs bytes so often.
pub fn nested(packing: Packing, depth: usize, bytes: &[u8]) -> Vec<u8> {
    (0..depth).fold(bytes.to_vec(), |inner, _| pack(packing, &inner))
}

/// Returns an xz stream: a unit of a bomb as it is known, anything else in chunks that are not compressed.
fn xz(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.chunks(Packing::UNIT);
    let is_unit =
        |unit: &[u8]| unit.len() == Packing::UNIT && unit.iter().all(|byte| *byte == b'a');
    let packed = units.map(|unit| match is_unit(unit) {
        true => XZ_UNIT.to_vec(),
        false => xz_stored(unit),
    });
    packed.collect::<Vec<_>>().concat()
}

/// The file format of xz 1.1.0, with a CRC32 as check.
fn xz_stored(bytes: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let flags = [0, 1];
    let mut file = b"\xfd7zXZ\0".to_vec();
    file.extend(flags);
    file.extend(crc(&flags));
    // A block: LZMA2 with a dictionary of 64 KiB.
    let header = [2, 0, 0x21, 1, 8, 0, 0, 0];
    let start = file.len();
    file.extend(header);
    file.extend(crc(&header));
    for (index, chunk) in bytes.chunks(1 << 16).enumerate() {
        file.push(if index == 0 { 1 } else { 2 });
        let size = u16::try_from(chunk.len() - 1).unwrap();
        file.extend(size.to_be_bytes());
        file.extend(chunk);
    }
    file.push(0);
    let unpadded = file.len() - start + 4;
    while !(file.len() - start).is_multiple_of(4) {
        file.push(0);
    }
    file.extend(crc(bytes));
    let mut index = vec![0, 1];
    index.extend(varint(unpadded));
    index.extend(varint(bytes.len()));
    while index.len() % 4 != 0 {
        index.push(0);
    }
    file.extend(&index);
    file.extend(crc(&index));
    let words = u32::try_from(index.len().div_ceil(4)).unwrap();
    let mut footer = words.to_le_bytes().to_vec();
    footer.extend(flags);
    file.extend(crc(&footer));
    file.extend(footer);
    file.extend(b"YZ");
    file
}

fn varint(number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = number;
    while left >= 0x80 {
        bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    bytes.push(u8::try_from(left).unwrap());
    bytes
}

/// Returns a tar archive with one member.
pub fn tar_of(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, bytes).unwrap();
    builder.into_inner().unwrap()
}

/// Returns a zip archive with one member, compressed with deflate.
pub fn zip_of(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    let u32 = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let u16 = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    // Version, flags, method 8, time, checksum and sizes: the same in both headers.
    let mut about = [u16(20), u16(0), u16(8), u16(0), u16(0)].concat();
    about.extend(crc.sum().to_le_bytes());
    about.extend([u32(packed.len()), u32(bytes.len())].concat());
    about.extend(u16(name.len()));
    let mut file = b"PK\x03\x04".to_vec();
    file.extend(&about);
    file.extend(u16(0));
    file.extend(name.as_bytes());
    file.extend(&packed);
    let directory = file.len();
    file.extend(b"PK\x01\x02");
    file.extend(u16(20));
    file.extend(&about);
    file.extend([0; 16]);
    file.extend(name.as_bytes());
    let size = file.len() - directory;
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([u16(1), u16(1)].concat());
    file.extend([u32(size), u32(directory)].concat());
    file.extend(u16(0));
    file
}
