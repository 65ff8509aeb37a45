//! Makes the node of a correlation.

use yagura_core::{Correlation, with_parameters};

use crate::node::CorrelationNode;
use crate::operator::Geolocation;

/// A kind of correlation of which a node can be made.
pub(crate) trait MakeNode {
    /// Makes the node of this correlation, which has these parameters. `geolocation` is the rule's database, if there is one.
    fn node(
        &self,
        correlation: &Correlation,
        geolocation: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation>;
}

/// A correlation needs a geolocation database, and there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "needs to know where addresses are: name a geolocation database with `geoip`, here or in the configuration"
)]
pub(crate) struct NoGeolocation;

/// Makes the node of a correlation, whatever its kind is.
pub(crate) fn make_node(
    correlation: &Correlation,
    geolocation: Option<&Geolocation>,
) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
    with_parameters!(&correlation.kind, parameters => parameters.node(correlation, geolocation))
}
