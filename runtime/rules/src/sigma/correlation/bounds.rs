//! Bounds of a measured number.

use rsigma_parser::ConditionOperator;
use yagura_core::correlation::Condition;

/// Returns the bounds of a number.
pub(super) fn bounds(predicates: &[(ConditionOperator, u64)]) -> Condition {
    let mut condition = Condition::default();
    for (operator, number) in predicates {
        let bound = match operator {
            ConditionOperator::Gt => &mut condition.gt,
            ConditionOperator::Gte => &mut condition.gte,
            ConditionOperator::Lt => &mut condition.lt,
            ConditionOperator::Lte => &mut condition.lte,
            ConditionOperator::Eq => &mut condition.eq,
            ConditionOperator::Neq => &mut condition.neq,
        };
        *bound = Some(f64_of(*number));
    }
    condition
}

/// The parser gives negative numbers as their two's complement.
pub(super) fn f64_of(number: u64) -> f64 {
    number.cast_signed() as f64
}
