//! What comparisons between values of different types come to, as functions that never fail on a value.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use yagura_rules::column::render_text;
use yagura_rules::predicate::Number;

use super::literal::truth_of;
use super::pattern::{LikePattern, matches_once};
use super::regex::CompiledRegex;
use super::steps::like_of_event;

/// A function over values of any type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Function {
    /// A value as text, as the prefilter sees it.
    Text,
    /// Text as a number, for arithmetic.
    Number,
    /// Text as a truth value.
    Truth,
    /// Two values as numbers, compared exactly.
    Compare(Operator),
    /// A value as a number that is one of these, which are sorted.
    Among(Vec<Number>),
    /// A value as text, against a regular expression that is written out.
    Regex(CompiledRegex),
    /// A value as text, against a pattern that is written out.
    Like(LikePattern),
    /// A value as text, against a pattern out of the event.
    LikeOf {
        /// What takes `%` and `_` their meaning.
        escape: Option<char>,
        /// Whether upper and lower case are one.
        folded: bool,
        /// What it may take for one event.
        steps: u64,
    },
}

impl Function {
    /// Returns the call of the function.
    pub(super) fn of(self, args: Vec<Expr>) -> Expr {
        ScalarUDF::new_from_impl(FunctionCall {
            signature: Signature::new(TypeSignature::Any(args.len()), Volatility::Immutable),
            function: self,
        })
        .call(args)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FunctionCall {
    function: Function,
    signature: Signature,
}

impl ScalarUDFImpl for FunctionCall {
    fn name(&self) -> &str {
        match self.function {
            Function::Text => "as_text",
            Function::Number => "as_number",
            Function::Truth => "as_truth",
            Function::Compare(_) => "compare_numbers",
            Function::Among(_) => "among_numbers",
            Function::Regex(_) => "matches",
            Function::Like(_) | Function::LikeOf { .. } => "like",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.function {
            Function::Text => DataType::Utf8,
            Function::Number => DataType::Float64,
            _ => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let first = texts(&args.args[0], args.number_rows)?;
        let of_text = |truth: &dyn Fn(&str) -> Option<bool>| -> ArrayRef {
            let all = first.iter().map(|text| truth(text?));
            Arc::new(all.collect::<BooleanArray>())
        };
        let array: ArrayRef = match &self.function {
            Function::Text => Arc::new(first),
            Function::Number => {
                let number = |text| Number::parse(text).map(|number| number.as_f64());
                let all = first.iter().map(|text| text.and_then(number));
                Arc::new(all.collect::<Float64Array>())
            }
            Function::Truth => of_text(&truth_of),
            Function::Compare(op) => {
                let left = Operand::of(&args.args[0], first);
                let right = texts(&args.args[1], args.number_rows)?;
                let right = Operand::of(&args.args[1], right);
                let all = (0..args.number_rows).map(|row| compared(*op, &left, &right, row));
                Arc::new(all.collect::<BooleanArray>())
            }
            Function::Among(numbers) => of_text(&|text| {
                numbers.first()?.compare_text(text)?;
                let order = |number: &Number| {
                    let order = number.compare_text(text).unwrap_or(Ordering::Less);
                    order.reverse()
                };
                Some(numbers.binary_search_by(order).is_ok())
            }),
            Function::Regex(regex) => of_text(&|text| Some(regex.is_match(text))),
            Function::Like(pattern) => of_text(&|text| Some(pattern.matches(text))),
            Function::LikeOf {
                escape,
                folded,
                steps,
            } => {
                let patterns = texts(&args.args[1], args.number_rows)?;
                let pairs = first.iter().zip(&patterns);
                let matched = pairs.map(|(text, pattern)| {
                    let (Some(text), Some(pattern)) = (text, pattern) else {
                        return Ok(None);
                    };
                    let matched = match like_of_event(text, pattern, *steps) {
                        Some(over) => Err(over),
                        None => matches_once(text, pattern, *escape, *folded)
                            .map_err(|error| error.to_string()),
                    };
                    matched.map(Some).map_err(DataFusionError::Execution)
                });
                Arc::new(matched.collect::<Result<BooleanArray>>()?)
            }
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// Renders values as the prefilter does, so that a test gives the same answer with and without an atom form.
fn texts(value: &ColumnarValue, rows: usize) -> Result<StringArray> {
    let array = match value {
        ColumnarValue::Array(array) => Arc::clone(array),
        ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(rows)?,
    };
    let array = match array.data_type() {
        DataType::Dictionary(_, value) => cast(&array, value)?,
        _ => array,
    };
    if array.data_type().is_floating() {
        let floats = cast(&array, &DataType::Float64)?;
        let floats = floats.as_primitive::<Float64Type>().iter();
        return Ok(floats.map(|float| Some(float?.to_string())).collect());
    }
    Ok(render_text(&array)?.as_string::<i32>().clone())
}

/// One side of a comparison of numbers.
enum Operand {
    /// The same number for every row.
    One(Option<Number>),
    /// Texts to be read.
    Each(StringArray),
}

impl Operand {
    fn of(value: &ColumnarValue, texts: StringArray) -> Self {
        match value {
            ColumnarValue::Scalar(_) => {
                let text = texts.iter().next().flatten();
                Self::One(text.and_then(Number::parse))
            }
            ColumnarValue::Array(_) => Self::Each(texts),
        }
    }
}

fn compared(op: Operator, left: &Operand, right: &Operand, row: usize) -> Option<bool> {
    let text = |texts: &StringArray| texts.is_valid(row).then(|| texts.value(row).to_owned());
    let zero = Number::from(0);
    let is_number = |text: &str| zero.compare_text(text).is_some();
    let (left_is, right_is, order) = match (left, right) {
        (Operand::One(left), Operand::One(right)) => {
            let order = left.as_ref().zip(right.as_ref());
            (
                left.is_some(),
                right.is_some(),
                order.map(|(a, b)| a.cmp(b)),
            )
        }
        (Operand::Each(texts), Operand::One(number)) => {
            let text = text(texts);
            let order = number.as_ref().zip(text.as_deref());
            let order = order.and_then(|(number, text)| number.compare_text(text));
            (
                text.is_some_and(|text| is_number(&text)),
                number.is_some(),
                order,
            )
        }
        (Operand::One(number), Operand::Each(texts)) => {
            let text = text(texts);
            let order = number.as_ref().zip(text.as_deref());
            let order = order.and_then(|(number, text)| number.compare_text(text));
            let order = order.map(Ordering::reverse);
            (
                number.is_some(),
                text.is_some_and(|text| is_number(&text)),
                order,
            )
        }
        (Operand::Each(left), Operand::Each(right)) => {
            let left = text(left).filter(|text| is_number(text));
            let right = text(right).and_then(|text| Number::parse(&text));
            let order = left.as_deref().zip(right.as_ref());
            let order = order.and_then(|(left, right)| right.compare_text(left));
            (left.is_some(), right.is_some(), order)
        }
    };
    let is_distinct = match (left_is, right_is) {
        (true, true) => order != Some(Ordering::Equal),
        (left_is, right_is) => left_is || right_is,
    };
    match op {
        Operator::IsDistinctFrom => Some(is_distinct),
        Operator::IsNotDistinctFrom => Some(!is_distinct),
        Operator::Eq => order.map(Ordering::is_eq),
        Operator::NotEq => order.map(Ordering::is_ne),
        Operator::Lt => order.map(Ordering::is_lt),
        Operator::LtEq => order.map(Ordering::is_le),
        Operator::Gt => order.map(Ordering::is_gt),
        Operator::GtEq => order.map(Ordering::is_ge),
        _ => None,
    }
}
