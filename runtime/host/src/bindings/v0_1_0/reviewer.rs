//! The world `reviewer`.

wasmtime::component::bindgen!({
    path: "../../wit/v0.1.0",
    world: "reviewer",
    with: {
        "yagura:plugin/log": crate::bindings::v0_1_0::log,
        "yagura:plugin/lookup": super::enricher::lookup,
        "yagura:plugin/types": super::enricher::types,
    },
});
