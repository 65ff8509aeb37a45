//! Which service a command is about: the directory of its state.

use std::path::PathBuf;

use anyhow::Result;
use yagura_service::config::{Config, ServeSettings};

/// Names a service by its configuration or by its state.
#[derive(Debug, clap::Args)]
pub(crate) struct StateDir {
    /// Configuration file of the service
    #[arg(long, value_name = "FILE", required_unless_present = "state")]
    config: Option<PathBuf>,
    /// Directory of its state
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    state: Option<PathBuf>,
}

impl StateDir {
    /// Returns the directory of the service's state.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub(crate) fn resolve(&self) -> Result<PathBuf> {
        Ok(match (&self.state, &self.config) {
            (Some(dir), _) => dir.clone(),
            (None, Some(file)) => Config::read(file)?.serve.unwrap_or_default().state,
            (None, None) => ServeSettings::default().state,
        })
    }
}
