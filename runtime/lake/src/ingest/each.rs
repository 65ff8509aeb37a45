//! Reports whose events lie in arrays: one event for each element.

use super::event::{Member, elements, members};

/// Returns for each element of the arrays at a path the event with that element in the array's place; nothing where the event has no
/// element there.
pub(crate) fn elements_at(event: &[Member<'_>], path: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let at = event.iter().position(|(key, _)| key == first)?;
    let value = event[at].1;
    let whole = |inside: &str| {
        let members = event.iter().enumerate().map(|(index, (key, value))| {
            let value = if index == at { inside } else { *value };
            let key = serde_json::to_string(key.as_ref()).unwrap_or_default();
            format!("{key}:{value}")
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    let values = match value.starts_with('[') {
        true => elements(value).ok()?,
        false => vec![value],
    };
    let mut found = Vec::new();
    for value in values {
        let below = match rest {
            [] => None,
            rest if value.starts_with('{') => elements_at(&members(value).ok()?, rest),
            _ => None,
        };
        match below {
            Some(below) => found.extend(below.iter().map(|inside| whole(inside))),
            None => found.push(whole(value)),
        }
    }
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_is_an_event_with_what_stands_beside_it() {
        let split = |event: &str, path: &[&str]| {
            let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
            elements_at(&members(event).unwrap(), &path)
        };
        let event = r#"{"a":1,"r":[{"t":"x","v":[{"n":1},{"n":2}]},{"t":"y","v":[]},{"t":"z"}]}"#;
        assert_eq!(
            split(event, &["r", "v"]).unwrap(),
            [
                r#"{"a":1,"r":{"t":"x","v":{"n":1}}}"#,
                r#"{"a":1,"r":{"t":"x","v":{"n":2}}}"#,
                r#"{"a":1,"r":{"t":"y","v":[]}}"#,
                r#"{"a":1,"r":{"t":"z"}}"#,
            ]
        );
        assert_eq!(split(event, &["r"]).unwrap().len(), 3);
        assert_eq!(split(r#"{"r":[]}"#, &["r"]), None);
        assert_eq!(split(event, &["q"]), None);
    }
}
