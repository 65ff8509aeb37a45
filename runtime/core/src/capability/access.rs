//! What one plugin may reach: its wants and its grant, together, and the answer to each question with the line that would
//! change it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{CapabilityRequest, Grant, HostPattern, Scheme, ServerPattern};
use crate::diagnostic::Diagnostics;
use crate::names::did_you_mean;
use crate::pack::World;

/// Why something is out of a plugin's reach: what was asked for, and the line that would allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(pub String);

/// What one plugin may reach.
#[derive(Debug, Clone)]
pub struct GrantedAccess {
    pack: String,
    request: CapabilityRequest,
    grant: Grant,
    wanted: Vec<ServerPattern>,
    granted: Vec<ServerPattern>,
    networks: Vec<IpNet>,
    secrets: BTreeMap<String, Vec<HostPattern>>,
}

impl GrantedAccess {
    /// Puts together what a plugin of `pack` asks for and what the operator grants the pack.
    ///
    /// # Errors
    /// The first thing that is wrong with either.
    pub fn new(
        pack: &str,
        world: World,
        request: &CapabilityRequest,
        grant: &Grant,
    ) -> Result<Self, Diagnostics> {
        if let Some(problem) = request.problem(world).or_else(|| grant.problem()) {
            return Err(problem.into());
        }
        // Everything was parsed once by now.
        let servers = |list: &[String]| -> Vec<ServerPattern> {
            list.iter()
                .filter_map(|entry| ServerPattern::parse(entry).ok())
                .collect()
        };
        let hosts = |list: &Vec<String>| -> Vec<HostPattern> {
            list.iter()
                .filter_map(|entry| HostPattern::parse(entry).ok())
                .collect()
        };
        Ok(Self {
            pack: pack.to_owned(),
            wanted: servers(&request.http),
            granted: servers(&grant.http),
            networks: grant
                .networks
                .iter()
                .filter_map(|entry| entry.parse().ok())
                .collect(),
            secrets: grant
                .secrets
                .iter()
                .map(|(name, list)| (name.clone(), hosts(list)))
                .collect(),
            request: request.clone(),
            grant: grant.clone(),
        })
    }

    /// Returns the pack's name.
    pub fn pack(&self) -> &str {
        &self.pack
    }

    /// Says whether a server may be spoken to; `host` is in lower case, an IPv6 address in brackets.
    ///
    /// # Errors
    /// [`Denied`] with the line of the manifest or of the grants file.
    pub fn server(&self, scheme: Scheme, host: &str, port: u16) -> Result<(), Denied> {
        let asked = || {
            // `Exactly` only to be printed: a host that is no name is told as it came.
            let server = ServerPattern {
                scheme,
                host: HostPattern::Exactly(host.to_owned()),
                port: Some(port),
            };
            server.to_string()
        };
        let is_met =
            |list: &[ServerPattern]| list.iter().any(|server| server.matches(scheme, host, port));
        if !is_met(&self.wanted) {
            return Err(not_wanted(&asked(), "http", &self.request.http));
        }
        if !is_met(&self.granted) {
            return Err(self.not_granted("http", &self.grant.http, &asked()));
        }
        Ok(())
    }

    /// Says whether an address that is not public was granted.
    pub fn network(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|net| net.contains(&address))
    }

    /// Returns the refusal of an address; `class` says what it is, such as `private`.
    pub fn refuse_address(&self, host: &str, address: IpAddr, class: &str) -> Denied {
        let network = IpNet::from(address).to_string();
        let named = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(_) => format!("the address {address} is {class}"),
            Err(_) => format!("`{host}` has the address {address}, which is {class}"),
        };
        let line = self.line("networks", &self.grant.networks, &network);
        Denied(format!("{named}: {line} if that is meant"))
    }

    /// Says whether a secret may go to a host.
    ///
    /// # Errors
    /// [`Denied`] with the line of the manifest or of the grants file.
    pub fn secret(&self, name: &str, host: &str) -> Result<(), Denied> {
        let wanted = &self.request.secrets;
        if !wanted.iter().any(|entry| entry == name || entry == "*") {
            return Err(not_wanted(
                &format!("the secret `{name}`"),
                "secrets",
                wanted,
            ));
        }
        let line = |hosts: &[String]| {
            let hosts = hosts.iter().map(String::as_str).chain([host]);
            format!(
                "write `secrets.{} = {}` under `{}` in the grants file",
                toml_key(name),
                toml_list(hosts),
                pack_table(&self.pack)
            )
        };
        let Some(hosts) = self.secrets.get(name) else {
            let near = did_you_mean(name, self.secrets.keys().map(String::as_str));
            return Err(Denied(format!(
                "the secret `{name}` is not granted{near}: {}",
                line(&[])
            )));
        };
        if !hosts.iter().any(|pattern| pattern.matches(host)) {
            let entries = &self.grant.secrets[name];
            return Err(Denied(format!(
                "the secret `{name}` may not go to `{host}`: {}",
                line(entries)
            )));
        }
        Ok(())
    }

    /// Says whether the events of a table may be searched.
    ///
    /// # Errors
    /// [`Denied`] with the line of the manifest or of the grants file.
    pub fn search(&self, table: &str) -> Result<(), Denied> {
        self.table("search", table, &self.request.search, &self.grant.search)
    }

    /// Says whether a lookup table of the operator's may be read.
    ///
    /// # Errors
    /// [`Denied`] with the line of the manifest or of the grants file.
    pub fn lookup(&self, table: &str) -> Result<(), Denied> {
        if let Some((directory, _)) = self.directory(table) {
            let granted = &self.grant.directories;
            if !granted.contains_key(directory) {
                let near = did_you_mean(directory, granted.keys().map(String::as_str));
                return Err(Denied(format!(
                    "the directory `{directory}` is not granted{near}: write `{}` under `{}` in the grants file",
                    directory_line(directory),
                    pack_table(&self.pack)
                )));
            }
            return Ok(());
        }
        self.table("lookups", table, &self.request.lookups, &self.grant.lookups)
    }

    /// Returns the directory that a lookup table is in, among those that the plugin asks for, and the table's name there.
    pub fn directory<'a>(&self, table: &'a str) -> Option<(&'a str, &'a str)> {
        let (directory, name) = table.split_once('/')?;
        let wanted = self.request.directories.iter();
        wanted
            .into_iter()
            .any(|wanted| wanted == directory)
            .then_some((directory, name))
    }

    fn table(
        &self,
        key: &str,
        table: &str,
        wanted: &[String],
        granted: &[String],
    ) -> Result<(), Denied> {
        if !wanted.iter().any(|entry| entry == table || entry == "*") {
            return Err(not_wanted(&format!("the table `{table}`"), key, wanted));
        }
        if !granted.iter().any(|entry| entry == table) {
            return Err(self.not_granted(key, granted, table));
        }
        Ok(())
    }

    fn not_granted(&self, key: &str, granted: &[String], entry: &str) -> Denied {
        let near = did_you_mean(entry, granted.iter().map(String::as_str));
        let line = self.line(key, granted, entry);
        Denied(format!("`{entry}` is not granted{near}: {line}"))
    }

    fn line(&self, key: &str, granted: &[String], entry: &str) -> String {
        let list = toml_list(granted.iter().map(String::as_str).chain([entry]));
        format!(
            "write `{key} = {list}` under `{}` in the grants file",
            pack_table(&self.pack)
        )
    }
}

fn not_wanted(what: &str, key: &str, wanted: &[String]) -> Denied {
    let has = match wanted {
        [] => "has none".to_owned(),
        wanted => format!("has {}", toml_list(wanted.iter().map(String::as_str))),
    };
    let what = match what.contains('`') {
        true => what.to_owned(),
        false => format!("`{what}`"),
    };
    Denied(format!(
        "the plugin does not ask for {what}: its `request.{key}` in pack.toml {has}"
    ))
}

pub(super) fn pack_table(pack: &str) -> String {
    format!("[pack.{}]", toml_key(pack))
}

/// Writes a key of TOML, in quotes where it needs them.
pub(super) fn toml_key(key: &str) -> String {
    let is_bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    match is_bare {
        true => key.to_owned(),
        false => toml::Value::from(key).to_string(),
    }
}

/// What grants a directory.
pub(super) fn directory_line(name: &str) -> String {
    format!("directories.{} = \"PATH\"", toml_key(name))
}

pub(super) fn toml_list<'a>(entries: impl Iterator<Item = &'a str>) -> String {
    let entries: Vec<String> = entries
        .map(|entry| toml::Value::from(entry).to_string())
        .collect();
    format!("[{}]", entries.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(request: &str, grant: &str) -> GrantedAccess {
        let request = toml::from_str(request).unwrap();
        let grant = toml::from_str(grant).unwrap();
        GrantedAccess::new("shop", World::Enricher, &request, &grant).unwrap()
    }

    #[test]
    fn a_server_needs_both_and_each_refusal_has_its_line() {
        let access = access(
            "http = [\"https://*.example.org\"]",
            "http = [\"https://api.example.org\"]",
        );
        let ask = |host: &str, port| {
            access
                .server(Scheme::Https, host, port)
                .map_err(|denied| denied.to_string())
        };
        assert_eq!(ask("api.example.org", 443), Ok(()));
        assert_eq!(
            ask("apo.example.org", 443).unwrap_err(),
            "`https://apo.example.org` is not granted; did you mean `https://api.example.org`?: write \
             `http = [\"https://api.example.org\", \"https://apo.example.org\"]` under `[pack.shop]` in the grants file"
        );
        assert_eq!(
            ask("api.example.org", 8443).unwrap_err(),
            "the plugin does not ask for `https://api.example.org:8443`: its `request.http` in pack.toml has \
             [\"https://*.example.org\"]"
        );
    }

    #[test]
    fn a_secret_goes_to_its_hosts_only() {
        let access = access(
            "secrets = [\"A\", \"B\"]",
            "secrets.A = [\"*.example.org\"]\nsecrets.C = [\"x\"]",
        );
        let ask = |name: &str, host: &str| {
            access
                .secret(name, host)
                .map_err(|denied| denied.to_string())
        };
        assert_eq!(ask("A", "api.example.org"), Ok(()));
        assert_eq!(
            ask("A", "evil.net").unwrap_err(),
            "the secret `A` may not go to `evil.net`: write `secrets.A = [\"*.example.org\", \"evil.net\"]` under \
             `[pack.shop]` in the grants file"
        );
        assert!(
            ask("B", "x")
                .unwrap_err()
                .starts_with("the secret `B` is not granted")
        );
        assert!(
            ask("C", "x")
                .unwrap_err()
                .contains("does not ask for the secret `C`")
        );
    }

    #[test]
    fn tables_and_networks_are_told_with_their_line() {
        let access = access(
            "search = [\"*\"]\nlookups = [\"asset\"]",
            "search = [\"dns\"]\nnetworks = [\"10.1.0.0/16\"]",
        );
        assert_eq!(access.search("dns"), Ok(()));
        assert!(
            access
                .search("dhcp")
                .unwrap_err()
                .0
                .contains("write `search = [\"dns\", \"dhcp\"]` under `[pack.shop]`")
        );
        assert!(
            access
                .lookup("asset")
                .unwrap_err()
                .0
                .contains("`lookups = [\"asset\"]`")
        );
        assert!(
            access
                .lookup("user")
                .unwrap_err()
                .0
                .contains("its `request.lookups`")
        );
        assert!(access.network("10.1.2.3".parse().unwrap()));
        let outside = "10.2.0.1".parse().unwrap();
        assert!(!access.network(outside));
        assert_eq!(
            access.refuse_address("a.example", outside, "private").0,
            "`a.example` has the address 10.2.0.1, which is private: write `networks = [\"10.1.0.0/16\", \
             \"10.2.0.1/32\"]` under `[pack.shop]` in the grants file if that is meant"
        );
    }
}
