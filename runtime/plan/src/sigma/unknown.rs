//! Why a Sigma rule has no table: log sources that no field map knows, tables that look like Windows events and are not.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::Schema;
use yagura_core::names::did_you_mean;
use yagura_rules::sigma::{FieldMap, SigmaSource};

use super::rules::SigmaInput;

/// Returns why no field map knows a rule's log source; `None` where one does.
pub fn unknown_source(source: &SigmaSource, input: &SigmaInput) -> Option<String> {
    let mut maps = input.maps.iter();
    let is_known = maps.any(|map| !map.sources_of(&source.rule.logsource).is_empty());
    (!is_known).then(|| no_table(source, input))
}

pub(super) fn no_table(source: &SigmaSource, input: &SigmaInput) -> String {
    let logsource = &source.rule.logsource;
    let named: Vec<String> = [
        ("product", &logsource.product),
        ("category", &logsource.category),
        ("service", &logsource.service),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)))
    .collect();
    let named = if named.is_empty() {
        "that is empty".to_owned()
    } else {
        named.join(" ")
    };
    let maps: Vec<&FieldMap> = input
        .maps
        .iter()
        .filter(|map| !map.sources_of(logsource).is_empty())
        .collect();
    if maps.is_empty() {
        let known = input
            .maps
            .iter()
            .flat_map(|map| &map.sources)
            .filter_map(|of| of.product.as_deref());
        let hint = logsource
            .product
            .as_deref()
            .filter(|product| !known.clone().any(|known| known == *product))
            .map(|product| did_you_mean(product, known))
            .unwrap_or_default();
        return format!(
            "no field map knows the log source {named}{hint}; give one with --field-map"
        );
    }
    let names: Vec<&str> = maps.iter().map(|map| map.name.as_str()).collect();
    format!(
        "no table holds the log source {named}: none has the columns of the field map `{}`",
        names.join("` or `")
    )
}

/// Returns the tables that look like Windows event logs and cannot be read as such, each with the next step.
///
/// Rules for Windows would match nothing in such a table.
pub(super) fn unread_windows(
    input: &SigmaInput,
    schemas: &[(String, Schema)],
) -> BTreeMap<String, String> {
    /// Names that tools give to what every Windows event has, without case, `_` and `.`.
    const IDS: [&str; 4] = ["eventid", "eventcode", "eventidentifier", "winlog"];
    const OTHERS: [&str; 8] = [
        "channel",
        "logname",
        "provider",
        "providername",
        "sourcename",
        "eventrecordid",
        "recordnumber",
        "eventdata",
    ];
    let plain = |name: &str| name.to_lowercase().replace(['_', '.', ' '], "");
    let Some(windows) = input.maps.iter().find(|map| map.name == "windows") else {
        return BTreeMap::new();
    };
    schemas
        .iter()
        .filter(|(_, schema)| !windows.fits(schema))
        .filter_map(|(table, schema)| {
            let names = schema.fields().iter().map(|field| field.name());
            let has = |wanted: &[&str]| {
                let mut names = names.clone();
                names.find(|name| wanted.contains(&plain(name).as_str())).cloned()
            };
            let (id, other) = (has(&IDS)?, has(&OTHERS)?);
            let wanted: Vec<&str> = windows.tables.iter().filter_map(|of| of.iter().next()).collect();
            let message = format!(
                "table `{table}` has `{id}` and `{other}` as Windows events do, but no form of {} that is known: no rule for Windows runs over it; say in a field map of your own (--field-map) where its events have them",
                wanted.join(" and ")
            );
            Some((table.clone(), message))
        })
        .collect()
}
