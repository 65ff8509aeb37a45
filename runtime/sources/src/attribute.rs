//! What an attribute of OCSF means for a column: its kind, its ids and their captions.

use std::collections::BTreeMap;

use yagura_formats::Zone;
use yagura_lake::ColumnKind;
use yagura_ocsf::{BaseType, Class, Schema};

use crate::value::ValueKind;

/// An attribute as a column.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    kind: ValueKind,
    is_array: bool,
    /// The captions of its ids, where its values are ids.
    pub(crate) captions: Option<BTreeMap<i64, String>>,
    /// The attribute beside it that holds the caption of its value.
    pub(crate) sibling: Option<String>,
    /// Type and caption of its values as observables.
    pub(crate) observable: Option<(u32, &'static str)>,
    /// The profile that brings it, where the class itself has it not.
    pub(crate) profile: Option<&'static str>,
}

impl Attribute {
    /// Returns the attribute at a path; nothing where the class has none, or where it lies inside a list, of which a column can
    /// only hold all.
    pub(crate) fn of(class: &Class, path: &str) -> Option<Self> {
        let found = class.attribute(path)?;
        if found.in_array {
            return None;
        }
        let captions: BTreeMap<i64, String> = found
            .enum_values
            .iter()
            .filter_map(|value| Some((value.id.parse().ok()?, value.caption.to_owned())))
            .collect();
        let is_id = matches!(found.base, BaseType::Integer | BaseType::Long);
        let kind = match (found.base, found.type_name) {
            (_, "timestamp_t") => ValueKind::Time(Zone::utc()),
            (_, "ip_t") => ValueKind::Ip,
            (_, "port_t") => ValueKind::Integer {
                min: 0,
                max: 65_535,
            },
            (BaseType::Integer | BaseType::Long, _) => ValueKind::Integer {
                min: i64::MIN,
                max: i64::MAX,
            },
            (BaseType::Float, _) => ValueKind::Float,
            (BaseType::Boolean, _) => ValueKind::Boolean,
            (BaseType::Json | BaseType::Object, _) => ValueKind::Json,
            (BaseType::String, _) => ValueKind::Text,
        };
        let parent = path.rsplit_once('.').map(|(parent, _)| parent);
        // An event has the attributes below an attribute of a profile only with that profile.
        let first = path.split('.').next().unwrap_or(path);
        let of_first = class
            .attribute(first)
            .map_or(&[][..], |first| first.profiles);
        let profile = of_first.first().or(found.profiles.first()).copied();
        // Some classes have `cloud` themselves, and what lies in their lists is of the profile all the same.
        let profile = profile.or((first == "cloud").then_some("cloud"));
        Some(Self {
            profile,
            kind,
            is_array: found.is_array,
            captions: (is_id && !captions.is_empty()).then_some(captions),
            sibling: found.sibling.map(|sibling| match parent {
                Some(parent) => format!("{parent}.{sibling}"),
                None => sibling.to_owned(),
            }),
            observable: found
                .observable
                .filter(|_| !found.is_array && !matches!(kind, ValueKind::Json))
                .map(|id| {
                    let caption = Schema::shipped().observable_caption(id);
                    (id, caption.unwrap_or("Unknown"))
                }),
        })
    }

    /// Sets the zone of times that name none.
    pub(crate) fn set_zone(&mut self, zone: Zone) {
        if let ValueKind::Time(of) = &mut self.kind {
            *of = zone;
        }
    }

    /// Adds the JSON of a value, and says whether it is one of the attribute's.
    pub(crate) fn write(&self, text: &str, out: &mut String) -> bool {
        if self.is_array {
            return self.kind.write_array(text, out);
        }
        let start = out.len();
        let is_own = self.kind.write(text, out);
        if let (true, Some(captions)) = (is_own, &self.captions) {
            let is_known = out[start..]
                .parse()
                .is_ok_and(|id: i64| captions.contains_key(&id));
            if !is_known {
                out.truncate(start);
            }
            return is_known;
        }
        is_own
    }

    /// Returns what the column holds.
    pub(crate) fn kind(&self) -> ColumnKind {
        if self.is_array {
            return ColumnKind::Json;
        }
        match self.kind {
            ValueKind::Text | ValueKind::Ip => ColumnKind::Text,
            ValueKind::Integer { .. } | ValueKind::Time(_) => ColumnKind::Int64,
            ValueKind::Float => ColumnKind::Float64,
            ValueKind::Boolean => ColumnKind::Boolean,
            ValueKind::Json => ColumnKind::Json,
        }
    }
}
