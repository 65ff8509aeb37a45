//! Rows out of events, many at once.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, StringArray, UInt32Array, new_null_array,
};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::DataType;
use yagura_lake::ingest::{Normalize, Normalized, time_of_text_in};

use crate::mapping::{ClassPlan, ColumnPlan, Mapping, Source};
use crate::value::write_text;

impl Normalize for Mapping {
    fn masked_line<'t>(&self, line: &'t str) -> Cow<'t, str> {
        self.masks.line(line)
    }

    fn masked_event(&self, event: String, raw: Option<String>) -> (String, Option<String>) {
        self.masks.event(event, raw)
    }

    fn normalize(&self, events: &[&str]) -> Vec<Normalized> {
        let mut rows = vec![Normalized::default(); events.len()];
        let mut fields = self.fields.arrays(events);
        for named in &self.named {
            let values = named.evaluate(&fields, events.len());
            let values = values.and_then(|values| cast(&values, &DataType::Utf8));
            let none = || new_null_array(&DataType::Utf8, events.len());
            fields.push(values.unwrap_or_else(|_| none()));
        }
        let mut left: Vec<u32> = (0..events.len())
            .filter_map(|row| u32::try_from(row).ok())
            .collect();
        for class in &self.classes {
            if left.is_empty() {
                break;
            }
            let (own, others) = match &class.condition {
                None => (std::mem::take(&mut left), Vec::new()),
                Some(condition) => {
                    let all = events.len();
                    let truth = condition.evaluate(&fields, all);
                    let truth = truth.ok();
                    let truth = truth.as_ref().and_then(|truth| truth.as_boolean_opt());
                    left.iter().partition(|row| {
                        let row = **row as usize;
                        truth.is_some_and(|truth| truth.is_valid(row) && truth.value(row))
                    })
                }
            };
            left = others;
            class.rows(&fields, &own, &mut rows);
        }
        rows
    }
}

impl ClassPlan {
    /// Fills the rows that are of this class.
    fn rows(&self, fields: &[ArrayRef], own: &[u32], rows: &mut [Normalized]) {
        if own.is_empty() {
            return;
        }
        let fields = self.fields_of(fields, own, rows.len());
        let values: Vec<Values> = self
            .columns
            .iter()
            .map(|column| column.values(&fields, own.len()))
            .collect();
        let mut heads = Heads::default();
        let mut observables = String::new();
        let mut ids: Vec<(usize, i64)> = Vec::new();
        let mut profiles: Vec<&'static str> = Vec::new();
        for (at, row) in own.iter().enumerate() {
            let Some(row) = rows.get_mut(*row as usize) else {
                continue;
            };
            row.class = self.name;
            observables.clear();
            ids.clear();
            profiles.clear();
            let mut members = String::with_capacity(1_024);
            for (index, (column, values)) in self.columns.iter().zip(&values).enumerate() {
                let Some(text) = values.at(at) else {
                    continue;
                };
                if column.is_time {
                    row.time = time_of_text_in(text, self.zone);
                    if row.time.is_none() {
                        row.unfit.push((column.name.clone(), text.to_owned()));
                    }
                    continue;
                }
                let before = members.len();
                members.push(',');
                members.push_str(&column.key);
                let value = members.len();
                if !column.attribute.write(text, &mut members) {
                    members.truncate(before);
                    row.unfit.push((column.name.clone(), text.to_owned()));
                    continue;
                }
                if column.attribute.captions.is_some()
                    && let Ok(id) = members[value..].parse()
                {
                    ids.push((index, id));
                }
                if let Some(profile) = column.attribute.profile
                    && !profiles.contains(&profile)
                {
                    profiles.push(profile);
                }
                if let Some(start) = &column.observable
                    && !text.is_empty()
                {
                    observables.push(if observables.is_empty() { '[' } else { ',' });
                    observables.push_str(start);
                    write_text(text, &mut observables);
                    observables.push('}');
                }
            }
            let mut whole = heads.of(self, &ids).to_owned();
            whole.push_str(&members);
            if !profiles.is_empty() {
                profiles.sort_unstable();
                let names: Vec<String> = profiles.iter().map(|of| format!("{of:?}")).collect();
                let names = format!("[{}]", names.join(","));
                add(&mut whole, "metadata.profiles", &names);
            }
            if !observables.is_empty() {
                observables.push(']');
                add(&mut whole, "observables", &observables);
            }
            row.members = whole;
        }
    }

    /// Returns the fields of the rows that are of this class. Those that no expression of it reads have no values.
    fn fields_of(&self, fields: &[ArrayRef], own: &[u32], rows: usize) -> Vec<ArrayRef> {
        if own.len() == rows {
            return fields.to_vec();
        }
        let mut is_read = vec![false; fields.len()];
        for column in &self.columns {
            if let Source::Expression(expression) = &column.source {
                expression.reads().iter().for_each(|at| is_read[*at] = true);
            }
        }
        let indices = UInt32Array::from(own.to_vec());
        let none = new_null_array(&DataType::Utf8, 0);
        let fields = fields.iter().zip(is_read);
        let fields = fields.filter_map(|(field, is_read)| match is_read {
            true => take(field, &indices, None).ok(),
            false => Some(Arc::clone(&none)),
        });
        fields.collect()
    }

    /// Returns the members that follow from the class and from the ids of a row.
    fn head(&self, ids: &BTreeMap<&str, i64>) -> String {
        let mut head = self.constant.clone();
        let activity = ids.get("activity_id").copied().unwrap_or(0);
        if !ids.contains_key("activity_id") {
            add(&mut head, "activity_id", "0");
        }
        add(
            &mut head,
            "type_uid",
            &(self.uid * 100 + activity).to_string(),
        );
        let caption = self.caption_of("activity_id", activity);
        add_text(
            &mut head,
            "type_name",
            &format!("{}: {caption}", self.caption),
        );
        if !ids.contains_key("severity_id") {
            add(&mut head, "severity_id", "0");
        }
        for (name, id) in ids.iter().map(|(name, id)| (*name, *id)).chain(
            ["activity_id", "severity_id"]
                .into_iter()
                .filter(|name| !ids.contains_key(name))
                .map(|name| (name, 0)),
        ) {
            // What the maker says counts more than the caption of an id.
            if let Some(sibling) = self.siblings.get(name)
                && !self.columns.iter().any(|column| column.name == *sibling)
            {
                add_text(&mut head, sibling, self.caption_of(name, id));
            }
        }
        head
    }

    fn caption_of(&self, attribute: &str, id: i64) -> &str {
        let captions = self.captions.get(attribute);
        captions
            .and_then(|captions| captions.get(&id))
            .map_or("Unknown", String::as_str)
    }
}

/// The members that follow from ids, by these ids. Most events of a batch have those of another.
#[derive(Default)]
struct Heads {
    known: HashMap<Vec<(usize, i64)>, String>,
}

impl Heads {
    /// Returns them for the values of columns that hold ids.
    fn of(&mut self, class: &ClassPlan, ids: &[(usize, i64)]) -> &str {
        if !self.known.contains_key(ids) {
            let names = ids.iter().filter_map(|(index, id)| {
                let column = class.columns.get(*index)?;
                Some((column.name.as_str(), *id))
            });
            let head = class.head(&names.collect());
            self.known.insert(ids.to_vec(), head);
        }
        self.known.get(ids).map_or("", String::as_str)
    }
}

/// The values of a column as texts, or the one value of all rows.
enum Values {
    Each(StringArray),
    All(Option<String>),
}

impl Values {
    fn at(&self, row: usize) -> Option<&str> {
        match self {
            Self::Each(values) => values.is_valid(row).then(|| values.value(row)),
            Self::All(value) => value.as_deref(),
        }
    }
}

impl ColumnPlan {
    fn values(&self, fields: &[ArrayRef], rows: usize) -> Values {
        let evaluated = match &self.source {
            Source::Constant(value) => return Values::All(value.clone()),
            Source::Expression(expression) => expression.evaluate(fields, rows),
        };
        match evaluated.and_then(|values| texts(&values)) {
            Ok(values) => Values::Each(values),
            // Arrays of the lengths that were promised cannot fail.
            Err(_) => Values::All(None),
        }
    }
}

/// Returns the values of any type as texts.
pub(crate) fn texts(
    values: &ArrayRef,
) -> Result<StringArray, datafusion::arrow::error::ArrowError> {
    let values = cast(values, &DataType::Utf8)?;
    Ok(values.as_string::<i32>().clone())
}

pub(crate) fn add(members: &mut String, name: &str, json: &str) {
    if !members.is_empty() {
        members.push(',');
    }
    write_text(name, members);
    members.push(':');
    members.push_str(json);
}

pub(crate) fn add_text(members: &mut String, name: &str, text: &str) {
    let mut json = String::new();
    write_text(text, &mut json);
    add(members, name, &json);
}
