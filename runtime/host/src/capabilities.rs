//! What a plugin reaches outside itself: the services of the host, and what of them it may use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use yagura_core::Timestamp;
use yagura_core::capability::{Access, Denied};

use crate::error::PluginError;
use crate::http::{CallOutcome, HttpCaller, HttpPolicy, HttpService, PluginId};
use crate::types::Field;

/// Most searches, and most rows of one, that one call of a plugin may have.
const MOST_SEARCHES: u32 = 16;
const MOST_ROWS: u32 = 10_000;

/// Most columns of a search.
const MOST_COLUMNS: usize = 256;

/// What the host does for plugins. A clone is the same services.
#[derive(Clone)]
pub struct Services {
    /// Outgoing HTTP.
    pub http: Arc<HttpService>,
    /// Events by observable.
    pub search: Arc<dyn Search>,
    /// Lookup tables.
    pub lookup: Arc<dyn Lookup>,
}

/// Finds events. Called only for tables that manifest and grant name, on the thread of the plugin's call.
pub trait Search: Send + Sync {
    /// Returns events of a table, the columns laid out as in batches of detectors, at most [`SearchQuery::limit`] of them.
    /// After `deadline` nobody waits for the answer.
    ///
    /// # Errors
    /// What the plugin is told.
    fn find(
        &self,
        caller: &Caller,
        query: &SearchQuery,
        deadline: Instant,
    ) -> Result<Events, PluginError>;
}

/// Reads lookup tables. Called only for tables that the pack has itself, or that manifest and grant name.
pub trait Lookup: Send + Sync {
    /// Returns the row under a key as JSON text, if there is one.
    ///
    /// # Errors
    /// What the plugin is told.
    fn get(&self, caller: &Caller, table: &str, key: &str) -> Result<Option<String>, PluginError>;
}

/// Who asks, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The plugin.
    pub plugin: PluginId,
    /// Id of the alert or the incident at hand; nothing while the plugin is opened.
    pub subject: Option<String>,
}

/// Events that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// The table.
    pub table: String,
    /// Kind and value of the observable.
    pub observable: (String, String),
    /// First moment.
    pub from: Timestamp,
    /// First moment after, later than `from`.
    pub to: Timestamp,
    /// Columns of the answer.
    pub columns: Vec<String>,
    /// Most rows, already brought down to what the host allows.
    pub limit: u32,
}

/// Events that were found, by column in the order of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    /// Names and types of the columns.
    pub schema: Vec<Field>,
    /// Number of rows.
    pub rows: u32,
    /// One for each field.
    pub columns: Vec<ColumnBytes>,
    /// True when there were more than the limit.
    pub truncated: bool,
}

/// The bytes of one column, laid out as [`ColumnRef`](crate::ColumnRef) is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnBytes {
    /// One bit a row; empty when every row has a value.
    pub validity: Vec<u8>,
    /// Offsets of text and bytes.
    pub offsets: Vec<u8>,
    /// The values.
    pub values: Vec<u8>,
}

/// Has no tables: for hosts without a lake or without lookups.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTables;

impl Search for NoTables {
    fn find(&self, _: &Caller, query: &SearchQuery, _: Instant) -> Result<Events, PluginError> {
        Err(no_table(&query.table))
    }
}

impl Lookup for NoTables {
    fn get(&self, _: &Caller, table: &str, _: &str) -> Result<Option<String>, PluginError> {
        Err(no_table(table))
    }
}

fn no_table(table: &str) -> PluginError {
    PluginError::Config(format!("there is no table `{table}` here"))
}

/// What one plugin may reach, and through what. A clone is the same.
#[derive(Clone)]
pub struct Capabilities {
    services: Services,
    http: HttpCaller,
    own_lookups: Arc<[String]>,
}

impl Capabilities {
    /// Puts together who the plugin is, what it may, and the services.
    pub fn new(plugin: PluginId, access: Access, services: Services) -> Self {
        Self {
            services,
            http: HttpCaller {
                plugin,
                access: Arc::new(access),
                policy: HttpPolicy::default(),
                subject: None,
            },
            own_lookups: Arc::default(),
        }
    }

    /// Sets cache and limits of its HTTP calls.
    #[must_use]
    pub fn with_http_policy(mut self, policy: HttpPolicy) -> Self {
        self.http.policy = policy;
        self
    }

    /// Names the lookup tables that are part of its pack, which need no grant.
    #[must_use]
    pub fn with_own_lookups(mut self, tables: Vec<String>) -> Self {
        self.own_lookups = tables.into();
        self
    }
}

impl std::fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capabilities")
            .field("plugin", &self.http.plugin)
            .finish_non_exhaustive()
    }
}

/// What one instance reaches, and what it has used in the call at hand.
pub(crate) struct Session {
    reach: Capabilities,
    pub(crate) outcome: CallOutcome,
    searches: u32,
    /// When the call's time is over.
    deadline: Instant,
}

impl Session {
    pub(crate) fn new(reach: &Capabilities) -> Self {
        Self {
            reach: reach.clone(),
            outcome: CallOutcome::default(),
            searches: 0,
            deadline: Instant::now(),
        }
    }

    /// Forgets the last call.
    pub(crate) fn begin(&mut self, time: Duration) {
        let now = Instant::now();
        self.outcome = CallOutcome::default();
        self.searches = 0;
        self.deadline = now.checked_add(time).unwrap_or(now);
    }

    /// Names what the next call is for.
    pub(crate) fn set_subject(&mut self, id: &str) {
        self.reach.http.subject = Some(id.to_owned());
    }

    pub(crate) fn send(
        &mut self,
        request: crate::http::HttpRequest,
    ) -> Result<crate::http::HttpResponse, crate::http::HttpError> {
        let reach = &self.reach;
        let http = &reach.services.http;
        http.send(&reach.http, &mut self.outcome, request, self.deadline)
    }

    pub(crate) fn find(&mut self, mut query: SearchQuery) -> Result<Events, PluginError> {
        let refused = |Denied(reason)| PluginError::Config(reason);
        self.reach
            .http
            .access
            .search(&query.table)
            .map_err(refused)?;
        self.searches = self.searches.saturating_add(1);
        if self.searches > MOST_SEARCHES {
            return Err(PluginError::Data(format!(
                "a call of the plugin may make {MOST_SEARCHES} searches"
            )));
        }
        if query.columns.len() > MOST_COLUMNS {
            return Err(PluginError::Data(format!(
                "a search has {} columns, and may have {MOST_COLUMNS}",
                query.columns.len()
            )));
        }
        if query.to <= query.from {
            return Err(PluginError::Data(format!(
                "the search ends at {}, which is not after its start {}",
                query.to, query.from
            )));
        }
        query.limit = query.limit.min(MOST_ROWS);
        let search = &self.reach.services.search;
        search.find(&self.caller(), &query, self.deadline)
    }

    pub(crate) fn get(&self, table: &str, key: &str) -> Result<Option<String>, PluginError> {
        if !self.reach.own_lookups.iter().any(|own| own == table) {
            let refused = |Denied(reason)| PluginError::Config(reason);
            self.reach.http.access.lookup(table).map_err(refused)?;
        }
        self.reach.services.lookup.get(&self.caller(), table, key)
    }

    fn caller(&self) -> Caller {
        Caller {
            plugin: self.reach.http.plugin.clone(),
            subject: self.reach.http.subject.clone(),
        }
    }
}
