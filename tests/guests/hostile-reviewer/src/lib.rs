//! A reviewer that says what it was given, or misbehaves. The alert's title chooses: see [`BEHAVIOURS`].
//!
//! It speaks the contract itself, without the SDK, so that it can also do what the SDK would not allow.

wit_bindgen::generate!({
    path: "../../../wit/v0.1.0",
    world: "reviewer",
});

use exports::yagura::plugin::reviewing::{Alert, Assessment, Attribute, Guest, PluginError};
use yagura::plugin::lookup;
use yagura::plugin::types::{Severity, Verdict};

/// What an alert's title makes the reviewer do. Each has a test in `runtime/host/tests/it/responders.rs`.
const BEHAVIOURS: [&str; 4] = [
    "tells-all",
    "says-nothing",
    "reason-huge",
    "look-up-for-ever",
];

struct Hostile;

impl Guest for Hostile {
    fn open(_: String) -> Result<(), PluginError> {
        Ok(())
    }

    fn review(alert: Alert, attributes: Vec<Attribute>) -> Result<Option<Assessment>, PluginError> {
        let reason = match alert.title.as_str() {
            "tells-all" => format!("{:?} {attributes:?}", lookup::get("assets", &alert.key)),
            "reason-huge" => "r".repeat(1 << 20),
            "look-up-for-ever" => loop {
                let _ = lookup::get("assets", &alert.key);
            },
            name if BEHAVIOURS.contains(&name) => return Ok(None),
            name => return Err(PluginError::Config(format!("no behaviour `{name}`"))),
        };
        Ok(Some(Assessment {
            severity: Severity::Low,
            verdict: Verdict::Benign,
            reason,
        }))
    }
}

export!(Hostile);
