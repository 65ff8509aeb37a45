//! Who must mend an error of this crate: a pack that cannot be used is its author's.

use yagura_core::{FaultKind, HasFault};

use crate::author::AuthorError;
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
