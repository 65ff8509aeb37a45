//! `spike`: more findings than the key's own normal.

use yagura_core::Correlation;
use yagura_core::correlation::spike::Spike;

use super::Geolocation;
use super::baseline::BaselineCount;
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};

impl MakeNode for Spike {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        Ok(Box::new(KeyedNode::new(BaselineCount {
            within: self.normal.within.micros(),
            windows: self.normal.windows(),
            factor: self.factor,
            minimum: self.minimum,
            is_spike: true,
        })))
    }
}
