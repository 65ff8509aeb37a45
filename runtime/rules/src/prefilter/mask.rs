//! Rows of a batch as bits.

use arrow::buffer::{BooleanBuffer, Buffer};

/// One bit a row, 64 to a word, the first row lowest; bits beyond the last row are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mask {
    None,
    All,
    Some(Vec<u64>),
}

impl Mask {
    /// Returns the mask of these bits, in its shortest form.
    pub(crate) fn of(bits: Vec<u64>, rows: usize) -> Self {
        let count: usize = bits.iter().map(|word| word.count_ones() as usize).sum();
        match count {
            0 => Self::None,
            all if all == rows => Self::All,
            _ => Self::Some(bits),
        }
    }

    pub(crate) fn from_buffer(buffer: &BooleanBuffer) -> Self {
        let rows = buffer.len();
        let mut bits: Vec<u64> = buffer.bit_chunks().iter_padded().collect();
        bits.truncate(rows.div_ceil(64));
        Self::of(bits, rows)
    }

    pub(crate) fn to_buffer(&self, rows: usize) -> BooleanBuffer {
        match self {
            Self::None => BooleanBuffer::new_unset(rows),
            Self::All => BooleanBuffer::new_set(rows),
            Self::Some(bits) => BooleanBuffer::new(Buffer::from_vec(bits.clone()), 0, rows),
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Keeps the rows that are also in `other`.
    pub(crate) fn and(self, other: &Self, rows: usize) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (mine, Self::All) => mine,
            (Self::All, other) => other.clone(),
            (Self::Some(mut mine), Self::Some(other)) => {
                for (word, with) in mine.iter_mut().zip(other) {
                    *word &= with;
                }
                Self::of(mine, rows)
            }
        }
    }

    /// Adds the rows of `other`.
    pub(crate) fn or(self, other: &Self, rows: usize) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (mine, Self::None) => mine,
            (Self::None, other) => other.clone(),
            (Self::Some(mut mine), Self::Some(other)) => {
                for (word, with) in mine.iter_mut().zip(other) {
                    *word |= with;
                }
                Self::of(mine, rows)
            }
        }
    }

    pub(crate) fn not(&self, rows: usize) -> Self {
        match self {
            Self::None => Self::All,
            Self::All => Self::None,
            Self::Some(bits) => {
                let mut bits: Vec<u64> = bits.iter().map(|word| !word).collect();
                if let (Some(last), rest @ 1..) = (bits.last_mut(), rows % 64) {
                    *last &= (1 << rest) - 1;
                }
                Self::Some(bits)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_sets_of_rows() {
        let rows = 70;
        let of = |wanted: &[usize]| {
            let mut bits = vec![0; 2];
            for row in wanted {
                bits[row / 64] |= 1 << (row % 64);
            }
            Mask::of(bits, rows)
        };
        let (a, b) = (of(&[0, 5, 69]), of(&[5, 6, 69]));
        assert_eq!(a.clone().and(&b, rows), of(&[5, 69]));
        assert_eq!(a.clone().or(&b, rows), of(&[0, 5, 6, 69]));
        assert_eq!(a.not(rows).or(&a, rows), Mask::All);
        assert_eq!(a.not(rows).and(&a, rows), Mask::None);
        assert_eq!(Mask::All.not(rows), Mask::None);
        let buffer = a.to_buffer(rows);
        assert_eq!(buffer.set_indices().collect::<Vec<_>>(), [0, 5, 69]);
        assert_eq!(Mask::from_buffer(&buffer), a);
        assert_eq!(Mask::from_buffer(&buffer.slice(5, 65)), {
            let mut bits = vec![0; 2];
            bits[0] |= 1;
            bits[1] |= 1;
            Mask::of(bits, 65)
        });
    }
}
