//! Write Yagura plugins in Rust: one trait, one macro.
//!
//! A detector implements [`Detector`]: it looks its columns up once, by name and type, in [`Detector::open`], and judges
//! batches of events in [`Detector::on_batch`]. [`detectors!`] makes a component of one or more of them.
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
//! use yagura_sdk::testing::{Events, judge};
//! let events = Events::new()
//!     .text("user_type", ["Root", "IAMUser"])
//!     .text("source_ip", ["198.51.100.7", "10.0.0.1"]);
//! assert_eq!(judge::<RootLogin>(&events).unwrap().len(), 1);
//! ```
//!
//! A detector of a rule with `partition_by` may remember something of each key: [`State`].
//!
//! The crate knows the plugin contract (`wit/`, a copy of the contract's folder so that the crate stands alone; a test
//! compares the two) and nothing of the host. It has no dependency but the generator of the bindings.

pub mod batch;
pub mod column;
pub mod component;
pub mod findings;
pub mod json;
pub mod log;
pub mod rule;
pub mod state;
pub mod testing;

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
        default_bindings_module: "yagura_sdk::bindings",
        runtime_path: "wit_bindgen::rt",
    });
}

pub use batch::{Batch, Row, RowIndex};
pub use bindings::yagura::plugin::types::{DataType, Finding, PluginError, Severity};
pub use column::{Binary, Boolean, Column, Float64, Int64, Text, Time};
pub use component::Detector;
pub use findings::{FindingBuilder, Findings, Observable};
pub use json::Json;
pub use rule::Rule;
pub use state::{State, StateError};

/// What a detector's file needs.
pub mod prelude {
    pub use crate::{
        Batch, Binary, Boolean, Column, Detector, Findings, Float64, Int64, Json, Observable,
        PluginError, Row, Rule, Severity, State, StateError, Text, Time, json, log,
    };
}

/// Makes the crate a component with these detectors: `"rule-id" => Type`, one line a rule.
///
/// One type may serve several rules; each gets its own instance. Use it once, at the top of the crate: it defines the
/// type `Plugin`, by which tests reach a detector through its rule ([`testing::judge_rule`]).
#[macro_export]
macro_rules! detectors {
    ($($id:literal => $detector:ty),+ $(,)?) => {
        /// The component: its detectors by rule.
        #[derive(Debug)]
        pub struct Plugin;

        impl $crate::component::Component for Plugin {
            const DETECTORS: &'static [$crate::component::Entry] =
                &[$($crate::component::Entry::new::<$detector>($id)),+];
        }

        // Exports are for the host alone: natively, where detectors run in unit tests, there is none.
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::export!(Plugin with_types_in $crate::bindings);
    };
}
