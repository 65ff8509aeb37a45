//! Keyless signatures: bundles of sigstore over the manifest, verified without network.
//!
//! `cosign sign-blob MANIFEST.sha256 --bundle MANIFEST.sha256.sigstore.json` makes one. What a bundle proves is compared with
//! the root of trust that is part of this program, or with one that the policy names: nothing is fetched.

use std::fs;
use std::path::Path;

use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::types::Bundle;
use sigstore_verify::{VerificationPolicy, VerificationResult, Verifier};

use super::verdict::SignatureStatus;
use super::{Signer, TrustError, TrustPolicy};
use crate::VerifiedPack;
use crate::sign::SignatureProblem;
use yagura_core::diagnostic::{Code, Diagnostic};

/// What keyless signatures are verified against: the JSON of a trusted root.
#[derive(Clone)]
pub(super) struct Root(String);

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Root({} bytes)", self.0.len())
    }
}

impl Root {
    /// Reads the root that a policy names, beside the policy's own file; without name it is the public service's.
    ///
    /// # Errors
    /// When it cannot be read, or is not a trusted root.
    pub(super) fn read(policy: &Path, named: Option<&Path>) -> Result<Self, TrustError> {
        let Some(named) = named else {
            return Ok(Self(SIGSTORE_PRODUCTION_TRUSTED_ROOT.to_owned()));
        };
        let file = policy.parent().unwrap_or(Path::new("")).join(named);
        let text = fs::read_to_string(&file).map_err(|source| TrustError::Read {
            file: file.clone(),
            source,
        })?;
        if let Err(error) = TrustedRoot::from_json(&text) {
            let message = format!("this is not a trusted root of sigstore ({error})");
            let wrong = Diagnostic::error(Code::InvalidKey, message).in_file(&file);
            return Err(TrustError::Invalid(wrong.into()));
        }
        Ok(Self(text))
    }
}

impl TrustPolicy {
    /// Evaluates a keyless signature.
    pub(super) fn evaluate_keyless(&self, pack: &VerifiedPack, bundle: &[u8]) -> SignatureStatus {
        let manifest = pack.manifest().text();
        let any = VerificationPolicy::any_identity();
        let result = match verify(&self.root, bundle, manifest.as_bytes(), &any) {
            Ok(result) => result,
            Err(reason) => {
                let reason = reason.to_string();
                return SignatureStatus::Broken(SignatureProblem::Keyless(reason));
            }
        };
        let found = result
            .identity()
            .map(|identity| identity.as_str().to_owned());
        let (Some(found), Some(by)) = (found, result.issuer().map(str::to_owned)) else {
            return SignatureStatus::Broken(SignatureProblem::Keyless(
                "it names nobody".to_owned(),
            ));
        };
        let known = self.keys.iter().find(|key| {
            matches!(&key.who, Signer::Identity { identity, issuer } if *identity == found && *issuer == by)
        });
        match known {
            Some(key) if key.may_sign(pack.name()) => SignatureStatus::Valid(key.name.clone()),
            Some(key) => SignatureStatus::OutOfScope(key.name.clone()),
            None => SignatureStatus::UnknownIdentity {
                identity: found,
                issuer: by,
            },
        }
    }
}

fn verify(
    root: &Root,
    bundle: &[u8],
    manifest: &[u8],
    policy: &VerificationPolicy,
) -> Result<VerificationResult, Box<dyn std::error::Error>> {
    let bundle = Bundle::from_json(std::str::from_utf8(bundle)?)?;
    let root = TrustedRoot::from_json(&root.0)?;
    Ok(Verifier::new(&root)?.verify(manifest, &bundle, policy)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `cosign sign-blob` of a real workflow made; the environment names its file, since it is not ours.
    fn bundle(name: &str) -> Vec<u8> {
        let dir = std::env::var_os("YAGURA_SIGSTORE_TEST_DATA").unwrap();
        fs::read(Path::new(&dir).join(name)).unwrap()
    }

    #[test]
    #[ignore = "needs YAGURA_SIGSTORE_TEST_DATA: the folder test_data/bundles of the crate sigstore-verify"]
    fn a_real_bundle_is_verified_without_network_and_for_its_bytes_alone() {
        let root = Root::read(Path::new("trust.toml"), None).unwrap();
        let (blob, signed) = (
            bundle("cosign-v3-blob.txt"),
            bundle("cosign-v3-blob.sigstore.json"),
        );
        let any = VerificationPolicy::any_identity();
        let result = verify(&root, &signed, &blob, &any).unwrap();
        let (identity, issuer) = (result.identity().unwrap(), result.issuer().unwrap());
        let own = VerificationPolicy::new(identity.as_str(), issuer);
        verify(&root, &signed, &blob, &own).unwrap();
        let other = VerificationPolicy::new("mallory@example.org", issuer);
        verify(&root, &signed, &blob, &other).unwrap_err();
        let changed = [&blob[..], b"x"].concat();
        verify(&root, &signed, &changed, &any).unwrap_err();
    }
}
