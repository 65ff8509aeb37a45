//! Bounds for calls whose time grows faster than what they read: how many steps a call takes, and the error of one that would
//! take too many.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use yagura_core::names::grouped;
use yagura_rules::pattern_cost::finds_all_in_linear_time;

use super::literal::literal_text;
use super::regex::RegexCall;

/// The steps that all bounded calls of one condition may take for one event.
pub(super) const STEPS: u64 = 131_072;

/// Steps of a search that take the time of one step of `levenshtein`.
const SEARCH_STEPS: u64 = 128;

/// A value of so few bytes or members is read again for each of the other's without harm.
const SHORT: u64 = 16;

/// How the time of a call grows with the sizes of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TimeGrowth {
    /// With the product of the first two.
    Product,
    /// With the product of the first two, unless one of them is short.
    Shorter,
    /// With the square of the first.
    Square,
}

impl TimeGrowth {
    /// Returns how the time of a call grows; `None` where it grows no faster than its arguments.
    pub(super) fn of(expr: &Expr) -> Option<Self> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
            return None;
        };
        let name = func.name();
        match name {
            "levenshtein" => Some(Self::Product),
            "btrim" | "ltrim" | "rtrim" if args.len() > 1 => Some(Self::Shorter),
            "array_has_all" | "array_has_any" => Some(Self::Shorter),
            "regexp_count" | "regexp_instr" | "regexp_replace" => {
                let flags = RegexCall::of(expr)?.flags.and_then(literal_text);
                let is_first =
                    name == "regexp_replace" && !flags.is_some_and(|flags| flags.contains('g'));
                let pattern = literal_text(args.get(1)?)?;
                (!is_first && !finds_all_in_linear_time(pattern)).then_some(Self::Square)
            }
            _ => None,
        }
    }

    fn steps(self, first: ValueSize, second: ValueSize) -> u64 {
        // Each member of one is compared with all of the other.
        let each = |one: ValueSize, other: ValueSize| one.members.saturating_mul(other.bytes);
        match self {
            Self::Shorter if first.members.min(second.members) <= SHORT => 0,
            Self::Product | Self::Shorter => each(first, second).min(each(second, first)),
            Self::Square => each(first, first) / SEARCH_STEPS,
        }
    }
}

/// Returns why `LIKE` of an event's text with an event's pattern would take too many steps; `None` where it would not.
pub(super) fn like_of_event(text: &str, pattern: &str, steps: u64) -> Option<String> {
    let (text, pattern) = (
        ValueSize::of_text(text.len()),
        ValueSize::of_text(pattern.len()),
    );
    let is_over = TimeGrowth::Shorter.steps(text, pattern) > steps;
    is_over.then(|| over("LIKE", text, pattern, steps))
}

fn over(name: &str, first: ValueSize, second: ValueSize, steps: u64) -> String {
    format!(
        "`{name}` of {} and {} bytes takes more than the {} steps that the rule has for it; shorten them, as by `left`",
        grouped(first.bytes),
        grouped(second.bytes),
        grouped(steps)
    )
}

/// A function with a bound for its time.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct BoundedFunction {
    pub(super) inner: Arc<ScalarUDF>,
    pub(super) measure: TimeGrowth,
    /// What it may take for one event.
    pub(super) steps: u64,
}

impl ScalarUDFImpl for BoundedFunction {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sizes = |index: usize| match args.args.get(index) {
            Some(ColumnarValue::Array(array)) => Ok(ArgumentSizes::Each(Arc::clone(array))),
            Some(ColumnarValue::Scalar(value)) => {
                Ok::<_, DataFusionError>(ArgumentSizes::One(ValueSize::of(&value.to_array()?, 0)))
            }
            None => Ok(ArgumentSizes::One(ValueSize::default())),
        };
        let (first, second) = (sizes(0)?, sizes(1)?);
        for row in 0..args.number_rows {
            let (first, second) = (first.of(row), second.of(row));
            if self.measure.steps(first, second) > self.steps {
                let problem = over(self.name(), first, second, self.steps);
                return Err(DataFusionError::Execution(problem));
            }
        }
        self.inner.invoke_with_args(args)
    }
}

/// The sizes of an argument.
enum ArgumentSizes {
    /// The same in every row.
    One(ValueSize),
    /// Those of an array's values.
    Each(ArrayRef),
}

impl ArgumentSizes {
    fn of(&self, row: usize) -> ValueSize {
        match self {
            Self::One(size) => *size,
            Self::Each(array) if row < array.len() => ValueSize::of(array, row),
            Self::Each(_) => ValueSize::default(),
        }
    }
}

/// The size of a value.
#[derive(Debug, Clone, Copy, Default)]
struct ValueSize {
    /// Of a list; the bytes of a text.
    members: u64,
    /// With all that it holds.
    bytes: u64,
}

impl ValueSize {
    fn of_text(bytes: usize) -> Self {
        let bytes = bytes as u64;
        Self {
            members: bytes,
            bytes,
        }
    }

    fn of_list(members: &ArrayRef) -> Self {
        let count = members.len() as u64;
        let within = match members.data_type() {
            other if other.is_primitive() || *other == DataType::Boolean => 0,
            _ => (0..members.len())
                .map(|at| Self::of(members, at).bytes)
                .sum(),
        };
        Self {
            members: count,
            bytes: count + within,
        }
    }

    fn of(array: &ArrayRef, row: usize) -> Self {
        if array.is_null(row) {
            return Self::default();
        }
        match array.data_type() {
            DataType::Utf8 => Self::of_text(array.as_string::<i32>().value(row).len()),
            DataType::LargeUtf8 => Self::of_text(array.as_string::<i64>().value(row).len()),
            DataType::Utf8View => Self::of_text(array.as_string_view().value(row).len()),
            DataType::Binary => Self::of_text(array.as_binary::<i32>().value(row).len()),
            DataType::LargeBinary => Self::of_text(array.as_binary::<i64>().value(row).len()),
            DataType::BinaryView => Self::of_text(array.as_binary_view().value(row).len()),
            DataType::Dictionary(..) => {
                let one = array.slice(row, 1);
                let dictionary = one.as_any_dictionary();
                let key = dictionary.normalized_keys().first().copied();
                key.map_or_else(Self::default, |key| Self::of(dictionary.values(), key))
            }
            DataType::List(_) => Self::of_list(&array.as_list::<i32>().value(row)),
            DataType::LargeList(_) => Self::of_list(&array.as_list::<i64>().value(row)),
            DataType::FixedSizeList(..) => Self::of_list(&array.as_fixed_size_list().value(row)),
            DataType::Struct(_) => {
                let fields = array.as_struct().columns().iter();
                let bytes = fields.map(|field| 1 + Self::of(field, row).bytes).sum();
                Self { members: 1, bytes }
            }
            _ => Self::of_text(1),
        }
    }
}
