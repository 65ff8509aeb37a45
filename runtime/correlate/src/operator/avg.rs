//! `avg`: the mean of a field.

use yagura_core::Correlation;
use yagura_core::correlation::avg::Avg;

use super::Geolocation;
use super::measure::{Aggregate, Measure};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};

impl MakeNode for Avg {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        let measure = Measure::of_field(Aggregate::Avg, &self.measured);
        Ok(Box::new(KeyedNode::new(measure)))
    }
}
