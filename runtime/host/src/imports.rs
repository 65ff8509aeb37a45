//! The imports `http`, `search` and `lookup`, from the contract's types to the host's and back.

use yagura_core::Timestamp;

use crate::bindings::v0_1_0::enricher::{http, lookup, search, types};
use crate::capabilities::{Events, SearchQuery};
use crate::error::PluginError;
use crate::http::{HttpError, HttpRequest, Signature, disarm, disarmed};
use crate::limits::HostState;
use crate::plugin::GuestError;
use crate::types::DataType;

/// What a plugin is told that asks before it is opened.
const NOT_YET: &str = "the plugin is not opened yet: reach out from `open` on";

impl types::Host for HostState {}

impl http::Host for HostState {
    fn send(&mut self, request: http::Request) -> Result<http::Response, http::HttpError> {
        let Some(session) = &mut self.session else {
            return Err(http::HttpError::Denied(NOT_YET.to_owned()));
        };
        let request = HttpRequest {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body,
            sign: request.sign.map(|sign| Signature {
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
            return Err(types::PluginError::Config(NOT_YET.to_owned()));
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
            return Err(types::PluginError::Config(NOT_YET.to_owned()));
        };
        let row = session.get(&table, &key)?;
        Ok(row.map(|row| disarmed(&row)))
    }
}

impl From<Events> for search::Events {
    fn from(events: Events) -> Self {
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
            // Only text and bytes have offsets; numbers that look like a placeholder stay.
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

impl GuestError for types::PluginError {
    fn sorted(self) -> PluginError {
        match self {
            Self::Config(text) => PluginError::config(&text),
            Self::Data(text) => PluginError::data(&text),
            Self::Retry(text) => PluginError::retry(&text),
        }
    }
}
