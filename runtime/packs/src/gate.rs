//! The whole way from a path to a pack that may be loaded: read, verify, evaluate, and compare what it asks for.

use std::path::Path;

use yagura_core::Grants;

use crate::grants::{Changes, Comparison, OpenRequest, PackRequests, upgrade};
use crate::installed::Rollback;
use crate::{
    ArchiveError, Bounds, Contents, FilesError, Installed, TrustPolicy, TrustVerdict, VerifiedPack,
    VerifyError, archive,
};

/// The settings of an operator for packs.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// Who may sign what. Without a policy nothing need be signed, and a directory is taken as it is; archives must be what
    /// their manifest holds all the same.
    pub trust: Option<&'a TrustPolicy>,
    /// What was used before.
    pub installed: &'a Installed,
    /// What is granted.
    pub grants: &'a Grants,
    /// How large packs may be.
    pub bounds: Bounds,
    /// Whether an older version is taken, or another pack with the same version.
    pub allow_rollback: bool,
}

/// A pack that may be loaded.
#[derive(Debug, Clone)]
pub struct OpenedPack {
    /// The pack.
    pub pack: VerifiedPack,
    /// The verdict, where there is a policy.
    pub verdict: Option<TrustVerdict>,
    /// What it asks for beside what is granted.
    pub asked: Comparison,
    /// What changed since what was used before; nothing where none was.
    pub changes: Changes,
}

/// Why a pack may not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Its directory cannot be a pack.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Its archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It differs from its manifest.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It is not trusted.
    #[error("{0}")]
    Refused(Box<TrustVerdict>),
    /// It is older than what was used before, and nobody is named whom to trust.
    #[error("{0}")]
    Older(Rollback),
    /// It asks for more than the version before it.
    #[error("`{pack}` {version} asks for more than the version before it, so it is not loaded:\n{}", lines(.requests))]
    OpenRequests {
        /// The pack.
        pack: String,
        /// Its version.
        version: String,
        /// What for, and what would let it load.
        requests: Vec<OpenRequest>,
    },
}

fn lines(requests: &[OpenRequest]) -> String {
    let requests: Vec<String> = requests.iter().map(ToString::to_string).collect();
    requests.join("\n")
}

impl Gate<'_> {
    /// Opens the pack at a path: a directory or an archive.
    ///
    /// # Errors
    /// [`GateError`].
    pub fn open(&self, path: &Path) -> Result<OpenedPack, GateError> {
        let mut contents = match path.is_dir() {
            true => Contents::read_dir(path, &self.bounds)?,
            false => archive::read_file(path, &self.bounds)?,
        };
        // Where no signature is needed, neither is a list of files.
        let is_free = match self.trust {
            None => true,
            Some(trust) => {
                contents.manifest.is_none()
                    && trust.needs_no_signature(&contents.pack_toml()?.pack.name)
            }
        };
        if is_free && path.is_dir() {
            contents.seal();
        }
        self.admit(contents.verify()?)
    }

    /// Lets a pack in that was verified, as one from a registry is.
    ///
    /// # Errors
    /// [`GateError::Refused`], [`GateError::Older`] or [`GateError::OpenRequests`].
    pub fn admit(&self, pack: VerifiedPack) -> Result<OpenedPack, GateError> {
        let mut verdict = self
            .trust
            .map(|trust| trust.evaluate(&pack, self.installed));
        if let Some(verdict) = &mut verdict {
            if self.allow_rollback {
                verdict.force();
            }
            if !verdict.is_trusted() {
                return Err(GateError::Refused(Box::new(verdict.clone())));
            }
        }
        // What nobody signs may be worked on, so other contents of one version are nothing unusual there.
        if self.trust.is_none()
            && !self.allow_rollback
            && let Some(older @ Rollback::Older { .. }) = self.installed.rollback(&pack)
        {
            return Err(GateError::Older(older));
        }
        let name = pack.name();
        let grant = self.grants.of(name);
        let asks = PackRequests::of(pack.pack());
        let mut changes = Changes::default();
        if let Some(used) = self.installed.pack.get(name) {
            changes = Changes::between(&used.asks, &asks);
            let requests = upgrade(name, &used.asks, &asks, &grant);
            if !requests.is_empty() {
                return Err(GateError::OpenRequests {
                    pack: name.to_owned(),
                    version: pack.pack().pack.version.clone(),
                    requests,
                });
            }
        }
        Ok(OpenedPack {
            asked: asks.compare(name, &grant),
            pack,
            verdict,
            changes,
        })
    }
}
