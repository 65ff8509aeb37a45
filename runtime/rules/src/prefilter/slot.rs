//! One field of one batch: which rows pass which tests, each distinct value evaluated once.
//!
//! Values are sorted into classes: two values are of one class when they pass the same tests. Class 0 passes none, and
//! nearly every value is of it, so only rows of other classes are kept. A dictionary that comes again with the next batch of
//! a row group keeps its classes. What lies inside JSON text is evaluated for all fields at once: see [`super::nested`].

use std::collections::HashMap;

use ahash::RandomState;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{ArrowDictionaryKeyType, DataType, Float64Type, Int64Type};
use arrow::downcast_dictionary_array;
use arrow::error::ArrowError;
use hashbrown::HashTable;
use yagura_core::json::is_container;

use super::values::{AtomId, PassedTests, ValueEvaluator, ValueKind};
use crate::column::render_text;
use crate::json_path::JsonPaths;
use crate::predicate::FieldReading;
use crate::resolve::Resolved;

/// Class of values that pass no test.
pub(crate) const NONE: u32 = 0;

/// A row and its class, which is not [`NONE`]. A row whose field is in several places may be there several times.
pub(crate) type RowClass = (u32, u32);
pub(crate) const UNKNOWN: u32 = u32::MAX;
/// Dictionaries whose classes are kept: one for each column of the row groups that are read side by side.
pub(crate) const KEPT_DICTIONARIES: usize = 4;
/// Numbers whose classes are kept.
const KEPT_NUMBERS: usize = 1 << 16;

/// A field and all tests of it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Where the field is as a value of its own.
    pub(crate) sources: Vec<Resolved>,
    /// Where it is inside JSON text: indexes into [`super::Program::groups`].
    pub(crate) groups: Vec<usize>,
    /// How values are taken from it.
    pub(crate) reading: FieldReading,
    /// Its tests.
    pub(crate) evaluate: ValueEvaluator,
    /// The value as a whole, read as `reading` says.
    pub(crate) whole: JsonPaths,
}

/// What is kept between the batches of one partition.
#[derive(Debug)]
pub(crate) struct SlotState {
    /// Atoms of each class.
    pub(crate) classes: Vec<Box<[AtomId]>>,
    ids: HashMap<Box<[AtomId]>, u32>,
    dictionaries: Vec<(ArrayRef, Vec<u32>)>,
    numbers: HashMap<u64, u32, RandomState>,
    found: PassedTests,
    hasher: RandomState,
}

impl Default for SlotState {
    fn default() -> Self {
        Self {
            classes: vec![Box::default()],
            ids: HashMap::from([(Box::default(), NONE)]),
            dictionaries: Vec::new(),
            numbers: HashMap::default(),
            found: PassedTests::default(),
            hasher: RandomState::default(),
        }
    }
}

impl SlotState {
    fn class_of(&mut self, slot: &Slot, text: &str, kind: ValueKind) -> u32 {
        slot.evaluate_value(text, kind, &mut self.found);
        self.take_class()
    }

    /// Adds the tests that one of several values passes to those of the others; of these tests only, if some are given.
    pub(crate) fn add_value(
        &mut self,
        evaluate: &ValueEvaluator,
        text: &str,
        kind: ValueKind,
        of: Option<&[AtomId]>,
    ) {
        let before = self.found.atoms.len();
        evaluate.evaluate(text, kind, &mut self.found);
        if let Some(of) = of {
            self.found.keep(before, of);
        }
    }

    /// Returns the class of the values that were added, and begins anew: what is left behind would be added to the next value's.
    pub(crate) fn take_class(&mut self) -> u32 {
        let class = self.class_of_found();
        self.found.clear();
        class
    }

    fn class_of_found(&mut self) -> u32 {
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

    /// Adds to `hits` the rows of `values`, an array of the field, that are of a class. `dictionary` false evaluates row by row
    /// and is for measurements only.
    pub(crate) fn evaluate(
        &mut self,
        slot: &Slot,
        values: &ArrayRef,
        dictionary: bool,
        hits: &mut Vec<RowClass>,
    ) -> Result<(), ArrowError> {
        if values.null_count() == values.len() {
            return Ok(());
        }
        match values.data_type() {
            DataType::Dictionary(_, value) if dictionary && value.is_string() => {
                let values = values.as_ref();
                downcast_dictionary_array!(
                    values => {
                        self.evaluate_dictionary(slot, values.keys(), values.values(), hits);
                        Ok(())
                    },
                    other => Err(ArrowError::InvalidArgumentError(format!("{other} is not a dictionary")))
                )
            }
            DataType::Dictionary(_, value) => {
                self.evaluate(slot, &cast(values, value)?, dictionary, hits)
            }
            DataType::Utf8 => {
                self.evaluate_texts(slot, values.as_string::<i32>().iter(), dictionary, hits);
                Ok(())
            }
            DataType::LargeUtf8 => {
                self.evaluate_texts(slot, values.as_string::<i64>().iter(), dictionary, hits);
                Ok(())
            }
            DataType::Utf8View => {
                self.evaluate_texts(slot, values.as_string_view().iter(), dictionary, hits);
                Ok(())
            }
            DataType::Boolean => {
                let classes = [false, true].map(|b| {
                    self.class_of(slot, if b { "true" } else { "false" }, ValueKind::Bool)
                });
                let values: &BooleanArray = values.as_boolean();
                let of_rows = values.iter();
                hits.extend((0..).zip(of_rows).filter_map(|(row, value)| {
                    let class = classes[usize::from(value?)];
                    (class != NONE).then_some((row, class))
                }));
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
                self.evaluate_numbers(
                    slot,
                    values.as_primitive::<Int64Type>().iter(),
                    i64::cast_unsigned,
                    hits,
                );
                Ok(())
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let values = cast(values, &DataType::Float64)?;
                self.evaluate_numbers(
                    slot,
                    values.as_primitive::<Float64Type>().iter(),
                    f64::to_bits,
                    hits,
                );
                Ok(())
            }
            other => {
                let kind = if other.is_numeric() {
                    ValueKind::Number
                } else {
                    ValueKind::Text
                };
                let texts = render_text(values)?;
                let texts = texts.as_string::<i32>().iter();
                self.evaluate_texts_of(slot, texts, kind, dictionary, hits);
                Ok(())
            }
        }
    }

    fn evaluate_dictionary<K: ArrowDictionaryKeyType>(
        &mut self,
        slot: &Slot,
        keys: &arrow::array::PrimitiveArray<K>,
        values: &ArrayRef,
        hits: &mut Vec<RowClass>,
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
                    .map_or(NONE, |text| state.class_of(slot, text, ValueKind::Text));
                classes[key] = class;
                class
            };
            let as_usize = arrow::datatypes::ArrowNativeType::as_usize;
            if keys.null_count() == 0 {
                for (row, key) in (0..).zip(keys.values()) {
                    let class = class_at(self, as_usize(*key));
                    if class != NONE {
                        hits.push((row, class));
                    }
                }
            } else {
                for (row, key) in (0..).zip(keys) {
                    let class = key.map_or(NONE, |key| class_at(self, as_usize(key)));
                    if class != NONE {
                        hits.push((row, class));
                    }
                }
            }
        }
        self.dictionaries.insert(0, (values.clone(), classes));
        self.dictionaries.truncate(KEPT_DICTIONARIES);
    }

    fn evaluate_texts<'a>(
        &mut self,
        slot: &Slot,
        texts: impl Iterator<Item = Option<&'a str>>,
        distinct: bool,
        hits: &mut Vec<RowClass>,
    ) {
        self.evaluate_texts_of(slot, texts, ValueKind::Text, distinct, hits);
    }

    fn evaluate_texts_of<'a>(
        &mut self,
        slot: &Slot,
        texts: impl Iterator<Item = Option<&'a str>>,
        kind: ValueKind,
        distinct: bool,
        hits: &mut Vec<RowClass>,
    ) {
        if !distinct {
            hits.extend((0..).zip(texts).filter_map(|(row, text)| {
                let class = self.class_of(slot, text?, kind);
                (class != NONE).then_some((row, class))
            }));
            return;
        }
        let mut seen: HashTable<(&str, u32)> = HashTable::with_capacity(256);
        let hasher = self.hasher.clone();
        let hash = |text: &str| hasher.hash_one(text);
        for (row, text) in (0..).zip(texts) {
            let Some(text) = text else {
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
            if class != NONE {
                hits.push((row, class));
            }
        }
    }

    fn evaluate_numbers<N: Copy + ToString>(
        &mut self,
        slot: &Slot,
        numbers: impl Iterator<Item = Option<N>>,
        bits: impl Fn(N) -> u64,
        hits: &mut Vec<RowClass>,
    ) {
        let mut last = (0, UNKNOWN);
        for (row, number) in (0..).zip(numbers) {
            let Some(number) = number else {
                continue;
            };
            let key = bits(number);
            if last.0 != key || last.1 == UNKNOWN {
                let class = match self.numbers.get(&key) {
                    Some(class) => *class,
                    None => {
                        let class = self.class_of(slot, &number.to_string(), ValueKind::Number);
                        if self.numbers.len() >= KEPT_NUMBERS {
                            self.numbers.clear();
                        }
                        self.numbers.insert(key, class);
                        class
                    }
                };
                last = (key, class);
            }
            if last.1 != NONE {
                hits.push((row, last.1));
            }
        }
    }
}

impl Slot {
    fn evaluate_value(&self, text: &str, kind: ValueKind, found: &mut PassedTests) {
        let may_hold = match self.reading {
            FieldReading::One => false,
            FieldReading::Members => text.starts_with('['),
            FieldReading::Anywhere => is_container(text),
        };
        let is_json = may_hold
            && self.whole.walk(text, &mut |_, value, kind| {
                self.evaluate.evaluate(value, kind, found)
            });
        if !is_json {
            self.evaluate.evaluate(text, kind, found);
        }
    }
}

/// Says whether the arrays are the same memory. Both are held, so that no memory is used again meanwhile.
pub(crate) fn same_values(a: &ArrayRef, b: &ArrayRef) -> bool {
    std::sync::Arc::ptr_eq(a, b) || (a.len() == b.len() && a.to_data().ptr_eq(&b.to_data()))
}

pub(crate) fn text_at(values: &ArrayRef, index: usize) -> Option<&str> {
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
