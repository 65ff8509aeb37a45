//! A query over the columns of one table, as the predicate that rules have too.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;
use ipnet::IpNet;
use yagura_core::FieldPath;
use yagura_core::columns::RAW_COLUMN;
use yagura_rules::case_folding::fold;
use yagura_rules::predicate::{FieldReading, GlobPart, Number, NumberOp, Predicate, Test, TextOp};
use yagura_rules::resolve;
use yagura_rules::sigma::searched_columns;

use crate::index::is_hash;
use crate::kinds::Kind;
use crate::query::{Query, Term, TermPlace, TermValue};

/// A query over one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoweredQuery {
    /// What it asks of an event.
    pub(crate) predicate: Predicate,
    /// Kinds that no column of the table is known to hold: such values are looked for in all of an event.
    pub(crate) without_column: Vec<Kind>,
    /// Fields that are no column of the table. They are looked for in `unmapped`, if it has that.
    pub(crate) without_field: Vec<FieldPath>,
}

/// Returns what a query asks of the events of a table; `configured` are the columns of observables that the configuration names, by kind.
pub(crate) fn lower(
    query: &Query,
    schema: &Schema,
    configured: &BTreeMap<String, Vec<FieldPath>>,
) -> LoweredQuery {
    let mut searched = searched_columns(schema);
    if resolve::is_ingested(schema) && schema.index_of(RAW_COLUMN).is_ok() {
        // Of a line that a source takes apart, not every part need have a column.
        searched.extend(FieldPath::new(vec![RAW_COLUMN.to_owned()]));
    }
    let mut lowering = Lowering {
        schema,
        configured,
        searched,
        without_column: Vec::new(),
        without_field: Vec::new(),
    };
    let predicate = lowering.query(query);
    LoweredQuery {
        predicate,
        without_column: lowering.without_column,
        without_field: lowering.without_field,
    }
}

struct Lowering<'a> {
    schema: &'a Schema,
    configured: &'a BTreeMap<String, Vec<FieldPath>>,
    /// The columns in which a term without a name is looked for.
    searched: Vec<FieldPath>,
    without_column: Vec<Kind>,
    without_field: Vec<FieldPath>,
}

impl Lowering<'_> {
    fn query(&mut self, query: &Query) -> Predicate {
        match query {
            Query::All(parts) => {
                Predicate::all(parts.iter().map(|part| self.query(part)).collect())
            }
            Query::Any(parts) => {
                Predicate::any(parts.iter().map(|part| self.query(part)).collect())
            }
            Query::Not(part) => Predicate::not(self.query(part)),
            Query::Term(term) => self.term(term),
        }
    }

    fn term(&mut self, term: &Term) -> Predicate {
        match &term.place {
            TermPlace::Kind(kind) => {
                let fields = kind.fields(self.schema, self.configured);
                if fields.is_empty() {
                    if !self.without_column.contains(kind) {
                        self.without_column.push(*kind);
                    }
                    return self.anywhere(&term.value);
                }
                match &term.value {
                    // Sysmon has all hashes of a file in one text.
                    TermValue::Text(hash) | TermValue::Phrase(hash)
                        if *kind == Kind::Hash && is_hash(&fold(hash)) =>
                    {
                        word_in(&fields, FieldReading::Members, hash)
                    }
                    value => any_of(&fields, FieldReading::Members, &of_kind(*kind, value)),
                }
            }
            TermPlace::Field(path) => {
                // A kind of the operator's own.
                if let Some(fields) = self.configured.get(&path.to_string()) {
                    return any_of(fields, FieldReading::Members, &[whole(&term.value)]);
                }
                if resolve::find(self.schema, path).is_none() {
                    self.without_field.push(path.clone());
                }
                if resolve::places(self.schema, path).is_empty() {
                    return Predicate::Always(false);
                }
                any_of(
                    std::slice::from_ref(path),
                    FieldReading::Members,
                    &[whole(&term.value)],
                )
            }
            TermPlace::Anywhere => self.anywhere(&term.value),
        }
    }

    fn anywhere(&self, value: &TermValue) -> Predicate {
        let fields = &self.searched;
        match value {
            TermValue::Phrase(text) => any_of(
                fields,
                FieldReading::Anywhere,
                &[text_test(TextOp::Contains, text)],
            ),
            TermValue::Pattern(parts) => {
                let inner = parts.join("*");
                let test = glob(&format!("*{inner}*"));
                any_of(fields, FieldReading::Anywhere, &[test])
            }
            TermValue::Network(network) => {
                any_of(fields, FieldReading::Anywhere, &[Test::Cidr(*network)])
            }
            TermValue::Text(word) => {
                let mut parts = vec![word_in(fields, FieldReading::Anywhere, word)];
                // An address of version 6 is written in many ways.
                if let Ok(std::net::IpAddr::V6(address)) = word.parse() {
                    let network = Test::Cidr(IpNet::from(std::net::IpAddr::V6(address)));
                    parts.push(any_of(fields, FieldReading::Anywhere, &[network]));
                }
                Predicate::any(parts)
            }
        }
    }
}

fn any_of(fields: &[FieldPath], reading: FieldReading, tests: &[Test]) -> Predicate {
    let each = fields.iter().flat_map(|field| {
        tests
            .iter()
            .map(move |test| Predicate::atom(field.clone(), reading, test.clone()))
    });
    Predicate::any(each.collect())
}

/// Returns the test that one of some fields holds a word.
fn word_in(fields: &[FieldPath], reading: FieldReading, word: &str) -> Predicate {
    // The first test is quick, and few events are left for the second.
    let tests = [
        text_test(TextOp::Contains, word),
        Test::Regex(word_pattern(word)),
    ];
    let of_field = |field: &FieldPath| {
        let atoms = tests
            .iter()
            .map(|test| Predicate::atom(field.clone(), reading, test.clone()));
        Predicate::all(atoms.collect())
    };
    Predicate::any(fields.iter().map(of_field).collect())
}

/// Returns the tests that find an observable: one of them is enough.
fn of_kind(kind: Kind, value: &TermValue) -> Vec<Test> {
    let (TermValue::Text(text) | TermValue::Phrase(text)) = value else {
        return vec![whole(value)];
    };
    let equals = text_test(TextOp::Equals, text);
    let ends = |before: char| text_test(TextOp::EndsWith, &format!("{before}{text}"));
    match kind {
        Kind::Ip => match text.parse() {
            Ok(address @ std::net::IpAddr::V6(_)) => vec![Test::Cidr(IpNet::from(address))],
            // Statistics and Bloom filters find equal texts.
            _ => vec![Test::Text {
                op: TextOp::Equals,
                value: text.clone(),
                cased: true,
            }],
        },
        // A name may end with a dot.
        Kind::Domain => {
            let name = text.trim_end_matches('.');
            vec![
                text_test(TextOp::Equals, name),
                text_test(TextOp::Equals, &format!("{name}.")),
            ]
        }
        Kind::Host if !text.contains('.') => {
            vec![equals, text_test(TextOp::StartsWith, &format!("{text}."))]
        }
        // `DOMAIN\alice`.
        Kind::User if !text.contains('\\') => vec![equals, ends('\\')],
        Kind::Process | Kind::File if !text.contains(['\\', '/']) => {
            vec![equals, ends('\\'), ends('/')]
        }
        // A part of a hash.
        Kind::Hash => vec![text_test(TextOp::Contains, text)],
        Kind::Mac => {
            let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
            let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
            let written =
                [":", "-", ""].map(|between| text_test(TextOp::Equals, &pairs.join(between)));
            std::iter::once(equals).chain(written).collect()
        }
        Kind::Port => match text.parse::<i64>() {
            Ok(port) => vec![Test::Number(NumberOp::Equal, Number::from(port))],
            Err(_) => vec![equals],
        },
        _ => vec![equals],
    }
}

/// Returns the test that a whole value is this.
fn whole(value: &TermValue) -> Test {
    match value {
        TermValue::Text(text) | TermValue::Phrase(text) => text_test(TextOp::Equals, text),
        TermValue::Pattern(parts) => glob(&parts.join("*")),
        TermValue::Network(network) => Test::Cidr(*network),
    }
}

fn text_test(op: TextOp, text: &str) -> Test {
    Test::Text {
        op,
        value: fold(text).into_owned(),
        cased: false,
    }
}

/// Returns the test against a pattern in which `*` stands for any text.
fn glob(pattern: &str) -> Test {
    let mut parts = Vec::new();
    for (at, literal) in pattern.split('*').enumerate() {
        if at > 0 && parts.last() != Some(&GlobPart::Any) {
            parts.push(GlobPart::Any);
        }
        if !literal.is_empty() {
            parts.push(GlobPart::Literal(fold(literal).into_owned()));
        }
    }
    Test::Glob {
        parts,
        cased: false,
    }
}

/// Returns a pattern for a text that no letter or digit precedes or follows, where the text itself begins or ends with one.
fn word_pattern(word: &str) -> String {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let edge = |is_needed: bool| if is_needed { r"\b" } else { "" };
    format!(
        "(?i){}{}{}",
        edge(is_part(word.chars().next())),
        regex_syntax::escape(word),
        edge(is_part(word.chars().next_back()))
    )
}
