//! Reports whose events lie in arrays: one event for each element.

use super::event::{Member, elements, members};

/// What becomes of an event with arrays of events.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Elements {
    /// It has no element there.
    None,
    /// Each element, with what stands beside the arrays.
    Each(Vec<String>),
    /// All of them would be longer than the limit.
    TooLong,
}

/// Returns for each element of the arrays at a path the event with that element in the array's place, `limit` bytes at most together.
pub(crate) fn elements_at(event: &[Member<'_>], path: &[String], limit: usize) -> Elements {
    let Some((first, rest)) = path.split_first() else {
        return Elements::None;
    };
    let Some(at) = event.iter().position(|(key, _)| key == first) else {
        return Elements::None;
    };
    let value = event[at].1;
    let part = |(index, (key, value)): (usize, &Member<'_>), inside: &str| {
        let value = if index == at { inside } else { *value };
        let key = serde_json::to_string(key.as_ref()).unwrap_or_default();
        format!("{key}:{value}")
    };
    let whole = |inside: &str| {
        let members = event.iter().enumerate();
        let members: Vec<String> = members.map(|member| part(member, inside)).collect();
        format!("{{{}}}", members.join(","))
    };
    let beside = whole("").len();
    let values = match value.starts_with('[') {
        true => elements(value).unwrap_or_default(),
        false => vec![value],
    };
    let mut found = Vec::new();
    let mut left = limit;
    let mut add = |inside: &str| {
        let length = beside + inside.len();
        let is_within = length <= left;
        if is_within {
            left -= length;
            found.push(whole(inside));
        }
        is_within
    };
    for value in values {
        let below = match rest {
            [] => Elements::None,
            rest => match members(value) {
                Ok(members) if value.starts_with('{') => elements_at(&members, rest, limit),
                _ => Elements::None,
            },
        };
        let is_within = match below {
            Elements::Each(below) => below.iter().all(|inside| add(inside)),
            Elements::None => add(value),
            Elements::TooLong => false,
        };
        if !is_within {
            return Elements::TooLong;
        }
    }
    match found.is_empty() {
        true => Elements::None,
        false => Elements::Each(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_is_an_event_with_what_stands_beside_it() {
        let split = |event: &str, path: &[&str]| {
            let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
            match elements_at(&members(event).unwrap(), &path, 200) {
                Elements::Each(found) => Some(found),
                Elements::None => None,
                Elements::TooLong => panic!("it is short"),
            }
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
        let many = format!(r#"{{"a":"{}","r":[1,2,3]}}"#, "x".repeat(80));
        let path = ["r".to_owned()];
        let many = members(&many).unwrap();
        assert_eq!(elements_at(&many, &path, 200), Elements::TooLong);
        assert!(
            matches!(elements_at(&many, &path, 400), Elements::Each(found) if found.len() == 3)
        );
    }
}
