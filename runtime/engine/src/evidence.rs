//! The hashes of the events behind alerts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::{StreamExt, stream};
use yagura_core::Alert;
use yagura_lake::rows::RowsError;
use yagura_lake::table::Table;

/// Reads listed events again and hashes them, each once.
#[derive(Debug, Default)]
pub struct Hasher {
    known: HashMap<(String, u64), String>,
}

/// Hashes that are remembered: an alert that grows lists the same events again and again.
const MAX_HASHES: usize = 100_000;

/// Objects that are read side by side.
const READS_AT_ONCE: usize = 8;

impl Hasher {
    /// Writes the hashes of the listed events into the alerts. Returns the objects that cannot be read, with the reason;
    /// their events keep an empty hash.
    pub async fn fill<'a>(
        &mut self,
        tables: &[Arc<Table>],
        alerts: impl Iterator<Item = &'a mut Alert>,
    ) -> Vec<(String, RowsError)> {
        // An object lies in the table with the longest location that holds it.
        let mut tables: Vec<&Arc<Table>> = tables.iter().collect();
        tables.sort_by_key(|table| std::cmp::Reverse(table.location.to_string().len()));
        if self.known.len() > MAX_HASHES {
            self.known.clear();
        }
        let mut events: Vec<_> = alerts
            .flat_map(|alert| &mut alert.evidence.events)
            .collect();
        let mut wanted: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in &events {
            if !self.known.contains_key(&(event.object.clone(), event.row)) {
                let rows = wanted.entry(event.object.clone()).or_default();
                rows.push(event.row);
            }
        }
        let reads = wanted.iter().filter_map(|(object, rows)| {
            let table = tables.iter().find(|table| table.holds(object))?;
            Some(async move { (object, table.event_hashes(object, rows).await) })
        });
        let mut reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        let mut unread = Vec::new();
        while let Some((object, read)) = reads.next().await {
            match read {
                Ok(found) => {
                    let found = found.into_iter();
                    let named = found.map(|(row, hash)| ((object.clone(), row), hash));
                    self.known.extend(named);
                }
                Err(error) => unread.push((object.clone(), error)),
            }
        }
        unread.sort_by(|a, b| a.0.cmp(&b.0));
        for event in &mut events {
            let hash = self.known.get(&(event.object.clone(), event.row));
            event.hash = hash.cloned().unwrap_or_default();
        }
        unread
    }
}
