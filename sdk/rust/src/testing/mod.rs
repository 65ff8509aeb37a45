//! Running detectors natively, in the unit tests of their crate: events from plain values, findings back.

// On Wasm there is a host, and nothing asks this one.
#[cfg_attr(
    target_arch = "wasm32",
    allow(dead_code, reason = "for unit tests, which are native")
)]
pub(crate) mod memory;

use std::collections::BTreeMap;

use self::memory::Memory;
use crate::bindings::exports::yagura::plugin::detection::Guest;
use crate::bindings::yagura::plugin::types::{
    Batch as RawBatch, Column as RawColumn, Field, Rule as RawRule,
};
use crate::component::Component;
use crate::state::State;
use crate::{Batch, DataType, Detector, Finding, Findings, PluginError, Rule};

/// Events for a test, column by column. Every column has a value, or `None`, for each event.
#[derive(Clone, Default)]
pub struct Events {
    rows: Option<usize>,
    schema: Vec<Field>,
    columns: Vec<RawColumn>,
}

impl Events {
    /// Returns events without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text column.
    ///
    /// # Panics
    /// When the number of values differs from that of the columns before; so do the methods below.
    #[must_use]
    pub fn text<'v>(
        self,
        name: &str,
        values: impl IntoIterator<Item: Into<Option<&'v str>>>,
    ) -> Self {
        self.variable(name, DataType::Utf8, values, str::as_bytes)
    }

    /// Adds a column of bytes.
    #[must_use]
    pub fn binary<'v>(
        self,
        name: &str,
        values: impl IntoIterator<Item: Into<Option<&'v [u8]>>>,
    ) -> Self {
        self.variable(name, DataType::Binary, values, |bytes| bytes)
    }

    /// Adds a column of whole numbers.
    #[must_use]
    pub fn int64(self, name: &str, values: impl IntoIterator<Item: Into<Option<i64>>>) -> Self {
        self.fixed(name, DataType::Int64, values, i64::to_le_bytes)
    }

    /// Adds a column of floating-point numbers.
    #[must_use]
    pub fn float64(self, name: &str, values: impl IntoIterator<Item: Into<Option<f64>>>) -> Self {
        self.fixed(name, DataType::Float64, values, f64::to_le_bytes)
    }

    /// Adds a column of times, in microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn time(self, name: &str, values: impl IntoIterator<Item: Into<Option<i64>>>) -> Self {
        self.fixed(name, DataType::TimestampUs, values, i64::to_le_bytes)
    }

    /// Adds a column of truth values.
    #[must_use]
    pub fn boolean(self, name: &str, values: impl IntoIterator<Item: Into<Option<bool>>>) -> Self {
        let values: Vec<Option<bool>> = values.into_iter().map(Into::into).collect();
        let column = RawColumn {
            validity: bitmap(values.iter().map(Option::is_some)),
            offsets: Vec::new(),
            values: bitmap(values.iter().map(|value| *value == Some(true))),
        };
        self.add(name, DataType::Boolean, values.len(), column)
    }

    fn variable<'v, V: ?Sized + 'v>(
        self,
        name: &str,
        data_type: DataType,
        values: impl IntoIterator<Item: Into<Option<&'v V>>>,
        bytes: impl Fn(&'v V) -> &'v [u8],
    ) -> Self {
        let values: Vec<Option<&'v V>> = values.into_iter().map(Into::into).collect();
        let mut column = RawColumn {
            validity: bitmap(values.iter().map(Option::is_some)),
            offsets: vec![0; 4],
            values: Vec::new(),
        };
        for value in &values {
            column.values.extend(value.map(&bytes).unwrap_or_default());
            let end = u32::try_from(column.values.len()).unwrap_or(u32::MAX);
            column.offsets.extend(end.to_le_bytes());
        }
        self.add(name, data_type, values.len(), column)
    }

    fn fixed<T: Default>(
        self,
        name: &str,
        data_type: DataType,
        values: impl IntoIterator<Item: Into<Option<T>>>,
        bytes: impl Fn(T) -> [u8; 8],
    ) -> Self {
        let values: Vec<Option<T>> = values.into_iter().map(Into::into).collect();
        let rows = values.len();
        let column = RawColumn {
            validity: bitmap(values.iter().map(Option::is_some)),
            offsets: Vec::new(),
            values: values
                .into_iter()
                .flat_map(|value| bytes(value.unwrap_or_default()))
                .collect(),
        };
        self.add(name, data_type, rows, column)
    }

    fn add(mut self, name: &str, data_type: DataType, rows: usize, column: RawColumn) -> Self {
        let expected = *self.rows.get_or_insert(rows);
        assert_eq!(
            rows, expected,
            "column `{name}` has {rows} values where the columns before have {expected}"
        );
        self.schema.push(Field {
            name: name.to_owned(),
            data_type,
            nullable: true,
        });
        self.columns.push(column);
        self
    }

    fn batch(&self) -> RawBatch {
        RawBatch {
            rows: u32::try_from(self.rows.unwrap_or_default()).unwrap_or(u32::MAX),
            columns: self.columns.clone(),
        }
    }
}

fn bitmap(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (row, bit) in bits.enumerate() {
        if row % 8 == 0 {
            bytes.push(0);
        }
        if let Some(last) = bytes.last_mut() {
            *last |= u8::from(bit) << (row % 8);
        }
    }
    bytes
}

/// An opened detector, for tests with more than one batch.
pub struct Session<D> {
    schema: Vec<Field>,
    /// The states of the partition keys.
    keys: BTreeMap<String, Memory>,
    /// The detector.
    pub detector: D,
}

impl<D: Detector> Session<D> {
    /// Opens a detector for a rule with this `[rule.config]`, as JSON text, and the columns of `events`.
    ///
    /// # Errors
    /// What the detector answers.
    pub fn open(config: &str, events: &Events) -> Result<Self, PluginError> {
        let rule = RawRule {
            id: "test".to_owned(),
            config: config.to_owned(),
            schema: events.schema.clone(),
        };
        let detector = D::open(&Rule::new("{}", &rule))?;
        Ok(Self {
            schema: rule.schema,
            keys: BTreeMap::new(),
            detector,
        })
    }

    /// Hands a batch to the detector, without state; its columns are those of [`Session::open`].
    ///
    /// # Errors
    /// What the detector answers.
    pub fn batch(&mut self, events: &Events) -> Result<Vec<Finding>, PluginError> {
        judge_batch(&mut self.detector, &self.schema, events)
    }

    /// Hands events of one partition key to the detector, in the order of their event time; it sees the key's state,
    /// which is kept in memory, under the host's limits. As with a host, a call that fails changes no state.
    ///
    /// # Errors
    /// What the detector answers.
    pub fn keyed_batch(&mut self, key: &str, events: &Events) -> Result<Vec<Finding>, PluginError> {
        let memory = self.keys.entry(key.to_owned()).or_default();
        memory::with_key(memory, None, || {
            judge_batch(&mut self.detector, &self.schema, events)
        })
    }

    /// Wakes a partition key at a time in microseconds since 1970-01-01T00:00:00Z. A test calls it for each of
    /// [`Session::wakes`] in their order, or for any time that it likes.
    ///
    /// # Errors
    /// What the detector answers.
    pub fn wake(&mut self, key: &str, time: i64) -> Result<Vec<Finding>, PluginError> {
        let memory = self.keys.entry(key.to_owned()).or_default();
        memory::with_key(memory, Some(time), || {
            let mut findings = Findings::default();
            self.detector.on_wake(time, State::new(), &mut findings)?;
            Ok(findings.into_list())
        })
    }

    /// Returns the times for which a partition key asked to be woken, in order.
    pub fn wakes(&self, key: &str) -> Vec<i64> {
        let memory = self.keys.get(key);
        memory.map_or_else(Vec::new, |memory| memory.wakes.iter().copied().collect())
    }

    /// Tells the detector that no event before `time` is still to come.
    ///
    /// # Errors
    /// What the detector answers.
    pub fn watermark(&mut self, time: i64) -> Result<Vec<Finding>, PluginError> {
        let mut findings = Findings::default();
        self.detector.on_watermark(time, &mut findings)?;
        Ok(findings.into_list())
    }
}

fn judge_batch<D: Detector>(
    detector: &mut D,
    schema: &[Field],
    events: &Events,
) -> Result<Vec<Finding>, PluginError> {
    let raw = events.batch();
    let mut findings = Findings::default();
    detector.on_batch(&Batch::new(schema, &raw)?, &mut findings)?;
    Ok(findings.into_list())
}

/// Opens a detector without configuration and returns its findings about `events`, in one batch.
///
/// # Errors
/// What the detector answers.
pub fn judge<D: Detector>(events: &Events) -> Result<Vec<Finding>, PluginError> {
    judge_with::<D>("{}", events)
}

/// Opens a detector with this `[rule.config]`, as JSON text, and returns its findings about `events`, in one batch.
///
/// # Errors
/// What the detector answers.
pub fn judge_with<D: Detector>(config: &str, events: &Events) -> Result<Vec<Finding>, PluginError> {
    Session::<D>::open(config, events)?.batch(events)
}

/// Opens the detector of the rule `id` in the crate's `Plugin` with this `[rule.config]`, as JSON text, and returns its
/// findings about `events`, in one batch.
///
/// # Errors
/// What the detector answers, and [`PluginError::Config`] for a rule without detector.
pub fn judge_rule<P: Component>(
    id: &str,
    config: &str,
    events: &Events,
) -> Result<Vec<Finding>, PluginError> {
    let rule = RawRule {
        id: id.to_owned(),
        config: config.to_owned(),
        schema: events.schema.clone(),
    };
    P::open("{}".to_owned(), vec![rule])?;
    P::on_batch(0, events.batch())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies every value of every type into the context.
    struct Echo;

    impl Detector for Echo {
        fn open(_: &Rule<'_>) -> Result<Self, PluginError> {
            Ok(Self)
        }

        fn on_batch(
            &mut self,
            batch: &Batch<'_>,
            findings: &mut Findings,
        ) -> Result<(), PluginError> {
            for row in batch.rows() {
                findings
                    .row(row)
                    .context("text", row.str("text")?)
                    .context("int", row.i64("int")?.map(|n| n.to_string()))
                    .context("float", row.f64("float")?.map(|n| n.to_string()))
                    .context("bool", row.bool("bool")?.map(|b| b.to_string()))
                    .context("time", row.time("time")?.map(|t| t.to_string()));
            }
            Ok(())
        }
    }

    #[test]
    fn values_arrive_as_they_were_given() {
        let mut text = vec![Some("a"); 8];
        text.push(None);
        text.push(Some("櫓"));
        let events = Events::new()
            .text("text", text)
            .int64("int", (0..10).map(|n| (n != 3).then_some(n - 5)))
            .float64("float", (0..10).map(|n| f64::from(n) / 2.0))
            .boolean("bool", (0..10).map(|n| n % 2 == 0))
            .time("time", 0..10);
        let findings = judge::<Echo>(&events).unwrap();
        let context = |row: usize| -> Vec<String> {
            findings[row]
                .context
                .iter()
                .map(|(n, v)| format!("{n}={v}"))
                .collect()
        };
        assert_eq!(context(3), ["text=a", "float=1.5", "bool=false", "time=3"]);
        assert_eq!(context(8), ["int=3", "float=4", "bool=true", "time=8"]);
        assert_eq!(context(9)[..2], ["text=櫓", "int=4"]);
    }

    /// What the column `step` says is done to the state, at the event's time; answers come back as titles.
    struct Remembers;

    impl Detector for Remembers {
        fn open(_: &Rule<'_>) -> Result<Self, PluginError> {
            Ok(Self)
        }

        fn on_batch(
            &mut self,
            batch: &Batch<'_>,
            findings: &mut Findings,
        ) -> Result<(), PluginError> {
            let state = batch.state();
            for row in batch.rows() {
                let at = row.time("time")?.unwrap_or_default();
                let answer = match row.str("step")?.unwrap_or_default() {
                    "count" => state.increment("n", 1, at, None)?.to_string(),
                    "count for ten" => state.increment("n", 1, at, Some(at + 10))?.to_string(),
                    "read" => state.count("n", at)?.to_string(),
                    "text" => {
                        state.put("t", "名", None)?;
                        state.get_text("t", at)?.unwrap_or_default()
                    }
                    "forget" => format!("{:?}", state.remove("n")),
                    "wake" => format!("{:?}", state.wake(at + 5)),
                    "fill" => (0..2000)
                        .find_map(|n| state.put(&n.to_string(), "", None).err())
                        .map(|error| error.to_string())
                        .unwrap_or_default(),
                    "large" => format!("{:?}", state.put("l", vec![0; 70_000], None)),
                    "wrong" => format!("{:?}", state.increment("t", 1, at, None)),
                    _ => return Err(PluginError::Data("no such step".to_owned())),
                };
                findings.row(row).title(answer);
            }
            Ok(())
        }

        fn on_wake(
            &mut self,
            time: i64,
            state: State,
            findings: &mut Findings,
        ) -> Result<(), PluginError> {
            state.wake(time)?;
            let count = state.count("n", time)?;
            findings.at_watermark().title(format!("{count} at {time}"));
            Ok(())
        }
    }

    fn steps(first: i64, steps: &[&str]) -> Events {
        let count = i64::try_from(steps.len()).unwrap();
        Events::new()
            .text("step", steps.iter().copied())
            .time("time", first..first + count)
    }

    fn titles(findings: Result<Vec<Finding>, PluginError>) -> Vec<String> {
        let titles = findings.unwrap().into_iter().map(|finding| finding.title);
        titles.map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn state_in_a_test_is_as_with_a_host() {
        let mut session = Session::<Remembers>::open("{}", &steps(0, &[])).unwrap();
        let mut judge =
            |key, first, list: &[&str]| titles(session.keyed_batch(key, &steps(first, list)));
        assert_eq!(
            judge("a", 0, &["count for ten", "count", "read"]),
            ["1", "2", "2"]
        );
        assert_eq!(judge("b", 3, &["count"]), ["1"]);
        assert_eq!(judge("a", 9, &["read", "read", "count"]), ["2", "0", "1"]);
        assert_eq!(
            judge("a", 20, &["forget", "read", "text"]),
            ["Ok(())", "0", "名"]
        );
        assert_eq!(judge("a", 30, &["wrong"]), ["Err(NotANumber)"]);
        let large = judge("a", 31, &["large"]);
        assert!(
            large[0].starts_with("Err(TooLarge(\"the entries of the key"),
            "{large:?}"
        );
        let full = judge("c", 0, &["fill"]);
        assert!(full[0].contains("1000 entries"), "{full:?}");
    }

    #[test]
    fn a_call_that_fails_changes_no_state() {
        let mut session = Session::<Remembers>::open("{}", &steps(0, &[])).unwrap();
        session
            .keyed_batch("a", &steps(0, &["count", "wake", "oops"]))
            .unwrap_err();
        assert!(session.wakes("a").is_empty());
        assert_eq!(
            titles(session.keyed_batch("a", &steps(0, &["count"]))),
            ["1"]
        );
        let outside = session.batch(&steps(0, &["count"])).unwrap_err();
        assert!(outside.to_string().contains("partition_by"), "{outside}");
    }

    #[test]
    fn a_key_is_woken_once_for_each_time() {
        let mut session = Session::<Remembers>::open("{}", &steps(0, &[])).unwrap();
        session
            .keyed_batch("a", &steps(0, &["count", "wake", "wake"]))
            .unwrap();
        assert_eq!(session.wakes("a"), [6, 7]);
        assert_eq!(titles(session.wake("a", 6)), ["1 at 6"]);
        assert_eq!(session.wakes("a"), [7]);
    }

    #[test]
    #[should_panic(expected = "column `b` has 1 values where the columns before have 2")]
    fn columns_of_different_length_are_a_mistake_in_the_test() {
        let _ = Events::new().text("a", ["1", "2"]).text("b", ["1"]);
    }
}
