//! Keyless signatures, with authorities of our own: a certificate for a workflow, in a log of certificates and one of
//! signatures, as `cosign sign-blob` leaves them.

#![cfg(feature = "sigstore")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SigningKey,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use yagura_packs::sign::SignatureProblem;
use yagura_packs::trust::SignatureStatus;
use yagura_packs::{Bounds, Contents, Installed, PackPath, TrustPolicy, VerifiedPack};

const WORKFLOW: &str = "https://ci.example.org/acme/packs/release.yml@refs/heads/main";
const ISSUER: &str = "https://token.example.org";

/// When the workflow of the issuer in a certificate is named, and proofs of a log of certificates.
const OF_ISSUER: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
const OF_PROOFS: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// Everybody whom a trusted root names.
struct Authorities {
    authority: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    certificates: KeyPair,
    signatures: KeyPair,
}

impl Authorities {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            authority: Issuer::new(params, key),
            certificate,
            certificates: KeyPair::generate().unwrap(),
            signatures: KeyPair::generate().unwrap(),
        }
    }

    fn root(&self) -> Value {
        let valid = json!({ "start": "2020-01-01T00:00:00Z" });
        let log = |key: &KeyPair, url: &str| {
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(key.subject_public_key_info()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": valid,
                },
                "logId": { "keyId": STANDARD.encode(id_of(key)) },
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.signatures, "https://signatures.example.org")],
            "ctlogs": [log(&self.certificates, "https://certificates.example.org")],
            "certificateAuthorities": [{
                "subject": { "organization": "example.org", "commonName": "authority" },
                "uri": "https://authority.example.org",
                "certChain": { "certificates": [{ "rawBytes": STANDARD.encode(&self.certificate) }] },
                "validFor": valid,
            }],
        })
    }

    /// Returns a certificate for a workflow, with the proof that it is logged.
    fn certify(&self, key: &KeyPair, workflow: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(7_u64));
        params.subject_alt_names = vec![SanType::URI(workflow.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let mut issuer = vec![0x0c, u8::try_from(ISSUER.len()).unwrap()];
        issuer.extend_from_slice(ISSUER.as_bytes());
        params.custom_extensions = vec![CustomExtension::from_oid_content(&OF_ISSUER, issuer)];
        let unproven = params.signed_by(key, &self.authority).unwrap();

        // What a log of certificates signs: version and kind, time, the authority's key, the certificate without proof.
        let millis = now().to_be_bytes();
        let authority = self.authority.key().subject_public_key_info();
        let mut signed = vec![0, 0];
        signed.extend_from_slice(&millis);
        signed.extend_from_slice(&[0, 1]);
        signed.extend_from_slice(&Sha256::digest(authority));
        let body = body_of(unproven.der());
        signed.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        signed.extend_from_slice(body);
        signed.extend_from_slice(&[0, 0]);
        let signature = self.certificates.sign(&signed).unwrap();

        let mut proof = vec![0];
        proof.extend_from_slice(&id_of(&self.certificates));
        proof.extend_from_slice(&millis);
        proof.extend_from_slice(&[0, 0, 4, 3]);
        proof.extend_from_slice(&length(&signature));
        proof.extend_from_slice(&signature);
        let proof = [&length(&proof)[..], &proof].concat();
        let proofs = [&length(&proof)[..], &proof].concat();
        // Octets, less than 128.
        let content = [&[0x04, u8::try_from(proofs.len()).unwrap()][..], &proofs].concat();
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&OF_PROOFS, content));
        params
            .signed_by(key, &self.authority)
            .unwrap()
            .der()
            .to_vec()
    }

    /// Returns a bundle: the workflow's signature over these bytes, logged.
    fn bundle(&self, bytes: &[u8], workflow: &str) -> Value {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certify(&key, workflow);
        let signature = STANDARD.encode(key.sign(bytes).unwrap());
        let digest = Sha256::digest(bytes);
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(&certificate)
        );
        let entry = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": hex(&digest) } },
                "signature": { "content": signature, "publicKey": { "content": STANDARD.encode(pem) } },
            },
        });
        let entry = entry.to_string();
        // A log of this entry alone: its hash is the tree's.
        let root = Sha256::digest([&[0][..], entry.as_bytes()].concat());
        let head = format!("signatures.example.org\n1\n{}\n", STANDARD.encode(root));
        let id = id_of(&self.signatures);
        let noted = [&id[..4], &self.signatures.sign(head.as_bytes()).unwrap()].concat();
        let head = format!(
            "{head}\n\u{2014} signatures.example.org {}\n",
            STANDARD.encode(noted)
        );
        let seconds = i64::try_from(now() / 1_000).unwrap();
        let promised = format!(
            "{{\"body\":\"{}\",\"integratedTime\":{seconds},\"logID\":\"{}\",\"logIndex\":0}}",
            STANDARD.encode(&entry),
            hex(&id)
        );
        let promise = self.signatures.sign(promised.as_bytes()).unwrap();
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": { "rawBytes": STANDARD.encode(&certificate) },
                "tlogEntries": [{
                    "logIndex": "0",
                    "logId": { "keyId": STANDARD.encode(id) },
                    "kindVersion": { "kind": "hashedrekord", "version": "0.0.1" },
                    "integratedTime": seconds.to_string(),
                    "inclusionPromise": { "signedEntryTimestamp": STANDARD.encode(promise) },
                    "inclusionProof": {
                        "logIndex": "0",
                        "rootHash": STANDARD.encode(root),
                        "treeSize": "1",
                        "hashes": [],
                        "checkpoint": { "envelope": head },
                    },
                    "canonicalizedBody": STANDARD.encode(&entry),
                }],
            },
            "messageSignature": {
                "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(digest) },
                "signature": signature,
            },
        })
    }
}

/// Returns what of a certificate is signed: the first element of its sequence.
fn body_of(certificate: &[u8]) -> &[u8] {
    let header = |bytes: &[u8]| match bytes[1] {
        0x82 => (4, usize::from(bytes[2]) << 8 | usize::from(bytes[3])),
        0x81 => (3, usize::from(bytes[2])),
        short => (2, usize::from(short)),
    };
    let inner = &certificate[header(certificate).0..];
    let (start, length) = header(inner);
    &inner[..start + length]
}

fn id_of(key: &KeyPair) -> [u8; 32] {
    Sha256::digest(key.subject_public_key_info()).into()
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap().to_be_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn pack(dir: &Path) -> VerifiedPack {
    fs::create_dir_all(dir.join("rules")).unwrap();
    fs::write(
        dir.join("pack.toml"),
        "[pack]\nname = \"demo\"\nversion = \"1.2.0\"\napi = \"0.1.0\"\n",
    )
    .unwrap();
    let mut contents = Contents::read_dir(dir, &Bounds::default()).unwrap();
    contents.seal();
    contents.verify().unwrap()
}

#[test]
fn a_workflow_that_the_policy_names_signs_a_pack_and_nobody_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let authorities = Authorities::new();
    fs::write(dir.path().join("root.json"), authorities.root().to_string()).unwrap();
    let policy = |identity: &str, packs: &str| {
        let text = format!(
            "sigstore_root = \"root.json\"\n[[identity]]\nname = \"release\"\nidentity = \"{identity}\"\nissuer = \"{ISSUER}\"\npacks = [\"{packs}\"]\n"
        );
        TrustPolicy::parse(&dir.path().join("trust.toml"), &text).unwrap()
    };
    let evaluate = |policy: &TrustPolicy, bundle: &Value| {
        let mut pack = pack(&dir.path().join("demo"));
        let name = PackPath::parse("MANIFEST.sha256.sigstore.json").unwrap();
        pack.add_signature(name, bundle.to_string().into_bytes());
        let verdict = policy.evaluate(&pack, &Installed::default());
        let finding = verdict.signatures[0].finding.clone();
        assert_eq!(
            verdict.is_trusted(),
            finding == SignatureStatus::Valid("release".to_owned()),
            "{verdict}"
        );
        finding
    };
    let manifest = pack(&dir.path().join("demo")).manifest().text();
    let good = authorities.bundle(manifest.as_bytes(), WORKFLOW);
    let ours = policy(WORKFLOW, "demo");
    assert_eq!(
        evaluate(&ours, &good),
        SignatureStatus::Valid("release".to_owned())
    );
    assert_eq!(
        evaluate(&policy(WORKFLOW, "other"), &good),
        SignatureStatus::OutOfScope("release".to_owned())
    );
    let mallory = "https://ci.example.org/mallory/packs/release.yml@refs/heads/main";
    assert_eq!(
        evaluate(&ours, &authorities.bundle(manifest.as_bytes(), mallory)),
        SignatureStatus::UnknownIdentity {
            identity: mallory.to_owned(),
            issuer: ISSUER.to_owned()
        }
    );

    // Of other contents, of other authorities, and with any part exchanged or changed.
    let older = authorities.bundle(b"another manifest", WORKFLOW);
    let foreign = Authorities::new().bundle(manifest.as_bytes(), WORKFLOW);
    let mut wrong = vec![
        ("contents", older.clone()),
        ("authorities", foreign.clone()),
    ];
    let entry = "/verificationMaterial/tlogEntries/0";
    for part in [
        "/verificationMaterial/certificate/rawBytes".to_owned(),
        "/messageSignature/signature".to_owned(),
        "/messageSignature/messageDigest/digest".to_owned(),
        format!("{entry}/canonicalizedBody"),
        format!("{entry}/inclusionPromise/signedEntryTimestamp"),
        format!("{entry}/inclusionProof/rootHash"),
        format!("{entry}/inclusionProof/checkpoint/envelope"),
    ] {
        for (other, from) in [("older", &older), ("foreign", &foreign)] {
            let mut changed = good.clone();
            *changed.pointer_mut(&part).unwrap() = from.pointer(&part).unwrap().clone();
            // The digest of the same contents is the same.
            if changed != good {
                wrong.push((other, changed));
            }
        }
    }
    let mut later = good.clone();
    later["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1700000000".into();
    wrong.push(("time", later));
    let mut unlogged = good.clone();
    unlogged["verificationMaterial"]["tlogEntries"] = json!([]);
    wrong.push(("log", unlogged));
    wrong.push(("nothing", json!({})));
    assert_eq!(wrong.len(), 18);
    for (what, bundle) in wrong {
        let finding = evaluate(&ours, &bundle);
        assert!(
            matches!(
                finding,
                SignatureStatus::Broken(SignatureProblem::Keyless(_))
            ),
            "{what}: {finding:?}"
        );
    }
}
