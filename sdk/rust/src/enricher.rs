//! Enrichers: facts about an alert.

use std::cell::RefCell;

use crate::bindings::enricher::exports::yagura::plugin::enrichment::{Enriched as Raw, Guest};
use crate::findings::OptionalText;
use crate::{Alert, Attribute, Config, Observable, PluginError, log};

/// Finds facts about alerts.
///
/// ```
/// use yagura_sdk::prelude::*;
///
/// /// Asks an inventory who owns the hosts of an alert.
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
/// // In unit tests there is no network: a script answers.
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
    /// Checks the configuration. Called once, first.
    ///
    /// # Errors
    /// [`PluginError::Config`] when it is wrong: the plugin is not opened.
    fn open(config: &Config<'_>) -> Result<Self, PluginError>;

    /// Finds facts about an alert. Called again after each delay that the operator chose; the answer takes the place of the
    /// one before.
    ///
    /// # Errors
    /// [`PluginError::Retry`] when it is worth another try, [`PluginError::Data`] when there is nothing to be found about this
    /// alert, [`PluginError::Config`] when the operator must do something first.
    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError>;
}

/// What an enricher has found, in the order in which it was found.
#[derive(Debug, Clone, Default)]
pub struct Enriched {
    /// Facts about the alert.
    pub attributes: Vec<Attribute>,
    /// Kind and value of what came up and is worth searching for.
    pub observables: Vec<(String, String)>,
}

impl Enriched {
    /// Adds a fact and where it comes from, for a human; an absent or empty one is left out.
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

    /// Adds a value worth searching for; an absent or empty one, and one that is there, is left out.
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

/// What [`enricher!`](crate::enricher!) implements.
#[doc(hidden)]
pub trait Component {
    /// Opens the enricher.
    const OPEN: Open;
}

#[doc(hidden)]
pub type Open = fn(&Config<'_>) -> Result<Box<dyn Opened>, PluginError>;

/// [`Enricher`] without the type.
#[doc(hidden)]
pub trait Opened {
    /// As [`Enricher::enrich`].
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
