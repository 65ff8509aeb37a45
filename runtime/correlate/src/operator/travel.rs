//! `travel`: two locations too far apart for the time between.

use serde::{Deserialize, Serialize};
use yagura_core::Correlation;
use yagura_core::correlation::travel::Travel;

use super::Operator;
use super::geolocation::{GeoPosition, Geolocation};
use crate::hit::{Hit, KeptHit};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};
use crate::output::{OperatorFinding, OperatorOutput};

/// The speed between two findings of a key.
#[derive(Debug, Clone)]
pub(crate) struct TravelOperator {
    /// Where addresses are; absent where events have their position themselves.
    pub(crate) geolocation: Option<Geolocation>,
    /// How long a position is remembered.
    pub(crate) within: i64,
    pub(crate) max_speed_kmh: f64,
    pub(crate) min_distance_km: f64,
}

/// Where a key was last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TravelState {
    last: Option<(GeoPosition, KeptHit)>,
}

impl TravelOperator {
    /// With a file the first value is an address, with coordinates the last two are they; what else there is labels it.
    fn position(&self, hit: &Hit) -> Option<GeoPosition> {
        let text = |at: usize| hit.values.get(at)?.as_deref();
        match &self.geolocation {
            Some(locations) => locations.position(text(0)?),
            None => {
                let at = hit.values.len().checked_sub(2)?;
                let degrees = |at: usize, most: f64| {
                    let degrees: f64 = text(at)?.trim().parse().ok()?;
                    (degrees.abs() <= most).then_some(degrees)
                };
                let (latitude, longitude) = (degrees(at, 90.0)?, degrees(at + 1, 180.0)?);
                let label = match text(0) {
                    Some(label) if at > 0 => label.into(),
                    _ => format!("{latitude}, {longitude}").into(),
                };
                Some(GeoPosition {
                    latitude,
                    longitude,
                    label,
                })
            }
        }
    }
}

impl MakeNode for Travel {
    fn node(
        &self,
        _: &Correlation,
        geolocation: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        let geolocation = match self.coordinates {
            Some(_) => None,
            None => Some(geolocation.cloned().ok_or(NoGeolocation)?),
        };
        Ok(Box::new(KeyedNode::new(TravelOperator {
            geolocation,
            within: self.within.micros(),
            max_speed_kmh: self.max_speed_kmh,
            min_distance_km: self.min_distance_km,
        })))
    }
}

impl Operator for TravelOperator {
    type State = TravelState;

    fn push(&self, state: &mut TravelState, hit: Hit, out: &mut OperatorOutput) {
        let Some(position) = self.position(&hit) else {
            out.without_value += 1;
            return;
        };
        if let Some((before, kept)) = &state.last {
            let km = before.distance_km(&position);
            #[expect(clippy::cast_precision_loss, reason = "times are far below 2^52")]
            let hours = (hit.time - kept.time) as f64 / 3.6e9;
            let speed = km / hours.max(1.0 / 3600.0);
            if km >= self.min_distance_km && speed > self.max_speed_kmh {
                out.findings.push(
                    OperatorFinding::of(hit.time, [kept, &hit.kept])
                        .value(speed.round())
                        .with("from", &*before.label)
                        .with("to", &*position.label)
                        .with("distance_km", format!("{km:.0}"))
                        .with("speed_kmh", format!("{speed:.0}")),
                );
            }
        }
        state.last = Some((position, hit.kept));
    }

    fn due(&self, state: &TravelState) -> i64 {
        let last = state.last.as_ref();
        last.map_or(i64::MIN, |(_, kept)| kept.time.saturating_add(self.within))
    }

    fn advance(&self, state: &mut TravelState, now: i64, _: &mut OperatorOutput) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &TravelState) -> usize {
        let last = state.last.as_ref();
        last.map_or(0, |(position, kept)| position.label.len() + kept.heap())
    }
}

impl GeoPosition {
    /// The great-circle distance on a sphere of 6,371 km.
    fn distance_km(&self, other: &Self) -> f64 {
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let across = (other.longitude - self.longitude).to_radians();
        let half = ((b - a) / 2.0).sin().powi(2) + a.cos() * b.cos() * (across / 2.0).sin().powi(2);
        2.0 * 6_371.0 * half.sqrt().min(1.0).asin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, hit};

    const HOUR: i64 = 3_600_000_000;

    fn at(time: i64, latitude: &str, longitude: &str) -> Hit {
        let values = ["office", latitude, longitude];
        let mut hit = hit(0);
        hit.time = time;
        hit.kept.time = time;
        hit.values = values.into_iter().map(|v| Some(v.into())).collect();
        hit
    }

    #[test]
    fn nobody_is_in_new_york_an_hour_after_tokyo() {
        let mut run = Run::new(TravelOperator {
            geolocation: None,
            within: 48 * HOUR,
            max_speed_kmh: 900.0,
            min_distance_km: 100.0,
        });
        run.push(at(0, "35.68", "139.69"));
        run.push(at(HOUR, "40.71", "-74.01"));
        // Thirteen hours later one may be back; a position that is none is passed over.
        run.push(at(2 * HOUR, "95", "0"));
        run.push(at(14 * HOUR, "35.68", "139.69"));
        run.push(at(14 * HOUR, "35.70", "139.70"));
        assert_eq!(run.seen(), [(HOUR, 2)]);
        // 10,850 km by any atlas.
        assert_eq!(run.context("distance_km"), ["10850"]);
    }
}
