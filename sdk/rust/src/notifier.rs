//! Notifiers: reports of incidents to people.

use std::cell::RefCell;

use crate::bindings::notifier::exports::yagura::plugin::notifying::Guest;
use crate::{Config, PluginError, Report, log};

/// Sends reports of incidents, and updates them.
///
/// ```
/// use yagura_sdk::prelude::*;
///
/// /// Posts one line per report to a chat, whose messages can be edited.
/// struct Chat {
///     room: String,
/// }
///
/// impl Notifier for Chat {
///     fn open(config: &Config) -> Result<Self, PluginError> {
///         config.only(&["room"])?;
///         Ok(Self { room: config.required_text("room")? })
///     }
///
///     fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
///         let messages = format!("https://chat.example.com/rooms/{}/messages", http::encode(&self.room));
///         let request = match &report.earlier {
///             None => http::post(messages),
///             Some(earlier) => http::put(format!("{messages}/{earlier}")),
///         };
///         let answer = request
///             .header("Authorization", "Bearer {{secret:chat}}")
///             // The service creates no second message for the same key.
///             .header("Idempotency-Key", report.revision_id())
///             .json(format!(r#"{{"text": {}}}"#, json::quote(&report.title)))
///             .send()?
///             .success()?;
///         let id = answer.json()?.get("id").and_then(Json::text).map(String::from);
///         id.ok_or_else(|| PluginError::Retry("the chat answered no id".to_owned()))
///     }
/// }
///
/// yagura_sdk::notifier!(Chat);
///
/// use yagura_sdk::testing::{Answer, Host, notify, report};
/// let host = Host::new()
///     .answers("POST https://chat.example.com/rooms/soc/messages", Answer::json(200, r#"{"id": 7}"#))
///     .answers("PUT https://chat.example.com/rooms/soc/messages/7", Answer::json(200, r#"{"id": 7}"#));
/// let first = notify::<Chat>(r#"{"room": "soc"}"#, &report().title("Root login").build()).unwrap();
/// assert_eq!(first, "7");
/// notify::<Chat>(r#"{"room": "soc"}"#, &report().revision(2).earlier(&first).build()).unwrap();
/// assert_eq!(host.requests()[0].body_text(), r#"{"text": "Root login"}"#);
/// ```
pub trait Notifier: Sized + 'static {
    /// Checks the configuration. Called once, before all other calls.
    ///
    /// # Errors
    /// [`PluginError::Config`] if it is wrong: the plugin is not opened.
    fn open(config: &Config<'_>) -> Result<Self, PluginError>;

    /// Sends a report, or updates the message with its id. Returns a receipt: a text by which the plugin finds the message again.
    /// The next report with this id has it as [`Report::earlier`](field@Report::earlier).
    ///
    /// # Errors
    /// [`PluginError::Retry`] if the host should call again later, [`PluginError::Data`] if this report can never be sent,
    /// [`PluginError::Config`] if the operator must change something first.
    fn notify(&mut self, report: &Report) -> Result<String, PluginError>;
}

/// The part that [`notifier!`](crate::notifier!) implements.
#[doc(hidden)]
pub trait Component {
    /// Opens the notifier.
    const OPEN: Open;
}

#[doc(hidden)]
pub type Open = fn(&Config<'_>) -> Result<Box<dyn Opened>, PluginError>;

/// A [`Notifier`] of any type.
#[doc(hidden)]
pub trait Opened {
    /// See [`Notifier::notify`].
    fn notify(&mut self, report: &Report) -> Result<String, PluginError>;
}

impl<N: Notifier> Opened for N {
    fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
        Notifier::notify(self, report)
    }
}

#[doc(hidden)]
pub fn open<N: Notifier>(config: &Config<'_>) -> Result<Box<dyn Opened>, PluginError> {
    Ok(Box::new(N::open(config)?))
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

    fn notify(report: Report) -> Result<String, PluginError> {
        OPENED.with_borrow_mut(|opened| crate::report::opened(opened)?.notify(&report))
    }
}
