//! JSON text in one column: each distinct text is walked over once for all fields that any rule looks for in it.

use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowDictionaryKeyType, ArrowNativeType, DataType};
use arrow::downcast_dictionary_array;
use arrow::error::ArrowError;
use hashbrown::HashMap;

use super::slot::{KEPT_DICTIONARIES, NONE, Slot, same_values, text_at};
use super::slot_batch::SlotBatch;
use super::values::AtomId;
use crate::column::render_text;
use crate::json_path::JsonPaths;
use crate::resolve::Resolved;

/// JSON text in one place, and the fields inside it.
#[derive(Debug)]
pub(crate) struct Group {
    /// Where the text is; its path into JSON is empty.
    pub(crate) source: Resolved,
    /// Where the fields are, numbered as in `fields`.
    pub(crate) paths: JsonPaths,
    /// What is asked of the values at each path.
    pub(crate) fields: Vec<Inside>,
}

/// A field inside JSON text.
#[derive(Debug)]
pub(crate) struct Inside {
    /// Its slot.
    pub(crate) slot: usize,
    /// Those of the slot's tests that apply here, in order; nothing for all.
    pub(crate) atoms: Option<Arc<[AtomId]>>,
}

/// The slots that a text has values for, with their classes but [`NONE`].
type Classes = Arc<[(usize, u32)]>;

/// What is kept between the batches of one partition.
#[derive(Debug, Default)]
pub(crate) struct GroupState {
    /// The batch that was evaluated last.
    pub(crate) batch: u64,
    dictionaries: Vec<(ArrayRef, Vec<Option<Classes>>)>,
    touched: Vec<usize>,
    hasher: RandomState,
}

impl GroupState {
    /// Forgets the classes of texts that were seen: their numbers have changed.
    pub(crate) fn forget(&mut self) {
        self.dictionaries.clear();
    }
}

/// The fields of a group in one batch.
pub(crate) struct GroupBatch<'b> {
    pub(crate) group: &'b Group,
    pub(crate) slots: &'b [Slot],
    pub(crate) of_slots: &'b mut [SlotBatch],
    pub(crate) state: &'b mut GroupState,
}

impl GroupBatch<'_> {
    /// Adds to the slots' hits what the texts of `values` hold. `distinct` false walks over each row's text and is for
    /// measurements only.
    pub(crate) fn evaluate(&mut self, values: &ArrayRef, distinct: bool) -> Result<(), ArrowError> {
        if values.null_count() == values.len() {
            return Ok(());
        }
        match values.data_type() {
            DataType::Dictionary(_, value) if distinct && value.is_string() => {
                let values = values.as_ref();
                downcast_dictionary_array!(
                    values => {
                        self.dictionary(values.keys(), values.values());
                        Ok(())
                    },
                    other => Err(ArrowError::InvalidArgumentError(format!("{other} is not a dictionary")))
                )
            }
            DataType::Utf8 => {
                self.texts(values.as_string::<i32>().iter(), distinct);
                Ok(())
            }
            DataType::LargeUtf8 => {
                self.texts(values.as_string::<i64>().iter(), distinct);
                Ok(())
            }
            DataType::Utf8View => {
                self.texts(values.as_string_view().iter(), distinct);
                Ok(())
            }
            _ => {
                let texts = render_text(values)?;
                self.texts(texts.as_string::<i32>().iter(), distinct);
                Ok(())
            }
        }
    }

    fn dictionary<K: ArrowDictionaryKeyType>(
        &mut self,
        keys: &arrow::array::PrimitiveArray<K>,
        values: &ArrayRef,
    ) {
        let kept = &mut self.state.dictionaries;
        let mut classes = match kept
            .iter()
            .position(|(known, _)| same_values(known, values))
        {
            Some(at) => kept.remove(at).1,
            None => vec![None; values.len()],
        };
        for (row, key) in (0..).zip(keys) {
            let Some(key) = key.map(ArrowNativeType::as_usize) else {
                continue;
            };
            let of_text = match &classes[key] {
                Some(known) => Arc::clone(known),
                None => {
                    let found = self.classes(text_at(values, key).unwrap_or_default());
                    classes[key] = Some(Arc::clone(&found));
                    found
                }
            };
            self.hit(row, &of_text);
        }
        let kept = &mut self.state.dictionaries;
        kept.insert(0, (Arc::clone(values), classes));
        kept.truncate(KEPT_DICTIONARIES);
    }

    fn texts<'a>(&mut self, texts: impl Iterator<Item = Option<&'a str>>, distinct: bool) {
        let hasher = self.state.hasher.clone();
        let mut seen: HashMap<&str, Classes, _> = HashMap::with_hasher(hasher);
        for (row, text) in (0..).zip(texts) {
            let Some(text) = text else {
                continue;
            };
            let of_text = match seen.get(text) {
                Some(known) => Arc::clone(known),
                None => {
                    let found = self.classes(text);
                    if distinct {
                        seen.insert(text, Arc::clone(&found));
                    }
                    found
                }
            };
            self.hit(row, &of_text);
        }
    }

    /// Walks over a text and returns what each slot's tests say of the values in it.
    fn classes(&mut self, text: &str) -> Classes {
        let (slots, of_slots) = (self.slots, &mut *self.of_slots);
        let touched = &mut self.state.touched;
        touched.clear();
        // What breaks off inside was read as far as it goes.
        self.group.paths.walk(text, &mut |path, value, kind| {
            let Inside { slot, atoms } = &self.group.fields[path];
            let state = &mut of_slots[*slot].state;
            state.add_value(&slots[*slot].evaluate, value, kind, atoms.as_deref());
            touched.push(*slot);
        });
        touched.sort_unstable();
        touched.dedup();
        let classes = touched
            .iter()
            .map(|slot| (*slot, of_slots[*slot].state.take_class()));
        classes.filter(|(_, class)| *class != NONE).collect()
    }

    fn hit(&mut self, row: u32, classes: &[(usize, u32)]) {
        for (slot, class) in classes {
            self.of_slots[*slot].hits.push((row, *class));
        }
    }
}
