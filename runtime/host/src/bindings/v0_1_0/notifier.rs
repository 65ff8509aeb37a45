//! The world `notifier`.

wasmtime::component::bindgen!({
    path: "../../wit/v0.1.0",
    world: "notifier",
    with: {
        "yagura:plugin/log": crate::bindings::v0_1_0::log,
        "yagura:plugin/http": super::enricher::http,
        "yagura:plugin/types": super::enricher::types,
    },
});

pub(crate) use exports::yagura::plugin::notifying;
