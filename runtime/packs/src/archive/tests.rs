//! Archives: one form, and every other one refused.

use std::error::Error;

use tar::Builder;

use super::*;
use crate::testing::{PACK, pack_dir};

const ALL: Bounds = Bounds {
    files: 1_000,
    file_bytes: 16 << 20,
    total_bytes: 64 << 20,
};

fn pack(files: &[(&str, &str)]) -> Contents {
    let dir = pack_dir(files);
    let mut contents = Contents::read_dir(dir.path(), &ALL).unwrap();
    contents.seal();
    contents
}

fn archive(contents: &Contents) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(contents, &mut bytes).unwrap();
    bytes
}

/// Compresses the bytes of a tar archive as a pack's are.
fn compress(tar: &[u8]) -> Vec<u8> {
    let mut frame = zstd::Encoder::new(Vec::new(), 3).unwrap();
    frame.include_checksum(true).unwrap();
    frame
        .set_parameter(CParameter::WindowLog(WINDOW_LOG))
        .unwrap();
    frame.set_pledged_src_size(Some(tar.len() as u64)).unwrap();
    frame.write_all(tar).unwrap();
    let frame = frame.finish().unwrap();
    sealed(&frame)
}

/// Adds the frame with the digest.
fn sealed(frame: &[u8]) -> Vec<u8> {
    [frame, &seal(frame)].concat()
}

fn message(bytes: &[u8], bounds: &Bounds) -> String {
    let error = read(bytes, "x.tar.zst", bounds).unwrap_err();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// Builds a tar archive with another tool's hand.
fn tar(build: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    build(&mut builder);
    compress(&builder.into_inner().unwrap())
}

fn raw(name: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = header("x", size).unwrap();
    header.set_entry_type(kind);
    let bytes = header.as_mut_bytes();
    bytes[..100].fill(0);
    bytes[..name.len()].copy_from_slice(name);
    header.set_cksum();
    header
}

#[test]
fn the_same_pack_gives_the_same_bytes_and_comes_back() {
    let files = [("rules/b.toml", "b"), ("rules/a.toml", ""), ("é.csv", "é")];
    let first = pack(&files);
    let again = pack(&[files[2], files[0], files[1]]);
    assert_eq!(archive(&first), archive(&again));
    let back = read(archive(&first).as_slice(), "x", &ALL).unwrap();
    assert_eq!(back.files, first.files);
    assert_eq!(back.manifest, first.manifest);
    back.verify().unwrap();
}

#[test]
fn files_of_any_size_come_back() {
    let mut text = String::new();
    for number in 0_u64..9 << 17 {
        text.push_str(&format!("{:07}\n", number * 7_919 % 10_000_000));
    }
    for size in [
        0,
        1,
        511,
        512,
        62_000,
        64_000,
        65_000,
        70_000,
        8 << 20,
        9 << 20,
    ] {
        let contents = pack(&[("lookups/a.csv", &text[..size])]);
        let back = read(archive(&contents).as_slice(), "x", &ALL);
        assert_eq!(back.unwrap().files, contents.files, "{size}");
    }
}

#[test]
fn long_names_are_split_and_come_back() {
    let name = format!(
        "{}/{}/{}.toml",
        "a".repeat(60),
        "b".repeat(90),
        "c".repeat(95)
    );
    let contents = pack(&[(&name, "x")]);
    let back = read(archive(&contents).as_slice(), "x", &ALL).unwrap();
    assert_eq!(back.files, contents.files);
}

#[test]
fn traversal_and_absolute_names_are_refused() {
    for (name, reason) in [
        (&b"../evil.toml"[..], "leads out of its folder"),
        (b"rules/../../evil.toml", "leads out of its folder"),
        (b"/etc/cron.d/evil", "is absolute"),
        (b"C:\\evil", "is absolute"),
        (b"rules\\evil.toml", "has the character"),
        (b"a\xff", "is not UTF-8"),
        (b"rules/NUL.toml", "is a device on Windows"),
    ] {
        let bytes = tar(|builder| {
            let header = raw(name, EntryType::Regular, 0);
            builder.append(&header, io::empty()).unwrap();
        });
        let message = message(&bytes, &ALL);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn links_devices_and_extensions_are_refused() {
    for (kind, what) in [
        (EntryType::Symlink, "is a link"),
        (EntryType::Link, "is a link"),
        (EntryType::Char, "is a device or a pipe"),
        (EntryType::Fifo, "is a device or a pipe"),
        (EntryType::Directory, "is a folder"),
        (EntryType::GNUSparse, "is a sparse file"),
        (EntryType::GNULongName, "is a long name for another entry"),
        (EntryType::XHeader, "is an extended header"),
        (EntryType::XGlobalHeader, "is an extended header"),
        (EntryType::Continuous, "is of a kind that is not known"),
    ] {
        let bytes = tar(|builder| {
            let mut header = raw(b"rules", kind, 0);
            header.as_mut_bytes()[157..168].copy_from_slice(b"/etc/passwd");
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        });
        let message = message(&bytes, &ALL);
        assert_eq!(
            message,
            format!(
                "the pack x.tar.zst: `rules` {what}: an archive of a pack has regular files only"
            )
            .replace(
                "is an extended header:",
                "is an extended header for others:"
            )
        );
    }
}

#[test]
fn duplicates_twins_and_disorder_are_refused() {
    let with = |names: &[&str]| {
        let bytes = tar(|builder| {
            for name in names {
                builder
                    .append(&header(name, 1).unwrap(), &b"x"[..])
                    .unwrap();
            }
        });
        message(&bytes, &ALL)
    };
    assert!(with(&["pack.toml", "pack.toml"]).ends_with("`pack.toml` is there twice"));
    assert!(with(&["rules/A.toml", "rules/a.toml"]).contains("is the same name as"));
    assert!(with(&["cafe\u{301}"]).contains("composed form"));
    assert!(
        with(&["b", "a"]).ends_with("`a` is not in order: make the archive with `yagura pack`")
    );
    assert!(with(&["a", "a/b"]).ends_with("`a` is both a file and a folder"));
    assert!(with(&["manifest.sha256"]).contains("is kept for the manifest"));
}

#[test]
fn another_tool_s_header_is_refused() {
    let change: [fn(&mut Header); 4] = [
        |header| header.set_mtime(1),
        |header| header.set_uid(1_000),
        |header| header.set_mode(0o755),
        |header| header.as_mut_bytes()[500] = 1,
    ];
    for change in change {
        let bytes = tar(|builder| {
            let mut header = header("pack.toml", 1).unwrap();
            change(&mut header);
            header.set_cksum();
            builder.append(&header, &b"x"[..]).unwrap();
        });
        assert!(message(&bytes, &ALL).contains("the header of `pack.toml` is not as"));
    }
}

#[test]
fn bombs_are_refused_before_they_unfold() {
    let zeros = "\0".repeat(12 << 20);
    let bomb = archive(&pack(&[("lookups/zeros.csv", &zeros)]));
    assert!(bomb.len() < 8 << 10, "{}", bomb.len());
    let message_of = message(&bomb, &ALL);
    assert!(
        message_of.contains("it is a decompression bomb"),
        "{message_of}"
    );

    let small = Bounds {
        file_bytes: 1 << 10,
        total_bytes: 1 << 20,
        ..ALL
    };
    assert!(message(&bomb, &small).contains("the files of the pack have more than 1048576 bytes"));
    let large = archive(&pack(&[("a", &"x".repeat(2_000))]));
    assert!(
        message(&large, &small)
            .ends_with("`a` is too much for a pack: the file has more than 1024 bytes")
    );
    let few = Bounds { files: 2, ..ALL };
    let three = archive(&pack(&[("a", "1")]));
    assert!(message(&three, &few).ends_with("the pack has more than 2 files"));

    // A header that promises what does not come takes no memory.
    let bytes = tar(|builder| {
        let header = header("a", 15 << 20).unwrap();
        builder.get_mut().extend_from_slice(header.as_bytes());
    });
    assert!(message(&bytes, &ALL).ends_with("it is cut off after `a`: get it again"));
}

#[test]
fn what_is_cut_off_or_goes_on_is_refused() {
    let whole = archive(&pack(&[("rules/a.toml", "a")]));
    for end in 0..whole.len() {
        message(&whole[..end], &ALL);
    }
    let seal_message = "it is damaged or cut off, or something follows its end";
    let longer = [&whole[..], b"x"].concat();
    let unsealed = message(&longer, &ALL);
    assert!(
        unsealed.contains("it does not end as `yagura pack` ends an archive")
            && unsealed.contains("something follows its end")
            && unsealed.contains("another tool made it"),
        "{unsealed}"
    );
    let twice = [&whole[..], &whole[..]].concat();
    assert!(message(&twice, &ALL).contains(seal_message));
    let frame = &whole[..whole.len() - SEAL_BYTES];
    let frames = sealed(&[frame, frame].concat());
    assert!(message(&frames, &ALL).contains("something follows the end of its files"));
    let cut = sealed(&frame[..frame.len() - 9]);
    assert!(message(&cut, &ALL).contains("it is damaged: get it again"));
    let hidden = tar(|builder| {
        let toml = header("pack.toml", PACK.len() as u64).unwrap();
        builder.append(&toml, PACK.as_bytes()).unwrap();
        builder.get_mut().extend_from_slice(&[0; 1024]);
        builder
            .append(&header("z", 0).unwrap(), io::empty())
            .unwrap();
    });
    assert!(message(&hidden, &ALL).contains("something follows the end of its files"));
    assert!(message(b"PK\x03\x04", &ALL).contains("it is not a .tar.zst"));
}

#[test]
fn a_changed_bit_anywhere_is_found() {
    let contents = pack(&[
        ("rules/a.toml", "[rule]\nid = \"a\"\n"),
        ("tests/a.json", "{}"),
    ]);
    let whole = archive(&contents);
    for index in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[index] ^= 1 << bit;
            let found = read(changed.as_slice(), "x", &ALL);
            let found = found.ok().and_then(|contents| contents.verify().ok());
            assert!(found.is_none(), "bit {bit} of byte {index}");
        }
    }
}
