//! The world `enricher`, and the imports that it shares with others.

wasmtime::component::bindgen!({
    path: "../../wit/v0.1.0",
    world: "enricher",
    with: { "yagura:plugin/log": crate::bindings::v0_1_0::log },
});

pub(crate) use exports::yagura::plugin::enrichment;
pub use yagura::plugin::{http, lookup, search, types};
