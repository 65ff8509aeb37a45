//! Sigma files from disk: rules, filters and correlations, and what is wrong with any of them.

mod documents;
mod files;
mod identity;
mod loaded;
mod parse;
mod place;
mod run_id;
mod sources;
mod spans;
mod text;

pub(super) use self::documents::without_marks;
pub use self::files::{load_dir, load_file};
pub use self::loaded::Load;
pub use self::parse::load_text;
pub use self::place::span_in;
pub use self::sources::{SigmaCorrelation, SigmaCount, SigmaFilter, SigmaSource};

#[cfg(test)]
mod tests;
