//! How much of a value findings and alerts show.
//!
//! Whoever writes log content decides how long a value is, and one value may stand in many events. So what is shown of one is
//! bounded, in titles, keys, context and observables alike.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{
    AnyDictionaryArray, Array, ArrayRef, AsArray, StringArray, StringBuilder, StringViewArray,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::error::ArrowError;
use sha2::{Digest, Sha256};
use yagura_core::alert::hex;
use yagura_lake::nested_sizes;
use yagura_rules::render_text;

use crate::limits::BATCH_BYTES;

/// The maximum of bytes of a value that are shown.
pub(crate) const MAX_SHOWN: usize = 1_024;

/// Returns a value as it is shown. Of a longer one than [`MAX_SHOWN`] the beginning, how long it is, and a hash, so that two
/// values that begin alike are still told apart.
pub(crate) fn shown(value: &str) -> Cow<'_, str> {
    if value.len() <= MAX_SHOWN {
        return Cow::Borrowed(value);
    }
    let mut end = MAX_SHOWN;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let hash = hex(&Sha256::digest(value)[..8]);
    Cow::Owned(format!(
        "{}... ({} bytes, SHA-256 {hash}...)",
        &value[..end],
        value.len()
    ))
}

/// Returns the texts of an array's values as they are shown. What several rows share is not copied for each.
///
/// # Errors
/// As [`render_text`].
pub(crate) fn shown_texts(values: &ArrayRef) -> Result<StringArray, ArrowError> {
    if let Some(dictionary) = values.as_any_dictionary_opt() {
        // A dictionary may hold far more values than the rows have.
        if let Some(texts) = dictionary.values().as_string_opt::<i32>() {
            return Ok(of_keys(dictionary, |key| {
                texts.is_valid(key).then(|| texts.value(key))
            }));
        }
        if let Some(texts) = dictionary.values().as_string_view_opt() {
            return Ok(of_keys(dictionary, |key| {
                texts.is_valid(key).then(|| texts.value(key))
            }));
        }
        let texts: ArrayRef = Arc::new(shown_texts(dictionary.values())?);
        let texts = take(&texts, dictionary.keys(), None)?;
        return Ok(texts.as_string::<i32>().clone());
    }
    if let Some(views) = values.as_string_view_opt() {
        return Ok(of_views(views));
    }
    // What is nested is written out a part at a time, of which no more is kept than is shown.
    if let Some(sizes) = nested_sizes(values) {
        let mut texts = StringBuilder::with_capacity(values.len(), 0);
        let (mut start, mut bytes) = (0, 0_u64);
        for (row, size) in sizes.iter().enumerate() {
            bytes = bytes.saturating_add(*size);
            let is_last = row + 1 == sizes.len();
            if is_last || bytes > BATCH_BYTES as u64 {
                let part = render_text(&values.slice(start, row + 1 - start))?;
                for text in part.as_string::<i32>() {
                    texts.append_option(text.map(shown));
                }
                (start, bytes) = (row + 1, 0);
            }
        }
        return Ok(texts.finish());
    }
    let texts = render_text(values)?;
    let texts = texts.as_string::<i32>();
    if texts.iter().flatten().all(|text| text.len() <= MAX_SHOWN) {
        return Ok(texts.clone());
    }
    Ok(texts.iter().map(|text| text.map(shown)).collect())
}

/// Returns the texts of a dictionary's rows; `text` is that of a key.
fn of_keys<'a>(
    dictionary: &dyn AnyDictionaryArray,
    text: impl Fn(usize) -> Option<&'a str>,
) -> StringArray {
    if dictionary.values().is_empty() {
        return StringArray::new_null(dictionary.len());
    }
    let keys = dictionary.normalized_keys();
    let rows = keys.into_iter().enumerate();
    each_once(rows.map(|(row, key)| {
        let value = dictionary.is_valid(row).then(|| text(key)).flatten();
        (key, value)
    }))
}

/// Returns the texts of views; rows that share a value have the same view.
fn of_views(views: &StringViewArray) -> StringArray {
    each_once(views.views().iter().copied().zip(views))
}

/// Returns texts as they are shown. A long one is hashed once for all rows that have the same `K`.
fn each_once<'a, K: Eq + Hash>(
    values: impl ExactSizeIterator<Item = (K, Option<&'a str>)>,
) -> StringArray {
    let mut cut: HashMap<K, String> = HashMap::new();
    let mut texts = StringBuilder::with_capacity(values.len(), 0);
    for (key, value) in values {
        match value {
            Some(value) if value.len() > MAX_SHOWN => {
                let text = cut.entry(key).or_insert_with(|| shown(value).into_owned());
                texts.append_value(text);
            }
            value => texts.append_option(value),
        }
    }
    texts.finish()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{DictionaryArray, Int32Array, LargeStringArray};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::{DataType, Int32Type};

    use super::*;

    #[test]
    fn long_values_are_cut_and_stay_apart() {
        assert_eq!(shown("short"), "short");
        let fits = "é".repeat(MAX_SHOWN / 2);
        assert_eq!(shown(&fits), fits);
        let (one, other) = (fits.clone() + "ab", fits.clone() + "cd");
        assert_ne!(shown(&one), shown(&other));
        assert!(shown(&one).starts_with(&fits));
        assert!(shown(&one).contains("(1026 bytes, SHA-256 "));
        // Not in the middle of a character.
        let odd = "x".to_owned() + &fits;
        assert!(shown(&odd).starts_with(&odd[..MAX_SHOWN - 1]));
    }

    #[test]
    fn every_layout_of_text_is_cut_alike() {
        let long = "y".repeat(5_000);
        let texts = [Some("a"), None, Some(long.as_str())];
        let plain: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let large: ArrayRef = Arc::new(LargeStringArray::from(texts.to_vec()));
        let views: ArrayRef = Arc::new(StringViewArray::from(texts.to_vec()));
        let keys = Int32Array::from(vec![Some(1), None, Some(0)]);
        let values: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(), "a"]));
        let dictionary = DictionaryArray::<Int32Type>::try_new(keys, values).unwrap();
        let wanted: StringArray = texts.iter().map(|text| text.map(shown)).collect();
        let keys = Int32Array::from(vec![None, None, None]);
        let none: ArrayRef = Arc::new(StringArray::new_null(0));
        let empty = DictionaryArray::<Int32Type>::try_new(keys, none).unwrap();
        let nothing = shown_texts(&(Arc::new(empty) as ArrayRef)).unwrap();
        assert_eq!(nothing.null_count(), 3);
        for array in [plain, large, views, Arc::new(dictionary)] {
            assert_eq!(
                shown_texts(&array).unwrap(),
                wanted,
                "{}",
                array.data_type()
            );
        }
    }

    #[test]
    fn a_value_that_many_rows_share_takes_memory_once() {
        // As texts of their own these would be 100 GB.
        let values: ArrayRef = Arc::new(StringArray::from(vec!["z".repeat(1 << 20)]));
        let keys = Int32Array::from(vec![0; 100_000]);
        let dictionary = DictionaryArray::<Int32Type>::try_new(keys, values).unwrap();
        let views = cast(&dictionary, &DataType::Utf8View).unwrap();
        for values in [Arc::new(dictionary) as ArrayRef, views] {
            let texts = shown_texts(&values).unwrap();
            assert_eq!(texts.len(), 100_000);
            assert!(texts.value(99_999).len() < MAX_SHOWN + 60);
        }
    }
}
