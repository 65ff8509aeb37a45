//! The network as plugins reach it.

use std::sync::Arc;

use anyhow::{Context, Result};
use yagura_core::Grants;
use yagura_http::{self as http, Secrets, SystemResolver, Transport};

use super::services::secrets;
use crate::admission;
use crate::config::Config;

/// The network, with the secrets of a configuration, and what is granted.
pub struct Network {
    /// How requests are sent.
    pub transport: Arc<dyn Transport>,
    /// What plugins may reach.
    pub grants: Grants,
    pub(super) secrets: Arc<Secrets>,
}

impl Network {
    /// Reads the grants; no secret is read before it is used.
    ///
    /// # Errors
    /// When a secret is not configured well, the grants cannot be read, or HTTP cannot be set up.
    pub fn open(config: &Config) -> Result<Self> {
        let secrets = Arc::new(secrets(config)?);
        let live = http::LiveTransport::new(Arc::clone(&secrets), Arc::new(SystemResolver))
            .context("cannot set up HTTP")?;
        Ok(Self {
            transport: Arc::new(live),
            grants: admission::grants(config.grants.as_deref())?,
            secrets,
        })
    }
}
