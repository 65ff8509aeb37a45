//! From findings to alerts.
//!
//! Knows rules, findings and alerts as plain types and nothing of where they come from: neither tables nor plans nor
//! plugins. Suppression, grouping, delivery and investigation join here later.

mod window;

pub use window::assemble;
