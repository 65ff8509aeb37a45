//! A source by its name or its file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use yagura_core::names::did_you_mean;
use yagura_core::{OrFault, Pack};
use yagura_sources::{Mapping, SourceFile, shipped, shipped_names};

/// A source, read and checked.
pub(crate) struct OpenSource {
    pub(crate) file: PathBuf,
    pub(crate) source: SourceFile,
    pub(crate) mapping: Arc<Mapping>,
}

/// Opens a source: the file at a path, or a source of one of the packs, or one that is part of Yagura, by its name.
pub(crate) fn open(name: &str, packs: &[PathBuf]) -> Result<OpenSource> {
    let path = Path::new(name);
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
        || path.is_file()
    {
        return open_file(path);
    }
    let mut known = Vec::new();
    for pack in packs {
        for file in Pack::read(pack).or_fault()?.sources {
            let found = open_file(&file)?;
            if found.source.source.name == name {
                return Ok(found);
            }
            known.push(found.source.source.name);
        }
    }
    if let Some((file, text)) = shipped(name) {
        return read(&file, text);
    }
    known.extend(shipped_names());
    let near = did_you_mean(name, known.iter().map(String::as_str));
    bail!(
        "there is no source `{name}`{near}; `yagura source list` shows those that are part of Yagura, and --source also takes the path of a source's file"
    )
}

/// Opens the source in a file.
pub(crate) fn open_file(file: &Path) -> Result<OpenSource> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    read(file, &text)
}

fn read(file: &Path, text: &str) -> Result<OpenSource> {
    let source = SourceFile::read(file, text).or_fault()?;
    let mapping = Mapping::new(file, text, &source).or_fault()?;
    Ok(OpenSource {
        file: file.to_owned(),
        source,
        mapping: Arc::new(mapping),
    })
}
