//! An expression of the host in one batch: the rows that pass, and those on which it fails.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::mask::Mask;
use super::program::OtherEvaluator;
use crate::column::true_rows;

/// What an expression says of the batch at hand.
#[derive(Debug)]
pub(crate) struct OtherBatch {
    pub(crate) passed: Mask,
    /// Rows on which it fails, and why on one of them.
    pub(crate) failed: Option<(Mask, String)>,
}

impl OtherBatch {
    /// Evaluates the rows: with `distinct` by the distinct values where it reads one dictionary, else row by row.
    pub(crate) fn evaluate(
        other: &OtherEvaluator,
        column: &dyn Fn(usize) -> ArrayRef,
        rows: usize,
        distinct: bool,
    ) -> Result<Self, ArrowError> {
        let columns: Vec<ArrayRef> = other.columns.iter().map(|index| column(*index)).collect();
        let evaluate = &other.expr.evaluate;
        if let [column] = columns.as_slice()
            && let DataType::Dictionary(_, value) = column.data_type()
            && distinct
        {
            let dictionary = column.as_any_dictionary();
            let values = dictionary.values();
            if values.len() < rows {
                let of_values = evaluate.evaluate(std::slice::from_ref(values), values.len())?;
                let of_null = evaluate.evaluate(&[arrow::array::new_null_array(value, 1)], 1)?;
                let keys = match values.is_empty() {
                    // Every row is null.
                    true => Vec::new(),
                    false => dictionary.normalized_keys(),
                };
                let spread = |of_values: &BooleanBuffer, of_null: bool| {
                    let all = (0..rows).map(|row| match keys.get(row) {
                        Some(key) if dictionary.keys().is_valid(row) => of_values.value(*key),
                        _ => of_null,
                    });
                    Mask::from_buffer(&all.collect())
                };
                let of_null_failed = of_null.failed.as_ref();
                let failed = of_values.failed.as_ref().or(of_null_failed).map(|failed| {
                    let none = BooleanBuffer::new_unset(values.len());
                    let of_values = of_values
                        .failed
                        .as_ref()
                        .map_or(&none, |failed| &failed.rows);
                    let rows = spread(of_values, of_null_failed.is_some());
                    (rows, failed.reason.clone())
                });
                let of_null = true_rows(&of_null.truth).value(0);
                return Ok(Self {
                    passed: spread(&true_rows(&of_values.truth), of_null),
                    failed,
                });
            }
        }
        let plain: Vec<ArrayRef> = columns
            .into_iter()
            .map(|column| match column.data_type() {
                DataType::Dictionary(_, value) => cast(&column, value),
                _ => Ok(column),
            })
            .collect::<Result<_, _>>()?;
        let evaluated = evaluate.evaluate(&plain, rows)?;
        let failed = evaluated.failed;
        Ok(Self {
            passed: Mask::from_buffer(&true_rows(&evaluated.truth)),
            failed: failed.map(|failed| (Mask::from_buffer(&failed.rows), failed.reason)),
        })
    }
}
