//! Generated from `wit/v0.1.0`.
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code; the contract documents itself in `wit/`"
)]

pub(crate) mod enricher;
pub(crate) mod normalizer;
pub(crate) mod notifier;
pub(crate) mod reviewer;

use crate::types::{DataType, RawFinding};
use yagura_core::Severity;

wasmtime::component::bindgen!({
    path: "../../wit/v0.1.0",
    world: "detector",
    // Parameters borrow from the host, so that a batch is copied once: into the guest's memory.
    ownership: Borrowing { duplicate_if_necessary: false },
    with: { "yagura:plugin/types": super::v0_1_0::wit },
});

pub(crate) use exports::yagura::plugin::detection::Guest as Detection;
pub use yagura::plugin::{log, state};

/// The types of the contract that a detector uses, by hand: the generator gives types of other worlds no lifetimes when
/// parameters borrow. What is generated around them checks sizes; loading a component checks names and types.
pub mod wit {
    use wasmtime::component::{ComponentType, HasData, Lift, Linker, Lower};

    pub type Timestamp = i64;

    #[derive(ComponentType, Lift, Lower, Debug, Clone, Copy, PartialEq, Eq)]
    #[component(enum)]
    #[repr(u8)]
    pub enum Severity {
        #[component(name = "info")]
        Info,
        #[component(name = "low")]
        Low,
        #[component(name = "medium")]
        Medium,
        #[component(name = "high")]
        High,
        #[component(name = "critical")]
        Critical,
    }

    #[derive(ComponentType, Lift, Lower, Debug, Clone, Copy, PartialEq, Eq)]
    #[component(enum)]
    #[repr(u8)]
    pub enum DataType {
        #[component(name = "boolean")]
        Boolean,
        #[component(name = "int64")]
        Int64,
        #[component(name = "float64")]
        Float64,
        #[component(name = "timestamp-us")]
        TimestampUs,
        #[component(name = "utf8")]
        Utf8,
        #[component(name = "binary")]
        Binary,
    }

    #[derive(ComponentType, Lower, Debug, Clone, Copy)]
    #[component(record)]
    pub struct Field<'a> {
        pub name: &'a str,
        #[component(name = "data-type")]
        pub data_type: DataType,
        pub nullable: bool,
    }

    #[derive(ComponentType, Lower, Debug, Clone, Copy)]
    #[component(record)]
    pub struct Column<'a> {
        pub validity: &'a [u8],
        pub offsets: &'a [u8],
        pub values: &'a [u8],
    }

    #[derive(ComponentType, Lower, Debug, Clone, Copy)]
    #[component(record)]
    pub struct Batch<'a> {
        pub rows: u32,
        pub columns: &'a [Column<'a>],
    }

    #[derive(ComponentType, Lower, Debug, Clone, Copy)]
    #[component(record)]
    pub struct Rule<'a> {
        pub id: &'a str,
        pub config: &'a str,
        pub schema: &'a [Field<'a>],
    }

    #[derive(ComponentType, Lift, Debug)]
    #[component(record)]
    pub struct Finding {
        pub rows: Vec<u32>,
        pub title: Option<String>,
        pub severity: Option<Severity>,
        pub key: Option<String>,
        pub observables: Vec<(String, String)>,
        pub context: Vec<(String, String)>,
    }

    #[derive(ComponentType, Lift, Debug)]
    #[component(variant)]
    pub enum PluginError {
        #[component(name = "config")]
        Config(String),
        #[component(name = "data")]
        Data(String),
        #[component(name = "retry")]
        Retry(String),
    }

    /// Asked for by what is generated: an interface without functions needs nothing of its host.
    pub trait Host {}
    impl<T: ?Sized> Host for T {}

    /// As [`Host`].
    pub trait HostWithStore<T>: HasData {}
    impl<T, D: HasData> HostWithStore<T> for D {}

    /// Declares the interface, which a component may import for its types.
    pub fn add_to_linker<T: 'static, D: HasData>(
        linker: &mut Linker<T>,
        _: fn(&mut T) -> D::Data<'_>,
    ) -> wasmtime::Result<()> {
        linker.instance("yagura:plugin/types@0.1.0").map(drop)
    }
}

/// The version of the contract that this module speaks.
pub(crate) const VERSION: &str = "0.1.0";

impl From<DataType> for wit::DataType {
    fn from(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int64 => Self::Int64,
            DataType::Float64 => Self::Float64,
            DataType::TimestampUs => Self::TimestampUs,
            DataType::Utf8 => Self::Utf8,
            DataType::Binary => Self::Binary,
        }
    }
}

impl From<wit::Finding> for RawFinding {
    fn from(finding: wit::Finding) -> Self {
        Self {
            rows: finding.rows,
            title: finding.title,
            severity: finding.severity.map(|severity| match severity {
                wit::Severity::Info => Severity::Info,
                wit::Severity::Low => Severity::Low,
                wit::Severity::Medium => Severity::Medium,
                wit::Severity::High => Severity::High,
                wit::Severity::Critical => Severity::Critical,
            }),
            key: finding.key,
            observables: finding.observables,
            context: finding.context,
        }
    }
}
