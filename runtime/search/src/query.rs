//! The language of a search: terms, combined with AND, OR, NOT and parentheses.
//!
//! ```text
//! query = and { "OR" and }
//! and   = not { [ "AND" ] not }
//! not   = "NOT" not | "(" query ")" | term
//! term  = [ name ":" ] value          name: a kind of observable, `text`, or a field of the tables
//! value = word | '"' text '"'         `*` in a word stands for any text; `\` before a quote or itself in quotes
//! ```
//!
//! A term without a name is a word that may stand anywhere in an event.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use yagura_core::FieldPath;

use crate::kinds::Kind;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Each of them holds.
    All(Vec<Self>),
    /// At least one of them holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// A term.
    Term(Term),
}

/// One condition on an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Where it is looked for.
    pub place: TermPlace,
    /// What is looked for.
    pub value: TermValue,
}

/// Where a term is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TermPlace {
    /// In the columns that hold observables of a kind.
    Kind(Kind),
    /// In a field of the tables.
    Field(FieldPath),
    /// Anywhere in an event.
    Anywhere,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TermValue {
    /// This text. In a kind or a field it is the whole value; anywhere in an event it is a whole word.
    Text(String),
    /// This text as a part: it was in quotes.
    Phrase(String),
    /// Texts with any text between them; the first and the last are the value's start and end.
    Pattern(Vec<String>),
    /// An address in this network.
    Network(IpNet),
}

/// Why a text is not a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of the query: {message}")]
pub struct QueryError {
    /// The character at which it is wrong, from 1.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`QueryError`], with the place.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let tokens = tokens(text)?;
        let end = text.chars().count() + 1;
        let mut parser = Parser {
            tokens: &tokens,
            end,
            depth: 0,
        };
        if tokens.is_empty() {
            return Err(parser
                .wrong("is empty: write what to look for, such as `192.0.2.1` or `user:alice`"));
        }
        let query = parser.any()?;
        match parser.tokens.first() {
            None => Ok(query),
            Some(_) => Err(parser.wrong("this `)` closes nothing: remove it")),
        }
    }

    /// Calls `each` with every term.
    pub fn terms<'a>(&'a self, each: &mut impl FnMut(&'a Term)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.terms(each)),
            Self::Not(part) => part.terms(each),
            Self::Term(term) => each(term),
        }
    }
}

/// How deep parentheses and NOT may be nested.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum TokenKind {
    Open,
    Close,
    And,
    Or,
    Not,
    /// A name with its colon, if there is one, and a value.
    Term {
        name: Option<String>,
        value: String,
        is_quoted: bool,
    },
}

#[derive(Debug)]
struct Token {
    column: usize,
    kind: TokenKind,
}

/// Splits a query into its tokens.
fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    let mut tokens = Vec::new();
    while let Some(&next) = chars.get(at) {
        let column = at + 1;
        if next.is_whitespace() {
            at += 1;
            continue;
        }
        let kind = match next {
            '(' => TokenKind::Open,
            ')' => TokenKind::Close,
            _ => {
                let kind = term(&chars, &mut at)?;
                tokens.push(Token { column, kind });
                continue;
            }
        };
        at += 1;
        tokens.push(Token { column, kind });
    }
    Ok(tokens)
}

/// Reads a word, a text in quotes, or either after a name.
fn term(chars: &[char], at: &mut usize) -> Result<TokenKind, QueryError> {
    if chars.get(*at) == Some(&'"') {
        let value = quoted(chars, at)?;
        return Ok(TokenKind::Term {
            name: None,
            value,
            is_quoted: true,
        });
    }
    let start = *at;
    let ends = |c: char| c.is_whitespace() || c == '(' || c == ')' || c == '"';
    while chars.get(*at).is_some_and(|c| !ends(*c)) {
        *at += 1;
    }
    let word: String = chars[start..*at].iter().collect();
    if chars.get(*at) == Some(&'"') {
        let name = word.strip_suffix(':').filter(|name| !name.is_empty());
        let Some(name) = name else {
            return Err(QueryError {
                column: *at + 1,
                message: "a quote inside a word: put the whole word into quotes, or a `:` before the quote".to_owned(),
            });
        };
        let name = name.to_owned();
        let value = quoted(chars, at)?;
        return Ok(TokenKind::Term {
            name: Some(name),
            value,
            is_quoted: true,
        });
    }
    Ok(match word.as_str() {
        "AND" => TokenKind::And,
        "OR" => TokenKind::Or,
        "NOT" => TokenKind::Not,
        _ => {
            let (name, value) = split_name(&word);
            if value.is_empty() {
                return Err(QueryError {
                    column: *at + 1,
                    message: format!(
                        "nothing follows `{word}`: write the value without a space, such as `user:alice`"
                    ),
                });
            }
            TokenKind::Term {
                name: name.map(str::to_owned),
                value: value.to_owned(),
                is_quoted: false,
            }
        }
    })
}

/// Splits `name:value`. What only looks like it is a value: an address, a URL, a path of Windows, a time of day.
fn split_name(word: &str) -> (Option<&str>, &str) {
    let bare = (None, word);
    let Some((name, value)) = word.split_once(':') else {
        return bare;
    };
    let is_name = name
        .chars()
        .next()
        .is_some_and(|c| c.is_alphabetic() || "_@\"".contains(c));
    let is_url = value.starts_with("//");
    let is_drive = name.chars().count() == 1 && value.starts_with(['\\', '/']);
    let is_address =
        word.parse::<IpAddr>().is_ok() || word.parse::<IpNet>().is_ok() || is_mac(word);
    match !is_name || is_url || is_drive || is_address {
        true => bare,
        false => (Some(name), value),
    }
}

fn is_mac(word: &str) -> bool {
    let parts = word.split(':');
    parts.clone().count() == 6
        && parts
            .clone()
            .all(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Reads a text in quotes; `at` is at the first quote, and then behind the last.
fn quoted(chars: &[char], at: &mut usize) -> Result<String, QueryError> {
    let start = *at;
    *at += 1;
    let mut text = String::new();
    loop {
        let next = chars.get(*at);
        *at += 1;
        match next {
            Some('"') if text.is_empty() => {
                return Err(QueryError {
                    column: start + 1,
                    message: "the quotes hold nothing: write what to look for".to_owned(),
                });
            }
            Some('"') => return Ok(text),
            Some('\\') if matches!(chars.get(*at), Some('"' | '\\')) => {
                text.push(chars[*at]);
                *at += 1;
            }
            Some(c) => text.push(*c),
            None => {
                return Err(QueryError {
                    column: start + 1,
                    message: "this quote is not closed: add a `\"`".to_owned(),
                });
            }
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    /// The column behind the query.
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    fn wrong(&self, message: impl Into<String>) -> QueryError {
        QueryError {
            column: self.tokens.first().map_or(self.end, |token| token.column),
            message: message.into(),
        }
    }

    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.first().map(|token| &token.kind)
    }

    fn take(&mut self, kind: &TokenKind) -> bool {
        let is_it = self.peek() == Some(kind);
        if is_it {
            self.tokens = &self.tokens[1..];
        }
        is_it
    }

    fn any(&mut self) -> Result<Query, QueryError> {
        let mut parts = vec![self.all()?];
        while self.take(&TokenKind::Or) {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Query::Any))
    }

    fn all(&mut self) -> Result<Query, QueryError> {
        let mut parts = vec![self.not()?];
        loop {
            let is_and = self.take(&TokenKind::And);
            match self.peek() {
                None | Some(TokenKind::Or | TokenKind::Close) if !is_and => {
                    return Ok(one_or(parts, Query::All));
                }
                _ => parts.push(self.not()?),
            }
        }
    }

    fn not(&mut self) -> Result<Query, QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(format!(
                "more than {MAX_DEPTH} levels of parentheses and NOT: write it flatter"
            )));
        }
        let query = self.primary();
        self.depth -= 1;
        query
    }

    fn primary(&mut self) -> Result<Query, QueryError> {
        if self.take(&TokenKind::Not) {
            return Ok(Query::Not(Box::new(self.not()?)));
        }
        if self.take(&TokenKind::Open) {
            let query = self.any()?;
            return match self.take(&TokenKind::Close) {
                true => Ok(query),
                false => Err(self.wrong("a `)` is missing here")),
            };
        }
        match self.peek() {
            Some(TokenKind::Term {
                name,
                value,
                is_quoted,
            }) => {
                let term = self.term(name.as_deref(), value, *is_quoted)?;
                self.tokens = &self.tokens[1..];
                Ok(Query::Term(term))
            }
            _ => Err(self.wrong(
                "a term is missing here, such as `user:alice`; words like AND go into quotes",
            )),
        }
    }

    fn term(&self, name: Option<&str>, value: &str, is_quoted: bool) -> Result<Term, QueryError> {
        let place = match name {
            None | Some("text") => TermPlace::Anywhere,
            Some(name) => match Kind::from_name(name) {
                Some(kind) => TermPlace::Kind(kind),
                None => {
                    let path: Result<FieldPath, _> = name.parse();
                    TermPlace::Field(path.map_err(|error| self.wrong(error.to_string()))?)
                }
            },
        };
        let of_address = matches!(place, TermPlace::Kind(Kind::Ip) | TermPlace::Anywhere);
        let network = value
            .contains('/')
            .then(|| value.parse::<IpNet>().ok())
            .flatten();
        let value = match network.filter(|_| of_address && !is_quoted) {
            Some(network) => TermValue::Network(network),
            None if is_quoted && place == TermPlace::Anywhere => {
                TermValue::Phrase(value.to_owned())
            }
            None if !is_quoted && value.contains('*') => {
                TermValue::Pattern(value.split('*').map(str::to_owned).collect())
            }
            None => TermValue::Text(value.to_owned()),
        };
        if matches!(&value, TermValue::Pattern(parts) if place == TermPlace::Anywhere && parts.iter().all(String::is_empty))
        {
            return Err(self.wrong("`*` alone is in every event: leave it out"));
        }
        if place == TermPlace::Kind(Kind::Ip)
            && let TermValue::Text(text) = &value
            && text.parse::<IpAddr>().is_err()
        {
            return Err(self.wrong(format!(
                "`{text}` is not an IP address: write one such as `192.0.2.1`, a network such as `192.0.2.0/24`, or a part with `*`"
            )));
        }
        Ok(Term { place, value })
    }
}

fn one_or(mut parts: Vec<Query>, many: fn(Vec<Query>) -> Query) -> Query {
    match parts.len() {
        1 => parts.remove(0),
        _ => many(parts),
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            TermPlace::Kind(kind) => write!(f, "{}:", kind.name())?,
            TermPlace::Field(path) => write!(f, "{path}:")?,
            TermPlace::Anywhere => {}
        }
        match &self.value {
            TermValue::Text(text) if !text.contains(char::is_whitespace) => f.write_str(text),
            TermValue::Text(text) | TermValue::Phrase(text) => write!(f, "{text:?}"),
            TermValue::Pattern(parts) => f.write_str(&parts.join("*")),
            TermValue::Network(network) => write!(f, "{network}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Query {
        Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn shown(query: &Query) -> String {
        let all = |parts: &[Query], name: &str| {
            let parts: Vec<String> = parts.iter().map(shown).collect();
            format!("({})", parts.join(name))
        };
        match query {
            Query::All(parts) => all(parts, " & "),
            Query::Any(parts) => all(parts, " | "),
            Query::Not(part) => format!("!{}", shown(part)),
            Query::Term(term) => term.to_string(),
        }
    }

    #[test]
    fn not_binds_before_and_and_before_or() {
        assert_eq!(
            shown(&parsed("a b OR NOT c AND (d OR e)")),
            "((a & b) | (!c & (d | e)))"
        );
        assert_eq!(shown(&parsed("NOT NOT a")), "!!a");
        assert_eq!(shown(&parsed("((a))")), "a");
    }

    #[test]
    fn names_are_kinds_or_fields_and_values_that_only_look_like_names_are_values() {
        for (text, place) in [
            ("user:alice", TermPlace::Kind(Kind::User)),
            ("USER:alice", TermPlace::Kind(Kind::User)),
            ("text:alice", TermPlace::Anywhere),
            (
                "src_endpoint.ip:192.0.2.1",
                TermPlace::Field("src_endpoint.ip".parse().unwrap()),
            ),
            ("2001:db8::1", TermPlace::Anywhere),
            ("2001:db8::/32", TermPlace::Anywhere),
            ("aa:bb:cc:00:11:22", TermPlace::Anywhere),
            ("https://example.org/a", TermPlace::Anywhere),
            ("C:\\Windows", TermPlace::Anywhere),
            ("12:30", TermPlace::Anywhere),
        ] {
            let Query::Term(term) = parsed(text) else {
                panic!("{text}");
            };
            assert_eq!(term.place, place, "{text}");
        }
    }

    #[test]
    fn values_are_texts_phrases_patterns_or_networks() {
        for (text, value) in [
            ("alice", TermValue::Text("alice".to_owned())),
            (
                "\"a \\\"b\\\" \\\\ c\"",
                TermValue::Phrase("a \"b\" \\ c".to_owned()),
            ),
            ("user:\"a b\"", TermValue::Text("a b".to_owned())),
            (
                "domain:*.example.org",
                TermValue::Pattern(vec![String::new(), ".example.org".to_owned()]),
            ),
            ("user:\"*\"", TermValue::Text("*".to_owned())),
            (
                "10.0.0.0/8",
                TermValue::Network("10.0.0.0/8".parse().unwrap()),
            ),
            (
                "ip:2001:db8::/32",
                TermValue::Network("2001:db8::/32".parse().unwrap()),
            ),
            ("/etc/passwd", TermValue::Text("/etc/passwd".to_owned())),
        ] {
            let Query::Term(term) = parsed(text) else {
                panic!("{text}");
            };
            assert_eq!(term.value, value, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, column, message) in [
            ("", 1, "is empty"),
            ("  ", 3, "is empty"),
            ("a AND", 6, "a term is missing"),
            ("OR a", 1, "a term is missing"),
            ("(a", 3, "a `)` is missing"),
            ("a)", 2, "closes nothing"),
            ("a \"b", 3, "not closed"),
            ("a \"\"", 3, "hold nothing"),
            ("user: alice", 6, "nothing follows `user:`"),
            ("a\"b\"", 2, "a quote inside a word"),
            ("ip:alice", 1, "is not an IP address"),
            ("x AND *", 7, "alone is in every event"),
        ] {
            let error = Query::parse(text).unwrap_err();
            assert_eq!(error.column, column, "{text}: {error}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
        let deep = "(".repeat(10_000);
        assert!(Query::parse(&deep).unwrap_err().message.contains("levels"));
    }
}
