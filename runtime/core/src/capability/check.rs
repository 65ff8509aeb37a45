//! What can be wrong with wants and grants, before anything runs.

use std::collections::BTreeSet;
use std::path::Path;

use ipnet::IpNet;

use super::access::{directory_line, pack_table, toml_key, toml_list};
use super::{CapabilityRequest, Grant, Grants, HostPattern, MostLimits, ServerPattern, is_name};
use crate::names::did_you_mean;
use crate::pack::{PackError, World, parse};
use crate::time::parse_duration;

/// A value of a capability that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {message}")]
pub struct Problem {
    /// The key below the table, such as `http` or `secrets.TOKEN`.
    pub key: String,
    /// The text that stands in the file, where one entry is to blame.
    pub entry: Option<String>,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Problem {
    fn of_entry(key: &str, entry: &str, reason: &str) -> Self {
        Self {
            key: key.to_owned(),
            entry: Some(entry.to_owned()),
            message: format!("names `{entry}`, which {reason}"),
        }
    }
}

impl CapabilityRequest {
    /// Returns what is wrong with what a plugin of a world asks for, if anything is.
    pub fn problem(&self, world: World) -> Option<Problem> {
        let may_want: &[&str] = match world {
            World::Detector | World::Normalizer => &[],
            World::Enricher => &["http", "secrets", "search", "lookups", "directories"],
            World::Reviewer => &["lookups", "directories"],
            World::Notifier => &["http", "secrets"],
        };
        let lists = [
            ("http", &self.http),
            ("secrets", &self.secrets),
            ("search", &self.search),
            ("lookups", &self.lookups),
            ("directories", &self.directories),
        ];
        for (key, list) in lists {
            if !list.is_empty() && !may_want.contains(&key) {
                let may = match may_want {
                    [] => "reach nothing but their log".to_owned(),
                    keys => format!("may want only {}", quoted(keys)),
                };
                return Some(Problem {
                    key: key.to_owned(),
                    entry: None,
                    message: format!(
                        "is not for this plugin: those of the world `{}` {may}",
                        world.name()
                    ),
                });
            }
        }
        for entry in &self.http {
            if let Err(reason) = ServerPattern::parse(entry) {
                return Some(Problem::of_entry("http", entry, &reason));
            }
        }
        for entry in &self.secrets {
            if entry != "*" && !is_name(entry) {
                return Some(Problem::of_entry("secrets", entry, NOT_A_NAME));
            }
        }
        let mut directories = self.directories.iter();
        if let Some(entry) = directories.find(|entry| !is_name(entry)) {
            return Some(Problem::of_entry("directories", entry, NOT_A_NAME));
        }
        for (key, list) in [("search", &self.search), ("lookups", &self.lookups)] {
            if let Some(entry) = list.iter().find(|entry| !is_table(entry)) {
                return Some(Problem::of_entry(key, entry, "names no table"));
            }
        }
        None
    }

    /// Returns a line for each thing that is wanted and not granted: what to write into the grants file.
    pub fn not_granted(&self, pack: &str, grant: &Grant) -> Vec<String> {
        let mut lines = Vec::new();
        let table = pack_table(pack);
        let granted: Vec<ServerPattern> = servers(&grant.http);
        for wanted in servers(&self.http) {
            // One that the operator chooses is granted by any that it covers.
            let is_met = granted
                .iter()
                .any(|granted| granted.covers(&wanted) || wanted.covers(granted));
            if !is_met {
                let server = match &wanted.host {
                    HostPattern::Any => format!("{}://NAME", wanted.scheme.name()),
                    _ => wanted.to_string(),
                };
                lines.push(format!(
                    "{table} `http = {}`",
                    toml_list(grant.http.iter().map(String::as_str).chain([&*server]))
                ));
            }
        }
        for name in &self.secrets {
            let is_met = match name.as_str() {
                "*" => !grant.secrets.is_empty(),
                name => grant.secrets.contains_key(name),
            };
            if !is_met {
                let name = if name == "*" { "NAME" } else { name };
                lines.push(format!("{table} `secrets.{} = [\"HOST\"]`", toml_key(name)));
            }
        }
        for (key, wanted, granted) in [
            ("search", &self.search, &grant.search),
            ("lookups", &self.lookups, &grant.lookups),
        ] {
            for name in wanted {
                let is_met = match name.as_str() {
                    "*" => !granted.is_empty(),
                    name => granted.iter().any(|granted| granted == name),
                };
                if !is_met {
                    let name = if name == "*" { "TABLE" } else { name };
                    let list = toml_list(granted.iter().map(String::as_str).chain([name]));
                    lines.push(format!("{table} `{key} = {list}`"));
                }
            }
        }
        for name in &self.directories {
            if !grant.directories.contains_key(name) {
                lines.push(format!("{table} `{}`", directory_line(name)));
            }
        }
        lines
    }
}

impl Grant {
    /// Returns what is wrong with the grant by itself, if anything is.
    pub fn problem(&self) -> Option<Problem> {
        for entry in &self.http {
            match ServerPattern::parse(entry) {
                Ok(server) if server.host == HostPattern::Any => {
                    let reason =
                        "is no grant: name the servers, or a domain (`https://*.example.org`)";
                    return Some(Problem::of_entry("http", entry, reason));
                }
                Ok(_) => {}
                Err(reason) => return Some(Problem::of_entry("http", entry, &reason)),
            }
        }
        for entry in &self.networks {
            if entry.parse::<IpNet>().is_err() {
                let reason = "is not a network: write one like `10.1.0.0/16` or `fd00::/8`";
                return Some(Problem::of_entry("networks", entry, reason));
            }
        }
        if let Some(problem) = self.limits.problem() {
            return Some(problem);
        }
        for (name, hosts) in &self.secrets {
            let key = format!("secrets.{name}");
            if !is_name(name) {
                return Some(Problem::of_entry("secrets", name, NOT_A_NAME));
            }
            if hosts.is_empty() {
                return Some(Problem {
                    key,
                    entry: None,
                    message: "names no host, so the secret could go nowhere".to_owned(),
                });
            }
            for entry in hosts {
                let reason = match HostPattern::parse(entry) {
                    Ok(HostPattern::Any) => {
                        "is no grant: name the hosts that may have the secret".to_owned()
                    }
                    Ok(_) => continue,
                    Err(reason) => format!("{reason}; write a host without scheme and port"),
                };
                return Some(Problem::of_entry(&key, entry, &reason));
            }
        }
        for (key, list) in [("search", &self.search), ("lookups", &self.lookups)] {
            if let Some(entry) = list.iter().find(|entry| !is_table(entry) || *entry == "*") {
                return Some(Problem::of_entry(key, entry, "names no table"));
            }
        }
        for (name, path) in &self.directories {
            if !is_name(name) {
                return Some(Problem::of_entry("directories", name, NOT_A_NAME));
            }
            if path.as_os_str().is_empty() {
                return Some(Problem {
                    key: format!("directories.{}", toml_key(name)),
                    entry: None,
                    message: "names no directory".to_owned(),
                });
            }
        }
        None
    }

    /// Returns a line for each thing that is granted to a pack and that none of its plugins asks for.
    pub fn not_wanted(&self, request: &[&CapabilityRequest]) -> Vec<String> {
        let mut lines = Vec::new();
        let wanted: Vec<ServerPattern> = request
            .iter()
            .flat_map(|request| servers(&request.http))
            .collect();
        for granted in servers(&self.http) {
            if !wanted
                .iter()
                .any(|wanted| wanted.covers(&granted) || granted.covers(wanted))
            {
                lines.push(format!(
                    "`http` grants `{granted}`, which no plugin of the pack asks for"
                ));
            }
        }
        let secrets: Vec<&String> = self.secrets.keys().collect();
        let directories: Vec<&String> = self.directories.keys().collect();
        for (key, granted, list) in [
            (
                "secrets",
                secrets,
                (|request| &request.secrets) as fn(&CapabilityRequest) -> &Vec<String>,
            ),
            ("search", self.search.iter().collect(), |request| {
                &request.search
            }),
            ("lookups", self.lookups.iter().collect(), |request| {
                &request.lookups
            }),
            ("directories", directories, |request| &request.directories),
        ] {
            let wanted: BTreeSet<&str> = request
                .iter()
                .flat_map(|request| list(request).iter().map(String::as_str))
                .collect();
            for name in granted {
                if !wanted.contains("*") && !wanted.contains(name.as_str()) {
                    lines.push(format!(
                        "`{key}` grants `{name}`, which no plugin of the pack asks for{}",
                        did_you_mean(name, wanted.iter().copied())
                    ));
                }
            }
        }
        lines
    }
}

impl MostLimits {
    /// Returns what is wrong with them, if anything is.
    pub fn problem(&self) -> Option<Problem> {
        if let Some(time) = &self.time
            && let Err(error) = parse_duration(time)
        {
            return Some(Problem {
                key: "limits.time".to_owned(),
                entry: Some(time.clone()),
                message: error.to_string(),
            });
        }
        for (key, most) in [
            ("memory_mib", self.memory_mib),
            ("output_mib", self.output_mib),
        ] {
            if most == Some(0) {
                return Some(Problem {
                    key: format!("limits.{key}"),
                    entry: None,
                    message:
                        "is nothing: no plugin runs with it; leave a plugin out that is not to run"
                            .to_owned(),
                });
            }
        }
        None
    }
}

impl Grants {
    /// Reads the operator's file and checks each grant by itself.
    ///
    /// # Errors
    /// [`PackError`] with the file and, where it is known, the line.
    pub fn parse(file: &Path, text: &str) -> Result<Self, PackError> {
        let grants: Self = parse(file, text)?;
        if let Some(problem) = grants.limits.problem() {
            return Err(PackError::Value {
                file: file.to_owned(),
                line: line_of(text, &problem),
                key: problem.key,
                message: problem.message,
            });
        }
        for (pack, grant) in &grants.pack {
            if let Some(problem) = grant.problem() {
                return Err(PackError::Value {
                    file: file.to_owned(),
                    line: line_of(text, &problem),
                    key: format!("pack.{}.{}", toml_key(pack), problem.key),
                    message: problem.message,
                });
            }
        }
        Ok(grants)
    }

    /// Returns a line for each pack that is granted something and is not among `packs`.
    pub fn unknown_packs<'a>(&self, packs: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let packs: Vec<&str> = packs.into_iter().collect();
        self.pack
            .keys()
            .filter(|pack| !packs.contains(&pack.as_str()))
            .map(|pack| {
                format!(
                    "`[pack.{}]` grants to a pack that is not loaded{}",
                    toml_key(pack),
                    did_you_mean(pack, packs.iter().copied())
                )
            })
            .collect()
    }
}

/// Finds the line that is to blame: the first that holds the entry in quotes, else that of the key.
pub(crate) fn line_of(text: &str, problem: &Problem) -> Option<usize> {
    let with_entry = problem.entry.as_ref().and_then(|entry| {
        let quotes = [format!("\"{entry}\""), format!("'{entry}'")];
        text.lines()
            .position(|line| quotes.iter().any(|quoted| line.contains(quoted)))
    });
    let with_key = || {
        let last = problem.key.rsplit('.').next()?;
        text.lines().position(|line| {
            let line = line.trim_start().trim_start_matches("request.");
            let line = line.trim_start_matches("secrets.");
            let line = line.trim_start_matches("directories.");
            line.strip_prefix(last)
                .is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
        })
    };
    with_entry.or_else(with_key).map(|index| index + 1)
}

const NOT_A_NAME: &str = "is not a name: use letters, digits, `_`, `-` and `.`";

fn servers(list: &[String]) -> Vec<ServerPattern> {
    list.iter()
        .filter_map(|entry| ServerPattern::parse(entry).ok())
        .collect()
}

fn is_table(name: &str) -> bool {
    name == "*" || (!name.trim().is_empty() && !name.contains(['*', '`', '"', '\n']))
}

fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(text: &str) -> Result<Grants, String> {
        Grants::parse(Path::new("grants.toml"), text).map_err(|error| error.to_string())
    }

    fn request(text: &str) -> CapabilityRequest {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn each_world_may_want_what_it_can_import() {
        let all = request("http = [\"https://a.b\"]\nlookups = [\"t\"]");
        assert_eq!(all.problem(World::Enricher), None);
        assert_eq!(
            all.problem(World::Notifier).unwrap().to_string(),
            "`lookups` is not for this plugin: those of the world `notifier` may want only `http` and `secrets`"
        );
        assert_eq!(all.problem(World::Reviewer).unwrap().key, "http");
        assert_eq!(
            all.problem(World::Detector).unwrap().to_string(),
            "`http` is not for this plugin: those of the world `detector` reach nothing but their log"
        );
        assert_eq!(CapabilityRequest::default().problem(World::Detector), None);
        let secret = request("secrets = [\"A B\"]");
        assert!(
            secret
                .problem(World::Notifier)
                .unwrap()
                .message
                .contains("`A B`")
        );
    }

    #[test]
    fn a_grants_file_is_checked_with_its_line() {
        let text = "[pack.aws]\nhttp = [\n  \"https://ok.example\",\n  \"https://*\",\n]\n";
        assert_eq!(
            grants(text).unwrap_err(),
            "grants.toml:4: `pack.aws.http` names `https://*`, which is no grant: name the servers, or a domain \
             (`https://*.example.org`)"
        );
        let text = "[pack.\"a b\"]\nsecrets.T = [\"https://a.b\"]\n";
        let error = grants(text).unwrap_err();
        assert!(
            error.starts_with("grants.toml:2: `pack.\"a b\".secrets.T`"),
            "{error}"
        );
        for (line, part) in [
            ("networks = [\"10.0.0.1/33\"]", "not a network"),
            ("secrets.T = []", "names no host"),
            ("secrets.T = [\"*\"]", "name the hosts"),
            ("search = [\"*\"]", "names no table"),
            ("directories.\"a/b\" = \"/srv\"", "is not a name"),
            ("directories.feeds = \"\"", "names no directory"),
            ("htpp = []", "did you mean `http`?"),
        ] {
            let error = grants(&format!("[pack.a]\n{line}\n")).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_told() {
        let request = request(
            "http = [\"https://api.x.org\", \"https://*\"]\nsecrets = [\"KEY\"]\nsearch = [\"*\"]\nlookups = [\"asset\"]",
        );
        let none = request.not_granted("p", &Grant::default());
        assert_eq!(
            none,
            [
                "[pack.p] `http = [\"https://api.x.org\"]`",
                "[pack.p] `http = [\"https://NAME\"]`",
                "[pack.p] `secrets.KEY = [\"HOST\"]`",
                "[pack.p] `search = [\"TABLE\"]`",
                "[pack.p] `lookups = [\"asset\"]`",
            ]
        );
        let granted = grants(
            "[pack.p]\nhttp = [\"https://api.x.org\"]\nsecrets.KEYS = [\"api.x.org\"]\nsearch = [\"dns\"]\nlookups = [\"asset\"]",
        )
        .unwrap();
        let grant = &granted.pack["p"];
        assert_eq!(
            request.not_granted("p", grant),
            ["[pack.p] `secrets.KEY = [\"HOST\"]`"]
        );
        assert_eq!(
            grant.not_wanted(&[&request]),
            ["`secrets` grants `KEYS`, which no plugin of the pack asks for; did you mean `KEY`?"]
        );
        assert_eq!(
            granted.unknown_packs(["q", "pp"]),
            ["`[pack.p]` grants to a pack that is not loaded; did you mean `pp`?"]
        );
    }
}
