//! The capabilities of a plugin: the services of the host, and what the plugin may use of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use yagura_core::Timestamp;
use yagura_core::capability::{Denied, GrantedAccess};
use yagura_http::{
    CallOutcome, HttpCaller, HttpError, HttpPolicy, HttpRequest, HttpResponse, HttpService,
    PluginId,
};

use crate::error::PluginError;
use crate::types::Field;

/// Maximum number of searches in one call of a plugin.
const MAX_SEARCHES: u32 = 16;

/// Maximum number of rows of a search.
const MAX_ROWS: u32 = 10_000;

/// Maximum number of columns of a search.
const MAX_COLUMNS: usize = 256;

/// The services of the host for plugins. A clone has the same services.
#[derive(Clone)]
pub struct Services {
    /// Outgoing HTTP.
    pub http: Arc<HttpService>,
    /// Search for events by observable.
    pub search: Arc<dyn SearchPort>,
    /// Lookup tables.
    pub lookup: Arc<dyn Lookup>,
}

/// Searches for events. It is only called for tables that manifest and grant name, on the thread of the plugin's call.
pub trait SearchPort: Send + Sync {
    /// Returns at most [`SearchQuery::limit`] events of a table, with columns laid out as in batches of detectors. After
    /// `deadline`, the answer is no longer used.
    ///
    /// # Errors
    /// The error that the plugin receives.
    fn find(
        &self,
        caller: &Caller,
        query: &SearchQuery,
        deadline: Instant,
    ) -> Result<SearchedEvents, PluginError>;
}

/// Reads lookup tables. It is only called for tables of the pack itself, or for those that manifest and grant name.
pub trait Lookup: Send + Sync {
    /// Returns the row under a key as JSON text, if there is one.
    ///
    /// # Errors
    /// The error that the plugin receives.
    fn get(&self, caller: &Caller, table: &str, key: &str) -> Result<Option<String>, PluginError>;
}

/// The plugin that calls a service, and what it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The plugin.
    pub plugin: PluginId,
    /// Id of the alert or the incident at hand; `None` while the plugin is opened.
    pub subject: Option<String>,
}

/// A search of a plugin for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// The table.
    pub table: String,
    /// Kind and value of the observable.
    pub observable: (String, String),
    /// Start of the time range.
    pub from: Timestamp,
    /// End of the time range, exclusive; later than `from`.
    pub to: Timestamp,
    /// Columns of the answer.
    pub columns: Vec<String>,
    /// Maximum number of rows, at most what the host allows.
    pub limit: u32,
}

/// The result of a search, by column in the order of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchedEvents {
    /// Names and types of the columns.
    pub schema: Vec<Field>,
    /// Number of rows.
    pub rows: u32,
    /// One for each field.
    pub columns: Vec<ColumnBytes>,
    /// True if there were more events than the limit.
    pub truncated: bool,
}

/// The bytes of one column, laid out as [`ColumnRef`](crate::ColumnRef) is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnBytes {
    /// One bit per row; empty if every row has a value.
    pub validity: Vec<u8>,
    /// Offsets of text and bytes.
    pub offsets: Vec<u8>,
    /// The values.
    pub values: Vec<u8>,
}

/// A service without tables: for hosts without a lake or without lookups.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTables;

impl SearchPort for NoTables {
    fn find(
        &self,
        _: &Caller,
        query: &SearchQuery,
        _: Instant,
    ) -> Result<SearchedEvents, PluginError> {
        Err(no_table(&query.table))
    }
}

impl Lookup for NoTables {
    fn get(&self, _: &Caller, table: &str, _: &str) -> Result<Option<String>, PluginError> {
        Err(no_table(table))
    }
}

fn no_table(table: &str) -> PluginError {
    PluginError::Config(format!("there is no table `{table}`"))
}

/// What one plugin may use, with the services to do so. A clone is the same.
#[derive(Clone)]
pub struct Capabilities {
    services: Services,
    http: HttpCaller,
    own_lookups: Arc<[String]>,
}

impl Capabilities {
    /// Combines the plugin, its access and the services.
    pub fn new(plugin: PluginId, access: GrantedAccess, services: Services) -> Self {
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

    /// Sets the lookup tables of its own pack, which need no grant.
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

/// The capabilities of one instance, and what it used of them in the current call.
pub(crate) struct CapabilitySession {
    capabilities: Capabilities,
    pub(crate) outcome: CallOutcome,
    searches: u32,
    /// End of the time of the call.
    deadline: Instant,
}

impl CapabilitySession {
    pub(crate) fn new(capabilities: &Capabilities) -> Self {
        Self {
            capabilities: capabilities.clone(),
            outcome: CallOutcome::default(),
            searches: 0,
            deadline: Instant::now(),
        }
    }

    /// Resets the counts of the last call.
    pub(crate) fn begin(&mut self, time: Duration) {
        let now = Instant::now();
        self.outcome = CallOutcome::default();
        self.searches = 0;
        self.deadline = now.checked_add(time).unwrap_or(now);
    }

    /// Sets the alert or incident of the next call.
    pub(crate) fn set_subject(&mut self, id: &str) {
        self.capabilities.http.subject = Some(id.to_owned());
    }

    pub(crate) fn send(&mut self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Capabilities { services, http, .. } = &self.capabilities;
        services
            .http
            .send(http, &mut self.outcome, request, self.deadline)
    }

    pub(crate) fn find(&mut self, mut query: SearchQuery) -> Result<SearchedEvents, PluginError> {
        let refused = |Denied(reason)| PluginError::Config(reason);
        self.capabilities
            .http
            .access
            .search(&query.table)
            .map_err(refused)?;
        self.searches = self.searches.saturating_add(1);
        if self.searches > MAX_SEARCHES {
            return Err(PluginError::Data(format!(
                "a call of the plugin can make at most {MAX_SEARCHES} searches"
            )));
        }
        if query.columns.len() > MAX_COLUMNS {
            return Err(PluginError::Data(format!(
                "the search has {} columns; the maximum is {MAX_COLUMNS}",
                query.columns.len()
            )));
        }
        if query.to <= query.from {
            return Err(PluginError::Data(format!(
                "the search ends at {}, which is not after its start {}",
                query.to, query.from
            )));
        }
        query.limit = query.limit.min(MAX_ROWS);
        let search = &self.capabilities.services.search;
        search.find(&self.caller(), &query, self.deadline)
    }

    pub(crate) fn get(&self, table: &str, key: &str) -> Result<Option<String>, PluginError> {
        if !self.capabilities.own_lookups.iter().any(|own| own == table) {
            let refused = |Denied(reason)| PluginError::Config(reason);
            self.capabilities
                .http
                .access
                .lookup(table)
                .map_err(refused)?;
        }
        self.capabilities
            .services
            .lookup
            .get(&self.caller(), table, key)
    }

    fn caller(&self) -> Caller {
        Caller {
            plugin: self.capabilities.http.plugin.clone(),
            subject: self.capabilities.http.subject.clone(),
        }
    }
}
