//! Arguments of any type, as texts.

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

/// The texts of an argument.
#[derive(Debug)]
pub(crate) enum Texts {
    /// The same in each row.
    Same(Option<String>),
    /// Of a column with offsets of 32 bits.
    Utf8(StringArray),
    /// Of a column with offsets of 64 bits.
    LargeUtf8(LargeStringArray),
    /// Of a column of views.
    Utf8View(StringViewArray),
}

impl Texts {
    /// Reads an argument. Bytes that are not UTF-8 become U+FFFD; other types are written as a cast writes them.
    ///
    /// # Errors
    /// A type that has no text.
    pub(crate) fn new(argument: &ColumnarValue) -> Result<Self> {
        match argument {
            ColumnarValue::Array(array) => Self::of_array(array),
            ColumnarValue::Scalar(value) => {
                let one = Self::of_array(&value.to_array()?)?;
                Ok(Self::Same(one.get(0).map(str::to_owned)))
            }
        }
    }

    fn of_array(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Utf8(array.as_string::<i32>().clone()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string::<i64>().clone()),
            DataType::Utf8View => Self::Utf8View(array.as_string_view().clone()),
            DataType::Dictionary(_, value) => Self::of_array(&cast(array, value)?)?,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                let bytes = cast(array, &DataType::LargeBinary)?;
                let bytes = bytes.as_binary::<i64>().iter();
                let texts = bytes.map(|bytes| bytes.map(String::from_utf8_lossy));
                Self::LargeUtf8(texts.collect())
            }
            _ => Self::Utf8(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
        })
    }

    /// Returns the text of a row; `None` for NULL, and behind the last row.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        macro_rules! value {
            ($array:expr) => {
                (row < $array.len() && $array.is_valid(row)).then(|| $array.value(row))
            };
        }
        match self {
            Self::Same(text) => text.as_deref(),
            Self::Utf8(array) => value!(array),
            Self::LargeUtf8(array) => value!(array),
            Self::Utf8View(array) => value!(array),
        }
    }
}
