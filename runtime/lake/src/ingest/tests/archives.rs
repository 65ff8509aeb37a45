//! Archives: each member is read as a file of its own, and what is wrong with one is its own matter.

use std::io::Write;

use super::*;

fn lenient(lake: &Lake) -> IngestOptions {
    IngestOptions {
        strict: false,
        ..lake.options("t")
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A member of a zip archive: its name, flags, method, and what to add to its checksum.
type Zipped<'m> = (&'m str, u16, u16, u32, &'m [u8]);

fn zip(members: &[Zipped<'_>]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, flags, method, off, content) in members {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let packed = match method {
            8 => {
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), Default::default());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            _ => content.to_vec(),
        };
        let size = |of: usize| u32::try_from(of).unwrap().to_le_bytes();
        let mut common = Vec::new();
        for word in [20, *flags, *method, 0, 0] {
            common.extend(word.to_le_bytes());
        }
        common.extend((crc.sum().wrapping_add(*off)).to_le_bytes());
        common.extend(size(packed.len()));
        common.extend(size(content.len()));
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        let offset = size(bytes.len());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(packed);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset);
        directory.extend(name.as_bytes());
    }
    let place = bytes.len();
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    bytes.extend([count, count].concat());
    bytes.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    bytes.extend(u32::try_from(place).unwrap().to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn events(names: &[&str]) -> Vec<String> {
    let event = |name: &&str| format!("{{\"time\":1600000000,\"n\":\"{name}\"}}");
    names.iter().map(event).collect()
}

fn lines(names: &[&str]) -> Vec<u8> {
    events(names)
        .iter()
        .flat_map(|event| [event.as_bytes(), b"\n"].concat())
        .collect()
}

fn failures(report: &IngestReport, lake: &Lake) -> Vec<String> {
    let folder = format!("{}/", lake.directory.path().display());
    let failed = report.failed.iter();
    failed
        .map(|error| error.to_string().replace(&folder, ""))
        .collect()
}

#[test]
fn members_are_files_and_archives_open_one_level_deep() {
    let deepest = zip(&[("g", 0, 0, 0, &lines(&["g"]))]);
    let nested = tar(&[("e", &lines(&["e"])), ("deep.zip", &deepest)]);
    let long = format!("{}/d", "folder/".repeat(30));
    let members: [(&str, &[u8]); 6] = [
        ("a.ndjson", &lines(&["a", "b"])),
        ("b/c.gz", &gzip(&lines(&["c"]))),
        (&long, &lines(&["d"])),
        ("image.png", b"\x89PNG\r\n\x1a\n"),
        ("nested.tar", &nested),
        ("bad.ndjson", b"{\"a\":\n"),
    ];
    let in_tar = gzip(&tar(&members));
    let in_zip = zip(&members.map(|(name, content)| (name, 0, 8, 0, content)));
    for archive in [in_tar, in_zip] {
        let lake = Lake::new();
        let file = lake.file("x", &archive);
        let report = lake
            .run(lenient(&lake), std::slice::from_ref(&file))
            .unwrap();
        check(&lake.stored("t"), &events(&["a", "b", "c", "d", "e"]));
        assert!(
            report.passed_over[0].0.ends_with("x!image.png"),
            "{:?}",
            report.passed_over
        );
        let failed = failures(&report, &lake);
        assert_eq!(
            failed,
            [
                "`x!nested.tar!deep.zip` cannot be read, because it is a zip archive: extract the files in it"
            ]
        );
        assert_eq!(report.rejected + report.incomplete.len() as u64, 1);
        // A member is known by its content, wherever it lies.
        let again = [file, lake.file("plain", lines(&["a", "b"]))];
        let report = lake.run(lenient(&lake), &again).unwrap();
        assert_eq!(report.events, 0);
        assert!(
            report
                .ingested_before
                .iter()
                .any(|name| name.ends_with("x!a.ndjson"))
        );
    }
}

#[test]
fn what_is_wrong_with_a_member_of_a_zip_archive_is_its_own_matter() {
    let lake = Lake::new();
    let archive = zip(&[
        ("folder/", 0, 0, 0, b""),
        ("a", 0, 0, 0, &lines(&["a"])),
        ("secret", 1, 8, 0, &lines(&["b"])),
        ("wrong", 0, 8, 1, &lines(&["c"])),
        ("odd", 0, 97, 0, &lines(&["d"])),
        ("e", 0, 8, 0, &lines(&["e"])),
    ]);
    let report = lake
        .run(lenient(&lake), &[lake.file("x.zip", &archive)])
        .unwrap();
    check(&lake.stored("t"), &events(&["a", "e"]));
    let failed = failures(&report, &lake);
    assert_eq!(
        failed[0],
        "`x.zip!secret` cannot be read, because it is encrypted: extract it with its password"
    );
    assert!(
        failed[1].contains("`x.zip!wrong`") && failed[2].contains("`x.zip!odd`"),
        "{failed:?}"
    );
    assert_eq!(failed.len(), 3);
    let strict = Lake::new();
    let error = strict
        .run(strict.options("t"), &[strict.file("x.zip", &archive)])
        .unwrap_err();
    assert!(error.to_string().contains("encrypted"), "{error}");
}

#[test]
fn nothing_behind_or_in_an_archive_is_passed_over_in_silence() {
    let first = lines(&["a"]);
    let one = tar(&[("a", &first)]);
    let twice = [one.clone(), one.clone()].concat();
    let mut sparse = one.clone();
    // The type of a GNU sparse member, and the checksum of the header, which is the sum of its bytes.
    sparse[156] = b'S';
    let sum: u32 = (0..512)
        .map(|at| match at {
            148..156 => u32::from(b' '),
            at => u32::from(sparse[at]),
        })
        .sum();
    sparse[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut wrong_sum = gzip(&one);
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 0xff;
    for (bytes, events) in [(twice, 1), (sparse, 0), (wrong_sum, 1)] {
        let lake = Lake::new();
        let report = lake.run(lenient(&lake), &[lake.file("x", &bytes)]).unwrap();
        assert_eq!(
            (report.events, report.failed.len()),
            (events, 1),
            "{report:?}"
        );
    }
}

#[test]
fn archives_that_are_cut_give_what_is_whole() {
    let (first, second) = (lines(&["a"]), lines(&["b"]));
    let whole = tar(&[("a", &first), ("b", &second)]);
    for end in [513, 700, 1_023, 1_025, 1_500, 1_536, 1_540, 2_000] {
        let lake = Lake::new();
        let report = lake
            .run(lenient(&lake), &[lake.file("x", &whole[..end])])
            .unwrap();
        let count =
            usize::from(end >= 512 + first.len()) + usize::from(end >= 1_536 + second.len());
        assert_eq!(report.events, count as u64, "{end}");
        assert!(
            !report.failed.is_empty() || end >= 1_536 + second.len(),
            "{end}"
        );
    }
    let whole = zip(&[("a", 0, 8, 0, &first), ("b", 0, 8, 0, &second)]);
    for end in (4..whole.len()).step_by(7) {
        let lake = Lake::new();
        let report = lake
            .run(lenient(&lake), &[lake.file("x", &whole[..end])])
            .unwrap();
        assert_eq!((report.events, report.failed.len()), (0, 1), "{end}");
    }
    // Any change of a byte costs an error at most.
    for at in (0..whole.len()).step_by(5) {
        let lake = Lake::new();
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        let report = lake
            .run(lenient(&lake), &[lake.file("x", &changed)])
            .unwrap();
        assert!(report.events <= 2, "{at}");
    }
}
