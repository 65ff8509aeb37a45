//! The pack's reviewer. `cargo test` runs it natively; `yagura build ..` makes a component of it.

use yagura_sdk::prelude::*;

/// Assesses what our own scanners do as benign.
struct Scanners {
    scanners: Vec<String>,
}

impl Reviewer for Scanners {
    // `[plugin.config]`: a wrong key or type is an error before the first alert.
    fn open(config: &Config) -> Result<Self, PluginError> {
        config.only(&["scanners"])?;
        Ok(Self {
            scanners: config.strings("scanners")?,
        })
    }

    // Sees the alert and what enrichers found; `None` says nothing about it.
    fn review(&mut self, alert: &Alert, _: &[Attribute]) -> Result<Option<Assessment>, PluginError> {
        let scanner = alert
            .observables_of(Observable::Ip)
            .find(|address| self.scanners.iter().any(|known| known == address));
        Ok(scanner.map(|address| Assessment {
            severity: Severity::Info,
            verdict: Verdict::Benign,
            reason: format!("{address} is a scanner of our own"),
        }))
    }
}

yagura_sdk::reviewer!(Scanners);

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_sdk::testing::{alert, review};

    #[test]
    fn a_scanner_of_our_own_is_benign() {
        let config = r#"{"scanners": ["192.0.2.10"]}"#;
        let scan = alert().observable(Observable::Ip, "192.0.2.10").build();
        let assessment = review::<Scanners>(config, &scan, &[]).unwrap().unwrap();
        assert_eq!(assessment.verdict, Verdict::Benign);
        let other = review::<Scanners>(config, &alert().build(), &[]).unwrap();
        assert!(other.is_none());
    }
}
