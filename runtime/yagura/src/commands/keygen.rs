//! `yagura keygen`: a pair of keys to sign packs with.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use yagura_packs::sign::{self, SecretKey, SigningKeyError};

/// Make a pair of keys for signing packs
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Path of the keys without ending: NAME.key and NAME.pub are made
    #[arg(long, value_name = "NAME")]
    out: PathBuf,
    /// Keep the secret key without a password
    #[arg(long)]
    no_password: bool,
}

const AFTER_HELP: &str = "\
The keys are minisign's (ed25519): `minisign` signs and verifies with them too. The password is asked for, or comes from the
environment as YAGURA_KEY_PASSWORD. Who lets packs in needs NAME.pub; NAME.key stays with you, and out of the pack.";

const PASSWORD: &str = "YAGURA_KEY_PASSWORD";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let password = match arguments.no_password {
        true => None,
        false => Some(new_password()?),
    };
    let made = sign::keygen(&arguments.out, password.as_deref())?;
    let mut out = io::stdout().lock();
    let (secret, public) = (made.secret_file.display(), made.public_file.display());
    writeln!(
        out,
        "{secret}: the secret key; keep it to yourself, and out of packs"
    )?;
    writeln!(
        out,
        "{public}: the public key {}; give it to those who let your packs in:",
        made.public.id()
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "  # trust.toml, which `trust` of the configuration names"
    )?;
    writeln!(out, "  [[key]]")?;
    writeln!(out, "  name = {:?}", stem(&arguments.out))?;
    writeln!(out, "  public = \"{}\"", made.public)?;
    writeln!(
        out,
        "  packs = [\"NAME\"]   # the packs that it may sign; `team-*` for all that begin so"
    )?;
    Ok(0)
}

fn stem(name: &Path) -> String {
    name.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Reads a secret key, and asks for its password where it has one. `NAME` stands for `NAME.key` too, as `keygen` has it.
pub(super) fn read_secret_key(name: &Path) -> Result<SecretKey> {
    let mut with_ending = name.as_os_str().to_owned();
    with_ending.push(".key");
    let file = match name.exists() {
        true => name,
        false if Path::new(&with_ending).exists() => Path::new(&with_ending),
        false => name,
    };
    let given = env::var(PASSWORD).ok();
    match SecretKey::read(file, given.as_deref()) {
        Err(SigningKeyError::NeedsPassword(_)) if io::stdin().is_terminal() => {
            let question = format!("Password of {}: ", file.display());
            let password =
                rpassword::prompt_password(question).context("cannot read the password")?;
            Ok(SecretKey::read(file, Some(&password))?)
        }
        Err(error @ SigningKeyError::NeedsPassword(_)) => {
            bail!("{error}; there is no terminal to ask on: set {PASSWORD}")
        }
        other => Ok(other?),
    }
}

fn new_password() -> Result<String> {
    if let Ok(password) = env::var(PASSWORD) {
        if password.is_empty() {
            bail!("{PASSWORD} is empty: set it to a password, or say --no-password");
        }
        return Ok(password);
    }
    if !io::stdin().is_terminal() {
        bail!(
            "a key needs a password, and there is no terminal to ask on: set {PASSWORD}, or say --no-password"
        );
    }
    let ask = |question| rpassword::prompt_password(question).context("cannot read the password");
    let password = ask("Password of the new key: ")?;
    if password.is_empty() {
        bail!("the password is empty: type one, or say --no-password");
    }
    if password != ask("The same again: ")? {
        bail!("the two passwords differ: nothing was made");
    }
    Ok(password)
}
