//! Every input that was kept, whole, cut off and with a byte changed, goes through its target.

use std::fs;
use std::path::PathBuf;

use yagura_formats::LineFormat;
use yagura_fuzz::{TARGETS, Target};

/// Changed copies of each input.
const CHANGED: usize = 24;

fn inputs(target: &Target) -> std::io::Result<Vec<Vec<u8>>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let entries: Result<Vec<_>, _> = fs::read_dir(&dir)?.collect();
    let mut files: Vec<PathBuf> = entries?.iter().map(fs::DirEntry::path).collect();
    files.sort();
    files.iter().map(fs::read).collect()
}

/// Gives some of each input to its target.
fn each(give: impl Fn(&Target, &[u8])) {
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(
            inputs.as_ref().is_ok_and(|inputs| !inputs.is_empty()),
            "no inputs of {}: {inputs:?}",
            target.name
        );
        for input in inputs.unwrap_or_default() {
            give(target, &input);
        }
    }
}

#[test]
fn every_form_of_logs_has_a_target() {
    let has = |name: &str| TARGETS.iter().any(|target| target.name == name);
    for format in LineFormat::ALL {
        let name = format!("lines-{}", format.name());
        assert!(has(&name), "no target reads the format `{}`", format.name());
    }
    // JSON in both forms, files that are packed, and what is recognised by its first bytes.
    for name in ["ingest", "evtx", "parquet", "grok"] {
        assert!(has(name), "no target `{name}`");
    }
}

#[test]
fn what_was_kept_does_no_harm() {
    each(|target, input| (target.read)(input));
}

#[test]
fn neither_do_changed_copies_of_it() {
    each(|target, input| {
        let step = (input.len() / CHANGED).max(1);
        for at in (0..input.len()).step_by(step) {
            (target.read)(&input[..at]);
            let mut changed = input.to_vec();
            changed[at] ^= 0x41;
            (target.read)(&changed);
        }
    });
}
