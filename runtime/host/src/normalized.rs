//! A normalizer's answer: checked once, then read record by record.

use crate::text::readable;

/// What a normalizer returned, as bytes, before anything of it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RawAnswer {
    /// `records` of the contract.
    pub(crate) records: Vec<u8>,
    /// `events` of the contract.
    pub(crate) validity: Vec<u8>,
    pub(crate) offsets: Vec<u8>,
    pub(crate) values: Vec<u8>,
    /// `malformed` of the contract.
    pub(crate) malformed: Vec<(u32, String)>,
}

/// What a normalizer made of the records of one call. It has exactly as many records as the call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NormalizedRecords {
    /// Where the events of each record begin among all events; one entry more than records.
    first: Vec<usize>,
    /// Where each event begins in the text; one entry more than events.
    offsets: Vec<usize>,
    text: String,
    malformed: Vec<(usize, String)>,
}

/// What one record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordContent<'a> {
    /// Its events, in their order; there may be none. Each should be a JSON object, and nobody has checked that it is.
    Events(Vec<&'a str>),
    /// It is malformed, with the plugin's reason on one line of at most 4 KiB.
    Malformed(&'a str),
}

impl NormalizedRecords {
    /// Checks the answer about `records` records.
    ///
    /// # Errors
    /// Why it breaks the contract.
    pub(crate) fn new(records: usize, answer: RawAnswer) -> Result<Self, String> {
        if !answer.validity.is_empty() {
            return Err("`events` has a validity, and no event can be NULL".to_owned());
        }
        let first = integers("records", &answer.records, records)?;
        let events = first.last().copied().unwrap_or_default();
        let offsets = integers("the offsets of `events`", &answer.offsets, events)?;
        let end = offsets.last().copied().unwrap_or_default();
        if end != answer.values.len() {
            return Err(format!(
                "the last offset of `events` is {end}, and the values have {} bytes",
                answer.values.len()
            ));
        }
        let text = String::from_utf8(answer.values)
            .map_err(|error| format!("`events` is not UTF-8: {}", error.utf8_error()))?;
        if let Some(at) = offsets.iter().find(|at| !text.is_char_boundary(**at)) {
            return Err(format!(
                "the offset {at} of `events` lies within a character"
            ));
        }
        let mut malformed = Vec::with_capacity(answer.malformed.len().min(records));
        let mut next = 0;
        for (index, reason) in answer.malformed {
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            if at < next || at >= records {
                return Err(format!(
                    "`malformed` names record {index} of {records}, and must name each at most once, in order"
                ));
            }
            if first[at] != first[at + 1] {
                return Err(format!("record {index} is malformed and has events"));
            }
            next = at + 1;
            malformed.push((at, readable(&reason)));
        }
        Ok(Self {
            first,
            offsets,
            text,
            malformed,
        })
    }

    /// Checks an answer as [`Normalizer::normalize`](crate::Normalizer::normalize) does: for fuzzing.
    #[doc(hidden)]
    pub fn of_bytes(
        records: usize,
        (first, validity, offsets, values): (&[u8], &[u8], &[u8], &[u8]),
        malformed: Vec<(u32, String)>,
    ) -> Result<Self, String> {
        let answer = RawAnswer {
            records: first.to_vec(),
            validity: validity.to_vec(),
            offsets: offsets.to_vec(),
            values: values.to_vec(),
            malformed,
        };
        Self::new(records, answer)
    }

    /// Returns what each record holds, in the order of the records.
    pub fn iter(&self) -> impl Iterator<Item = RecordContent<'_>> {
        let mut malformed = self.malformed.iter().peekable();
        self.first
            .windows(2)
            .enumerate()
            .map(move |(record, range)| {
                if let Some((_, reason)) = malformed.next_if(|(at, _)| *at == record) {
                    return RecordContent::Malformed(reason);
                }
                let events = range[0]..range[1];
                RecordContent::Events(events.map(|event| self.event(event)).collect())
            })
    }

    fn event(&self, event: usize) -> &str {
        &self.text[self.offsets[event]..self.offsets[event + 1]]
    }
}

/// Reads `count` + 1 ascending integers of four bytes that begin with 0.
fn integers(what: &str, bytes: &[u8], count: usize) -> Result<Vec<usize>, String> {
    let expected = count.checked_add(1).and_then(|count| count.checked_mul(4));
    if expected != Some(bytes.len()) {
        return Err(format!(
            "{what} has {} bytes, and {count} + 1 integers of four bytes were expected",
            bytes.len()
        ));
    }
    let mut integers = Vec::with_capacity(count + 1);
    let mut last = 0;
    for bytes in bytes.as_chunks::<4>().0 {
        let integer = usize::try_from(u32::from_le_bytes(*bytes)).unwrap_or(usize::MAX);
        if integer < last || (integers.is_empty() && integer != 0) {
            return Err(format!(
                "{what} must begin with 0 and ascend, and has {integer} after {last}"
            ));
        }
        last = integer;
        integers.push(integer);
    }
    Ok(integers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(integers: &[u32]) -> Vec<u8> {
        integers.iter().flat_map(|of| of.to_le_bytes()).collect()
    }

    fn answer(records: &[u32], offsets: &[u32], text: &str) -> RawAnswer {
        RawAnswer {
            records: bytes(records),
            offsets: bytes(offsets),
            values: text.into(),
            ..RawAnswer::default()
        }
    }

    #[test]
    fn each_record_has_its_events() {
        let mut given = answer(&[0, 1, 1, 1, 3], &[0, 2, 4, 9], "{}[]é{\"a");
        given.malformed = vec![(2, "no\ntime".to_owned())];
        given.offsets = bytes(&[0, 2, 4, 9]);
        let read = NormalizedRecords::new(4, given).unwrap();
        let found: Vec<_> = read.iter().collect();
        assert_eq!(
            found,
            [
                RecordContent::Events(vec!["{}"]),
                RecordContent::Events(vec![]),
                RecordContent::Malformed("no time"),
                RecordContent::Events(vec!["[]", "é{\"a"]),
            ]
        );
        let none = NormalizedRecords::new(0, answer(&[0], &[0], "")).unwrap();
        assert_eq!(none.iter().count(), 0);
    }

    #[test]
    fn an_answer_that_breaks_the_contract_is_named() {
        for (given, reason) in [
            (answer(&[0, 1], &[0, 2], "{}"), "2 + 1 integers"),
            (answer(&[0, 1, 1, 1], &[0, 2], "{}"), "2 + 1 integers"),
            (answer(&[1, 1, 1], &[0, 2], "{}"), "begin with 0"),
            (answer(&[0, 1, 0], &[0, 2], "{}"), "0 after 1"),
            (
                answer(&[0, 1, 2], &[0, 2], "{}"),
                "the offsets of `events` has 8 bytes",
            ),
            (answer(&[0, 1, 2], &[0, 3, 2], "{}"), "2 after 3"),
            (answer(&[0, 1, 2], &[0, 1, 9], "{}"), "the last offset"),
            (answer(&[0, 1, 2], &[0, 1, 1], "{}"), "the last offset"),
            (answer(&[0, 1, 2], &[0, 1, 2], "é"), "within a character"),
            (
                answer(&[0, u32::MAX, u32::MAX], &[0], ""),
                "4294967295 + 1 integers",
            ),
        ] {
            let error = NormalizedRecords::new(2, given).unwrap_err();
            assert!(error.contains(reason), "{reason}: {error}");
        }
        let mut given = answer(&[0, 1, 1], &[0, 2], "{}");
        given.validity = vec![1];
        let error = NormalizedRecords::new(2, given).unwrap_err();
        assert!(error.contains("validity"), "{error}");
        let mut given = answer(&[0, 1, 1], &[0, 2], "{}");
        given.values = vec![0xff, 0xfe];
        let error = NormalizedRecords::new(2, given).unwrap_err();
        assert!(error.contains("not UTF-8"), "{error}");
        for (malformed, reason) in [
            (vec![0], "record 0 is malformed and has events"),
            (vec![2], "record 2 of 2"),
            (vec![1, 1], "record 1 of 2"),
        ] {
            let mut given = answer(&[0, 1, 1], &[0, 2], "{}");
            given.malformed = malformed
                .into_iter()
                .map(|at| (at, String::new()))
                .collect();
            let error = NormalizedRecords::new(2, given).unwrap_err();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_about_all_records_or_an_error(
            records in 0_usize..6,
            first in prop::collection::vec(0_u32..5, 0..8),
            offsets in prop::collection::vec(0_u32..9, 0..8),
            values in prop::collection::vec(any::<u8>(), 0..10),
            malformed in prop::collection::vec((0_u32..7, ".{0,3}"), 0..3),
        ) {
            let given = RawAnswer {
                records: bytes(&first),
                validity: Vec::new(),
                offsets: bytes(&offsets),
                values,
                malformed,
            };
            if let Ok(read) = NormalizedRecords::new(records, given) {
                prop_assert_eq!(read.iter().count(), records);
            }
        }
    }
}
