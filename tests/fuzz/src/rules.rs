//! Rules and plugins.

use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::error::ArrowError;
use yagura_core::pack::Limits;
use yagura_host::{Host, HostConfig};
use yagura_rules::sigma::{
    Placeholders, correlations, load_text, translate_bare, unused_detections,
};
use yagura_rules::{Methods, PrefilterState, Program};

/// Evaluates a few events by a condition, if it is one.
pub(crate) fn condition(bytes: &[u8]) {
    static EVENTS: OnceLock<Option<RecordBatch>> = OnceLock::new();
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Some(events) = EVENTS.get_or_init(|| events().ok()) else {
        return;
    };
    let Ok(predicate) = yagura_plan::condition_predicate(text, events.schema_ref()) else {
        return;
    };
    let Ok(program) = Program::compile(events.schema_ref(), &[predicate], Methods::default())
    else {
        return;
    };
    let _ = program.evaluate(&mut PrefilterState::new(&program), events);
}

/// Events with a text, a number, a time and a body of JSON, each of which may be missing.
fn events() -> Result<RecordBatch, ArrowError> {
    let text = StringArray::from(vec![Some("a"), Some("ff 10.0.0.1"), None, Some("é%_")]);
    let numbers = Int64Array::from(vec![Some(0), Some(-1), Some(i64::MAX), None]);
    let times = TimestampMicrosecondArray::from(vec![Some(0), Some(i64::MAX), None, Some(-1)]);
    let bodies = StringArray::from(vec![Some(r#"{"x":[1,"2"]}"#), Some("{"), None, Some("{}")]);
    let columns: [(&str, ArrayRef); 4] = [
        ("a", Arc::new(text)),
        ("n", Arc::new(numbers)),
        ("t", Arc::new(times)),
        ("body", Arc::new(bodies)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, values)| (name, values, true)))
}

pub(crate) fn sigma(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let load = load_text("rule.yml".as_ref(), text.to_owned());
    let placeholders = Placeholders::default();
    for source in &load.rules {
        let _ = unused_detections(&source.rule);
        let _ = translate_bare(source, &load.filters_of(&source.rule), &placeholders);
    }
    let _ = correlations(&load);
}

/// Looks at a component and compiles it, but does not start it: what it does then is bounded by its limits, and endless
/// loops are slow to find.
pub(crate) fn component(bytes: &[u8]) {
    static HOST: OnceLock<Option<Host>> = OnceLock::new();
    let _ = yagura_host::inspect("fuzz.wasm", bytes);
    let host = HOST.get_or_init(|| Host::new(HostConfig::default()).ok());
    if let Some(host) = host {
        let limits = Limits {
            time: yagura_core::TimeSpan::from_millis(20),
            ..Limits::default()
        };
        let _ = host.load_detector_bytes("fuzz.wasm", bytes, &limits);
    }
}
