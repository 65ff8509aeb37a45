//! Tables with some of their events: what fields rules may mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use yagura_core::names::near;
use yagura_lake::table::Table;
use yagura_plan::Sample;

/// Near names that a message lists.
const MOST_NEAR: usize = 3;

/// Tables with some of their events.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    pub(super) samples: BTreeMap<String, (Arc<Table>, Sample, BTreeSet<String>)>,
}

impl Sampled {
    /// Looks at some events of each table.
    pub(super) async fn of(tables: &[Arc<Table>]) -> Self {
        let mut samples = BTreeMap::new();
        for table in tables {
            let sample = Sample::of(table).await;
            let paths = sample.paths();
            samples.insert(table.name.clone(), (Arc::clone(table), sample, paths));
        }
        Self { samples }
    }

    /// Returns what a field of a table may be meant to be, `; did you mean …?`, or nothing where no name is near.
    pub(super) fn hint(&self, table: &str, field: &str) -> String {
        let Some((_, _, paths)) = self.samples.get(table) else {
            return String::new();
        };
        let near: Vec<String> = near_paths(field, paths)
            .into_iter()
            .map(|path| format!("`{path}`"))
            .collect();
        match near.is_empty() {
            true => String::new(),
            false => format!("; did you mean {}?", near.join(" or ")),
        }
    }
}

/// Returns the paths whose last name is near to the last one of `field`, wherever they lie: those that begin as `field` does
/// come first, since a rule rarely misspells a prefix and a name at once.
fn near_paths<'a>(field: &str, paths: &'a BTreeSet<String>) -> Vec<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let wanted = last(field);
    let names: BTreeSet<String> = paths.iter().map(|path| last(path)).collect();
    let shared = |path: &str| {
        let same = field.bytes().zip(path.bytes()).take_while(|(a, b)| a == b);
        same.count()
    };
    let mut found: Vec<&str> = Vec::new();
    for name in near(&wanted, names.iter().map(String::as_str)) {
        let mut of_name: Vec<&str> = paths
            .iter()
            .map(String::as_str)
            .filter(|path| last(path) == name && *path != field)
            .collect();
        of_name.sort_by_key(|path| (std::cmp::Reverse(shared(path)), path.len()));
        // Of equal names in many places one is enough to know what is meant.
        found.extend(of_name.into_iter().take(1));
    }
    found.truncate(MOST_NEAR);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_under_every_prefix() {
        let paths: BTreeSet<String> = [
            "Event.EventData.CommandLine",
            "Event.EventData.Image",
            "Event.System.Channel",
            "winlog.event_data.ParentImage",
            "unmapped.user.name",
            "host",
        ]
        .map(str::to_owned)
        .into();
        for (wrong, near) in [
            ("Imgae", "Event.EventData.Image"),
            ("Event.EventData.ComandLine", "Event.EventData.CommandLine"),
            ("EventData.CommandLine", "Event.EventData.CommandLine"),
            (
                "winlog.event_data.ParentImgae",
                "winlog.event_data.ParentImage",
            ),
            ("hots", "host"),
        ] {
            assert_eq!(near_paths(wrong, &paths).first(), Some(&near), "{wrong}");
        }
        assert!(near_paths("Zqx", &paths).is_empty());
    }
}
