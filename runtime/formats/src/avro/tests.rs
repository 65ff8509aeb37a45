use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SYNC_MARK: [u8; SYNC] = *b"0123456789abcdef";

fn long(number: i64) -> Vec<u8> {
    let mut rest = u64::from_le_bytes(((number << 1) ^ (number >> 63)).to_le_bytes());
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn length(count: usize) -> Vec<u8> {
    long(i64::try_from(count).unwrap())
}

fn text(text: &str) -> Vec<u8> {
    [length(text.len()), text.as_bytes().to_vec()].concat()
}

fn header(schema: &Value, codec: &str) -> Vec<u8> {
    let pairs = [
        text("avro.schema"),
        text(&schema.to_string()),
        text("avro.codec"),
        text(codec),
    ]
    .concat();
    [MAGIC.to_vec(), long(2), pairs, long(0), SYNC_MARK.to_vec()].concat()
}

fn block(records: &[Vec<u8>]) -> Vec<u8> {
    let data = records.concat();
    [
        length(records.len()),
        length(data.len()),
        data,
        SYNC_MARK.to_vec(),
    ]
    .concat()
}

/// "Unpacks" by leaving the first byte out, which must be `!`.
fn unpack(codec: &str, packed: &[u8], most: usize) -> Result<Vec<u8>, String> {
    assert_eq!(codec, "bang");
    match packed.split_first() {
        Some((b'!', rest)) if rest.len() <= most => Ok(rest.to_vec()),
        _ => Err("no bang".to_owned()),
    }
}

fn read(bytes: &[u8]) -> (Vec<String>, io::Result<()>) {
    let mut avro = Avro::new(bytes, &["bang"], unpack);
    let (mut all, mut part) = (Vec::new(), [0; 1_000]);
    let end = loop {
        match avro.read(&mut part) {
            Ok(0) => break Ok(()),
            Ok(count) => all.extend_from_slice(&part[..count]),
            Err(error) => break Err(error),
        }
    };
    let lines = String::from_utf8_lossy(&all)
        .lines()
        .map(str::to_owned)
        .collect();
    (lines, end)
}

fn events(schema: &Value, records: &[Vec<u8>]) -> Vec<Value> {
    let (lines, end) = read(&[header(schema, "null"), block(records)].concat());
    end.unwrap();
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

fn record(fields: &[(&str, Value)]) -> Value {
    let fields: Vec<Value> = fields
        .iter()
        .map(|(name, of)| json!({"name": name, "type": of}))
        .collect();
    json!({"type": "record", "name": "a.b.Event", "fields": fields})
}

/// A file of three blocks.
fn file() -> Vec<u8> {
    let schema = record(&[("n", json!("long")), ("t", json!("string"))]);
    let blocks = (0..3).map(|number| {
        let records: Vec<_> = (0..4)
            .map(|at| [long(number * 10 + 10 + at), text("words é")].concat())
            .collect();
        block(&records)
    });
    [header(&schema, "null"), blocks.collect::<Vec<_>>().concat()].concat()
}

#[test]
fn values_of_all_types_become_json() {
    let schema = record(&[
        ("nothing", json!("null")),
        ("yes", json!("boolean")),
        ("int", json!("int")),
        ("long", json!({"type": "long"})),
        ("float", json!("float")),
        ("double", json!("double")),
        ("nan", json!("double")),
        ("bytes", json!("bytes")),
        ("text", json!("string")),
        (
            "colour",
            json!({"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}),
        ),
        ("list", json!({"type": "array", "items": ["null", "int"]})),
        ("map", json!({"type": "map", "values": "a.b.Colour"})),
        ("fixed", json!({"type": "fixed", "name": "Two", "size": 2})),
        (
            "inner",
            json!({"type": "record", "name": "Inner", "fields": [{"name": "again", "type": ["null", "Inner"]}]}),
        ),
    ]);
    let bytes = [
        vec![1],
        long(-7),
        long(i64::MIN),
        0.1_f32.to_le_bytes().to_vec(),
        1e300_f64.to_le_bytes().to_vec(),
        f64::NEG_INFINITY.to_le_bytes().to_vec(),
        vec![4, 0xca, 0xfe],
        text("\"\\\n\u{1}é"),
        long(1),
        // A block of two items with its size, and one of one.
        [
            long(-2),
            long(4),
            long(0),
            long(1),
            long(5),
            long(1),
            long(0),
            long(0),
        ]
        .concat(),
        [long(1), text("k\""), long(0), long(0)].concat(),
        vec![1, 2],
        [long(1), long(1), long(0)].concat(),
    ];
    assert_eq!(
        events(&schema, &[bytes.concat()]),
        [json!({
            "nothing": null, "yes": true, "int": -7, "long": i64::MIN, "float": 0.1, "double": 1e300, "nan": "-Infinity",
            "bytes": "cafe", "text": "\"\\\n\u{1}é", "colour": "BLUE", "list": [null, 5, null], "map": {"k\"": "RED"},
            "fixed": "0102", "inner": {"again": {"again": {"again": null}}}
        })]
    );
    assert_eq!(
        events(&json!("string"), &[text("x")]),
        [json!({"value": "x"})]
    );
}

#[test]
fn logical_types_become_what_they_stand_for() {
    let of =
        |plain: &str, logical: &str| json!({"type": plain, "logicalType": logical, "scale": 2});
    let fixed = |size: u32, logical: &str| json!({"type": "fixed", "name": logical, "size": size, "logicalType": logical, "scale": 2});
    let big = [vec![0x7f], vec![0xff; 15]].concat();
    for (schema, bytes, expected) in [
        (of("int", "date"), long(20_513), json!("2026-03-01")),
        (of("int", "date"), long(-1), json!("1969-12-31")),
        (
            of("int", "time-millis"),
            long(36_672_500),
            json!("10:11:12.500"),
        ),
        (
            of("long", "time-micros"),
            long(90_000_000_000),
            json!(90_000_000_000_i64),
        ),
        (
            of("long", "timestamp-millis"),
            long(1_772_359_872_123),
            json!("2026-03-01T10:11:12.123Z"),
        ),
        (
            of("long", "timestamp-micros"),
            long(-1),
            json!("1969-12-31T23:59:59.999999Z"),
        ),
        (
            of("long", "timestamp-nanos"),
            long(1),
            json!("1970-01-01T00:00:00.000000001Z"),
        ),
        (
            of("long", "timestamp-millis"),
            long(i64::MAX),
            json!(i64::MAX),
        ),
        (
            of("long", "local-timestamp-millis"),
            long(0),
            json!("1970-01-01T00:00:00"),
        ),
        (of("string", "uuid"), text("x"), json!("x")),
        (of("long", "unheard-of"), long(5), json!(5)),
        (
            of("bytes", "decimal"),
            [long(2), vec![0x30, 0x39]].concat(),
            json!(123.45),
        ),
        (
            of("bytes", "decimal"),
            [long(1), vec![0xff]].concat(),
            json!(-0.01),
        ),
        (fixed(2, "decimal"), vec![0x80, 0], json!(-327.68)),
        (
            fixed(12, "duration"),
            [1_u32, 2, 3_004].map(u32::to_le_bytes).concat(),
            json!("P1M2DT3.004S"),
        ),
        (
            fixed(16, "uuid"),
            (0..16).collect(),
            json!("00010203-0405-0607-0809-0a0b0c0d0e0f"),
        ),
        (fixed(3, "uuid"), vec![1, 2, 3], json!("010203")),
    ] {
        let found = events(&record(&[("v", schema.clone())]), &[bytes]);
        assert_eq!(found, [json!({"v": expected})], "{schema}");
    }
    let (lines, _) = read(
        &[
            header(&record(&[("v", fixed(16, "decimal"))]), "null"),
            block(&[big]),
        ]
        .concat(),
    );
    assert_eq!(lines, ["{\"v\":1701411834604692317316873037158841057.27}"]);
    // Beside the type of a field, too.
    let beside = json!({"type": "record", "name": "r", "fields": [{"name": "d", "type": "int", "logicalType": "date"}]});
    assert_eq!(events(&beside, &[long(0)]), [json!({"d": "1970-01-01"})]);
}

#[test]
fn a_damaged_block_is_named_and_the_others_are_read() {
    let whole = read(&file());
    assert_eq!((whole.0.len(), whole.1.is_ok()), (12, true));
    let start = file().len()
        - 3 * block(
            &(0..4)
                .map(|_| [long(1), text("words é")].concat())
                .collect::<Vec<_>>(),
        )
        .len();
    // The second block: its marker, its length, its content.
    let second = start + (file().len() - start) / 3;
    for (at, reason) in [
        (second, "bytes"),
        (second + 1, "block 2 at byte"),
        (second + 3, "event 1 of it"),
        (second + (file().len() - start) / 3 - 1, "marker"),
    ] {
        let mut bytes = file();
        bytes[at] ^= 0xff;
        let (lines, end) = read(&bytes);
        end.unwrap();
        let (events, damaged): (Vec<_>, Vec<_>) =
            lines.iter().partition(|line| line.starts_with('{'));
        assert!(
            damaged.len() == 1 && damaged[0].contains(reason) && damaged[0].contains("block 2"),
            "{at}: {damaged:?}"
        );
        assert!(
            events[..4] == whole.0.iter().take(4).collect::<Vec<_>>()[..],
            "{at}: {events:?}"
        );
        // A broken marker costs the block behind it as well.
        let of_third = events
            .iter()
            .filter(|event| event.contains("\"n\":3"))
            .count();
        assert!(of_third == 4 || reason == "marker", "{at}: {lines:?}");
    }
}

#[test]
fn a_file_that_is_cut_anywhere_gives_whole_blocks_and_says_so() {
    let (file, whole) = (file(), read(&file()).0);
    let blocks =
        [0, 1, 2, 3].map(|count| file.len() - (3 - count) * ((file.len() - header_length()) / 3));
    for end in 0..file.len() {
        let (lines, result) = read(&file[..end]);
        assert!(
            lines.iter().zip(&whole).all(|(line, whole)| line == whole),
            "{end}: {lines:?}"
        );
        let is_whole = blocks.contains(&end);
        assert_eq!(result.is_ok(), is_whole, "{end}: {result:?}");
        if let Err(error) = result {
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}: {error}");
        }
        let before = blocks
            .iter()
            .filter(|start| **start <= end)
            .count()
            .saturating_sub(1);
        assert_eq!(lines.len(), before * 4, "{end}");
    }
}

fn header_length() -> usize {
    header(
        &record(&[("n", json!("long")), ("t", json!("string"))]),
        "null",
    )
    .len()
}

#[test]
fn codecs_are_called_and_their_faults_named() {
    let schema = record(&[("n", json!("long"))]);
    let packed = |bytes: &[u8]| {
        [
            long(1),
            length(bytes.len()),
            bytes.to_vec(),
            SYNC_MARK.to_vec(),
        ]
        .concat()
    };
    let (lines, end) = read(
        &[
            header(&schema, "bang"),
            packed(b"!\x02"),
            packed(b"?\x02"),
            packed(b"!\x04"),
        ]
        .concat(),
    );
    end.unwrap();
    assert_eq!(
        (lines[0].as_str(), lines[2].as_str()),
        ("{\"n\":1}", "{\"n\":2}")
    );
    assert!(
        lines[1].contains("its bang data cannot be unpacked: no bang; its 1 events are left out"),
        "{lines:?}"
    );
    let error = read(&header(&schema, "lzo")).1.unwrap_err();
    assert_eq!(
        error.to_string(),
        "its blocks have the codec `lzo`; known are null, bang"
    );
}

#[test]
fn schemas_and_values_without_bound_are_refused() {
    for (schema, reason) in [
        (json!({"type": "record", "name": "r"}), "no `fields`"),
        (json!("unheard-of"), "`unheard-of` is not a type"),
        (
            json!({"type": "record", "name": "r", "fields": [{"name": "x"}]}),
            "has no `type`",
        ),
        (json!(7), "`7` is not a type"),
    ] {
        let error = read(&header(&schema, "null")).1.unwrap_err().to_string();
        assert!(
            error.starts_with("the Avro schema cannot be read") && error.contains(reason),
            "{error}"
        );
    }
    let list = json!({"type": "array", "items": "null"});
    let tree = record(&[("again", json!(["null", "Event"]))]);
    for (schema, bytes) in [
        // Many values that need no bytes.
        (record(&[("l", list)]), [long(i64::MAX), long(0)].concat()),
        (tree, long(1).repeat(1_000)),
        (record(&[("t", json!("string"))]), long(i64::MAX)),
        (record(&[("t", json!("string"))]), long(-1)),
        (
            record(&[("e", json!({"type": "enum", "name": "e", "symbols": []}))]),
            long(0),
        ),
        (record(&[("u", json!([]))]), long(0)),
        (record(&[("n", json!("int"))]), long(i64::MAX)),
        (record(&[("n", json!("long"))]), vec![0xff; 11]),
        (record(&[("b", json!("boolean"))]), vec![7]),
    ] {
        let (lines, end) = read(&[header(&schema, "null"), block(&[bytes])].concat());
        end.unwrap();
        assert!(
            lines.len() == 1 && lines[0].starts_with("<?damaged block 1 at byte"),
            "{schema}: {lines:?}"
        );
    }
    let none = [
        header(&record(&[]), "null"),
        long(i64::MAX),
        long(0),
        SYNC_MARK.to_vec(),
    ]
    .concat();
    assert!(read(&none).0[0].contains("0 bytes for"));
}

#[test]
fn a_block_of_much_text_is_read_in_parts() {
    let records: Vec<Vec<u8>> = (0..300).map(|_| text(&"x".repeat(50_000))).collect();
    let (lines, end) = read(&[header(&json!("string"), "null"), block(&records)].concat());
    end.unwrap();
    assert_eq!(lines.len(), 300);
    assert!(
        lines
            .iter()
            .all(|line| line.len() == 50_000 + "{\"value\":\"\"}".len())
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_a_reader_panic(at in 0_usize..600, new in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = file();
        let at = at.min(bytes.len());
        let end = (at + new.len()).min(bytes.len());
        bytes.splice(at..end, new);
        let _ = read(&bytes);
    }

    #[test]
    fn numbers_come_back(number in any::<i64>()) {
        let found = events(&record(&[("n", json!("long"))]), &[long(number)]);
        prop_assert_eq!(&found[0]["n"], &json!(number));
    }
}
