//! A detector that imports something outside its world: the host must refuse it before it runs.

wit_bindgen::generate!({
    path: ["../../../wit/v0.1.0", "wit-cli", "wit"],
    world: "test:forbidden/curious",
    generate_all,
});

use exports::yagura::plugin::detection::{Batch, Finding, Guest, PluginError, Rule, Timestamp};

struct Curious;

impl Guest for Curious {
    fn rules() -> Vec<String> {
        wasi::cli::environment::get_environment()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    fn open(_config: String, _rules: Vec<Rule>) -> Result<(), PluginError> {
        Ok(())
    }

    fn on_batch(_rule: u32, _batch: Batch) -> Result<Vec<Finding>, PluginError> {
        Ok(Vec::new())
    }

    fn on_watermark(_time: Timestamp) -> Result<Vec<(u32, Finding)>, PluginError> {
        Ok(Vec::new())
    }

    fn snapshot() -> Result<Vec<u8>, PluginError> {
        Ok(Vec::new())
    }

    fn restore(_state: Vec<u8>) -> Result<(), PluginError> {
        Ok(())
    }
}

export!(Curious);
