//! `sum`: the sum of a field.

use yagura_core::Correlation;
use yagura_core::correlation::sum::Sum;

use super::Geolocation;
use super::measure::{Aggregate, Measure};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};

impl MakeNode for Sum {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        let measure = Measure::of_field(Aggregate::Sum, &self.measured);
        Ok(Box::new(KeyedNode::new(measure)))
    }
}
