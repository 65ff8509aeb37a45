//! Reviewers: the severity of an alert, a verdict and a reason.

use std::cell::RefCell;

use crate::bindings::reviewer::exports::yagura::plugin::reviewing::Guest;
use crate::{Alert, Assessment, Attribute, Config, PluginError, log};

/// Assesses alerts by their content and by the facts of enrichers.
///
/// ```
/// use yagura_sdk::prelude::*;
///
/// /// Scans by our own scanners are benign.
/// struct OwnScanners {
///     addresses: Vec<String>,
/// }
///
/// impl Reviewer for OwnScanners {
///     fn open(config: &Config) -> Result<Self, PluginError> {
///         Ok(Self { addresses: config.strings("addresses")? })
///     }
///
///     fn review(&mut self, alert: &Alert, _: &[Attribute]) -> Result<Option<Assessment>, PluginError> {
///         let scanner = alert.observables_of(Observable::Ip).find(|ip| self.addresses.iter().any(|a| a == ip));
///         Ok(scanner.map(|ip| Assessment {
///             severity: Severity::Info,
///             verdict: Verdict::Benign,
///             reason: format!("{ip} is one of our scanners"),
///         }))
///     }
/// }
///
/// yagura_sdk::reviewer!(OwnScanners);
///
/// use yagura_sdk::testing::{alert, review};
/// let scan = alert().observable(Observable::Ip, "10.0.0.9").build();
/// let assessment = review::<OwnScanners>(r#"{"addresses": ["10.0.0.9"]}"#, &scan, &[]).unwrap().unwrap();
/// assert_eq!(assessment.verdict, Verdict::Benign);
/// ```
pub trait Reviewer: Sized + 'static {
    /// Checks the configuration. Called once, before all other calls.
    ///
    /// # Errors
    /// [`PluginError::Config`] if it is wrong: the plugin is not opened.
    fn open(config: &Config<'_>) -> Result<Self, PluginError>;

    /// Assesses an alert; `None` if the reviewer has no assessment.
    ///
    /// # Errors
    /// See [`Enricher::enrich`](crate::Enricher::enrich).
    fn review(
        &mut self,
        alert: &Alert,
        attributes: &[Attribute],
    ) -> Result<Option<Assessment>, PluginError>;
}

/// The part that [`reviewer!`](crate::reviewer!) implements.
#[doc(hidden)]
pub trait Component {
    /// Opens the reviewer.
    const OPEN: Open;
}

#[doc(hidden)]
pub type Open = fn(&Config<'_>) -> Result<Box<dyn Opened>, PluginError>;

/// A [`Reviewer`] of any type.
#[doc(hidden)]
pub trait Opened {
    /// See [`Reviewer::review`].
    fn review(
        &mut self,
        alert: &Alert,
        attributes: &[Attribute],
    ) -> Result<Option<Assessment>, PluginError>;
}

impl<R: Reviewer> Opened for R {
    fn review(
        &mut self,
        alert: &Alert,
        attributes: &[Attribute],
    ) -> Result<Option<Assessment>, PluginError> {
        Reviewer::review(self, alert, attributes)
    }
}

#[doc(hidden)]
pub fn open<R: Reviewer>(config: &Config<'_>) -> Result<Box<dyn Opened>, PluginError> {
    Ok(Box::new(R::open(config)?))
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

    fn review(alert: Alert, attributes: Vec<Attribute>) -> Result<Option<Assessment>, PluginError> {
        OPENED.with_borrow_mut(|opened| crate::report::opened(opened)?.review(&alert, &attributes))
    }
}
