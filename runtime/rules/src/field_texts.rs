//! Every text that tests of some fields see, with its rows: what an index of values is made of.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{ArrowNativeType, DataType, Float64Type, Schema};
use arrow::downcast_dictionary_array;
use arrow::error::ArrowError;
use yagura_core::FieldPath;
use yagura_core::json::is_container;

use crate::column::render_text;
use crate::json_path::JsonPaths;
use crate::predicate::FieldReading;
use crate::resolve::{Resolved, places};

/// Fields whose texts are wanted, each with a number of the caller's.
#[derive(Debug, Clone, Default)]
pub struct FieldTexts {
    /// Where fields are as values of their own.
    sources: Vec<(usize, Resolved)>,
    /// Where fields are inside JSON text.
    groups: Vec<(Resolved, JsonPaths)>,
}

impl FieldTexts {
    /// Returns what reads fields of events of `schema`: all places of each, and of a list its members, as
    /// [`FieldReading::Members`] does.
    pub fn of_members(schema: &Schema, fields: &[(usize, FieldPath)]) -> Self {
        let mut texts = Self::default();
        for (id, path) in fields {
            for mut place in places(schema, path) {
                let json = std::mem::take(&mut place.json);
                if json.is_empty() {
                    texts.sources.push((*id, place));
                    continue;
                }
                let group = texts.groups.iter().position(|(known, _)| {
                    (known.column, &known.fields) == (place.column, &place.fields)
                });
                let group = group.unwrap_or_else(|| {
                    texts.groups.push((place, JsonPaths::default()));
                    texts.groups.len() - 1
                });
                texts.groups[group].1.add(*id, &json, FieldReading::Members);
            }
        }
        texts
    }

    /// Returns the indexes of the columns that are read, each once.
    pub fn columns(&self) -> Vec<usize> {
        let sources = self.sources.iter().map(|(_, place)| place.column);
        let groups = self.groups.iter().map(|(place, _)| place.column);
        let mut columns: Vec<usize> = sources.chain(groups).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Calls `each` with the number of a field, a text of it, and the rows that have it, in order. A text may come several times.
    ///
    /// # Errors
    /// A column that `column` cannot give, or whose texts are more than 2 GiB.
    pub fn each(
        &self,
        column: impl Fn(usize) -> Result<ArrayRef, ArrowError>,
        each: &mut dyn FnMut(usize, &str, &[u32]),
    ) -> Result<(), ArrowError> {
        let members = JsonPaths::root(FieldReading::Members);
        for (id, place) in &self.sources {
            each_text(
                &place.array_below(&column(place.column)?)?,
                &mut |text, rows| {
                    let is_list = text.starts_with('[')
                        && members.walk(text, &mut |_, member, _| each(*id, member, rows));
                    if !is_list {
                        each(*id, text, rows);
                    }
                },
            )?;
        }
        for (place, paths) in &self.groups {
            each_text(
                &place.array_below(&column(place.column)?)?,
                &mut |text, rows| {
                    if is_container(text) {
                        paths.walk(text, &mut |id, value, _| each(id, value, rows));
                    }
                },
            )?;
        }
        Ok(())
    }
}

/// Calls `each` with every text of an array and rows that have it: once for each distinct text of a dictionary, else for each row.
///
/// # Errors
/// Texts of more than 2 GiB.
fn each_text(values: &ArrayRef, each: &mut dyn FnMut(&str, &[u32])) -> Result<(), ArrowError> {
    if values.null_count() == values.len() {
        return Ok(());
    }
    match values.data_type() {
        DataType::Dictionary(_, value) if value.is_string() => {
            let texts = render_text(values.as_any_dictionary().values())?;
            let texts = texts.as_string::<i32>();
            let values = values.as_ref();
            let mut rows: HashMap<usize, Vec<u32>> = HashMap::new();
            downcast_dictionary_array!(
                values => {
                    for (row, key) in (0..).zip(values.keys()) {
                        if let Some(key) = key {
                            rows.entry(key.as_usize()).or_default().push(row);
                        }
                    }
                },
                other => return Err(ArrowError::InvalidArgumentError(format!("{other} is not a dictionary")))
            );
            for (key, rows) in rows.into_iter().filter(|(key, _)| texts.is_valid(*key)) {
                each(texts.value(key), &rows);
            }
        }
        // As tests see it: without a fraction where it has none.
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let numbers = cast(values, &DataType::Float64)?;
            for (row, number) in (0..).zip(numbers.as_primitive::<Float64Type>()) {
                if let Some(number) = number {
                    each(&number.to_string(), &[row]);
                }
            }
        }
        _ => {
            let texts = render_text(values)?;
            for (row, text) in (0..).zip(texts.as_string::<i32>()) {
                if let Some(text) = text {
                    each(text, &[row]);
                }
            }
        }
    }
    Ok(())
}

/// Returns the addresses that a text stands for where rules compare it with networks: as it is written, and of an IPv6 address that
/// stands for one of IPv4, that one.
pub fn addresses(text: &str) -> Option<[std::net::IpAddr; 2]> {
    crate::prefilter::values::addresses(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    #[test]
    fn every_place_of_a_field_is_read_and_members_of_lists_come_one_by_one() {
        let user: DictionaryArray<Int32Type> =
            [Some("kim"), None, Some("[\"lee\",\"kim\"]"), Some("kim")]
                .into_iter()
                .collect();
        let port = Int64Array::from(vec![Some(22), None, Some(80), Some(22)]);
        let ratio = Float64Array::from(vec![Some(80.0), Some(0.5), None, None]);
        let tags = ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![]),
            Some(vec![Some(2)]),
        ]);
        let json = StringArray::from(vec![
            None,
            Some(r#"{"user":{"name":"ann"},"port":"443"}"#),
            Some(r#"{"user.name":["bob",null]}"#),
            Some("no JSON"),
        ]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user", Arc::new(user)),
            ("port", Arc::new(port)),
            ("ratio", Arc::new(ratio)),
            ("tags", Arc::new(tags)),
            ("unmapped", Arc::new(json)),
        ];
        let fields = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let wanted = ["user", "port", "ratio", "tags", "user.name"];
        let wanted: Vec<(usize, FieldPath)> = wanted
            .iter()
            .map(|path| path.parse().unwrap())
            .enumerate()
            .collect();
        let texts = FieldTexts::of_members(&schema, &wanted);
        assert_eq!(texts.columns(), [0, 1, 2, 3, 4]);
        let mut found = Vec::new();
        texts
            .each(
                |index| Ok(Arc::clone(&columns[index].1)),
                &mut |id, text, rows| {
                    found.extend(
                        rows.iter()
                            .map(|row| format!("{row} {} {text}", wanted[id].1)),
                    );
                },
            )
            .unwrap();
        found.sort();
        let expected = [
            "0 port 22",
            "0 ratio 80",
            "0 tags 1",
            "0 tags 2",
            "0 user kim",
            "1 port 443",
            "1 ratio 0.5",
            "1 user {\"name\":\"ann\"}",
            "1 user.name ann",
            "2 port 80",
            "2 tags ",
            "2 user kim",
            "2 user lee",
            "2 user.name bob",
            "3 port 22",
            "3 tags 2",
            "3 user kim",
        ];
        assert_eq!(found, expected);
    }
}
