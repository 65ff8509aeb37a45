//! `yagura backup`: state and alerts of a service in one consistent copy.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use yagura_alerts::store::StoreCopy;
use yagura_alerts::{AlertStoreError, Clock, StoreLocation};
use yagura_core::Timestamp;
use yagura_core::alert::hex;
use yagura_correlate::store::{STATE_COPY, STORE_COPY, StateStore};
use yagura_service::config::Config;

use super::block_on;
use crate::output::number;

/// Copy state, alerts and incidents of a service, whether it runs or not
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Configuration file of the service
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Directory to make: it must not be there yet, or be empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

const AFTER_HELP: &str = "\
The copy is of one moment: what was read, what rules remember, alerts, incidents and acknowledgements, reports that were sent,
and lines of the file of alerts that were not written yet. Alerts in PostgreSQL are read from there, into a file of the same form. It
has no configuration, no packs, no tables, and not the file of alerts itself. `yagura restore` puts the copy in place.";

/// The description of a backup.
pub(super) const DESCRIPTION: &str = "backup.json";
/// The digests of all other files, as `sha256sum` writes them.
pub(super) const DIGESTS: &str = "SHA256SUMS";
/// Which versions of packs were used.
pub(super) const INSTALLED: &str = "installed.toml";
/// The form of backups that this version makes and reads.
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) format: u32,
    /// Version of the program.
    yagura: String,
    pub(super) made_at: Timestamp,
    pub(super) alerts: Alerts,
    /// The last line of the file of alerts that the state knows.
    pub(super) last_line: i64,
    /// The last line that was delivered; those after it are in the state.
    pub(super) delivered: i64,
}

/// Where the alerts of a backup are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Alerts {
    /// In the backup.
    File,
    /// There are none: the service has no policy.
    None,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    block_on(backup(arguments))
}

async fn backup(arguments: &Arguments) -> Result<u8> {
    let config = Config::read(&arguments.config)?;
    crate::private::make_files_private();
    let state = config.serve.clone().unwrap_or_default().state;
    let location = config.store_location()?;
    let to = &arguments.to;
    if to.exists() && !is_empty(to)? {
        bail!(
            "{} is there already: name a directory that is not, so that no backup is lost",
            to.display()
        );
    }
    let cannot = || format!("cannot write the backup {}", to.display());
    let parent = std::path::absolute(to).with_context(cannot)?;
    let parent = parent.parent().unwrap_or(Path::new("/")).to_owned();
    fs::create_dir_all(&parent).with_context(cannot)?;
    // A directory that is whole, or none.
    let work = tempfile::Builder::new()
        .prefix(".yagura-backup-")
        .tempdir_in(&parent)
        .with_context(cannot)?;
    let mut server = match location.file() {
        Some(_) => None,
        None => begin_copy(&location).await?,
    };
    let copied = tokio::task::block_in_place(|| {
        StateStore::copy(&state, location.file(), work.path(), || {
            if let Some(server) = &mut server {
                server.let_write();
            }
        })
    })?;
    let mut files = vec![STATE_COPY];
    let has_store = copied.has_store || server.is_some();
    if let Some(server) = server {
        let copied = server.write_to(&work.path().join(STORE_COPY)).await;
        copied.with_context(|| format!("cannot copy the alerts in {location}"))?;
    }
    let alerts = match has_store {
        true => Alerts::File,
        false => Alerts::None,
    };
    if alerts == Alerts::File {
        files.push(STORE_COPY);
    }
    let installed = state.join(INSTALLED);
    if installed.is_file() {
        fs::copy(&installed, work.path().join(INSTALLED))
            .with_context(|| format!("cannot copy {}", installed.display()))?;
        files.push(INSTALLED);
    }
    let description = Description {
        format: FORMAT,
        yagura: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: Clock::system().now(),
        alerts,
        last_line: copied.last_line,
        delivered: copied.delivered,
    };
    let text = serde_json::to_string_pretty(&description)? + "\n";
    fs::write(work.path().join(DESCRIPTION), text).with_context(cannot)?;
    files.push(DESCRIPTION);
    let mut digests = String::new();
    let mut bytes = 0;
    for name in &files {
        let file = work.path().join(name);
        let (digest, size) = digest_of(&file).with_context(cannot)?;
        digests += &format!("{digest}  {name}\n");
        bytes += size;
        File::open(&file)
            .and_then(|file| file.sync_all())
            .with_context(cannot)?;
    }
    fs::write(work.path().join(DIGESTS), digests).with_context(cannot)?;
    sync(&work.path().join(DIGESTS)).with_context(cannot)?;
    fs::rename(work.path(), to).with_context(cannot)?;
    let _ = work.keep();
    sync(&parent).with_context(cannot)?;
    let mut out = io::stdout().lock();
    let what = match alerts {
        Alerts::File => "state, alerts and incidents",
        Alerts::None => "state",
    };
    writeln!(
        out,
        "{}: {what}, {} KiB; lines of alerts up to number {}",
        to.display(),
        number(bytes.div_ceil(1_024)),
        number(u64::try_from(copied.last_line).unwrap_or_default())
    )?;
    Ok(0)
}

/// Reads the store of a server as it is now; nothing where there is none.
async fn begin_copy(location: &StoreLocation) -> Result<Option<StoreCopy>> {
    let store = match yagura_alerts::AlertStore::open_existing(location, Clock::system()).await {
        Err(AlertStoreError::Absent { .. }) => return Ok(None),
        store => store.with_context(|| {
            format!(
                "a backup without the alerts in {location} would be none; start it, and try again"
            )
        })?,
    };
    Ok(Some(store.begin_copy().await?))
}

/// Returns digest and size of a file.
pub(super) fn digest_of(file: &Path) -> io::Result<(String, u64)> {
    let mut reader = BufReader::new(File::open(file)?);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            return Ok((hex(&hash.finalize()), size));
        }
        hash.update(&chunk[..read]);
        size += read as u64;
    }
}

/// Waits until a file, or the names in a directory, are on disk.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    let _ = path;
    Ok(())
}

fn is_empty(dir: &Path) -> Result<bool> {
    let mut entries =
        fs::read_dir(dir).with_context(|| format!("cannot look into {}", dir.display()))?;
    Ok(entries.next().is_none())
}

/// Reads a backup, each of its bytes: one that is damaged is refused.
pub(super) fn read(dir: &Path) -> Result<Description> {
    let damaged = |what: String| {
        anyhow::anyhow!(
            "the backup {} cannot be used: {what}; use another one",
            dir.display()
        )
    };
    let digests = dir.join(DIGESTS);
    let file = File::open(&digests).with_context(|| {
        format!(
            "{} is not a backup: cannot open {}",
            dir.display(),
            digests.display()
        )
    })?;
    let mut named = BTreeMap::new();
    for line in BufReader::new(file.take(1 << 20)).lines() {
        let line = line.map_err(|error| damaged(format!("{DIGESTS} cannot be read ({error})")))?;
        let (digest, name) = line
            .split_once("  ")
            .ok_or_else(|| damaged(format!("{DIGESTS} has a line that is not a digest")))?;
        if ![STATE_COPY, STORE_COPY, INSTALLED, DESCRIPTION].contains(&name) {
            return Err(damaged(format!(
                "{DIGESTS} names a file that no backup has"
            )));
        }
        named.insert(name.to_owned(), digest.to_owned());
    }
    for (name, digest) in &named {
        let found = digest_of(&dir.join(name))
            .map_err(|error| damaged(format!("{name} cannot be read ({error})")))?;
        if found.0 != *digest {
            return Err(damaged(format!(
                "{name} is damaged: its bytes differ from those that were written"
            )));
        }
    }
    let must_have = |name: &str| match named.contains_key(name) {
        true => Ok(()),
        false => Err(damaged(format!("{DIGESTS} does not name {name}"))),
    };
    must_have(DESCRIPTION)?;
    must_have(STATE_COPY)?;
    let text = fs::read_to_string(dir.join(DESCRIPTION))
        .map_err(|error| damaged(format!("{DESCRIPTION} cannot be read ({error})")))?;
    #[derive(Deserialize)]
    struct Form {
        format: u32,
    }
    let form: Form = serde_json::from_str(&text)
        .map_err(|error| damaged(format!("{DESCRIPTION} cannot be read ({error})")))?;
    if form.format != FORMAT {
        bail!(
            "the backup {} has format {}, but this version reads format {FORMAT}; use the yagura that made it",
            dir.display(),
            form.format
        );
    }
    let description: Description = serde_json::from_str(&text)
        .map_err(|error| damaged(format!("{DESCRIPTION} cannot be read ({error})")))?;
    if description.alerts == Alerts::File {
        must_have(STORE_COPY)?;
    }
    Ok(description)
}
