//! A normalizer that makes an event of each record, or misbehaves. A record chooses: see [`BEHAVIOURS`].
//!
//! It speaks the contract itself, without the SDK, so that it can also do what the SDK would not allow.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

wit_bindgen::generate!({
    path: "../../../wit/v0.1.0",
    world: "normalizer",
});

use exports::yagura::plugin::normalizing::{Column, Guest, Normalized, PluginError};

/// What a record makes the normalizer do, to the record or to the whole call. Each has a test in
/// `runtime/host/tests/it/normalizers.rs`.
const BEHAVIOURS: [&str; 29] = [
    // To the record.
    "malformed",
    "three-events",
    "no-event",
    "not-json",
    "array",
    "deep",
    "key-twice",
    "ten-megabytes",
    "reason-huge",
    "counts",
    // To the call.
    "config",
    "data",
    "retry",
    "retry-once",
    "panic",
    "loop",
    "memory",
    "leak",
    "stack",
    "flood",
    "one-too-few",
    "one-too-many",
    "descending",
    "offset-beyond",
    "not-utf8",
    "validity",
    "malformed-beyond",
    "malformed-twice",
    "malformed-with-events",
];

/// Records that were parsed: what no normalizer should keep.
static SEEN: AtomicU32 = AtomicU32::new(0);
/// Whether `retry` was said.
static TRIED: AtomicBool = AtomicBool::new(false);

struct Hostile;

impl Guest for Hostile {
    fn open(config: String) -> Result<(), PluginError> {
        match config.contains("refuse") {
            true => Err(PluginError::Config("it refuses".to_owned())),
            false => Ok(()),
        }
    }

    fn normalize(records: Column) -> Result<Normalized, PluginError> {
        let mut answer = Answer::default();
        let offsets: Vec<usize> = records
            .offsets
            .chunks_exact(4)
            .map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()) as usize)
            .collect();
        let mut after = Vec::new();
        for range in offsets.windows(2) {
            let record = String::from_utf8_lossy(&records.values[range[0]..range[1]]);
            SEEN.fetch_add(1, Ordering::Relaxed);
            if !answer.add(&record) {
                before(&record)?;
                after.push(record.into_owned());
                answer.event("{}");
                answer.end();
            }
        }
        let mut normalized = answer.into_normalized();
        for behaviour in &after {
            change(behaviour, &mut normalized);
        }
        Ok(normalized)
    }
}

#[derive(Default)]
struct Answer {
    text: String,
    ends: Vec<u32>,
    records: Vec<u32>,
    malformed: Vec<(u32, String)>,
}

impl Answer {
    fn event(&mut self, event: &str) {
        self.text.push_str(event);
        self.ends.push(self.text.len() as u32);
    }

    fn end(&mut self) {
        self.records.push(self.ends.len() as u32);
    }

    /// Adds what a record comes to; false if it changes the whole call.
    fn add(&mut self, record: &str) -> bool {
        let index = self.records.len() as u32;
        match record {
            "malformed" => self.malformed.push((index, "it says so".to_owned())),
            "reason-huge" => self.malformed.push((index, "r".repeat(1 << 20))),
            "three-events" => (1..=3).for_each(|n| self.event(&format!("{{\"n\":{n}}}"))),
            "no-event" => {}
            "not-json" => self.event("{\"line\":"),
            "array" => self.event("[{\"line\":1}]"),
            "deep" => {
                let depth = 100_000;
                let event = format!("{{\"deep\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
                self.event(&event);
            }
            "key-twice" => self.event("{\"line\":1,\"line\":2}"),
            "ten-megabytes" => {
                self.event(&format!("{{\"line\":\"{}\"}}", "x".repeat(10_000_000)));
            }
            "counts" => self.event(&format!("{{\"n\":{}}}", SEEN.load(Ordering::Relaxed))),
            name if BEHAVIOURS.contains(&name) => return false,
            line => {
                let line = line.replace('\\', "\\\\").replace('"', "\\\"");
                self.event(&format!("{{\"line\":\"{line}\"}}"));
            }
        }
        self.end();
        true
    }

    fn into_normalized(self) -> Normalized {
        let bytes = |ends: &[u32]| {
            let all = std::iter::once(&0).chain(ends);
            all.flat_map(|end| end.to_le_bytes()).collect()
        };
        Normalized {
            records: bytes(&self.records),
            events: Column {
                validity: Vec::new(),
                offsets: bytes(&self.ends),
                values: self.text.into_bytes(),
            },
            malformed: self.malformed,
        }
    }
}

/// Does what ends the call.
fn before(behaviour: &str) -> Result<(), PluginError> {
    match behaviour {
        "config" => return Err(PluginError::Config("no configuration fits".to_owned())),
        "data" => return Err(PluginError::Data("one of them is malformed".to_owned())),
        "retry" => return Err(PluginError::Retry("later".to_owned())),
        "retry-once" => {
            if !TRIED.swap(true, Ordering::Relaxed) {
                return Err(PluginError::Retry("once more".to_owned()));
            }
        }
        "panic" => panic!("a record says `panic`"),
        "loop" => loop {
            std::hint::black_box(());
        },
        "memory" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        // Too much for one instance after some calls, and never for one call.
        "leak" => std::mem::forget(std::hint::black_box(vec![1_u8; 25 << 20])),
        "stack" => {
            std::hint::black_box(deeper(u32::MAX));
        }
        _ => {}
    }
    Ok(())
}

/// Needs more of the Wasm stack than of the plugin's own memory.
fn deeper(depth: u32) -> u32 {
    let here = std::hint::black_box([depth; 16]);
    if depth == 0 {
        return 0;
    }
    deeper(std::hint::black_box(depth - 1)).wrapping_add(here[3])
}

/// Makes the answer invalid.
fn change(behaviour: &str, answer: &mut Normalized) {
    match behaviour {
        "one-too-few" => answer.records.truncate(answer.records.len() - 4),
        "one-too-many" => {
            let last = answer.records[answer.records.len() - 4..].to_vec();
            answer.records.extend(last);
        }
        "descending" => answer.records[..4].copy_from_slice(&9_u32.to_le_bytes()),
        "offset-beyond" => {
            let at = answer.events.offsets.len() - 4;
            answer.events.offsets[at..].copy_from_slice(&u32::MAX.to_le_bytes());
        }
        "not-utf8" => answer.events.values[0] = 0xff,
        "validity" => answer.events.validity.push(0xff),
        "flood" => answer.events.values.resize(24 << 20, b' '),
        "malformed-beyond" => answer.malformed.push((u32::MAX, String::new())),
        "malformed-twice" => {
            let last = answer.records.len() as u32 / 4 - 2;
            answer.malformed.push((last, String::new()));
            answer.malformed.push((last, String::new()));
        }
        "malformed-with-events" => {
            answer.malformed.clear();
            let records: Vec<u32> = answer
                .records
                .chunks_exact(4)
                .map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
                .collect();
            let with = records.windows(2).position(|range| range[0] < range[1]);
            answer.malformed.push((with.unwrap() as u32, String::new()));
        }
        _ => {}
    }
}

export!(Hostile);
