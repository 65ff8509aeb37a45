//! Lookup tables: rows under a key, or places of addresses, from files that may change while they are used.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use serde_json::{Map, Value};

/// A lookup table. The file is read again when it has changed.
#[derive(Debug)]
pub(crate) struct LookupFile {
    file: PathBuf,
    key: Option<String>,
    read: Mutex<Read>,
}

#[derive(Debug)]
struct Read {
    rows: Arc<Rows>,
    modified: Option<SystemTime>,
    looked: Instant,
}

/// What a file holds.
enum Rows {
    /// MaxMind's form.
    Places(maxminddb::Reader<Vec<u8>>),
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
        let rows = Arc::new(read(file, key)?);
        Ok(Self {
            file: file.to_owned(),
            key: key.map(str::to_owned),
            read: Mutex::new(Read {
                rows,
                modified: modified(file),
                looked: Instant::now(),
            }),
        })
    }

    /// Returns the row under `key` as JSON text. A file that has changed and cannot be read stays as it was.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let rows = self.rows();
        match &*rows {
            Rows::Places(reader) => {
                let address: IpAddr = key.trim().parse().ok()?;
                let found: Option<Value> = reader.lookup(address).ok()?.decode().ok()?;
                found.map(|value| value.to_string())
            }
            Rows::Keys(rows) => rows.get(&key.trim().to_lowercase()).cloned(),
            Rows::Networks(lengths) => {
                let address: IpAddr = key.trim().parse().ok()?;
                lengths.iter().find_map(|(length, rows)| {
                    let network = IpNet::new(address, length.0).ok()?.trunc();
                    rows.get(&network).cloned()
                })
            }
        }
    }

    fn rows(&self) -> Arc<Rows> {
        let mut held = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if held.looked.elapsed() >= LOOK_EVERY {
            held.looked = Instant::now();
            let modified = modified(&self.file);
            if modified != held.modified {
                match read(&self.file, self.key.as_deref()) {
                    Ok(rows) => held.rows = Arc::new(rows),
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

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Places(_) => "Places",
            Self::Keys(_) => "Keys",
            Self::Networks(_) => "Networks",
        })
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).ok()?.modified().ok()
}

fn read(file: &Path, key: Option<&str>) -> Result<Rows> {
    let what = || format!("cannot read the lookup table {}", file.display());
    match file.extension().and_then(|end| end.to_str()) {
        Some("mmdb") => {
            let reader = maxminddb::Reader::open_readfile(file).with_context(what)?;
            Ok(Rows::Places(reader))
        }
        Some("csv") => by_key(csv_rows(file, key).with_context(what)?),
        Some("ndjson" | "jsonl") => by_key(json_rows(file, key).with_context(what)?),
        _ => bail!(
            "{} is no lookup table: write a file that ends in .csv, .ndjson or .mmdb",
            file.display()
        ),
    }
}

/// Keys and rows; where every key is a network or an address, and one a network, by network.
fn by_key(rows: Vec<(String, Value)>) -> Result<Rows> {
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
            Ok(Rows::Networks(lengths))
        }
        _ => {
            let named = rows.into_iter();
            let keys = named.map(|(key, row)| (key.trim().to_lowercase(), row.to_string()));
            Ok(Rows::Keys(keys.collect()))
        }
    }
}

fn network(key: &str) -> Option<IpNet> {
    let key = key.trim();
    let address = || key.parse::<IpAddr>().ok().map(IpNet::from);
    key.parse().ok().or_else(address)
}

fn csv_rows(file: &Path, key: Option<&str>) -> Result<Vec<(String, Value)>> {
    let mut reader = csv::Reader::from_path(file)?;
    let names = reader.headers()?.clone();
    let at = match key {
        None => 0,
        Some(key) => names.iter().position(|name| name == key).with_context(|| {
            let known: Vec<&str> = names.iter().collect();
            format!("there is no column `{key}`; there are {}", known.join(", "))
        })?,
    };
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let values = names.iter().zip(&record);
        let row: Map<String, Value> = values
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        rows.push((record.get(at).unwrap_or_default().to_owned(), row.into()));
    }
    Ok(rows)
}

fn json_rows(file: &Path, key: Option<&str>) -> Result<Vec<(String, Value)>> {
    let text = fs::read_to_string(file)?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let row: Map<String, Value> = serde_json::from_str(line)
            .with_context(|| format!("line {} is no JSON object", number + 1))?;
        let value = match key {
            None => row.values().next(),
            Some(key) => row.get(key),
        };
        let key = match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => bail!(
                "line {} has no {}",
                number + 1,
                key.map_or_else(|| "key".to_owned(), |key| format!("`{key}`"))
            ),
            Some(other) => other.to_string(),
        };
        rows.push((key, row.into()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
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
    fn what_cannot_be_read_is_named() {
        let error = |name, text, key| format!("{:#}", table(name, text, key).unwrap_err());
        let message = error("assets.csv", "host,os\nweb,linux\n", Some("name"));
        assert!(
            message.contains("there is no column `name`; there are host, os"),
            "{message}"
        );
        let message = error("users.ndjson", "{\"user\":\"ann\"}\nann\n", None);
        assert!(message.contains("line 2 is no JSON object"), "{message}");
        let message = error("users.txt", "", None);
        assert!(message.contains(".csv, .ndjson or .mmdb"), "{message}");
    }
}
