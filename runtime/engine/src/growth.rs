//! How long the results of an expression can be, so that a condition cannot make more of an event than memory holds.
//!
//! Conditions run in the host, on thousands of events at a time. `replace` puts a text in place of every other character,
//! `encode` makes two of one, and fifty calls within each other make 2^50 of one. So each call has a bound: so many times as
//! long as the texts that it reads, and so many characters more.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// How many times as long as what it reads a result may be.
const MOST_TIMES: u64 = 100;

/// How many characters longer than that, which also bounds what is made of nothing.
const MOST_MORE: u64 = 1_000_000;

/// The longest text that is made by its length: a number, of any kind, takes less.
const SMALL: u64 = 1_000;

/// What a number or a truth value takes as text.
const NUMBER: u64 = 40;

/// Says why an expression can make more of an event than memory holds; nothing where it cannot.
pub(crate) fn excess(expr: &Expr) -> Option<String> {
    length(expr).err()
}

/// A bound: `times` as long as the texts that are read, each counted as often as it is, and `more` characters.
#[derive(Debug, Clone, Copy, Default)]
struct Length {
    times: u64,
    more: u64,
}

impl Length {
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

    /// So many of them, each with as many characters beside it.
    fn each(self, number: u64) -> Self {
        Self {
            times: self.times.saturating_mul(number),
            more: self.more.saturating_mul(number),
        }
    }
}

fn length(expr: &Expr) -> Result<Length, String> {
    let mut parts = Vec::new();
    let mut problem = None;
    // It is the closure alone that can fail.
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
    let all = || parts.iter().copied().fold(Length::default(), Length::and);
    match expr {
        Expr::Column(_) => Ok(Length { times: 1, more: 0 }),
        Expr::Literal(value, _) => Ok(Length {
            times: 0,
            more: value.try_as_str().flatten().map_or(NUMBER, chars),
        }),
        Expr::ScalarFunction(call) => of_call(call, &parts, all()),
        Expr::BinaryExpr(BinaryExpr { op, .. }) if *op != Operator::StringConcat => {
            Ok(Length::NUMBER)
        }
        Expr::Cast(cast) => of_type(cast.field.data_type(), all()),
        Expr::TryCast(cast) => of_type(cast.field.data_type(), all()),
        Expr::BinaryExpr(_) | Expr::Alias(_) | Expr::Case(_) => Ok(all()),
        // Everything else is true or false, or a number.
        _ => Ok(Length::NUMBER),
    }
}

/// Returns how long the result of a call can be, from its arguments: of each, and of all together.
fn of_call(call: &ScalarFunction, parts: &[Length], all: Length) -> Result<Length, String> {
    let name = call.func.name();
    let argument = |index: usize| parts.get(index).copied().unwrap_or_default();
    // What stands in place of parts of another text must not depend on the event, or be left to whoever writes it.
    let written_out = |index: usize| match call.args.get(index) {
        Some(Expr::Literal(value, _)) => Ok(value.try_as_str().flatten().map_or(0, chars)),
        None => Ok(0),
        Some(_) => Err(format!(
            "calls `{name}` with a text that is not written out, which can make more of an event than memory holds"
        )),
    };
    let result = match name {
        "array_repeat" | "array_resize" | "generate_series" | "range" | "repeat" => {
            return Err(format!(
                "calls `{name}`, which can make more of an event than memory holds"
            ));
        }
        "lpad" | "rpad" => match call.args.get(1) {
            Some(Expr::Literal(ScalarValue::Int64(Some(number)), _))
                if u64::try_from(*number).is_ok_and(|number| number <= SMALL) =>
            {
                Length {
                    times: 0,
                    more: SMALL,
                }
            }
            _ => {
                return Err(format!(
                    "calls `{name}`, which can make more of an event than memory holds; its length may be a number from 0 to {SMALL}"
                ));
            }
        },
        "replace" | "regexp_replace" => argument(0).each(1 + written_out(2)?),
        "array_to_string" => argument(0).each(1 + written_out(1)? + written_out(2)?),
        "array_replace" | "array_replace_n" | "array_replace_all" => {
            argument(0).each(1 + written_out(2)?)
        }
        "concat_ws" => all.and(argument(0).each(parts.len() as u64)),
        "encode" => all.each(2),
        "arrow_cast" | "arrow_try_cast" | "cast_to_type" | "try_cast_to_type" => {
            let is_fixed = |value: &ScalarValue| {
                let text = value.try_as_str().flatten();
                text.is_none_or(|text| text.contains("Fixed"))
            };
            match call.args.get(1) {
                Some(Expr::Literal(value, _)) if !is_fixed(value) => argument(0),
                _ => return Err(fixed()),
            }
        }
        _ => all.and(Length::NUMBER),
    };
    if result.times > MOST_TIMES || result.more > MOST_MORE {
        return Err(format!(
            "calls `{name}`, which can make more of an event than memory holds: {MOST_TIMES} times as much as it reads is the most"
        ));
    }
    Ok(result)
}

fn of_type(to: &DataType, of: Length) -> Result<Length, String> {
    match to {
        DataType::FixedSizeBinary(_) | DataType::FixedSizeList(..) => Err(fixed()),
        DataType::List(item) | DataType::LargeList(item) => of_type(item.data_type(), of),
        DataType::Struct(fields) => fields
            .iter()
            .try_fold(of, |of, field| of_type(field.data_type(), of)),
        _ => Ok(of.and(Length::NUMBER)),
    }
}

fn fixed() -> String {
    "converts to a type of fixed length, which can make more of an event than memory holds"
        .to_owned()
}

fn chars(text: &str) -> u64 {
    text.len() as u64
}
