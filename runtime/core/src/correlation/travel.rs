//! `travel`: two locations too far apart for the time between.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use crate::duration::TimeSpan;

/// Two locations of a key too far apart for the time between.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Travel {
    /// The address that is located; with coordinates, what names the location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// How long a location is remembered, such as `1d`.
    pub within: TimeSpan,
    /// The fastest speed that is still possible; 900 without it.
    #[schemars(with = "Option<f64>")]
    pub max_speed_kmh: f64,
    /// Distances below it are one location; 100 without it.
    #[schemars(with = "Option<f64>")]
    pub min_distance_km: f64,
    /// Geolocation database (MMDB), relative to the pack; without it, that of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geoip: Option<PathBuf>,
    /// Where events have their location themselves.
    #[serde(flatten)]
    #[schemars(with = "CoordinateKeys")]
    pub coordinates: Option<Coordinates>,
}

/// Columns of an event's location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coordinates {
    /// Column of degrees north.
    pub latitude: String,
    /// Column of degrees east.
    pub longitude: String,
}

/// The keys of an event's location.
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct CoordinateKeys {
    /// Column of degrees north, where events have their location themselves.
    latitude: Option<String>,
    /// Column of degrees east.
    longitude: Option<String>,
}

impl Parameters for Travel {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        let coordinates = match (keys.optional("latitude")?, keys.optional("longitude")?) {
            (Some(latitude), Some(longitude)) => Some(Coordinates {
                latitude,
                longitude,
            }),
            (None, None) => None,
            _ => {
                let message = "and `longitude` are given together or not at all";
                return Err(KeyError::new("latitude", message));
            }
        };
        Ok(Self {
            field: match coordinates.is_some() {
                true => keys.optional("field")?,
                false => Some(keys.required("field")?),
            },
            within: keys.required("within")?,
            max_speed_kmh: keys.optional("max_speed_kmh")?.unwrap_or(900.0),
            min_distance_km: keys.optional("min_distance_km")?.unwrap_or(100.0),
            geoip: keys.optional("geoip")?,
            coordinates,
        })
    }

    fn length(&self) -> Option<TimeSpan> {
        Some(self.within)
    }

    fn fields(&self) -> Vec<&str> {
        let coordinates = self.coordinates.iter();
        let columns = coordinates.flat_map(|of| [&of.latitude, &of.longitude]);
        let all = self.field.iter().chain(columns);
        all.map(String::as_str).collect()
    }

    fn measure(&self) -> Option<&'static str> {
        Some("value")
    }

    fn state_shape(&self) -> Value {
        json!({ "coordinates": self.coordinates })
    }
}
