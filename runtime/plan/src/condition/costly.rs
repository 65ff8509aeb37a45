//! The time that a condition may take: bounds for calls whose time grows faster than the texts that they read.
//!
//! Conditions run in the host, in the step of all rules, and no clock may decide what they match. So each call of this kind has
//! a bound that follows from its arguments alone. These are all functions of DataFusion that need one:
//!
//! | call | its time grows with | bound |
//! |---|---|---|
//! | `regexp_…`, `~`, `SIMILAR TO` | the pattern, which is compiled | it is written out, and all of a rule cost at most [`pattern_cost::RULE`] |
//! | `parse_regex`, `parse_grok` | the pattern, which is compiled once | the same |
//! | `regexp_count`, `regexp_instr`, `regexp_replace` with `g` | the square of the text, for some patterns | [`TimeGrowth::Square`] for these patterns |
//! | `levenshtein` | the product of two texts | [`TimeGrowth::Product`] |
//! | `btrim`, `ltrim`, `rtrim` with letters; `array_has_all`, `array_has_any` | the product of two values | [`TimeGrowth::Shorter`] |
//! | `LIKE` with a pattern out of the event | the product of two texts | the same |
//! | `BETWEEN`, `IN`, `CASE x WHEN`, within each other | copies of what they compare | [`PARTS`] |
//!
//! The rest takes time in proportion to what it reads, or a little more (`array_sort`); [`super::growth`] bounds what it makes, and
//! [`super::sql`] how many calls there are. Functions that call a function for each member of a list are not parsed.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, ScalarUDF, not};
use yagura_core::names::grouped;
use yagura_rules::pattern_cost::{self, PatternCost, of_glob, of_regex};

use super::functions::Function;
use super::literal::literal_text;
use super::pattern::pattern_parts;
use super::regex::{CompiledRegex, RegexCall};
use super::steps::{BoundedFunction, STEPS, TimeGrowth};

/// A pattern that is compiled anew for each batch costs so many times what one does that is compiled once.
const EACH_BATCH: u64 = 10;

/// The maximum of parts of a condition, each copy counted.
const PARTS: u64 = 500_000;

/// Returns why a condition may take too long to compile, or for each event; `None` where it may not.
pub(super) fn costly(expr: &Expr) -> Option<String> {
    let ConditionCost {
        parts,
        patterns,
        problem,
        ..
    } = ConditionCost::of(expr);
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
    ConditionCost::of(expr).patterns
}

/// Returns the steps that each bounded call of a condition may take for one event.
pub(super) fn share(expr: &Expr) -> u64 {
    STEPS / ConditionCost::of(expr).calls.max(1)
}

/// What a condition comes to once it is compiled.
#[derive(Debug, Default)]
struct ConditionCost {
    parts: u64,
    /// Calls that have a bound for their time.
    calls: u64,
    patterns: PatternCost,
    problem: Option<String>,
}

impl ConditionCost {
    fn of(expr: &Expr) -> Self {
        let mut cost_so_far = Self::default();
        let mut left = vec![(expr, 1_u64)];
        while let Some((expr, times)) = left.pop() {
            cost_so_far.add(expr, times);
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
            // Only the closure can fail.
            let _ = expr.apply_children(|part| {
                let copies = match copied {
                    Some((copied, copies)) if std::ptr::eq(part, copied) => copies,
                    _ => 1,
                };
                left.push((part, times.saturating_mul(copies)));
                Ok(TreeNodeRecursion::Continue)
            });
        }
        cost_so_far
    }

    /// Adds an expression, without its parts, that stands so many times in what is compiled.
    fn add(&mut self, expr: &Expr, times: u64) {
        self.parts = self.parts.saturating_add(times);
        if TimeGrowth::of(expr).is_some() || like_of(expr).is_some() {
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
        if let Expr::ScalarFunction(call) = expr
            && self.patterns.total <= pattern_cost::RULE
            && let Some(pattern) = yagura_functions::pattern_of(call)
        {
            let cost = of_regex(&pattern).saturating_mul(times);
            self.patterns.add(cost, || pattern.clone());
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
                Err(error) => self.problem = Some(error.to_string()),
            }
        }
    }
}

/// Compiles the regular expressions of a condition, and bounds the calls whose time grows faster than what they read: an event for
/// which one would take more than `steps` is an error of that event.
///
/// # Errors
/// A regular expression that is none.
pub(super) fn bounded(expr: Expr, steps: u64) -> Result<Expr> {
    let bounded = expr.transform_up(|expr| {
        if let Some(call) = RegexCall::of(&expr)
            && call.is_compiled_once()
            && let Ok(Some(pattern)) = call.written_out()
        {
            let compiled = CompiledRegex::new(&pattern)
                .map_err(|error| DataFusionError::Plan(error.to_string()))?;
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
        Ok(match (TimeGrowth::of(&expr), expr) {
            (Some(measure), Expr::ScalarFunction(ScalarFunction { func, args })) => {
                let func = Arc::new(ScalarUDF::new_from_impl(BoundedFunction {
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

#[cfg(test)]
mod tests;
