//! Random tests that can be repeated.

use std::hash::{BuildHasher, RandomState};

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::error::ArrowError;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Returns a runner of so many cases, by a new seed each time or by that in `YAGURA_SEED`, and prints the seed.
#[expect(clippy::print_stdout, reason = "a failed test shows it")]
pub fn runner(cases: u32) -> TestRunner {
    let given = std::env::var("YAGURA_SEED").ok();
    let seed = given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| RandomState::new().hash_one(cases));
    println!("{cases} random cases; YAGURA_SEED={seed} repeats them");
    TestRunner::new(Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    })
}

/// Returns a batch of these columns, each of which may hold NULL.
pub fn batch_of(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}
