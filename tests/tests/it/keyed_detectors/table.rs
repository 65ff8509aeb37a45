//! Tables of events for the guest, with the rule that hands them over.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use yagura_core::TimeRange;
use yagura_core::pack::Limits;
use yagura_engine::table_run::TableRun;
use yagura_engine::{EngineError, PluginSource, RunOptions, run};
use yagura_lake::table::{DataFile, Table};
use yagura_plan::footer_cache;
use yagura_tests::fixture::Fixture;
use yagura_tests::guests;
use yagura_tests::random::batch_of;

use super::model::{BASE, Event, Told, key};

pub(super) const STEPS: &str = "[rule]\nid = \"steps\"\ntitle = \"{step}\"\ntable = \"t\"\nplugin = \"stateful.wasm\"\ncolumns = [\"step\", \"time\"]\npartition_by = [\"user\"]\ncontext = [\"step\"]\n[rule.observables]\nuser = [\"user\"]\n[rule.alert]\nkey = [\"user\"]\nwindow = \"1ms\"\n";
pub(super) fn write(path: &Path, events: &[Event]) {
    let rows = events
        .iter()
        .map(|event| (event.at, event.user.map(|_| key(event.user)), event.step));
    write_rows(path, &rows.collect::<Vec<_>>());
}

/// Writes an object of events of many users, at times after [`BASE`].
pub(super) fn write_users(path: &Path, events: &[(i64, String)], step: &'static str) {
    let rows = events
        .iter()
        .map(|(at, user)| (*at, Some(user.clone()), step));
    write_rows(path, &rows.collect::<Vec<_>>());
}

fn write_rows(path: &Path, rows: &[(i64, Option<String>, &str)]) {
    let times = rows.iter().map(|(at, ..)| BASE + at);
    let users = rows.iter().map(|(_, user, _)| user.as_deref());
    let steps = rows.iter().map(|(.., step)| *step);
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times)),
        ),
        ("user", Arc::new(users.collect::<StringArray>())),
        ("step", Arc::new(StringArray::from_iter_values(steps))),
    ];
    let batch = batch_of(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(1_000))
        .build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

pub(super) fn plugin() -> PluginSource {
    static PLUGIN: OnceLock<PluginSource> = OnceLock::new();
    let load = || {
        let fixture = Fixture::default();
        let loaded = fixture.plugin(guests::stateful(), &Limits::default());
        loaded.unwrap().input.plugins.remove(0)
    };
    PLUGIN.get_or_init(load).clone()
}

/// A table of objects of these events, in this order, with the rule `steps`.
pub(super) struct Steps {
    pub(super) dir: tempfile::TempDir,
    pub(super) fixture: Fixture,
}

impl Steps {
    pub(super) fn over(objects: &[Vec<Event>]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (number, events) in objects.iter().enumerate() {
            write(
                &dir.path().join(format!("part-{number:03}.parquet")),
                events,
            );
        }
        let mut fixture = Fixture::over("t", dir.path().to_str().unwrap()).rule_toml(STEPS);
        fixture.input.tables[0].time = Some("time".to_owned());
        fixture.input.plugins.push(plugin());
        Self { dir, fixture }
    }

    /// The same, with a state that ends so long after a key's last event.
    pub(super) fn over_for(objects: &[Vec<Event>], state_for: &str) -> Self {
        let mut table = Self::over(objects);
        let rule = STEPS.replace(
            "partition_by = [\"user\"]\n",
            &format!("partition_by = [\"user\"]\nstate_for = \"{state_for}\"\n"),
        );
        table.fixture.input.rules = Fixture::default().rule_toml(&rule).input.rules;
        table
    }

    pub(super) async fn told(&self, options: &RunOptions) -> Told {
        let input = self.fixture.input.clone();
        let outcome = run(input, options, |_, _| {}).await.unwrap();
        Told::of(&outcome.findings, &outcome.skipped)
    }

    pub(super) async fn error(&self, options: &RunOptions) -> EngineError {
        let input = self.fixture.input.clone();
        run(input, options, |_, _| {}).await.unwrap_err()
    }

    pub(super) async fn open(&self, options: &RunOptions) -> TableRun {
        let input = &self.fixture.input;
        let cache = footer_cache();
        let config = input.tables[0].clone();
        let table = Table::open(config, TimeRange::default(), Arc::clone(&cache));
        let table = Arc::new(table.await.unwrap());
        let rules: Vec<_> = input.rules.iter().cloned().enumerate().collect();
        TableRun::new(table, cache, &rules, &input.rules, &input.plugins, options).unwrap()
    }

    /// Returns the table's objects with the times of their events, the earliest first.
    pub(super) async fn files(&self) -> Vec<(i64, i64, DataFile)> {
        let cache = footer_cache();
        let config = self.fixture.input.tables[0].clone();
        let table = Table::open(config, TimeRange::default(), Arc::clone(&cache));
        let table = table.await.unwrap();
        let mut files = Vec::new();
        for file in &table.files {
            let times = table.times_of(file, Arc::clone(&cache)).await.unwrap();
            let (first, last) = times.unwrap();
            files.push((first.micros(), last.micros(), file.clone()));
        }
        files.sort_by_key(|(first, last, _)| (*first, *last));
        files
    }
}

pub(super) fn options(partitions: usize, batch_rows: usize) -> RunOptions {
    RunOptions {
        partitions,
        batch_rows,
        ..RunOptions::default()
    }
}
