//! Fingerprints as states of format 1 hold them: hashes of text that Rust's `Debug` made of the types of that time.
//!
//! A state that is migrated is compared by them once, and holds those of today after that.

use std::fmt;

use yagura_core::Rule;
use yagura_core::correlation::{Correlation, CorrelationKind, Window};

use super::hash::hash;

/// What the migration puts before a fingerprint of format 1.
pub(super) const PREFIX: &str = "1:";

/// Says whether a fingerprint of format 1 is that of what this rule's state depends on.
pub(super) fn is_state_fingerprint(stored: &str, rule: &Rule) -> bool {
    let is_it = |text: String| hash(&text) == stored;
    if !rule.partition_by.is_empty() {
        return is_it(format!("{:?}", (&rule.table, &rule.partition_by)));
    }
    let Some(correlation) = &rule.correlation else {
        return is_it("None".to_owned());
    };
    let within = match &correlation.kind {
        CorrelationKind::Spike(spike) => spike.normal.within,
        CorrelationKind::Flatline(flatline) => flatline.normal.within,
        _ => return is_it(format!("{:?}", Some(shape(correlation, None)))),
    };
    // The length of numbered windows, as the rule had it: an hour may have been `60m`.
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let millis = within.micros() / 1_000;
    let mut spellings = units
        .into_iter()
        .filter(|(_, unit)| millis % unit == 0)
        .map(|(name, unit)| format!("{}{name}", millis / unit));
    spellings.any(|within| is_it(format!("{:?}", Some(shape(correlation, Some(within))))))
}

/// A text that is written as it is.
struct Verbatim(String);

impl fmt::Debug for Verbatim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name that the kind had in the code: `NewValue` for `new-value`.
fn name(word: &str) -> Verbatim {
    let capital = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    Verbatim(word.split('-').map(capital).collect())
}

/// Kind, rules, keys, measured fields, window, expression, whether it estimates, coordinates, the length of numbered windows,
/// and whether it is evaluated at the end of a window.
fn shape(correlation: &Correlation, within: Option<String>) -> impl fmt::Debug + use<> {
    let (mut field, mut fields) = (None, Vec::new());
    let mut window = Window::Sliding;
    let mut condition = None;
    let mut expression = None;
    let mut approximate = false;
    let (mut latitude, mut longitude) = (None, None);
    match &correlation.kind {
        CorrelationKind::Count(count) => {
            window = count.windows.kind();
            condition = Some(count.condition);
        }
        CorrelationKind::Distinct(distinct) => {
            field.clone_from(&distinct.field);
            fields.clone_from(&distinct.fields);
            window = distinct.windows.kind();
            condition = Some(distinct.condition);
            approximate = distinct.approximate;
        }
        CorrelationKind::Sum(sum) => {
            field = Some(sum.measured.field.clone());
            window = sum.measured.windows.kind();
            condition = Some(sum.measured.condition);
        }
        CorrelationKind::Avg(avg) => {
            field = Some(avg.measured.field.clone());
            window = avg.measured.windows.kind();
            condition = Some(avg.measured.condition);
        }
        CorrelationKind::Percentile(percentile) => {
            field = Some(percentile.measured.field.clone());
            window = percentile.measured.windows.kind();
            condition = Some(percentile.measured.condition);
        }
        CorrelationKind::Session(session) => condition = Some(session.condition),
        CorrelationKind::AnyOrder(any_order) => {
            condition = any_order.condition;
            expression.clone_from(&any_order.expression);
        }
        CorrelationKind::NewValue(new_value) => field = Some(new_value.field.clone()),
        CorrelationKind::Rare(rare) => {
            field = Some(rare.field.clone());
            condition = rare.condition;
        }
        CorrelationKind::Change(change) => fields.clone_from(&change.fields),
        CorrelationKind::Travel(travel) => {
            field.clone_from(&travel.field);
            if let Some(coordinates) = &travel.coordinates {
                latitude = Some(coordinates.latitude.clone());
                longitude = Some(coordinates.longitude.clone());
            }
        }
        // Their parameters were no part of it, and later kinds have no state of this format.
        _ => {}
    }
    (
        name(correlation.kind.word()),
        correlation.rules.clone(),
        (correlation.by.clone(), correlation.aliases.clone()),
        (field, fields),
        window,
        expression,
        approximate,
        (latitude, longitude),
        within.map(Some),
        condition.is_some_and(|condition| !condition.is_lower_bound()),
    )
}
