//! From text to a SQL expression, in bounded depth and time.
//!
//! The parser tries one reading of a text, and when that fails far behind, another: `a.b.c.d(` is read twice for every
//! dot, and each time anew what follows, so that a line of fifty dots would never end. A word such as `interval` and
//! types within types may follow each other without end, each on the stack, and what is made of `n + n + n + …` is as
//! deep as it is long. A condition may come with somebody's pack and is read before anything of the pack runs, hence
//! all of that has a bound here.

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// Levels of parentheses, calls, types and the like.
const DEPTH: usize = 50;

/// Stack that the parser needs at most for so many levels, however it was compiled, in bytes; and that it gets where less is left.
const STACK_NEEDED: usize = 4 << 20;
const STACK_GIVEN: usize = 8 << 20;

/// Calls `work` with enough stack for the recursion over a condition, however it was compiled.
pub(super) fn with_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_NEEDED, STACK_GIVEN, work)
}

/// `AND`, `+`, `IS NULL` and the like in one condition.
const OPERATORS: usize = 1_000;

/// Operands that may be begun for each token of a text, of which a first reading begins less than one, and for all.
const BEGUN_FOR_EACH_TOKEN: usize = 4;
const BEGUN_FOR_ALL: usize = 10_000;

/// Reads the whole of `text` as one expression.
///
/// # Errors
/// [`SyntaxError`].
pub(super) fn expression(text: &str) -> Result<Expr, SyntaxError> {
    let dialect = BoundedDialect::default();
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| SyntaxError::Parser(error.to_string()))?;
    if types_are_too_deep(&tokens) {
        return Err(Bound::Depth.into());
    }
    dialect
        .left
        .set(BEGUN_FOR_EACH_TOKEN * tokens.len() + BEGUN_FOR_ALL);
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(DEPTH)
        .with_tokens_with_locations(tokens);
    let mut parsed = || {
        let expr = parser.parse_expr()?;
        parser.expect_token(&Token::EOF)?;
        Ok(expr)
    };
    with_stack(&mut parsed).map_err(|error| match (dialect.reached.get(), error) {
        (Some(bound), _) => bound.into(),
        (None, ParserError::RecursionLimitExceeded) => Bound::Depth.into(),
        (None, ParserError::ParserError(what) | ParserError::TokenizerError(what)) => {
            SyntaxError::Parser(what)
        }
    })
}

/// Whether types hold types, `struct<a struct<a …` or `int[][]…`, deeper than a condition could use.
fn types_are_too_deep(tokens: &[TokenWithSpan]) -> bool {
    let mut words = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .peekable();
    let (mut open, mut types) = (0_usize, 0_usize);
    while let Some(token) = words.next() {
        match (token, words.peek()) {
            (Token::LParen, _) => open += 1,
            (Token::RParen, _) => open = open.saturating_sub(1),
            (Token::Word(word), Some(Token::Lt))
                if matches!(word.keyword, Keyword::STRUCT | Keyword::ARRAY) =>
            {
                types += 1;
            }
            (Token::LBracket, Some(Token::RBracket)) => types += 1,
            _ => {}
        }
        if open > 2 * DEPTH || types > DEPTH {
            return true;
        }
    }
    false
}

/// Why a text is not a SQL expression.
#[derive(Debug, thiserror::Error)]
pub enum SyntaxError {
    /// It exceeds a bound.
    #[error(transparent)]
    Bound(#[from] Bound),
    /// The error of the parser.
    #[error("{0}")]
    Parser(String),
}

/// A bound of conditions.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum Bound {
    /// Levels of nesting.
    #[error("it is nested deeper than {DEPTH} levels")]
    Depth,
    /// Operators.
    #[error(
        "it has more than {OPERATORS} operators; compare with a list, `name IN (…)`, or make several rules of it"
    )]
    Operators,
    /// Attempts of the parser.
    #[error(
        "none of its many readings is a condition; look for what is not closed, and put names with dots into double quotes"
    )]
    Readings,
}

/// The generic dialect as far as expressions go, which counts the operands and operators that are begun.
#[derive(Debug, Default)]
struct BoundedDialect {
    /// How many operands may still be begun.
    left: Cell<usize>,
    /// How many are begun and not ended.
    depth: Cell<usize>,
    /// Whether the parser is called from here.
    inside: Cell<bool>,
    /// How many operators were found, and behind which token the last.
    operators: Cell<usize>,
    furthest: Cell<usize>,
    /// The bound that was reached, which is not always the error of the parser.
    reached: Cell<Option<Bound>>,
}

impl BoundedDialect {
    fn refuse<T>(&self, bound: Bound) -> Option<Result<T, ParserError>> {
        self.reached.set(Some(bound));
        // The one error after which the parser tries no other reading.
        Some(Err(ParserError::RecursionLimitExceeded))
    }
}

macro_rules! as_generic {
    ($($supports:ident)*) => {
        $(fn $supports(&self) -> bool {
            GenericDialect.$supports()
        })*
    };
}

impl Dialect for BoundedDialect {
    fn dialect(&self) -> TypeId {
        GenericDialect.dialect()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GenericDialect.is_identifier_part(ch)
    }

    as_generic! {
        allow_extract_custom
        allow_extract_single_quotes
        support_map_literal_syntax
        supports_array_typedef_with_brackets
        supports_bitwise_shift_operators
        supports_comma_separated_trim
        supports_data_type_signed_suffix
        supports_dictionary_syntax
        supports_extract_comma_syntax
        supports_filter_during_aggregation
        supports_interval_options
        supports_match_against
        supports_multiline_comment_hints
        supports_named_fn_args_with_assignment_operator
        supports_nested_comments
        supports_quote_delimited_string
        supports_string_escape_constant
        supports_struct_literal
        supports_try_convert
        supports_unicode_string_literal
        supports_window_function_null_treatment_arg
        supports_xml_expressions
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if self.inside.take() {
            return None;
        }
        let left = self.left.get();
        let depth = self.depth.get();
        if left == 0 {
            return self.refuse(Bound::Readings);
        }
        if depth == DEPTH {
            return self.refuse(Bound::Depth);
        }
        self.left.set(left - 1);
        self.depth.set(depth + 1);
        self.inside.set(true);
        let operand = parser.parse_prefix();
        self.depth.set(depth);
        Some(operand)
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        left: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        // The parser itself takes all that follows for the right side, also what is behind `AND`.
        let is_not =
            parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]);
        if !is_not && !parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            return None;
        }
        let left = Box::new(left.clone());
        let right = parser.parse_subexpr(precedence).map(Box::new);
        Some(right.map(|right| match is_not {
            true => Expr::IsNotDistinctFrom(left, right),
            false => Expr::IsDistinctFrom(left, right),
        }))
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let precedence = GenericDialect.get_next_precedence_default(parser);
        let at = parser.get_current_index();
        if matches!(precedence, Ok(found) if found > self.prec_unknown())
            && at > self.furthest.get()
        {
            self.furthest.set(at);
            self.operators.set(self.operators.get() + 1);
        }
        if self.operators.get() > OPERATORS {
            return self.refuse(Bound::Operators);
        }
        Some(precedence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_is_one_expression() {
        assert_eq!(
            expression("a.b = 'x' AND n IN (1, 2)").unwrap().to_string(),
            "a.b = 'x' AND n IN (1, 2)"
        );
        for (text, want) in [
            ("a = 1 AS b", "found: AS"),
            ("a = 1; b", "found: ;"),
            ("a =", "found: EOF"),
            ("a = 'b", "Unterminated string"),
            ("", "found: EOF"),
        ] {
            let error = expression(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_distinct_ends_before_and() {
        for (text, grouped) in [
            ("x IS DISTINCT FROM 2 AND y", "(x IS DISTINCT FROM 2) AND y"),
            (
                "a = 1 AND x IS NOT DISTINCT FROM b + 1 OR NOT y IS DISTINCT FROM 3 AND z",
                "((a = 1) AND (x IS NOT DISTINCT FROM (b + 1))) OR ((NOT (y IS DISTINCT FROM 3)) AND z)",
            ),
            (
                "CASE WHEN x IS DISTINCT FROM lower(y) THEN 1 END",
                "CASE WHEN (x IS DISTINCT FROM lower(y)) THEN 1 END",
            ),
        ] {
            let without = |expr: Expr| {
                let text = expr.to_string();
                text.replace(['(', ')'], "")
            };
            let (text, grouped) = (expression(text).unwrap(), expression(grouped).unwrap());
            assert_eq!(tree(&text), tree(&grouped));
            assert_eq!(without(text), without(grouped));
        }
    }

    /// The shape of an expression, without the parentheses that it was written with.
    fn tree(expr: &Expr) -> String {
        let pair = |name: &str, left: &Expr, right: &Expr| {
            format!("({} {name} {})", tree(left), tree(right))
        };
        match expr {
            Expr::Nested(inner) => tree(inner),
            Expr::BinaryOp { left, op, right } => pair(&op.to_string(), left, right),
            Expr::IsDistinctFrom(left, right) => pair("IDF", left, right),
            Expr::IsNotDistinctFrom(left, right) => pair("INDF", left, right),
            Expr::UnaryOp { op, expr } => format!("{op} {}", tree(expr)),
            other => other.to_string().replace(['(', ')'], ""),
        }
    }

    #[test]
    fn a_text_with_countless_readings_is_refused() {
        let dots = "a.".repeat(40);
        for text in [
            format!("{dots}("),
            format!("x = 1 AND {dots}('b'"),
            "cast(".repeat(40),
        ] {
            let error = expression(&text).unwrap_err().to_string();
            assert!(error.contains("many readings"), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_may_have_many_parts_and_a_list_many_values() {
        let name = vec!["part"; 40].join(".");
        assert!(expression(&format!("{name} = 1")).is_ok());
        let values = vec!["'value'"; 20_000].join(", ");
        assert!(expression(&format!("name IN ({values})")).is_ok());
        let any = vec!["a.b.c = 1"; 500].join(" OR ");
        assert!(expression(&any).is_ok());
    }

    #[test]
    fn depth_has_a_bound_on_a_small_stack() {
        let nested = |open: &str, close: &str, levels: usize| {
            let text = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            expression(&text)
        };
        assert!(nested("(", ")", 40).is_ok());
        for open in [
            "(",
            "interval ",
            "NOT ",
            "- ",
            "f(",
            "case when ",
            "cast(",
            "struct<a ",
            "array<",
            "nullable(",
            "(select ",
        ] {
            assert!(nested(open, "", 20_000).is_err(), "{open}");
        }
        for text in [
            nested("(", ")", 100_000),
            nested("interval ", "", 100_000),
            nested("struct<a ", ">", 100_000),
            nested("n::int", "[]", 100_000),
            expression(&format!("n::int{} = n", "[]".repeat(100_000))),
        ] {
            assert_eq!(
                text.unwrap_err().to_string(),
                "it is nested deeper than 50 levels"
            );
        }
    }

    #[test]
    fn a_chain_of_operators_has_a_bound() {
        for (first, more) in [
            ("a = 1", " OR a = 1"),
            ("a", " + a"),
            ("a", "::text"),
            ("a", " IS NULL"),
            ("a", " AT TIME ZONE 'utc'"),
            ("a", " || a"),
        ] {
            assert!(
                expression(&format!("{first}{}", more.repeat(400))).is_ok(),
                "{more}"
            );
            let error = expression(&format!("{first}{}", more.repeat(100_000)))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("more than 1000 operators"),
                "{more}: {error}"
            );
        }
    }
}
