//! Every link, path and test that the documents name exists.

use std::fs;
use std::path::{Path, PathBuf};

/// What the map of ARCHITECTURE.md keeps out of crates: dependencies that they must not have.
const KEPT_OUT: [(&str, &[&str]); 21] = [
    (
        "ocsf",
        &[
            "arrow",
            "datafusion",
            "object_store",
            "tokio",
            "wasmtime",
            "yagura-alerts",
            "yagura-engine",
            "yagura-formats",
            "yagura-lake",
            "yagura-rules",
        ],
    ),
    (
        "listen",
        &[
            "arrow",
            "datafusion",
            "wasmtime",
            "yagura-alerts",
            "yagura-collect",
            "yagura-engine",
            "yagura-formats",
            "yagura-lake",
            "yagura-rules",
            "yagura-service",
            "yagura-sources",
        ],
    ),
    (
        "functions",
        &[
            "object_store",
            "tokio",
            "wasmtime",
            "yagura-alerts",
            "yagura-correlate",
            "yagura-engine",
            "yagura-host",
            "yagura-lake",
            "yagura-packs",
            "yagura-plan",
            "yagura-rules",
            "yagura-service",
        ],
    ),
    (
        "formats",
        &[
            "arrow",
            "datafusion",
            "object_store",
            "tokio",
            "wasmtime",
            "yagura-",
        ],
    ),
    (
        "core",
        &[
            "arrow",
            "datafusion",
            "object_store",
            "tokio",
            "wasmtime",
            "yagura-",
        ],
    ),
    (
        "rules",
        &["datafusion", "object_store", "tokio", "wasmtime"],
    ),
    (
        "lake",
        &[
            "wasmtime",
            "yagura-alerts",
            "yagura-engine",
            "yagura-host",
            "yagura-rules",
        ],
    ),
    (
        "sources",
        &[
            "wasmtime",
            "yagura-alerts",
            "yagura-correlate",
            "yagura-engine",
            "yagura-host",
            "yagura-packs",
            "yagura-rules",
            "yagura-service",
        ],
    ),
    (
        "collect",
        &[
            "arrow",
            "datafusion",
            "wasmtime",
            "yagura-alerts",
            "yagura-engine",
            "yagura-host",
            "yagura-plan",
            "yagura-rules",
            "yagura-sources",
        ],
    ),
    (
        "http",
        &[
            "arrow",
            "datafusion",
            "object_store",
            "wasmparser",
            "wasmtime",
            "yagura-alerts",
            "yagura-engine",
            "yagura-host",
            "yagura-lake",
            "yagura-packs",
            "yagura-rules",
        ],
    ),
    (
        "host",
        &["arrow", "datafusion", "object_store", "yagura-packs"],
    ),
    (
        "plan",
        &[
            "wasmtime",
            "yagura-correlate",
            "yagura-engine",
            "yagura-host",
        ],
    ),
    (
        "engine",
        &["clap", "wasmtime", "yagura-alerts", "yagura-packs"],
    ),
    (
        "correlate",
        &[
            "arrow",
            "datafusion",
            "tokio",
            "yagura-engine",
            "yagura-lake",
            "yagura-rules",
        ],
    ),
    (
        "alerts",
        &[
            "datafusion",
            "reqwest",
            "wasmtime",
            "yagura-engine",
            "yagura-host",
        ],
    ),
    (
        "packs",
        &["arrow", "datafusion", "wasmtime", "yagura-engine"],
    ),
    (
        "toolchain",
        &["anyhow", "clap", "serde", "tokio", "yagura-"],
    ),
    (
        "authoring",
        &[
            "clap",
            "datafusion",
            "yagura-engine",
            "yagura-lake",
            "yagura-service",
        ],
    ),
    ("service", &["clap", "comfy-table", "yagura-suite"]),
    ("suite", &["clap", "comfy-table", "yagura-authoring"]),
    (
        "xtask",
        &[
            "datafusion",
            "yagura-authoring",
            "yagura-core",
            "yagura-host",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the documents: those at the root, of `docs`, of SDKs and of examples.
fn documents() -> Vec<(PathBuf, String)> {
    let mut documents = Vec::new();
    for folder in ["docs", "sdk", "examples"] {
        collect(&root().join(folder), &mut documents);
    }
    for entry in fs::read_dir(root()).unwrap() {
        add(entry.unwrap().path(), &mut documents);
    }
    assert!(documents.len() > 15, "only {} documents", documents.len());
    documents
}

fn collect(folder: &Path, documents: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            add(path, documents);
        } else if !path.ends_with("node_modules") && !path.join("CACHEDIR.TAG").exists() {
            collect(&path, documents);
        }
    }
}

fn add(path: PathBuf, documents: &mut Vec<(PathBuf, String)>) {
    if path.extension().is_some_and(|ext| ext == "md") {
        let text = fs::read_to_string(&path).unwrap();
        documents.push((path, text));
    }
}

/// Returns the lines of a document that are not code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// Returns the targets of a document's links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let after = prose(text).flat_map(|line| line.split("](").skip(1));
    after.filter_map(|rest| rest.split(')').next())
}

/// Returns the anchors of a document's headings, as GitHub and mdbook make them.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim();
        let kept = heading.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ => c.is_alphanumeric().then(|| c.to_ascii_lowercase()),
        });
        let anchor: String = kept.collect();
        let same = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(match same {
            0 => anchor,
            again => format!("{anchor}-{again}"),
        });
    }
    anchors
}

#[test]
fn every_link_leads_somewhere() {
    let mut missing = Vec::new();
    let mut checked = 0;
    for (path, text) in documents() {
        for link in links(&text) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let file = match target {
                "" => path.clone(),
                target => path.parent().unwrap().join(target),
            };
            let is_there = match anchor {
                "" => file.exists(),
                anchor => fs::read_to_string(&file)
                    .is_ok_and(|text| anchors(&text).iter().any(|other| other == anchor)),
            };
            checked += 1;
            if !is_there {
                missing.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(checked > 50, "only {checked} links were found");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn anchors_are_made_of_headings() {
    let text = "# One, `two` and three_four\n```\n# no heading\n```\n## Ten-fold\n## Ten-fold\n";
    assert_eq!(
        anchors(text),
        ["one-two-and-three_four", "ten-fold", "ten-fold-1"]
    );
    assert_eq!(
        links("[a](b.md#c) and [d](e)\n```\n[f](g)\n```").collect::<Vec<_>>(),
        ["b.md#c", "e"]
    );
}

#[test]
fn every_page_is_in_the_summary_of_the_book() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: Vec<PathBuf> = links(&summary).map(|link| docs.join(link)).collect();
    let mut pages = Vec::new();
    collect(&docs, &mut pages);
    for (page, _) in pages {
        assert!(
            page.ends_with("SUMMARY.md") || listed.contains(&page),
            "docs/SUMMARY.md does not list {}",
            page.display()
        );
    }
}

#[test]
fn every_path_in_the_architecture_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut checked = 0;
    for quoted in text.split('`').skip(1).step_by(2) {
        let first = quoted.split('/').next().unwrap();
        let is_path = quoted.contains('/')
            && [
                "runtime", "sdk", "plugins", "wit", "tests", "docs", "examples",
            ]
            .contains(&first);
        if is_path {
            // A path may name a function: `file::name`.
            let (path, name) = quoted.split_once("::").unwrap_or((quoted, ""));
            let path = root().join(path);
            assert!(path.exists(), "ARCHITECTURE.md names {quoted}");
            if !name.is_empty() {
                let text = fs::read_to_string(path).unwrap();
                assert!(
                    text.contains(&format!("fn {name}(")),
                    "ARCHITECTURE.md names {quoted}, which the file does not have"
                );
            }
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
    let shown = fs::read_to_string(root().join("runtime/service/default.toml")).unwrap();
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

#[test]
fn every_invariant_names_the_test_that_holds_it() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut checked = 0;
    for item in text.split("\n* **Invariant").skip(1) {
        let item = item.split("\n* ").next().unwrap();
        let item = item.split("\n\n").next().unwrap();
        let is_held = item.contains("Test: `") || item.contains("Tests: `");
        assert!(is_held, "no test holds \"**Invariant{item}\"");
        assert!(item.lines().count() <= 5, "too long: **Invariant{item}");
        checked += 1;
    }
    assert!(checked > 30, "only {checked} invariants were found");
}

#[test]
fn crates_depend_only_on_what_the_map_allows() {
    for (name, kept_out) in KEPT_OUT {
        let manifest = root().join("runtime").join(name).join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
        for dependency in manifest["dependencies"].as_table().unwrap().keys() {
            let is_kept_out = kept_out
                .iter()
                .any(|kept_out| match kept_out.ends_with('-') {
                    true => dependency.starts_with(kept_out),
                    false => dependency == kept_out,
                });
            assert!(
                !is_kept_out,
                "runtime/{name} must not depend on {dependency}: see the code map of ARCHITECTURE.md"
            );
        }
    }
}
