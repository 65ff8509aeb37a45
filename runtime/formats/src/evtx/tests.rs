use std::io::Cursor;

use super::*;

mod writer;

use writer::{Part, Writer, file, record_of};

/// A file of two chunks with three records.
fn sample() -> Vec<u8> {
    let mut first = Writer::new(1);
    first.logon("kim & lee", 4624);
    first.logon("né\n😀\"<", 4625);
    let mut second = Writer::new(3);
    second.logon("third", 4634);
    file(&[first.chunk(), second.chunk()])
}

fn lines(file: &[u8]) -> (Vec<String>, bool) {
    let mut text = Vec::new();
    let read = Evtx::new(Cursor::new(file)).read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    (text.lines().map(str::to_owned).collect(), read.is_ok())
}

fn expected(user: &str, id: u16, record: u64) -> String {
    format!(
        r#"<Event xmlns="urn:test"><System><EventID Qualifiers="7">{id}</EventID><EventRecordID>{record}</EventRecordID><TimeCreated SystemTime="2026-03-01T10:11:12.1234567Z"/><Security/></System><EventData><Data Name="User">{user}</Data><Data Name="Sid">S-1-5-21-7</Data><Data>a</Data><Data></Data><Data>b</Data></EventData></Event>"#
    )
}

#[test]
fn records_become_lines_of_xml() {
    let (lines, is_whole) = lines(&sample());
    let all = [
        expected("kim &amp; lee", 4624, 1),
        expected("né&#10;😀&quot;&lt;", 4625, 2),
        expected("third", 4634, 3),
    ];
    assert_eq!(lines, all);
    assert!(is_whole);
    assert!(Evtx::<&[u8]>::is_start(&sample()) && !Evtx::<&[u8]>::is_start(b"ElfChnk\0"));
    // However the reader asks.
    let mut small = Evtx::new(sample_reader());
    let mut byte = [0; 1];
    let mut count = 0;
    while small.read(&mut byte).unwrap() == 1 {
        count += 1;
    }
    assert_eq!(count, all.iter().map(|line| line.len() + 1).sum::<usize>());
}

fn sample_reader() -> Cursor<Vec<u8>> {
    Cursor::new(sample())
}

#[test]
fn every_type_of_value_is_written_as_windows_writes_it() {
    for (kind, bytes, text) in [
        (0x00, vec![], ""),
        (0x02, b"ab\xe9\0".to_vec(), "abé"),
        (0x03, vec![0xff], "-1"),
        (0x04, vec![0xff], "255"),
        (0x05, vec![0xfe, 0xff], "-2"),
        (0x06, vec![0xfe, 0xff], "65534"),
        (0x07, vec![0xfd, 0xff, 0xff, 0xff], "-3"),
        (0x08, 7u32.to_le_bytes().to_vec(), "7"),
        (0x09, (-8i64).to_le_bytes().to_vec(), "-8"),
        (
            0x0a,
            u64::MAX.to_le_bytes().to_vec(),
            "18446744073709551615",
        ),
        (0x0b, 1.5f32.to_le_bytes().to_vec(), "1.5"),
        (0x0c, (-0.25f64).to_le_bytes().to_vec(), "-0.25"),
        (0x0d, 1u32.to_le_bytes().to_vec(), "true"),
        (0x0e, vec![0x0a, 0xff], "0AFF"),
        (
            0x0f,
            (1..=16).collect(),
            "{04030201-0605-0807-090A-0B0C0D0E0F10}",
        ),
        (0x10, 255u32.to_le_bytes().to_vec(), "0xff"),
        (
            0x11,
            0u64.to_le_bytes().to_vec(),
            "1601-01-01T00:00:00.0000000Z",
        ),
        (0x11, u64::MAX.to_le_bytes().to_vec(), "FFFFFFFFFFFFFFFF"),
        (
            0x12,
            [2026u16, 3, 0, 1, 10, 11, 12, 345]
                .map(u16::to_le_bytes)
                .concat(),
            "2026-03-01T10:11:12.345Z",
        ),
        (0x13, vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0], "S-1-5-18"),
        (
            0x13,
            vec![1, 2, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0],
            "010200000000000512000000",
        ),
        (0x14, 0x3e7u32.to_le_bytes().to_vec(), "0x3e7"),
        (0x15, 0x3e7u64.to_le_bytes().to_vec(), "0x3e7"),
        (0x08, vec![1, 2], "0102"),
        (0x77, vec![1, 2], "0102"),
        (0x01, vec![b'a', 0, 0x00, 0xd8, b'b', 0, 0, 0], "a\u{fffd}b"),
    ] {
        let mut writer = Writer::new(1);
        writer.one_value(kind, &bytes);
        let (lines, _) = lines(&file(&[writer.chunk()]));
        let whole = format!("<Event><V>{text}</V></Event>");
        assert_eq!(lines, [whole], "{kind:x} {bytes:?}");
    }
    let mut writer = Writer::new(1);
    writer.one_value(0x86, &[1, 0, 2, 0, 3]);
    let found = lines(&file(&[writer.chunk()])).0;
    assert_eq!(found, ["<Event><V>1</V><V>2</V><V>03</V></Event>"]);
}

#[test]
fn a_file_that_ends_early_gives_the_records_before() {
    let whole = sample();
    let all = lines(&whole).0;
    let last = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // Every byte of what is not zeros, and some of the zeros.
    let used = |at: usize| {
        at < HEADER + 4_000 || (HEADER + CHUNK..last).contains(&at) || at.is_multiple_of(997)
    };
    for end in (0..whole.len()).filter(|at| used(*at)) {
        let (found, is_whole) = lines(&whole[..end]);
        let right: Vec<&String> = found
            .iter()
            .filter(|line| !line.starts_with(DAMAGED))
            .collect();
        assert!(
            right.len() <= all.len() && right.iter().zip(&all).all(|(found, line)| *found == line),
            "{end}"
        );
        assert_eq!(is_whole, end == HEADER || end == HEADER + CHUNK, "{end}");
        if end > HEADER + CHUNK {
            assert_eq!(right[..2], [&all[0], &all[1]], "{end}");
        }
    }
}

#[test]
fn damage_costs_what_is_damaged() {
    let whole = sample();
    let all = lines(&whole).0;
    let second = HEADER + FIRST_RECORD + record_of(&whole, HEADER + FIRST_RECORD);
    for (at, value, expected) in [
        (
            HEADER,
            b'X',
            format!("{DAMAGED}chunk at byte 4096: it does not begin with `ElfChnk`?>"),
        ),
        (
            second,
            b'X',
            format!("{DAMAGED}a record at byte {second}: "),
        ),
        (
            second + 24,
            0x77,
            format!("{DAMAGED}record 2 at byte {second}: it has a part of an unknown kind?>"),
        ),
    ] {
        let mut damaged = whole.clone();
        damaged[at] = value;
        let found = lines(&damaged).0;
        assert!(
            found.iter().any(|line| line.starts_with(&expected)),
            "{found:#?}"
        );
        assert_eq!(found.last(), all.last());
        assert_eq!(found.contains(&all[0]), at != HEADER);
    }
    // A text that was changed is read, and the checksum reports it.
    let mut changed = whole.clone();
    let at = whole
        .windows(4)
        .position(|bytes| bytes == b"k\0i\0")
        .unwrap();
    changed[at] = b'K';
    let found = lines(&changed).0;
    assert!(
        found[0].contains("its checksum is wrong") && found[1].contains("Kim"),
        "{found:#?}"
    );
    // A log in use has old checksums.
    changed[120] = 1;
    assert_eq!(lines(&changed).0.len(), 3);
}

#[test]
fn no_change_of_a_byte_does_harm_to_other_chunks() {
    let whole = sample();
    let last = lines(&whole).0.pop();
    let used = HEADER + FIRST_RECORD + 2_000;
    for at in HEADER..used {
        for value in [0, 1, 0x0c, 0x41, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            let (found, _) = lines(&damaged);
            assert_eq!(found.last(), last.as_ref(), "{at}");
        }
    }
}

#[test]
fn chunks_of_zeros_are_room_and_a_file_may_be_empty() {
    let mut with_room = sample();
    with_room.extend([0; 3 * CHUNK]);
    assert_eq!(lines(&with_room).0.len(), 3);
    assert_eq!(lines(&sample()[..HEADER]), (Vec::new(), true));
    assert_eq!(lines(b""), (Vec::new(), false));
}

#[test]
fn bombs_are_bounded() {
    // A template that uses itself, once and twice, and one that writes a long value often.
    for (parts, reason) in [
        (vec![Part::Itself], "its parts lie too deep in one another"),
        (
            vec![Part::Itself; 2],
            "its parts lie too deep in one another",
        ),
        (vec![Part::Value; 2_000], "its text is longer than 512 KiB"),
    ] {
        let mut writer = Writer::new(1);
        writer.bomb(&parts);
        writer.logon("behind", 4624);
        let found = lines(&file(&[writer.chunk()])).0;
        assert!(
            found[0].contains(reason),
            "{}",
            &found[0][..200.min(found[0].len())]
        );
        assert_eq!(found[1], expected("behind", 4624, 2));
    }
}
