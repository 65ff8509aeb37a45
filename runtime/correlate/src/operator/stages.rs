//! `stages`: stages in order, each of which raises the alert's severity.

use yagura_core::Correlation;
use yagura_core::correlation::stages::Stages;

use super::Geolocation;
use super::sequence::SequenceOperator;
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};

impl MakeNode for Stages {
    fn node(
        &self,
        correlation: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        Ok(Box::new(KeyedNode::new(SequenceOperator {
            severities: self.severities.clone(),
            ..SequenceOperator::of(&correlation.rules, self.within, self.step_within)
        })))
    }
}
