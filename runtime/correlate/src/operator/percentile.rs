//! `percentile`: a percentile of a field, interpolated.

use yagura_core::Correlation;
use yagura_core::correlation::percentile::Percentile;

use super::Geolocation;
use super::measure::{Aggregate, Measure};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};

impl MakeNode for Percentile {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        let measure = Measure::of_field(
            Aggregate::Percentile(self.percentile / 100.0),
            &self.measured,
        );
        Ok(Box::new(KeyedNode::new(measure)))
    }
}
