//! Functions as DataFusion calls them: literals checked at planning, columns in, one column out.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::compute::{can_cast_types, take};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::table::Definition;
use crate::texts::Texts;
use crate::{Prepared, ResultKind, Value, json_object};

/// Settings, and the function with them if they are right.
type Known<'s> = (Vec<&'s str>, Option<Box<dyn Prepared>>);

/// A function, and what its literals say if they are known.
pub(crate) struct Call {
    definition: &'static Definition,
    /// The settings as the rule writes them, and the function with them.
    prepared: Option<(Vec<String>, Arc<dyn Prepared>)>,
    signature: Signature,
}

/// Returns the index of the argument that a function of this crate reads; `None` for any other function. The others are settings.
pub fn argument_that_is_read(function: &ScalarUDF) -> Option<usize> {
    let call = function.inner().downcast_ref::<Call>()?;
    Some(call.definition.read)
}

/// Returns the regular expression that a call compiles, with all that its names stand for; `None` where it compiles none.
pub fn pattern_of(call: &ScalarFunction) -> Option<String> {
    let definition = call.func.inner().downcast_ref::<Call>()?.definition;
    let settings = settings(definition, &call.args, literal)?;
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    definition.pattern?(&settings)
}

/// Returns how many times as long as what it reads the text of a function of this crate can be; `None` for any other function.
/// Numbers, truth values and times are short.
pub fn growth(function: &ScalarUDF) -> Option<u64> {
    if function.name() == json_object::NAME {
        return Some(6);
    }
    let call = function.inner().downcast_ref::<Call>()?;
    Some(match call.definition.doc.name {
        // Members that are objects are written as JSON, with `\u001f` for a control character.
        "parse_cef" | "parse_kv" | "parse_leef" | "parse_syslog" => 6,
        // `\u001f` for a control character, and the quotes.
        "json_quote" => 8,
        // `%7f` for a byte, and hosts in Punycode.
        "parse_url" => 4,
        // 4 letters are 1.5 units of UTF-16, of 3 bytes each.
        "base64_decode_text" => 2,
        _ => 1,
    })
}

impl Call {
    /// Returns the function of a definition.
    pub(crate) fn function(definition: &'static Definition) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Self {
            definition,
            prepared: None,
            signature: Signature::variadic_any(Volatility::Immutable),
        }))
    }

    fn wrong(&self, reason: impl fmt::Display) -> DataFusionError {
        DataFusionError::Plan(format!("`{}`: {reason}", self.definition.doc.name))
    }

    fn data_type(&self) -> DataType {
        match self.definition.doc.result {
            ResultKind::Text => DataType::Utf8,
            ResultKind::Number => DataType::Int64,
            ResultKind::Truth => DataType::Boolean,
            ResultKind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// Returns the results for texts, with settings that are the same for each or not.
    fn values(&self, text: &Texts, settings: &[Texts], rows: usize) -> Result<ArrayRef> {
        let mut results = Results::new(self.definition, rows);
        if let Some((_, prepared)) = &self.prepared {
            for row in 0..rows {
                results.add(text.get(row).and_then(|text| prepared.value(text)))?;
            }
            return Ok(results.finish());
        }
        // What was prepared last, because settings are mostly the same in all rows.
        let mut last: Option<Known<'_>> = None;
        for row in 0..rows {
            let settings = settings.iter().map(|setting| setting.get(row));
            let (Some(settings), Some(text)) =
                (settings.collect::<Option<Vec<&str>>>(), text.get(row))
            else {
                results.add(None)?;
                continue;
            };
            let is_known = matches!(&last, Some((known, _)) if *known == settings);
            if !is_known {
                let prepared = (self.definition.prepare)(&settings).ok();
                last = Some((settings, prepared));
            }
            let prepared = last.as_ref().and_then(|(_, prepared)| prepared.as_ref());
            results.add(prepared.and_then(|prepared| prepared.value(text)))?;
        }
        Ok(results.finish())
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Conditions are compared by this text: the arguments beside it have the settings.
        f.write_str(self.definition.doc.name)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        let settings = |call: &Self| call.prepared.as_ref().map(|(settings, _)| settings.clone());
        self.definition.doc.name == other.definition.doc.name && settings(self) == settings(other)
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.doc.name.hash(state);
        self.prepared.as_ref().map(|(known, _)| known).hash(state);
    }
}

impl ScalarUDFImpl for Call {
    fn name(&self) -> &str {
        self.definition.doc.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let definition = self.definition;
        let count = args.arg_fields.len();
        if count == 0 || !definition.settings.contains(&(count - 1)) {
            return Err(self.wrong(format!(
                "it is called with {count} arguments, and it takes ({})",
                definition.doc.arguments
            )));
        }
        for (index, field) in args.arg_fields.iter().enumerate() {
            if !is_readable(field.data_type()) {
                return Err(self.wrong(format!(
                    "argument {} is a {}, which is not text",
                    index + 1,
                    field.data_type()
                )));
            }
        }
        let literals = settings(definition, args.scalar_arguments, |literal| {
            literal.as_ref().map(|value| text_of(value))
        });
        match literals {
            Some(settings) if self.prepared.is_none() => {
                let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
                (definition.check)(&settings).map_err(|reason| self.wrong(reason))?;
            }
            None if definition.pattern.is_some()
                && !has_null(definition, args.scalar_arguments) =>
            {
                return Err(self.wrong(
                    "its pattern and the name after it are not written out, and would be compiled anew for each event; write \
                     them as texts",
                ));
            }
            _ => {}
        }
        Ok(Arc::new(Field::new(self.name(), self.data_type(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (rows, mut args) = (args.number_rows, args.args);
        if self.definition.read >= args.len() {
            return Err(self.wrong("an argument is missing"));
        }
        let read = args.remove(self.definition.read);
        let is_same = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        let settings = args.iter().map(Texts::new).collect::<Result<Vec<_>>>()?;
        if args.iter().all(is_same) {
            match &read {
                ColumnarValue::Scalar(_) => {
                    let value = self.values(&Texts::new(&read)?, &settings, 1)?;
                    return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                        &value, 0,
                    )?));
                }
                // Each distinct text is read once.
                ColumnarValue::Array(array)
                    if matches!(array.data_type(), DataType::Dictionary(..)) =>
                {
                    let dictionary = array.as_any_dictionary();
                    let distinct = ColumnarValue::Array(Arc::clone(dictionary.values()));
                    let count = dictionary.values().len();
                    let values = self.values(&Texts::new(&distinct)?, &settings, count)?;
                    return Ok(ColumnarValue::Array(take(
                        &values,
                        dictionary.keys(),
                        None,
                    )?));
                }
                ColumnarValue::Array(_) => {}
            }
        }
        let values = self.values(&Texts::new(&read)?, &settings, rows)?;
        Ok(ColumnarValue::Array(values))
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let literals = match self.prepared {
            Some(_) => None,
            None => settings(self.definition, &args, literal),
        };
        let Some(literals) = literals else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let settings: Vec<&str> = literals.iter().map(String::as_str).collect();
        let prepared = match (self.definition.prepare)(&settings) {
            Ok(prepared) => prepared,
            Err(reason) => return Err(self.wrong(reason)),
        };
        let func = Arc::new(ScalarUDF::new_from_impl(Self {
            definition: self.definition,
            prepared: Some((literals, Arc::from(prepared))),
            signature: self.signature.clone(),
        }));
        let call = ScalarFunction { func, args };
        Ok(ExprSimplifyResult::Simplified(Expr::ScalarFunction(call)))
    }
}

/// Returns the texts of all arguments but the one that is read, if each of them has one.
fn settings<A>(
    definition: &Definition,
    args: &[A],
    text: impl Fn(&A) -> Option<Option<String>>,
) -> Option<Vec<String>> {
    let others = args.iter().enumerate();
    let others = others.filter(|(index, _)| *index != definition.read);
    others.map(|(_, arg)| text(arg).flatten()).collect()
}

/// Returns whether a setting is NULL, or depends on one that is: the result is NULL, whatever the others are.
fn has_null(definition: &Definition, args: &[Option<&ScalarValue>]) -> bool {
    let mut others = args.iter().enumerate();
    others.any(|(index, arg)| index != definition.read && arg.is_some_and(ScalarValue::is_null))
}

/// Returns the text of a literal: `None` for any other expression, and within for NULL.
fn literal(expr: &Expr) -> Option<Option<String>> {
    match expr {
        Expr::Literal(value, _) => Some(text_of(value)),
        _ => None,
    }
}

fn text_of(value: &ScalarValue) -> Option<String> {
    let text = Texts::new(&ColumnarValue::Scalar(value.clone())).ok()?;
    text.get(0).map(str::to_owned)
}

/// Returns whether values of a type can be read as texts.
pub(crate) fn is_readable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_readable(value),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        other => !other.is_nested() && can_cast_types(other, &DataType::Utf8),
    }
}

/// The results of a batch.
enum Results {
    Text(StringBuilder),
    Number(Int64Builder),
    Truth(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Results {
    fn new(definition: &Definition, rows: usize) -> Self {
        match definition.doc.result {
            ResultKind::Text => Self::Text(StringBuilder::with_capacity(rows, 0)),
            ResultKind::Number => Self::Number(Int64Builder::with_capacity(rows)),
            ResultKind::Truth => Self::Truth(BooleanBuilder::with_capacity(rows)),
            ResultKind::Time => {
                Self::Time(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"))
            }
        }
    }

    /// Adds the result of a row. A value of another kind than the function's is NULL.
    fn add(&mut self, value: Option<Value<'_>>) -> Result<()> {
        match (self, value) {
            (Self::Text(texts), Some(Value::Text(text))) => {
                let bytes = texts.values_slice().len().saturating_add(text.len());
                if i32::try_from(bytes).is_err() {
                    return Err(DataFusionError::Execution(
                        "the texts of one batch take more than 2 GiB".to_owned(),
                    ));
                }
                texts.append_value(text);
            }
            (Self::Text(texts), _) => texts.append_null(),
            (Self::Number(numbers), Some(Value::Number(number))) => numbers.append_value(number),
            (Self::Number(numbers), _) => numbers.append_null(),
            (Self::Truth(truths), Some(Value::Truth(truth))) => truths.append_value(truth),
            (Self::Truth(truths), _) => truths.append_null(),
            (Self::Time(times), Some(Value::Time(time))) => times.append_value(time),
            (Self::Time(times), _) => times.append_null(),
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut texts) => Arc::new(texts.finish()),
            Self::Number(mut numbers) => Arc::new(numbers.finish()),
            Self::Truth(mut truths) => Arc::new(truths.finish()),
            Self::Time(mut times) => Arc::new(times.finish()),
        }
    }
}
