//! Reports whose events lie in arrays: one event for each element.
//!
//! ```text
//! {"at": 1, "hosts": [{"name": "a", "rules": [R, S], "findings": [F, G]}]}     each = "hosts.findings"
//!   ──▶ {"at": 1, "hosts": {"name": "a", "rules": [R, S], "findings": F}}, and the same with G
//!   ──▶ … "rules": R, "findings": F …, if `rules` stands apart and F names R; and once {… "name": "a", "rules": [R, S]}
//! ```

use std::borrow::Cow;
use std::collections::HashMap;

use yagura_core::FieldPath;

use super::event::{Member, elements, members, text_of};

/// Where the events of a report lie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Each {
    root: Node,
    /// As they are written.
    paths: Vec<FieldPath>,
    apart: Vec<Vec<String>>,
}

/// A part of a report that would be too much to be repeated in each event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// The path of the part.
    pub path: FieldPath,
    /// Where in an element of the part the name is by which events refer to it; empty if none of it is wanted in the events.
    pub key: Option<FieldPath>,
    /// Where in the events this name is, the best place first.
    pub by: Vec<FieldPath>,
}

/// What is done with an object of a report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    /// Keys below which events lie.
    below: Vec<(String, Node)>,
    /// Parts of the object that stand apart, with paths from the object on.
    apart: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    path: Vec<String>,
    key: Vec<String>,
    by: Vec<Vec<String>>,
}

impl Each {
    /// Returns what splits reports at these paths; nothing without one.
    pub fn new(paths: &[FieldPath], apart: &[Apart]) -> Option<Self> {
        let mut root = Node::default();
        for path in paths {
            let mut node = &mut root;
            for key in path.segments() {
                node = node.at(key);
            }
        }
        for part in apart {
            root.add(part, 0);
        }
        (!paths.is_empty()).then(|| Self {
            root,
            paths: paths.to_vec(),
            apart: apart
                .iter()
                .map(|part| part.path.segments().to_vec())
                .collect(),
        })
    }

    /// Returns the paths, for messages: `hosts.findings`.
    pub(crate) fn shown(&self) -> String {
        let paths: Vec<String> = self.paths.iter().map(|path| format!("`{path}`")).collect();
        paths.join(", ")
    }

    /// Returns the paths as keys from the outermost on.
    pub(crate) fn keys(&self) -> Vec<Vec<String>> {
        self.paths
            .iter()
            .map(|path| path.segments().to_vec())
            .collect()
    }

    /// Returns the paths of what stands apart, in the same way.
    pub(crate) fn apart(&self) -> Vec<Vec<String>> {
        self.apart.clone()
    }
}

impl Node {
    fn at(&mut self, key: &str) -> &mut Self {
        let at = self.below.iter().position(|(known, _)| known == key);
        let at = at.unwrap_or_else(|| {
            self.below.push((key.to_owned(), Self::default()));
            self.below.len() - 1
        });
        &mut self.below[at].1
    }

    /// Puts a part where its path leaves those of the events.
    fn add(&mut self, part: &Apart, depth: usize) {
        let path = part.path.segments();
        let Some(first) = path.get(depth) else {
            return;
        };
        if let Some((_, below)) = self.below.iter_mut().find(|(key, _)| key == first) {
            return below.add(part, depth + 1);
        }
        let of = |path: &FieldPath| path.segments().get(depth..).unwrap_or_default().to_vec();
        self.apart.push(Part {
            path: of(&part.path),
            key: part
                .key
                .as_ref()
                .map(|key| key.segments().to_vec())
                .unwrap_or_default(),
            by: part.by.iter().map(of).filter(|by| !by.is_empty()).collect(),
        });
    }
}

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

/// Returns for each element of the arrays the event with that element in the array's place, `limit` bytes at most together.
pub(crate) fn elements_at(event: &[Member<'_>], each: &Each, limit: usize) -> Elements {
    let mut left = limit;
    match split(event, &each.root, &mut left) {
        None => Elements::TooLong,
        Some(found) if found.is_empty() => Elements::None,
        Some(found) => Elements::Each(found),
    }
}

/// Returns the events of an object; none if nothing lies at the paths, and `None` if they are too long.
fn split(object: &[Member<'_>], node: &Node, left: &mut usize) -> Option<Vec<String>> {
    let mut found = Vec::new();
    // The first member of a name is the one that counts.
    let mut seen: Vec<&str> = Vec::new();
    let below = object.iter().map(|(key, _)| {
        let (known, inner) = node.below.iter().find(|(known, _)| known == key)?;
        let is_again = seen.contains(&known.as_str());
        seen.push(known);
        (!is_again).then_some(inner)
    });
    let below: Vec<Option<&Node>> = below.collect();
    let slots = Slots::new(object, node);
    for at in 0..object.len() {
        let Some(inner) = below[at] else { continue };
        let value = object[at].1;
        let values = match value.starts_with('[') {
            true => elements(value).unwrap_or_default(),
            false if value == "null" => Vec::new(),
            false => vec![value],
        };
        for value in values {
            let mut insides = match (
                inner.below.is_empty() && inner.apart.is_empty(),
                members(value),
            ) {
                (false, Ok(members)) if value.starts_with('{') => split(&members, inner, left)?,
                _ => Vec::new(),
            };
            if insides.is_empty() {
                insides.push(value.to_owned());
            }
            for inside in insides {
                let filled = slots.filled(object, Some((at, &inside)));
                let others =
                    (0..object.len()).filter(|other| *other == at || below[*other].is_none());
                let whole = whole(object, others, |other| match other == at {
                    true => Cow::Borrowed(inside.as_str()),
                    false => filled
                        .get(&other)
                        .map_or(Cow::Borrowed(object[other].1), |text| text.as_str().into()),
                });
                *left = left.checked_sub(whole.len())?;
                found.push(whole);
            }
        }
    }
    if !found.is_empty() && !slots.0.is_empty() {
        let others = (0..object.len()).filter(|other| below[*other].is_none());
        let rest = whole(object, others, |other| Cow::Borrowed(object[other].1));
        *left = left.checked_sub(rest.len())?;
        found.push(rest);
    }
    Some(found)
}

fn whole<'o>(
    object: &[Member<'_>],
    members: impl Iterator<Item = usize>,
    value: impl Fn(usize) -> Cow<'o, str>,
) -> String {
    let mut text = String::from("{");
    for at in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(object[at].0.as_ref()).unwrap_or_default());
        text.push(':');
        text.push_str(&value(at));
    }
    text.push('}');
    text
}

/// Parts of an object that stand apart: the member that each is in, and its place in the member's text.
struct Slots<'o>(Vec<Slot<'o>>);

struct Slot<'o> {
    member: usize,
    start: usize,
    end: usize,
    by: &'o [Vec<String>],
    /// Its elements by their name.
    elements: HashMap<String, &'o str>,
}

impl<'o> Slots<'o> {
    fn new(object: &'o [Member<'_>], node: &'o Node) -> Self {
        let mut slots = Vec::new();
        for part in &node.apart {
            let member = (0..object.len())
                .find(|at| Some(object[*at].0.as_ref()) == part.path.first().map(String::as_str));
            let Some(member) = member else {
                continue;
            };
            let outer = object[member].1;
            let Some(value) = value_at(outer, &part.path[1..]) else {
                continue;
            };
            let start = value.as_ptr() as usize - outer.as_ptr() as usize;
            let mut found = HashMap::new();
            if !part.key.is_empty() {
                for element in elements(value).unwrap_or_default() {
                    if let Some(key) = value_at(element, &part.key) {
                        found.entry(text_of(key).into_owned()).or_insert(element);
                    }
                }
            }
            slots.push(Slot {
                member,
                start,
                end: start + value.len(),
                by: &part.by,
                elements: found,
            });
        }
        slots.sort_by_key(|slot| (slot.member, slot.start));
        Self(slots)
    }

    /// Returns the members with parts that stand apart, as they are beside an event: of each part the element that the event names.
    fn filled(
        &self,
        object: &[Member<'_>],
        event: Option<(usize, &str)>,
    ) -> HashMap<usize, String> {
        let mut filled: HashMap<usize, String> = HashMap::new();
        let mut ends: HashMap<usize, usize> = HashMap::new();
        for slot in &self.0 {
            let outer = object[slot.member].1;
            let end = ends.entry(slot.member).or_default();
            // One part within another one.
            if slot.start < *end {
                continue;
            }
            let text = filled.entry(slot.member).or_default();
            text.push_str(&outer[*end..slot.start]);
            text.push_str(slot.named(object, event).unwrap_or("null"));
            *end = slot.end;
        }
        for (member, text) in &mut filled {
            text.push_str(&object[*member].1[ends[member]..]);
        }
        filled
    }
}

impl<'o> Slot<'o> {
    fn named(&self, object: &[Member<'_>], event: Option<(usize, &str)>) -> Option<&'o str> {
        let names = self.by.iter().filter_map(|path| {
            let (first, rest) = path.split_first()?;
            let at = object.iter().position(|(key, _)| key == first)?;
            let value = match event {
                Some((place, inside)) if place == at => inside,
                _ => object[at].1,
            };
            Some(text_of(value_at(value, rest)?).into_owned())
        });
        names
            .filter_map(|name| self.elements.get(&name).copied())
            .next()
    }
}

/// Returns the text at a path of keys, and of places in arrays; nothing where there is none or `null`.
fn value_at<'t>(text: &'t str, path: &[String]) -> Option<&'t str> {
    let Some((first, rest)) = path.split_first() else {
        return (text != "null").then_some(text);
    };
    let inner = match text.as_bytes().first()? {
        b'{' => {
            members(text)
                .ok()?
                .into_iter()
                .find(|(key, _)| key == first)?
                .1
        }
        b'[' => elements(text).ok()?.into_iter().nth(first.parse().ok()?)?,
        _ => return None,
    };
    value_at(inner, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Vec<FieldPath> {
        paths.iter().map(|path| path.parse().unwrap()).collect()
    }

    fn split_at(event: &str, at: &[&str], apart: &[Apart], limit: usize) -> Elements {
        elements_at(
            &members(event).unwrap(),
            &Each::new(&paths(at), apart).unwrap(),
            limit,
        )
    }

    #[test]
    fn each_element_is_an_event_with_what_stands_beside_it() {
        let split = |event: &str, path: &str| match split_at(event, &[path], &[], 1_000) {
            Elements::Each(found) => Some(found),
            Elements::None => None,
            Elements::TooLong => panic!("{event}"),
        };
        let event =
            r#"{"a":1,"r":[{"t":"x","v":[{"i":1},{"i":2}]},{"t":"y","v":[]},{"t":"z"}],"b":"]"}"#;
        assert_eq!(
            split(event, "r.v").unwrap(),
            [
                r#"{"a":1,"r":{"t":"x","v":{"i":1}},"b":"]"}"#,
                r#"{"a":1,"r":{"t":"x","v":{"i":2}},"b":"]"}"#,
                r#"{"a":1,"r":{"t":"y","v":[]},"b":"]"}"#,
                r#"{"a":1,"r":{"t":"z"},"b":"]"}"#,
            ]
        );
        assert_eq!(split(event, "r").unwrap().len(), 3);
        assert_eq!(split(r#"{"r":[]}"#, "r"), None);
        assert_eq!(split(event, "q"), None);
        // Of equal keys the first one is split, and the other stays.
        assert_eq!(
            split(r#"{"r":[1],"r":[2]}"#, "r").unwrap(),
            [r#"{"r":1,"r":[2]}"#]
        );
        let many = format!(r#"{{"a":"{}","r":[1,2,3]}}"#, "x".repeat(80));
        assert_eq!(split_at(&many, &["r"], &[], 200), Elements::TooLong);
        assert!(
            matches!(split_at(&many, &["r"], &[], 400), Elements::Each(found) if found.len() == 3)
        );
    }

    #[test]
    fn arrays_of_several_paths_are_left_out_of_each_others_events() {
        let event =
            r#"{"a":1,"r":[{"t":"x","v":[1,2],"w":[3]},{"t":"y","v":null}],"w":{"r":[{"v":[4]}]}}"#;
        let found = split_at(event, &["r.v", "r.w", "w.r.v"], &[], 1_000);
        let expected = [
            r#"{"a":1,"r":{"t":"x","v":1}}"#,
            r#"{"a":1,"r":{"t":"x","v":2}}"#,
            r#"{"a":1,"r":{"t":"x","w":3}}"#,
            r#"{"a":1,"r":{"t":"y","v":null}}"#,
            r#"{"a":1,"w":{"r":{"v":4}}}"#,
        ];
        assert_eq!(found, Elements::Each(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_stands_apart_is_in_one_event_and_its_elements_where_they_are_named() {
        let apart = [
            Apart {
                path: "runs.tool.rules".parse().unwrap(),
                key: Some("id".parse().unwrap()),
                by: paths(&["runs.results.rule", "runs.results.other.0.id"]),
            },
            Apart {
                path: "runs.files".parse().unwrap(),
                key: None,
                by: Vec::new(),
            },
        ];
        let event = r#"{"runs":[{"tool":{"n":"t","rules":[{"id":"A","x":1},{"id":"B"}],"z":0},"files":["f","g"],
            "results":[{"rule":"A"},{"rule":"C"},{"other":[{"id":"B"}]}]},{"results":[{"rule":"A"}]}]}"#;
        let found = split_at(event, &["runs.results"], &apart, 2_000);
        let expected = [
            r#"{"runs":{"tool":{"n":"t","rules":{"id":"A","x":1},"z":0},"files":null,"results":{"rule":"A"}}}"#,
            r#"{"runs":{"tool":{"n":"t","rules":null,"z":0},"files":null,"results":{"rule":"C"}}}"#,
            r#"{"runs":{"tool":{"n":"t","rules":{"id":"B"},"z":0},"files":null,"results":{"other":[{"id":"B"}]}}}"#,
            r#"{"runs":{"tool":{"n":"t","rules":[{"id":"A","x":1},{"id":"B"}],"z":0},"files":["f","g"]}}"#,
            r#"{"runs":{"results":{"rule":"A"}}}"#,
        ];
        assert_eq!(found, Elements::Each(expected.map(str::to_owned).to_vec()));
    }
}
