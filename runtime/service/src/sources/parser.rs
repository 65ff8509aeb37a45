//! The plugin of a source as what parses its records: called with many at once; where a call fails, the records at fault are found.
//!
//! ```text
//! records ─▶ one call ─▶ events of each record
//!               │ fails: once more in a new instance, then its halves, and theirs
//!               ▼
//!            a record that fails alone is kept with the reason; the others go in
//! ```
//!
//! A call that fails costs time: up to the plugin's limit. So calls of parts get about as much time as they should need. If failed
//! calls used up [`FAILED_TIME`], single records get little time, too, until it has recovered: no record can stop a source.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use yagura_core::causes::causes;
use yagura_core::shown::one_line;
use yagura_host::{
    CallError, InstancePool, LimitKind, Normalizer, NormalizerPlugin, Pace, PluginError,
    RawRecords, RecordContent,
};
use yagura_lake::ingest::{ParsedRecord, RecordParser};

/// Time that failed calls of a plugin may use.
const FAILED_TIME: Duration = Duration::from_secs(60);
/// Of the time that passes, this part is given back.
const RECOVERY: u32 = 60;
/// The time that a call always has.
const LEAST_TIME: Duration = Duration::from_millis(500);
/// A call of a part gets so many times the time that its records should need.
const RESERVE: u32 = 20;
/// Records of a call, once failed calls used up their time.
const FEW_RECORDS: usize = 64;

/// Returns the opened instance of a plugin.
type Opening = dyn Fn() -> Result<Normalizer, CallError> + Send + Sync;

/// A plugin of the world `normalizer` that parses the records of a source.
pub(crate) struct PluginParser {
    /// Pack and file of the plugin, for messages.
    name: String,
    open: Box<Opening>,
    idle: InstancePool<Normalizer>,
    /// The most time of a call.
    limit: Duration,
    /// The most records of a call.
    at_once: usize,
    speed: Mutex<Speed>,
}

/// What calls took so far.
#[derive(Debug, Clone, Copy)]
struct Speed {
    /// The longest time of a record in calls of many; nothing before the first one.
    of_a_record: Option<Duration>,
    /// What failed calls took, less what was given back.
    failed: Duration,
    /// When that was.
    at: Instant,
}

/// How a call failed.
enum Failure {
    /// One of the records may be at fault.
    OfRecords(String),
    /// No record is at fault.
    OfPlugin(CallError),
}

impl PluginParser {
    /// Opens the plugin once, so that a wrong configuration is an error at the start. `at_once` is how many records a call has at
    /// most.
    ///
    /// # Errors
    /// What [`NormalizerPlugin::open`] returns.
    pub(crate) fn open(
        name: String,
        plugin: NormalizerPlugin,
        config: String,
        at_once: usize,
    ) -> Result<Self, CallError> {
        let idle = plugin.instance_pool();
        let limit = plugin.limits().time.to_std();
        let open = move || plugin.open(&config);
        idle.give_back(open()?);
        Ok(Self {
            name,
            open: Box::new(open),
            idle,
            limit,
            at_once: at_once.max(1),
            speed: Mutex::new(Speed {
                of_a_record: None,
                failed: Duration::ZERO,
                at: Instant::now(),
            }),
        })
    }

    /// Parses records in one call, or finds those at fault in several. They are added in order.
    fn together(&self, all: &[&[u8]], parsed: &mut Vec<ParsedRecord>) -> Result<(), CallError> {
        let call = |part: &[&[u8]], parsed: &mut Vec<ParsedRecord>| {
            self.twice(part, part.len() == all.len(), parsed)
        };
        separate(all, parsed, call, || self.speed().is_used_up())
    }

    /// Parses records in one call; once more in a new instance if an older one failed, or if the plugin asks for it.
    fn twice(
        &self,
        records: &[&[u8]],
        is_whole: bool,
        parsed: &mut Vec<ParsedRecord>,
    ) -> Result<(), Failure> {
        let Some(raw) = RawRecords::new(records.iter().copied()) else {
            return Err(Failure::OfRecords(
                "the records have 4 GiB or more".to_owned(),
            ));
        };
        let (idle, is_new) = match self.idle.take() {
            Some(instance) => (instance, false),
            None => ((self.open)().map_err(Failure::OfPlugin)?, true),
        };
        let error = match self.once(idle, &raw, is_whole, parsed) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let asks_again = matches!(error, CallError::Guest(PluginError::Retry(_)));
        // What an instance keeps from earlier calls, such as memory, is no fault of these records.
        let may_be_of_instance = !is_new && !matches!(error, CallError::Guest(_));
        if !asks_again && !may_be_of_instance {
            return Err(Failure::of(error));
        }
        // After an error of its own the instance that asks for it can be used again.
        let asking = if asks_again { self.idle.take() } else { None };
        let instance = match asking {
            Some(instance) => instance,
            None => (self.open)().map_err(Failure::OfPlugin)?,
        };
        let again = self.once(instance, &raw, is_whole, parsed);
        again.map_err(Failure::of)
    }

    /// Makes one call, within the time that it should need.
    fn once(
        &self,
        mut instance: Normalizer,
        records: &RawRecords,
        is_whole: bool,
        parsed: &mut Vec<ParsedRecord>,
    ) -> Result<(), CallError> {
        let most = self.speed().most(records.len(), is_whole, self.limit);
        instance.set_pace(Pace::AtMost(most));
        let start = Instant::now();
        let answer = instance.normalize(records);
        self.took(start.elapsed(), records.len(), answer.is_ok());
        // Where records come one a call, for tests, none sees what an instance keeps from others.
        if !instance.is_poisoned() && self.at_once > 1 {
            self.idle.give_back(instance);
        }
        parsed.extend(answer?.iter().map(|content| match content {
            RecordContent::Events(events) => {
                ParsedRecord::Events(events.into_iter().map(str::to_owned).collect())
            }
            RecordContent::Malformed(reason) => {
                ParsedRecord::Wrong(format!("the plugin reports it as malformed: {reason}"))
            }
        }));
        Ok(())
    }

    fn speed(&self) -> Speed {
        // No panic can leave the numbers half changed.
        *self.speed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how long a call took.
    fn took(&self, time: Duration, records: usize, is_ok: bool) {
        let mut speed = self.speed.lock().unwrap_or_else(PoisonError::into_inner);
        *speed = speed.after(time, records, is_ok, Instant::now());
    }
}

/// Parses records in one call, or the halves of those that fail, and theirs, until the records at fault stand alone. What is parsed
/// is added in the order of the records, whatever fails. Where `is_used_up`, few records that fail together are not tried alone.
fn separate(
    all: &[&[u8]],
    parsed: &mut Vec<ParsedRecord>,
    mut call: impl FnMut(&[&[u8]], &mut Vec<ParsedRecord>) -> Result<(), Failure>,
    is_used_up: impl Fn() -> bool,
) -> Result<(), CallError> {
    // The first of them lies on top.
    let mut parts = vec![all];
    while let Some(part) = parts.pop() {
        let reason = match call(part, parsed) {
            Ok(()) => continue,
            Err(Failure::OfPlugin(error)) => return Err(error),
            Err(Failure::OfRecords(reason)) => reason,
        };
        if part.len() <= 1 {
            parsed.extend(part.iter().map(|_| ParsedRecord::Wrong(reason.clone())));
        } else if part.len() <= FEW_RECORDS && is_used_up() {
            let together = format!(
                "the plugin failed on {} records together, of which this is one, and has failed too often to try each: {reason}",
                part.len()
            );
            parsed.extend(part.iter().map(|_| ParsedRecord::Wrong(together.clone())));
        } else {
            let (first, second) = part.split_at(part.len() / 2);
            parts.extend([second, first]);
        }
    }
    Ok(())
}

impl RecordParser for PluginParser {
    fn parse(&self, records: &[&[u8]]) -> Result<Vec<ParsedRecord>, Box<dyn Error + Send + Sync>> {
        let mut parsed = Vec::with_capacity(records.len());
        let mut left = records;
        while !left.is_empty() {
            let few = self.speed().is_used_up();
            let most = if few {
                self.at_once.min(FEW_RECORDS)
            } else {
                self.at_once
            };
            let (part, rest) = left.split_at(most.min(left.len()));
            let done = self.together(part, &mut parsed);
            done.map_err(|error| {
                anyhow::Error::new(error)
                    .context(format!("the plugin {} cannot be used", self.name))
            })?;
            left = rest;
        }
        Ok(parsed)
    }
}

impl std::fmt::Debug for PluginParser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginParser")
            .field("name", &self.name)
            .field("at_once", &self.at_once)
            .finish_non_exhaustive()
    }
}

impl Failure {
    /// Says whether a record may be at fault: what a plugin cannot do at all, and what the host lacks, is no record's fault.
    fn of(error: CallError) -> Self {
        let is_of_records = match &error {
            CallError::Guest(PluginError::Data(_)) | CallError::Trap(_) => true,
            CallError::Limit(limit) => limit.kind != LimitKind::Pool,
            CallError::Garbage { .. } => true,
            _ => false,
        };
        match (is_of_records, &error) {
            (true, CallError::Guest(PluginError::Data(text))) => {
                Self::OfRecords(format!("the plugin reports it as malformed: {text}"))
            }
            (true, _) => Self::OfRecords(one_line(&causes(&error).join(": "))),
            (false, _) => Self::OfPlugin(error),
        }
    }
}

impl Speed {
    /// Returns the most time of a call. The plugin's own limit bounds it.
    fn most(&self, records: usize, is_whole: bool, limit: Duration) -> Duration {
        let is_used_up = self.is_used_up();
        if (is_whole || records == 1) && !is_used_up {
            return limit;
        }
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let expected = self
            .of_a_record
            .map(|of| of.saturating_mul(records).saturating_mul(RESERVE));
        let most = match (expected, is_used_up) {
            (Some(expected), _) => expected.saturating_add(LEAST_TIME),
            (None, true) => LEAST_TIME,
            (None, false) => limit,
        };
        most.min(limit)
    }

    /// Says whether failed calls used up their time.
    fn is_used_up(&self) -> bool {
        self.failed >= FAILED_TIME
    }

    fn after(mut self, time: Duration, records: usize, is_ok: bool, now: Instant) -> Self {
        let back = now.saturating_duration_since(self.at) / RECOVERY;
        self.failed = self.failed.saturating_sub(back);
        self.at = now;
        if !is_ok {
            self.failed = self.failed.saturating_add(time);
        } else if records > 1 {
            let records = u32::try_from(records).unwrap_or(u32::MAX);
            self.of_a_record = self.of_a_record.max(Some(time / records));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn speed() -> Speed {
        Speed {
            of_a_record: None,
            failed: Duration::ZERO,
            at: Instant::now(),
        }
    }

    #[test]
    fn parts_get_the_time_that_they_should_need() {
        let first = speed();
        assert_eq!(first.most(4096, true, LIMIT), LIMIT);
        assert_eq!(first.most(2048, false, LIMIT), LIMIT, "nothing is known");
        let now = first.at;
        let known = first.after(Duration::from_millis(40), 4000, true, now);
        assert_eq!(known.most(4000, true, LIMIT), LIMIT);
        assert_eq!(
            known.most(2000, false, LIMIT),
            Duration::from_millis(400) + LEAST_TIME
        );
        assert_eq!(known.most(1, false, LIMIT), LIMIT, "a record that is slow");
        // A single record says little about others.
        assert_eq!(
            known.after(LIMIT, 1, true, now).of_a_record,
            known.of_a_record
        );
    }

    #[test]
    fn failed_calls_use_up_their_time_and_get_it_back() {
        let first = speed();
        let now = first.at;
        let mut spent = first;
        for _ in 0..6 {
            assert!(!spent.is_used_up());
            spent = spent.after(LIMIT, 1, false, now);
        }
        assert!(spent.is_used_up());
        assert_eq!(spent.most(1, false, LIMIT), LEAST_TIME);
        assert_eq!(spent.most(64, true, LIMIT), LEAST_TIME);
        let later = now + Duration::from_secs(61);
        let later = spent.after(Duration::from_millis(1), 64, true, later);
        assert!(!later.is_used_up());
        assert_eq!(later.most(1, false, LIMIT), LIMIT);
    }

    /// A plugin that fails on every call with a record that begins with `!`, and calls records with `?` malformed.
    fn call(part: &[&[u8]], parsed: &mut Vec<ParsedRecord>) -> Result<(), Failure> {
        if part.iter().any(|record| record.starts_with(b"!")) {
            return Err(Failure::OfRecords("it traps".to_owned()));
        }
        parsed.extend(part.iter().map(|record| match record.first() {
            Some(b'?') => ParsedRecord::Wrong("malformed".to_owned()),
            None => ParsedRecord::Events(Vec::new()),
            _ => ParsedRecord::Events(vec![String::from_utf8_lossy(record).into_owned()]),
        }));
        Ok(())
    }

    proptest! {
        #[test]
        fn a_batch_is_its_records_one_at_a_time(
            records in prop::collection::vec("[!?a]{0,1}[a-z]{0,2}", 0..60),
        ) {
            let records: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
            let mut together = Vec::new();
            separate(&records, &mut together, call, || false).unwrap();
            let mut alone = Vec::new();
            for record in records.chunks(1) {
                separate(record, &mut alone, call, || false).unwrap();
            }
            prop_assert_eq!(&together, &alone);
            prop_assert_eq!(together.len(), records.len());
            // Where there is no time to try each, no record is lost either.
            let mut hasty = Vec::new();
            separate(&records, &mut hasty, call, || true).unwrap();
            prop_assert_eq!(hasty.len(), records.len());
        }
    }

    #[test]
    fn what_is_no_fault_of_a_record_ends_the_parsing() {
        let records: [&[u8]; 2] = [b"a", b"b"];
        let fails = |_: &[&[u8]], _: &mut Vec<ParsedRecord>| {
            Err(Failure::of(CallError::Guest(PluginError::Retry(
                "later".to_owned(),
            ))))
        };
        let error = separate(&records, &mut Vec::new(), fails, || false).unwrap_err();
        assert!(matches!(error, CallError::Guest(PluginError::Retry(_))));
    }
}
