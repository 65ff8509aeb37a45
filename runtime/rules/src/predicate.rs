//! What a rule asks of one event: a boolean tree over tests of single fields, whatever language it was written in.
//!
//! The tree itself has two truth values. Each language brings its own treatment of absent values into it: Sigma's test
//! of an absent field is false and its negation true; SQL's is unknown, and a negated test therefore becomes "has a
//! value and not …" before it gets here.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use ipnet::IpNet;
use yagura_core::FieldPath;

pub use crate::number::Number;

/// A condition over one event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Predicate {
    /// The same for every event.
    Always(bool),
    /// A test of one field.
    Atom(Arc<Atom>),
    /// A part that has no atom form, evaluated by an expression of the host.
    Other(OtherExpr),
    /// The opposite.
    Not(Box<Self>),
    /// Every one of them; true if there are none.
    All(Vec<Self>),
    /// At least one of them; false if there are none.
    Any(Vec<Self>),
    /// At least so many of them.
    AtLeast(u64, Vec<Self>),
}

/// A test of one field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Atom {
    /// The field, under all names that events have for it: a test asks the values of all of them, and one is enough.
    pub names: FieldNames,
    /// How values are taken from it.
    pub reading: FieldReading,
    /// What is asked of them.
    pub test: Test,
}

/// The names under which events have a field, the most certain one first; never empty.
///
/// All tests of a field share them: a table of Windows events has up to 60 names for a field, and thousands of rules test it.
#[derive(Debug, Clone)]
pub struct FieldNames(Arc<[FieldPath]>);

impl FieldNames {
    /// Returns the names; nothing for none.
    pub fn new(names: Vec<FieldPath>) -> Option<Self> {
        (!names.is_empty()).then(|| Self(names.into()))
    }

    /// Returns the first name, by which a test is shown.
    pub fn first(&self) -> &FieldPath {
        &self.0[0]
    }

    /// Returns all names.
    pub fn all(&self) -> &[FieldPath] {
        &self.0
    }
}

impl From<FieldPath> for FieldNames {
    fn from(name: FieldPath) -> Self {
        Self([name].into())
    }
}

impl PartialEq for FieldNames {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for FieldNames {}

impl Hash for FieldNames {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Names that begin alike are nearly always the same.
        self.first().hash(state);
        self.0.len().hash(state);
    }
}

/// How values are taken from a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldReading {
    /// The one value that is there, as SQL sees it.
    One,
    /// Sigma's reading: of a list, any member; a path that crosses lists goes into every member.
    Members,
    /// A search: every value that is there, however deep, and no key.
    Anywhere,
}

/// What is asked of a value. An absent value passes none of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// There is one.
    Exists,
    /// Comparison of text; numbers and truth values as they are written.
    Text {
        /// How.
        op: TextOp,
        /// With what; its case folded ([`crate::case_folding`]) unless `cased`.
        value: String,
        /// Whether upper and lower case differ.
        cased: bool,
    },
    /// The whole text against a pattern with wildcards.
    Glob {
        /// The pattern's pieces; literals with their case folded unless `cased`.
        parts: Vec<GlobPart>,
        /// Whether upper and lower case differ.
        cased: bool,
    },
    /// A regular expression somewhere in the text, its flags inside the pattern.
    Regex(String),
    /// Comparison as a number; text that is no number passes none.
    Number(NumberOp, Number),
    /// A truth value, also written as 1/0 or yes/no.
    Truth(bool),
    /// An address in this network.
    Cidr(IpNet),
    /// Comparison with another field of the same event.
    Field {
        /// How.
        op: TextOp,
        /// The other field.
        other: FieldPath,
        /// Whether upper and lower case differ.
        cased: bool,
    },
    /// A part of a moment, UTC, equals this.
    Moment(MomentPart, Number),
}

/// A comparison of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TextOp {
    Equals,
    Contains,
    StartsWith,
    EndsWith,
}

/// A comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum NumberOp {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A part of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum MomentPart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// A piece of a pattern with wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GlobPart {
    /// This text.
    Literal(String),
    /// Any text, also none, also over line ends.
    Any,
    /// One character.
    One,
}

/// Evaluates rows by an expression that has no atom form.
pub trait RowEvaluator: fmt::Debug + Send + Sync {
    /// Evaluates each row; `columns` are those that [`OtherExpr::columns`] names, dictionaries unpacked.
    ///
    /// # Errors
    /// Columns of other types than the expression was made for. A row that it fails on is none: see [`Evaluated::failed`].
    fn evaluate(&self, columns: &[ArrayRef], rows: usize) -> Result<Evaluated, ArrowError>;
}

/// What an expression says of some rows.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The truth of each row; unknown where it is NULL, and where the expression fails.
    pub truth: BooleanArray,
    /// The rows on which it fails, such as a division by zero; nothing where there are none.
    pub failed: Option<FailedRows>,
}

/// Rows on which an expression fails.
#[derive(Debug, Clone)]
pub struct FailedRows {
    /// True for each of them.
    pub rows: BooleanBuffer,
    /// What is wrong with the first of them, in a line.
    pub reason: String,
}

/// An expression of the host inside a predicate: equal to another when key and columns are.
#[derive(Debug, Clone)]
pub struct OtherExpr {
    /// For people: as the author wrote it, or as near as can be said.
    pub text: String,
    /// What tells it from other expressions.
    pub key: String,
    /// Names of the columns that it reads.
    pub columns: Vec<String>,
    /// What evaluates it.
    pub evaluate: Arc<dyn RowEvaluator>,
}

impl PartialEq for OtherExpr {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.columns == other.columns
    }
}

impl Eq for OtherExpr {}

impl Hash for OtherExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
        self.columns.hash(state);
    }
}

impl NumberOp {
    /// Says whether a value that compares so with the rule's number passes.
    pub fn holds(self, value: Ordering) -> bool {
        match self {
            Self::Equal => value.is_eq(),
            Self::Less => value.is_lt(),
            Self::LessOrEqual => value.is_le(),
            Self::Greater => value.is_gt(),
            Self::GreaterOrEqual => value.is_ge(),
        }
    }
}

impl Test {
    /// Returns the simplest test of the whole text against a pattern; the case of its literals folded unless `cased`.
    pub fn glob(parts: Vec<GlobPart>, cased: bool) -> Self {
        let text = |op, value: &str| Self::Text {
            op,
            value: value.to_owned(),
            cased,
        };
        match parts.as_slice() {
            [] => text(TextOp::Equals, ""),
            [GlobPart::Any] => Self::Exists,
            [GlobPart::Literal(value)] => text(TextOp::Equals, value),
            [GlobPart::Any, GlobPart::Literal(value)] => text(TextOp::EndsWith, value),
            [GlobPart::Literal(value), GlobPart::Any] => text(TextOp::StartsWith, value),
            [GlobPart::Any, GlobPart::Literal(value), GlobPart::Any] => {
                text(TextOp::Contains, value)
            }
            _ => Self::Glob { parts, cased },
        }
    }
}

impl Predicate {
    /// Returns a test of one field.
    pub fn atom(field: FieldPath, reading: FieldReading, test: Test) -> Self {
        Self::atom_of(Some(&field.into()), reading, test)
    }

    /// Returns a test of one field that events have under any of these names; false if there are none.
    pub fn atom_of(names: Option<&FieldNames>, reading: FieldReading, test: Test) -> Self {
        names.cloned().map_or(Self::Always(false), |names| {
            Self::Atom(Arc::new(Atom {
                names,
                reading,
                test,
            }))
        })
    }

    /// Returns the conjunction, without layers that add nothing.
    pub fn all(parts: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::Always(true) => {}
                Self::Always(false) => return Self::Always(false),
                Self::All(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Self::Always(true),
            1 => flat.remove(0),
            _ => Self::All(flat),
        }
    }

    /// Returns the disjunction, without layers that add nothing.
    pub fn any(parts: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::Always(false) => {}
                Self::Always(true) => return Self::Always(true),
                Self::Any(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Self::Always(false),
            1 => flat.remove(0),
            _ => Self::Any(flat),
        }
    }

    /// Returns the opposite.
    #[expect(
        clippy::should_implement_trait,
        reason = "a constructor beside `all` and `any`"
    )]
    pub fn not(part: Self) -> Self {
        match part {
            Self::Always(truth) => Self::Always(!truth),
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Calls `visit` with every atom, in order of writing.
    pub fn atoms<'a>(&'a self, visit: &mut impl FnMut(&'a Arc<Atom>)) {
        match self {
            Self::Always(_) | Self::Other(_) => {}
            Self::Atom(atom) => visit(atom),
            Self::Not(inner) => inner.atoms(visit),
            Self::All(parts) | Self::Any(parts) | Self::AtLeast(_, parts) => {
                for part in parts {
                    part.atoms(visit);
                }
            }
        }
    }

    /// Calls `visit` with every expression that has no atom form.
    pub fn others<'a>(&'a self, visit: &mut impl FnMut(&'a OtherExpr)) {
        match self {
            Self::Always(_) | Self::Atom(_) => {}
            Self::Other(other) => visit(other),
            Self::Not(inner) => inner.others(visit),
            Self::All(parts) | Self::Any(parts) | Self::AtLeast(_, parts) => {
                for part in parts {
                    part.others(visit);
                }
            }
        }
    }

    /// Returns the fields that its atoms read.
    pub fn fields(&self) -> BTreeSet<FieldPath> {
        let mut fields = BTreeSet::new();
        let mut known = HashSet::new();
        self.atoms(&mut |atom| {
            if known.insert(&atom.names) {
                fields.extend(atom.names.all().iter().cloned());
            }
            if let Test::Field { other, .. } = &atom.test {
                fields.insert(other.clone());
            }
        });
        fields
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.names.first();
        let case = |cased: &bool| if *cased { " (cased)" } else { "" };
        match &self.test {
            Test::Exists => write!(f, "{field} has a value"),
            Test::Text { op, value, cased } => {
                write!(f, "{field} {op} {value:?}{}", case(cased))
            }
            Test::Glob { parts, cased } => {
                write!(f, "{field} is like \"")?;
                for part in parts {
                    match part {
                        GlobPart::Literal(text) => write!(f, "{}", text.escape_debug())?,
                        GlobPart::Any => f.write_str("*")?,
                        GlobPart::One => f.write_str("?")?,
                    }
                }
                write!(f, "\"{}", case(cased))
            }
            Test::Regex(pattern) => write!(f, "{field} matches /{pattern}/"),
            Test::Number(op, value) => write!(f, "{field} {op} {value}"),
            Test::Truth(truth) => write!(f, "{field} is {truth}"),
            Test::Cidr(net) => write!(f, "{field} is in {net}"),
            Test::Field { op, other, cased } => {
                write!(f, "{field} {op} field {other}{}", case(cased))
            }
            Test::Moment(part, value) => write!(f, "{part} of {field} = {value}"),
        }
    }
}

impl fmt::Display for TextOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equals => "=",
            Self::Contains => "contains",
            Self::StartsWith => "starts with",
            Self::EndsWith => "ends with",
        })
    }
}

impl fmt::Display for NumberOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl fmt::Display for MomentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        })
    }
}
