//! Who must mend an error of this crate: a pack that cannot be used is its author's.

use yagura_core::{FaultKind, HasFault};

use crate::author::AuthorError;
use crate::installed::InstalledError;
use crate::registry::LayoutError;
use crate::{ArchiveError, FilesError, GateError, VerifyError};

macro_rules! of_packs {
    ($($error:ty),*) => {
        $(impl HasFault for $error {
            fn fault(&self) -> FaultKind {
                FaultKind::Rule
            }
        })*
    };
}

of_packs!(
    ArchiveError,
    AuthorError,
    FilesError,
    GateError,
    LayoutError,
    VerifyError
);

/// Its contents are as dear as a pack's: without them old versions would be taken.
impl HasFault for InstalledError {
    fn fault(&self) -> FaultKind {
        match self {
            Self::Damaged { .. } => FaultKind::Rule,
            Self::Read { .. } | Self::Write { .. } => FaultKind::Input,
        }
    }
}
