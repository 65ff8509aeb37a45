//! A receiver of the generic webhook.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Reply, Seen, Service};

/// A receiver that takes only what is signed, and each key once.
#[derive(Debug)]
pub struct Webhook {
    secret: Option<String>,
    /// Reports by their idempotency key.
    pub reports: BTreeMap<String, Value>,
    /// How often a key came that was there.
    pub repeated: usize,
}

impl Webhook {
    /// A receiver that checks signatures with this secret, or none.
    pub fn new(secret: Option<&str>) -> Self {
        Self {
            secret: secret.map(str::to_owned),
            reports: BTreeMap::new(),
            repeated: 0,
        }
    }
}

impl Service for Webhook {
    fn answer(&mut self, request: &Seen) -> Reply {
        if request.method != "POST" {
            return Reply::text(405, "");
        }
        if let Some(secret) = &self.secret {
            let signature = format!("sha256={}", hmac(secret.as_bytes(), &request.body));
            if request.header("x-yagura-signature") != Some(&signature) {
                return Reply::text(401, "the signature is wrong");
            }
        }
        let (Some(key), report) = (request.header("idempotency-key"), request.json()) else {
            return Reply::text(400, "there is no key");
        };
        if report.is_null() {
            return Reply::text(400, "the body is no JSON");
        }
        if self.reports.insert(key.to_owned(), report).is_some() {
            self.repeated += 1;
        }
        Reply::text(204, "")
    }
}

/// HMAC-SHA256 in hexadecimal: RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    /// RFC 4231, test case 2, and case 6, whose key is longer than a block.
    #[test]
    fn hmac_is_that_of_the_rfc() {
        assert_eq!(
            super::hmac(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            super::hmac(
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            ),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
