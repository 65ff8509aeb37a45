//! What correlations are made of.

use std::path::Path;

use crate::sigma::load::{SigmaCorrelation, SigmaCount, SigmaSource};

/// A rule that correlations may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Index among the detection rules.
    Rule(usize),
    /// Index among the correlations.
    Correlation(usize),
}

/// A correlation or an aggregate, as it was read.
#[derive(Debug, Clone, Copy)]
pub(super) enum CorrelationSource<'a> {
    Correlation(&'a SigmaCorrelation),
    Count(usize, &'a SigmaSource, &'a SigmaCount),
}

impl CorrelationSource<'_> {
    pub(super) fn id(&self) -> String {
        match self {
            Self::Correlation(source) => source.id(),
            Self::Count(_, source, _) => source.id(),
        }
    }

    pub(super) fn file(&self) -> &Path {
        match self {
            Self::Correlation(source) => &source.file,
            Self::Count(_, source, _) => &source.file,
        }
    }

    /// The fields, by Sigma's names, that what is joined shares.
    pub(super) fn by(&self) -> &[String] {
        match self {
            Self::Correlation(source) => &source.rule.group_by,
            Self::Count(_, _, count) => &count.by,
        }
    }

    pub(super) fn generates(&self) -> bool {
        matches!(self, Self::Correlation(source) if source.rule.generate)
    }
}
