//! Values inside JSON text by path: the text is walked over once for all paths that anybody asks of it.
//!
//! A path is asked of each event for itself. Its segments lead into nested objects and along dotted keys alike:
//! `process.name` is found in `{"process":{"name":…}}` and in `{"process.name":…}`. Text that itself holds JSON is entered, as
//! policies inside CloudTrail's request parameters need. A key that an object has several times has all of its values.
//!
//! Two segments are not keys. `*` is any key. `[Name]` is for lists of pairs, as Windows events have them in the JSON of many
//! tools: the next segment is the name that an object holds (`@Name`, `Name`, or `Name` below `#attributes`), and the value is what
//! that object holds as its text (`#text`, `Value` and the like).

use std::borrow::Cow;

use hashbrown::HashMap;
use yagura_core::json::{
    Cursor, JsonError, Kind as Json, is_container, members, text_of, unescaped,
};

use crate::predicate::FieldReading;
use crate::prefilter::values::ValueKind;

/// Levels of a document into which paths and searches lead. What lies deeper is compared as the text that it is written in.
const DEPTH: usize = 10_000;
/// Levels between which the stack is looked after.
const LEVELS_OF_STACK: usize = 32;

/// The segment that is any key.
const ANY: &str = "*";
/// The segment that is followed by the name of a pair.
const PAIRS: &str = "[Name]";
/// Where a pair has its name, and where its value.
const PAIR_NAMES: [&str; 3] = ["@Name", "Name", "name"];
const PAIR_ATTRIBUTES: [&str; 4] = ["#attributes", "@attributes", "attributes", "$"];
const PAIR_VALUES: [&str; 8] = [
    "#text", "$text", "text", "Value", "value", "_", "content", "@Value",
];

/// Paths into JSON text, each with a number of the caller's.
#[derive(Debug, Clone, Default)]
pub(crate) struct JsonPaths {
    nodes: Vec<PathNode>,
    /// Those that ask every value, wherever it is.
    anywhere: Vec<usize>,
}

/// A place that paths lead through.
#[derive(Debug, Clone, Default)]
struct PathNode {
    children: HashMap<String, usize>,
    /// Where every key leads, and where pairs lead by their names.
    any: Option<usize>,
    pairs: Option<usize>,
    /// Paths that end here and read the one value, and those that read the members of a list.
    one: Vec<usize>,
    members: Vec<usize>,
    /// Whether a segment below is a number, which may be a place in a list.
    has_places: bool,
    /// Whether a path that enters lists ends here or below.
    enters_lists: bool,
}

impl PathNode {
    fn leads_on(&self) -> bool {
        !self.children.is_empty() || self.any.is_some() || self.pairs.is_some()
    }
}

impl JsonPaths {
    /// Returns the path that ends where it begins, numbered 0: the text as a whole.
    pub(crate) fn root(reading: FieldReading) -> Self {
        let mut paths = Self::default();
        paths.add(0, &[], reading);
        paths
    }

    /// Adds a path.
    pub(crate) fn add(&mut self, id: usize, path: &[String], reading: FieldReading) {
        if self.nodes.is_empty() {
            self.nodes.push(PathNode::default());
        }
        if reading == FieldReading::Anywhere {
            self.anywhere.push(id);
            return;
        }
        let is_members = reading == FieldReading::Members;
        let mut at = 0;
        self.nodes[at].enters_lists |= is_members;
        // A segment with dots leads where its parts lead.
        for segment in path.iter().flat_map(|segment| segment.split('.')) {
            self.nodes[at].has_places |= segment.parse::<usize>().is_ok();
            at = self.child(at, segment);
            self.nodes[at].enters_lists |= is_members;
        }
        match is_members {
            true => self.nodes[at].members.push(id),
            false => self.nodes[at].one.push(id),
        }
    }

    /// Returns where a segment leads, and makes that place if there was none.
    fn child(&mut self, at: usize, segment: &str) -> usize {
        let new = self.nodes.len();
        let node = &mut self.nodes[at];
        let child = match segment {
            ANY => *node.any.get_or_insert(new),
            PAIRS => *node.pairs.get_or_insert(new),
            key => *node.children.entry_ref(key).or_insert(new),
        };
        if child == new {
            self.nodes.push(PathNode::default());
        }
        child
    }

    /// Calls `each` with the number of a path and a value that it leads to, as often as there are any. Returns false where
    /// `json` is no JSON value as a whole; `each` was called with what could be read before that.
    ///
    /// A string is handed over without its quotes, an object as its JSON text, an empty list as [`ValueKind::Empty`], `null`
    /// not at all. A path that reads the one value gets a list as its JSON text; one that reads members gets each of them.
    pub(crate) fn walk(&self, json: &str, each: &mut dyn FnMut(usize, &str, ValueKind)) -> bool {
        let mut walk = PathWalk { paths: self, each };
        let mut cursor = Cursor::new(json);
        let at = At {
            node: Some(0),
            is_member: false,
            has_places: true,
            takes: true,
            searches: true,
        };
        walk.value(&mut cursor, at, 0).is_ok() && cursor.end().is_ok()
    }

    /// Returns the nodes to which a key leads from `node`, by itself and by its parts where it has dots.
    fn step(&self, node: usize, key: &str, found: &mut Vec<usize>) {
        let node = &self.nodes[node];
        found.extend(node.any);
        if node.children.is_empty() {
            return;
        }
        found.extend(node.children.get(key));
        for (dot, _) in key.match_indices('.') {
            if let Some(child) = node.children.get(&key[..dot]) {
                self.step(*child, &key[dot + 1..], found);
            }
        }
    }
}

/// Returns the first value of `path` in the JSON text `json`: a string without its quotes, anything else as its JSON text.
///
/// Nothing is returned where the path leads nowhere, where the value is `null`, and where the text is no object or array.
/// A number as a segment indexes an array from zero.
pub fn get(json: &str, path: &[String]) -> Option<String> {
    OnePath::new(path).get(json)
}

/// One path that is read in many texts.
#[derive(Debug)]
pub struct OnePath {
    paths: JsonPaths,
}

impl OnePath {
    /// Returns what reads the values of `path`.
    pub fn new(path: &[String]) -> Self {
        // Pairs are members of a list.
        let reading = match path.iter().any(|segment| segment == PAIRS) {
            true => FieldReading::Members,
            false => FieldReading::One,
        };
        let mut paths = JsonPaths::default();
        paths.add(0, path, reading);
        Self { paths }
    }

    /// Returns the first value, as [`get`].
    pub fn get(&self, json: &str) -> Option<String> {
        if !is_container(json) {
            return None;
        }
        let mut first = None;
        self.paths.walk(json, &mut |_, text, _| {
            if first.is_none() {
                first = Some(text.to_owned());
            }
        });
        first
    }
}

/// Where a walk is among the paths.
#[derive(Debug, Clone, Copy)]
struct At {
    /// The place that the paths so far lead to; nothing where only searches are interested.
    node: Option<usize>,
    /// Whether a list was entered on the way, which paths that read the one value do not do.
    is_member: bool,
    /// Whether a segment that is a number is a place in the list here; not in a list within one that was entered.
    has_places: bool,
    /// Whether paths that end at the node take the values here; not inside a string that they took as the text that it is.
    takes: bool,
    /// Whether searches take part; of several branches over one value only one of them does.
    searches: bool,
}

struct PathWalk<'w> {
    paths: &'w JsonPaths,
    each: &'w mut dyn FnMut(usize, &str, ValueKind),
}

impl<'w> PathWalk<'w> {
    fn node(&self, at: At) -> Option<&'w PathNode> {
        self.paths.nodes.get(at.node?)
    }

    /// Returns the node, if paths that end there take values.
    fn ends(&self, at: At) -> Option<&'w PathNode> {
        self.node(at).filter(|_| at.takes)
    }

    fn searches(&self, at: At) -> bool {
        at.searches && !self.paths.anywhere.is_empty()
    }

    /// Hands a value to the paths that end here.
    fn tell(&mut self, at: At, text: &str, kind: ValueKind) {
        if let Some(node) = self.ends(at) {
            for id in &node.members {
                (self.each)(*id, text, kind);
            }
            if !at.is_member {
                // The one value is the text that is there, whatever its form.
                let kind = if kind == ValueKind::Nested {
                    ValueKind::Text
                } else {
                    kind
                };
                for id in &node.one {
                    (self.each)(*id, text, kind);
                }
            }
        }
        if self.searches(at) {
            for id in &self.paths.anywhere {
                (self.each)(*id, text, kind);
            }
        }
    }

    /// Walks over the value that begins at the cursor.
    fn value(&mut self, cursor: &mut Cursor<'_>, at: At, depth: usize) -> Result<(), JsonError> {
        match cursor.kind()? {
            Json::Null => cursor.take().map(drop),
            Json::Bool => {
                let text = cursor.take()?;
                self.tell(at, text, ValueKind::Bool);
                Ok(())
            }
            Json::Number => {
                let text = cursor.take()?;
                self.tell(at, text, ValueKind::Number);
                Ok(())
            }
            Json::Word => {
                let text = cursor.take()?;
                self.tell(at, text, ValueKind::Text);
                Ok(())
            }
            Json::Text => {
                let text = unescaped(cursor.string()?);
                self.tell(at, &text, ValueKind::Text);
                self.within_text(&text, at, depth);
                Ok(())
            }
            kind @ (Json::Array | Json::Object) => {
                let is_array = kind == Json::Array;
                if depth >= DEPTH {
                    let text = cursor.take()?;
                    self.tell(at, text, ValueKind::Nested);
                    return Ok(());
                }
                self.whole(cursor, at, is_array)?;
                self.enter(cursor, at, is_array, depth)
            }
        }
    }

    /// Hands an object, or a list as one value, to the paths that end here and want it whole.
    fn whole(&mut self, cursor: &Cursor<'_>, at: At, is_array: bool) -> Result<(), JsonError> {
        let Some(node) = self.ends(at) else {
            return Ok(());
        };
        let one = if at.is_member { &[][..] } else { &node.one };
        let members = if is_array { &[][..] } else { &node.members };
        if one.is_empty() && members.is_empty() {
            return Ok(());
        }
        let text = cursor.clone().take()?;
        for id in one {
            (self.each)(*id, text, ValueKind::Text);
        }
        for id in members {
            (self.each)(*id, text, ValueKind::Nested);
        }
        Ok(())
    }

    /// Walks over the text of a string that holds an object or a list: for paths that lead on, and for searches.
    fn within_text(&mut self, text: &str, at: At, depth: usize) {
        let leads_on = self.node(at).is_some_and(PathNode::leads_on);
        if !(leads_on || self.searches(at)) || depth >= DEPTH || !is_container(text) {
            return;
        }
        let mut cursor = Cursor::new(text);
        let is_array = matches!(cursor.kind(), Ok(Json::Array));
        let at = At { takes: false, ..at };
        // A text that breaks off was read as far as it goes.
        let _ = self.enter(&mut cursor, at, is_array, depth + 1);
    }

    /// Walks over what is inside the object or list that begins at the cursor.
    fn enter(
        &mut self,
        cursor: &mut Cursor<'_>,
        at: At,
        is_array: bool,
        depth: usize,
    ) -> Result<(), JsonError> {
        let inside = |walk: &mut Self, cursor: &mut Cursor<'_>| match is_array {
            true => walk.elements(cursor, at, depth),
            false => walk.members(cursor, at, depth),
        };
        cursor.enter();
        match depth % LEVELS_OF_STACK {
            0 => stacker::maybe_grow(128 << 10, 1 << 20, || inside(self, cursor)),
            _ => inside(self, cursor),
        }
    }

    fn members(&mut self, cursor: &mut Cursor<'_>, at: At, depth: usize) -> Result<(), JsonError> {
        let mut nodes = Vec::new();
        if let Some(pairs) = self.node(at).and_then(|node| node.pairs)
            && let Some((name, value)) = pair(cursor.clone())
        {
            self.paths.step(pairs, &name, &mut nodes);
            for node in &nodes {
                let at = At {
                    node: Some(*node),
                    has_places: true,
                    takes: true,
                    searches: false,
                    ..at
                };
                // A value that breaks off was read as far as it goes.
                let _ = self.value(&mut Cursor::new(value), at, depth + 1);
            }
        }
        while let Some(key) = cursor.next_key()? {
            nodes.clear();
            if let Some(node) = at.node {
                self.paths.step(node, &key.text(), &mut nodes);
            }
            let branches = nodes.iter().map(|node| At {
                node: Some(*node),
                has_places: true,
                takes: true,
                ..at
            });
            let mut branches: Vec<At> = branches.collect();
            self.branch(cursor, at, &mut branches, depth)?;
        }
        Ok(())
    }

    fn elements(&mut self, cursor: &mut Cursor<'_>, at: At, depth: usize) -> Result<(), JsonError> {
        let node = self.node(at);
        let mut count = 0_usize;
        while cursor.next_element()? {
            let mut branches = Vec::new();
            if let Some(node) = node {
                if node.has_places && at.has_places {
                    let place = node.children.get(count.to_string().as_str());
                    branches.extend(place.map(|node| At {
                        node: Some(*node),
                        has_places: true,
                        takes: true,
                        ..at
                    }));
                }
                if node.enters_lists {
                    branches.push(At {
                        is_member: true,
                        has_places: false,
                        ..at
                    });
                }
            }
            self.branch(cursor, at, &mut branches, depth)?;
            count += 1;
        }
        if count == 0
            && let Some(node) = self.ends(at)
        {
            for id in &node.members {
                (self.each)(*id, "", ValueKind::Empty);
            }
        }
        Ok(())
    }

    /// Walks over the value at the cursor once for each branch, and leaves the cursor behind it. A value whose structure is broken
    /// inside does not end the walk over its neighbours.
    fn branch(
        &mut self,
        cursor: &mut Cursor<'_>,
        at: At,
        branches: &mut Vec<At>,
        depth: usize,
    ) -> Result<(), JsonError> {
        let only_searches = At { node: None, ..at };
        if branches.is_empty() {
            if !self.searches(at) {
                return cursor.take().map(drop);
            }
            branches.push(only_searches);
        }
        let start = cursor.clone();
        for (index, branch) in branches.iter().enumerate() {
            let branch = At {
                searches: at.searches && index == 0,
                ..*branch
            };
            *cursor = start.clone();
            if self.value(cursor, branch, depth + 1).is_err() {
                *cursor = start.clone();
                let text = cursor.take()?;
                let rest = At {
                    node: None,
                    ..branch
                };
                self.tell(rest, text, ValueKind::Text);
            }
        }
        Ok(())
    }
}

/// Returns the name and the value of an object that was entered, if it is a pair of these.
fn pair(mut cursor: Cursor<'_>) -> Option<(Cow<'_, str>, &str)> {
    let (mut name, mut value) = (None, None);
    while let Ok(Some(key)) = cursor.next_key() {
        let key = key.text();
        let source = cursor.take().ok()?;
        if PAIR_NAMES.contains(&&*key) {
            name = name.or(Some(source));
        } else if PAIR_ATTRIBUTES.contains(&&*key) {
            let attributes = members(source).ok()?;
            let mut names = attributes.into_iter();
            name = name
                .or(names.find_map(|(key, value)| PAIR_NAMES.contains(&&*key).then_some(value)));
        } else if PAIR_VALUES.contains(&&*key) {
            value = value.or(Some(source));
        }
    }
    Some((text_of(name?), value?))
}

#[cfg(test)]
mod tests;
