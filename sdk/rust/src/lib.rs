//! Write Yagura plugins in Rust: one trait, one macro.
//!
//! A detector implements [`Detector`]: it looks up its columns once, by name and type, in [`Detector::open`], and evaluates batches
//! of events in [`Detector::on_batch`]. [`detectors!`] makes a component of one or more of them.
//!
//! ```
//! use yagura_sdk::prelude::*;
//!
//! struct RootLogin {
//!     user_type: Column<Text>,
//!     source_ip: Column<Text>,
//! }
//!
//! impl Detector for RootLogin {
//!     fn open(rule: &Rule) -> Result<Self, PluginError> {
//!         Ok(Self {
//!             user_type: rule.text("user_type")?,
//!             source_ip: rule.text("source_ip")?,
//!         })
//!     }
//!
//!     fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
//!         for row in batch.rows() {
//!             if row.get(self.user_type) == Some("Root") {
//!                 findings.row(row).observable(Observable::Ip, row.get(self.source_ip));
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! yagura_sdk::detectors! {
//!     "root-login" => RootLogin,
//! }
//!
//! // Detectors run natively in unit tests, without any Wasm.
//! use yagura_sdk::testing::{Events, evaluate};
//! let events = Events::new()
//!     .text("user_type", ["Root", "IAMUser"])
//!     .text("source_ip", ["198.51.100.7", "10.0.0.1"]);
//! assert_eq!(evaluate::<RootLogin>(&events).unwrap().len(), 1);
//! ```
//!
//! A detector of a rule with `partition_by` can keep state for each key: [`State`].
//!
//! Plugins that run after an alert have their own traits and macros: [`Enricher`] adds facts ([`enricher!`]), [`Reviewer`] assesses
//! ([`reviewer!`]), and [`Notifier`] sends reports ([`notifier!`]). They use granted capabilities by [`mod@http`],
//! [`search`] and [`lookup`]; in unit tests [`testing::Host`] stands in for it.
//!
//! A [`Normalizer`] parses raw logs in a form of their own, for a source ([`normalizer!`]).
//!
//! The crate knows the plugin contract and nothing of the host. `wit/` is a copy of the contract's folder, so that the crate can be
//! built alone; a test compares the two. The only dependency is the generator of the bindings.

pub mod batch;
pub mod column;
pub mod component;
pub mod config;
pub mod enricher;
pub mod findings;
pub mod http;
pub mod json;
pub mod log;
pub mod lookup;
pub mod normalizer;
pub mod notifier;
pub mod report;
pub mod reviewer;
pub mod rule;
pub mod search;
pub mod state;
pub mod testing;
pub mod time;

/// The worlds of the contract in Rust. They share their types. A component only imports the functions that it calls.
#[doc(hidden)]
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::undocumented_unsafe_blocks,
    reason = "generated from the contract"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "detector",
        pub_export_macro: true,
        export_macro_name: "export_detector",
        default_bindings_module: "yagura_sdk::bindings",
        runtime_path: "wit_bindgen::rt",
        // The other worlds share the types, and use more of them.
        generate_unused_types: true,
    });

    pub mod enricher {
        wit_bindgen::generate!({
            path: "wit",
            world: "enricher",
            pub_export_macro: true,
            export_macro_name: "export_enricher",
            default_bindings_module: "yagura_sdk::bindings::enricher",
            runtime_path: "wit_bindgen::rt",
            with: {
                "yagura:plugin/types@0.1.0": crate::bindings::yagura::plugin::types,
                "yagura:plugin/log@0.1.0": crate::bindings::yagura::plugin::log,
            },
        });
    }

    pub mod reviewer {
        wit_bindgen::generate!({
            path: "wit",
            world: "reviewer",
            pub_export_macro: true,
            export_macro_name: "export_reviewer",
            default_bindings_module: "yagura_sdk::bindings::reviewer",
            runtime_path: "wit_bindgen::rt",
            with: {
                "yagura:plugin/types@0.1.0": crate::bindings::yagura::plugin::types,
                "yagura:plugin/log@0.1.0": crate::bindings::yagura::plugin::log,
                "yagura:plugin/lookup@0.1.0": crate::bindings::enricher::yagura::plugin::lookup,
            },
        });
    }

    pub mod normalizer {
        wit_bindgen::generate!({
            path: "wit",
            world: "normalizer",
            pub_export_macro: true,
            export_macro_name: "export_normalizer",
            default_bindings_module: "yagura_sdk::bindings::normalizer",
            runtime_path: "wit_bindgen::rt",
            with: {
                "yagura:plugin/types@0.1.0": crate::bindings::yagura::plugin::types,
                "yagura:plugin/log@0.1.0": crate::bindings::yagura::plugin::log,
            },
        });
    }

    pub mod notifier {
        wit_bindgen::generate!({
            path: "wit",
            world: "notifier",
            pub_export_macro: true,
            export_macro_name: "export_notifier",
            default_bindings_module: "yagura_sdk::bindings::notifier",
            runtime_path: "wit_bindgen::rt",
            with: {
                "yagura:plugin/types@0.1.0": crate::bindings::yagura::plugin::types,
                "yagura:plugin/log@0.1.0": crate::bindings::yagura::plugin::log,
                "yagura:plugin/http@0.1.0": crate::bindings::enricher::yagura::plugin::http,
            },
        });
    }
}

pub use batch::{Batch, Row, RowIndex};
pub use bindings::yagura::plugin::types::{
    Alert, AlertState, Assessment, Attribute, DataType, Finding, PluginError, Severity, Verdict,
};
pub use column::{Binary, Boolean, Column, Float64, Int64, Text, Time};
pub use component::Detector;
pub use config::Config;
pub use enricher::{Enriched, Enricher};
pub use findings::{FindingBuilder, Findings, Observable};
pub use json::Json;
pub use normalizer::{Malformed, Normalizer, ParsedEvents};
pub use notifier::Notifier;
pub use report::{Report, Status};
pub use reviewer::Reviewer;
pub use rule::Rule;
pub use state::{State, StateError};

/// The names that most plugins use.
pub mod prelude {
    pub use crate::{
        Alert, AlertState, Assessment, Attribute, Batch, Binary, Boolean, Column, Config, Detector,
        Enriched, Enricher, Findings, Float64, Int64, Json, Malformed, Normalizer, Notifier,
        Observable, ParsedEvents, PluginError, Report, Reviewer, Row, Rule, Severity, State,
        StateError, Status, Text, Time, Verdict, http, json, log, lookup, search,
    };
}

/// Makes the crate a component with these detectors: `"rule-id" => Type`, one line per rule.
///
/// One type may serve several rules; each gets its own instance. Use it once, at the top of the crate: it defines the
/// type `Plugin`, by which tests reach a detector through its rule ([`testing::evaluate_rule`]).
#[macro_export]
macro_rules! detectors {
    ($($id:literal => $detector:ty),+ $(,)?) => {
        /// The component: its detectors by rule.
        #[derive(Debug)]
        pub struct Plugin;

        impl $crate::component::Component for Plugin {
            const DETECTORS: &'static [$crate::component::DetectorEntry] =
                &[$($crate::component::DetectorEntry::new::<$detector>($id)),+];
        }

        // Exports are for the host alone: natively, where detectors run in unit tests, there is none.
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::export_detector!(Plugin with_types_in $crate::bindings);
    };
}

/// Makes the crate a component with this [`Enricher`]. Use it once, at the top of the crate: it defines the type `Plugin`.
#[macro_export]
macro_rules! enricher {
    ($enricher:ty) => {
        /// The component.
        #[derive(Debug)]
        pub struct Plugin;

        impl $crate::enricher::Component for Plugin {
            const OPEN: $crate::enricher::Open = $crate::enricher::open::<$enricher>;
        }

        // Exports are for the host alone: natively, where plugins run in unit tests, there is none.
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::enricher::export_enricher!(
            Plugin with_types_in $crate::bindings::enricher
        );
    };
}

/// Makes the crate a component with this [`Reviewer`]. Use it once, at the top of the crate: it defines the type `Plugin`.
#[macro_export]
macro_rules! reviewer {
    ($reviewer:ty) => {
        /// The component.
        #[derive(Debug)]
        pub struct Plugin;

        impl $crate::reviewer::Component for Plugin {
            const OPEN: $crate::reviewer::Open = $crate::reviewer::open::<$reviewer>;
        }

        // Exports are for the host alone: natively, where plugins run in unit tests, there is none.
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::reviewer::export_reviewer!(
            Plugin with_types_in $crate::bindings::reviewer
        );
    };
}

/// Makes the crate a component with this [`Notifier`]. Use it once, at the top of the crate: it defines the type `Plugin`.
#[macro_export]
macro_rules! notifier {
    ($notifier:ty) => {
        /// The component.
        #[derive(Debug)]
        pub struct Plugin;

        impl $crate::notifier::Component for Plugin {
            const OPEN: $crate::notifier::Open = $crate::notifier::open::<$notifier>;
        }

        // Exports are for the host alone: natively, where plugins run in unit tests, there is none.
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::notifier::export_notifier!(
            Plugin with_types_in $crate::bindings::notifier
        );
    };
}

/// Makes the crate a component with this [`Normalizer`]. Use it once, at the top of the crate: it defines the type `Plugin`.
#[macro_export]
macro_rules! normalizer {
    ($normalizer:ty) => {
        /// The component.
        #[derive(Debug)]
        pub struct Plugin;

        impl $crate::normalizer::Component for Plugin {
            const OPEN: $crate::normalizer::Open = $crate::normalizer::open::<$normalizer>;
        }

        // Exports are for the host alone: natively, where plugins run in unit tests, there is none.
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::normalizer::export_normalizer!(
            Plugin with_types_in $crate::bindings::normalizer
        );
    };
}
