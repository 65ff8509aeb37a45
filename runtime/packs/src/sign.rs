//! Keys and detached signatures in minisign's format, over the manifest alone.
//!
//! The trusted comment of a signature says pack, version and digest, so that a signature tells by itself what it is for;
//! the `minisign` tool makes and checks the same files.

mod keys;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::PublicKey as Verifier;

pub use keys::{NewKey, PublicKey, SecretKey, SigningKeyError, keygen};

use crate::VerifiedPack;
use crate::names::{NameError, PackPath, is_signer, minisig_name};

/// The first line of a signature. It is not signed, so there is one text for it and nothing to hide there; it is what
/// `minisign` writes by itself.
const UNTRUSTED: &str = "untrusted comment: signature from minisign secret key";

const TRUSTED: &str = "trusted comment: ";

/// Bytes of a signature's file that is still read.
const SIGNATURE_BYTES: usize = 4 << 10;

/// A signature in minisign's format, read and not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    text: String,
    key_id: KeyId,
    comment: String,
}

/// By which a signature says which key made it: eight bytes, chosen at random when the key was made. Two keys can have the
/// same, so it only tells which key to try.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureProblem {
    /// Not four lines of a signature.
    #[error("it is not a signature in minisign's format ({0})")]
    Form(&'static str),
    /// The untrusted comment is another.
    #[error(
        "its first line is not `{UNTRUSTED}`: that line is not signed, so it may say nothing else"
    )]
    Untrusted,
    /// Of the old kind, which does not hash first.
    #[error(
        "it is of minisign's old kind: sign again with minisign 0.10 or newer, or with `yagura sign`"
    )]
    Legacy,
    /// The bytes do not fit: another key with this id, or another manifest.
    #[error("it does not fit the manifest and the key: one of the three was changed or exchanged")]
    Invalid,
    /// A keyless signature that does not hold; the text is its reason.
    #[error("it is keyless, and does not hold: {0}")]
    Keyless(String),
    /// It is a valid signature that says it is for something else.
    #[error("it says `{found}`, and must say `{expected}`")]
    Comment {
        /// What it says.
        found: String,
        /// What a signature of this pack says.
        expected: String,
    },
}

impl Signature {
    /// Reads a signature; only its canonical text is one.
    ///
    /// # Errors
    /// [`SignatureProblem::Form`], [`SignatureProblem::Untrusted`] or [`SignatureProblem::Legacy`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureProblem> {
        let form = |what| Err(SignatureProblem::Form(what));
        if bytes.len() > SIGNATURE_BYTES {
            return form("too long");
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return form("not UTF-8");
        };
        let lines: Option<Vec<&str>> = text
            .strip_suffix('\n')
            .map(|text| text.split('\n').collect());
        let Some([untrusted, signature, comment, global]) = lines.as_deref() else {
            return form("not four lines");
        };
        if *untrusted != UNTRUSTED {
            return Err(SignatureProblem::Untrusted);
        }
        let Some(comment) = comment.strip_prefix(TRUSTED) else {
            return form("no trusted comment");
        };
        // The tool's own comment has tabs between its words.
        if comment.chars().any(|c| c.is_control() && c != '\t') || comment.trim() != comment {
            return form("a trusted comment with characters that cannot be seen");
        }
        // Strict: other spellings of the same bytes are refused.
        let (Ok(signature), Ok(global)) = (STANDARD.decode(signature), STANDARD.decode(global))
        else {
            return form("not base64");
        };
        if signature.len() != 74 || global.len() != 64 {
            return form("a signature of another length");
        }
        match &signature[..2] {
            b"ED" => {}
            b"Ed" => return Err(SignatureProblem::Legacy),
            _ => return form("of an algorithm that is not known"),
        }
        let mut key_id = [0; 8];
        key_id.copy_from_slice(&signature[2..10]);
        Ok(Self {
            text: text.to_owned(),
            key_id: KeyId(key_id),
            comment: comment.to_owned(),
        })
    }

    /// Returns the id of the key that it says made it.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Returns the text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks that `key` signed the manifest of `pack`, and for what it is.
    ///
    /// # Errors
    /// [`SignatureProblem::Invalid`] or [`SignatureProblem::Comment`].
    pub fn check(&self, key: &PublicKey, pack: &VerifiedPack) -> Result<(), SignatureProblem> {
        let manifest = pack.manifest().text();
        let verifier = Verifier::from_base64(&key.to_string());
        let signature = minisign_verify::Signature::decode(&self.text);
        let (Ok(verifier), Ok(signature)) = (verifier, signature) else {
            return Err(SignatureProblem::Form("not readable"));
        };
        if verifier
            .verify(manifest.as_bytes(), &signature, false)
            .is_err()
        {
            return Err(SignatureProblem::Invalid);
        }
        // What is signed is the list of files, and name and version are in one of them; a comment that speaks of a pack must not
        // say otherwise, and others say nothing of it.
        let expected = comment(pack);
        match self.comment == expected || !self.comment.starts_with("pack:") {
            true => Ok(()),
            false => Err(SignatureProblem::Comment {
                found: self.comment.clone(),
                expected,
            }),
        }
    }
}

/// Returns what the trusted comment of a signature of a pack says; one by another tool (`minisign -S -m MANIFEST.sha256`) may
/// have its own.
pub fn comment(pack: &VerifiedPack) -> String {
    let identity = &pack.pack().pack;
    format!(
        "pack:{} version:{} sha256:{}",
        identity.name,
        identity.version,
        pack.digest()
    )
}

/// Why a pack cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The name of the signer is none.
    #[error("`{0}` is not a signer's name: use up to 64 lower-case letters, digits, `-` and `_`")]
    Signer(String),
    /// The name of the signature is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The key made no signature.
    #[error("cannot sign with the key {key}")]
    Key {
        /// The key's id.
        key: KeyId,
        /// The cause.
        source: minisign::PError,
    },
    /// The signature that was made is not one that would be accepted.
    #[error("the key {key} made a signature that cannot be verified")]
    Result {
        /// The key's id.
        key: KeyId,
        /// What is wrong with it.
        source: SignatureProblem,
    },
}

/// Signs a pack and adds the signature; returns its file name. Without `signer` it is `MANIFEST.sha256.minisig`, or where
/// another key has that one, the id of this key takes the signer's place.
///
/// # Errors
/// [`SignError`].
pub fn sign(
    pack: &mut VerifiedPack,
    key: &SecretKey,
    signer: Option<&str>,
) -> Result<PackPath, SignError> {
    if let Some(signer) = signer
        && !is_signer(signer)
    {
        return Err(SignError::Signer(signer.to_owned()));
    }
    let id = key.public().id();
    let key_error = |source| SignError::Key { key: id, source };
    let text = minisign::sign(
        None,
        key.inner(),
        pack.manifest().text().as_bytes(),
        Some(&comment(pack)),
        UNTRUSTED.strip_prefix("untrusted comment: "),
    );
    let text = text.map_err(key_error)?.into_string();
    let signature = Signature::parse(text.as_bytes());
    signature
        .and_then(|signature| signature.check(key.public(), pack))
        .map_err(|source| SignError::Result { key: id, source })?;
    let name = match signer {
        Some(signer) => minisig_name(Some(signer)),
        None if is_taken(pack, id) => minisig_name(Some(&id.to_string().to_lowercase())),
        None => minisig_name(None),
    };
    let name = PackPath::parse(&name)?;
    pack.add_signature(name.clone(), text.into_bytes());
    Ok(name)
}

fn is_taken(pack: &VerifiedPack, id: KeyId) -> bool {
    let present = pack.contents().signatures.get(minisig_name(None).as_str());
    present.is_some_and(|bytes| Signature::parse(bytes).map(|found| found.key_id) != Ok(id))
}

#[cfg(test)]
mod tests;
