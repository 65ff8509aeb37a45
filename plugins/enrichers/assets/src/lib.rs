//! What an inventory says of the hosts and users of an alert, from lookup tables.

use serde::Deserialize;
use yagura_sdk::prelude::*;

use plugin_common::parse;

yagura_sdk::enricher!(Assets);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Lookup tables of hosts, by address and by name, and of users, by name and by mail address. An empty list asks nothing.
    #[serde(default = "hosts")]
    hosts: Vec<String>,
    #[serde(default = "users")]
    users: Vec<String>,
    #[serde(default = "twenty")]
    limit: usize,
}

fn hosts() -> Vec<String> {
    vec!["assets".to_owned()]
}

fn users() -> Vec<String> {
    vec!["users".to_owned()]
}

fn twenty() -> usize {
    20
}

struct Assets {
    settings: Settings,
}

impl Enricher for Assets {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings = parse(config)?;
        Ok(Self { settings })
    }

    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
        for (kind, value) in alert.observables.iter().take(self.settings.limit) {
            let (tables, prefix) = match kind.as_str() {
                "ip" | "host" => (&self.settings.hosts, "asset"),
                "user" | "email" => (&self.settings.users, "user"),
                _ => continue,
            };
            for table in tables {
                let Some(row) = lookup::get(table, value)? else {
                    continue;
                };
                let source = format!("{table}: {value}");
                for (column, text) in row.json().members() {
                    found.attribute(&format!("{prefix}.{column}"), text.text(), &source);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use yagura_sdk::testing::{Host, alert, enrich};

    use super::*;

    #[test]
    fn hosts_and_users_are_looked_up_in_their_tables() {
        let _host = Host::new()
            .lookup("assets", "10.0.0.5", r#"{"os":"macOS","owner":"alice"}"#)
            .lookup("users", "alice@example.com", r#"{"department":"finance"}"#);
        let alert = alert()
            .observable(Observable::Ip, "10.0.0.5")
            .observable(Observable::Host, "mac-7")
            .observable(Observable::Email, "alice@example.com")
            .observable(Observable::Domain, "10.0.0.5")
            .build();
        let found = enrich::<Assets>("{}", &alert).unwrap();
        let facts: Vec<String> = found
            .attributes
            .iter()
            .map(|fact| format!("{}={} ({})", fact.name, fact.value, fact.source))
            .collect();
        assert_eq!(
            facts,
            [
                "asset.os=macOS (assets: 10.0.0.5)",
                "asset.owner=alice (assets: 10.0.0.5)",
                "user.department=finance (users: alice@example.com)"
            ]
        );
    }

    #[test]
    fn a_table_that_nobody_has_can_be_left_out() {
        let _host = Host::new().empty_lookup("cmdb");
        let alert = alert()
            .observable(Observable::Host, "web1")
            .observable(Observable::User, "alice")
            .build();
        assert!(matches!(
            enrich::<Assets>("{}", &alert),
            Err(PluginError::Config(_))
        ));
        let config = r#"{"hosts":["cmdb"],"users":[]}"#;
        assert!(
            enrich::<Assets>(config, &alert)
                .unwrap()
                .attributes
                .is_empty()
        );
    }
}
