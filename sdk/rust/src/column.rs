//! Typed columns: the handles that a detector keeps, and the views that a batch returns for them.

use std::borrow::Cow;
use std::marker::PhantomData;

use crate::batch::{Batch, RowIndex};
use crate::bindings::yagura::plugin::types::{Column as RawColumn, DataType};

/// A handle: a column of a rule by index and type. The methods of [`Rule`](crate::Rule) create it once.
pub struct Column<K> {
    index: usize,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Column<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Column<K> {}

impl<K> Column<K> {
    pub(crate) fn at(index: usize) -> Self {
        Self {
            index,
            kind: PhantomData,
        }
    }

    pub(crate) fn index(self) -> usize {
        self.index
    }
}

/// A type of column: [`Text`], [`Int64`], [`Float64`], [`Boolean`], [`Time`] or [`Binary`].
pub trait Kind: sealed::Sealed {
    /// The type in the contract.
    const TYPE: DataType;
    /// One value.
    type Value<'a>;
    /// All values of a batch.
    type View<'a>;
    #[doc(hidden)]
    fn view<'a>(batch: &Batch<'a>, index: usize) -> Self::View<'a>;
    #[doc(hidden)]
    fn value<'a>(view: &Self::View<'a>, row: usize) -> Option<Self::Value<'a>>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $type:ident, $value:ty, $view:ty;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $kind {}

        impl sealed::Sealed for $kind {}

        impl Kind for $kind {
            const TYPE: DataType = DataType::$type;
            type Value<'a> = $value;
            type View<'a> = $view;

            #[inline(always)]
            fn view<'a>(batch: &Batch<'a>, index: usize) -> Self::View<'a> {
                <$view>::new(batch, index)
            }

            #[inline(always)]
            fn value<'a>(view: &Self::View<'a>, row: usize) -> Option<Self::Value<'a>> {
                view.get(row)
            }
        }
    )+};
}

kinds! {
    /// UTF-8 text; JSON text for nested values.
    Text, Utf8, &'a str, Texts<'a>;
    /// Whole numbers.
    Int64, Int64, i64, Numbers<'a, i64>;
    /// Floating-point numbers.
    Float64, Float64, f64, Numbers<'a, f64>;
    /// True or false.
    Boolean, Boolean, bool, Booleans<'a>;
    /// Event times, in microseconds since 1970-01-01T00:00:00Z.
    Time, TimestampUs, i64, Numbers<'a, i64>;
    /// Bytes.
    Binary, Binary, &'a [u8], Binaries<'a>;
}

pub(crate) fn type_name(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int64 => "int64",
        DataType::Float64 => "float64",
        DataType::TimestampUs => "timestamp",
        DataType::Utf8 => "utf8",
        DataType::Binary => "binary",
    }
}

/// One bit per row, least significant bit first; empty means that all are set.
#[derive(Clone, Copy)]
struct Validity<'a>(&'a [u8]);

impl Validity<'_> {
    #[inline(always)]
    fn is_set(self, row: usize) -> bool {
        self.0.is_empty() || bit(self.0, row)
    }
}

#[inline(always)]
fn bit(bits: &[u8], row: usize) -> bool {
    bits.get(row / 8)
        .is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}

/// Whether the bytes of a text column are ASCII or UTF-8, checked for all at once.
#[derive(Clone, Copy)]
pub(crate) enum Encoding<'a> {
    Ascii,
    Utf8(&'a str),
    /// Some value is not UTF-8.
    Unknown,
}

impl<'a> Encoding<'a> {
    #[inline(never)]
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        if is_ascii(bytes) {
            return Self::Ascii;
        }
        str::from_utf8(bytes).map_or(Self::Unknown, Self::Utf8)
    }
}

/// Like [`slice::is_ascii`], which reads four or eight bytes per step on 32 bits; this reads 64.
fn is_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.chunks(8).all(|words| {
        let bits = words
            .iter()
            .fold(0, |bits, word| bits | u64::from_le_bytes(*word));
        bits & 0x8080_8080_8080_8080 == 0
    }) && rest.is_ascii()
}

/// Where each value of a text or binary column starts and ends.
#[derive(Clone, Copy)]
struct Offsets<'a>(&'a [[u8; 4]]);

impl<'a> Offsets<'a> {
    #[inline(always)]
    fn new(column: &'a RawColumn) -> Self {
        Self(column.offsets.as_chunks().0)
    }

    #[inline(always)]
    fn range(self, row: usize) -> Option<std::ops::Range<usize>> {
        let end = self.0.get(row.wrapping_add(1))?;
        let start = self.0.get(row)?;
        Some(u32::from_le_bytes(*start) as usize..u32::from_le_bytes(*end) as usize)
    }

    fn rows(self) -> usize {
        self.0.len().saturating_sub(1)
    }
}

/// The values of a [`Text`] column.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    validity: Validity<'a>,
    offsets: Offsets<'a>,
    values: &'a [u8],
    encoding: Encoding<'a>,
}

impl<'a> Texts<'a> {
    #[inline(always)]
    fn new(batch: &Batch<'a>, index: usize) -> Self {
        let column = batch.raw(index);
        Self {
            validity: Validity(&column.validity),
            offsets: Offsets::new(column),
            values: &column.values,
            encoding: batch.encoding(index),
        }
    }

    /// Returns the text of a row, or `None` if it is NULL. A value that is not UTF-8, which the host never sends,
    /// is `None` too.
    #[inline(always)]
    pub fn get(&self, row: impl RowIndex) -> Option<&'a str> {
        let row = row.row_index();
        if !self.validity.is_set(row) {
            return None;
        }
        let range = self.offsets.range(row)?;
        match self.encoding {
            // SAFETY: any part of ASCII is ASCII, and so UTF-8.
            Encoding::Ascii => Some(unsafe { str::from_utf8_unchecked(self.values.get(range)?) }),
            // The column as a whole is UTF-8: a value needs no check but that of its ends.
            Encoding::Utf8(text) => text.get(range),
            Encoding::Unknown => str::from_utf8(self.values.get(range)?).ok(),
        }
    }

    /// Returns the value of every row in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&'a str>> {
        let view = *self;
        (0..view.offsets.rows()).map(move |row| view.get(row))
    }
}

/// The values of a [`Binary`] column.
#[derive(Clone, Copy)]
pub struct Binaries<'a> {
    validity: Validity<'a>,
    offsets: Offsets<'a>,
    values: &'a [u8],
}

impl<'a> Binaries<'a> {
    #[inline(always)]
    fn new(batch: &Batch<'a>, index: usize) -> Self {
        let column = batch.raw(index);
        Self {
            validity: Validity(&column.validity),
            offsets: Offsets::new(column),
            values: &column.values,
        }
    }

    /// Returns the bytes of a row, or `None` if they are NULL.
    #[inline(always)]
    pub fn get(&self, row: impl RowIndex) -> Option<&'a [u8]> {
        let row = row.row_index();
        if !self.validity.is_set(row) {
            return None;
        }
        self.values.get(self.offsets.range(row)?)
    }

    /// Returns the value of every row in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> {
        let view = *self;
        (0..view.offsets.rows()).map(move |row| view.get(row))
    }
}

/// The values of a [`Boolean`] column.
#[derive(Clone, Copy)]
pub struct Booleans<'a> {
    validity: Validity<'a>,
    values: &'a [u8],
    rows: usize,
}

impl<'a> Booleans<'a> {
    #[inline(always)]
    fn new(batch: &Batch<'a>, index: usize) -> Self {
        let column = batch.raw(index);
        Self {
            validity: Validity(&column.validity),
            values: &column.values,
            rows: batch.len(),
        }
    }

    /// Returns the value of a row, or `None` if it is NULL.
    #[inline(always)]
    pub fn get(&self, row: impl RowIndex) -> Option<bool> {
        let row = row.row_index();
        (row < self.rows && self.validity.is_set(row)).then(|| bit(self.values, row))
    }

    /// Returns the value of every row in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<bool>> {
        let view = *self;
        (0..view.rows).map(move |row| view.get(row))
    }
}

/// A number of eight bytes: `i64` or `f64`.
pub trait Number: Copy + sealed::Sealed + 'static {
    #[doc(hidden)]
    fn from_bytes(bytes: [u8; 8]) -> Self;
}

impl sealed::Sealed for i64 {}
impl sealed::Sealed for f64 {}

impl Number for i64 {
    fn from_bytes(bytes: [u8; 8]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

impl Number for f64 {
    fn from_bytes(bytes: [u8; 8]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

/// The values of an [`Int64`], [`Float64`] or [`Time`] column.
#[derive(Clone, Copy)]
pub struct Numbers<'a, T> {
    validity: Validity<'a>,
    values: &'a [[u8; 8]],
    kind: PhantomData<T>,
}

impl<'a, T: Number> Numbers<'a, T> {
    #[inline(always)]
    fn new(batch: &Batch<'a>, index: usize) -> Self {
        let column = batch.raw(index);
        Self {
            validity: Validity(&column.validity),
            values: column.values.as_chunks().0,
            kind: PhantomData,
        }
    }

    /// Returns the number of a row, or `None` if it is NULL.
    #[inline(always)]
    pub fn get(&self, row: impl RowIndex) -> Option<T> {
        let row = row.row_index();
        let bytes = self.values.get(row)?;
        self.validity.is_set(row).then(|| T::from_bytes(*bytes))
    }

    /// Returns the value of every row in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<T>> {
        let view = *self;
        (0..view.values.len()).map(move |row| view.get(row))
    }

    /// Returns the numbers of all rows as a slice. The value of a NULL row is undefined.
    ///
    /// The slice is a view of the host's bytes if they are aligned, as they are in a component; otherwise it is a copy.
    pub fn values(&self) -> Cow<'a, [T]> {
        if cfg!(target_endian = "little") {
            // SAFETY: `Number` is sealed to `i64` and `f64`, of which every pattern of eight bytes is a value, and
            // little-endian byte order is the machine's own.
            let (before, numbers, after) = unsafe { self.values.as_flattened().align_to::<T>() };
            if before.is_empty() && after.is_empty() {
                return Cow::Borrowed(numbers);
            }
        }
        self.values
            .iter()
            .map(|bytes| T::from_bytes(*bytes))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(bytes: &[u8]) -> Numbers<'_, i64> {
        Numbers {
            validity: Validity(&[]),
            values: bytes.as_chunks().0,
            kind: PhantomData,
        }
    }

    #[test]
    fn slices_of_numbers_are_right_whatever_the_alignment() {
        let wanted: Vec<i64> = (-3..60).map(|n| n * 0x0102_0304_0506).collect();
        let mut copies = 0;
        for shift in 0..8 {
            let mut bytes = vec![0; shift];
            bytes.extend(wanted.iter().flat_map(|n| n.to_le_bytes()));
            let view = numbers(&bytes[shift..]);
            let values = view.values();
            assert_eq!(values.as_ref(), wanted);
            assert!(view.iter().eq(wanted.iter().copied().map(Some)));
            copies += usize::from(matches!(values, Cow::Owned(_)));
        }
        // Of eight neighbouring addresses exactly one is aligned.
        assert_eq!(copies, 7);
    }

    #[test]
    fn one_byte_anywhere_makes_text_no_ascii() {
        for length in 0..150 {
            let mut bytes = vec![b'a'; length];
            assert!(is_ascii(&bytes), "{length}");
            for at in 0..length {
                bytes[at] = 0x80;
                assert!(!is_ascii(&bytes), "byte {at} of {length}");
                bytes[at] = 0x7f;
            }
        }
    }

    #[test]
    fn rows_outside_the_batch_have_no_value() {
        let view = numbers(&[1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(view.get(0_u32), Some(1));
        assert_eq!(view.get(1_u32), None);
        let booleans = Booleans {
            validity: Validity(&[]),
            values: &[0xff],
            rows: 3,
        };
        assert_eq!(booleans.iter().flatten().count(), 3);
        assert_eq!(booleans.get(3_usize), None);
    }
}
