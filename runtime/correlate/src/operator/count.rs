//! `count`: how many findings.

use yagura_core::Correlation;
use yagura_core::correlation::Windows;
use yagura_core::correlation::count::Count;

use super::Geolocation;
use super::measure::{Aggregate, Measure};
use super::threshold::Threshold;
use crate::limits::MOST_KEPT;
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};

impl MakeNode for Count {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        if let Windows::Sliding { within } = self.windows
            && let Some(threshold) = Threshold::new(self.condition, within.micros(), MOST_KEPT)
        {
            return Ok(Box::new(KeyedNode::new(threshold)));
        }
        let measure = Measure::over(Aggregate::Count, self.windows, self.condition);
        Ok(Box::new(KeyedNode::new(measure)))
    }
}
