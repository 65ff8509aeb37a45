//! `distinct`: how many different values of a field.

use yagura_core::Correlation;
use yagura_core::correlation::distinct::Distinct;

use super::Geolocation;
use super::measure::{Aggregate, Measure};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};

impl MakeNode for Distinct {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        let aggregate = match self.approximate {
            true => Aggregate::Estimated,
            false => Aggregate::Distinct,
        };
        let measure = Measure::over(aggregate, self.windows, self.condition);
        Ok(Box::new(KeyedNode::new(measure)))
    }
}
