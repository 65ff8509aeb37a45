//! The pack's normalizer. `cargo test` runs it natively; `yagura build ..` makes a component of it.

use yagura_sdk::prelude::*;

/// Reads lines of a time and of fields that begin with their length: `2026-02-03T04:05:06Z 5:lobby,4:open,`.
struct Door;

/// The fields, in their order.
const NAMES: [&str; 4] = ["door", "what", "who", "reader"];

impl Normalizer for Door {
    // `[plugin.config]`: a wrong key or type is an error before the first line.
    fn open(config: &Config) -> Result<Self, PluginError> {
        config.only(&[])?;
        Ok(Self)
    }

    // Gets one line, and adds its events. An error keeps the line among those that cannot be read, with the reason.
    fn parse(&mut self, record: &[u8], events: &mut ParsedEvents) -> Result<(), Malformed> {
        let line = std::str::from_utf8(record)?;
        let (time, mut rest) = line.split_once(' ').ok_or("the line has no time")?;
        let mut event = events.add().text("time", time);
        for name in NAMES {
            let (length, after) = rest.split_once(':').ok_or("a field has no length")?;
            let length: usize = length.parse()?;
            let value = after.get(..length).ok_or("a field ends too early")?;
            rest = after[length..].strip_prefix(',').ok_or("a field has no `,` at its end")?;
            event = event.text(name, value);
        }
        Ok(())
    }
}

yagura_sdk::normalizer!(Door);

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_sdk::testing::parse;

    #[test]
    fn a_field_may_hold_anything() {
        let events = parse::<Door>("{}", "2026-02-03T04:05:06Z 5:lobby,4:open,3:a,b,1:r,").unwrap();
        assert_eq!(
            events,
            [r#"{"time":"2026-02-03T04:05:06Z","door":"lobby","what":"open","who":"a,b","reader":"r"}"#]
        );
    }

    #[test]
    fn a_line_that_is_cut_is_malformed() {
        let error = parse::<Door>("{}", "2026-02-03T04:05:06Z 5:lob").unwrap_err();
        assert!(error.to_string().contains("ends too early"), "{error}");
    }
}
