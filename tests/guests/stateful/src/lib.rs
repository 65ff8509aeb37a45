//! Detectors that do to their key's state what the column `step` says, at the time in the column `time`. What the state
//! answers becomes the finding's title. `stateful-go` and `stateful-python` do the same in their languages. The host's tests
//! are in `tests/it/keyed_state.rs`.

use yagura_sdk::prelude::*;

/// A detector of either rule. There are two so that a wake-up could go to the wrong one.
struct Steps {
    rule: String,
    step: Column<Text>,
    time: Column<Time>,
}

impl Detector for Steps {
    fn open(rule: &Rule<'_>) -> Result<Self, PluginError> {
        Ok(Self {
            rule: rule.id().to_owned(),
            step: rule.text("step")?,
            time: rule.time("time")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch<'_>, findings: &mut Findings) -> Result<(), PluginError> {
        let state = batch.state();
        for row in batch.rows() {
            let step = row.get(self.step).unwrap_or_default();
            let at = row.get(self.time).unwrap_or_default();
            findings.row(row).title(take(step, at, state)?);
        }
        Ok(())
    }

    fn on_wake(
        &mut self,
        time: i64,
        state: State,
        findings: &mut Findings,
    ) -> Result<(), PluginError> {
        // Neither comes again: time has to go on.
        state.wake(time)?;
        state.wake(time - 1)?;
        let count = state.count("n", time)?;
        let next = if count == 2 {
            state.wake(time + 100)
        } else {
            Ok(())
        };
        let title = format!("{}: {count} at {time}, {}", self.rule, done(next));
        findings.at_watermark().title(title);
        match count {
            3 => panic!("a wake-up fails"),
            _ => Ok(()),
        }
    }
}

fn take(step: &str, at: i64, state: State) -> Result<String, PluginError> {
    Ok(match step {
        "count" => said(state.increment("n", 1, at, None)),
        "count for ten" => said(state.increment("n", 1, at, Some(at + 10))),
        "read" => said(state.count("n", at)),
        "forget" => done(state.remove("n")),
        "wake" => done(state.wake(at + 5)),
        "write" => done(state.put("text", "名", Some(at + 10))),
        "text" => said(
            state
                .get_text("text", at)
                .map(|text| text.unwrap_or_default()),
        ),
        "count text" => said(state.increment("text", 1, at, None)),
        "large value" => done(state.put("large", vec![0; 2000], None)),
        "many entries" => done((0..1001).try_for_each(|n| state.put(&n.to_string(), "", None))),
        "many wake-ups" => done((0..101).try_for_each(|n| state.wake(at + 1 + n))),
        "come and go" => done((0..100_000).try_for_each(|n| {
            let name = n.to_string();
            state.put(&name, [0; 500], None)?;
            state.remove(&name)
        })),
        "error" => return Err(PluginError::Data("an event is odd".to_owned())),
        "panic" => panic!("an event is odd"),
        "loop" => loop {
            std::hint::black_box(state.count("n", at)?);
        },
        other => return Err(PluginError::Data(format!("`{other}` is no step"))),
    })
}

fn done(answer: Result<(), StateError>) -> String {
    said(answer.map(|()| "done"))
}

fn said<T: ToString>(answer: Result<T, StateError>) -> String {
    match answer {
        Ok(answer) => answer.to_string(),
        Err(error) => error.to_string(),
    }
}

yagura_sdk::detectors! {
    "steps" => Steps,
    "other-steps" => Steps,
}
