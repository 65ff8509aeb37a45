//! All rules' predicates over a table, as one program.
//!
//! A batch is evaluated in three steps. Each field that any rule tests is read once, wherever events have it
//! ([`crate::resolve::places`]), its distinct values are evaluated by the tests of all rules at once ([`values`]), and its rows
//! sorted into classes ([`slot`], and [`nested`] for what lies inside JSON). What was seen names the rules that can match at all: each rule waits for one of a set of atoms, the rarest that will do. Only of those are
//! the trees evaluated, on bitmaps, a tree that several rules share once.

mod compile;
mod evaluate;
mod mask;
mod nested;
mod other;
mod program;
mod slot;
mod slot_batch;
mod state;
mod tree;
pub(crate) mod values;

pub use self::compile::CompileError;
pub use self::program::{Matches, Methods, Program, Undecided};
pub use self::state::PrefilterState;
pub use self::values::TestError;
