//! Running plugins natively, in the unit tests of their crate: events from plain values and findings back for detectors;
//! alerts, reports and a host that answers by a script for the others.

// On Wasm there is a host, and nothing asks this one.
#[cfg_attr(
    target_arch = "wasm32",
    allow(dead_code, reason = "for unit tests, which are native")
)]
pub(crate) mod memory;

mod build;
mod events;
#[cfg_attr(
    target_arch = "wasm32",
    allow(dead_code, reason = "for unit tests, which are native")
)]
pub(crate) mod host;

pub use self::build::{AlertBuilder, ReportBuilder, alert, report};
pub use self::events::Events;
pub use self::host::{Answer, Host, Query, Request, Signature};

use std::collections::BTreeMap;

use self::memory::Memory;
use crate::bindings::exports::yagura::plugin::detection::Guest;
use crate::bindings::yagura::plugin::types::{Field, Rule as RawRule};
use crate::component::Component;
use crate::state::State;
use crate::{
    Alert, Assessment, Attribute, Batch, Config, Detector, Enriched, Enricher, Finding, Findings,
    Normalizer, Notifier, PluginError, Report, Reviewer, Rule,
};

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
        evaluate_batch(&mut self.detector, &self.schema, events)
    }

    /// Hands events of one partition key to the detector, in the order of their event time; it sees the key's state,
    /// which is kept in memory, under the host's limits. As with a host, a call that fails changes no state.
    ///
    /// # Errors
    /// What the detector answers.
    pub fn keyed_batch(&mut self, key: &str, events: &Events) -> Result<Vec<Finding>, PluginError> {
        let memory = self.keys.entry(key.to_owned()).or_default();
        memory::with_key(memory, None, || {
            evaluate_batch(&mut self.detector, &self.schema, events)
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

fn evaluate_batch<D: Detector>(
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
pub fn evaluate<D: Detector>(events: &Events) -> Result<Vec<Finding>, PluginError> {
    evaluate_with::<D>("{}", events)
}

/// Opens a detector with this `[rule.config]`, as JSON text, and returns its findings about `events`, in one batch.
///
/// # Errors
/// What the detector answers.
pub fn evaluate_with<D: Detector>(
    config: &str,
    events: &Events,
) -> Result<Vec<Finding>, PluginError> {
    Session::<D>::open(config, events)?.batch(events)
}

/// Opens the detector of the rule `id` in the crate's `Plugin` with this `[rule.config]`, as JSON text, and returns its
/// findings about `events`, in one batch.
///
/// # Errors
/// What the detector answers, and [`PluginError::Config`] for a rule without detector.
pub fn evaluate_rule<P: Component>(
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

/// Opens an enricher with this configuration, as JSON text, and returns what it finds about an alert.
///
/// # Errors
/// What the enricher answers.
pub fn enrich<E: Enricher>(config: &str, alert: &Alert) -> Result<Enriched, PluginError> {
    let mut found = Enriched::default();
    E::open(&Config::new(config))?.enrich(alert, &mut found)?;
    Ok(found)
}

/// Opens a reviewer with this configuration, as JSON text, and returns its assessment on an alert.
///
/// # Errors
/// What the reviewer answers.
pub fn review<R: Reviewer>(
    config: &str,
    alert: &Alert,
    attributes: &[Attribute],
) -> Result<Option<Assessment>, PluginError> {
    R::open(&Config::new(config))?.review(alert, attributes)
}

/// Opens a normalizer with this configuration, as JSON text, and returns the events of a record, each as JSON text.
///
/// # Errors
/// [`PluginError::Data`] with the reason if the record is malformed.
pub fn parse<N: Normalizer>(
    config: &str,
    record: impl AsRef<[u8]>,
) -> Result<Vec<String>, PluginError> {
    crate::normalizer::parse_one::<N>(config, record.as_ref())
}

/// Opens a notifier with this configuration, as JSON text, and returns its receipt for a report.
///
/// # Errors
/// What the notifier answers.
pub fn notify<N: Notifier>(config: &str, report: &Report) -> Result<String, PluginError> {
    N::open(&Config::new(config))?.notify(report)
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
        let findings = evaluate::<Echo>(&events).unwrap();
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
        let mut evaluate =
            |key, first, list: &[&str]| titles(session.keyed_batch(key, &steps(first, list)));
        assert_eq!(
            evaluate("a", 0, &["count for ten", "count", "read"]),
            ["1", "2", "2"]
        );
        assert_eq!(evaluate("b", 3, &["count"]), ["1"]);
        assert_eq!(
            evaluate("a", 9, &["read", "read", "count"]),
            ["2", "0", "1"]
        );
        assert_eq!(
            evaluate("a", 20, &["forget", "read", "text"]),
            ["Ok(())", "0", "名"]
        );
        assert_eq!(evaluate("a", 30, &["wrong"]), ["Err(NotANumber)"]);
        let large = evaluate("a", 31, &["large"]);
        assert!(
            large[0].starts_with("Err(TooLarge(\"the entries of the key"),
            "{large:?}"
        );
        let full = evaluate("c", 0, &["fill"]);
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
