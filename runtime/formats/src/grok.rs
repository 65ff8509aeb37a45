//! Line shapes by grok patterns, as Logstash reads them.
//!
//! ```text
//! pattern = *(text / "%{" NAME [":" field [":" type]] "}")
//! field   = name *("." name) / 1*("[" name "]")        type = "int" / "long" / "float" / "double" / "number" / "boolean" / "string"
//! ```
//!
//! Text is a regular expression of the `regex` crate, so it has neither look-around nor back-references. A named group
//! `(?<field>…)` is a field too. The pattern may match anywhere in the line; `^` and `$` bind it to the ends. A field that takes
//! part in several places of a match is an array. Fields that match nothing are left out. A value that is not of its type stays text.
//!
//! The names of [`patterns::STANDARD`] are known; those given beside the pattern come before them.
//!
//! Source: <https://www.elastic.co/docs/reference/logstash/plugins/plugins-filters-grok>. The patterns are written anew.

mod patterns;

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::member::add;
use crate::parts::{bare, number, wrong};
use crate::{Decode, Decoded, Wrong};

/// How deep patterns may use one another.
const DEEPEST: usize = 16;
/// The longest expression that patterns may become, in bytes.
const LONGEST: usize = 64 * 1024;
/// How many fields a pattern may have.
const MOST_FIELDS: usize = 256;
/// Memory of the compiled expression, in bytes.
const COMPILED: usize = 4 << 20;

/// Why a grok pattern cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GrokError {
    /// A pattern uses a name that is not known.
    #[error("no pattern has the name `{name}`{place}{near}")]
    Unknown {
        /// The name.
        name: String,
        /// Where it stands, as a part of the message.
        place: String,
        /// Names that begin alike, as the end of the message.
        near: String,
    },
    /// A pattern uses itself, or too many lie in one another.
    #[error("the pattern `{name}` lies in more than {DEEPEST} others, or in itself")]
    Nested {
        /// The name.
        name: String,
    },
    /// A `%{` is not of the form `%{NAME:field:type}`.
    #[error("`{text}`{place} is not `%{{NAME}}`, `%{{NAME:field}}` or `%{{NAME:field:type}}`")]
    Syntax {
        /// What was found.
        text: String,
        /// Where it stands, as a part of the message.
        place: String,
    },
    /// The type of a field is not known.
    #[error(
        "the type `{kind}` of `{field}`{place} is not known; types are int, long, float, double, number, boolean and string"
    )]
    Type {
        /// The field.
        field: String,
        /// The type.
        kind: String,
        /// Where it stands, as a part of the message.
        place: String,
    },
    /// The expression is too long, or has too many fields.
    #[error(
        "the pattern becomes longer than {LONGEST} bytes or has more than {MOST_FIELDS} fields"
    )]
    TooLong,
    /// The pattern has no field, so that its events would be empty.
    #[error("the pattern has no field; name one, such as `%{{GREEDYDATA:message}}`")]
    NoField,
    /// What the patterns become is not a regular expression.
    #[error("the pattern is not a regular expression{place}")]
    Expression {
        /// Where it is not, as the end of the message; empty where all of it is too large.
        place: String,
        /// What is wrong there.
        #[source]
        error: Box<regex::Error>,
    },
}

/// The names and expressions of the standard patterns.
pub const GROK_PATTERNS: [(&str, &str); patterns::STANDARD.len()] = patterns::STANDARD;

/// A pattern with its names written out, not yet compiled.
#[derive(Debug, Clone)]
pub struct GrokPattern {
    expression: String,
    fields: Vec<(String, Kind)>,
    pieces: Vec<Piece>,
}

/// A part of a pattern as it is written: text, or a use of another pattern.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Where it begins in the expression, and in the pattern.
    expanded: usize,
    written: usize,
    /// Whether it stands in the expression as it is written.
    is_text: bool,
}

impl GrokPattern {
    /// Writes a pattern out. `extra` are further patterns by name.
    ///
    /// # Errors
    /// [`GrokError`]: the pattern, or one that it uses, is not a pattern, or too long.
    pub fn new<'p>(
        pattern: &str,
        extra: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, GrokError> {
        let mut known: HashMap<&str, &str> = GROK_PATTERNS.into_iter().collect();
        known.extend(extra);
        let mut expansion = Expansion {
            known,
            written: pattern,
            pieces: Vec::new(),
            text: String::new(),
            fields: Vec::new(),
        };
        expansion.add(pattern, 0, "")?;
        Ok(Self {
            expression: expansion.text,
            fields: expansion.fields,
            pieces: expansion.pieces,
        })
    }

    /// Returns the regular expression, whose named groups are the fields.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Returns the field that a named group of the expression stands for.
    pub fn field(&self, group: &str) -> String {
        self.field_and_kind(group).0
    }

    /// Returns where an error of the expression stands in the pattern, as the end of a message.
    fn place_of_error(&self, pattern: &str) -> String {
        let error = match regex_syntax::Parser::new().parse(&self.expression) {
            Err(regex_syntax::Error::Parse(error)) => error.span().start.offset,
            Err(regex_syntax::Error::Translate(error)) => error.span().start.offset,
            // It is one, but too large.
            _ => return String::new(),
        };
        let pieces = self.pieces.iter().rev();
        let mut pieces = pieces.skip_while(|piece| piece.expanded > error);
        pieces.next().map_or_else(String::new, |piece| {
            let into = if piece.is_text {
                error - piece.expanded
            } else {
                0
            };
            place(pattern, piece.written + into)
        })
    }

    fn field_and_kind(&self, group: &str) -> (String, Kind) {
        let own = group
            .strip_prefix(OWN)
            .and_then(|nth| nth.parse::<usize>().ok());
        match own.and_then(|nth| self.fields.get(nth)) {
            Some((name, kind)) => (name.clone(), *kind),
            None => (field_name(group), Kind::Text),
        }
    }
}

/// Reads lines of one shape.
#[derive(Debug, Clone)]
pub struct Grok {
    expression: Regex,
    /// The group, name and type of each field.
    fields: Vec<(usize, String, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bool,
}

impl Grok {
    /// Compiles a pattern. `extra` are further patterns by name.
    ///
    /// # Errors
    /// [`GrokError`]: the pattern, or one that it uses, is not a pattern, or too long.
    pub fn new<'p>(
        pattern: &str,
        extra: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, GrokError> {
        let written = pattern;
        let pattern = GrokPattern::new(written, extra)?;
        let expression = RegexBuilder::new(&pattern.expression)
            .size_limit(COMPILED)
            .dfa_size_limit(COMPILED)
            .build()
            .map_err(|error| GrokError::Expression {
                place: pattern.place_of_error(written),
                error: Box::new(error),
            })?;
        let groups = expression.capture_names().enumerate();
        let fields: Vec<(usize, String, Kind)> = groups
            .filter_map(|(group, name)| {
                let (name, kind) = pattern.field_and_kind(name?);
                Some((group, name, kind))
            })
            .collect();
        if fields.is_empty() {
            return Err(GrokError::NoField);
        }
        Ok(Self { expression, fields })
    }
}

impl Grok {
    /// Returns the names of its fields.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(_, name, _)| name.as_str())
    }
}

impl Decode for Grok {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        let line = bare(line);
        if line.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        let found = self
            .expression
            .captures(line)
            .ok_or_else(|| wrong("the line does not match the pattern", 0))?;
        let mut event = Map::new();
        for (group, name, kind) in &self.fields {
            if let Some(text) = found.get(*group).filter(|text| !text.is_empty()) {
                add(&mut event, name, value(text.as_str(), *kind));
            }
        }
        Ok(Decoded::Event(event))
    }
}

fn value(text: &str, kind: Kind) -> Value {
    let typed = match (kind, text) {
        (Kind::Text, _) => None,
        (Kind::Number, _) => number(text.strip_prefix('+').unwrap_or(text)),
        (Kind::Bool, "true" | "True" | "TRUE") => Some(Value::Bool(true)),
        (Kind::Bool, "false" | "False" | "FALSE") => Some(Value::Bool(false)),
        (Kind::Bool, _) => None,
    };
    typed.unwrap_or_else(|| Value::from(text))
}

/// What the names of the groups begin with that stand for fields.
const OWN: &str = "yagura_field_";

/// Says at which character of a pattern a byte of it stands, and what stands there.
fn place(pattern: &str, at: usize) -> String {
    let (before, rest) = pattern.split_at(pattern.floor_char_boundary(at));
    let character = before.chars().count() + 1;
    let shown: String = rest.chars().take(SHOWN).collect();
    match shown.is_empty() {
        true => format!(" at character {character}, its end"),
        false => format!(" at character {character}, `{shown}`"),
    }
}

/// How many characters of a pattern a message shows.
const SHOWN: usize = 20;

struct Expansion<'p> {
    known: HashMap<&'p str, &'p str>,
    /// The pattern as it is written, and its parts so far.
    written: &'p str,
    pieces: Vec<Piece>,
    text: String,
    fields: Vec<(String, Kind)>,
}

impl Expansion<'_> {
    fn add(&mut self, pattern: &str, depth: usize, name: &str) -> Result<(), GrokError> {
        if depth > DEEPEST {
            return Err(GrokError::Nested {
                name: name.to_owned(),
            });
        }
        let mut rest = pattern;
        loop {
            let at = pattern.len() - rest.len();
            self.begin(at, depth, true);
            let Some((before, after)) = rest.split_once("%{") else {
                return self.push(rest);
            };
            self.push(before)?;
            self.begin(at + before.len(), depth, false);
            let (inside, behind) = after.split_once('}').ok_or_else(|| GrokError::Syntax {
                text: format!("%{{{after}"),
                place: self.place(),
            })?;
            self.use_of(inside, depth)?;
            rest = behind;
        }
    }

    /// Notes that a part of the pattern as it is written begins here.
    fn begin(&mut self, written: usize, depth: usize, is_text: bool) {
        if depth == 0 {
            self.pieces.push(Piece {
                expanded: self.text.len(),
                written,
                is_text,
            });
        }
    }

    /// Returns where the part stands that is being added, as a part of a message.
    fn place(&self) -> String {
        let last = self.pieces.last();
        let at = last.map_or(0, |piece| piece.written);
        let before = self.written.get(..at).unwrap_or_default();
        format!(" at character {}", before.chars().count() + 1)
    }

    /// Adds what stands in `%{…}`.
    fn use_of(&mut self, inside: &str, depth: usize) -> Result<(), GrokError> {
        let mut parts = inside.split(':');
        let name = parts.next().unwrap_or_default();
        let field = parts.next();
        let kind = parts.next();
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_field = |c: char| is_name(c) || "[]@ ".contains(c);
        let is_right = !name.is_empty()
            && name.chars().all(is_name)
            && field.is_none_or(|field| !field.is_empty() && field.chars().all(is_field))
            && parts.next().is_none();
        if !is_right {
            return Err(GrokError::Syntax {
                text: format!("%{{{inside}}}"),
                place: self.place(),
            });
        }
        let pattern = *self.known.get(name).ok_or_else(|| GrokError::Unknown {
            name: name.to_owned(),
            place: self.place(),
            near: self.near(name),
        })?;
        match field {
            None => self.push("(?:")?,
            Some(field) => {
                let kind = kind_of(kind).ok_or_else(|| GrokError::Type {
                    field: field.to_owned(),
                    kind: kind.unwrap_or_default().to_owned(),
                    place: self.place(),
                })?;
                let group = format!("(?P<{OWN}{}>", self.fields.len());
                self.fields.push((field_name(field), kind));
                self.push(&group)?;
            }
        }
        self.add(pattern, depth + 1, name)?;
        self.push(")")
    }

    /// Returns the names that begin alike, as the end of a message.
    fn near(&self, name: &str) -> String {
        let start = name.get(..2).unwrap_or(name).to_ascii_uppercase();
        let known = self.known.keys().filter(|known| known.starts_with(&start));
        let mut known: Vec<&str> = known.copied().collect();
        known.sort_unstable();
        match known.is_empty() || start.is_empty() {
            true => String::new(),
            false => format!("; names that begin so: {}", known.join(", ")),
        }
    }

    fn push(&mut self, text: &str) -> Result<(), GrokError> {
        self.text.push_str(text);
        if self.text.len() > LONGEST || self.fields.len() > MOST_FIELDS {
            return Err(GrokError::TooLong);
        }
        Ok(())
    }
}

fn kind_of(kind: Option<&str>) -> Option<Kind> {
    match kind {
        None | Some("string") => Some(Kind::Text),
        Some("int" | "long" | "float" | "double" | "number") => Some(Kind::Number),
        Some("boolean") => Some(Kind::Bool),
        Some(_) => None,
    }
}

/// Returns a name with dots for one in brackets: `[source][ip]` is `source.ip`.
pub fn field_name(written: &str) -> String {
    match written
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    {
        Some(inside) => inside.replace("][", "."),
        None => written.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::check;

    fn shown(pattern: &str, line: &str) -> String {
        let mut grok = Grok::new(pattern, [("LEVEL", "INFO|WARN"), ("WORD", "[a-z]+")]).unwrap();
        check::shown(&mut grok, &[line]).join("")
    }

    #[test]
    fn fields_have_their_types() {
        for (pattern, line, expected) in [
            (
                r"^%{LEVEL:level} %{IP:[source][ip]}:%{INT:port:int} took %{NUMBER:took:float}s ok=%{WORD:ok:boolean} (?<rest>.*)$",
                "WARN 192.0.2.7:443 took 0.25s ok=true é x",
                r#"{"level":"WARN","source.ip":"192.0.2.7","port":443,"took":0.25,"ok":true,"rest":"é x"}"#,
            ),
            ("%{WORD:w} %{WORD:w}", "a b", r#"{"w":["a","b"]}"#),
            ("(?:%{INT:n:int}|%{WORD:w})", "a", r#"{"w":"a"}"#),
            ("%{DATA:n:int} end", "007 end", r#"{"n":"007"}"#),
            ("%{INT:n}", "x", "0 the line does not match the pattern"),
            ("%{INT:n}", " ", ""),
            // Its own patterns come before the standard ones.
            (
                "^%{WORD:w}$",
                "ABC",
                "0 the line does not match the pattern",
            ),
        ] {
            assert_eq!(shown(pattern, line), expected, "{pattern}");
        }
    }

    #[test]
    fn every_standard_pattern_compiles_and_matches_its_example() {
        for (name, _) in patterns::STANDARD {
            Grok::new(&format!("^%{{{name}:x}}$"), [])
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        for (name, right, wrong) in [
            ("USER", "kim.lee-1", "a b"),
            ("EMAILADDRESS", "kim@mail.example", "kim@"),
            ("INT", "-17", "1.5"),
            ("NUMBER", "+1.5e3", "x"),
            ("BASE16NUM", "0xFf", "0xg"),
            ("WORD", "abc_1", "a-b"),
            ("QUOTEDSTRING", r#""a \" b""#, r#""a"#),
            ("UUID", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
            ("MAC", "00:1A:2b:3c:4d:5e", "00:1A"),
            ("MAC", "001a.2b3c.4d5e", "g0:1A:2b:3c:4d:5e"),
            ("IPV4", "192.0.2.255", "192.0.2.256"),
            ("IPV6", "2001:db8::7", "2001:db8"),
            ("IPV6", "::ffff:192.0.2.7", "::ffff:192.0.2"),
            ("IP", "::1", "1"),
            ("HOSTNAME", "web-1.example", "-a"),
            ("HOSTPORT", "web:443", "web"),
            ("UNIXPATH", "/var/log/a.log", "var"),
            ("WINPATH", r"C:\Windows\System32", "C"),
            ("URI", "https://kim:x@a.example:443/b?c=d#e", "a.example"),
            ("MONTHDAY", "31", "32"),
            ("TIME", "23:59:59.999", "24:00:00"),
            (
                "TIMESTAMP_ISO8601",
                "2026-03-01T10:11:12.345+01:00",
                "2026-13-01T10:11:12",
            ),
            ("SYSLOGTIMESTAMP", "Mar  1 10:11:12", "Mar 1"),
            ("HTTPDATE", "01/Mar/2026:10:11:12 +0100", "01/03/2026"),
            ("LOGLEVEL", "WARNING", "LOUD"),
            ("SYSLOGPROG", "sshd[7]", "a b"),
            ("DATE", "03/01/2026", "2026"),
        ] {
            let grok = Grok::new(&format!("^%{{{name}:x}}$"), []).unwrap();
            assert!(grok.expression.is_match(right), "{name} {right}");
            assert!(!grok.expression.is_match(wrong), "{name} {wrong}");
        }
    }

    #[test]
    fn the_usual_lines_are_read() {
        let mut grok = Grok::new("%{COMBINEDAPACHELOG}", []).unwrap();
        let line = r#"192.0.2.7 - kim [01/Mar/2026:10:11:12 +0100] "GET /a?b=c HTTP/1.1" 200 1513 "https://b.example/" "Agent/1""#;
        let event = Value::Object(check::event(&mut grok, line));
        assert_eq!(
            event.to_string(),
            r#"{"clientip":"192.0.2.7","ident":"-","auth":"kim","timestamp":"01/Mar/2026:10:11:12 +0100","verb":"GET","request":"/a?b=c","httpversion":"1.1","response":"200","bytes":"1513","referrer":"\"https://b.example/\"","agent":"\"Agent/1\""}"#
        );
        let mut grok = Grok::new("%{SYSLOGBASE} %{GREEDYDATA:message}", []).unwrap();
        let event = Value::Object(check::event(
            &mut grok,
            "Mar  1 10:11:12 web sshd[7]: Failed",
        ));
        assert_eq!(
            event.to_string(),
            r#"{"timestamp":"Mar  1 10:11:12","logsource":"web","program":"sshd","pid":"7","message":"Failed"}"#
        );
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let long = "%{DATA:a}".repeat(MOST_FIELDS + 1);
        for (pattern, reason) in [
            (
                "%{NOSUCH:a}",
                "no pattern has the name `NOSUCH` at character 1; names that begin so: NONNEGINT, NOTSPACE",
            ),
            (
                "é %{INT:a:date}",
                "the type `date` of `a` at character 3 is not known",
            ),
            ("é %{INT:a} %{INT:a", "`%{INT:a` at character 12 is not"),
            ("%{INT:}", "`%{INT:}` at character 1 is not"),
            ("%{}", "`%{}` at character 1 is not"),
            ("%{INT:a:int:b}", "`%{INT:a:int:b}` at character 1 is not"),
            ("%{INT}", "the pattern has no field"),
            (
                "é%{INT:a}(",
                "the pattern is not a regular expression at character 10, `(`",
            ),
            (
                "%{INT:a} x(?=b) %{INT:b}",
                "the pattern is not a regular expression at character 11, `(?=b) %{INT:b}`",
            ),
            (
                "%{INT:a} [z-a]",
                "the pattern is not a regular expression at character 11, `z-a]`",
            ),
            (
                "a %{BROKEN:b}",
                "the pattern is not a regular expression at character 3, `%{BROKEN:b}`",
            ),
            (
                "%{LOOP:a}",
                "the pattern `LOOP` lies in more than 16 others, or in itself",
            ),
            ("%{BOMB:a}", "the pattern becomes longer than 65536 bytes"),
            (&long, "the pattern becomes longer"),
            (
                r"%{INT:a}\w{500}{500}",
                "the pattern is not a regular expression",
            ),
        ] {
            let bomb = "%{IPV6}".repeat(200);
            let error = Grok::new(
                pattern,
                [
                    ("LOOP", "%{LOOP}"),
                    ("BOMB", bomb.as_str()),
                    ("BROKEN", "a{2,1}"),
                ],
            );
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with(reason), "{pattern}: {error}");
        }
    }

    #[test]
    fn long_lines_take_time_that_grows_with_them_only() {
        let mut grok = Grok::new("^(?:%{WORD}+%{SPACE})*%{INT:n}$", []).unwrap();
        check::reads_long_lines(&mut grok, "a", " ab");
        check::withstands(&mut grok, |_| false, "a b 7");
    }
}
