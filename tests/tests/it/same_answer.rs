//! The same events give the same bytes, whatever the number of partitions and the size of batches.

use std::fmt::Write as _;

use proptest::prelude::*;
use yagura_core::pack::Limits;
use yagura_engine::RunOptions;
use yagura_tests::fixture::{Fixture, ingest_lines};
use yagura_tests::guests;

/// An event: minutes after midnight, days after the first, user, number.
type Event = (u32, u32, u8, i16);

fn lines(events: &[Event]) -> String {
    let mut lines = String::new();
    for (minute, day, user, number) in events {
        writeln!(
            lines,
            r#"{{"time":"2026-05-{:02}T{:02}:{:02}:00Z","user":"u{user}","deep":{{"number":{number}}}}}"#,
            1 + day,
            minute / 60,
            minute % 60
        )
        .unwrap();
    }
    lines
}

async fn bytes(fixture: &Fixture, partitions: usize, batch_rows: usize) -> String {
    let options = RunOptions {
        partitions,
        batch_rows,
        ..RunOptions::default()
    };
    let outcome = fixture.run(&options).await.unwrap();
    assert_eq!(outcome.run.skipped, []);
    serde_json::to_string(&outcome.alerts).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_partitions_and_batches(
        events in prop::collection::vec((0u32..1440, 0u32..3, 0u8..4, -9i16..9), 1..400),
        shapes in prop::collection::vec((1usize..9, prop::sample::select(vec![1usize, 2, 7, 100, 8192])), 2..5),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            ingest_lines(dir.path(), "t", &lines(&events)).await.unwrap();
            let url = dir.path().join("lake/t");
            let with_code = "[rule]\nid = \"well-behaved\"\ntitle = \"{user} {deep.number}\"\ntable = \"t\"\nplugin = \"p.wasm\"\ncolumns = [\"user\", \"deep.number\"]\n[rule.alert]\nkey = [\"user\"]\nwindow = \"90m\"\nthreshold = 2\n";
            let fixture = Fixture::over("t", url.to_str().unwrap())
                .rule_toml(with_code)
                .rule("negative", "t", "deep.number < 0", "context = [\"deep\"]\n[rule.observables]\nuser = [\"user\"]\n[rule.alert]\nkey = [\"user\", \"deep.number\"]")
                .plugin(guests::hostile(), &Limits::default())
                .unwrap();
            let first = bytes(&fixture, 1, 8_192).await;
            for (partitions, batch_rows) in shapes {
                let again = bytes(&fixture, partitions, batch_rows).await;
                prop_assert_eq!(&again, &first, "{} partitions, batches of {}", partitions, batch_rows);
            }
            // The count by other code: each event of a user that is negative.
            let negative = events.iter().filter(|event| event.3 < 0).count() as u64;
            let outcome = fixture.run(&RunOptions::default()).await.unwrap();
            prop_assert_eq!(outcome.counts().get("negative").copied().unwrap_or(0), negative);
            Ok(())
        })?;
    }
}
