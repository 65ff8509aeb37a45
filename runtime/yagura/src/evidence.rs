//! The hashes of the events behind alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use yagura_core::Alert;
use yagura_lake::table::Table;

/// Reads the listed events again and writes their hashes into the alerts.
pub(crate) async fn hash(tables: &[Arc<Table>], alerts: &mut [Alert]) -> Result<()> {
    // An object lies in the table with the longest location that holds it.
    let mut tables: Vec<&Arc<Table>> = tables.iter().collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.location.to_string().len()));
    let mut wanted: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in alerts.iter().flat_map(|alert| &alert.evidence.events) {
        let rows = wanted.entry(event.object.clone()).or_default();
        rows.push(event.row);
    }
    let mut hashes = BTreeMap::new();
    for (object, rows) in wanted {
        if let Some(table) = tables.iter().find(|table| table.holds(&object)) {
            let found = table.event_hashes(&object, &rows).await?;
            hashes.insert(object, found);
        }
    }
    for event in alerts
        .iter_mut()
        .flat_map(|alert| &mut alert.evidence.events)
    {
        let hash = hashes
            .get(&event.object)
            .and_then(|rows| rows.get(&event.row));
        event.hash = hash.cloned().unwrap_or_default();
    }
    Ok(())
}
