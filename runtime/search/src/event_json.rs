//! Events as JSON: what a search prints of them.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use yagura_core::columns::UNMAPPED_COLUMN;
use yagura_core::json::is_container;
use yagura_rules::render_text;

/// The columns of a batch, ready to be written row by row.
pub(crate) struct EventWriter {
    columns: Vec<WrittenColumn>,
}

struct WrittenColumn {
    /// The name as JSON, with its colon.
    name: String,
    texts: ArrayRef,
    form: Form,
}

/// How the text of a value becomes JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It is JSON already.
    Json,
    /// JSON where it is an object or a list, else a text.
    MaybeJson,
    /// A number; a text where it is none, such as `NaN`.
    Number,
    Text,
}

impl EventWriter {
    /// Takes the columns of a batch for which `wants` says so.
    ///
    /// # Errors
    /// When the texts of a column are more than 2 GiB.
    pub(crate) fn new(
        batch: &RecordBatch,
        wants: impl Fn(&str) -> bool,
    ) -> Result<Self, ArrowError> {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.filter(|(field, column)| {
            wants(field.name()) && column.logical_null_count() < column.len()
        });
        let columns = columns.map(|(field, column)| {
            Ok(WrittenColumn {
                name: format!("{}:", quoted(field.name())),
                texts: render_text(column)?,
                form: form_of(field.name(), field.data_type()),
            })
        });
        Ok(Self {
            columns: columns.collect::<Result<_, ArrowError>>()?,
        })
    }

    /// Returns an event as one JSON object, without what it has no value for.
    pub(crate) fn event(&self, row: usize) -> String {
        let mut json = String::from("{");
        for column in self
            .columns
            .iter()
            .filter(|column| column.texts.is_valid(row))
        {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&column.name);
            let text = column.texts.as_string::<i32>().value(row);
            let is_json = match column.form {
                Form::Json => true,
                Form::MaybeJson => is_container(text) && is_json(text),
                Form::Number => is_json(text),
                Form::Text => false,
            };
            match is_json {
                true => json.push_str(text),
                false => {
                    let _ = write!(json, "{}", quoted(text));
                }
            }
        }
        json.push('}');
        json
    }
}

fn form_of(name: &str, data_type: &DataType) -> Form {
    let data_type = match data_type {
        DataType::Dictionary(_, value) => value,
        other => other,
    };
    match data_type {
        DataType::Boolean => Form::Json,
        DataType::Struct(_)
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(_, _)
        | DataType::Map(_, _) => Form::MaybeJson,
        _ if data_type.is_numeric() => Form::Number,
        _ if name == UNMAPPED_COLUMN => Form::MaybeJson,
        _ => Form::Text,
    }
}

/// Says whether a text is JSON and no more.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn quoted(text: &str) -> serde_json::Value {
    text.into()
}
