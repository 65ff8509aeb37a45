//! Lookup tables: rows under a key, or places of addresses, from files that may change while they are used.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File};
use ipnet::IpNet;
use serde_json::{Map, Value};
use yagura_core::Diagnostics;
use yagura_core::diagnostic::{Code, Diagnostic, Span};

/// A lookup table. The file is read again when it has changed.
#[derive(Debug)]
pub(crate) struct LookupFile {
    place: FilePlace,
    key: Option<String>,
    held: Mutex<HeldLookup>,
}

/// Where a file is.
#[derive(Debug)]
enum FilePlace {
    /// Anywhere: a path of the operator's.
    Free(PathBuf),
    /// Below a directory, and nowhere else: a path of a plugin's, and how the file is called in messages.
    Below(Arc<Dir>, PathBuf, PathBuf),
}

#[derive(Debug)]
struct HeldLookup {
    rows: Arc<LookupRows>,
    modified: Option<SystemTime>,
    looked: Instant,
}

/// What a file holds.
enum LookupRows {
    /// MaxMind's form.
    Geolocation(maxminddb::Reader<Vec<u8>>),
    /// By key, in lower case.
    Keys(HashMap<String, String>),
    /// By network, those with the longest prefix first.
    Networks(BTreeMap<std::cmp::Reverse<u8>, HashMap<IpNet, String>>),
}

/// How often a file is looked at for changes.
const LOOK_EVERY: Duration = Duration::from_secs(10);

impl LookupFile {
    /// Reads a file: `.mmdb`, `.csv` with a line of names, or `.ndjson` with an object a line. `key` is the column under
    /// which rows are found; by default the first.
    pub(crate) fn open(file: &Path, key: Option<&str>) -> Result<Self> {
        Self::at(FilePlace::Free(file.to_owned()), key)
    }

    fn at(place: FilePlace, key: Option<&str>) -> Result<Self> {
        let (rows, modified) = read(&place, key)?;
        Ok(Self {
            place,
            key: key.map(str::to_owned),
            held: Mutex::new(HeldLookup {
                rows: Arc::new(rows),
                modified,
                looked: Instant::now(),
            }),
        })
    }

    /// Returns the row under `key` as JSON text. A file that has changed and cannot be read stays as it was.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let rows = self.rows();
        match &*rows {
            LookupRows::Geolocation(reader) => {
                let address: IpAddr = key.trim().parse().ok()?;
                let found: Option<Value> = reader.lookup(address).ok()?.decode().ok()?;
                found.map(|value| value.to_string())
            }
            LookupRows::Keys(rows) => rows.get(&key.trim().to_lowercase()).cloned(),
            LookupRows::Networks(lengths) => {
                let address: IpAddr = key.trim().parse().ok()?;
                lengths.iter().find_map(|(length, rows)| {
                    let network = IpNet::new(address, length.0).ok()?.trunc();
                    rows.get(&network).cloned()
                })
            }
        }
    }

    fn rows(&self) -> Arc<LookupRows> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.looked.elapsed() >= LOOK_EVERY {
            held.looked = Instant::now();
            let modified = self.place.modified();
            if modified != held.modified {
                match read(&self.place, self.key.as_deref()) {
                    Ok((rows, _)) => held.rows = Arc::new(rows),
                    Err(error) => {
                        tracing::warn!("a lookup table stays as it was: {error:#}");
                    }
                }
                held.modified = modified;
            }
        }
        Arc::clone(&held.rows)
    }
}

impl std::fmt::Debug for LookupRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Geolocation(_) => "Geolocation",
            Self::Keys(_) => "Keys",
            Self::Networks(_) => "Networks",
        })
    }
}

impl FilePlace {
    /// The file's path, to be told.
    fn path(&self) -> &Path {
        match self {
            Self::Free(file) => file,
            Self::Below(.., told) => told,
        }
    }

    fn open(&self) -> std::io::Result<File> {
        match self {
            Self::Free(file) => File::open_ambient(file, ambient_authority()),
            Self::Below(dir, file, _) => dir.open(file),
        }
    }

    fn modified(&self) -> Option<SystemTime> {
        let modified = self.open().ok()?.metadata().ok()?.modified().ok()?;
        Some(modified.into_std())
    }
}

/// Returns what a file holds, and when it was changed.
fn read(place: &FilePlace, key: Option<&str>) -> Result<(LookupRows, Option<SystemTime>)> {
    let file = place.path();
    let what = || format!("cannot read the lookup table {}", file.display());
    let end = file.extension().and_then(|end| end.to_str());
    let Some(end) = end.filter(|end| ENDS.contains(end)) else {
        bail!(
            "{} is not a lookup table: its name must end in .csv, .ndjson or .mmdb",
            file.display()
        );
    };
    let mut opened = place.open().with_context(what)?;
    let modified = opened.metadata().and_then(|about| about.modified());
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).with_context(what)?;
    let rows = match end {
        "mmdb" => {
            LookupRows::Geolocation(maxminddb::Reader::from_source(bytes).with_context(what)?)
        }
        "csv" => by_key(csv_rows(file, &bytes, key).with_context(what)?),
        _ => by_key(json_rows(file, &bytes, key).with_context(what)?),
    };
    Ok((rows, modified.ok().map(|time| time.into_std())))
}

/// How the names of files end that are lookup tables.
const ENDS: [&str; 4] = ["csv", "ndjson", "jsonl", "mmdb"];

/// A directory whose files are lookup tables: nothing outside of it is read, whatever names are asked for and whatever
/// links lie in it.
#[derive(Debug)]
pub(crate) struct LookupDirectory {
    path: PathBuf,
    dir: Arc<Dir>,
    /// Those that were asked for and are there, by name.
    files: Mutex<HashMap<String, Arc<LookupFile>>>,
}

impl LookupDirectory {
    /// Opens a directory.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())
            .with_context(|| format!("cannot open the directory {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            dir: Arc::new(dir),
            files: Mutex::default(),
        })
    }

    /// Returns the row under `key` of the file that has this name without its end.
    pub(crate) fn get(&self, name: &str, key: &str) -> Result<Option<String>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(name) {
            let file = Arc::clone(file);
            drop(files);
            return Ok(file.get(key));
        }
        for end in ENDS {
            let below = PathBuf::from(format!("{name}.{end}"));
            let told = self.path.join(&below);
            match self.dir.metadata(&below) {
                Ok(about) if about.is_file() => {}
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    let what = format!("cannot read the lookup table {}", told.display());
                    return Err(error).context(what);
                }
            }
            let file = LookupFile::at(FilePlace::Below(Arc::clone(&self.dir), below, told), None)?;
            let file = Arc::new(file);
            files.insert(name.to_owned(), Arc::clone(&file));
            drop(files);
            return Ok(file.get(key));
        }
        bail!(
            "there is no lookup table `{name}` in {}: put a file there that is called so and ends in .csv, .ndjson or .mmdb",
            self.path.display()
        )
    }
}

/// Keys and rows; where every key is a network or an address, and one a network, by network.
fn by_key(rows: Vec<(String, Value)>) -> LookupRows {
    let networks = rows.iter().map(|(key, _)| network(key));
    let networks: Option<Vec<IpNet>> = networks.collect();
    match networks {
        Some(networks) if rows.iter().any(|(key, _)| key.contains('/')) => {
            let mut lengths: BTreeMap<_, HashMap<IpNet, String>> = BTreeMap::new();
            for (network, (_, row)) in networks.into_iter().zip(rows) {
                let of_length = lengths.entry(std::cmp::Reverse(network.prefix_len()));
                of_length
                    .or_default()
                    .insert(network.trunc(), row.to_string());
            }
            LookupRows::Networks(lengths)
        }
        _ => {
            let named = rows.into_iter();
            let keys = named.map(|(key, row)| (key.trim().to_lowercase(), row.to_string()));
            LookupRows::Keys(keys.collect())
        }
    }
}

fn network(key: &str) -> Option<IpNet> {
    let key = key.trim();
    let address = || key.parse::<IpAddr>().ok().map(IpNet::from);
    key.parse().ok().or_else(address)
}

/// Returns an error about a line of a lookup table, from one.
fn wrong(file: &Path, bytes: &[u8], line: usize, message: impl Into<String>) -> Diagnostics {
    let text = String::from_utf8_lossy(bytes);
    let span = Span::of_line(&text, line).unwrap_or_else(|| Span::at_line(line));
    let wrong = Diagnostic::error(Code::InvalidLookup, message);
    wrong.in_file(file).with_span(span).into()
}

fn csv_rows(
    file: &Path,
    bytes: &[u8],
    key: Option<&str>,
) -> Result<Vec<(String, Value)>, Diagnostics> {
    let invalid = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        wrong(file, bytes, line, format!("cannot be read as CSV: {error}"))
    };
    let mut reader = csv::Reader::from_reader(bytes);
    let names = reader.headers().map_err(invalid)?.clone();
    let at = match key {
        None => 0,
        Some(key) => {
            let position = names.iter().position(|name| name == key);
            position.ok_or_else(|| {
                let known: Vec<&str> = names.iter().collect();
                let known = known.join(", ");
                let message = format!("there is no column `{key}`; there are {known}");
                wrong(file, bytes, 1, message)
            })?
        }
    };
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(invalid)?;
        let values = names.iter().zip(&record);
        let row: Map<String, Value> = values
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        rows.push((record.get(at).unwrap_or_default().to_owned(), row.into()));
    }
    Ok(rows)
}

fn json_rows(
    file: &Path,
    bytes: &[u8],
    key: Option<&str>,
) -> Result<Vec<(String, Value)>, Diagnostics> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes[..error.valid_up_to()].iter();
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        wrong(file, bytes, line, "is not UTF-8: save the file as UTF-8")
    })?;
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let row: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
            let message = format!("is not a JSON object: {error}");
            wrong(file, bytes, index + 1, message)
        })?;
        let value = match key {
            None => row.values().next(),
            Some(key) => row.get(key),
        };
        let key = match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => {
                let what = key.map_or_else(|| "key".to_owned(), |key| format!("`{key}`"));
                let message = format!("has no {what}, under which the row is looked up");
                return Err(wrong(file, bytes, index + 1, message));
            }
            Some(other) => other.to_string(),
        };
        rows.push((key, row.into()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn table(name: &str, text: &str, key: Option<&str>) -> Result<LookupFile> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        LookupFile::open(&file, key)
    }

    #[test]
    fn rows_are_found_by_key_without_regard_to_case() {
        let assets = table("assets.csv", "host,os\nWEB-1,linux\nmac-7,macos\n", None).unwrap();
        assert_eq!(
            assets.get("web-1").unwrap(),
            r#"{"host":"WEB-1","os":"linux"}"#
        );
        assert_eq!(assets.get("web-2"), None);
        let by_os = table("assets.csv", "host,os\nWEB-1,linux\n", Some("os")).unwrap();
        assert!(by_os.get("LINUX").is_some());
        let users = table("users.ndjson", "{\"user\":\"ann\",\"vip\":true}\n", None).unwrap();
        assert_eq!(users.get("Ann").unwrap(), r#"{"user":"ann","vip":true}"#);
    }

    #[test]
    fn the_longest_network_holds_an_address() {
        let text = "network,name\n10.0.0.0/8,all\n10.1.0.0/16,office\n10.1.2.3,printer\n";
        let networks = table("networks.csv", text, None).unwrap();
        let name = |key: &str| {
            let row: Value = serde_json::from_str(&networks.get(key)?).unwrap();
            Some(row["name"].as_str().unwrap().to_owned())
        };
        assert_eq!(name("10.1.2.3").as_deref(), Some("printer"));
        assert_eq!(name("10.1.2.4").as_deref(), Some("office"));
        assert_eq!(name("10.2.0.1").as_deref(), Some("all"));
        assert_eq!(name("192.0.2.1"), None);
        assert_eq!(name("no address"), None);
    }

    #[test]
    fn files_of_a_directory_are_read_and_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("secret.csv");
        fs::write(&outside, "name,value\nkey,secret\n").unwrap();
        let feeds = dir.path().join("feeds");
        fs::create_dir_all(feeds.join("more")).unwrap();
        fs::write(feeds.join("ips.csv"), "ip,list\n192.0.2.1,bad\n").unwrap();
        fs::write(feeds.join("more/users.ndjson"), "{\"user\":\"ann\"}\n").unwrap();
        let tables = LookupDirectory::open(&feeds).unwrap();
        let get = |name: &str, key: &str| {
            let row = tables.get(name, key);
            row.map_err(|error| format!("{error:#}"))
        };
        let row = r#"{"ip":"192.0.2.1","list":"bad"}"#;
        assert_eq!(get("ips", "192.0.2.1"), Ok(Some(row.to_owned())));
        assert_eq!(get("ips", "192.0.2.2"), Ok(None));
        assert!(get("more/users", "ann").unwrap().is_some());
        let missing = get("domains", "x").unwrap_err();
        assert!(
            missing.contains("there is no lookup table `domains` in"),
            "{missing}"
        );
        // One that comes later is there.
        fs::write(feeds.join("domains.csv"), "name\nx\n").unwrap();
        assert!(get("domains", "x").unwrap().is_some());

        let mut ways = vec!["../secret".to_owned(), "more/../../secret".to_owned()];
        ways.push(dir.path().join("secret").to_str().unwrap().to_owned());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&outside, feeds.join("link.csv")).unwrap();
            std::os::unix::fs::symlink("../secret.csv", feeds.join("relative.csv")).unwrap();
            std::os::unix::fs::symlink(dir.path(), feeds.join("up")).unwrap();
            ways.extend(["link", "relative", "up/secret"].map(str::to_owned));
        }
        for way in ways {
            let told = get(&way, "key").unwrap_err();
            assert!(
                told.contains("cannot read the lookup table"),
                "{way}: {told}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |name, text, key| format!("{:#}", table(name, text, key).unwrap_err());
        let message = error("assets.csv", "host,os\nweb,linux\n", Some("name"));
        assert!(
            message.contains("there is no column `name`; there are host, os"),
            "{message}"
        );
        let message = error("users.ndjson", "{\"user\":\"ann\"}\nann\n", None);
        assert!(
            message.contains("users.ndjson:2: is not a JSON object"),
            "{message}"
        );
        let message = error("users.txt", "", None);
        assert!(message.contains(".csv, .ndjson or .mmdb"), "{message}");
    }
}
