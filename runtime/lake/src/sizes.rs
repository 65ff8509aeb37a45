//! How long the values of nested columns are when each is written out.
//!
//! Rows share values: of an object of 1 KB each of a million rows may have the same text of ten megabytes. As long as it is
//! shared it costs nothing, and whoever writes it out for each row has to know before.

use datafusion::arrow::array::{Array, AsArray, OffsetSizeTrait};
use datafusion::arrow::datatypes::DataType;

/// What a number, and a value around others, counts.
const FIXED: u64 = 8;

/// Returns for each row about how many bytes its value takes written out, whatever it shares with others; nothing for a column
/// that is not nested.
pub fn nested_sizes(array: &dyn Array) -> Option<Vec<u64>> {
    array.data_type().is_nested().then(|| sizes(array))
}

fn sizes(array: &dyn Array) -> Vec<u64> {
    match array.data_type() {
        DataType::Utf8 => between(array.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => between(array.as_string::<i64>().value_offsets()),
        DataType::Binary => between(array.as_binary::<i32>().value_offsets()),
        DataType::LargeBinary => between(array.as_binary::<i64>().value_offsets()),
        DataType::Utf8View => array.as_string_view().lengths().map(u64::from).collect(),
        DataType::BinaryView => array.as_binary_view().lengths().map(u64::from).collect(),
        DataType::Struct(_) => {
            let mut all = vec![FIXED; array.len()];
            for column in array.as_struct().columns() {
                for (all, size) in all.iter_mut().zip(sizes(column)) {
                    *all = all.saturating_add(size);
                }
            }
            all
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            of_ranges(list.values(), ranges(list.value_offsets()))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            of_ranges(list.values(), ranges(list.value_offsets()))
        }
        DataType::ListView(_) => {
            let list = array.as_list_view::<i32>();
            of_ranges(
                list.values(),
                parts(list.value_offsets(), list.value_sizes()),
            )
        }
        DataType::LargeListView(_) => {
            let list = array.as_list_view::<i64>();
            of_ranges(
                list.values(),
                parts(list.value_offsets(), list.value_sizes()),
            )
        }
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or_default();
            let list = array.as_fixed_size_list();
            let starts = (0..list.len()).map(|row| row * length);
            of_ranges(list.values(), starts.map(|start| (start, start + length)))
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            of_ranges(map.entries(), ranges(map.value_offsets()))
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let values = sizes(dictionary.values());
            if values.is_empty() {
                return vec![0; array.len()];
            }
            let keys = dictionary.normalized_keys().into_iter();
            keys.map(|key| values.get(key).copied().unwrap_or_default())
                .collect()
        }
        _ => vec![FIXED; array.len()],
    }
}

fn between<O: OffsetSizeTrait>(offsets: &[O]) -> Vec<u64> {
    let lengths = offsets.windows(2);
    lengths
        .map(|pair| (pair[1].as_usize() - pair[0].as_usize()) as u64)
        .collect()
}

fn ranges<O: OffsetSizeTrait>(offsets: &[O]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let pairs = offsets.windows(2);
    pairs.map(|pair| (pair[0].as_usize(), pair[1].as_usize()))
}

fn parts<'a, O: OffsetSizeTrait>(
    starts: &'a [O],
    sizes: &'a [O],
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let pairs = starts.iter().zip(sizes);
    pairs.map(|(start, size)| (start.as_usize(), start.as_usize() + size.as_usize()))
}

fn of_ranges(values: &dyn Array, ranges: impl Iterator<Item = (usize, usize)>) -> Vec<u64> {
    let mut ends = vec![0_u64];
    let mut end = 0_u64;
    for size in sizes(values) {
        end = end.saturating_add(size);
        ends.push(end);
    }
    let at = |index: usize| ends.get(index).copied().unwrap_or(end);
    ranges
        .map(|(start, end)| at(end).saturating_sub(at(start)).saturating_add(FIXED))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        ArrayRef, Int64Array, ListArray, StringArray, StringViewArray, StructArray,
    };
    use datafusion::arrow::buffer::OffsetBuffer;
    use datafusion::arrow::datatypes::Field;

    use super::*;

    #[test]
    fn each_row_counts_what_it_would_be_written_out() {
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![
            Some("a text that is longer than a view"),
            None,
            Some("ab"),
        ]));
        let plain: ArrayRef = Arc::new(StringArray::from(vec!["abc", "", "a"]));
        assert_eq!(nested_sizes(&texts), None);
        let field = |name: &str, array: &ArrayRef| {
            Arc::new(Field::new(name, array.data_type().clone(), true))
        };
        let row = StructArray::from(vec![
            (field("view", &texts), Arc::clone(&texts)),
            (field("plain", &plain), plain),
        ]);
        assert_eq!(nested_sizes(&row), Some(vec![33 + 3 + 8, 8, 2 + 1 + 8]));
        assert_eq!(nested_sizes(&row.slice(2, 1)), Some(vec![11]));
        let rows: ArrayRef = Arc::new(row);
        let list = ListArray::new(
            field("item", &rows),
            OffsetBuffer::from_lengths([2, 0, 1]),
            rows,
            None,
        );
        assert_eq!(nested_sizes(&list), Some(vec![44 + 8 + 8, 8, 11 + 8]));
        assert_eq!(nested_sizes(&list.slice(2, 1)), Some(vec![19]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let list = ListArray::new(
            field("item", &numbers),
            OffsetBuffer::from_lengths([3]),
            numbers,
            None,
        );
        assert_eq!(nested_sizes(&list), Some(vec![32]));
    }
}
