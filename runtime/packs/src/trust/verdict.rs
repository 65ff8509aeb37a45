//! The verdict on a pack: which signatures count, and what is missing.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use crate::installed::{Installed, Rollback};
use crate::names::PackPath;
use crate::sign::{KeyId, Signature, SignatureProblem};
use crate::{Digest, VerifiedPack};

use super::{Signer, TrustPolicy};

/// What a policy says of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustVerdict {
    /// Name of the pack.
    pub pack: String,
    /// Its version.
    pub version: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Every signature, and whether it counts.
    pub signatures: Vec<CheckedSignature>,
    /// Why the pack is not trusted; none: it is.
    pub refusals: Vec<Refusal>,
}

/// A signature, evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedSignature {
    /// Its file.
    pub file: PackPath,
    /// The key that it names.
    pub key_id: Option<KeyId>,
    /// What it is worth.
    pub finding: SignatureStatus,
}

/// What a signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureStatus {
    /// It counts, for the key of this name.
    Valid(String),
    /// It is by a key that the policy does not have. It counts for nothing, and harms nothing.
    UnknownKey,
    /// It is valid, by the key of this name, which may not sign this pack.
    OutOfScope(String),
    /// It is broken. It counts for nothing; where signatures are lacking it is named.
    Broken(SignatureProblem),
    /// It is a valid keyless signature by somebody whom the policy does not have. It counts for nothing, and harms nothing.
    UnknownIdentity {
        /// An address, or the URL of a workflow.
        identity: String,
        /// The URL of who says so.
        issuer: String,
    },
    /// It is keyless, and this program was built without the feature `sigstore`. It counts for nothing.
    NotChecked,
}

/// Why a pack is not trusted, with what would allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It has no signature that counts.
    Unsigned {
        /// The policy.
        file: PathBuf,
        /// The pack.
        pack: String,
    },
    /// It is signed by a key that the policy does not have.
    UnknownKey {
        /// The policy.
        file: PathBuf,
        /// The pack.
        pack: String,
        /// The key.
        key: KeyId,
    },
    /// It is signed by a key that may not sign it.
    OutOfScope {
        /// The policy.
        file: PathBuf,
        /// The pack.
        pack: String,
        /// The key's name.
        key: String,
        /// Its table in the policy, and the line by which it is found.
        table: String,
        /// What the key may sign.
        packs: Vec<String>,
    },
    /// It is signed by somebody whom the policy does not have.
    UnknownIdentity {
        /// The policy.
        file: PathBuf,
        /// The pack.
        pack: String,
        /// An address, or the URL of a workflow.
        identity: String,
        /// The URL of who says so.
        issuer: String,
    },
    /// A signature is broken.
    Broken {
        /// The signature's file.
        signature: PackPath,
        /// The key whose id it has, where the policy has one.
        key: Option<String>,
        /// What is wrong.
        problem: SignatureProblem,
    },
    /// A requirement is not met.
    Unmet {
        /// The policy.
        file: PathBuf,
        /// Number of the `[[require]]`.
        number: usize,
        /// Keys that have signed.
        signed: Vec<String>,
        /// Keys that have not, and must.
        missing: Vec<String>,
        /// How many more must have signed, and of which.
        more: Option<(usize, Vec<String>)>,
    },
    /// It is older than, or other than, what was used before.
    Rollback(Rollback),
}

impl TrustVerdict {
    /// Says whether the pack may be used.
    pub fn is_trusted(&self) -> bool {
        self.refusals.is_empty()
    }

    /// Returns the names of the keys whose signatures count, in order.
    pub fn signers(&self) -> BTreeSet<&str> {
        let findings = self.signatures.iter().map(|evaluated| &evaluated.finding);
        findings
            .filter_map(|finding| match finding {
                SignatureStatus::Valid(key) => Some(key.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Takes back the refusals that an operator may overrule: an older version, or another pack with the same version.
    pub fn force(&mut self) {
        self.refusals
            .retain(|refusal| !matches!(refusal, Refusal::Rollback(_)));
    }
}

impl TrustPolicy {
    /// Evaluates a pack: its signatures, what it must have, and that it is not older than what was used before.
    pub fn evaluate(&self, pack: &VerifiedPack, installed: &Installed) -> TrustVerdict {
        let files = pack.contents().signatures.iter();
        let signatures: Vec<CheckedSignature> = files
            .map(|(file, bytes)| self.evaluate_signature(pack, file, bytes))
            .collect();
        let mut verdict = TrustVerdict {
            pack: pack.name().to_owned(),
            version: pack.pack().pack.version.clone(),
            digest: pack.digest(),
            signatures,
            refusals: Vec::new(),
        };
        verdict.refusals = self.refusals(&verdict);
        let rollback = installed.rollback(pack);
        verdict.refusals.extend(rollback.map(Refusal::Rollback));
        verdict
    }

    fn evaluate_signature(
        &self,
        pack: &VerifiedPack,
        file: &PackPath,
        bytes: &[u8],
    ) -> CheckedSignature {
        let evaluated = |key_id, finding| CheckedSignature {
            file: file.clone(),
            key_id,
            finding,
        };
        if !file.as_str().ends_with(".minisig") {
            #[cfg(feature = "sigstore")]
            return evaluated(None, self.evaluate_keyless(pack, bytes));
            #[cfg(not(feature = "sigstore"))]
            return evaluated(None, SignatureStatus::NotChecked);
        }
        let signature = match Signature::parse(bytes) {
            Ok(signature) => signature,
            Err(problem) => return evaluated(None, SignatureStatus::Broken(problem)),
        };
        let id = signature.key_id();
        let known = self.keys.iter().find_map(|key| {
            let public = key.who.key().filter(|public| public.id() == id)?;
            Some((key, public))
        });
        let Some((key, public)) = known else {
            return evaluated(Some(id), SignatureStatus::UnknownKey);
        };
        let finding = match signature.check(public, pack) {
            Err(problem) => SignatureStatus::Broken(problem),
            Ok(()) if key.may_sign(pack.name()) => SignatureStatus::Valid(key.name.clone()),
            Ok(()) => SignatureStatus::OutOfScope(key.name.clone()),
        };
        evaluated(Some(id), finding)
    }

    fn refusals(&self, verdict: &TrustVerdict) -> Vec<Refusal> {
        let broken = verdict.signatures.iter().filter_map(|evaluated| {
            let SignatureStatus::Broken(problem) = &evaluated.finding else {
                return None;
            };
            let key = self.keys.iter();
            let mut key = key.filter(|key| {
                let public = key.who.key();
                public.is_some_and(|public| Some(public.id()) == evaluated.key_id)
            });
            Some(Refusal::Broken {
                signature: evaluated.file.clone(),
                key: key.next().map(|key| key.name.clone()),
                problem: problem.clone(),
            })
        });
        let mut refusals: Vec<Refusal> = Vec::new();
        let signers = verdict.signers();
        let requirements = self.requirements(&verdict.pack);
        let unmet: Vec<Refusal> = requirements
            .iter()
            .filter_map(|requirement| self.unmet(requirement, &verdict.pack, &signers))
            .collect();
        let needs_one = requirements.is_empty()
            && !self.unsigned.iter().any(|scope| scope.holds(&verdict.pack));
        let lacks_one = needs_one && signers.is_empty();
        // Whoever can write to a registry can add a broken signature: beside those that are needed it harms nothing.
        if lacks_one || !unmet.is_empty() {
            refusals.extend(broken);
            refusals.extend(self.near_misses(verdict));
        }
        if lacks_one && refusals.is_empty() {
            refusals.push(Refusal::Unsigned {
                file: self.file.clone(),
                pack: verdict.pack.clone(),
            });
        }
        refusals.extend(unmet);
        refusals
    }

    /// Tells of signatures that would count if the policy said so.
    fn near_misses(&self, verdict: &TrustVerdict) -> Vec<Refusal> {
        let misses = verdict.signatures.iter().filter_map(|evaluated| {
            let (file, pack) = (self.file.clone(), verdict.pack.clone());
            match (&evaluated.finding, evaluated.key_id) {
                (SignatureStatus::UnknownKey, Some(key)) => {
                    Some(Refusal::UnknownKey { file, pack, key })
                }
                (SignatureStatus::OutOfScope(name), _) => {
                    let key = self.keys.iter().find(|key| key.name == *name)?;
                    let table = match &key.who {
                        Signer::Key(public) => format!("[[key]] (public = \"{public}\")"),
                        Signer::Identity { identity, .. } => {
                            format!("[[identity]] (identity = \"{identity}\")")
                        }
                    };
                    Some(Refusal::OutOfScope {
                        file,
                        pack,
                        key: name.clone(),
                        table,
                        packs: key.scope.patterns.clone(),
                    })
                }
                (SignatureStatus::UnknownIdentity { identity, issuer }, _) => {
                    Some(Refusal::UnknownIdentity {
                        file,
                        pack,
                        identity: identity.clone(),
                        issuer: issuer.clone(),
                    })
                }
                _ => None,
            }
        });
        misses.collect()
    }

    fn unmet(
        &self,
        requirement: &super::Requirement,
        pack: &str,
        signers: &BTreeSet<&str>,
    ) -> Option<Refusal> {
        let has_signed = |name: &String| signers.contains(name.as_str());
        let all = requirement.all_of.iter();
        let missing: Vec<String> = all.filter(|name| !has_signed(name)).cloned().collect();
        let of: Vec<String> = match requirement.any_of.is_empty() {
            false => requirement.any_of.clone(),
            true => {
                let keys = self.keys.iter().filter(|key| key.may_sign(pack));
                keys.map(|key| key.name.clone()).collect()
            }
        };
        let have = of.iter().filter(|name| has_signed(name)).count();
        let left: Vec<String> = of.into_iter().filter(|name| !has_signed(name)).collect();
        let more = requirement.at_least.saturating_sub(have);
        if missing.is_empty() && more == 0 {
            return None;
        }
        Some(Refusal::Unmet {
            file: self.file.clone(),
            number: requirement.number,
            signed: signers.iter().map(|&name| name.to_owned()).collect(),
            missing,
            more: (more > 0).then_some((more, left)),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned { file, pack } => write!(
                f,
                "`{pack}` has no signature: let who made it sign it, or, to use it unsigned, write in {}:\n\
                 [[unsigned]]\npacks = [\"{pack}\"]",
                file.display()
            ),
            Self::UnknownKey { file, pack, key } => write!(
                f,
                "`{pack}` is signed by the key {key}, which is not in the policy: if you know whose it is, take the second \
                 line of its .pub file and write in {}:\n[[key]]\nname = \"NAME\"\npublic = \"RW…\"\npacks = [\"{pack}\"]",
                file.display()
            ),
            Self::OutOfScope {
                file,
                pack,
                key,
                table,
                packs,
            } => {
                let mut packs: Vec<&str> = packs.iter().map(String::as_str).collect();
                let may = quoted(&packs);
                packs.push(pack);
                write!(
                    f,
                    "`{pack}` is signed by the key `{key}`, which may sign {may}: to let it sign this one too, write under \
                     its {table} in {}:\npacks = [{}]",
                    file.display(),
                    packs
                        .iter()
                        .map(|pack| format!("\"{pack}\""))
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            }
            Self::UnknownIdentity {
                file,
                pack,
                identity,
                issuer,
            } => write!(
                f,
                "`{pack}` is signed by {}, and nobody of that name is in the policy: if you trust them, write in {}:\n\
                 [[identity]]\nname = \"NAME\"\nidentity = {}\nissuer = {}\npacks = [\"{pack}\"]",
                identity.escape_debug(),
                file.display(),
                // Whoever has a certificate chose the text.
                toml::Value::from(identity.as_str()),
                toml::Value::from(issuer.as_str()),
            ),
            Self::Broken {
                signature,
                key,
                problem,
            } => {
                write!(f, "the signature `{signature}` is broken: {problem}")?;
                match (key, problem) {
                    (Some(key), SignatureProblem::Invalid) => write!(
                        f,
                        "; it bears the id of the key `{key}`, which did not make it: do not use this copy, and get the pack \
                         again from who signed it"
                    ),
                    _ => write!(
                        f,
                        "; get the pack again, or take the file out if it is not yours"
                    ),
                }
            }
            Self::Unmet {
                file,
                number,
                signed,
                missing,
                more,
            } => {
                write!(
                    f,
                    "the {number}. [[require]] of {} is not met: ",
                    file.display()
                )?;
                let signed: Vec<&str> = signed.iter().map(String::as_str).collect();
                match signed.as_slice() {
                    [] => write!(f, "no key that may has signed")?,
                    signed => write!(f, "signed by {}", quoted(signed))?,
                }
                if !missing.is_empty() {
                    let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
                    write!(f, ", missing {}", quoted(&missing))?;
                }
                if let Some((count, of)) = more {
                    let of: Vec<&str> = of.iter().map(String::as_str).collect();
                    write!(f, ", missing {count} of {}", quoted(&of))?;
                }
                write!(f, "; let them run `yagura sign`")
            }
            Self::Rollback(rollback) => rollback.fmt(f),
        }
    }
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

impl fmt::Display for TrustVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pack, version) = (&self.pack, &self.version);
        let signers: Vec<&str> = self.signers().into_iter().collect();
        match (self.refusals.as_slice(), signers.is_empty()) {
            ([], true) => write!(
                f,
                "`{pack}` {version} is not signed, which the policy allows"
            ),
            ([], false) => write!(f, "`{pack}` {version} is signed by {}", quoted(&signers)),
            (refusals, _) => {
                let is_rollback = |refusal: &Refusal| matches!(refusal, Refusal::Rollback(_));
                let what = match refusals.iter().all(is_rollback) {
                    true => "refused",
                    false => "not trusted",
                };
                write!(f, "`{pack}` {version} is {what}")?;
                refusals
                    .iter()
                    .try_for_each(|refusal| write!(f, "\n{refusal}"))
            }
        }
    }
}
