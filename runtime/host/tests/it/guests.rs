//! Hostile guests and what they are called with.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use wit_component::ComponentEncoder;
use yagura_core::alert::{Evidence, Observable};
use yagura_core::pack::{Limits, World};
use yagura_core::report::{IncidentStatus, Report, ReportAlert};
use yagura_core::{Alert, AlertState, Severity, Timestamp};
use yagura_host::{
    Caller, Capabilities, ColumnBytes, DataType, Field, Host, HostConfig, Lookup, PluginError,
    SearchPort, SearchQuery, SearchedEvents, Services,
};
use yagura_http::PluginId;

use yagura_http_testing::{Calls, Rig, access};

/// Returns a guest as a component.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let Some(dir) = std::env::var_os("YAGURA_GUESTS") else {
        panic!("YAGURA_GUESTS is not set: `cargo xtask guests` builds the guests and prints it");
    };
    let file = PathBuf::from(dir).join(name).with_extension("wasm");
    let core = std::fs::read(&file)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    ComponentEncoder::default()
        .module(&core)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

pub(crate) fn limits() -> Limits {
    Limits {
        time: "3s".parse().unwrap(),
        memory_mib: 64,
        output_mib: 8,
        ..Limits::default()
    }
}

pub(crate) fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new(HostConfig::default()).unwrap())
}

/// Has one table of events and two lookup tables; says who asked.
pub(crate) struct Tables;

impl SearchPort for Tables {
    fn find(
        &self,
        caller: &Caller,
        query: &SearchQuery,
        _: Instant,
    ) -> Result<SearchedEvents, PluginError> {
        assert_eq!((query.table.as_str(), query.limit), ("dns", 10_000));
        let value = format!(
            "{} for {:?} {{{{secret:TOKEN}}}}",
            caller.plugin, caller.subject
        );
        let length = u32::try_from(value.len()).unwrap();
        Ok(SearchedEvents {
            schema: vec![Field {
                name: "query".to_owned(),
                data_type: DataType::Utf8,
                nullable: false,
            }],
            rows: 1,
            columns: vec![ColumnBytes {
                validity: Vec::new(),
                offsets: [0, length]
                    .iter()
                    .flat_map(|end| end.to_le_bytes())
                    .collect(),
                values: value.into_bytes(),
            }],
            truncated: false,
        })
    }
}

impl Lookup for Tables {
    fn get(&self, _: &Caller, table: &str, key: &str) -> Result<Option<String>, PluginError> {
        Ok(Some(format!("{{\"{table}\":\"{key}\"}}")))
    }
}

/// Capabilities and the calls that they made.
pub(crate) struct Granted {
    pub(crate) capabilities: Capabilities,
    pub(crate) calls: Arc<Calls>,
}

pub(crate) fn grant_capabilities(world: World, grant: &str) -> Granted {
    let rig = Rig::on_loopback();
    let services = Services {
        http: Arc::new(rig.service),
        search: Arc::new(Tables),
        lookup: Arc::new(Tables),
    };
    let plugin = PluginId {
        pack: "shop".to_owned(),
        file: "e.wasm".to_owned(),
    };
    let capabilities = Capabilities::new(plugin, access(world, grant), services);
    Granted {
        capabilities: capabilities.with_own_lookups(vec!["own".to_owned()]),
        calls: rig.calls,
    }
}

pub(crate) fn alert(title: &str) -> ReportAlert {
    ReportAlert {
        state: AlertState::Final,
        alert: Alert {
            id: "alert-7".to_owned(),
            rule: "rule".to_owned(),
            title: title.to_owned(),
            severity: Severity::High,
            key: "{{secret:TOKEN}}".to_owned(),
            window_start: Timestamp::default(),
            first_time: Timestamp::default(),
            last_time: Timestamp::default(),
            count: 1,
            observables: vec![Observable {
                kind: "ip".to_owned(),
                value: "{{basic:u:TOKEN}}".to_owned(),
            }],
            context: Vec::new(),
            tags: Vec::new(),
            evidence: Evidence::default(),
        },
    }
}

pub(crate) fn report(title: &str) -> Report {
    Report {
        id: "incident-3".to_owned(),
        revision: 2,
        status: IncidentStatus::Open,
        title: title.to_owned(),
        severity: Severity::High,
        text: "text {{secret:TOKEN}}".to_owned(),
        time: Timestamp::default(),
        alerts: vec![alert("an alert")],
        alert_count: 1,
        attributes: Vec::new(),
        assessments: Vec::new(),
        earlier: Some("receipt-1".to_owned()),
        uncertain: false,
    }
}
