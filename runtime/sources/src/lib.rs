//! Sources: how the raw logs of a maker become rows under OCSF's names.
//!
//! ```text
//! sources/NAME.toml ──file──▶ SourceFile ──mapping──▶ Normalizer (one plan a class)
//! raw logs ──lake: format, lines, or the plugin as a parser──▶ events ──fields──▶ one array a field ──expressions──▶ one array a column
//!                                                    ──values──▶ members of the row, in front of the maker's own
//! ```
//!
//! A row keeps the maker's names beside those of its class, and the source text in `raw`. What an expression says and what
//! does not fit its attribute is counted, never stored under a name that promises another type.

mod attribute;
mod class;
mod event;
mod explain;
mod fields;
mod file;
mod mapping;
mod mask;
mod normalizer;
mod rows;
mod shipped;
mod value;

#[cfg(test)]
mod page;
#[cfg(test)]
mod properties;

pub use class::class_table;
pub use explain::{Explained, ExplainedColumn, explain, never_there};
pub use file::{
    ClassFile, RepeatsFile, SourceCase, SourceFile, SourceHead, format_names, format_of,
};
pub use mapping::Mapping;
pub use mask::{MaskCheck, MaskFile};
pub use rows::{PlacedRow, RowsError, in_order, rows_of, source_table};
pub use shipped::{shipped, shipped_names};
