//! `json_object`: several values as one JSON object. Unlike the other functions it reads all of its arguments, and NULL among them.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use yagura_core::json::{elements, members, write_text};

use crate::call::is_readable;
use crate::texts::Texts;
use crate::{FunctionDoc, ResultKind};

pub(crate) const NAME: &str = "json_object";
/// The maximum of keys.
const MAX_KEYS: usize = 500;

pub(crate) const DOC: FunctionDoc = FunctionDoc {
    name: NAME,
    arguments: "key, value [, key, value …]",
    result: ResultKind::Text,
    about: "Returns a JSON object. Keys are texts that are written out. A key whose value is NULL is left out, and of NULL alone it is \
            NULL. Numbers and truth values are written as such, and so is a text that is a JSON object or array.",
    example: "json_object('ip', '192.0.2.1', 'port', 22, 'user', NULL)",
    gives: r#"{"ip":"192.0.2.1","port":22}"#,
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonObject {
    signature: Signature,
}

/// Returns the function.
pub(crate) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(JsonObject {
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

fn wrong(reason: String) -> DataFusionError {
    DataFusionError::Plan(format!("`{NAME}`: {reason}"))
}

impl ScalarUDFImpl for JsonObject {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let count = args.arg_fields.len();
        if count == 0 || count % 2 == 1 || count > 2 * MAX_KEYS {
            return Err(wrong(format!(
                "it is called with {count} arguments, and it takes ({}), {MAX_KEYS} keys at most",
                DOC.arguments
            )));
        }
        let is_key = |literal: &Option<&ScalarValue>| {
            literal.is_some_and(|value| matches!(value.try_as_str(), Some(Some(_))))
        };
        let mut keys = args.scalar_arguments.iter().step_by(2);
        if let Some(index) = keys.position(|literal| !is_key(literal)) {
            return Err(wrong(format!(
                "argument {} is a key, and must be a text that is written out",
                2 * index + 1
            )));
        }
        for (index, field) in args.arg_fields.iter().enumerate() {
            if !is_readable(field.data_type()) && !field.data_type().is_null() {
                return Err(wrong(format!(
                    "argument {} is a {}, which is not text",
                    index + 1,
                    field.data_type()
                )));
            }
        }
        Ok(Arc::new(Field::new(NAME, DataType::Utf8, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_same = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        let are_same = args.args.iter().all(is_same);
        let rows = if are_same { 1 } else { args.number_rows };
        let parts = args.args.chunks_exact(2).map(|pair| {
            let [key, value] = pair else {
                return Err(wrong("a value is missing".to_owned()));
            };
            let mut name = String::new();
            write_text(Texts::new(key)?.get(0).unwrap_or_default(), &mut name);
            let data_type = value.data_type();
            let is_bare = data_type.is_numeric() || data_type == DataType::Boolean;
            Ok((name, Texts::new(value)?, is_bare))
        });
        let values = objects(&parts.collect::<Result<Vec<_>>>()?, rows)?;
        Ok(match are_same {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?),
            false => ColumnarValue::Array(values),
        })
    }
}

/// Returns an object for each row, of keys as JSON, values, and whether these are written without quotes.
fn objects(parts: &[(String, Texts, bool)], rows: usize) -> Result<ArrayRef> {
    let mut objects = StringBuilder::with_capacity(rows, 0);
    let mut object = String::new();
    for row in 0..rows {
        object.clear();
        for (key, values, is_bare) in parts {
            let Some(text) = values.get(row) else {
                continue;
            };
            object.push(if object.is_empty() { '{' } else { ',' });
            object.push_str(key);
            object.push(':');
            // JSON knows neither NaN nor infinities.
            let is_number = || text.bytes().any(|byte| byte.is_ascii_digit());
            let is_bare = *is_bare && (is_number() || matches!(text, "true" | "false"));
            match is_bare || is_container(text) {
                true => object.push_str(text),
                false => write_text(text, &mut object),
            }
        }
        if object.is_empty() {
            objects.append_null();
            continue;
        }
        object.push('}');
        if i32::try_from(objects.values_slice().len().saturating_add(object.len())).is_err() {
            return Err(DataFusionError::Execution(
                "the texts of one batch take more than 2 GiB".to_owned(),
            ));
        }
        objects.append_value(&object);
    }
    Ok(Arc::new(objects.finish()))
}

fn is_container(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'{') => members(text).is_ok(),
        Some(b'[') => elements(text).is_ok(),
        _ => false,
    }
}
