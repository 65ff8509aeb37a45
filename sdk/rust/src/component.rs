//! Connects the functions of the contract with detectors: opening, dispatch by rule, and snapshots.

use std::cell::RefCell;

use crate::bindings::exports::yagura::plugin::detection::Guest;
use crate::bindings::yagura::plugin::types::{Batch as RawBatch, Field, Rule as RawRule};
use crate::state::{self, State};
use crate::{Batch, Finding, Findings, PluginError, Rule, log};

/// Evaluates the events of one rule.
pub trait Detector: Sized + 'static {
    /// Looks up columns and configuration. Called once, before all other calls.
    ///
    /// # Errors
    /// [`PluginError::Config`] if the detector cannot serve the rule.
    fn open(rule: &Rule<'_>) -> Result<Self, PluginError>;

    /// Evaluates one batch. The same events may come in any number of batches.
    ///
    /// # Errors
    /// After [`PluginError::Data`], the host skips the events and reports them; after [`PluginError::Retry`], it tries once more.
    fn on_batch(&mut self, batch: &Batch<'_>, findings: &mut Findings) -> Result<(), PluginError>;

    /// Handles a wake-up that a partition key requested by [`State::wake`], with exactly the requested time, in microseconds since
    /// 1970-01-01T00:00:00Z: no event of the key before it can follow. The default calls [`Detector::on_watermark`].
    ///
    /// # Errors
    /// See [`Detector::on_batch`].
    fn on_wake(
        &mut self,
        time: i64,
        state: State,
        findings: &mut Findings,
    ) -> Result<(), PluginError> {
        let _ = state;
        self.on_watermark(time, findings)
    }

    /// Called when no event before `time` (microseconds since 1970-01-01T00:00:00Z) can follow. For a detector with state, use
    /// [`Detector::on_wake`].
    ///
    /// # Errors
    /// See [`Detector::on_batch`].
    fn on_watermark(&mut self, time: i64, findings: &mut Findings) -> Result<(), PluginError> {
        let _ = (time, findings);
        Ok(())
    }

    /// Returns the detector's own memory, in its own encoding; empty if it has none. Use [`State`] for the state of a partition
    /// key.
    ///
    /// # Errors
    /// See [`Detector::on_batch`].
    fn snapshot(&self) -> Result<Vec<u8>, PluginError> {
        Ok(Vec::new())
    }

    /// Restores an earlier [`Detector::snapshot`]; not called if that was empty.
    ///
    /// # Errors
    /// [`PluginError::Data`] if the snapshot cannot be read.
    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        let _ = state;
        Ok(())
    }
}

/// The part that [`detectors!`](crate::detectors) implements.
#[doc(hidden)]
pub trait Component {
    /// The detectors by rule.
    const DETECTORS: &'static [DetectorEntry];
}

/// A detector that can be opened for one rule.
#[doc(hidden)]
pub struct DetectorEntry {
    id: &'static str,
    open: fn(&Rule<'_>) -> Result<Box<dyn Opened>, PluginError>,
}

impl DetectorEntry {
    /// Returns the entry of detector `D` for the rule `id`.
    pub const fn new<D: Detector>(id: &'static str) -> Self {
        Self {
            id,
            open: |rule| Ok(Box::new(D::open(rule)?)),
        }
    }
}

/// A [`Detector`] of any type.
trait Opened {
    fn on_batch(&mut self, batch: &Batch<'_>, findings: &mut Findings) -> Result<(), PluginError>;
    fn on_wake(&mut self, time: i64, findings: &mut Findings) -> Result<(), PluginError>;
    fn on_watermark(&mut self, time: i64, findings: &mut Findings) -> Result<(), PluginError>;
    fn snapshot(&self) -> Result<Vec<u8>, PluginError>;
    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError>;
}

impl<D: Detector> Opened for D {
    fn on_batch(&mut self, batch: &Batch<'_>, findings: &mut Findings) -> Result<(), PluginError> {
        Detector::on_batch(self, batch, findings)
    }

    fn on_wake(&mut self, time: i64, findings: &mut Findings) -> Result<(), PluginError> {
        Detector::on_wake(self, time, State::new(), findings)
    }

    fn on_watermark(&mut self, time: i64, findings: &mut Findings) -> Result<(), PluginError> {
        Detector::on_watermark(self, time, findings)
    }

    fn snapshot(&self) -> Result<Vec<u8>, PluginError> {
        Detector::snapshot(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        Detector::restore(self, state)
    }
}

struct OpenRule {
    id: String,
    schema: Vec<Field>,
    detector: Box<dyn Opened>,
}

thread_local! {
    /// The rules of `open`, in its order. An instance of a component has one thread.
    static RULES: RefCell<Vec<OpenRule>> = const { RefCell::new(Vec::new()) };
}

impl<C: Component> Guest for C {
    fn rules() -> Vec<String> {
        log::log_panics();
        C::DETECTORS
            .iter()
            .map(|entry| entry.id.to_owned())
            .collect()
    }

    fn open(config: String, rules: Vec<RawRule>) -> Result<(), PluginError> {
        log::log_panics();
        let opened: Result<Vec<OpenRule>, PluginError> = rules
            .into_iter()
            .map(|rule| open_rule(C::DETECTORS, &config, rule))
            .collect();
        RULES.set(opened?);
        Ok(())
    }

    fn on_batch(rule: u32, batch: RawBatch) -> Result<Vec<Finding>, PluginError> {
        RULES.with_borrow_mut(|rules| {
            let opened = rules.len();
            let rule = rules.get_mut(rule as usize).ok_or_else(|| {
                PluginError::Data(format!(
                    "a batch for rule {rule} came where {opened} are open"
                ))
            })?;
            let mut findings = Findings::default();
            let batch = Batch::new(&rule.schema, &batch)?;
            rule.detector.on_batch(&batch, &mut findings)?;
            Ok(findings.into_list())
        })
    }

    fn on_watermark(time: i64) -> Result<Vec<(u32, Finding)>, PluginError> {
        RULES.with_borrow_mut(|rules| {
            let woken = state::rule();
            let mut all = Vec::new();
            for (index, rule) in (0_u32..).zip(rules) {
                let mut findings = Findings::default();
                match woken {
                    None => rule.detector.on_watermark(time, &mut findings)?,
                    Some(woken) if woken == index => {
                        rule.detector.on_wake(time, &mut findings)?;
                    }
                    Some(_) => continue,
                }
                all.extend(
                    findings
                        .into_list()
                        .into_iter()
                        .map(|finding| (index, finding)),
                );
            }
            Ok(all)
        })
    }

    fn snapshot() -> Result<Vec<u8>, PluginError> {
        RULES.with_borrow(|rules| {
            let mut bytes = Vec::new();
            for rule in rules {
                let state = rule.detector.snapshot()?;
                if !state.is_empty() {
                    put_part(&mut bytes, rule.id.as_bytes());
                    put_part(&mut bytes, &state);
                }
            }
            Ok(bytes)
        })
    }

    fn restore(state: Vec<u8>) -> Result<(), PluginError> {
        RULES.with_borrow_mut(|rules| {
            let cut =
                || PluginError::Data("the state to restore is cut off or not ours".to_owned());
            let mut rest = state.as_slice();
            while !rest.is_empty() {
                let id = take_part(&mut rest).ok_or_else(cut)?;
                let state = take_part(&mut rest).ok_or_else(cut)?;
                match rules.iter_mut().find(|rule| rule.id.as_bytes() == id) {
                    Some(rule) => rule.detector.restore(state)?,
                    None => log::warn(&format!(
                        "the state of rule `{}` is dropped: the rule is not open any more",
                        String::from_utf8_lossy(id)
                    )),
                }
            }
            Ok(())
        })
    }
}

fn open_rule(
    entries: &[DetectorEntry],
    config: &str,
    rule: RawRule,
) -> Result<OpenRule, PluginError> {
    let entry = entries
        .iter()
        .find(|entry| entry.id == rule.id)
        .ok_or_else(|| {
            let known: Vec<String> = entries
                .iter()
                .map(|entry| format!("`{}`", entry.id))
                .collect();
            PluginError::Config(format!(
                "the component has no detector for rule `{}`: it has {}",
                rule.id,
                known.join(", ")
            ))
        })?;
    let detector = (entry.open)(&Rule::new(config, &rule)).map_err(|error| match error {
        PluginError::Config(message) => {
            PluginError::Config(format!("rule `{}`: {message}", rule.id))
        }
        other => other,
    })?;
    Ok(OpenRule {
        id: rule.id,
        schema: rule.schema,
        detector,
    })
}

fn put_part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend(part);
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::yagura::plugin::types::{Column as RawColumn, DataType};
    use crate::prelude::*;

    /// Counts rows and says so at the watermark.
    struct Counter {
        number: Column<Int64>,
        rows: u64,
    }

    impl Detector for Counter {
        fn open(rule: &Rule<'_>) -> Result<Self, PluginError> {
            let number = rule.int64("number")?;
            Ok(Self { number, rows: 0 })
        }

        fn on_batch(
            &mut self,
            batch: &Batch<'_>,
            findings: &mut Findings,
        ) -> Result<(), PluginError> {
            for row in batch.rows() {
                self.rows += 1;
                if row.get(self.number) == Some(42) {
                    findings.row(row);
                }
            }
            Ok(())
        }

        fn on_watermark(&mut self, _: i64, findings: &mut Findings) -> Result<(), PluginError> {
            findings.at_watermark().title(self.rows.to_string());
            Ok(())
        }

        fn snapshot(&self) -> Result<Vec<u8>, PluginError> {
            Ok(self.rows.to_le_bytes().to_vec())
        }

        fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
            let bytes = state
                .try_into()
                .map_err(|_| PluginError::Data("eight bytes".to_owned()))?;
            self.rows = u64::from_le_bytes(bytes);
            Ok(())
        }
    }

    struct TestComponent;

    impl Component for TestComponent {
        const DETECTORS: &'static [DetectorEntry] = &[
            DetectorEntry::new::<Counter>("a"),
            DetectorEntry::new::<Counter>("b"),
        ];
    }

    fn rule(id: &str, column: &str) -> RawRule {
        RawRule {
            id: id.to_owned(),
            config: "{}".to_owned(),
            schema: vec![Field {
                name: column.to_owned(),
                data_type: DataType::Int64,
                nullable: false,
            }],
        }
    }

    fn batch(numbers: &[i64]) -> RawBatch {
        RawBatch {
            rows: u32::try_from(numbers.len()).unwrap(),
            columns: vec![RawColumn {
                validity: Vec::new(),
                offsets: Vec::new(),
                values: numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
            }],
        }
    }

    fn open(rules: Vec<RawRule>) -> Result<(), PluginError> {
        <TestComponent as Guest>::open("{}".to_owned(), rules)
    }

    #[test]
    fn batches_go_to_the_rule_that_they_are_for_and_state_comes_back() {
        open(vec![rule("b", "number"), rule("a", "number")]).unwrap();
        let findings = <TestComponent as Guest>::on_batch(1, batch(&[1, 42, 42])).unwrap();
        assert_eq!(
            findings.iter().map(|f| f.rows.clone()).collect::<Vec<_>>(),
            [[1], [2]]
        );
        assert!(<TestComponent as Guest>::on_batch(2, batch(&[])).is_err());

        let state = <TestComponent as Guest>::snapshot().unwrap();
        // The order of the rules differs and one is gone: state follows the rule's id.
        open(vec![rule("a", "number")]).unwrap();
        <TestComponent as Guest>::restore(state.clone()).unwrap();
        let at_watermark = <TestComponent as Guest>::on_watermark(0).unwrap();
        assert_eq!(at_watermark.len(), 1);
        assert_eq!(at_watermark[0].1.title.as_deref(), Some("3"));
        for length in 1..state.len() {
            if length != state.len() / 2 {
                assert!(
                    <TestComponent as Guest>::restore(state[..length].to_vec()).is_err(),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn errors_at_open_name_the_rule() {
        let unknown = open(vec![rule("c", "number")]).unwrap_err().to_string();
        assert!(
            unknown.contains("`c`") && unknown.contains("`a`, `b`"),
            "{unknown}"
        );
        let column = open(vec![rule("a", "nubmer")]).unwrap_err().to_string();
        assert!(
            column.contains("rule `a`: ") && column.contains("`nubmer`"),
            "{column}"
        );
    }
}
