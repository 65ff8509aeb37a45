//! What can be wrong with requests and grants, before anything runs.

use std::collections::BTreeSet;
use std::path::Path;

use ipnet::IpNet;

use super::access::{directory_line, pack_table, toml_key, toml_list};
use super::{CapabilityRequest, Grant, Grants, HostPattern, MostLimits, ServerPattern, is_name};
use crate::diagnostic::{Code, Diagnostic, Key};
use crate::names::did_you_mean;
use crate::pack::{PackError, World, parse};
use crate::source::SourceText;

/// Returns what is wrong with one entry of a list, or with one name in a table.
fn wrong_entry(key: Key, entry: &str, reason: &str) -> Option<Diagnostic> {
    let message = format!("names `{entry}`, which {reason}");
    Some(Diagnostic::error(Code::InvalidCapability, message).at(key))
}

impl CapabilityRequest {
    /// Returns what is wrong with what a plugin of a world asks for, if anything is; its key is inside `[plugin.request]`.
    pub fn problem(&self, world: World) -> Option<Diagnostic> {
        let available: &[&str] = match world {
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
            if !list.is_empty() && !available.contains(&key) {
                let may = match available {
                    [] => "reach nothing but their log".to_owned(),
                    keys => format!("can request only {}", quoted(keys)),
                };
                let message = format!(
                    "is not for this plugin: those of the world `{}` {may}",
                    world.name()
                );
                let problem = Diagnostic::error(Code::UnavailableCapability, message);
                return Some(problem.at(Key::top(key)));
            }
        }
        for (index, entry) in self.http.iter().enumerate() {
            if let Err(reason) = ServerPattern::parse(entry) {
                return wrong_entry(Key::top("http").index(index), entry, &reason.to_string());
            }
        }
        for (index, entry) in self.secrets.iter().enumerate() {
            if entry != "*" && !is_name(entry) {
                return wrong_entry(Key::top("secrets").index(index), entry, NOT_A_NAME);
            }
        }
        for (index, entry) in self.directories.iter().enumerate() {
            if !is_name(entry) {
                return wrong_entry(Key::top("directories").index(index), entry, NOT_A_NAME);
            }
        }
        for (key, list) in [("search", &self.search), ("lookups", &self.lookups)] {
            for (index, entry) in list.iter().enumerate() {
                if !is_table(entry) {
                    return wrong_entry(Key::top(key).index(index), entry, NOT_A_TABLE);
                }
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
    /// Returns what is wrong with the grant by itself, if anything is; its key is inside `[pack.NAME]`.
    pub fn problem(&self) -> Option<Diagnostic> {
        for (index, entry) in self.http.iter().enumerate() {
            let key = Key::top("http").index(index);
            match ServerPattern::parse(entry) {
                Ok(server) if server.host == HostPattern::Any => {
                    let reason =
                        "is not a grant: name the servers, or a domain (`https://*.example.org`)";
                    return wrong_entry(key, entry, reason);
                }
                Ok(_) => {}
                Err(reason) => return wrong_entry(key, entry, &reason.to_string()),
            }
        }
        for (index, entry) in self.networks.iter().enumerate() {
            if entry.parse::<IpNet>().is_err() {
                let reason = "is not a network: write one like `10.1.0.0/16` or `fd00::/8`";
                return wrong_entry(Key::top("networks").index(index), entry, reason);
            }
        }
        if let Some(problem) = self.limits.problem() {
            return Some(problem);
        }
        for (name, hosts) in &self.secrets {
            let key = Key::top("secrets").name(name);
            if !is_name(name) {
                return wrong_entry(key, name, NOT_A_NAME);
            }
            if hosts.is_empty() {
                let message = "names no host, so the secret could go nowhere";
                return Some(Diagnostic::error(Code::EmptyValue, message).at(key));
            }
            for (index, entry) in hosts.iter().enumerate() {
                let reason = match HostPattern::parse(entry) {
                    Ok(HostPattern::Any) => {
                        "is not a grant: name the hosts that may have the secret".to_owned()
                    }
                    Ok(_) => continue,
                    Err(reason) => format!("{reason}; write a host without scheme and port"),
                };
                return wrong_entry(key.index(index), entry, &reason);
            }
        }
        for (key, list) in [("search", &self.search), ("lookups", &self.lookups)] {
            for (index, entry) in list.iter().enumerate() {
                if !is_table(entry) || entry == "*" {
                    return wrong_entry(Key::top(key).index(index), entry, NOT_A_TABLE);
                }
            }
        }
        for (name, path) in &self.directories {
            let key = Key::top("directories").name(name);
            if !is_name(name) {
                return wrong_entry(key, name, NOT_A_NAME);
            }
            if path.as_os_str().is_empty() {
                let message = "is empty: write the path of a directory";
                return Some(Diagnostic::error(Code::EmptyValue, message).at(key));
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
    /// Returns what is wrong with them, if anything is; its key begins with `limits`.
    pub fn problem(&self) -> Option<Diagnostic> {
        let limits = Key::top("limits");
        for (key, most) in [
            ("memory_mib", self.memory_mib),
            ("output_mib", self.output_mib),
        ] {
            if most == Some(0) {
                let message = "is 0, with which no plugin runs: write at least 1";
                let problem = Diagnostic::error(Code::InvalidValue, message);
                return Some(problem.at(limits.name(key)));
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
        let of_packs = grants.pack.iter().filter_map(|(pack, grant)| {
            let problem = grant.problem()?;
            Some(problem.under(&Key::top("pack").name(pack)))
        });
        let problems: Vec<Diagnostic> = grants
            .limits
            .problem()
            .into_iter()
            .chain(of_packs)
            .collect();
        if !problems.is_empty() {
            return Err(SourceText::new(file, text).refuse(problems).into());
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

const NOT_A_TABLE: &str = "is not the name of a table";
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
            "`lookups` is not for this plugin: those of the world `notifier` can request only `http` and `secrets`"
        );
        assert_eq!(
            all.problem(World::Reviewer).unwrap().key,
            Some(Key::top("http"))
        );
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
            "grants.toml:4: `pack.aws.http[2]` names `https://*`, which is not a grant: name the servers, or a domain \
             (`https://*.example.org`)"
        );
        let text = "[pack.\"a b\"]\nsecrets.T = [\"https://a.b\"]\n";
        let error = grants(text).unwrap_err();
        assert!(
            error.starts_with("grants.toml:2: `pack.\"a b\".secrets.T[1]`"),
            "{error}"
        );
        for (line, part) in [
            ("networks = [\"10.0.0.1/33\"]", "not a network"),
            ("secrets.T = []", "names no host"),
            ("secrets.T = [\"*\"]", "name the hosts"),
            ("search = [\"*\"]", "is not the name of a table"),
            ("directories.\"a/b\" = \"/srv\"", "is not a name"),
            ("directories.feeds = \"\"", "write the path of a directory"),
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
