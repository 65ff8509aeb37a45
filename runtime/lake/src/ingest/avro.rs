//! The codecs of Avro's blocks.

use std::io::{self, Read};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use lzma_rust2::XzReader;

/// The codecs besides `null`, by their names in the header of a file.
pub(crate) const CODECS: [&str; 5] = ["deflate", "snappy", "zstandard", "bzip2", "xz"];

/// What decoding xz may use, in KiB.
const XZ_MEMORY: u32 = 64 << 10;

/// Unpacks a block into `most` bytes at most.
///
/// # Errors
/// The reason, as the end of a sentence.
pub(crate) fn unpack(codec: &str, packed: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let result = match codec {
        "deflate" => read(DeflateDecoder::new(packed), most),
        "zstandard" => zstd::Decoder::new(packed).and_then(|reader| read(reader, most)),
        "bzip2" => read(bzip2::read::BzDecoder::new(packed), most),
        "xz" => read(XzReader::new_mem_limit(packed, false, XZ_MEMORY), most),
        "snappy" => return snappy(packed, most),
        other => return Err(format!("`{other}` is not a codec")),
    };
    result.map_err(|error| error.to_string())
}

fn read(reader: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > most {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, too_long(most))),
        false => Ok(bytes),
    }
}

fn too_long(most: usize) -> String {
    format!("the block is longer than {most} bytes")
}

/// A block of Snappy's raw format, and the checksum of what it unpacks to.
fn snappy(packed: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let (packed, checksum) = packed
        .split_last_chunk::<4>()
        .ok_or("it is shorter than its checksum")?;
    let length = snap::raw::decompress_len(packed).map_err(|error| error.to_string())?;
    if length > most {
        return Err(too_long(most));
    }
    let bytes = snap::raw::Decoder::new()
        .decompress_vec(packed)
        .map_err(|error| error.to_string())?;
    let mut crc = Crc::new();
    crc.update(&bytes);
    match crc.sum() == u32::from_be_bytes(*checksum) {
        true => Ok(bytes),
        false => Err("its checksum is wrong".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(codec: &str, text: &[u8]) -> Vec<u8> {
        match codec {
            "deflate" => {
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            "zstandard" => zstd::encode_all(text, 3).unwrap(),
            "bzip2" => {
                let mut bytes = Vec::new();
                let mut encoder = bzip2::read::BzEncoder::new(text, bzip2::Compression::fast());
                encoder.read_to_end(&mut bytes).unwrap();
                bytes
            }
            "snappy" => {
                let mut crc = Crc::new();
                crc.update(text);
                let bytes = snap::raw::Encoder::new().compress_vec(text).unwrap();
                [bytes, crc.sum().to_be_bytes().to_vec()].concat()
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn blocks_come_back_and_damage_and_bombs_do_no_harm() {
        let text = b"first, second and first, second again ".repeat(100);
        for codec in ["deflate", "snappy", "zstandard", "bzip2"] {
            let bytes = packed(codec, &text);
            assert_eq!(unpack(codec, &bytes, text.len()).unwrap(), text, "{codec}");
            let error = unpack(codec, &bytes, text.len() - 1).unwrap_err();
            assert!(error.contains("longer than"), "{codec}: {error}");
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 0x5a;
                let _ = unpack(codec, &changed, text.len());
                let _ = unpack(codec, &bytes[..at], text.len());
            }
        }
        let mut changed = packed("snappy", &text);
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(
            unpack("snappy", &changed, text.len()).unwrap_err(),
            "its checksum is wrong"
        );
        assert_eq!(unpack("lzo", &[], 1).unwrap_err(), "`lzo` is not a codec");
        assert!(unpack("snappy", b"abc", 1).is_err() && unpack("xz", b"abc", 1).is_err());
    }
}
