//! The policy, read and checked.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use yagura_core::diagnostic::{Code, Diagnostic, Diagnostics, Key};
use yagura_core::names::did_you_mean;
use yagura_core::source::SourceText;

use crate::sign::{KeyId, PublicKey};

/// What an operator trusts.
#[derive(Debug, Clone)]
pub struct TrustPolicy {
    pub(super) file: PathBuf,
    #[cfg(feature = "sigstore")]
    pub(super) root: super::keyless::Root,
    pub(super) keys: Vec<TrustedKey>,
    pub(super) requirements: Vec<Requirement>,
    pub(super) unsigned: Vec<PackNames>,
}

/// A signer and what it may sign.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// The operator's name for it.
    pub name: String,
    /// Who it is.
    pub who: Signer,
    pub(super) scope: PackNames,
}

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// Whoever has this key.
    Key(PublicKey),
    /// Whoever this issuer calls so; needs a build with the feature `sigstore`.
    Identity {
        /// An address, or the URL of a workflow.
        identity: String,
        /// The URL of who says so.
        issuer: String,
    },
}

impl Signer {
    /// Returns the key, where it is one.
    pub fn key(&self) -> Option<&PublicKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Identity { .. } => None,
        }
    }
}

/// Which signatures packs need.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// Number of the `[[require]]` in the file, from one.
    pub number: usize,
    pub(super) scope: PackNames,
    /// Keys that must all have signed.
    pub all_of: Vec<String>,
    /// Keys of which [`Requirement::at_least`] must have signed; empty: all that may sign the pack.
    pub any_of: Vec<String>,
    /// How many.
    pub at_least: usize,
}

/// Names of packs, with `*` for any letters.
#[derive(Debug, Clone)]
pub(super) struct PackNames {
    pub(super) patterns: Vec<String>,
    globs: Vec<GlobMatcher>,
}

/// Why a policy cannot be used. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Not TOML, an unknown key, or a value that is not allowed.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// A trusted root of sigstore, beside this file; absent: that of the public service.
    sigstore_root: Option<PathBuf>,
    #[serde(default)]
    key: Vec<KeyTable>,
    #[serde(default)]
    identity: Vec<IdentityTable>,
    #[serde(default)]
    require: Vec<RequireTable>,
    #[serde(default)]
    unsigned: Vec<UnsignedTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    name: String,
    public: String,
    packs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityTable {
    name: String,
    identity: String,
    issuer: String,
    packs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequireTable {
    packs: Vec<String>,
    #[serde(default)]
    all_of: Vec<String>,
    #[serde(default)]
    any_of: Vec<String>,
    at_least: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnsignedTable {
    packs: Vec<String>,
}

impl TrustPolicy {
    /// Reads a policy from its file.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn read(file: &Path) -> Result<Self, TrustError> {
        let text = fs::read_to_string(file).map_err(|source| TrustError::Read {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(file, &text)
    }

    /// Reads a policy from its text; `file` is for messages.
    ///
    /// # Errors
    /// [`TrustError`] with the first thing that is wrong.
    pub fn parse(file: &Path, text: &str) -> Result<Self, TrustError> {
        let source = SourceText::new(file, text);
        let read: File = source.toml()?;
        let refuse = |found: Diagnostics| TrustError::from(source.refuse(found.0));
        let wrong = |code, key, message: String| refuse(wrong(code, key, message));
        let is_keyless = !read.identity.is_empty() || read.sigstore_root.is_some();
        if is_keyless && !cfg!(feature = "sigstore") {
            let key = match read.identity.is_empty() {
                true => Key::top("sigstore_root"),
                false => Key::top("identity"),
            };
            let message = "is for keyless signatures, which this program was built without: build it with the feature \
                           `sigstore`, or take it out";
            return Err(wrong(Code::MissingFeature, key, message.to_owned()));
        }
        #[cfg(feature = "sigstore")]
        let root = super::keyless::Root::read(file, read.sigstore_root.as_deref())?;
        let mut keys = read_keys(read.key).map_err(refuse)?;
        for (index, table) in read.identity.into_iter().enumerate() {
            let key = Key::top("identity").index(index);
            let scope = PackNames::new(&table.packs).map_err(|found| refuse(found.under(&key)))?;
            let who = Signer::Identity {
                identity: table.identity,
                issuer: table.issuer,
            };
            if let Some(same) = keys.iter().find(|key| key.who == who) {
                let message = format!(
                    "has `{}` and `{}`, which are the same identity and would count as two: take one out",
                    same.name, table.name
                );
                return Err(wrong(Code::DuplicateKey, key, message));
            }
            keys.push(TrustedKey {
                name: table.name,
                who,
                scope,
            });
        }
        for (index, key) in keys.iter().enumerate() {
            if key.name.is_empty() || keys[..index].iter().any(|other| other.name == key.name) {
                let message = format!("names two keys `{}`: give each its own name", key.name);
                return Err(wrong(Code::DuplicateName, Key::top("key"), message));
            }
        }
        let mut requirements = Vec::new();
        for (index, table) in read.require.into_iter().enumerate() {
            let key = Key::top("require").index(index);
            let requirement = Requirement::new(index + 1, table, &keys);
            requirements.push(requirement.map_err(|found| refuse(found.under(&key)))?);
        }
        let mut unsigned = Vec::new();
        for (index, table) in read.unsigned.iter().enumerate() {
            let key = Key::top("unsigned").index(index);
            let scope = PackNames::new(&table.packs);
            unsigned.push(scope.map_err(|found| refuse(found.under(&key)))?);
        }
        Ok(Self {
            file: file.to_owned(),
            #[cfg(feature = "sigstore")]
            root,
            keys,
            requirements,
            unsigned,
        })
    }

    /// Returns the keys.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// Says whether a pack of this name may be used unsigned.
    pub fn needs_no_signature(&self, pack: &str) -> bool {
        self.requirements(pack).is_empty() && self.unsigned.iter().any(|scope| scope.holds(pack))
    }

    /// Returns a line for each pack that the requirements name, without `*`, and that is not among these.
    pub fn unknown_packs<'a>(&self, packs: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let packs: Vec<&str> = packs.into_iter().collect();
        let required = self.requirements.iter().flat_map(|requirement| {
            let patterns = requirement.scope.patterns.iter();
            patterns.map(|pattern| (requirement.number, pattern))
        });
        required
            .filter(|(_, name)| !name.contains('*') && !packs.contains(&name.as_str()))
            .map(|(number, name)| {
                format!(
                    "the {number}. [[require]] of the trust policy names `{name}`, a pack that is not loaded{}",
                    did_you_mean(name, packs.iter().copied())
                )
            })
            .collect()
    }

    /// Returns the requirements that a pack of this name has to meet.
    pub fn requirements(&self, pack: &str) -> Vec<&Requirement> {
        let all = self.requirements.iter();
        all.filter(|requirement| requirement.scope.holds(pack))
            .collect()
    }
}

/// Returns an error about a key of the file.
fn wrong(code: Code, key: Key, message: impl Into<String>) -> Diagnostics {
    Diagnostic::error(code, message).at(key).into()
}

fn read_keys(tables: Vec<KeyTable>) -> Result<Vec<TrustedKey>, Diagnostics> {
    let mut keys: Vec<TrustedKey> = Vec::new();
    let mut ids: HashMap<KeyId, String> = HashMap::new();
    for (index, table) in tables.into_iter().enumerate() {
        let at = Key::top("key").index(index);
        let public = PublicKey::parse(&table.public).map_err(|error| {
            let message = format!("of `{}` is wrong: {error}", table.name);
            wrong(Code::InvalidKey, at.name("public"), message)
        })?;
        let is_same = |key: &&TrustedKey| {
            let other = key.who.key();
            other.is_some_and(|other| other.point() == public.point())
        };
        // The same table twice has a message of its own.
        let same = keys.iter().find(is_same);
        if let Some(same) = same.filter(|same| same.name != table.name) {
            let message = format!(
                "has `{}` and `{}`, which are the same key, which would count as two: take one out",
                same.name, table.name
            );
            return Err(wrong(Code::DuplicateKey, at, message));
        }
        let other = ids.insert(public.id(), table.name.clone());
        if let Some(other) = other.filter(|_| same.is_none()) {
            let message = format!(
                "is wrong: `{other}` and `{}` have the same id {} and are different keys: one was made to be taken for the \
                 other, so ask both owners and take one out",
                table.name,
                public.id()
            );
            return Err(wrong(Code::DuplicateKey, at, message));
        }
        let scope = PackNames::new(&table.packs).map_err(|found| found.under(&at))?;
        keys.push(TrustedKey {
            name: table.name,
            who: Signer::Key(public),
            scope,
        });
    }
    Ok(keys)
}

impl TrustedKey {
    /// Says whether the key may sign packs of this name.
    pub fn may_sign(&self, pack: &str) -> bool {
        self.scope.holds(pack)
    }
}

impl Requirement {
    fn new(number: usize, table: RequireTable, keys: &[TrustedKey]) -> Result<Self, Diagnostics> {
        let names = || keys.iter().map(|key| key.name.as_str());
        for (list, entries) in [("all_of", &table.all_of), ("any_of", &table.any_of)] {
            for (index, name) in entries.iter().enumerate() {
                if !names().any(|known| known == name) {
                    let near = did_you_mean(name, names());
                    let message = format!("names `{name}`, and there is no such [[key]]{near}");
                    let key = Key::top(list).index(index);
                    return Err(wrong(Code::UnknownReference, key, message));
                }
                if entries[..index].contains(name) {
                    let message = format!("names the key `{name}` a second time");
                    let key = Key::top(list).index(index);
                    return Err(wrong(Code::DuplicateName, key, message));
                }
            }
        }
        // One that is needed for a pack, and may not sign it, would keep it out for ever.
        for (index, name) in table.all_of.iter().enumerate() {
            let key = keys.iter().find(|key| key.name == *name);
            let mut exact = table.packs.iter().filter(|pack| !pack.contains('*'));
            if let Some(pack) = exact.find(|pack| key.is_some_and(|key| !key.may_sign(pack))) {
                let message = format!(
                    "needs `{name}` for `{pack}`, which `{name}` may not sign: add `{pack}` to the packs of the key, or take one of \
                     them out here"
                );
                let key = Key::top("all_of").index(index);
                return Err(wrong(Code::ImpossibleRequirement, key, message));
            }
        }
        let asks_for_any = !table.any_of.is_empty() || table.all_of.is_empty();
        let at_least = table.at_least.unwrap_or(usize::from(asks_for_any));
        let of = match table.any_of.len() {
            0 => keys.len(),
            some => some,
        };
        if table.at_least == Some(0) {
            let message = "is 0: packs that need no signature are named in [[unsigned]]";
            return Err(wrong(Code::InvalidValue, Key::top("at_least"), message));
        }
        if at_least > of {
            let message = format!("is {at_least}, and only {of} keys are there");
            return Err(wrong(
                Code::ImpossibleRequirement,
                Key::top("at_least"),
                message,
            ));
        }
        Ok(Self {
            number,
            scope: PackNames::new(&table.packs)?,
            all_of: table.all_of,
            any_of: table.any_of,
            at_least,
        })
    }
}

impl PackNames {
    /// Reads the list `packs` of a table.
    fn new(patterns: &[String]) -> Result<Self, Diagnostics> {
        if patterns.is_empty() {
            let message = "names no packs: write `packs = [\"NAME\"]`, or `[\"*\"]` for all";
            return Err(wrong(Code::EmptyValue, Key::top("packs"), message));
        }
        let mut globs = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            let is_plain = !pattern.is_empty()
                && pattern.bytes().all(|byte| {
                    byte.is_ascii_lowercase()
                        || byte.is_ascii_digit()
                        || matches!(byte, b'-' | b'*')
                });
            let glob = GlobBuilder::new(pattern).build();
            match glob {
                Ok(glob) if is_plain => globs.push(glob.compile_matcher()),
                _ => {
                    let message = format!(
                        "is `{pattern}`: write the name of a pack, with `*` for any letters"
                    );
                    let key = Key::top("packs").index(index);
                    return Err(wrong(Code::InvalidPattern, key, message));
                }
            }
        }
        Ok(Self {
            patterns: patterns.to_vec(),
            globs,
        })
    }

    pub(super) fn holds(&self, pack: &str) -> bool {
        self.globs.iter().any(|glob| glob.is_match(pack))
    }
}
