//! How long it takes to verify a pack of 3,000 rules: from the directory, and from the archive. `cargo bench -p yagura-packs`.
//!
//! The whole way is measured: files read, names checked, digests compared, `pack.toml` read, signature and policy evaluated.

#![expect(clippy::print_stdout, reason = "the figures are the result")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use yagura_packs::sign::{self, SecretKey};
use yagura_packs::{Bounds, Contents, Installed, TrustPolicy, archive};

const RULES: usize = 3_000;
const ROUNDS: usize = 21;

fn main() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path().join("pack");
    write_pack(&dir);
    let bounds = Bounds::default();
    let made = sign::keygen(&work.path().join("bench"), None).unwrap();
    let secret = SecretKey::read(&made.secret_file, None).unwrap();
    let mut contents = Contents::read_dir(&dir, &bounds).unwrap();
    contents.seal();
    let mut pack = contents.verify().unwrap();
    sign::sign(&mut pack, &secret, None).unwrap();
    pack.contents().write_seal(&dir, &bounds).unwrap();
    let file = work.path().join("pack.tar.zst");
    archive::write_file(pack.contents(), &file, &bounds).unwrap();
    let policy = format!(
        "[[key]]\nname = \"bench\"\npublic = \"{}\"\npacks = [\"*\"]\n",
        made.public
    );
    let policy = TrustPolicy::parse(Path::new("trust.toml"), &policy).unwrap();
    let installed = Installed::default();
    let evaluate = |contents: Contents| {
        let pack = contents.verify().unwrap();
        assert!(policy.evaluate(&pack, &installed).is_trusted());
    };

    let bytes: u64 = pack
        .contents()
        .files
        .values()
        .map(|bytes| bytes.len() as u64)
        .sum();
    let packed = fs::metadata(&file).unwrap().len();
    println!(
        "{RULES} rules, {bytes} bytes in files, {packed} bytes in the archive, {ROUNDS} rounds"
    );
    measure("directory", || {
        evaluate(Contents::read_dir(&dir, &bounds).unwrap())
    });
    measure("archive", || {
        evaluate(archive::read_file(&file, &bounds).unwrap())
    });
}

fn measure(what: &str, run: impl Fn()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "{what}: median {:.1} ms, least {:.1} ms, most {:.1} ms",
        times[ROUNDS / 2].as_secs_f64() * 1e3,
        times[0].as_secs_f64() * 1e3,
        times[ROUNDS - 1].as_secs_f64() * 1e3
    );
}

/// Writes rules of some 1,100 bytes each with a line of test events beside every one, in thirty folders.
fn write_pack(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let toml = "[pack]\nname = \"bench\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n";
    fs::write(dir.join("pack.toml"), toml).unwrap();
    for number in 0..RULES {
        let folder = dir.join(format!("rules/folder-{}", number % 30));
        fs::create_dir_all(&folder).unwrap();
        let mut text = format!(
            "[rule]\nid = \"rule-{number}\"\ntitle = \"Rule {number}\"\nseverity = \"high\"\ntable = \"aws_cloudtrail\"\nwhere = \"\"\"\n"
        );
        for part in 0..16 {
            let value = (number * 31 + part * 7_919) % 100_003;
            writeln!(
                text,
                "  event_name = 'Operation{value}' AND user_name <> 'user-{value}' OR"
            )
            .unwrap();
        }
        text.push_str("  FALSE\n\"\"\"\n");
        fs::write(folder.join(format!("rule-{number}.toml")), text).unwrap();
    }
}
