//! Keys: made, written and read.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minisign::{KeyPair, SecretKeyBox};

use super::KeyId;

/// A public key, written as in the second line of a `.pub` file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 42]);

/// A secret key that can sign.
pub struct SecretKey {
    key: minisign::SecretKey,
    public: PublicKey,
}

/// A pair of keys that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The secret key: `NAME.key`, readable for its owner alone.
    pub secret_file: PathBuf,
    /// The public key: `NAME.pub`.
    pub public_file: PathBuf,
    /// The public key, as a trust policy has it.
    pub public: PublicKey,
}

/// Why a key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// A file is there already.
    #[error("{} is there already, and a key is never written over: choose another name or move it away", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("cannot write the key {}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read the key {}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The machine has no random numbers, or too little memory for the password.
    #[error("cannot make a key")]
    Make(#[source] minisign::PError),
    /// Not the text of a key.
    #[error("{}: this is not {what} of minisign or `yagura keygen`", .file.display())]
    Form {
        /// The file.
        file: PathBuf,
        /// `a secret key` or `a public key`.
        what: &'static str,
    },
    /// Not the base64 text of a public key.
    #[error(
        "`{0}` is not a public key: write the second line of its .pub file, 56 letters that begin with `RW`"
    )]
    Public(String),
    /// The key has a password, and none was given.
    #[error("{} has a password: give it", .0.display())]
    NeedsPassword(PathBuf),
    /// The password is wrong, or the key is damaged.
    #[error("cannot open {}", .file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: minisign::PError,
    },
}

impl PublicKey {
    /// Reads a key from its base64 text.
    ///
    /// # Errors
    /// [`SigningKeyError::Public`].
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        let bytes = STANDARD.decode(text).ok();
        let bytes: Option<[u8; 42]> = bytes.and_then(|bytes| bytes.try_into().ok());
        match bytes {
            Some(bytes) if bytes.starts_with(b"Ed") => Ok(Self(bytes)),
            _ => Err(SigningKeyError::Public(text.to_owned())),
        }
    }

    /// Reads a `.pub` file.
    ///
    /// # Errors
    /// [`SigningKeyError::Read`] or [`SigningKeyError::Form`].
    pub fn read(file: &Path) -> Result<Self, SigningKeyError> {
        let text = read(file)?;
        let key = text.lines().nth(1).and_then(|line| Self::parse(line).ok());
        key.ok_or_else(|| SigningKeyError::Form {
            file: file.to_owned(),
            what: "a public key",
        })
    }

    /// Returns the key's id.
    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[2..10]);
        KeyId(id)
    }

    /// Returns what signatures are verified with: two keys that have the same are one, whatever their ids.
    pub(crate) fn point(&self) -> &[u8] {
        &self.0[10..]
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public.id())
    }
}

impl SecretKey {
    /// Reads a secret key.
    ///
    /// # Errors
    /// [`SigningKeyError::NeedsPassword`] where it has one and none was given, [`SigningKeyError::Open`] where it is wrong.
    pub fn read(file: &Path, password: Option<&str>) -> Result<Self, SigningKeyError> {
        let text = read(file)?;
        let form = || SigningKeyError::Form {
            file: file.to_owned(),
            what: "a secret key",
        };
        let bytes = text
            .lines()
            .nth(1)
            .and_then(|line| STANDARD.decode(line).ok());
        let bytes = bytes.filter(|bytes| bytes.len() == 158).ok_or_else(form)?;
        let boxed = SecretKeyBox::from_string(&text).map_err(|_| form())?;
        // Bytes 2 and 3 name how the password becomes a key; zeros: there is none.
        let opened = match (bytes[2..4] == [0, 0], password) {
            // The `minisign` tool writes no checksum without password; signing checks what it makes.
            (true, _) if bytes[126..] == [0; 32] => minisign::SecretKey::from_bytes(&bytes),
            (true, _) => boxed.into_unencrypted_secret_key(),
            (false, Some(password)) => boxed.into_secret_key(Some(password.to_owned())),
            (false, None) => return Err(SigningKeyError::NeedsPassword(file.to_owned())),
        };
        let open_error = |source| SigningKeyError::Open {
            file: file.to_owned(),
            source,
        };
        let key = opened.map_err(open_error)?;
        let public = minisign::PublicKey::from_secret_key(&key).map_err(open_error)?;
        Ok(Self {
            public: PublicKey::parse(&public.to_base64())?,
            key,
        })
    }

    /// Returns the public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn inner(&self) -> &minisign::SecretKey {
        &self.key
    }
}

/// Makes a pair of keys and writes them to `NAME.key` and `NAME.pub`. Nothing is ever written over.
///
/// # Errors
/// [`SigningKeyError::Exists`], [`SigningKeyError::Write`] or [`SigningKeyError::Make`].
pub fn keygen(name: &Path, password: Option<&str>) -> Result<NewKey, SigningKeyError> {
    let file = |ending: &str| {
        let mut file = name.as_os_str().to_owned();
        file.push(ending);
        PathBuf::from(file)
    };
    let (secret_file, public_file) = (file(".key"), file(".pub"));
    for file in [&secret_file, &public_file] {
        if file.symlink_metadata().is_ok() {
            return Err(SigningKeyError::Exists(file.clone()));
        }
    }
    let pair = match password {
        None => KeyPair::generate_unencrypted_keypair(),
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
    };
    let pair = pair.map_err(SigningKeyError::Make)?;
    let secret = pair
        .sk
        .to_box(Some("minisign secret key"))
        .map_err(SigningKeyError::Make)?;
    let public_box = pair.pk.to_box().map_err(SigningKeyError::Make)?;
    let public = PublicKey::parse(&pair.pk.to_base64())?;
    write(&secret_file, &secret.into_string(), true)?;
    if let Err(error) = write(&public_file, &public_box.into_string(), false) {
        // A secret key without its public half would stand in the way of the next try.
        let _ = fs::remove_file(&secret_file);
        return Err(error);
    }
    Ok(NewKey {
        secret_file,
        public_file,
        public,
    })
}

fn write(file: &Path, text: &str, is_secret: bool) -> Result<(), SigningKeyError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_secret {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = is_secret;
    let written = options.open(file).and_then(|mut open| {
        open.write_all(text.as_bytes())?;
        open.sync_all()
    });
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => SigningKeyError::Exists(file.to_owned()),
        _ => SigningKeyError::Write {
            file: file.to_owned(),
            source,
        },
    })
}

fn read(file: &Path) -> Result<String, SigningKeyError> {
    fs::read_to_string(file).map_err(|source| SigningKeyError::Read {
        file: file.to_owned(),
        source,
    })
}
