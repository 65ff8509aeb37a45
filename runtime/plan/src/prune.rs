//! What all rules of a table have in common, in a form that statistics, page indexes and Bloom filters can refute.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, ident, lit};
use datafusion::physical_expr::PhysicalExpr;
use yagura_core::FieldPath;
use yagura_rules::predicate::{Atom, FieldReading, NumberOp, Test, TextOp};
use yagura_rules::resolve::places;
use yagura_rules::{Predicate, Resolved};

use crate::condition::comparisons;

/// Comparisons above which evaluating them costs more than the prefilter saves by them.
const MAX_COMPARISONS: usize = 16;
/// Values above which a list refutes little.
const MAX_VALUES: usize = 256;

/// What a rule needs of single columns: one of these values, each.
type RequiredValues = BTreeMap<String, BTreeSet<RequiredValue>>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum RequiredValue {
    Integer(i64),
    Text(String),
}

/// Returns what every event that any rule matches fulfils, as far as it can be refuted without reading values.
///
/// `rules` are the predicates, and of SQL rules what `condition::prunable` leaves of them.
pub(crate) fn common(
    state: &SessionState,
    rules: &[(&Predicate, Option<&Expr>)],
    scan: &Schema,
) -> Result<Option<Arc<dyn PhysicalExpr>>, DataFusionError> {
    let Some(expr) = any_of(rules).or_else(|| lists(rules, scan)) else {
        return Ok(None);
    };
    let expr = elsewhere(rules, &expr, scan)
        .into_iter()
        .map(|column| ident(column).is_not_null())
        .fold(expr, Expr::or);
    let schema = DFSchema::try_from(scan.clone())?;
    state.create_physical_expr(expr, &schema).map(Some)
}

/// Returns the further columns in which events may have the fields that `expr` compares: statistics of one column
/// refute `None` where one of these has a value.
fn elsewhere(
    rules: &[(&Predicate, Option<&Expr>)],
    expr: &Expr,
    scan: &Schema,
) -> BTreeSet<String> {
    let compared: BTreeSet<&str> = expr
        .column_refs()
        .into_iter()
        .map(|column| column.name.as_str())
        .collect();
    let mut found = BTreeSet::new();
    let mut add = |places: Vec<Resolved>| {
        let name = |place: &Resolved| scan.field(place.column).name().as_str();
        let is_compared = |place: &Resolved| place.is_column() && compared.contains(name(place));
        if places.iter().any(is_compared) {
            let others = places.iter().filter(|place| !is_compared(place));
            found.extend(others.map(|place| name(place).to_owned()));
        }
    };
    // Also of what is compared by an expression that is not an atom.
    for name in &compared {
        let path = FieldPath::new(vec![(*name).to_owned()]);
        add(path.map_or_else(Vec::new, |path| places(scan, &path)));
    }
    // Thousands of rules test the same few fields.
    let mut known = HashSet::new();
    for (predicate, _) in rules {
        predicate.atoms(&mut |atom| {
            if known.insert(&atom.names) {
                let fields = atom.names.all().iter();
                add(fields.flat_map(|field| places(scan, field)).collect());
            }
        });
    }
    found
}

/// The conditions of few rules, whatever they compare.
fn any_of(rules: &[(&Predicate, Option<&Expr>)]) -> Option<Expr> {
    let mut distinct: Vec<&Expr> = Vec::new();
    let mut count = 0;
    for (_, expr) in rules {
        let expr = (*expr)?;
        if !distinct.contains(&expr) {
            count += comparisons(expr);
            distinct.push(expr);
        }
        if count > MAX_COMPARISONS {
            return None;
        }
    }
    distinct.into_iter().cloned().reduce(Expr::or)
}

/// Of many rules, the columns that all of them need a value of, and all these values.
fn lists(rules: &[(&Predicate, Option<&Expr>)], scan: &Schema) -> Option<Expr> {
    let needs = rules
        .iter()
        .map(|(predicate, _)| needs(predicate, scan))
        .reduce(either)?;
    needs
        .into_iter()
        .filter(|(_, values)| values.len() <= MAX_VALUES)
        .map(|(column, values)| {
            let values = values.into_iter().map(|value| match value {
                RequiredValue::Integer(number) => lit(number),
                RequiredValue::Text(text) => lit(text),
            });
            ident(column).in_list(values.collect(), false)
        })
        .reduce(Expr::and)
}

fn needs(predicate: &Predicate, scan: &Schema) -> RequiredValues {
    match predicate {
        Predicate::Atom(atom) => need(atom, scan).into_iter().collect(),
        Predicate::All(parts) => {
            let mut all = RequiredValues::new();
            for (column, values) in parts.iter().flat_map(|part| needs(part, scan)) {
                let known = all.entry(column).or_insert_with(|| values.clone());
                if values.len() < known.len() {
                    *known = values;
                }
            }
            all
        }
        Predicate::Any(parts) => parts
            .iter()
            .map(|part| needs(part, scan))
            .reduce(either)
            .unwrap_or_default(),
        Predicate::Always(_) | Predicate::Other(_) | Predicate::Not(_) | Predicate::AtLeast(..) => {
            RequiredValues::new()
        }
    }
}

fn either(mut one: RequiredValues, other: RequiredValues) -> RequiredValues {
    one.retain(|column, _| other.contains_key(column));
    for (column, values) in other {
        if let Some(known) = one.get_mut(&column) {
            known.extend(values);
        }
    }
    one
}

fn need(atom: &Atom, scan: &Schema) -> Option<(String, BTreeSet<RequiredValue>)> {
    let [column] = atom.names.first().segments() else {
        return None;
    };
    let data_type = scan.field_with_name(column).ok()?.data_type();
    let is_text = match data_type {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    };
    let value = match &atom.test {
        // A member of a list is not what statistics are about.
        Test::Text {
            op: TextOp::Equals,
            value,
            cased: true,
        } if is_text && atom.reading == FieldReading::One => RequiredValue::Text(value.clone()),
        Test::Text {
            op: TextOp::Equals,
            value,
            cased: true,
        } if data_type.is_signed_integer() => RequiredValue::Integer(value.parse().ok()?),
        Test::Number(NumberOp::Equal, value) if data_type.is_signed_integer() => {
            RequiredValue::Integer(value.as_i64()?)
        }
        _ => return None,
    };
    Some((column.clone(), BTreeSet::from([value])))
}
