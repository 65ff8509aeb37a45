//! The time that a condition may take: bounds for calls whose time grows faster than the texts that they read.
//!
//! Conditions run in the host, in the step of all rules, and no clock may decide what they match. So each call of this kind has
//! a bound that follows from its arguments alone. These are all functions of DataFusion that need one:
//!
//! | call | its time grows with | bound |
//! |---|---|---|
//! | `regexp_…`, `~`, `SIMILAR TO` | the pattern, which is compiled | it is written out, and all of a rule cost at most [`pattern_cost::RULE`] |
//! | `regexp_count`, `regexp_instr`, `regexp_replace` with `g` | the square of the text, for some patterns | [`Measure::Square`] for these patterns |
//! | `levenshtein` | the product of two texts | [`Measure::Product`] |
//! | `btrim`, `ltrim`, `rtrim` with letters; `array_has_all`, `array_has_any` | the product of two values | [`Measure::Shorter`] |
//! | `LIKE` with a pattern out of the event | the product of two texts | the same |
//! | `BETWEEN`, `IN`, `CASE x WHEN`, within each other | copies of what they compare | [`PARTS`] |
//!
//! The rest takes time in proportion to what it reads, or a little more (`array_sort`); [`crate::growth`] bounds what it makes, and
//! [`crate::sql`] how many calls there are. Functions that call a function for each member of a list are not parsed.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, not,
};
use regex::Regex;
use yagura_core::names::grouped;
use yagura_rules::pattern_cost::{self, PatternCost, finds_all_in_linear_time, of_glob, of_regex};

use super::functions::Function;
use super::pattern::pattern_parts;
use super::typed::literal_text;

/// A pattern that is compiled anew for each batch costs so many times what one does that is compiled once.
const EACH_BATCH: u64 = 10;

/// The steps that all bounded calls of one condition may take for one event.
pub(super) const STEPS: u64 = 131_072;

/// Steps of a search that take the time of one step of `levenshtein`.
const SEARCH_STEPS: u64 = 128;

/// A value of so few bytes or members is read again for each of the other's without harm.
const SHORT: u64 = 16;

/// The maximum of parts of a condition, each copy counted.
const PARTS: u64 = 500_000;

/// Says why a condition may take too long to compile, or for each event; nothing where it may not.
pub(super) fn costly(expr: &Expr) -> Option<String> {
    let Weight {
        parts,
        patterns,
        problem,
        ..
    } = Weight::of(expr);
    let too_many_parts = || {
        (parts > PARTS).then(|| {
            format!(
                "has {} parts, with the copies that `BETWEEN`, `IN` and `CASE` make of what they compare, and {} is the maximum; \
                 compare less in one rule, or do not nest them",
                grouped(parts),
                grouped(PARTS)
            )
        })
    };
    let too_costly = || {
        let error = patterns.within(pattern_cost::RULE).err();
        error.map(|error| error.to_string())
    };
    problem.or_else(too_costly).or_else(too_many_parts)
}

/// Returns what the patterns of a condition cost to compile.
pub(super) fn patterns(expr: &Expr) -> PatternCost {
    Weight::of(expr).patterns
}

/// Returns the steps that each bounded call of a condition may take for one event.
pub(super) fn share(expr: &Expr) -> u64 {
    STEPS / Weight::of(expr).calls.max(1)
}

/// What a condition comes to once it is compiled.
#[derive(Debug, Default)]
struct Weight {
    parts: u64,
    /// Calls that have a bound for their time.
    calls: u64,
    patterns: PatternCost,
    problem: Option<String>,
}

impl Weight {
    fn of(expr: &Expr) -> Self {
        let mut weight = Self::default();
        let mut left = vec![(expr, 1_u64)];
        while let Some((expr, times)) = left.pop() {
            weight.add(expr, times);
            // What `typed` makes of these has a copy of what is compared for each value at the most.
            let copied = match expr {
                Expr::Between(between) => Some((&*between.expr, 2)),
                Expr::InList(list) => Some((&*list.expr, list.list.len() as u64 + 2)),
                Expr::Case(case) => {
                    let copies = case.when_then_expr.len() as u64;
                    case.expr.as_deref().map(|expr| (expr, copies))
                }
                _ => None,
            };
            // It is the closure alone that can fail.
            let _ = expr.apply_children(|part| {
                let copies = match copied {
                    Some((copied, copies)) if std::ptr::eq(part, copied) => copies,
                    _ => 1,
                };
                left.push((part, times.saturating_mul(copies)));
                Ok(TreeNodeRecursion::Continue)
            });
        }
        weight
    }

    /// Adds an expression, without its parts, that stands so many times in what is compiled.
    fn add(&mut self, expr: &Expr, times: u64) {
        self.parts = self.parts.saturating_add(times);
        if Measure::of(expr).is_some() || like_of(expr).is_some() {
            self.calls = self.calls.saturating_add(times);
        }
        if let Expr::Like(Like {
            pattern,
            escape_char,
            ..
        }) = expr
            && let Some(text) = literal_text(pattern)
            && let Ok(parts) = pattern_parts(text, *escape_char)
        {
            let cost = of_glob(&parts).saturating_mul(times);
            self.patterns.add(cost, || text.to_owned());
        }
        if let Some(call) = RegexCall::of(expr) {
            match call.written_out() {
                Ok(Some(pattern)) => {
                    let copies = match call.is_compiled_once() {
                        true => times,
                        false => times.saturating_mul(EACH_BATCH),
                    };
                    let cost = of_regex(&pattern).saturating_mul(copies);
                    self.patterns.add(cost, || pattern.clone());
                }
                Ok(None) => {}
                Err(what) => self.problem = Some(what),
            }
        }
    }
}

/// An expression that takes a regular expression.
struct RegexCall<'a> {
    /// As the author writes it.
    name: &'a str,
    text: &'a Expr,
    pattern: &'a Expr,
    flags: Option<&'a Expr>,
    /// Whether it takes no care of case by itself.
    is_folded: bool,
    is_negated: bool,
    /// Whether it asks for a match alone, wherever it is.
    is_test: bool,
}

impl<'a> RegexCall<'a> {
    fn of(expr: &'a Expr) -> Option<Self> {
        let test = |name, text, pattern, is_folded, is_negated| Self {
            name,
            text,
            pattern,
            flags: None,
            is_folded,
            is_negated,
            is_test: true,
        };
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::RegexMatch => Some(test("~", left, right, false, false)),
                Operator::RegexIMatch => Some(test("~*", left, right, true, false)),
                Operator::RegexNotMatch => Some(test("!~", left, right, false, true)),
                Operator::RegexNotIMatch => Some(test("!~*", left, right, true, true)),
                _ => None,
            },
            Expr::SimilarTo(like) => Some(test(
                "SIMILAR TO",
                &like.expr,
                &like.pattern,
                like.case_insensitive,
                like.negated,
            )),
            Expr::ScalarFunction(call) => {
                let name = call.func.name();
                let flags = match name {
                    "regexp_like" | "regexp_match" => 2,
                    "regexp_replace" | "regexp_count" => 3,
                    "regexp_instr" => 4,
                    _ => return None,
                };
                Some(Self {
                    name,
                    text: call.args.first()?,
                    pattern: call.args.get(1)?,
                    flags: call.args.get(flags),
                    is_folded: false,
                    is_negated: false,
                    is_test: name == "regexp_like",
                })
            }
            _ => None,
        }
    }

    /// Says whether [`bounded`] compiles the pattern, rather than DataFusion, which does it for each batch.
    fn is_compiled_once(&self) -> bool {
        let is_known = |flags| matches!(literal_text(flags), Some("" | "i"));
        self.is_test && self.flags.is_none_or(is_known)
    }

    /// Returns the pattern with its flags, if both are written out; nothing where one of them is NULL.
    fn written_out(&self) -> Result<Option<String>, String> {
        let text = |what: &str, expr: &'a Expr| match expr {
            Expr::Literal(..) => Ok(literal_text(expr)),
            _ => Err(format!(
                "uses `{}` with {what} not written out, which would be compiled anew for each event: write it as one text, or \
                 compare with `contains`, `starts_with` or `LIKE`",
                self.name
            )),
        };
        let Some(pattern) = text("a pattern that is", self.pattern)? else {
            return Ok(None);
        };
        let flags = match self.flags {
            Some(flags) => match text("flags that are", flags)? {
                Some(flags) => flags,
                None => return Ok(None),
            },
            None if self.is_folded => "i",
            None => "",
        };
        // The other flags do not change what is compiled by much.
        Ok(Some(match flags.contains('i') {
            true => format!("(?i){pattern}"),
            false => pattern.to_owned(),
        }))
    }
}

/// Compiles the regular expressions of a condition, and bounds the calls whose time grows faster than what they read: an event for
/// which one would take more than `steps` is an error of that event.
///
/// # Errors
/// A regular expression that is none.
pub(crate) fn bounded(expr: Expr, steps: u64) -> Result<Expr> {
    let bounded = expr.transform_up(|expr| {
        if let Some(call) = RegexCall::of(&expr)
            && call.is_compiled_once()
            && let Ok(Some(pattern)) = call.written_out()
        {
            let compiled = CompiledRegex::new(&pattern).map_err(DataFusionError::Plan)?;
            let matched = Function::Regex(compiled).of(vec![call.text.clone()]);
            return Ok(Transformed::yes(match call.is_negated {
                true => not(matched),
                false => matched,
            }));
        }
        if let Some(LikeCall {
            text,
            pattern,
            escape,
            folded,
            negated,
        }) = like_of(&expr)
        {
            let like = Function::LikeOf {
                escape,
                folded,
                steps,
            };
            let matched = like.of(vec![text.clone(), pattern.clone()]);
            return Ok(Transformed::yes(match negated {
                true => not(matched),
                false => matched,
            }));
        }
        Ok(match (Measure::of(&expr), expr) {
            (Some(measure), Expr::ScalarFunction(ScalarFunction { func, args })) => {
                let func = Arc::new(ScalarUDF::new_from_impl(Bounded {
                    inner: func,
                    measure,
                    steps,
                }));
                Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
            }
            (_, other) => Transformed::no(other),
        })
    })?;
    Ok(bounded.data)
}

/// A regular expression that is written out in the rule.
#[derive(Debug, Clone)]
pub(super) struct CompiledRegex {
    pattern: String,
    regex: Regex,
}

impl CompiledRegex {
    fn new(pattern: &str) -> Result<Self, String> {
        Ok(Self {
            pattern: pattern.to_owned(),
            regex: pattern_cost::compiled(pattern).map_err(|error| error.to_string())?,
        })
    }

    /// Says whether it matches anywhere in a text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for CompiledRegex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for CompiledRegex {}

impl Hash for CompiledRegex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pattern.hash(state);
    }
}

/// `LIKE` with a pattern that is not written out.
struct LikeCall<'a> {
    text: &'a Expr,
    pattern: &'a Expr,
    escape: Option<char>,
    folded: bool,
    negated: bool,
}

fn like_of(expr: &Expr) -> Option<LikeCall<'_>> {
    let call = match expr {
        Expr::Like(like) => LikeCall {
            text: &like.expr,
            pattern: &like.pattern,
            escape: like.escape_char,
            folded: like.case_insensitive,
            negated: like.negated,
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (folded, negated) = match op {
                Operator::LikeMatch => (false, false),
                Operator::ILikeMatch => (true, false),
                Operator::NotLikeMatch => (false, true),
                Operator::NotILikeMatch => (true, true),
                _ => return None,
            };
            LikeCall {
                text: left,
                pattern: right,
                escape: None,
                folded,
                negated,
            }
        }
        _ => return None,
    };
    (!matches!(call.pattern, Expr::Literal(..))).then_some(call)
}

/// How the time of a call grows with the sizes of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Measure {
    /// With the product of the first two.
    Product,
    /// With the product of the first two, unless one of them is short.
    Shorter,
    /// With the square of the first.
    Square,
}

impl Measure {
    /// Returns how the time of a call grows; nothing where it grows no faster than its arguments.
    fn of(expr: &Expr) -> Option<Self> {
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

    fn steps(self, first: Size, second: Size) -> u64 {
        // Each member of one is compared with all of the other.
        let each = |one: Size, other: Size| one.members.saturating_mul(other.bytes);
        match self {
            Self::Shorter if first.members.min(second.members) <= SHORT => 0,
            Self::Product | Self::Shorter => each(first, second).min(each(second, first)),
            Self::Square => each(first, first) / SEARCH_STEPS,
        }
    }
}

/// Says why `LIKE` of an event's text with an event's pattern would take too many steps; nothing where it would not.
pub(super) fn like_of_event(text: &str, pattern: &str, steps: u64) -> Option<String> {
    let (text, pattern) = (Size::of_text(text.len()), Size::of_text(pattern.len()));
    let is_over = Measure::Shorter.steps(text, pattern) > steps;
    is_over.then(|| over("LIKE", text, pattern, steps))
}

fn over(name: &str, first: Size, second: Size, steps: u64) -> String {
    format!(
        "`{name}` of {} and {} bytes takes more than the {} steps that the rule has for it; shorten them, as by `left`",
        grouped(first.bytes),
        grouped(second.bytes),
        grouped(steps)
    )
}

/// A function with a bound for its time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    measure: Measure,
    /// What it may take for one event.
    steps: u64,
}

impl ScalarUDFImpl for Bounded {
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
            Some(ColumnarValue::Array(array)) => Ok(Sizes::Each(Arc::clone(array))),
            Some(ColumnarValue::Scalar(value)) => {
                Ok::<_, DataFusionError>(Sizes::One(Size::of(&value.to_array()?, 0)))
            }
            None => Ok(Sizes::One(Size::default())),
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
enum Sizes {
    /// The same in every row.
    One(Size),
    /// Those of an array's values.
    Each(ArrayRef),
}

impl Sizes {
    fn of(&self, row: usize) -> Size {
        match self {
            Self::One(size) => *size,
            Self::Each(array) if row < array.len() => Size::of(array, row),
            Self::Each(_) => Size::default(),
        }
    }
}

/// The size of a value.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// Of a list; the bytes of a text.
    members: u64,
    /// With all that it holds.
    bytes: u64,
}

impl Size {
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

#[cfg(test)]
mod tests;
