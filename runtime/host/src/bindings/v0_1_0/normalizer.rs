//! The world `normalizer`.

wasmtime::component::bindgen!({
    path: "../../wit/v0.1.0",
    world: "normalizer",
    with: {
        "yagura:plugin/log": crate::bindings::v0_1_0::log,
        "yagura:plugin/types": super::enricher::types,
    },
});
