//! The pack's enricher. `cargo test` runs it natively; `yagura build ..` makes a component of it.

use yagura_sdk::prelude::*;

/// Asks an inventory who owns the hosts of an alert.
struct Owner {
    inventory: String,
}

impl Enricher for Owner {
    // `[plugin.config]`: a wrong key or type is an error before the first alert.
    fn open(config: &Config) -> Result<Self, PluginError> {
        config.only(&["inventory"])?;
        Ok(Self {
            inventory: config.required_text("inventory")?,
        })
    }

    // Called again after each delay that the operator chose: logs arrive late.
    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
        for host in alert.observables_of(Observable::Host) {
            // Encoding keeps what an attacker named a host from being more than a name.
            let answer = http::get(format!("{}/hosts/{}", self.inventory, http::encode(host)))
                .header("Authorization", "Bearer {{secret:inventory}}")
                .send()?;
            if answer.status == 404 {
                continue;
            }
            let answer = answer.success()?;
            let owner = answer.json()?.get("owner").and_then(Json::text);
            found.attribute(&format!("owner of {host}"), owner, "inventory");
        }
        Ok(())
    }
}

yagura_sdk::enricher!(Owner);

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_sdk::testing::{Answer, Host, alert, enrich};

    #[test]
    fn the_owner_is_asked_for() {
        let place = "GET https://inventory.example.com/hosts";
        let host = Host::new()
            .answers(
                &format!("{place}/web%201"),
                Answer::json(200, r#"{"owner": "shop"}"#),
            )
            .answers(&format!("{place}/lost"), Answer::text(404, ""));
        let about = alert()
            .observable(Observable::Host, "web 1")
            .observable(Observable::Host, "lost")
            .build();
        let found =
            enrich::<Owner>(r#"{"inventory": "https://inventory.example.com"}"#, &about).unwrap();
        assert_eq!(found.attributes.len(), 1);
        assert_eq!(found.attributes[0].value, "shop");
        // The host fills the secret in; a plugin never sees it.
        assert_eq!(
            host.requests()[0].header("authorization"),
            Some("Bearer {{secret:inventory}}")
        );
    }
}
