//! Enrichers: facts about an alert.

use std::cell::RefCell;

use crate::bindings::enricher::exports::yagura::plugin::enrichment::{Enriched as Raw, Guest};
use crate::findings::OptionalText;
use crate::{Alert, Attribute, Config, Observable, PluginError, log};

/// Adds facts to alerts.
///
/// ```
/// use yagura_sdk::prelude::*;
///
/// /// Looks up the owners of an alert's hosts in an inventory.
/// struct Owner {
///     inventory: String,
/// }
///
/// impl Enricher for Owner {
///     fn open(config: &Config) -> Result<Self, PluginError> {
///         config.only(&["inventory"])?;
///         Ok(Self { inventory: config.required_text("inventory")? })
///     }
///
///     fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
///         for host in alert.observables_of(Observable::Host) {
///             let answer = http::get(format!("{}/hosts/{}", self.inventory, http::encode(host)))
///                 .header("Authorization", "Bearer {{secret:inventory}}")
///                 .send()?;
///             if answer.status == 404 {
///                 continue;
///             }
///             let host = answer.success()?;
///             found.attribute("owner", host.json()?.get("owner").and_then(Json::text), "inventory");
///         }
///         Ok(())
///     }
/// }
///
/// yagura_sdk::enricher!(Owner);
///
/// // In unit tests a script answers instead of the network.
/// use yagura_sdk::testing::{Answer, Host, alert, enrich};
/// let host = Host::new().answers(
///     "GET https://inventory.example.com/hosts/web%201",
///     Answer::json(200, r#"{"owner": "shop"}"#),
/// );
/// let config = r#"{"inventory": "https://inventory.example.com"}"#;
/// let found = enrich::<Owner>(config, &alert().observable(Observable::Host, "web 1").build()).unwrap();
/// assert_eq!(found.attributes[0].value, "shop");
/// assert_eq!(host.requests()[0].header("authorization"), Some("Bearer {{secret:inventory}}"));
/// ```
pub trait Enricher: Sized + 'static {
    /// Checks the configuration. Called once, before all other calls.
    ///
    /// # Errors
    /// [`PluginError::Config`] if it is wrong: the plugin is not opened.
    fn open(config: &Config<'_>) -> Result<Self, PluginError>;

    /// Adds facts to an alert. The host calls it again after each delay that the operator chose; the last answer replaces
    /// earlier ones.
    ///
    /// # Errors
    /// [`PluginError::Retry`] if another attempt may succeed, [`PluginError::Data`] if there can be no facts about this alert,
    /// [`PluginError::Config`] if the operator must change something first.
    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError>;
}

/// The facts of an enricher, in order.
#[derive(Debug, Clone, Default)]
pub struct Enriched {
    /// Facts about the alert.
    pub attributes: Vec<Attribute>,
    /// Kind and value of further observables.
    pub observables: Vec<(String, String)>,
}

impl Enriched {
    /// Adds a fact and its source, for a human; an absent or empty value is left out.
    pub fn attribute(&mut self, name: &str, value: impl OptionalText, source: &str) -> &mut Self {
        if let Some(value) = value.optional_text() {
            self.attributes.push(Attribute {
                name: name.to_owned(),
                value,
                source: source.to_owned(),
            });
        }
        self
    }

    /// Adds a observable; an absent or empty one, and one that is there, is left out.
    pub fn observable(&mut self, kind: Observable, value: impl OptionalText) -> &mut Self {
        if let Some(value) = value.optional_text() {
            let observable = (kind.name().to_owned(), value);
            if !self.observables.contains(&observable) {
                self.observables.push(observable);
            }
        }
        self
    }
}

/// The part that [`enricher!`](crate::enricher!) implements.
#[doc(hidden)]
pub trait Component {
    /// Opens the enricher.
    const OPEN: Open;
}

#[doc(hidden)]
pub type Open = fn(&Config<'_>) -> Result<Box<dyn Opened>, PluginError>;

/// An [`Enricher`] of any type.
#[doc(hidden)]
pub trait Opened {
    /// See [`Enricher::enrich`].
    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError>;
}

impl<E: Enricher> Opened for E {
    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
        Enricher::enrich(self, alert, found)
    }
}

#[doc(hidden)]
pub fn open<E: Enricher>(config: &Config<'_>) -> Result<Box<dyn Opened>, PluginError> {
    Ok(Box::new(E::open(config)?))
}

thread_local! {
    /// An instance of a component has one thread.
    static OPENED: RefCell<Option<Box<dyn Opened>>> = const { RefCell::new(None) };
}

impl<C: Component> Guest for C {
    fn open(config: String) -> Result<(), PluginError> {
        log::log_panics();
        OPENED.set(Some(C::OPEN(&Config::new(&config))?));
        Ok(())
    }

    fn enrich(alert: Alert) -> Result<Raw, PluginError> {
        OPENED.with_borrow_mut(|opened| {
            let mut found = Enriched::default();
            crate::report::opened(opened)?.enrich(&alert, &mut found)?;
            Ok(Raw {
                attributes: found.attributes,
                observables: found.observables,
            })
        })
    }
}
