//! `yagura verify`: whether a pack is what its list of files says, and who signed it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use yagura_core::OrFault;
use yagura_packs::installed::Installed;
use yagura_packs::sign::PublicKey;
use yagura_packs::trust::{CheckedSignature, SignatureStatus};
use yagura_packs::{Bounds, Contents, GateError, TrustPolicy, TrustVerdict, VerifiedPack, archive};
use yagura_service::admission::Admission;
use yagura_service::config::Config;

use crate::exit::FAILED;
use crate::output::{OutputFormat, count, printable};

/// Verify packs: files against their list, signatures, and whether the signer is trusted
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Directory or archive of a pack; may be given more than once
    #[arg(value_name = "PACK", required = true)]
    paths: Vec<PathBuf>,
    /// Public key that must have signed (`.pub` may be left out)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trust", "config"])]
    key: Option<PathBuf>,
    /// Trust policy that must be met
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    trust: Option<PathBuf>,
    /// Configuration whose trust policy must be met, and whose newer versions and unanswered upgrades count
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
Without --key, --trust or --config it is said which signatures there are, and nothing about who made them. Exit code 0 where all
packs are what they say and are trusted, 1 where one is not.";

/// What is printed of a pack.
#[derive(Debug, Serialize)]
struct VerifiedPackView {
    path: PathBuf,
    pack: String,
    version: String,
    digest: String,
    files: usize,
    signatures: Vec<SignatureView>,
    /// Nothing where nobody was named whom to trust.
    trusted: Option<bool>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SignatureView {
    file: String,
    key: Option<String>,
    finding: String,
}

/// Who must have signed.
enum RequiredSigner {
    Nobody,
    /// Whoever has the key of this file.
    Key(Box<TrustPolicy>, PathBuf),
    Policy(Box<TrustPolicy>),
    /// Whoever the trust policy of a configuration names; versions that were used before count too.
    Config(Box<TrustPolicy>, Box<Admission>),
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let signer = signer(arguments)?;
    let mut out = io::stdout().lock();
    let mut all_good = true;
    for path in &arguments.paths {
        let view = match read(path) {
            Ok(pack) => view(path, &pack, &signer),
            Err(error) => broken(path, &error),
        };
        all_good &= view.problems.is_empty();
        match arguments.format {
            OutputFormat::Json => {
                serde_json::to_writer(&mut out, &view)?;
                writeln!(out)?;
            }
            OutputFormat::Text => text(&view, &mut out)?,
        }
    }
    Ok(if all_good { 0 } else { FAILED })
}

fn signer(arguments: &Arguments) -> Result<RequiredSigner> {
    if let Some(file) = &arguments.key {
        // `keygen --out acme` makes acme.pub.
        let public = file.with_added_extension("pub");
        let file = if file.exists() || !public.exists() {
            file
        } else {
            &public
        };
        let key = PublicKey::read(file)?;
        let text = format!(
            "[[key]]\nname = {}\npublic = \"{key}\"\npacks = [\"*\"]\n",
            toml::Value::from(file.display().to_string())
        );
        let policy = TrustPolicy::parse(file, &text)?;
        return Ok(RequiredSigner::Key(Box::new(policy), file.clone()));
    }
    if let Some(file) = &arguments.trust {
        let policy = TrustPolicy::read(file)?;
        return Ok(RequiredSigner::Policy(Box::new(policy)));
    }
    if let Some(file) = &arguments.config {
        let admission = Admission::read(&Config::read(file)?)?;
        let policy = admission.trust.clone().with_context(|| {
            format!(
                "{} has no `trust`: name a trust policy there, or give --key",
                file.display()
            )
        })?;
        return Ok(RequiredSigner::Config(
            Box::new(policy),
            Box::new(admission),
        ));
    }
    Ok(RequiredSigner::Nobody)
}

/// Reads a pack and compares it with its list of files.
pub(super) fn read(path: &Path) -> Result<VerifiedPack> {
    let bounds = Bounds::default();
    let contents = match path.is_dir() {
        true => Contents::read_dir(path, &bounds).or_fault()?,
        false => archive::read_file(path, &bounds).or_fault()?,
    };
    Ok(contents.verify().or_fault()?)
}

impl VerifiedPackView {
    fn evaluated(&mut self, verdict: &TrustVerdict) {
        self.trusted = Some(verdict.is_trusted());
        self.problems = verdict.refusals.iter().map(ToString::to_string).collect();
        self.signatures = verdict.signatures.iter().map(evaluated).collect();
    }
}

fn broken(path: &Path, error: &anyhow::Error) -> VerifiedPackView {
    VerifiedPackView {
        path: path.to_owned(),
        pack: String::new(),
        version: String::new(),
        digest: String::new(),
        files: 0,
        signatures: Vec::new(),
        trusted: None,
        problems: vec![format!("{error:#}")],
    }
}

fn view(path: &Path, pack: &VerifiedPack, signer: &RequiredSigner) -> VerifiedPackView {
    let identity = &pack.pack().pack;
    let mut view = VerifiedPackView {
        path: path.to_owned(),
        pack: identity.name.clone(),
        version: identity.version.clone(),
        digest: pack.digest().tagged(),
        files: pack.manifest().files().len(),
        signatures: Vec::new(),
        trusted: None,
        problems: Vec::new(),
    };
    match signer {
        RequiredSigner::Nobody => {
            let files = pack.contents().signatures.iter();
            view.signatures = files
                .map(|(file, bytes)| unjudged(file.as_str(), bytes))
                .collect();
        }
        RequiredSigner::Key(policy, file) => {
            let verdict = policy.evaluate(pack, &Installed::default());
            view.trusted = Some(verdict.is_trusted());
            if !verdict.is_trusted() {
                view.problems = vec![format!("the key {} has not signed it", file.display())];
            }
            view.signatures = verdict.signatures.iter().map(evaluated).collect();
        }
        RequiredSigner::Policy(policy) => {
            view.evaluated(&policy.evaluate(pack, &Installed::default()))
        }
        RequiredSigner::Config(policy, admission) => {
            view.evaluated(&policy.evaluate(pack, &admission.installed));
            // Upgrades that ask for more wait for an answer, whoever signed them.
            if let Err(error @ GateError::OpenRequests { .. }) = admission.open(path, false) {
                view.problems.push(error.to_string());
            }
        }
    }
    view
}

fn unjudged(file: &str, bytes: &[u8]) -> SignatureView {
    let signature = yagura_packs::sign::Signature::parse(bytes);
    let (key, finding) = match (signature, file.ends_with(".minisig")) {
        (Ok(signature), true) => (
            Some(signature.key_id().to_string()),
            "not checked: no key was given".to_owned(),
        ),
        (Err(problem), true) => (None, problem.to_string()),
        (_, false) => (None, "a keyless bundle, not checked".to_owned()),
    };
    SignatureView {
        file: file.to_owned(),
        key,
        finding,
    }
}

fn evaluated(signature: &CheckedSignature) -> SignatureView {
    let finding = match &signature.finding {
        SignatureStatus::Valid(key) => format!("valid, by `{key}`"),
        SignatureStatus::UnknownKey => "by a key that is not known here".to_owned(),
        SignatureStatus::OutOfScope(key) => {
            format!("valid, by `{key}`, which may not sign this pack")
        }
        SignatureStatus::Broken(problem) => problem.to_string(),
        SignatureStatus::UnknownIdentity { identity, issuer } => {
            format!("valid, by {identity} ({issuer}), who is not known here")
        }
        SignatureStatus::NotChecked => {
            "a keyless bundle, which this program was built without".to_owned()
        }
    };
    SignatureView {
        file: signature.file.to_string(),
        key: signature.key_id.map(|id| id.to_string()),
        finding,
    }
}

fn text(view: &VerifiedPackView, out: &mut impl Write) -> Result<()> {
    let path = view.path.display();
    if view.pack.is_empty() {
        writeln!(out, "{path}: not what it should be")?;
    } else {
        let (pack, version) = (&view.pack, &view.version);
        let files = count(view.files as u64, "file", "files");
        writeln!(
            out,
            "{path}: {pack} {version}, {files} as listed, {}",
            view.digest
        )?;
    }
    for signature in &view.signatures {
        let key = signature.key.as_deref().unwrap_or("-");
        writeln!(
            out,
            "  {} (key {key}): {}",
            signature.file,
            printable(&signature.finding)
        )?;
    }
    if view.signatures.is_empty() && !view.pack.is_empty() {
        writeln!(out, "  no signature")?;
    }
    for problem in &view.problems {
        for line in problem.lines() {
            writeln!(out, "  problem: {}", printable(line))?;
        }
    }
    if view.trusted == Some(true) {
        writeln!(out, "  trusted")?;
    }
    Ok(())
}
