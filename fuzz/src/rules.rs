//! Rules and plugins.

use std::sync::OnceLock;

use yagura_core::pack::Limits;
use yagura_host::{Host, HostConfig};
use yagura_rules::sigma::{
    Placeholders, correlations, load_text, translate_bare, unused_detections,
};

pub(crate) fn condition(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = yagura_engine::syntax_error(text);
    }
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
            time: "20ms".to_owned(),
            ..Limits::default()
        };
        let _ = host.load_detector_bytes("fuzz.wasm", bytes, &limits);
    }
}
