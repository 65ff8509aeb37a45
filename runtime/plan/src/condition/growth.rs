//! How long the results of an expression can be, so that a condition cannot make more of an event than memory holds.
//!
//! Conditions run in the host, on thousands of events at a time. `replace` puts a text in place of every other character,
//! `encode` makes two of one, and fifty calls within each other make 2^50 of one. So each part has a bound: so many times as
//! long as the texts that it reads, and so many characters more.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// How many times as long as what it reads a result may be.
const MAX_TIMES: u64 = 100;

/// How many characters longer than that, which also bounds what is made of nothing.
const MAX_MORE: u64 = 100_000;

/// The longest text that is made by its length: a number, of any kind, takes less.
const SMALL: u64 = 1_000;

/// What a number takes as text at the most, which one of `DOUBLE` does.
const NUMBER: u64 = 400;

/// The most characters that a format makes of each of its own: `%c` is a whole date.
const FORMAT: u64 = 30;

/// How many times as long a list is as text: each of its members with a comma and a blank.
const LIST_AS_TEXT: u64 = 3;

/// Why an expression can make more of an event than memory holds.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrowthError {
    /// It repeats what it reads too often.
    #[error(
        "{what} can make more of an event than memory holds: {MAX_TIMES} times as much as it reads is the maximum"
    )]
    Times {
        /// The expression, for a message.
        what: String,
    },
    /// It adds too much that does not come from the event.
    #[error(
        "{what} can make more of an event than memory holds: {MAX_MORE} characters that do not come from it are the maximum"
    )]
    More {
        /// The expression, for a message.
        what: String,
    },
    /// A text that decides how long the result is comes from the event.
    #[error(
        "calls `{0}` with a text that is not written out, which can make more of an event than memory holds"
    )]
    NotWrittenOut(String),
    /// A function without a bound.
    #[error("calls `{0}`, which can make more of an event than memory holds")]
    Unbounded(String),
    /// A length that is not written out, or too large.
    #[error(
        "calls `{0}`, which can make more of an event than memory holds; its length may be a number from 0 to {SMALL}"
    )]
    Padding(String),
    /// A conversion to a type of fixed length.
    #[error(
        "converts to a type of fixed length, which can make more of an event than memory holds"
    )]
    FixedLength,
}

/// Returns why an expression can make more of an event than memory holds; `None` where it cannot.
pub(super) fn excess(expr: &Expr) -> Option<GrowthError> {
    length(expr).err()
}

/// A bound: `times` as long as the texts that are read, each counted as often as it is, and `more` characters. A text counts one
/// more than it has, for its end, where something may stand, too.
#[derive(Debug, Clone, Copy, Default)]
struct TextLength {
    times: u64,
    more: u64,
}

impl TextLength {
    const NUMBER: Self = Self {
        times: 0,
        more: NUMBER,
    };

    fn and(self, other: Self) -> Self {
        Self {
            times: self.times.saturating_add(other.times),
            more: self.more.saturating_add(other.more),
        }
    }

    fn and_more(self, more: u64) -> Self {
        self.and(Self { times: 0, more })
    }

    fn each(self, number: u64) -> Self {
        Self {
            times: self.times.saturating_mul(number),
            more: self.more.saturating_mul(number),
        }
    }
}

fn length(expr: &Expr) -> Result<TextLength, GrowthError> {
    let mut parts = Vec::new();
    let mut problem = None;
    // Only the closure can fail.
    let _ = expr.apply_children(|part| {
        match length(part) {
            Ok(length) => parts.push(length),
            Err(what) => {
                problem = Some(what);
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok::<_, DataFusionError>(TreeNodeRecursion::Continue)
    });
    if let Some(problem) = problem {
        return Err(problem);
    }
    let all = parts
        .iter()
        .copied()
        .fold(TextLength::default(), TextLength::and);
    let result = match expr {
        Expr::Column(_) => TextLength { times: 1, more: 1 },
        Expr::Literal(value, _) => TextLength {
            times: 0,
            more: of_literal(value),
        },
        Expr::ScalarFunction(call) => of_call(call, &parts, all)?,
        Expr::Cast(cast) => of_type(cast.field.data_type(), all)?,
        Expr::TryCast(cast) => of_type(cast.field.data_type(), all)?,
        Expr::BinaryExpr(BinaryExpr { op, .. }) if *op == Operator::StringConcat => all,
        Expr::Alias(_) | Expr::Case(_) => all,
        // Everything else is true or false, or a number.
        _ => TextLength::NUMBER,
    };
    let what = || match expr {
        Expr::ScalarFunction(call) => format!("calls `{}`, which", call.func.name()),
        _ => "joins texts, which".to_owned(),
    };
    if result.times > MAX_TIMES {
        return Err(GrowthError::Times { what: what() });
    }
    if result.more > MAX_MORE {
        return Err(GrowthError::More { what: what() });
    }
    Ok(result)
}

/// Returns how long the result of a call can be, from its arguments: of each, and of all together.
fn of_call(
    call: &ScalarFunction,
    parts: &[TextLength],
    all: TextLength,
) -> Result<TextLength, GrowthError> {
    let name = call.func.name();
    let argument = |index: usize| parts.get(index).copied().unwrap_or_default();
    let text = |index: usize| match call.args.get(index) {
        Some(Expr::Literal(value, _)) => value.try_as_str().map(Option::unwrap_or_default),
        None => Some(""),
        Some(_) => None,
    };
    // What stands in place of parts of another text must not depend on the event, or be left to whoever writes it.
    let written_out =
        |index: usize| text(index).ok_or_else(|| GrowthError::NotWrittenOut(name.to_owned()));
    Ok(match name {
        "array_repeat" | "array_resize" | "generate_series" | "range" | "repeat" => {
            return Err(GrowthError::Unbounded(name.to_owned()));
        }
        "lpad" | "rpad" => match call.args.get(1) {
            Some(Expr::Literal(ScalarValue::Int64(Some(number)), _))
                if u64::try_from(*number).is_ok_and(|number| number <= SMALL) =>
            {
                // A character takes up to four bytes.
                TextLength::default().and_more(4 * SMALL)
            }
            _ => {
                return Err(GrowthError::Padding(name.to_owned()));
            }
        },
        "replace" => {
            let to = chars(written_out(2)?);
            let from = text(1).map_or(1, chars).max(1);
            argument(0).each(to.div_ceil(from).max(1))
        }
        "regexp_replace" => {
            let to = written_out(2)?;
            let references = to.matches(['\\', '$']).count() as u64;
            match text(3) {
                Some(flags) if !flags.contains('g') => {
                    argument(0).each(1 + references).and_more(chars(to))
                }
                _ => argument(0).each(1 + chars(to)),
            }
        }
        // Groups within each other are all returned.
        "regexp_match" => {
            let groups = written_out(1)?.matches('(').count() as u64;
            argument(0).each(groups.max(1))
        }
        "array_to_string" => argument(0).each(1 + chars(written_out(1)?) + chars(written_out(2)?)),
        "array_replace" | "array_replace_n" | "array_replace_all" => match call.args.get(2) {
            Some(Expr::Literal(value, _)) => argument(0).each(1 + of_literal(value)),
            _ => argument(0).each(1 + chars(written_out(2)?)),
        },
        "concat_ws" => all.and(argument(0).each(parts.len() as u64)),
        "arrays_zip" => all.each(parts.len() as u64),
        "encode" => all.each(2),
        // `\u001f` for a control character; quotes, a colon and a comma around each.
        "json_object" => all.each(6).and_more(4 * parts.len() as u64),
        "to_char" => all.each(FORMAT),
        "arrow_cast" | "arrow_try_cast" | "cast_to_type" | "try_cast_to_type" => {
            match text(1).filter(|to| !to.contains("Fixed")) {
                Some(_) => argument(0).each(LIST_AS_TEXT).and_more(NUMBER),
                None => return Err(GrowthError::FixedLength),
            }
        }
        _ => match yagura_functions::growth(&call.func) {
            Some(times) => all.each(times).and_more(NUMBER),
            None => all.and_more(NUMBER),
        },
    })
}

fn of_type(to: &DataType, of: TextLength) -> Result<TextLength, GrowthError> {
    match to {
        DataType::FixedSizeBinary(_) | DataType::FixedSizeList(..) => Err(GrowthError::FixedLength),
        DataType::List(item) | DataType::LargeList(item) => of_type(item.data_type(), of),
        DataType::Struct(fields) => fields
            .iter()
            .try_fold(of, |of, field| of_type(field.data_type(), of)),
        to if to.is_string() || to.is_binary() => Ok(of.each(LIST_AS_TEXT).and_more(NUMBER)),
        _ => Ok(TextLength::NUMBER),
    }
}

fn of_literal(value: &ScalarValue) -> u64 {
    match value {
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes)) => 1 + bytes.len() as u64,
        ScalarValue::Float64(_) | ScalarValue::Float32(_) => NUMBER,
        value => match value.try_as_str() {
            Some(text) => 1 + text.map_or(0, chars),
            // Whole numbers and decimal ones have up to 76 digits.
            None => 80,
        },
    }
}

fn chars(text: &str) -> u64 {
    text.len() as u64
}
