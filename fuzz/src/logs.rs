//! Logs: objects as they lie in a lake, and text before it gets there.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::sync::{Once, OnceLock};

use tokio::runtime::Runtime;
use yagura_engine::RunOptions;
use yagura_tests::fixture::{Fixture, ingest_lines};

fn block_on<T>(work: impl Future<Output = T>) -> Option<T> {
    // The fuzzer ends with the first panic that is told.
    static QUIET: Once = Once::new();
    QUIET.call_once(yagura_lake::guard::print_no_caught_panics);
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().ok()
    });
    Some(runtime.as_ref()?.block_on(work))
}

/// Judges the events of a table by a rule that looks at several columns.
async fn judge(table: &Path) {
    let Some(url) = table.to_str() else { return };
    let rule = "name = 'n' OR number > 5 OR nested.inner LIKE '%x%' OR name IS NULL";
    let fixture = Fixture::over("t", url).rule("r", "t", rule, "[rule.alert]\nkey = [\"name\"]");
    let options = RunOptions {
        partitions: 1,
        ..RunOptions::default()
    };
    let _ = fixture.run(&options).await;
}

pub(crate) fn parquet(bytes: &[u8]) {
    let Ok(dir) = tempfile::tempdir() else { return };
    let table = dir.path().join("t");
    if fs::create_dir(&table).is_ok() && fs::write(table.join("part-0.parquet"), bytes).is_ok() {
        block_on(judge(&table));
    }
}

pub(crate) fn ingest(bytes: &[u8]) {
    let (Ok(dir), Ok(text)) = (tempfile::tempdir(), std::str::from_utf8(bytes)) else {
        return;
    };
    block_on(async {
        if ingest_lines(dir.path(), "t", text).await.is_ok() {
            judge(&dir.path().join("lake/t")).await;
        }
    });
}
