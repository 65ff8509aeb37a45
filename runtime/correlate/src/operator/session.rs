//! `session`: a run of findings that ends when none comes for a while.

use yagura_core::Correlation;
use yagura_core::correlation::session::Session;

use super::Geolocation;
use super::measure::{Aggregate, Measure};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};

impl MakeNode for Session {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        let measure = Measure::over(Aggregate::Count, self.windows, self.condition);
        let measure = Measure {
            at_close: true,
            ..measure
        };
        Ok(Box::new(KeyedNode::new(measure)))
    }
}
