//! Rules for commands that read them without running them: packs' own and Sigma's, over tables or by themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use tempfile::TempDir;
use yagura_core::{OrFault, Pack, TimeRange};
use yagura_lake::table::Table;
use yagura_plan::{NotRun, RuleSource, SigmaInput, open_tables, place_classes};
use yagura_service::config::{Config, LakeSettings, TableSettings};
use yagura_service::{admission, packs};

/// Where rules and tables come from.
#[derive(Debug, clap::Args)]
pub(crate) struct Sources {
    /// Directory of a pack; may be given more than once
    #[arg(long, value_name = "PATH")]
    pub(crate) pack: Vec<PathBuf>,
    /// Sigma rule, or directory of Sigma rules; may be given more than once
    #[arg(long, value_name = "PATH")]
    pub(crate) sigma: Vec<PathBuf>,
    /// Field map for Sigma rules, before those that are part of Yagura; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) field_map: Vec<PathBuf>,
    /// Lake whose tables the rules are looked at with: a path or an object-store URL
    #[arg(long, value_name = "LAKE", conflicts_with = "config")]
    pub(crate) lake: Option<String>,
    /// Configuration file that names tables, packs and Sigma rules
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Table that lies elsewhere; may be given more than once
    #[arg(long, value_name = "NAME=URL", value_parser = name_and_url)]
    pub(crate) table: Vec<(String, String)>,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct RuleSet {
    /// Archives, unpacked.
    _unpacked: Vec<TempDir>,
    pub(crate) packs: Vec<Pack>,
    pub(crate) sigma: SigmaInput,
    /// The tables, where any were named.
    pub(crate) tables: Option<Vec<Arc<Table>>>,
    /// The configuration's geolocation database.
    pub(crate) geoip: Option<PathBuf>,
}

impl Sources {
    /// Says whether nothing was named.
    pub(crate) fn are_none(&self) -> bool {
        self.pack.is_empty() && self.sigma.is_empty() && self.config.is_none()
    }

    /// Reads the rules and opens the tables.
    pub(crate) async fn read(&self) -> Result<RuleSet> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        if let Some(url) = &self.lake {
            config.lake = Some(LakeSettings {
                url: url.clone(),
                options: BTreeMap::new(),
            });
        }
        for (name, url) in &self.table {
            let settings = config
                .table
                .entry(name.clone())
                .or_insert_with(TableSettings::default);
            settings.url = Some(url.clone());
        }
        config.packs.extend(self.pack.iter().cloned());
        config.sigma.extend(self.sigma.iter().cloned());
        config
            .field_maps
            .splice(..0, self.field_map.iter().cloned());
        if config.packs.is_empty() && config.sigma.is_empty() {
            bail!(
                "there are no rules to look at: name a pack with --pack or Sigma rules with --sigma"
            );
        }
        let mut unpacked = Vec::new();
        let packs = config
            .packs
            .iter()
            .map(|path| Ok(Pack::read(&admission::directory(path, &mut unpacked)?).or_fault()?))
            .collect::<Result<Vec<_>>>()?;
        let mut sigma = config.sigma.clone();
        sigma.extend(
            packs
                .iter()
                .map(|pack| pack.dir.join("rules"))
                .filter(|dir| dir.is_dir()),
        );
        let sigma = packs::load_sigma(&sigma, &config.field_maps)?;
        let tables = if config.lake.is_some() || !config.table.is_empty() {
            // Before the first events come, fields are looked up as without tables.
            match config.tables_so_far().await? {
                tables if tables.is_empty() => None,
                tables => Some(open_tables(&tables, TimeRange::default()).await?),
            }
        } else {
            None
        };
        Ok(RuleSet {
            _unpacked: unpacked,
            packs,
            sigma,
            tables,
            geoip: config.geoip,
        })
    }
}

impl RuleSet {
    /// Returns the packs' rules, without their plugins; those for a class over each table that holds it, where tables are known.
    pub(crate) fn own(&self) -> impl Iterator<Item = RuleSource> {
        let own = match &self.tables {
            Some(tables) => self.own_over(tables),
            None => self.written().collect(),
        };
        own.into_iter()
    }

    /// Returns the packs' rules as they run over these tables.
    pub(crate) fn own_over(&self, tables: &[Arc<Table>]) -> Vec<RuleSource> {
        place_classes(self.written(), tables, &[]).rules
    }

    /// Returns the rules for a class that no table holds.
    pub(crate) fn without_table(&self) -> Vec<NotRun> {
        let tables = self.tables.iter();
        let placed = tables.map(|tables| place_classes(self.written(), tables, &[]));
        placed.flat_map(|placed| placed.not_run).collect()
    }

    /// Returns the packs' rules as they are written.
    pub(crate) fn written(&self) -> impl Iterator<Item = RuleSource> + '_ {
        self.packs
            .iter()
            .flat_map(|pack| &pack.rules)
            .map(|source| RuleSource {
                rule: Arc::new(source.rule.clone()),
                file: source.file.clone(),
                plugin: None,
                predicate: None,
                fields: Vec::new(),
                alternatives: Default::default(),
            })
    }
}

/// Reads `NAME=URL`; for arguments.
pub(crate) fn name_and_url(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() && !url.is_empty() => {
            Ok((name.to_owned(), url.to_owned()))
        }
        _ => Err("write NAME=URL, for instance aws_cloudtrail=s3://logs/cloudtrail".to_owned()),
    }
}
