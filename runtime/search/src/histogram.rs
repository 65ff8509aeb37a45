//! How many hits there are in each stretch of time.

use std::collections::BTreeMap;

/// Lengths of a stretch, in seconds: from a second to a year.
const LENGTHS: [i64; 17] = [
    1, 5, 15, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000,
    7_776_000, 15_552_000, 31_536_000,
];
/// Stretches that are kept apart while it is not known how far hits reach.
const MAX_STRETCHES: usize = 20_000;

/// Counts of hits by event time.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Index into [`LENGTHS`].
    length: usize,
    counts: BTreeMap<i64, u64>,
    /// Hits without a time.
    pub without_time: u64,
}

impl Histogram {
    /// Counts hits at a time in microseconds since 1970, UTC.
    pub(crate) fn add(&mut self, micros: Option<i64>, count: u64) {
        let Some(micros) = micros else {
            self.without_time += count;
            return;
        };
        let start = start_of(micros.div_euclid(1_000_000), LENGTHS[self.length]);
        *self.counts.entry(start).or_default() += count;
        while self.counts.len() > MAX_STRETCHES && self.length + 1 < LENGTHS.len() {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        self.length += 1;
        let length = LENGTHS[self.length];
        for (start, count) in std::mem::take(&mut self.counts) {
            *self.counts.entry(start_of(start, length)).or_default() += count;
        }
    }

    /// Returns at most `most` stretches from the first hit to the last, those without a hit too: starts in seconds since 1970, and
    /// counts. Also returns how many seconds each is long.
    pub fn stretches(mut self, most: usize) -> (i64, Vec<(i64, u64)>) {
        let fits = |histogram: &Self| {
            let first = histogram.counts.keys().next().copied().unwrap_or_default();
            let last = histogram
                .counts
                .keys()
                .next_back()
                .copied()
                .unwrap_or_default();
            let length = LENGTHS[histogram.length];
            ((last - first) / length) < i64::try_from(most).unwrap_or(i64::MAX)
        };
        while !fits(&self) && self.length + 1 < LENGTHS.len() {
            self.coarsen();
        }
        let length = LENGTHS[self.length];
        let Some((first, last)) = self
            .counts
            .keys()
            .next()
            .copied()
            .zip(self.counts.keys().next_back().copied())
        else {
            return (length, Vec::new());
        };
        if !fits(&self) {
            // Centuries: those without a hit are left out.
            return (length, self.counts.into_iter().collect());
        }
        let starts = (0..=(last - first) / length).map(|number| first + number * length);
        let stretches =
            starts.map(|start| (start, self.counts.get(&start).copied().unwrap_or_default()));
        (length, stretches.collect())
    }
}

fn start_of(second: i64, length: i64) -> i64 {
    second.div_euclid(length) * length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_as_short_as_fits_and_those_without_a_hit_are_there() {
        let mut histogram = Histogram::default();
        for second in [0, 1, 1, 7, 600] {
            histogram.add(Some(second * 1_000_000 + 5), 1);
        }
        histogram.add(None, 1);
        assert_eq!(histogram.without_time, 1);
        let (length, stretches) = histogram.stretches(3);
        assert_eq!((length, stretches), (300, vec![(0, 4), (300, 0), (600, 1)]));
        assert_eq!(Histogram::default().stretches(10).1, []);
    }

    #[test]
    fn however_far_hits_reach_none_is_lost_and_memory_is_bounded() {
        let mut histogram = Histogram::default();
        for number in 0..100_000_i64 {
            histogram.add(Some(number * 3_600_000_000), 1);
        }
        histogram.add(Some(i64::MAX), 1);
        histogram.add(Some(i64::MIN), 1);
        assert!(histogram.counts.len() <= MAX_STRETCHES);
        let (_, stretches) = histogram.stretches(60);
        assert_eq!(
            stretches.iter().map(|(_, count)| count).sum::<u64>(),
            100_002
        );
    }
}
