//! Regular expressions of a condition: where they stand, and those that are compiled once.

use std::hash::{Hash, Hasher};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use regex::Regex;
use yagura_rules::pattern_cost;
use yagura_rules::prefilter::TestError;

use super::literal::literal_text;

/// A regular expression that is not written out in the rule.
#[derive(Debug, thiserror::Error)]
#[error(
    "uses `{name}` with {what} not written out, which would be compiled anew for each event: write it as one text, or \
     compare with `contains`, `starts_with` or `LIKE`"
)]
pub(super) struct NotWrittenOut {
    /// The operator or function.
    name: String,
    what: &'static str,
}

/// An expression that takes a regular expression.
pub(super) struct RegexCall<'a> {
    /// As the author writes it.
    name: &'a str,
    pub(super) text: &'a Expr,
    pub(super) pattern: &'a Expr,
    pub(super) flags: Option<&'a Expr>,
    /// Whether it takes no care of case by itself.
    is_folded: bool,
    pub(super) is_negated: bool,
    /// Whether it asks for a match alone, wherever it is.
    is_test: bool,
}

impl<'a> RegexCall<'a> {
    pub(super) fn of(expr: &'a Expr) -> Option<Self> {
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

    /// Returns whether [`super::costly::bounded`] compiles the pattern, rather than DataFusion, which does it for each batch.
    pub(super) fn is_compiled_once(&self) -> bool {
        let is_known = |flags| matches!(literal_text(flags), Some("" | "i"));
        self.is_test && self.flags.is_none_or(is_known)
    }

    /// Returns the pattern with its flags, if both are written out; `None` where one of them is NULL.
    pub(super) fn written_out(&self) -> Result<Option<String>, NotWrittenOut> {
        let text = |what, expr: &'a Expr| match expr {
            Expr::Literal(..) => Ok(literal_text(expr)),
            _ => Err(NotWrittenOut {
                name: self.name.to_owned(),
                what,
            }),
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

/// A regular expression that is written out in the rule.
#[derive(Debug, Clone)]
pub(super) struct CompiledRegex {
    pattern: String,
    regex: Regex,
}

impl CompiledRegex {
    pub(super) fn new(pattern: &str) -> Result<Self, TestError> {
        Ok(Self {
            pattern: pattern.to_owned(),
            regex: pattern_cost::compiled(pattern)?,
        })
    }

    /// Returns whether it matches anywhere in a text.
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

/// Returns why a regular expression is wrong. It would fail as an internal error otherwise.
pub(super) fn wrong_regex(expr: &Expr) -> Option<String> {
    let mut found = None;
    // Only the closure can fail.
    let _ = expr.apply(|expr| {
        let pattern = match expr {
            Expr::BinaryExpr(BinaryExpr {
                op:
                    Operator::RegexMatch
                    | Operator::RegexIMatch
                    | Operator::RegexNotMatch
                    | Operator::RegexNotIMatch,
                right,
                ..
            }) => Some(right.as_ref()),
            Expr::SimilarTo(like) => Some(like.pattern.as_ref()),
            Expr::ScalarFunction(call) if call.func.name().starts_with("regexp_") => {
                call.args.get(1)
            }
            _ => None,
        };
        if let Some(text) = pattern.and_then(literal_text)
            && !pattern_cost::is_regex(text)
        {
            found = Some(format!("'{text}' is not a regular expression"));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}
