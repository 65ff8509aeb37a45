//! The imports of the contract (`log`, `state`, `http`, `search`, `lookup`): its types become the host's, and back.

use yagura_core::{StateEntry, Timestamp};
use yagura_http::{BodySignature, HttpError, HttpRequest, disarm, disarmed};

use crate::bindings::v0_1_0::enricher::{http, lookup, search, types};
use crate::bindings::v0_1_0::log;
use crate::bindings::v0_1_0::state::{self, StateError};
use crate::capabilities::{SearchQuery, SearchedEvents};
use crate::error::PluginError;
use crate::host_state::HostState;
use crate::log::LogLevel;
use crate::types::DataType;

/// The error for a plugin that uses a capability before it is opened.
const NOT_OPENED: &str = "the plugin is not opened yet: use capabilities from `open` on";

impl types::Host for HostState {}

impl log::Host for HostState {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log.write(level, &message);
    }
}

impl state::Host for HostState {
    fn rule(&mut self) -> Result<u32, StateError> {
        self.keyed.rule()
    }

    fn get(&mut self, name: String, at: i64) -> Result<Option<Vec<u8>>, StateError> {
        self.keyed.get(&name, Timestamp::clamped(at))
    }

    fn put(
        &mut self,
        name: String,
        value: Vec<u8>,
        expires: Option<i64>,
    ) -> Result<(), StateError> {
        let expires = expires.map(Timestamp::clamped);
        self.keyed.put(name, StateEntry { value, expires })
    }

    fn increment(
        &mut self,
        name: String,
        by: i64,
        at: i64,
        expires: Option<i64>,
    ) -> Result<i64, StateError> {
        let (at, expires) = (Timestamp::clamped(at), expires.map(Timestamp::clamped));
        self.keyed.increment(name, by, at, expires)
    }

    fn remove(&mut self, name: String) -> Result<(), StateError> {
        self.keyed.remove(name)
    }

    fn wake(&mut self, at: i64) -> Result<(), StateError> {
        self.keyed.wake(Timestamp::clamped(at))
    }
}

impl http::Host for HostState {
    fn send(&mut self, request: http::Request) -> Result<http::Response, http::HttpError> {
        let Some(session) = &mut self.session else {
            return Err(http::HttpError::Denied(NOT_OPENED.to_owned()));
        };
        let request = HttpRequest {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body,
            sign: request.sign.map(|sign| BodySignature {
                header: sign.header,
                secret: sign.secret,
                prefix: sign.prefix,
                before: sign.before,
            }),
        };
        match session.send(request) {
            Ok(response) => Ok(http::Response {
                status: response.status,
                headers: response.headers,
                body: response.body,
            }),
            Err(HttpError::Denied(reason)) => Err(http::HttpError::Denied(reason)),
            Err(HttpError::Limited(reason)) => Err(http::HttpError::Limited(reason)),
            Err(HttpError::Timeout) => Err(http::HttpError::Timeout),
            Err(HttpError::TooLarge) => Err(http::HttpError::TooLarge),
            Err(HttpError::Failed(reason)) => Err(http::HttpError::Failed(reason)),
        }
    }
}

impl search::Host for HostState {
    fn find(&mut self, query: search::Query) -> Result<search::Events, types::PluginError> {
        let Some(session) = &mut self.session else {
            return Err(types::PluginError::Config(NOT_OPENED.to_owned()));
        };
        let query = SearchQuery {
            table: query.table,
            observable: query.observable,
            from: Timestamp::clamped(query.from),
            to: Timestamp::clamped(query.to),
            columns: query.columns,
            limit: query.limit,
        };
        Ok(session.find(query)?.into())
    }
}

impl lookup::Host for HostState {
    fn get(&mut self, table: String, key: String) -> Result<Option<String>, types::PluginError> {
        let Some(session) = &self.session else {
            return Err(types::PluginError::Config(NOT_OPENED.to_owned()));
        };
        let row = session.get(&table, &key)?;
        Ok(row.map(|row| disarmed(&row)))
    }
}

impl From<SearchedEvents> for search::Events {
    fn from(events: SearchedEvents) -> Self {
        let schema = events.schema.into_iter().map(|field| types::Field {
            name: field.name,
            data_type: match field.data_type {
                DataType::Boolean => types::DataType::Boolean,
                DataType::Int64 => types::DataType::Int64,
                DataType::Float64 => types::DataType::Float64,
                DataType::TimestampUs => types::DataType::TimestampUs,
                DataType::Utf8 => types::DataType::Utf8,
                DataType::Binary => types::DataType::Binary,
            },
            nullable: field.nullable,
        });
        let columns = events.columns.into_iter().map(|mut column| {
            // Only text and bytes have offsets; numbers that look like a placeholder stay unchanged.
            if !column.offsets.is_empty() {
                disarm(&mut column.values);
            }
            types::Column {
                validity: column.validity,
                offsets: column.offsets,
                values: column.values,
            }
        });
        Self {
            schema: schema.collect(),
            batch: types::Batch {
                rows: events.rows,
                columns: columns.collect(),
            },
            truncated: events.truncated,
        }
    }
}

impl From<PluginError> for types::PluginError {
    fn from(error: PluginError) -> Self {
        match error {
            PluginError::Config(text) => Self::Config(text),
            PluginError::Data(text) => Self::Data(text),
            PluginError::Retry(text) => Self::Retry(text),
        }
    }
}
