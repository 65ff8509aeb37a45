//! The files of the schema's source form.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::{Map, Value};

/// The files as JSON, by their path below the root of the schema.
pub(crate) type Files = BTreeMap<String, Map<String, Value>>;

/// Reads the files of a `.tar.gz` that has one folder at its root.
///
/// # Errors
/// When the archive cannot be read, or a file of it is not a JSON object.
pub(crate) fn read(archive: &Path) -> Result<Files> {
    let named = || format!("cannot read {}", archive.display());
    let file = File::open(archive).with_context(named)?;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let mut files = Files::new();
    for entry in archive.entries().with_context(named)? {
        let mut entry = entry.with_context(named)?;
        let path = entry.path().with_context(named)?.into_owned();
        let path: Vec<_> = path
            .iter()
            .skip(1)
            .map(|part| part.to_string_lossy())
            .collect();
        let path = path.join("/");
        if !path.ends_with(".json") || path.starts_with("metaschema/") {
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).with_context(named)?;
        let json = serde_json::from_str(&text).with_context(|| format!("{path} is not JSON"))?;
        files.insert(path, json);
    }
    for name in ["version.json", "categories.json", "dictionary.json"] {
        ensure!(
            files.contains_key(name),
            "the archive has no schema: {name} is missing in its folder"
        );
    }
    Ok(files)
}
