//! Places and networks of addresses, from lookup tables that the operator has: no question leaves the house.

use serde::Deserialize;
use yagura_sdk::prelude::*;

use plugin_common::{observables, parse};

yagura_sdk::enricher!(Geo);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Lookup tables by address; each is asked, and each column becomes a fact `TABLE.COLUMN`.
    #[serde(default = "tables")]
    tables: Vec<String>,
    #[serde(default = "five")]
    limit: usize,
}

fn tables() -> Vec<String> {
    ["geo", "asn"].map(str::to_owned).to_vec()
}

fn five() -> usize {
    5
}

struct Geo {
    settings: Settings,
}

impl Enricher for Geo {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        if settings.tables.is_empty() {
            return Err(PluginError::Config(
                "`tables` is empty: name a lookup table by address, like `geo`".to_owned(),
            ));
        }
        Ok(Self { settings })
    }

    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
        for (_, ip) in observables(alert, &["ip"], self.settings.limit) {
            for table in &self.settings.tables {
                let Some(row) = lookup::get(table, ip)? else {
                    continue;
                };
                let source = format!("{table}: {ip}");
                for (column, value) in row.json().members() {
                    found.attribute(&format!("{table}.{column}"), value.text(), &source);
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
    fn each_column_of_each_table_is_a_fact() {
        let _host = Host::new()
            .lookup(
                "geo",
                "8.8.8.8",
                r#"{"country":"US","city":"","latitude":37.4}"#,
            )
            .lookup("asn", "8.8.8.8", r#"{"number":15169,"name":"GOOGLE"}"#);
        let alert = alert()
            .observable(Observable::Ip, "8.8.8.8")
            .observable(Observable::Ip, "10.0.0.1")
            .observable(Observable::Ip, "1.1.1.1")
            .build();
        let found = enrich::<Geo>("{}", &alert).unwrap();
        let facts: Vec<String> = found
            .attributes
            .iter()
            .map(|fact| format!("{}={} ({})", fact.name, fact.value, fact.source))
            .collect();
        assert_eq!(
            facts,
            [
                "geo.country=US (geo: 8.8.8.8)",
                "geo.latitude=37.4 (geo: 8.8.8.8)",
                "asn.number=15169 (asn: 8.8.8.8)",
                "asn.name=GOOGLE (asn: 8.8.8.8)"
            ]
        );
    }

    #[test]
    fn a_table_that_is_not_granted_is_the_operators() {
        let _host = Host::new().empty_lookup("geo");
        let alert = alert().observable(Observable::Ip, "8.8.8.8").build();
        let error = enrich::<Geo>("{}", &alert).unwrap_err();
        assert!(
            matches!(&error, PluginError::Config(message) if message.contains("`asn`")),
            "{error}"
        );
        enrich::<Geo>(r#"{"tables":["geo"]}"#, &alert).unwrap();
    }
}
