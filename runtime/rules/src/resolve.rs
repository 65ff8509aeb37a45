//! Where a dotted path leads in a schema.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringBuilder, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{can_cast_types, cast, is_not_null, nullif, take};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::error::ArrowError;
use yagura_core::FieldPath;
use yagura_core::columns::{
    KEYS_WITHOUT_COLUMN, MAX_COLUMNS, OWN_COLUMNS, RAW_COLUMN, TIME_COLUMN, UNMAPPED_COLUMN,
};
use yagura_core::names::did_you_mean;

use crate::column::render_text;
use crate::json_path::OnePath;

/// A path that leads somewhere: a column, then fields of structs, then a path inside JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resolved {
    /// Index of the column in the schema.
    pub column: usize,
    /// Indexes of struct fields below it, outermost first.
    pub fields: Vec<usize>,
    /// Path inside the JSON text that is reached then; empty when the value itself is meant.
    pub json: Vec<String>,
    /// Type of the values: text wherever a JSON path ends.
    pub data_type: DataType,
}

/// The path leads nowhere in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No column or struct field of this name.
    #[error("there is no `{name}` in {place}{hint}")]
    Unknown {
        /// The segment, or the whole path where its first segment is unknown.
        name: String,
        /// `the table` or the struct reached so far.
        place: String,
        /// `; did you mean …?` or nothing.
        hint: String,
    },
    /// A number, a time or the like has nothing inside.
    #[error("`{path}` is of type {data_type} and has no fields")]
    NotNested {
        /// The path so far.
        path: String,
        /// What is there.
        data_type: DataType,
    },
}

/// Finds where `path` leads in `schema`.
///
/// Names may hold dots themselves (Zeek's `id.orig_h`): the longest run of segments that is a name wins. Below text a
/// path goes on inside the JSON that the text holds; below lists and maps, inside their JSON form.
///
/// # Errors
/// [`ResolveError`], with near names.
pub fn resolve(schema: &Schema, path: &FieldPath) -> Result<Resolved, ResolveError> {
    let segments = path.segments();
    locate(schema, path).map_err(|missing| match missing {
        PathEnd::Column => {
            let names = || schema.fields().iter().map(|field| field.name().as_str());
            let name = path.to_string();
            let mut hint = did_you_mean(&name, names());
            if hint.is_empty() {
                hint = did_you_mean(&segments[0], names());
            }
            ResolveError::Unknown {
                name,
                place: "the table".into(),
                hint,
            }
        }
        PathEnd::Field { taken, children } => {
            let known = children.iter().map(|field| field.name().as_str());
            ResolveError::Unknown {
                hint: did_you_mean(&segments[taken], known),
                place: format!("`{}`", segments[..taken].join(".")),
                name: segments[taken].clone(),
            }
        }
        PathEnd::NotNested { taken, data_type } => ResolveError::NotNested {
            path: segments[..taken].join("."),
            data_type,
        },
    })
}

/// Finds where `path` leads in `schema`, if anywhere; cheaper than an error that names what is near.
pub fn find(schema: &Schema, path: &FieldPath) -> Option<Resolved> {
    locate(schema, path).ok()
}

/// Returns every place where an event of `schema` may have the field `path`, the one that [`resolve`] finds first.
///
/// Objects of many programs share a table, and each event has a field where its own program puts it: in a column of that name,
/// dots included, in a field of a struct, inside JSON, or, where it got no column, inside `unmapped`. A test asks all of
/// these, so that no event and no column changes where others are looked for.
pub fn places(schema: &Schema, path: &FieldPath) -> Vec<Resolved> {
    let segments: Vec<String> = path
        .segments()
        .iter()
        .flat_map(|segment| segment.split('.').map(str::to_owned))
        .collect();
    let mut found = Vec::new();
    for taken in (1..=segments.len()).rev() {
        if let Some((column, field)) = schema.fields().find(&segments[..taken].join(".")) {
            let start = Resolved {
                column,
                fields: Vec::new(),
                json: Vec::new(),
                data_type: field.data_type().clone(),
            };
            below(start, &segments[taken..], &mut found);
        }
    }
    let is_own = |name: &str| OWN_COLUMNS.contains(&name);
    if !is_own(&segments[0])
        && let Some((column, field)) = schema.fields().find(UNMAPPED_COLUMN)
    {
        let start = Resolved {
            column,
            fields: Vec::new(),
            json: Vec::new(),
            data_type: field.data_type().clone(),
        };
        below(start, &segments, &mut found);
    }
    found
}

/// Adds every place to which the segments lead from `start`.
fn below(start: Resolved, segments: &[String], found: &mut Vec<Resolved>) {
    if segments.is_empty() {
        found.push(start);
        return;
    }
    match &start.data_type {
        DataType::Struct(children) => {
            for taken in (1..=segments.len()).rev() {
                let name = segments[..taken].join(".");
                if let Some(index) = children.iter().position(|child| *child.name() == name) {
                    let mut next = start.clone();
                    next.fields.push(index);
                    next.data_type = children[index].data_type().clone();
                    below(next, &segments[taken..], found);
                }
            }
        }
        other if holds_json(other) => found.push(Resolved {
            json: segments.to_vec(),
            data_type: DataType::Utf8,
            ..start
        }),
        _ => {}
    }
}

/// A field as one value of each event: that of the first of its places where the event has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValues {
    places: Vec<Resolved>,
    data_type: DataType,
}

impl FieldValues {
    /// Returns the field that events of `schema` have under any of these names; nothing where they have none.
    ///
    /// What lies in `unmapped` is only asked for where the field is nowhere else, or may have been before it got a column.
    pub fn of(schema: &Schema, names: &[FieldPath]) -> Option<Self> {
        let mut places: Vec<Resolved> = Vec::new();
        for place in names.iter().flat_map(|name| self::places(schema, name)) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let is_unmapped = |place: &Resolved| {
            !place.json.is_empty() && schema.field(place.column).name() == UNMAPPED_COLUMN
        };
        if !has_overflowed(schema) && places.iter().any(|place| !is_unmapped(place)) {
            places.retain(|place| !is_unmapped(place));
        }
        let first = places.first()?.data_type.clone();
        let data_type = match first {
            DataType::Dictionary(_, value) if places.len() > 1 => *value,
            other => other,
        };
        Some(Self { places, data_type })
    }

    /// Returns the type of the values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Returns the indexes of the columns that are read.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().map(|place| place.column)
    }

    /// Returns the values; `column` returns a column by its index in the schema. A value of another type than the first place has
    /// is converted, and is absent where that cannot be done.
    pub fn values(
        &self,
        column: impl Fn(usize) -> Result<ArrayRef, ArrowError>,
    ) -> Result<ArrayRef, ArrowError> {
        let of = |place: &Resolved| place.values_below(&column(place.column)?);
        let mut values = match self.places.as_slice() {
            [] => {
                return Err(ArrowError::InvalidArgumentError(
                    "a field without a place".into(),
                ));
            }
            [place] => return of(place),
            [first, ..] => cast(&of(first)?, &self.data_type)?,
        };
        for place in &self.places[1..] {
            if values.null_count() == 0 {
                break;
            }
            let others = of(place)?;
            let others = match can_cast_types(others.data_type(), &self.data_type) {
                true => cast(&others, &self.data_type)?,
                false => continue,
            };
            if others.null_count() < others.len() {
                let is_there = is_not_null(&values)?;
                values = zip(&is_there, &values, &others)?;
            }
        }
        Ok(values)
    }
}

/// Says whether `schema` is that of a table that `yagura ingest` made, whose own columns have the names of [`OWN_COLUMNS`].
pub fn is_ingested(schema: &Schema) -> bool {
    [UNMAPPED_COLUMN, RAW_COLUMN, TIME_COLUMN]
        .iter()
        .all(|name| schema.fields().find(name).is_some())
}

/// Says whether keys of events may lie in `unmapped` because the table had no room for their columns.
pub fn has_overflowed(schema: &Schema) -> bool {
    let unmapped = schema.fields().find(UNMAPPED_COLUMN);
    let is_marked =
        unmapped.is_some_and(|(_, field)| field.metadata().contains_key(KEYS_WITHOUT_COLUMN));
    is_marked || (is_ingested(schema) && schema.fields().len() >= MAX_COLUMNS)
}

/// Returns the field `unmapped` for a schema of some columns of a table that [`has_overflowed`], so that it can be seen there.
pub fn mark_overflowed(field: Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(KEYS_WITHOUT_COLUMN.to_owned(), "true".to_owned());
    field.with_metadata(metadata)
}

/// Where a path ends too early, after so many segments.
enum PathEnd {
    Column,
    Field { taken: usize, children: Fields },
    NotNested { taken: usize, data_type: DataType },
}

fn locate(schema: &Schema, path: &FieldPath) -> Result<Resolved, PathEnd> {
    let segments = path.segments();
    let Some((mut taken, column)) = longest(segments, |name| Some(schema.fields().find(name)?.0))
    else {
        // A key of events for which there was no column left.
        let unmapped = schema.fields().find(UNMAPPED_COLUMN);
        return match unmapped.filter(|_| has_overflowed(schema)) {
            Some((column, _)) => Ok(Resolved {
                column,
                fields: Vec::new(),
                json: segments.to_vec(),
                data_type: DataType::Utf8,
            }),
            None => Err(PathEnd::Column),
        };
    };
    let mut data_type = schema.field(column).data_type().clone();
    let mut fields = Vec::new();
    while taken < segments.len() {
        match &data_type {
            DataType::Struct(children) => {
                let index_of = |name: &str| children.iter().position(|f| f.name() == name);
                let Some((more, index)) = longest(&segments[taken..], index_of) else {
                    return Err(PathEnd::Field {
                        taken,
                        children: children.clone(),
                    });
                };
                taken += more;
                fields.push(index);
                data_type = children[index].data_type().clone();
            }
            other if holds_json(other) => {
                return Ok(Resolved {
                    column,
                    fields,
                    json: segments[taken..].to_vec(),
                    data_type: DataType::Utf8,
                });
            }
            other => {
                return Err(PathEnd::NotNested {
                    taken,
                    data_type: other.clone(),
                });
            }
        }
    }
    Ok(Resolved {
        column,
        fields,
        json: Vec::new(),
        data_type,
    })
}

/// Finds the longest run of segments, joined by dots, that `index_of` knows.
fn longest(
    segments: &[String],
    index_of: impl Fn(&str) -> Option<usize>,
) -> Option<(usize, usize)> {
    (1..=segments.len())
        .rev()
        .find_map(|taken| Some((taken, index_of(&segments[..taken].join("."))?)))
}

fn holds_json(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => holds_json(value),
        other => other.is_string() || is_collection(other),
    }
}

fn is_collection(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::List(_)
            | DataType::LargeList(_)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
            | DataType::FixedSizeList(_, _)
            | DataType::Map(_, _)
    )
}

impl Resolved {
    /// Says whether the path names a whole column.
    pub fn is_column(&self) -> bool {
        self.fields.is_empty() && self.json.is_empty()
    }

    /// Returns the values in `batch`, whose schema is the one that was resolved against.
    pub fn values(&self, batch: &RecordBatch) -> Result<ArrayRef, ArrowError> {
        self.values_below(batch.column(self.column))
    }

    /// Returns the values below `column`, the array of the resolved column.
    pub fn values_below(&self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let array = self.array_below(column)?;
        if self.json.is_empty() {
            Ok(array)
        } else {
            json_values(&array, &self.json)
        }
    }

    /// Returns the array below `column` that the fields of structs lead to, before any JSON in it is entered.
    pub(crate) fn array_below(&self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let mut array = Arc::clone(column);
        for index in &self.fields {
            let parent = array.as_struct();
            let child = parent.column(*index);
            // These have no bits of their own; Parquet holds none of them but columns without any value.
            if matches!(
                child.data_type(),
                DataType::Null | DataType::Union(_, _) | DataType::RunEndEncoded(_, _)
            ) {
                array = Arc::clone(child);
                continue;
            }
            // A field of a struct that is null is null, whatever its own bits say. Its values are not looked at: rows may share a
            // long one.
            array = match parent.nulls().filter(|nulls| nulls.null_count() > 0) {
                Some(nulls) => nullif(child, &BooleanArray::new(!nulls.inner(), None))?,
                None => Arc::clone(child),
            };
        }
        Ok(array)
    }
}

fn json_values(array: &ArrayRef, path: &[String]) -> Result<ArrayRef, ArrowError> {
    fn all<'a>(texts: impl Iterator<Item = Option<&'a str>>, path: &[String]) -> ArrayRef {
        let mut found = StringBuilder::with_capacity(texts.size_hint().0, 0);
        let path = OnePath::new(path);
        for text in texts {
            found.append_option(text.and_then(|text| path.get(text)));
        }
        Arc::new(found.finish())
    }
    match array.data_type() {
        DataType::Utf8 => Ok(all(array.as_string::<i32>().iter(), path)),
        DataType::LargeUtf8 => Ok(all(array.as_string::<i64>().iter(), path)),
        DataType::Utf8View => Ok(all(array.as_string_view().iter(), path)),
        DataType::Dictionary(_, _) => {
            // Once for each distinct value, not for each row.
            let dictionary = array.as_any_dictionary();
            let values = json_values(dictionary.values(), path)?;
            take(&values, dictionary.keys(), None)
        }
        DataType::Null => Ok(new_null_array(&DataType::Utf8, array.len())),
        other if is_collection(other) => json_values(&render_text(array)?, path),
        other => Err(ArrowError::InvalidArgumentError(format!(
            "a path into {other}, which holds no JSON"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int64Array, StringArray, StructArray};
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::Int32Type;

    fn batch() -> RecordBatch {
        let inner = StructArray::new(
            vec![Field::new("name", DataType::Utf8, true)].into(),
            vec![Arc::new(StringArray::from(vec![
                Some("a"),
                Some("b"),
                None,
            ]))],
            Some(NullBuffer::from(vec![true, false, true])),
        );
        let json: DictionaryArray<Int32Type> =
            vec![Some(r#"{"k":{"x":1}}"#), None, Some(r#"{"k":{"x":1}}"#)]
                .into_iter()
                .collect();
        RecordBatch::try_from_iter_with_nullable(vec![
            (
                "id",
                Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef,
                false,
            ),
            (
                "id.orig_h",
                Arc::new(StringArray::from(vec!["h"; 3])),
                false,
            ),
            ("who", Arc::new(inner), true),
            ("params", Arc::new(json), true),
        ])
        .unwrap()
    }

    fn values(path: &str) -> Result<Vec<Option<String>>, ResolveError> {
        let batch = batch();
        let found = resolve(&batch.schema(), &path.parse().unwrap())?;
        let array = found.values(&batch).unwrap();
        assert_eq!(&found.data_type, array.data_type(), "{path}");
        let text = cast(&array, &DataType::Utf8).unwrap();
        let text = text.as_string::<i32>();
        Ok(text.iter().map(|v| v.map(str::to_owned)).collect())
    }

    #[test]
    fn columns_structs_and_json_by_one_kind_of_path() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(values("id").unwrap(), [some("1"), some("2"), some("3")]);
        assert_eq!(values("id.orig_h").unwrap(), vec![some("h"); 3]);
        assert_eq!(values("who.name").unwrap(), [some("a"), None, None]);
        assert_eq!(values("params.k.x").unwrap(), [some("1"), None, some("1")]);
        assert_eq!(values("params.k").unwrap()[0], some(r#"{"x":1}"#));
    }

    #[test]
    fn a_field_is_in_every_place_that_its_name_leads_to() {
        let text = || DataType::Utf8;
        let inner = vec![
            Field::new("name", text(), true),
            Field::new("a", text(), true),
            Field::new("a.b", DataType::Int64, true),
        ];
        let schema = Schema::new(vec![
            Field::new("process.name", text(), true),
            Field::new("process", DataType::Struct(inner.into()), true),
            Field::new("id", DataType::Int64, true),
            Field::new("raw", text(), false),
            Field::new("event_time", text(), true),
            Field::new("unmapped", text(), true),
        ]);
        let of = |path: &str| -> Vec<String> {
            let found = places(&schema, &path.parse().unwrap());
            let show = |found: &Resolved| {
                let column = schema.field(found.column).name();
                format!("{column}{:?}{}", found.fields, found.json.join("/"))
            };
            found.iter().map(show).collect()
        };
        assert_eq!(
            of("process.name"),
            ["process.name[]", "process[0]", "unmapped[]process/name"]
        );
        assert_eq!(of("\"process.name\""), of("process.name"));
        assert_eq!(
            of("process.a.b"),
            ["process[2]", "process[1]b", "unmapped[]process/a/b"]
        );
        assert_eq!(of("id"), ["id[]", "unmapped[]id"]);
        assert_eq!(of("id.x"), ["unmapped[]id/x"]);
        assert_eq!(of("raw"), ["raw[]"]);
        assert_eq!(of("unmapped.raw"), ["unmapped[]raw"]);
        assert!(is_ingested(&schema) && !has_overflowed(&schema));
        // A key that got a column late is in `unmapped` of events before.
        let columns = |schema: &Schema| -> Vec<usize> {
            let of = FieldValues::of(schema, &["id".parse().unwrap()]).unwrap();
            of.columns().collect()
        };
        assert_eq!(columns(&schema), [2]);
        let mut fields: Vec<Field> = schema
            .fields()
            .iter()
            .map(|of| of.as_ref().clone())
            .collect();
        fields[5] = mark_overflowed(fields[5].clone());
        let marked = Schema::new(fields);
        assert!(has_overflowed(&marked));
        assert_eq!(columns(&marked), [2, 5]);
        assert!(find(&marked, &"nowhere".parse().unwrap()).is_some());
    }

    #[test]
    fn a_path_that_leads_nowhere_names_near_ones() {
        assert_eq!(
            values("parms").unwrap_err().to_string(),
            "there is no `parms` in the table; did you mean `params`?"
        );
        assert_eq!(
            values("who.nam").unwrap_err().to_string(),
            "there is no `nam` in `who`; did you mean `name`?"
        );
        assert_eq!(
            values("id.x").unwrap_err().to_string(),
            "`id` is of type Int64 and has no fields"
        );
    }
}
