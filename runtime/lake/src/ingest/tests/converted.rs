//! Files that are made to lines of JSON before they are read: Avro and XML.

use std::sync::Arc;

use super::*;
use crate::ingest::avro::CODECS;

const SYNC: &[u8; 16] = b"0123456789abcdef";

fn lenient(lake: &Lake) -> IngestOptions {
    IngestOptions {
        strict: false,
        ..lake.options("t")
    }
}

/// A number as Avro writes it; of those that are needed here, two bytes are enough.
fn long(number: usize) -> Vec<u8> {
    let zigzag = number * 2;
    match u8::try_from(zigzag) {
        Ok(byte) if byte < 0x80 => vec![byte],
        _ => {
            let low = u8::try_from(zigzag & 0x7f).unwrap() | 0x80;
            [vec![low], long_rest(zigzag >> 7)].concat()
        }
    }
}

fn long_rest(rest: usize) -> Vec<u8> {
    match rest < 0x80 {
        true => vec![u8::try_from(rest).unwrap()],
        false => {
            let low = u8::try_from(rest & 0x7f).unwrap() | 0x80;
            [vec![low], long_rest(rest >> 7)].concat()
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    [long(text.len()), text.as_bytes().to_vec()].concat()
}

fn header(fields: &str, codec: &str) -> Vec<u8> {
    let schema = format!(r#"{{"type":"record","name":"Event","fields":[{fields}]}}"#);
    let pairs = [
        text("avro.schema"),
        text(&schema),
        text("avro.codec"),
        text(codec),
    ];
    [
        b"Obj\x01".to_vec(),
        long(2),
        pairs.concat(),
        long(0),
        SYNC.to_vec(),
    ]
    .concat()
}

const FIELDS: &str = r#"{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"n","type":"int"},{"name":"user","type":["null","string"]}"#;

fn record(n: usize) -> Vec<u8> {
    let user = match n % 2 {
        0 => long(0),
        _ => [long(1), text("kim é")].concat(),
    };
    [long(1_772_359_872_000 + n), long(n), user].concat()
}

fn packed(codec: &str, data: &[u8]) -> Vec<u8> {
    match codec {
        "deflate" => {
            let encoder = flate2::read::DeflateEncoder::new(data, flate2::Compression::fast());
            read_all(encoder)
        }
        "snappy" => {
            let mut crc = flate2::Crc::new();
            crc.update(data);
            let bytes = snap::raw::Encoder::new().compress_vec(data).unwrap();
            [bytes, crc.sum().to_be_bytes().to_vec()].concat()
        }
        "zstandard" => zstd::encode_all(data, 3).unwrap(),
        "bzip2" => read_all(bzip2::read::BzEncoder::new(
            data,
            bzip2::Compression::fast(),
        )),
        _ => data.to_vec(),
    }
}

fn read_all(mut reader: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

fn block(codec: &str, records: std::ops::Range<usize>) -> Vec<u8> {
    let count = records.len();
    let data: Vec<u8> = records.flat_map(record).collect();
    let data = packed(codec, &data);
    [long(count), long(data.len()), data, SYNC.to_vec()].concat()
}

/// A file of three blocks of four records.
fn file(codec: &str) -> Vec<u8> {
    let blocks = [0..4, 4..8, 8..12].map(|records| block(codec, records));
    [header(FIELDS, codec), blocks.concat()].concat()
}

#[test]
fn records_of_avro_are_events_with_every_codec() {
    for codec in ["null"]
        .into_iter()
        .chain(CODECS.into_iter().filter(|codec| *codec != "xz"))
    {
        let lake = Lake::new();
        let report = lake
            .run(lake.options("t"), &[lake.file("a", file(codec))])
            .unwrap();
        assert_eq!((report.events, report.without_time), (12, 0), "{codec}");
        let stored = lake.stored("t");
        let users = stored.texts("user");
        assert_eq!(
            users
                .iter()
                .filter(|user| user.as_deref() == Some("kim é"))
                .count(),
            6
        );
        assert_eq!(stored.kind("n"), Some(ColumnKind::Int64));
        // However the file is compressed, its records are known.
        let again = lake
            .run(lake.options("t"), &[lake.file("b", file("null"))])
            .unwrap();
        assert_eq!(again.events, 0, "{codec}");
    }
}

#[test]
fn files_of_several_versions_of_a_schema_go_into_one_table() {
    let lake = Lake::new();
    lake.ingested("t", file("null"));
    let more = format!(r#"{{"name":"host","type":"string"}},{FIELDS}"#);
    let data = [text("web1"), record(99)].concat();
    let newer = [
        header(&more, "null"),
        long(1),
        long(data.len()),
        data,
        SYNC.to_vec(),
    ]
    .concat();
    let (report, stored) = lake.ingested("t", newer);
    assert_eq!(report.events, 1);
    let hosts = stored.texts("host");
    assert_eq!(hosts.len(), 13);
    assert_eq!(hosts.iter().flatten().collect::<Vec<_>>(), ["web1"]);
}

#[test]
fn a_damaged_block_of_avro_is_named_and_counted() {
    let whole = file("snappy");
    let [second, third] = [4..8, 8..12].map(|records| block("snappy", records).len());
    let second = whole.len() - second - third;
    let mut bytes = whole;
    bytes[second + 8] ^= 0x20;
    let lake = Lake::new();
    let report = lake.run(lenient(&lake), &[lake.file("a", &bytes)]).unwrap();
    assert_eq!((report.events, report.rejected), (8, 1), "{report:?}");
    let bad = &report.counts.bad_lines[0];
    assert!(
        bad.contains("a`, line 5")
            && bad.contains("block 2 at byte")
            && bad.contains("its 4 events are left out"),
        "{bad}"
    );
    let kept = std::fs::read_to_string(&report.kept[0]).unwrap();
    assert!(kept.contains("\"reason\":\"block 2 at byte"), "{kept}");
    let strict = Lake::new();
    let error = strict.run(strict.options("t"), &[strict.file("a", &bytes)]);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("block 2 at byte") && error.contains("get the file again"),
        "{error}"
    );
}

#[test]
fn avro_that_is_cut_anywhere_is_named_and_its_whole_blocks_are_rows() {
    let bytes = file("null");
    let start = header(FIELDS, "null").len();
    let blocks = [0, 1, 2, 3].map(|count| {
        let blocks = [0..4, 4..8, 8..12].map(|records| block("null", records).len());
        start + blocks[..count].iter().sum::<usize>()
    });
    for end in 4..bytes.len() {
        let lake = Lake::new();
        let report = lake
            .run(lenient(&lake), &[lake.file("a", &bytes[..end])])
            .unwrap();
        let whole = blocks.iter().filter(|block| **block <= end).count();
        assert_eq!(report.events, whole.saturating_sub(1) as u64 * 4, "{end}");
        let is_between = blocks.contains(&end);
        assert_eq!(report.failed.is_empty(), is_between, "{end}: {report:?}");
        assert_eq!(report.rejected, 0, "{end}");
    }
}

/// Leaves events as they are.
#[derive(Debug)]
struct Plain;

impl Normalize for Plain {
    fn normalize(&self, events: &[&str]) -> Vec<Normalized> {
        vec![Normalized::default(); events.len()]
    }
}

fn report_options(lake: &Lake, path: &str) -> IngestOptions {
    let path: FieldPath = path.parse().unwrap();
    IngestOptions {
        format: Format::Lines(LineFormat::Xml),
        strict: false,
        source: Some(SourceTable {
            name: "scan".to_owned(),
            time_paths: vec!["scan.at".parse().unwrap()],
            grok: None,
            parser: None,
            each: Each::new(&[path], &[]).map(Arc::new),
            repeats: None,
            processed_time: None,
            columns: Vec::new(),
            normalizer: Arc::new(Plain),
        }),
        ..lake.options("t")
    }
}

const SCAN: &str = "<scan><at>2026-03-01T10:11:12Z</at><host n='a'><item>1</item><item>2</item></host><host n='b'/></scan>\n";

#[test]
fn elements_of_xml_are_events_and_a_cut_document_is_named() {
    for encoding in ["utf-8", "utf-16"] {
        let lake = Lake::new();
        let bytes: Vec<u8> = match encoding {
            "utf-8" => [b"\xef\xbb\xbf".as_slice(), SCAN.as_bytes()].concat(),
            _ => SCAN.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        };
        let file = lake.file("a.xml", bytes);
        let report = lake
            .run(
                report_options(&lake, "scan.host.item"),
                std::slice::from_ref(&file),
            )
            .unwrap();
        assert_eq!(
            (report.events, report.without_time, report.rejected),
            (3, 0, 0),
            "{encoding}"
        );
        let again = lake
            .run(report_options(&lake, "scan.host.item"), &[file])
            .unwrap();
        assert_eq!(again.events, 0);
        let raws = lake.stored("t").texts(RAW_COLUMN);
        let item = r##"{"scan":{"at":"2026-03-01T10:11:12Z","host":{"#attributes":{"n":"a"},"item":"2"}}}"##;
        assert!(raws.contains(&Some(item.to_owned())), "{raws:?}");
    }
    for end in 1..SCAN.trim_end().len() {
        let lake = Lake::new();
        let file = lake.file("a.xml", &SCAN[..end]);
        let report = lake
            .run(report_options(&lake, "scan.host.item"), &[file])
            .unwrap();
        assert_eq!(report.failed.len(), 1, "{end}: {report:?}");
        assert!(report.events <= 3, "{end}");
    }
    let lake = Lake::new();
    let text = SCAN.replace("<item>1", &format!("<item>{}", "<x/>".repeat(2_000)));
    let options = IngestOptions {
        max_event_bytes: 4_096,
        ..report_options(&lake, "scan.host.item")
    };
    let report = lake.run(options, &[lake.file("a.xml", text)]).unwrap();
    assert_eq!((report.events, report.rejected), (2, 1), "{report:?}");
    let bad = &report.counts.bad_lines[0];
    assert!(
        bad.contains("the element <item> at byte 47 is longer than 4096 bytes"),
        "{bad}"
    );
}
