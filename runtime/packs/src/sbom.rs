//! The software bill of materials of a pack: CycloneDX 1.6 as JSON.
//!
//! Files and plugins come with their digests; what plugins were built from comes from the lock files in their source folders,
//! as far as these are part of the pack. The same pack gives the same bytes: there is no time and no random number in it.

mod locks;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use yagura_core::pack::PluginManifest;

use crate::names::{NameError, PackPath};
use crate::{Contents, Digest, VerifyError};

use locks::LockedLibrary;

/// The file in a pack.
pub const SBOM: &str = "sbom.cdx.json";

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// `pack.toml` cannot be read.
    #[error(transparent)]
    Pack(#[from] VerifyError),
    /// A lock file is not what its name says.
    #[error("{file}: cannot read it as a lock file: {message}")]
    Lock {
        /// The file in the pack.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A lock file names a package that has no package URL.
    #[error("{file}: the package `{name}` has no package URL")]
    PackageUrl {
        /// The file in the pack.
        file: String,
        /// The package.
        name: String,
        /// The cause.
        source: packageurl::Error,
    },
    /// The list has no place.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The list cannot be written.
    #[error("cannot write the list as JSON")]
    Json(#[from] serde_json::Error),
}

/// Makes the list of a pack. The list itself, where the pack has one, is not in it.
///
/// # Errors
/// [`SbomError`] with the file that cannot be read.
pub fn sbom(contents: &Contents) -> Result<Vec<u8>, SbomError> {
    let pack = contents.pack_toml()?;
    let identity = &pack.pack;
    let plugin_of = |path: &str| pack.plugins.iter().find(|plugin| plugin.file == path);
    let own = format!("pack:{}@{}", identity.name, identity.version);

    let mut components = Vec::new();
    let mut libraries: BTreeMap<String, LockedLibrary> = BTreeMap::new();
    let mut edges = Vec::new();
    let mut parts = Vec::new();
    let mut all = Vec::new();
    let files = contents.files.iter();
    for (path, bytes) in files.filter(|(path, _)| path.as_str() != SBOM) {
        let digest = Digest::of(bytes);
        all.extend_from_slice(format!("{digest}  {path}\n").as_bytes());
        let reference = format!("file:{path}");
        let plugin = plugin_of(path.as_str());
        components.push(file(path, &reference, &digest, plugin));
        if let Some(plugin) = plugin {
            let mut needs = Vec::new();
            for (purl, package) in packages(contents, plugin)? {
                needs.push(purl.clone());
                libraries.insert(purl, package);
            }
            needs.sort();
            needs.dedup();
            edges.push(json!({ "ref": reference, "dependsOn": needs }));
        }
        parts.push(reference);
    }
    components.extend(
        libraries
            .iter()
            .map(|(purl, package)| package.component(purl)),
    );
    edges.insert(0, json!({ "ref": own, "dependsOn": parts }));

    let mut subject = json!({
        "type": "application",
        "bom-ref": own,
        "name": identity.name,
        "version": identity.version,
    });
    if !identity.description.is_empty() {
        subject["description"] = identity.description.clone().into();
    }
    if !identity.license.is_empty() {
        subject["licenses"] = json!([{ "expression": identity.license }]);
    }
    let people = identity.maintainers.iter();
    let people: Vec<Value> = people.map(|name| json!({ "name": name })).collect();
    if !people.is_empty() {
        subject["authors"] = people.into();
    }
    let needs = identity.dependencies.iter();
    let needs =
        needs.map(|(name, versions)| property("yagura:requires", &format!("{name} {versions}")));
    let needs: Vec<Value> = needs.collect();
    if !needs.is_empty() {
        subject["properties"] = needs.into();
    }
    let bom = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(&Digest::of(&all)),
        "version": 1,
        "metadata": {
            "tools": { "components": [{
                "type": "application",
                "name": "yagura",
                "version": env!("CARGO_PKG_VERSION"),
            }]},
            "component": subject,
        },
        "components": components,
        "dependencies": edges,
    });
    let mut text = serde_json::to_vec_pretty(&bom)?;
    text.push(b'\n');
    Ok(text)
}

impl Contents {
    /// Makes the list anew and puts it into the pack as [`SBOM`]; to be done before it is sealed.
    ///
    /// # Errors
    /// As [`sbom`].
    pub fn add_sbom(&mut self) -> Result<(), SbomError> {
        let text = sbom(self)?;
        self.files.insert(PackPath::parse(SBOM)?, text);
        Ok(())
    }
}

fn file(
    path: &PackPath,
    reference: &str,
    digest: &Digest,
    plugin: Option<&PluginManifest>,
) -> Value {
    let mut component = json!({
        "type": if plugin.is_some() { "application" } else { "file" },
        "bom-ref": reference,
        "name": path.as_str(),
        "hashes": [hash(&digest.to_string())],
    });
    if let Some(plugin) = plugin {
        component["mime-type"] = "application/wasm".into();
        component["properties"] = json!([property("yagura:world", plugin.world.name())]);
    }
    component
}

/// Returns the packages that the lock files in a plugin's source folder name, with their package URLs, in order.
fn packages(
    contents: &Contents,
    plugin: &PluginManifest,
) -> Result<Vec<(String, LockedLibrary)>, SbomError> {
    let Some(source) = plugin.source.as_deref().and_then(Path::to_str) else {
        return Ok(Vec::new());
    };
    let folder = format!("{}/", source.trim_start_matches("./").trim_end_matches('/'));
    let mut packages = Vec::new();
    for (path, bytes) in &contents.files {
        let Some(name) = path.as_str().strip_prefix(&folder) else {
            continue;
        };
        let text = String::from_utf8_lossy(bytes);
        let read = locks::read(name, &text, |other| {
            contents
                .files
                .contains_key(format!("{folder}{other}").as_str())
        });
        let read = read.map_err(|error| SbomError::Lock {
            file: path.to_string(),
            message: error.message().to_owned(),
        })?;
        for package in read {
            let purl = package.purl().map_err(|source| SbomError::PackageUrl {
                file: path.to_string(),
                name: package.name.clone(),
                source,
            })?;
            packages.push((purl, package));
        }
    }
    Ok(packages)
}

fn hash(digest: &str) -> Value {
    json!({ "alg": "SHA-256", "content": digest })
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

/// Returns a serial number that follows from what is listed: a UUID of version 8, RFC 9562.
fn serial(digest: &Digest) -> String {
    let hex = digest.to_string();
    let variant = match hex.as_bytes()[16] {
        b'0'..=b'3' => '8',
        b'4'..=b'7' => '9',
        b'8'..=b'9' | b'a'..=b'b' => 'a',
        _ => 'b',
    };
    format!(
        "urn:uuid:{}-{}-8{}-{variant}{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pack_dir;

    const TOML: &str = "[pack]\nname = \"demo\"\nversion = \"1.2.0\"\napi = \"0.1.0\"\nlicense = \"MIT\"\nmaintainers = [\"A\"]\n\
        [pack.dependencies]\naws = \"^1\"\n\
        [[plugin]]\nfile = \"r.wasm\"\nworld = \"detector\"\nsource = \"r\"\n\
        [[plugin]]\nfile = \"g.wasm\"\nworld = \"enricher\"\nsource = \"./g/\"\n";

    fn contents(files: &[(&str, &str)]) -> Contents {
        let dir = pack_dir(files);
        crate::testing::write(dir.path(), "pack.toml", TOML);
        Contents::read_dir(dir.path(), &crate::Bounds::default()).unwrap()
    }

    #[test]
    fn files_plugins_and_what_they_were_built_from_are_listed() {
        let cargo = "version = 4\n[[package]]\nname = \"serde\"\nversion = \"1.0.0+x\"\n\
             source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
             checksum = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";
        let mut contents = contents(&[
            ("r.wasm", "\0asm"),
            ("g.wasm", "\0asm"),
            ("r/Cargo.lock", cargo),
            (
                "g/go.sum",
                "example.org/m v1.2.3 h1:abc=\nexample.org/m v1.2.3/go.mod h1:def=\n",
            ),
            ("rules/a.toml", "a"),
        ]);
        contents.add_sbom().unwrap();
        let bytes = contents.files[SBOM].clone();
        // The list is not in the list, so making it again changes nothing.
        contents.add_sbom().unwrap();
        assert_eq!(contents.files[SBOM], bytes);

        let bom: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(bom["specVersion"], "1.6");
        assert_eq!(
            bom["metadata"]["component"]["licenses"][0]["expression"],
            "MIT"
        );
        assert_eq!(
            bom["metadata"]["component"]["properties"][0]["value"],
            "aws ^1"
        );
        let components = bom["components"].as_array().unwrap();
        let find = |name: &str| components.iter().find(|c| c["name"] == name).unwrap();
        assert_eq!(find("r.wasm")["type"], "application");
        assert_eq!(find("r.wasm")["properties"][0]["value"], "detector");
        assert_eq!(
            find("r.wasm")["hashes"][0]["content"],
            Digest::of(b"\0asm").to_string()
        );
        assert_eq!(find("rules/a.toml")["type"], "file");
        assert_eq!(find("serde")["purl"], "pkg:cargo/serde@1.0.0%2Bx");
        assert_eq!(
            find("example.org/m")["purl"],
            "pkg:golang/example.org/m@v1.2.3"
        );
        let edges = bom["dependencies"].as_array().unwrap();
        let edge = |name: &str| edges.iter().find(|edge| edge["ref"] == name).unwrap();
        assert_eq!(
            edge("file:g.wasm")["dependsOn"][0],
            "pkg:golang/example.org/m@v1.2.3"
        );
        let serial = bom["serialNumber"].as_str().unwrap();
        assert!(
            serial.starts_with("urn:uuid:") && serial.len() == 45,
            "{serial}"
        );
    }

    #[test]
    fn a_lock_file_that_cannot_be_read_is_named() {
        let error = sbom(&contents(&[("r.wasm", ""), ("r/Cargo.lock", "not toml")])).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("r/Cargo.lock: cannot read it as a lock file")
        );
    }
}
