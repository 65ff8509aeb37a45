//! What a file is that is not JSON, and what to do with it.

use std::path::Path;

use super::archive::Kind;

/// What a file seems to be, and what its owner can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) found: &'static str,
    pub(crate) next: &'static str,
}

const UNPACK: &str = "decompress it, or compress it with gzip, zstd, bzip2 or xz";
const EXTRACT: &str = "extract the files in it";
const CONVERT: &str = "write each of its records as a JSON object on a line of its own";
/// Of text that no format recognises.
const NAME_IT: &str = "name its format with --format, or write each of its records as a JSON object on a line of its own";
/// Of XML that is not events of Windows.
const NAME_XML: &str =
    "give --format xml, or a source with `each` for the elements that are events";
const BINARY: &str = "binary data";
const TAR: &str = "a tar archive";
const ZIP: &str = "a zip archive";
const EMPTY_ZIP: &str = "an empty zip archive";
const BEHIND_A_HEADER: &str = "text with JSON behind a header";
const LEAVE: &str = "leave it out; NDJSON and JSON are read, plain, compressed or in archives";

/// First bytes, what begins so, and what to do with it.
const MAGICS: [(&[u8], &str, &str); 33] = [
    (b"PK\x03\x04", ZIP, EXTRACT),
    (b"PK\x05\x06", EMPTY_ZIP, EXTRACT),
    (b"\x5d\0\0", "compressed with lzma", UNPACK),
    (b"\x04\x22\x4d\x18", "compressed with LZ4", UNPACK),
    (b"\x02\x21\x4c\x18", "compressed with LZ4", UNPACK),
    (b"\xff\x06\0\0sNaPpY", "compressed with Snappy", UNPACK),
    (b"\x1f\x9d", "compressed with compress", UNPACK),
    (b"\x1f\xa0", "compressed with compress", UNPACK),
    (b"\x89LZO", "compressed with lzop", UNPACK),
    (b"\x78\x01", "compressed with zlib", UNPACK),
    (b"\x78\x9c", "compressed with zlib", UNPACK),
    (b"\x78\xda", "compressed with zlib", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", EXTRACT),
    (b"Rar!\x1a\x07", "a RAR archive", EXTRACT),
    (b"ORC", "ORC", CONVERT),
    (b"ARROW1", "Arrow", CONVERT),
    (b"SQLite format 3\0", "an SQLite database", CONVERT),
    (
        b"LPKSHHRH",
        "a binary systemd journal",
        "convert it with journalctl -o json --file FILE",
    ),
    (
        b"\xd4\xc3\xb2\xa1",
        "a packet capture",
        "convert it with Zeek or Suricata",
    ),
    (
        b"\xa1\xb2\xc3\xd4",
        "a packet capture",
        "convert it with Zeek or Suricata",
    ),
    (
        b"\x0a\x0d\x0d\x0a",
        "a packet capture",
        "convert it with Zeek or Suricata",
    ),
    (b"%PDF", "a PDF document", LEAVE),
    (b"\x89PNG", "a PNG image", LEAVE),
    (b"\xff\xd8\xff", "a JPEG image", LEAVE),
    (b"GIF8", "a GIF image", LEAVE),
    (b"BM\0", "a BMP image", LEAVE),
    (b"\x7fELF", "a program", LEAVE),
    (b"MZ\x90", "a program", LEAVE),
    (b"\0\0\0\x01Bud1", "a folder's settings of macOS", LEAVE),
    (b"\0\x05\x16\x07", "a file's attributes of macOS", LEAVE),
    (b"\xd0\xcf\x11\xe0", "an Office document", LEAVE),
    (b"\xff\xfe\0\0", "UTF-32 text", "convert it to UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32 text", "convert it to UTF-8"),
];

/// Names other kinds of files by their first bytes.
pub(crate) fn foreign(start: &[u8]) -> Option<Other> {
    let mut all = MAGICS.iter();
    if let Some((_, found, next)) = all.find(|(magic, ..)| start.starts_with(magic)) {
        return Some(Other { found, next });
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some(Other {
            found: TAR,
            next: EXTRACT,
        });
    }
    None
}

/// Returns the kind of archive that a file was found to be.
pub(crate) fn archive(found: &str) -> Option<Kind> {
    match found {
        TAR => Some(Kind::Tar),
        ZIP | EMPTY_ZIP => Some(Kind::Zip),
        _ => None,
    }
}

/// Names text, and bytes, in which no line begins as JSON does; nothing if one does, or if there is no line.
pub(crate) fn without_json(start: &[u8]) -> Option<Other> {
    let mut lines = start
        .split(|byte| *byte == b'\n')
        .map(bare)
        .filter(|line| !line.is_empty());
    let first = lines.clone().next()?;
    if lines.clone().any(begins_as_json) {
        return None;
    }
    let odd = |byte: &&u8| **byte < 0x20 && !byte.is_ascii_whitespace() && **byte != 0x1b;
    let sample = &start[..start.len().min(4096)];
    let (found, next) = if sample.iter().filter(odd).count() * 20 > sample.len() {
        (BINARY, LEAVE)
    } else if lines.clone().any(has_json_behind_a_header) {
        (
            BEHIND_A_HEADER,
            "cut off what stands before the first `{` of each line, as sed 's/^[^{]*//' does",
        )
    } else if first.starts_with(b"<?xml") || (first.starts_with(b"<") && first.ends_with(b">")) {
        ("XML", NAME_XML)
    } else if lines
        .clone()
        .any(|line| contains(line, b"CEF:0|") || contains(line, b"LEEF:"))
    {
        ("CEF or LEEF", NAME_IT)
    } else if is_syslog(first) {
        ("a syslog", NAME_IT)
    } else if is_table(first, lines.nth(1)) {
        ("a table such as CSV", NAME_IT)
    } else {
        ("plain text", NAME_IT)
    };
    Some(Other { found, next })
}

/// Says whether events may be lost with a file that is left out because it is `found`: it is packed, or named as a file of events,
/// or as a compressed one that cannot be recognised any more.
pub(crate) fn may_hold_events(path: &Path, found: &str) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let ends = |name: &str, endings: &[&str]| {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        endings.contains(&ending)
    };
    let is_compressed = ends(&name, &["gz", "gzip", "zst", "zstd", "bz2", "xz"]);
    let inner = match name.rsplit_once('.') {
        Some((inner, _)) if is_compressed => inner,
        _ => &name,
    };
    let mut magics = MAGICS.iter();
    magics.any(|(_, kind, next)| *kind == found && [UNPACK, EXTRACT].contains(next))
        || [TAR, BEHIND_A_HEADER].contains(&found)
        || (is_compressed && found == BINARY)
        || ends(inner, &["json", "jsonl", "ndjson", "jsonlines"])
}

/// Returns a line without blanks, zeros and marks around it.
pub(crate) fn bare(line: &[u8]) -> &[u8] {
    let mut line = line;
    loop {
        line = match line {
            [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            [first, rest @ ..] if is_blank(*first) => rest,
            [rest @ .., last] if is_blank(*last) => rest,
            _ => return line,
        };
    }
}

/// Says whether a byte between events means nothing: blanks, the zeros of a hole, the record separator of RFC 7464, the end of
/// a file of DOS.
pub(crate) fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b | 0x1a | 0x1e)
}

fn begins_as_json(line: &[u8]) -> bool {
    match line {
        [b'{', ..] => true,
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start(), [] | [b'{' | b'[' | b']', ..]),
        _ => false,
    }
}

fn has_json_behind_a_header(line: &[u8]) -> bool {
    line.ends_with(b"}")
        && (contains(line, b" {\"") || contains(line, b"\t{\"") || contains(line, b":{\""))
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    line.windows(wanted.len()).any(|part| part == wanted)
}

/// `<34>…`, `Mar  1 10:11:12 host …`.
fn is_syslog(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&line[..line.len().min(64)]);
    if let Some(rest) = text.strip_prefix('<') {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        return (1..=3).contains(&digits) && rest[digits..].starts_with('>');
    }
    let mut words = text.split_whitespace();
    let month = words.next().unwrap_or_default();
    let day = words.next().unwrap_or_default();
    let clock = words.next().unwrap_or_default();
    month.len() == 3
        && month.bytes().all(|byte| byte.is_ascii_alphabetic())
        && day.len() <= 2
        && day.bytes().all(|byte| byte.is_ascii_digit())
        && clock.get(2..3) == Some(":")
}

/// Two lines with as many commas, semicolons or tabs.
fn is_table(first: &[u8], second: Option<&[u8]>) -> bool {
    [b',', b';', b'\t', b'|'].iter().any(|separator| {
        let count = |line: &[u8]| line.iter().filter(|byte| *byte == separator).count();
        count(first) > 0 && second.is_none_or(|second| count(second) == count(first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_named() {
        for (start, found) in [
            (
                b"Mar  1 00:00:01 host sshd[1]: Failed\n".as_slice(),
                "a syslog",
            ),
            (b"<34>1 2026-03-01T00:00:01Z host app - - - x\n", "a syslog"),
            (b"time,user\n2026-03-01,ann\n", "a table such as CSV"),
            (b"time\tuser\n2026\tann\n", "a table such as CSV"),
            (b"<?xml version=\"1.0\"?>\n<Events>\n", "XML"),
            (b"<Event xmlns='x'><System/></Event>\n", "XML"),
            (
                b"2026-03-01T00:00:01Z stdout F {\"a\":1}\n",
                "text with JSON behind a header",
            ),
            (
                b"Mar  1 00:00:01 h CEF:0|v|p|1|2|n|5|src=1.2.3.4\n",
                "CEF or LEEF",
            ),
            (b"level=info msg=started\nlevel=warn\n", "plain text"),
            (b"[2026-03-01] started\n", "plain text"),
            (b"\x01\x02\x03\x04\x05abc", "binary data"),
            (b"1\n2\n", "plain text"),
        ] {
            let other = without_json(start).map(|other| other.found);
            assert_eq!(other, Some(found), "{}", String::from_utf8_lossy(start));
        }
        for json in [
            b"{\"a\":1}".as_slice(),
            b"\n\n  [ {\"a\":1}]",
            b"\0\0\0\0{\"a\":1}\n",
            b"\xef\xbb\xbf{\"a\":1}\n",
            b"\x1e{\"a\":1}\n",
            b"a banner\n{\"a\":1}\n",
            b"",
            b" \n ",
            b"{broken\n",
        ] {
            assert_eq!(
                without_json(json),
                None,
                "{}",
                String::from_utf8_lossy(json)
            );
        }
    }

    #[test]
    fn what_may_hold_events_is_no_small_matter() {
        for (name, found) in [
            ("x", "a zip archive"),
            ("x.LZ4", "compressed with LZ4"),
            ("x", TAR),
            ("a.log", BEHIND_A_HEADER),
            ("a.json", "plain text"),
            ("a.NDJSON", "a PNG image"),
            ("a.json.gz", "a table such as CSV"),
            ("messages.gz", BINARY),
        ] {
            assert!(may_hold_events(Path::new(name), found), "{name}");
        }
        for (name, found) in [
            ("syslog.2.gz", "a syslog"),
            ("a.csv", "a table such as CSV"),
            ("x.png", "a PNG image"),
            ("json", "plain text"),
            ("cache.bin", BINARY),
        ] {
            assert!(!may_hold_events(Path::new(name), found), "{name}");
        }
    }

    #[test]
    fn every_magic_is_found_and_hides_no_json() {
        for (magic, found, _) in MAGICS {
            assert_eq!(foreign(magic).map(|other| other.found), Some(found));
            assert!(!bare(magic).starts_with(b"{") && !bare(magic).starts_with(b"["));
        }
        let tar = [vec![b'x'; 257], b"ustar\0".to_vec()].concat();
        assert_eq!(foreign(&tar).unwrap().found, "a tar archive");
        assert_eq!(foreign(b"{\"a\":1}"), None);
    }
}
