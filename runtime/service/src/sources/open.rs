//! A source by its name or its file, for services and commands, and the plugin that parses its records.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use yagura_core::causes::causes;
use yagura_core::diagnostic::Key;
use yagura_core::names::did_you_mean;
use yagura_core::pack::{PluginManifest, World};
use yagura_core::source::SourceText;
use yagura_core::{Fault, Grants, OrFault, Pack, files};
use yagura_formats::Zone;
use yagura_host::{Host, NormalizerPlugin};
use yagura_lake::ingest::{RecordParser, SourceTable};
use yagura_sources::{Mapping, SourceFile, shipped, shipped_names, source_table};

use super::parser::PluginParser;
use crate::answering::read_component;

/// Records that a plugin is called with at once.
pub const RECORDS_AT_ONCE: usize = 4_096;

/// A source, read and checked.
#[derive(Debug)]
pub struct OpenSource {
    /// Its file.
    pub file: PathBuf,
    /// What stands in it.
    pub source: SourceFile,
    /// How its events become rows.
    pub mapping: Arc<Mapping>,
    /// The directory of the pack that it lies in, if it does.
    pub pack: Option<PathBuf>,
}

impl OpenSource {
    /// Opens a source: the file at a path, or a source of one of the packs, or one that is part of Yagura, by its name.
    ///
    /// # Errors
    /// When there is none, or what is wrong with its file.
    pub fn find(name: &str, packs: &[PathBuf]) -> Result<Self> {
        let mut found = Self::found(name, packs)?;
        // Nothing else has the mapping yet.
        if let (Some(key), Some(mapping)) =
            (std::env::var_os(MASK_KEY), Arc::get_mut(&mut found.mapping))
        {
            mapping.set_key(key.as_encoded_bytes());
        }
        Ok(found)
    }

    fn found(name: &str, packs: &[PathBuf]) -> Result<Self> {
        let path = Path::new(name);
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
            || path.is_file()
        {
            return Self::of_file(path);
        }
        let mut known = Vec::new();
        for pack in packs {
            for file in Pack::read(pack).or_fault()?.sources {
                let found = Self::of_pack(&file, pack)?;
                if found.source.source.name == name {
                    return Ok(found);
                }
                known.push(found.source.source.name);
            }
        }
        if let Some((file, text)) = shipped(name) {
            return Self::read(&file, text, None);
        }
        known.extend(shipped_names());
        let near = did_you_mean(name, known.iter().map(String::as_str));
        bail!(
            "there is no source `{name}`{near}; `yagura source list` shows those that are part of Yagura, and the path of a source's file does as well as a name"
        )
    }

    /// Opens the source in a file; its pack is the one whose `sources/` the file lies below.
    ///
    /// # Errors
    /// What is wrong with the file.
    fn of_file(file: &Path) -> Result<Self> {
        let pack = pack_around(file).or_else(|| pack_around(&std::path::absolute(file).ok()?));
        Self::read(file, &text_of(file)?, pack)
    }

    /// Opens the source in a file of the pack in a directory. Its masks write hashes with the key of tests.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn of_pack(file: &Path, pack: &Path) -> Result<Self> {
        Self::read(file, &text_of(file)?, Some(pack.to_owned()))
    }

    fn read(file: &Path, text: &str, pack: Option<PathBuf>) -> Result<Self> {
        let source = SourceFile::read(file, text).or_fault()?;
        let mapping = Mapping::new(file, text, &source).or_fault()?;
        Ok(Self {
            file: file.to_owned(),
            source,
            mapping: Arc::new(mapping),
            pack,
        })
    }

    /// Sets the zone of times that name none, in place of the one that its file declares.
    pub fn set_zone(&mut self, zone: Zone) {
        self.source.source.timezone = Some(zone.to_string());
        // Nobody else has it before the source is used.
        if let Some(mapping) = Arc::get_mut(&mut self.mapping) {
            mapping.set_zone(zone);
        }
    }

    /// Returns the source as ingest needs it. If it has a plugin, the plugin is loaded by `host` within what `grants` allows, and
    /// opened once; a call of it has `at_once` records at most, such as [`RECORDS_AT_ONCE`].
    ///
    /// # Errors
    /// When the plugin is missing or cannot be opened.
    pub fn table(
        &self,
        host: impl FnOnce() -> Result<Host>,
        grants: &Grants,
        at_once: usize,
    ) -> Result<SourceTable> {
        let parser = match &self.source.source.plugin {
            None => None,
            Some(name) => {
                let parser = self.parser(name, &host()?, grants, at_once);
                let parser = parser.with_context(|| {
                    format!("{}: the plugin `{name}` of the source", self.file.display())
                })?;
                Some(Arc::new(parser) as Arc<dyn RecordParser>)
            }
        };
        let mapping = Arc::clone(&self.mapping);
        Ok(source_table(&self.source, mapping, parser))
    }

    fn parser(
        &self,
        name: &str,
        host: &Host,
        grants: &Grants,
        at_once: usize,
    ) -> Result<PluginParser> {
        let Some(dir) = &self.pack else {
            return Err(Fault::rule(
                "the source lies in no pack: put its file below `sources/` of the pack that has the plugin",
            )
            .into());
        };
        let mut pack = Pack::read(dir).or_fault()?;
        pack.manifest.bound(grants);
        let manifest = pack
            .manifest
            .plugin_of(name, World::Normalizer, "a source")
            .map_err(|found| {
                let text = fs::read_to_string(&self.file).unwrap_or_default();
                let key = Key::written("source.plugin");
                SourceText::new(&self.file, &text).refuse([found.at(key)])
            })
            .or_fault()?;
        let (plugin, config) = load_normalizer(host, &pack, manifest)?;
        let shown = format!("{}/{name}", pack.manifest.pack.name);
        PluginParser::open(shown, plugin, config, at_once).map_err(|error| {
            let message = format!("it cannot be opened: {}", causes(&error).join(": "));
            Fault::rule(message).into()
        })
    }
}

/// Loads a normalizer of a pack; returns it with its configuration, as JSON text.
fn load_normalizer(
    host: &Host,
    pack: &Pack,
    manifest: &PluginManifest,
) -> Result<(NormalizerPlugin, String)> {
    let file = pack.dir.join(&manifest.file);
    if file.exists() {
        files::inside(&pack.dir, Path::new(&manifest.file))
            .with_context(|| format!("cannot use the plugin {}", file.display()))?;
    }
    let bytes = read_component(&file, pack, manifest)?;
    let plugin = host
        .load_normalizer(&file.display().to_string(), &bytes, &manifest.limits)
        .or_fault()?;
    Ok((plugin, serde_json::to_string(&manifest.config)?))
}

/// Returns the directory of the pack whose `sources/` a file lies below, as far as the path shows.
fn pack_around(file: &Path) -> Option<PathBuf> {
    let mut folders = file.ancestors().skip(1);
    let sources = folders.find(|folder| {
        folder.file_name().is_some_and(|name| name == "sources")
            && folder.with_file_name("pack.toml").is_file()
    })?;
    let pack = sources.parent().unwrap_or(Path::new(""));
    Some(match pack == Path::new("") {
        true => PathBuf::from("."),
        false => pack.to_owned(),
    })
}

fn text_of(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The environment variable with the key of the hashes that masks write.
const MASK_KEY: &str = "YAGURA_MASK_KEY";

impl OpenSource {
    /// Checks that there is all that is needed to store its rows.
    ///
    /// # Errors
    /// When its masks write hashes and there is no key for them.
    pub fn must_be_storable(&self) -> Result<()> {
        if self.mapping.needs_key() && std::env::var_os(MASK_KEY).is_none_or(|key| key.is_empty()) {
            bail!(
                "{}: its masks write keyed hashes, and there is no key: put one into the environment variable {MASK_KEY}, and keep it: with another key, equal values are no longer equal",
                self.file.display()
            );
        }
        Ok(())
    }
}
