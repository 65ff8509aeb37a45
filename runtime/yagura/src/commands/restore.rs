//! `yagura restore`: a backup in the place of a service's state and alerts.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use yagura_alerts::Clock;
use yagura_alerts::StoreLocation;
use yagura_correlate::store::{FILE, STATE_COPY, STORE_COPY, StateStore};
use yagura_service::config::Config;
use yagura_service::outbox::Outbox;

use super::backup::{self, Alerts, INSTALLED};
use super::block_on;
use crate::output::number;

/// Put a backup in place; the service continues from there
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Configuration file of the service
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The backup, as `yagura backup` made it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Move aside what is there, into a directory beside it
    #[arg(long)]
    force: bool,
}

const AFTER_HELP: &str = "\
The service must not run. What it read after the backup is read again from the tables: alerts get the same ids, and notifiers look
whether a report is there before they send it again. Acknowledgements that came after the backup are lost.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    block_on(restore(arguments))
}

async fn restore(arguments: &Arguments) -> Result<u8> {
    let config = Config::read(&arguments.config)?;
    crate::private::make_files_private();
    let settings = config.serve.clone().unwrap_or_default();
    let (state, from) = (&settings.state, &arguments.from);
    let description = backup::read(from)?;
    let location = config.store_location()?;
    let store = location.file();
    let server = match (description.alerts, store) {
        (Alerts::File, None) => {
            Some(yagura_alerts::AlertStore::open(&location, Clock::system()).await?)
        }
        _ => None,
    };
    // Nobody works with either until all is in place.
    let _state = StateStore::hold(state)?;
    let _store = match store {
        Some(file) => {
            make_parent(file)?;
            Some(yagura_alerts::store::hold(file)?)
        }
        None => None,
    };
    let mut there: Vec<PathBuf> = vec![state.join(FILE), state.join(INSTALLED)];
    there.extend(store.map(Path::to_owned));
    there.retain(|file| file.exists());
    let is_newer = settings.alerts.exists()
        && Outbox::open(&settings.alerts)
            .map_or(true, |outbox| outbox.last() > description.last_line);
    if is_newer {
        there.push(settings.alerts.clone());
    }
    let is_server_new = match &server {
        Some(server) => server.is_new().await?,
        None => true,
    };
    let mut out = io::stdout();
    if !(arguments.force || there.is_empty() && is_server_new) {
        let mut names: Vec<String> = there
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        if !is_server_new {
            names.push(format!("alerts in {location}"));
        }
        bail!(
            "there is something in place: {}; with --force it is moved aside, not deleted",
            names.join(", ")
        );
    }
    let second = Clock::system().now().micros() / 1_000_000;
    let aside = format!("replaced-{second}");
    for file in &there {
        let to = move_aside(file, &aside)?;
        writeln!(out, "{} is now {}", file.display(), to.display())?;
    }
    if let Some(server) = server {
        // It is opened, and brought to the newest form, where it may be written to.
        let part = copy_to_part(&from.join(STORE_COPY), &state.join(STORE_COPY))?;
        let copy = StoreLocation::Sqlite(part.clone());
        let copy = yagura_alerts::AlertStore::open(&copy, Clock::system()).await?;
        let schema = format!("yagura_replaced_{second}");
        let aside = (!is_server_new).then_some(schema.as_str());
        server.take_copy(&copy, aside).await.with_context(|| {
            format!("cannot put the alerts into {location}, which is as it was")
        })?;
        copy.close().await;
        fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
        if aside.is_some() {
            writeln!(
                out,
                "what was in {location} is in its schema {schema} now; drop it when it is not needed any more"
            )?;
        }
    }
    if let (Some(file), Alerts::File) = (store, description.alerts) {
        let part = copy_to_part(&from.join(STORE_COPY), file)?;
        let location = StoreLocation::Sqlite(part.clone());
        let copy = yagura_alerts::AlertStore::open(&location, Clock::system()).await?;
        copy.mark_restored().await?;
        copy.close().await;
        put(&part, file)?;
    }
    if from.join(INSTALLED).is_file() {
        let file = state.join(INSTALLED);
        put(&copy_to_part(&from.join(INSTALLED), &file)?, &file)?;
    }
    // The last to come: without it nothing goes on.
    let file = state.join(FILE);
    put(&copy_to_part(&from.join(STATE_COPY), &file)?, &file)?;
    let line = |line: i64| number(u64::try_from(line).unwrap_or_default());
    writeln!(
        out,
        "{} is in place, as of {}: lines of alerts up to number {}; start `yagura serve`",
        from.display(),
        description.made_at,
        line(description.last_line)
    )?;
    if is_newer {
        writeln!(
            out,
            "a new {} begins with line {}: what came after the backup gets numbers again",
            settings.alerts.display(),
            line(description.delivered + 1)
        )?;
    }
    Ok(0)
}

/// SQLite's files beside a database.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Moves a file with its journal into a directory beside it. Returns where it is.
fn move_aside(file: &Path, aside: &str) -> Result<PathBuf> {
    let cannot = || format!("cannot move {} aside", file.display());
    let dir = parent(file).join(aside);
    fs::create_dir_all(&dir).with_context(cannot)?;
    let name = file.file_name().unwrap_or_default();
    for end in BESIDE {
        let mut beside = name.to_owned();
        beside.push(end);
        let from = parent(file).join(&beside);
        if from.exists() {
            fs::rename(&from, dir.join(&beside)).with_context(cannot)?;
        }
    }
    let to = dir.join(name);
    fs::rename(file, &to).with_context(cannot)?;
    Ok(to)
}

/// Copies a file of a backup beside its place.
fn copy_to_part(from: &Path, place: &Path) -> Result<PathBuf> {
    make_parent(place)?;
    let mut part = place.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    fs::copy(from, &part)
        .with_context(|| format!("cannot copy {} to {}", from.display(), part.display()))?;
    Ok(part)
}

/// Puts a copy in its place, where it is whole or not at all.
fn put(part: &Path, place: &Path) -> Result<()> {
    let write = || -> io::Result<()> {
        // Left by a database that a crash kept from being closed.
        for end in BESIDE {
            for of in [part, place] {
                let mut beside = of.as_os_str().to_owned();
                beside.push(end);
                match fs::remove_file(beside) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        backup::sync(part)?;
        fs::rename(part, place)?;
        backup::sync(parent(place))
    };
    write().with_context(|| format!("cannot write {}", place.display()))
}

fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn make_parent(file: &Path) -> Result<()> {
    let dir = parent(file);
    fs::create_dir_all(dir).with_context(|| format!("cannot make the directory {}", dir.display()))
}
