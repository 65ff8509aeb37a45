//! Which of a correlation's rules must have findings: `a and (b or c) and not d`.

use crate::names::did_you_mean;

/// Which of a correlation's rules must have findings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expression {
    /// The rule at this place has a finding in the window.
    Rule(usize),
    /// All hold.
    And(Vec<Self>),
    /// One holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
}

/// What is wrong with an expression. The message continues a sentence of which the expression is the subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// After a rule comes another word than an operator.
    #[error("has `{0}` where `and` or `or` is expected")]
    NoOperator(String),
    /// It ends too early.
    #[error("ends where a rule is expected")]
    Ends,
    /// It has too many words.
    #[error("is too long")]
    TooLong,
    /// A parenthesis stays open.
    #[error("lacks a `)`")]
    NotClosed,
    /// It names a rule that the correlation does not join.
    #[error("names `{name}`, which is not among `rules`{did_you_mean}")]
    UnknownRule {
        /// The name.
        name: String,
        /// A near one, as the end of a sentence, or empty.
        did_you_mean: String,
    },
}

impl Expression {
    /// Reads `a and (b or c) and not d` over the ids of `rules`.
    ///
    /// # Errors
    /// [`ExpressionError`].
    pub fn parse(text: &str, rules: &[String]) -> Result<Self, ExpressionError> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut parser = Parser {
            words: &words,
            at: 0,
            rules,
        };
        let parsed = parser.or()?;
        match words.get(parser.at) {
            None => Ok(parsed),
            Some(word) => Err(ExpressionError::NoOperator((*word).to_owned())),
        }
    }

    /// Returns that each of so many rules has findings.
    pub fn all(rules: usize) -> Self {
        Self::And((0..rules).map(Self::Rule).collect())
    }

    /// Returns it as text over the ids of `rules`, which [`Self::parse`] reads.
    pub fn text(&self, rules: &[String]) -> String {
        // A part of something larger stands in parentheses, unless it is a rule or a negation.
        let part = |part: &Self| match part {
            Self::Rule(_) | Self::Not(_) => part.text(rules),
            Self::And(_) | Self::Or(_) => format!("({})", part.text(rules)),
        };
        let join = |parts: &[Self], word: &str| {
            let parts: Vec<String> = parts.iter().map(part).collect();
            parts.join(word)
        };
        match self {
            Self::Rule(rule) => rules.get(*rule).cloned().unwrap_or_default(),
            Self::And(parts) => join(parts, " and "),
            Self::Or(parts) => join(parts, " or "),
            Self::Not(inner) => format!("not {}", part(inner)),
        }
    }

    /// Says whether it holds, given which rules have findings.
    pub fn holds(&self, has: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Self::Rule(rule) => has(*rule),
            Self::And(parts) => parts.iter().all(|part| part.holds(has)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(has)),
            Self::Not(inner) => !inner.holds(has),
        }
    }

    /// Says whether it asks that something is not there, which only the end of a window decides.
    pub fn has_not(&self) -> bool {
        match self {
            Self::Rule(_) => false,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::has_not),
            Self::Not(_) => true,
        }
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    rules: &'a [String],
}

impl Parser<'_> {
    fn is_next(&mut self, word: &str) -> bool {
        let is = self
            .words
            .get(self.at)
            .is_some_and(|next| next.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn or(&mut self) -> Result<Expression, ExpressionError> {
        let mut parts = vec![self.and()?];
        while self.is_next("or") {
            parts.push(self.and()?);
        }
        Ok(one_or(parts, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, ExpressionError> {
        let mut parts = vec![self.not()?];
        while self.is_next("and") {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, ExpressionError> {
        // A chain of `not` is a loop, so that no text can exhaust the stack with it.
        let mut negated = false;
        while self.is_next("not") {
            negated = !negated;
        }
        let inner = if self.is_next("(") {
            if self.at > 256 {
                return Err(ExpressionError::TooLong);
            }
            let inner = self.or()?;
            if !self.is_next(")") {
                return Err(ExpressionError::NotClosed);
            }
            inner
        } else {
            let word = self.words.get(self.at).ok_or(ExpressionError::Ends)?;
            let rule = self.rules.iter().position(|rule| rule == word);
            let rule = rule.ok_or_else(|| ExpressionError::UnknownRule {
                name: (*word).to_owned(),
                did_you_mean: did_you_mean(word, self.rules.iter().map(String::as_str)),
            })?;
            self.at += 1;
            Expression::Rule(rule)
        };
        Ok(if negated {
            Expression::Not(Box::new(inner))
        } else {
            inner
        })
    }
}

fn one_or(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        join(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_and_wrong_ones_are_told() {
        let rules = ["a-1".to_owned(), "b".to_owned(), "c".to_owned()];
        let parse = |text: &str| Expression::parse(text, &rules);
        let read = parse("a-1 and (b or not c)").unwrap();
        assert!(read.holds(&|rule| rule == 0));
        assert!(!read.holds(&|rule| rule != 1));
        assert!(read.has_not() && !parse("a-1 or b").unwrap().has_not());
        for text in [
            "a-1 and (b or not c)",
            "not (a-1 or b)",
            "(a-1 and b) or c",
            "b",
        ] {
            let read = parse(text).unwrap();
            assert_eq!(read.text(&rules), text);
        }
        for (text, message) in [
            ("a-1 and", "ends where a rule is expected"),
            ("a-1 b", "has `b` where `and` or `or` is expected"),
            ("(a-1", "lacks a `)`"),
            ("a-1 and d", "names `d`, which is not among `rules`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert_eq!(error.split("; ").next(), Some(message));
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&format!("{}b", "not ".repeat(100_000))).is_ok());
    }
}
