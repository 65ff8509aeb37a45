//! Which objects below a table's location hold its events, and which are something else.
//!
//! ```text
//! listed ─▶ hidden? ─▶ another format's table? ─▶ Parquet by name? ─▶ has bytes? ─▶ in its place? ─▶ data
//!             no event     the table is refused      counted, named     counted       named
//! ```

use std::collections::BTreeSet;

use object_store::ObjectMeta;
use object_store::path::Path;
use percent_encoding::percent_decode_str;

use crate::Location;
use crate::list::LocationContents;
use crate::passed_over::PassedOver;
use crate::rewritten::earlier_names;
use crate::table_error::TableError;

/// Says whether an object of a table that `yagura ingest` made lies where such tables have none: deeper than the folder of its
/// day, or in folders of another partition.
pub(crate) fn is_stray(location: &Location, meta: &ObjectMeta, partition: &str) -> bool {
    let Some(below) = meta.location.prefix_match(&location.prefix) else {
        return false;
    };
    let parts: Vec<String> = below.map(|part| part.as_ref().to_owned()).collect();
    let folders = parts.split_last().map_or(&[][..], |(_, folders)| folders);
    let is_day = |folder: &String| {
        folder
            .split_once('=')
            .is_some_and(|(name, _)| name == partition)
    };
    match folders {
        [] => false,
        [day] if is_day(day) => false,
        [day, ..] if is_day(day) => true,
        others => others.iter().any(|folder| folder.contains('=')),
    }
}

/// A listing, sorted out.
#[derive(Debug, Default)]
pub(crate) struct SortedListing {
    pub(crate) data: Vec<ObjectMeta>,
    pub(crate) passed: PassedOver,
    /// Names of the objects of 0 bytes.
    pub(crate) empty: Vec<String>,
    /// Names of the objects in stray folders.
    pub(crate) strays: Vec<String>,
    /// Names that no object can have.
    pub(crate) odd_names: Vec<String>,
    /// A format with a log of its own, and the folder of the table.
    pub(crate) foreign: Option<(&'static str, String)>,
}

impl SortedListing {
    pub(crate) fn sort_out(location: &Location, found: LocationContents) -> Self {
        let LocationContents {
            mut objects,
            odd_names,
        } = found;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        let mut listing = Self::default();
        for name in odd_names {
            listing.passed.odd_names.add(|| name.clone());
            listing.odd_names.push(name);
        }
        let mut foreign: Vec<(&'static str, Path)> = Vec::new();
        for meta in objects {
            let name = || location.name_of(&meta.location);
            match kind(location, &meta.location) {
                ObjectKind::Hidden => {}
                ObjectKind::Foreign(format, folder) => {
                    if !foreign.iter().any(|(_, known)| *known == folder) {
                        foreign.push((format, folder));
                    }
                }
                ObjectKind::Other => listing.passed.other.add(name),
                ObjectKind::Data if meta.size == 0 => {
                    listing.passed.empty.add(name);
                    listing.empty.push(name());
                }
                ObjectKind::Data => listing.data.push(meta),
            }
        }
        listing.leave_out_foreign(location, &foreign);
        listing.leave_out_rewritten();
        listing
    }

    /// Leaves out objects that were written anew without some of their rows: the next one is there.
    fn leave_out_rewritten(&mut self) {
        let mut hidden = BTreeSet::new();
        for meta in &self.data {
            hidden.extend(earlier_names(meta.location.as_ref()));
        }
        if !hidden.is_empty() {
            let is_hidden = |meta: &ObjectMeta| hidden.contains(meta.location.as_ref());
            self.data.retain(|meta| !is_hidden(meta));
        }
    }

    /// Leaves out tables of other formats in folders below. The table is one itself if its own folder is, or if nothing else is there.
    fn leave_out_foreign(&mut self, location: &Location, foreign: &[(&'static str, Path)]) {
        let Some(first) = foreign.first() else {
            return;
        };
        let own = foreign
            .iter()
            .find(|(_, folder)| *folder == location.prefix);
        let is_below = |meta: &ObjectMeta| {
            let mut folders = foreign.iter();
            folders.any(|(_, folder)| meta.location.prefix_matches(folder))
        };
        let (format, folder) = match own {
            Some(own) => own,
            None if self.data.iter().all(is_below) => first,
            None => {
                self.leave_out(location, is_below);
                return;
            }
        };
        self.foreign = Some((*format, location.name_of(folder)));
    }

    /// Leaves out the objects that are strays.
    pub(crate) fn leave_out(
        &mut self,
        location: &Location,
        is_stray: impl Fn(&ObjectMeta) -> bool,
    ) {
        for meta in self.data.extract_if(.., |meta| is_stray(meta)) {
            let name = location.name_of(&meta.location);
            self.passed.stray.add(|| name.clone());
            self.strays.push(name);
        }
    }

    /// Refuses a table of another format.
    pub(crate) fn own(self, table: &str) -> Result<Self, TableError> {
        match self.foreign {
            Some((format, folder)) => Err(TableError::Foreign {
                table: table.to_owned(),
                format,
                folder,
            }),
            None => Ok(self),
        }
    }
}

/// What an object is by its name.
#[derive(Debug, PartialEq, Eq)]
enum ObjectKind {
    Data,
    /// Below a hidden folder, or hidden itself.
    Hidden,
    /// Part of the log of a format, in this folder.
    Foreign(&'static str, Path),
    Other,
}

fn kind(location: &Location, object: &Path) -> ObjectKind {
    let Some(below) = object.prefix_match(&location.prefix) else {
        return ObjectKind::Other;
    };
    let parts: Vec<String> = below.map(|part| part.as_ref().to_owned()).collect();
    // The location is the object itself.
    let Some((name, folders)) = parts.split_last() else {
        return ObjectKind::Data;
    };
    let mut folder = location.prefix.clone();
    for (at, part) in folders.iter().enumerate() {
        let format = match part.as_str() {
            "_delta_log" => Some("Delta Lake"),
            ".hoodie" => Some("Apache Hudi"),
            "metadata" if at + 1 == folders.len() && name.ends_with(".metadata.json") => {
                Some("Apache Iceberg")
            }
            _ => None,
        };
        if let Some(format) = format {
            return ObjectKind::Foreign(format, folder);
        }
        // As Spark and Hive have it: `_date=2026-03-01` is a partition.
        if part.starts_with('.') || (part.starts_with('_') && !part.contains('=')) {
            return ObjectKind::Hidden;
        }
        folder = folder.join(part.as_str());
    }
    if name.starts_with(['.', '_']) {
        return ObjectKind::Hidden;
    }
    let ending = name
        .len()
        .checked_sub(".parquet".len())
        .and_then(|at| name.get(at..));
    if ending.is_some_and(|ending| ending.eq_ignore_ascii_case(".parquet")) {
        ObjectKind::Data
    } else {
        ObjectKind::Other
    }
}

/// The folder of Hive for rows without a value.
pub(crate) const HIVE_DEFAULT: &str = "__HIVE_DEFAULT_PARTITION__";

/// Returns the `name=value` folders between the table's location and the object.
pub(crate) fn hive_parts<'a>(
    location: &Location,
    object: &'a Path,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let below = object
        .as_ref()
        .strip_prefix(location.prefix.as_ref())
        .unwrap_or_default();
    let folders = below.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').filter_map(|part| part.split_once('='))
}

/// Returns the names of all partition folders, in the order in which they first come. Not every object lies below each.
pub(crate) fn partition_names(location: &Location, objects: &[ObjectMeta]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in objects
        .iter()
        .flat_map(|meta| hive_parts(location, &meta.location))
    {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Returns an object's value of each of the partitions `names`: nothing for Hive's default, and where it does not lie in such a
/// folder.
pub(crate) fn partition_values(
    location: &Location,
    object: &Path,
    names: &[String],
) -> Vec<Option<String>> {
    let value = |name: &String| {
        let mut parts = hive_parts(location, object);
        let (_, value) = parts.find(|(known, _)| known == name)?;
        (value != HIVE_DEFAULT).then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    names.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn kind_of(name: &str) -> ObjectKind {
        let location = Location::parse("memory://kinds/table", &BTreeMap::new()).unwrap();
        kind(&location, &location.join(name).prefix)
    }

    #[test]
    fn what_spark_and_hive_hide_is_not_data() {
        for name in [
            "a.parquet",
            "part-0.snappy.parquet",
            "A.PARQUET",
            "x/y/a.parquet",
            "date=2026-03-01/a.parquet",
            "_date=2026-03-01/a.parquet",
            "date=__HIVE_DEFAULT_PARTITION__/a.parquet",
            "region=.eu/a.parquet",
        ] {
            assert_eq!(kind_of(name), ObjectKind::Data, "{name}");
        }
        for name in [
            "_SUCCESS",
            "_metadata",
            "_common_metadata",
            "_a.parquet",
            ".a.parquet",
            "_table.json",
            ".a.parquet.crc",
            "_temporary/0/_temporary/attempt_1/part-0.parquet",
            ".hidden/a.parquet",
            "_spark_metadata/0",
            ".staging/a.parquet",
            "date=2026-03-01/.tmp/a.parquet",
            ".trash/_delta_log/0.json",
        ] {
            assert_eq!(kind_of(name), ObjectKind::Hidden, "{name}");
        }
        for name in ["a.parquet.gz", "a.csv", "a.parq", "parquet", "README"] {
            assert_eq!(kind_of(name), ObjectKind::Other, "{name}");
        }
    }

    fn listing(location: &Location, names: &[&str]) -> SortedListing {
        let objects = names.iter().map(|name| ObjectMeta {
            location: location.join(name).prefix,
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: None,
            version: None,
        });
        let found = LocationContents {
            objects: objects.collect(),
            odd_names: Vec::new(),
        };
        SortedListing::sort_out(location, found)
    }

    #[test]
    fn a_table_of_another_format_below_is_left_out_and_the_table_itself_refused() {
        let location = Location::parse("memory://foreign/t", &BTreeMap::new()).unwrap();
        let below = listing(
            &location,
            &[
                "date=2026-03-01/a.parquet",
                "date=2026-03-01/copy/b.parquet",
                "date=2026-03-01/copy/_delta_log/0.json",
            ],
        );
        assert_eq!((below.data.len(), below.passed.stray.count), (1, 1));
        assert!(below.strays[0].ends_with("copy/b.parquet") && below.foreign.is_none());
        let own = listing(
            &location,
            &["a.parquet", "x/b.parquet", "_delta_log/0.json"],
        );
        assert_eq!(own.foreign.unwrap().0, "Delta Lake");
        let nothing_else = listing(&location, &["x/b.parquet", "x/metadata/v1.metadata.json"]);
        assert_eq!(nothing_else.foreign.unwrap().0, "Apache Iceberg");
    }

    #[test]
    fn a_made_table_has_its_objects_below_its_days() {
        let location = Location::parse("memory://strays/t", &BTreeMap::new()).unwrap();
        let mut listing = listing(
            &location,
            &[
                "date=2026-03-01/a.parquet",
                "date=other/a.parquet",
                "b.parquet",
                "sub/c.parquet",
                "date=2026-03-01/copy/a.parquet",
                "date=2026-03-01/user=ann/a.parquet",
                "event_time=1/a.parquet",
                "x/date=2026-03-01/a.parquet",
            ],
        );
        listing.leave_out(&location, |meta| is_stray(&location, meta, "date"));
        assert_eq!(listing.data.len(), 4);
        assert_eq!(listing.strays.len(), 4, "{:?}", listing.strays);
        assert_eq!(listing.passed.stray.count, 4);
    }

    #[test]
    fn tables_of_other_formats_are_known_by_their_logs() {
        let folder = |name: &str| match kind_of(name) {
            ObjectKind::Foreign(format, folder) => format!("{format} in {folder}"),
            other => format!("{other:?}"),
        };
        assert_eq!(
            folder("_delta_log/00000000000000000010.checkpoint.parquet"),
            "Delta Lake in table"
        );
        assert_eq!(folder("sub/_delta_log/0.json"), "Delta Lake in table/sub");
        assert_eq!(
            folder("metadata/v1.metadata.json"),
            "Apache Iceberg in table"
        );
        assert_eq!(folder("metadata/other.json"), "Other");
        assert_eq!(folder(".hoodie/hoodie.properties"), "Apache Hudi in table");
    }

    #[test]
    fn an_object_has_a_value_where_it_lies_in_such_a_folder() {
        let location = Location::parse("memory://values/t", &BTreeMap::new()).unwrap();
        let names = ["a".to_owned(), "b".to_owned()];
        let values = |name: &str| {
            let object = Path::parse(format!("t/{name}")).unwrap();
            partition_values(&location, &object, &names)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(values("a=1/b=x%20y/o.parquet"), [some("1"), some("x y")]);
        assert_eq!(values("b=2/a=1/o.parquet"), [some("1"), some("2")]);
        assert_eq!(values("b=2/o.parquet"), [None, some("2")]);
        assert_eq!(
            values("a=__HIVE_DEFAULT_PARTITION__/o.parquet"),
            [None, None]
        );
    }
}
