//! One field of one batch: which rows pass which tests, each distinct value judged once.
//!
//! Values are sorted into classes: two values are of one class when they pass the same tests. Class 0 passes none, and
//! nearly every value is of it. A dictionary that comes again with the next batch of a row group keeps its classes.

use std::collections::HashMap;
use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{ArrowDictionaryKeyType, DataType, Float64Type, Int64Type};
use arrow::downcast_dictionary_array;
use arrow::error::ArrowError;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::values::{AtomId, Found, Kind, ValueJudge};
use crate::column::render_text;
use crate::json_path;
use crate::predicate::Reading;
use crate::resolve::Resolved;

/// Class of values that pass no test.
pub(crate) const NONE: u32 = 0;
const UNKNOWN: u32 = u32::MAX;
/// Dictionaries whose classes are kept: one for each column of the row groups that are read side by side.
const KEPT_DICTIONARIES: usize = 4;
/// Numbers whose classes are kept.
const KEPT_NUMBERS: usize = 1 << 16;

/// A field and all tests of it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Where the field is.
    pub(crate) source: Resolved,
    /// How values are taken from it.
    pub(crate) reading: Reading,
    /// Its tests.
    pub(crate) judge: ValueJudge,
}

/// What is kept between the batches of one partition.
#[derive(Debug)]
pub(crate) struct SlotState {
    /// Atoms of each class.
    pub(crate) classes: Vec<Box<[AtomId]>>,
    ids: HashMap<Box<[AtomId]>, u32>,
    dictionaries: Vec<(ArrayRef, Vec<u32>)>,
    numbers: HashMap<u64, u32, DefaultHashBuilder>,
    found: Found,
    hasher: DefaultHashBuilder,
}

impl Default for SlotState {
    fn default() -> Self {
        Self {
            classes: vec![Box::default()],
            ids: HashMap::from([(Box::default(), NONE)]),
            dictionaries: Vec::new(),
            numbers: HashMap::default(),
            found: Found::default(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl SlotState {
    fn class_of(&mut self, slot: &Slot, text: &str, kind: Kind) -> u32 {
        self.found.clear();
        slot.judge_value(text, kind, &mut self.found);
        let atoms = self.found.finish();
        // Nearly every value.
        if atoms.is_empty() {
            return NONE;
        }
        if let Some(class) = self.ids.get(atoms) {
            return *class;
        }
        let class = u32::try_from(self.classes.len()).unwrap_or(UNKNOWN - 1);
        self.classes.push(atoms.into());
        self.ids.insert(atoms.into(), class);
        class
    }

    /// Fills `rows` with the class of each row of `values`, the field's array. `dictionary` false judges row by row and
    /// is for measurements only.
    pub(crate) fn judge(
        &mut self,
        slot: &Slot,
        values: &ArrayRef,
        dictionary: bool,
        rows: &mut Vec<u32>,
    ) -> Result<(), ArrowError> {
        rows.clear();
        match values.data_type() {
            DataType::Dictionary(_, value) if dictionary && value.is_string() => {
                let values = values.as_ref();
                downcast_dictionary_array!(
                    values => {
                        self.judge_dictionary(slot, values.keys(), values.values(), rows);
                        Ok(())
                    },
                    other => Err(ArrowError::InvalidArgumentError(format!("{other} is no dictionary")))
                )
            }
            DataType::Dictionary(_, value) => {
                self.judge(slot, &cast(values, value)?, dictionary, rows)
            }
            DataType::Utf8 => {
                self.judge_texts(slot, values.as_string::<i32>().iter(), dictionary, rows);
                Ok(())
            }
            DataType::LargeUtf8 => {
                self.judge_texts(slot, values.as_string::<i64>().iter(), dictionary, rows);
                Ok(())
            }
            DataType::Utf8View => {
                self.judge_texts(slot, values.as_string_view().iter(), dictionary, rows);
                Ok(())
            }
            DataType::Boolean => {
                let classes = [false, true]
                    .map(|b| self.class_of(slot, if b { "true" } else { "false" }, Kind::Bool));
                let values: &BooleanArray = values.as_boolean();
                rows.extend(
                    values
                        .iter()
                        .map(|v| v.map_or(NONE, |v| classes[usize::from(v)])),
                );
                Ok(())
            }
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32 => {
                let values = cast(values, &DataType::Int64)?;
                self.judge_numbers(
                    slot,
                    values.as_primitive::<Int64Type>().iter(),
                    i64::cast_unsigned,
                    rows,
                );
                Ok(())
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let values = cast(values, &DataType::Float64)?;
                self.judge_numbers(
                    slot,
                    values.as_primitive::<Float64Type>().iter(),
                    f64::to_bits,
                    rows,
                );
                Ok(())
            }
            other => {
                let kind = if other.is_numeric() {
                    Kind::Number
                } else {
                    Kind::Text
                };
                let texts = render_text(values)?;
                let texts = texts.as_string::<i32>().iter();
                self.judge_texts_of(slot, texts, kind, dictionary, rows);
                Ok(())
            }
        }
    }

    fn judge_dictionary<K: ArrowDictionaryKeyType>(
        &mut self,
        slot: &Slot,
        keys: &arrow::array::PrimitiveArray<K>,
        values: &ArrayRef,
        rows: &mut Vec<u32>,
    ) {
        let mut classes = match self
            .dictionaries
            .iter()
            .position(|(known, _)| same_values(known, values))
        {
            Some(at) => self.dictionaries.remove(at).1,
            None => vec![UNKNOWN; values.len()],
        };
        {
            let mut class_at = |state: &mut Self, key: usize| {
                let known = classes[key];
                if known != UNKNOWN {
                    return known;
                }
                let class = text_at(values, key)
                    .map_or(NONE, |text| state.class_of(slot, text, Kind::Text));
                classes[key] = class;
                class
            };
            if keys.null_count() == 0 {
                for key in keys.values() {
                    let class = class_at(self, arrow::datatypes::ArrowNativeType::as_usize(*key));
                    rows.push(class);
                }
            } else {
                for key in keys {
                    let class = match key {
                        Some(key) => {
                            class_at(self, arrow::datatypes::ArrowNativeType::as_usize(key))
                        }
                        None => NONE,
                    };
                    rows.push(class);
                }
            }
        }
        self.dictionaries.insert(0, (values.clone(), classes));
        self.dictionaries.truncate(KEPT_DICTIONARIES);
    }

    fn judge_texts<'a>(
        &mut self,
        slot: &Slot,
        texts: impl Iterator<Item = Option<&'a str>>,
        distinct: bool,
        rows: &mut Vec<u32>,
    ) {
        self.judge_texts_of(slot, texts, Kind::Text, distinct, rows);
    }

    fn judge_texts_of<'a>(
        &mut self,
        slot: &Slot,
        texts: impl Iterator<Item = Option<&'a str>>,
        kind: Kind,
        distinct: bool,
        rows: &mut Vec<u32>,
    ) {
        if !distinct {
            rows.extend(
                texts.map(|text| text.map_or(NONE, |text| self.class_of(slot, text, kind))),
            );
            return;
        }
        let mut seen: HashTable<(&str, u32)> = HashTable::with_capacity(256);
        let hasher = self.hasher.clone();
        let hash = |text: &str| hasher.hash_one(text);
        for text in texts {
            let Some(text) = text else {
                rows.push(NONE);
                continue;
            };
            let entry = seen.entry(
                hash(text),
                |(known, _)| *known == text,
                |(known, _)| hash(known),
            );
            let class = match entry {
                hashbrown::hash_table::Entry::Occupied(entry) => entry.get().1,
                hashbrown::hash_table::Entry::Vacant(entry) => {
                    let class = self.class_of(slot, text, kind);
                    entry.insert((text, class));
                    class
                }
            };
            rows.push(class);
        }
    }

    fn judge_numbers<N: Copy + ToString>(
        &mut self,
        slot: &Slot,
        numbers: impl Iterator<Item = Option<N>>,
        bits: impl Fn(N) -> u64,
        rows: &mut Vec<u32>,
    ) {
        let mut last = (0, UNKNOWN);
        for number in numbers {
            let Some(number) = number else {
                rows.push(NONE);
                continue;
            };
            let key = bits(number);
            if last.0 != key || last.1 == UNKNOWN {
                let class = match self.numbers.get(&key) {
                    Some(class) => *class,
                    None => {
                        let class = self.class_of(slot, &number.to_string(), Kind::Number);
                        if self.numbers.len() >= KEPT_NUMBERS {
                            self.numbers.clear();
                        }
                        self.numbers.insert(key, class);
                        class
                    }
                };
                last = (key, class);
            }
            rows.push(last.1);
        }
    }
}

impl Slot {
    fn judge_value(&self, text: &str, kind: Kind, found: &mut Found) {
        let json = &self.source.json;
        match self.reading {
            Reading::One if json.is_empty() => self.judge.judge(text, kind, found),
            Reading::One => {
                if let Some(value) = json_path::get(text, json) {
                    self.judge.judge(&value, Kind::Text, found);
                }
            }
            Reading::Members if json.is_empty() && !text.starts_with('[') => {
                self.judge.judge(text, kind, found);
            }
            Reading::Members => {
                let complete = json_path::members(text, json, &mut |value, kind| {
                    self.judge.judge(value, kind, found);
                });
                if !complete && json.is_empty() {
                    self.judge.judge(text, kind, found);
                }
            }
        }
    }
}

/// Says whether the arrays are the same memory. Both are held, so that no memory is used again meanwhile.
fn same_values(a: &ArrayRef, b: &ArrayRef) -> bool {
    std::sync::Arc::ptr_eq(a, b) || (a.len() == b.len() && a.to_data().ptr_eq(&b.to_data()))
}

fn text_at(values: &ArrayRef, index: usize) -> Option<&str> {
    if values.is_null(index) {
        return None;
    }
    match values.data_type() {
        DataType::Utf8 => Some(values.as_string::<i32>().value(index)),
        DataType::LargeUtf8 => Some(values.as_string::<i64>().value(index)),
        DataType::Utf8View => Some(values.as_string_view().value(index)),
        _ => None,
    }
}
