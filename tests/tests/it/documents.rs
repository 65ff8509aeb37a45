//! The documents name what is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn documents() -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "sdk/rust/README.md",
    ]
    .iter()
    .map(|name| root().join(name))
    .collect();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        files.push(entry.unwrap().path());
    }
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "md"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut missing = Vec::new();
    for (path, text) in documents() {
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !path.parent().unwrap().join(target).exists() {
                missing.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_path_in_the_architecture_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut checked = 0;
    for quoted in text.split('`').skip(1).step_by(2) {
        let first = quoted.split('/').next().unwrap();
        let is_path = quoted.contains('/')
            && ["runtime", "sdk", "plugins", "wit", "tests", "docs"].contains(&first);
        if is_path {
            assert!(
                root().join(quoted).exists(),
                "ARCHITECTURE.md names {quoted}"
            );
            checked += 1;
        }
    }
    assert!(
        checked > 15,
        "only {checked} paths were found in ARCHITECTURE.md"
    );
}

/// A setting that is in `default.toml` only would be looked for in vain.
#[test]
fn every_setting_is_in_the_reference() {
    let shown = fs::read_to_string(root().join("runtime/yagura/default.toml")).unwrap();
    let reference = root().join("docs/operators/configuration.md");
    let reference = fs::read_to_string(reference).unwrap();
    let named: Vec<&str> = reference.split('`').skip(1).step_by(2).collect();
    // Options of object stores and kinds of observables are examples.
    let examples = ["endpoint", "region", "allow_http", "ip", "user"];
    let mut checked = 0;
    for line in shown.lines() {
        let line = line.strip_prefix("#: ").unwrap_or(line);
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        if line.starts_with('#') || examples.contains(&key) {
            continue;
        }
        let is_named = named
            .iter()
            .any(|name| *name == key || name.ends_with(&format!(".{key}")));
        assert!(is_named, "configuration.md does not name `{key}`");
        checked += 1;
    }
    assert!(checked > 40, "only {checked} settings were found");
}

#[test]
fn every_crate_is_on_the_map() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for entry in fs::read_dir(root().join("runtime")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let line = format!("| `runtime/{name}` |");
        assert!(
            text.contains(&line),
            "ARCHITECTURE.md does not describe runtime/{name}"
        );
    }
}
