//! Where addresses are.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maxminddb::{Reader, geoip2};
use serde::{Deserialize, Serialize};
use yagura_core::files;

/// The most bytes of a file of geolocation: those of the whole world have some hundred million.
const MOST_BYTES: u64 = 1 << 30;

/// Where addresses are, from an MMDB file.
#[derive(Clone)]
pub struct Geolocation(Arc<Reader<Vec<u8>>>);

impl Geolocation {
    /// Reads a database of cities.
    ///
    /// # Errors
    /// [`GeolocationError`] with the file and the cause.
    pub fn read(file: &Path) -> Result<Self, GeolocationError> {
        let wrong = |cause: &dyn std::fmt::Display| GeolocationError {
            file: file.to_owned(),
            cause: cause.to_string(),
        };
        files::check(file, MOST_BYTES).map_err(|error| wrong(&error))?;
        let reader = Reader::open_readfile(file).map_err(|error| wrong(&error))?;
        Ok(Self(Arc::new(reader)))
    }

    /// Returns where an address is.
    pub(super) fn position(&self, address: &str) -> Option<GeoPosition> {
        let address: IpAddr = address.trim().parse().ok()?;
        let found = self.0.lookup(address).ok()?;
        let city: geoip2::City<'_> = found.decode().ok()??;
        let names = [city.city.names.english, city.country.names.english];
        let label: Vec<&str> = names.into_iter().flatten().collect();
        Some(GeoPosition {
            latitude: city.location.latitude?,
            longitude: city.location.longitude?,
            label: label.join(", ").into(),
        })
    }
}

/// Why a geolocation database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the geolocation database {}: {cause}; name an MMDB file with locations", .file.display())]
pub struct GeolocationError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub cause: String,
}

impl std::fmt::Debug for Geolocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Geolocation")
            .field(&self.0.metadata().database_type)
            .finish()
    }
}

/// A position on the earth, in degrees, and its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct GeoPosition {
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) label: Box<str>,
}
