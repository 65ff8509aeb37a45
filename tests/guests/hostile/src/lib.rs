//! A detector that breaks each promise once. The rule's id chooses how: see [`BEHAVIOURS`].
//!
//! It speaks the contract itself, without the SDK, so that it can also do what the SDK would not allow.

wit_bindgen::generate!({
    path: "../../../wit/v0.1.0",
    world: "detector",
});

use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::sync::Mutex;

use exports::yagura::plugin::detection::{Batch, Finding, Guest, PluginError, Rule, Timestamp};
use yagura::plugin::log::{Level, log};
use yagura::plugin::types::DataType;

/// What a rule's id makes the detector do when it gets a batch. Each has a test in `tests/it/hostile_guests.rs`.
const BEHAVIOURS: [&str; 25] = [
    // Does what it should.
    "well-behaved",
    // A finding with the whole batch in its context.
    "echo",
    // A finding at each watermark.
    "watermark",
    // Refuses its configuration.
    "refuses-open",
    // Uses too much.
    "endless-loop",
    "memory-hog",
    "deep-recursion",
    "output-flood",
    "output-huge",
    "log-flood",
    "slow",
    // The last two, but for finding as little as honest ones do.
    "log-flood-rare",
    "slow-rare",
    // Crashes.
    "panics",
    "trap-on-third-batch",
    // Answers what no honest detector can.
    "garbage-rows",
    "garbage-empty-rows",
    "garbage-text",
    "garbage-pointer",
    "garbage-watermark-rows",
    "garbage-watermark-rule",
    // Says that it cannot.
    "guest-error-data",
    // Fails on some events.
    "odd-event-data",
    "odd-event-panic",
    "guest-error-retry-once",
];

/// Rules that do some work and find something now and then, to stand beside the others.
const HONEST: usize = 100;

/// What the instance remembers.
struct State {
    rules: Vec<Rule>,
    batches: u64,
}

static STATE: Mutex<State> = Mutex::new(State {
    rules: Vec::new(),
    batches: 0,
});

struct Hostile;

impl Guest for Hostile {
    fn rules() -> Vec<String> {
        let honest = (0..HONEST).map(|number| format!("honest-{number}"));
        BEHAVIOURS
            .map(str::to_owned)
            .into_iter()
            .chain(honest)
            .collect()
    }

    fn open(config: String, rules: Vec<Rule>) -> Result<(), PluginError> {
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
        if rules.iter().any(|rule| rule.id == "refuses-open") {
            return Err(PluginError::Config(format!(
                "`{config}` is not to my taste"
            )));
        }
        state(|state| state.rules = rules);
        Ok(())
    }

    fn on_batch(rule: u32, batch: Batch) -> Result<Vec<Finding>, PluginError> {
        let (behaviour, count) = state(|state| {
            state.batches += 1;
            (state.rules[rule as usize].id.clone(), state.batches)
        });
        match behaviour.as_str() {
            "echo" => Ok(vec![echo(rule, &batch)]),
            "endless-loop" => endless_loop(),
            "memory-hog" => memory_hog(),
            "deep-recursion" => Ok(vec![finding(vec![deep_recursion(u32::MAX)])]),
            "output-flood" => Ok(output_flood()),
            "output-huge" => Ok(output_huge()),
            "log-flood" => {
                log_flood();
                Ok(each_row(&batch))
            }
            "slow" => {
                slow(batch.rows);
                Ok(each_row(&batch))
            }
            "log-flood-rare" => {
                log_flood();
                Ok(rare_rows(&batch))
            }
            "slow-rare" => {
                slow(batch.rows);
                Ok(rare_rows(&batch))
            }
            "panics" => panics(&batch),
            "trap-on-third-batch" if count == 3 => trap_on_third_batch(),
            "garbage-rows" => Ok(vec![finding(vec![0, batch.rows])]),
            "garbage-empty-rows" => Ok(vec![finding(Vec::new())]),
            "garbage-text" => Ok(vec![titled(invalid_text())]),
            "garbage-pointer" => Ok(vec![titled(invalid_pointer())]),
            "odd-event-data" if has_odd(&batch) => {
                Err(PluginError::Data("an event is odd".to_owned()))
            }
            "odd-event-panic" if has_odd(&batch) => panic!("an event is odd"),
            "guest-error-data" => Err(PluginError::Data("row 7 holds no address".to_owned())),
            "guest-error-retry-once" if count == 1 => {
                Err(PluginError::Retry("not warmed up yet".to_owned()))
            }
            id if id.starts_with("honest-") => Ok(rare_rows(&batch)),
            _ => Ok(each_row(&batch)),
        }
    }

    fn on_watermark(time: Timestamp) -> Result<Vec<(u32, Finding)>, PluginError> {
        let rules = state(|state| {
            let ids = state.rules.iter().map(|rule| rule.id.clone());
            ids.collect::<Vec<_>>()
        });
        let findings = (0..).zip(&rules).filter_map(|(number, id)| {
            let mut finding = finding(Vec::new());
            match id.as_str() {
                "watermark" => finding.title = Some(format!("at {time}")),
                "garbage-watermark-rows" => finding.rows = vec![0],
                "garbage-watermark-rule" => return Some((number + 1000, finding)),
                _ => return None,
            }
            Some((number, finding))
        });
        Ok(findings.collect())
    }

    fn snapshot() -> Result<Vec<u8>, PluginError> {
        Ok(state(|state| state.batches.to_le_bytes().to_vec()))
    }

    fn restore(bytes: Vec<u8>) -> Result<(), PluginError> {
        let bytes = bytes
            .try_into()
            .map_err(|_| PluginError::Data("a state has eight bytes".to_owned()))?;
        state(|state| state.batches = u64::from_le_bytes(bytes));
        Ok(())
    }
}

fn state<T>(work: impl FnOnce(&mut State) -> T) -> T {
    work(&mut STATE.lock().expect("one thread"))
}

fn finding(rows: Vec<u32>) -> Finding {
    Finding {
        rows,
        title: None,
        severity: None,
        key: None,
        observables: Vec::new(),
        context: Vec::new(),
    }
}

fn titled(title: String) -> Finding {
    Finding {
        title: Some(title),
        ..finding(vec![0])
    }
}

fn each_row(batch: &Batch) -> Vec<Finding> {
    (0..batch.rows).map(|row| finding(vec![row])).collect()
}

/// One finding for each row whose number in the last column is a multiple of 250.
fn rare_rows(batch: &Batch) -> Vec<Finding> {
    let last = batch
        .columns
        .last()
        .map_or(&[][..], |column| &column.values);
    let (numbers, _) = last.as_chunks::<8>();
    let numbers = numbers.iter().map(|bytes| i64::from_le_bytes(*bytes));
    (0..)
        .zip(numbers)
        .filter(|(_, number)| number % 250 == 0)
        .map(|(row, _)| finding(vec![row]))
        .collect()
}

/// Says whether a number in the last column is one of those on which the plugin fails.
fn has_odd(batch: &Batch) -> bool {
    let last = batch
        .columns
        .last()
        .map_or(&[][..], |column| &column.values);
    let (numbers, _) = last.as_chunks::<8>();
    numbers
        .iter()
        .any(|bytes| i64::from_le_bytes(*bytes) % 5_000 == 777)
}

/// One finding of all rows: each value of each column as `column[row]` and text, absent values left out.
fn echo(rule: u32, batch: &Batch) -> Finding {
    let schema: Vec<(String, DataType)> = state(|state| {
        let fields = state.rules[rule as usize].schema.iter();
        fields
            .map(|field| (field.name.clone(), field.data_type))
            .collect()
    });
    let mut context = Vec::new();
    for ((name, data_type), column) in schema.iter().zip(&batch.columns) {
        let bit = |bytes: &[u8], row: usize| bytes[row / 8] >> (row % 8) & 1 == 1;
        let eight = |row: usize| -> [u8; 8] {
            let start = row * 8;
            column.values[start..start + 8].try_into().expect("eight")
        };
        let offset = |row: usize| {
            let bytes = &column.offsets[row * 4..row * 4 + 4];
            u32::from_le_bytes(bytes.try_into().expect("four")) as usize
        };
        for row in 0..batch.rows as usize {
            if !column.validity.is_empty() && !bit(&column.validity, row) {
                continue;
            }
            let text = match data_type {
                DataType::Boolean => bit(&column.values, row).to_string(),
                DataType::Int64 | DataType::TimestampUs => {
                    i64::from_le_bytes(eight(row)).to_string()
                }
                DataType::Float64 => f64::from_le_bytes(eight(row)).to_string(),
                DataType::Utf8 | DataType::Binary => {
                    let value = &column.values[offset(row)..offset(row + 1)];
                    String::from_utf8_lossy(value).into_owned()
                }
            };
            context.push((format!("{name}[{row}]"), text));
        }
    }
    Finding {
        context,
        ..finding((0..batch.rows).collect())
    }
}

#[inline(never)]
fn endless_loop() -> ! {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Takes about half a millisecond for each row, and then answers as it should.
fn slow(rows: u32) {
    let mut mixed = u64::from(rows) | 1;
    for _ in 0..u64::from(rows) * 200_000 {
        // Each step needs the one before, so that nothing can be left out.
        mixed ^= mixed << 13;
        mixed ^= mixed >> 7;
        mixed ^= mixed << 17;
    }
    black_box(mixed);
}

#[inline(never)]
fn memory_hog() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[inline(never)]
fn deep_recursion(depth: u32) -> u32 {
    let here = black_box([depth; 16]);
    if depth == 0 {
        return 0;
    }
    deep_recursion(black_box(depth - 1)).wrapping_add(here[3])
}

/// Many strings that are all the same bytes: small here, huge for a host that copies each.
fn output_flood() -> Vec<Finding> {
    let text = ManuallyDrop::new("x".repeat(1 << 20));
    (0..1000)
        .map(|_| {
            // SAFETY: none. Freeing the findings would free the text a thousand times; the host must stop before that.
            titled(unsafe {
                String::from_raw_parts(text.as_ptr().cast_mut(), text.len(), text.len())
            })
        })
        .collect()
}

fn output_huge() -> Vec<Finding> {
    vec![titled("x".repeat(64 << 20))]
}

fn log_flood() {
    log(Level::Debug, &"long ".repeat(10_000));
    for line in 0..100_000 {
        log(Level::Info, &format!("line {line}"));
    }
}

#[inline(never)]
fn panics(batch: &Batch) -> ! {
    panic!("did not expect {} rows", batch.rows)
}

#[inline(never)]
fn trap_on_third_batch() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    unreachable!("a guest");
}

fn invalid_text() -> String {
    // SAFETY: none. The host must not take it for text.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe]) }
}

fn invalid_pointer() -> String {
    // SAFETY: none. The host must not read there.
    unsafe { String::from_raw_parts(0xffff_fff0_usize as *mut u8, 1000, 1000) }
}

export!(Hostile);
