//! One evaluation in the forms that the benchmark `runtime/host/benches/handover.rs` compares. The rule's id chooses.

use serde::Deserialize;
use yagura_sdk::prelude::*;

/// The evaluation: a user of a service makes an access key, and the call succeeds. Every row's three values are looked
/// at, as `&` does not stop at the first that says no. The benchmark has the same function natively.
fn suspicious(event_name: Option<&str>, error_code: Option<&str>, user_name: Option<&str>) -> bool {
    (event_name == Some("CreateAccessKey"))
        & error_code.is_none()
        & user_name.is_some_and(|name| name.ends_with("-service"))
}

/// The three of five columns that are looked at.
struct Evaluated {
    event_name: Column<Text>,
    error_code: Column<Text>,
    user_name: Column<Text>,
}

impl Evaluated {
    fn of(rule: &Rule<'_>) -> Result<Self, PluginError> {
        Ok(Self {
            event_name: rule.text("event_name")?,
            error_code: rule.text("error_code")?,
            user_name: rule.text("user_name")?,
        })
    }
}

/// Goes through the views of whole columns.
struct Columns(Evaluated);

impl Detector for Columns {
    fn open(rule: &Rule<'_>) -> Result<Self, PluginError> {
        Evaluated::of(rule).map(Self)
    }

    fn on_batch(&mut self, batch: &Batch<'_>, findings: &mut Findings) -> Result<(), PluginError> {
        let event_names = batch.column(self.0.event_name);
        let error_codes = batch.column(self.0.error_code);
        let user_names = batch.column(self.0.user_name);
        for row in 0..batch.len() {
            if suspicious(
                event_names.get(row),
                error_codes.get(row),
                user_names.get(row),
            ) {
                findings.row(row);
            }
        }
        Ok(())
    }
}

/// Goes row by row, as most detectors are written.
struct Rows(Evaluated);

impl Detector for Rows {
    fn open(rule: &Rule<'_>) -> Result<Self, PluginError> {
        Evaluated::of(rule).map(Self)
    }

    fn on_batch(&mut self, batch: &Batch<'_>, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            if suspicious(
                row.get(self.0.event_name),
                row.get(self.0.error_code),
                row.get(self.0.user_name),
            ) {
                findings.row(row);
            }
        }
        Ok(())
    }
}

/// Looks at nothing: what is left is the hand-over.
struct TouchNothing;

impl Detector for TouchNothing {
    fn open(_: &Rule<'_>) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn on_batch(&mut self, _: &Batch<'_>, _: &mut Findings) -> Result<(), PluginError> {
        Ok(())
    }
}

/// Parses one event a call, which comes as JSON text in the only column.
struct JsonPerEvent {
    event: Column<Text>,
}

/// What is read of an event; the parser passes over the rest.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event_name: Option<&'a str>,
    error_code: Option<&'a str>,
    user_name: Option<&'a str>,
}

impl Detector for JsonPerEvent {
    fn open(rule: &Rule<'_>) -> Result<Self, PluginError> {
        Ok(Self {
            event: rule.text("event")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch<'_>, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let event: Event<'_> = serde_json::from_str(row.get(self.event).unwrap_or_default())
                .map_err(|error| PluginError::Data(error.to_string()))?;
            if suspicious(event.event_name, event.error_code, event.user_name) {
                findings.row(row);
            }
        }
        Ok(())
    }
}

yagura_sdk::detectors! {
    "columns" => Columns,
    "rows" => Rows,
    "touch-nothing" => TouchNothing,
    "json-per-event" => JsonPerEvent,
}
