//! Fields of events, each as one array of texts.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringBuilder};
use yagura_core::FieldPath;
use yagura_core::json::{Cursor, JsonError, Kind, elements, text_of};

/// Where fields lie in an event: a tree of the steps of their paths.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    count: usize,
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// The fields that end here.
    ends: Vec<usize>,
    below: HashMap<String, Node>,
}

impl Fields {
    /// Builds the tree of these paths. A step that is a number also leads to that element of an array, from 0.
    pub(crate) fn new(paths: &[FieldPath]) -> Self {
        let mut root = Node::default();
        for (field, path) in paths.iter().enumerate() {
            let mut node = &mut root;
            for segment in path.segments() {
                node = node.below.entry(segment.clone()).or_default();
            }
            node.ends.push(field);
        }
        Self {
            count: paths.len(),
            root,
        }
    }

    /// Returns for each field the value of each event, JSON objects: texts as they are, other values as their JSON text, `null` as
    /// NULL. Of a key that stands twice the first value that is not `null` counts.
    pub(crate) fn arrays(&self, events: &[&str]) -> Vec<ArrayRef> {
        let mut builders: Vec<StringBuilder> =
            (0..self.count).map(|_| StringBuilder::new()).collect();
        let mut found: Vec<Option<&str>> = vec![None; self.count];
        for event in events {
            found.fill(None);
            follow_object(&self.root, event, &mut found);
            for (builder, value) in builders.iter_mut().zip(&found) {
                match value {
                    Some(value) => builder.append_value(text_of(value)),
                    None => builder.append_null(),
                }
            }
        }
        builders
            .into_iter()
            .map(|mut builder| Arc::new(builder.finish()) as ArrayRef)
            .collect()
    }
}

fn follow_object<'e>(node: &Node, object: &'e str, found: &mut [Option<&'e str>]) {
    // What is no object has no members, and has been refused before.
    let _ = try_follow_object(node, object, found);
}

/// Walks over the members of an object without a list of them: most are passed over.
fn try_follow_object<'e>(
    node: &Node,
    object: &'e str,
    found: &mut [Option<&'e str>],
) -> Result<(), JsonError> {
    let mut cursor = Cursor::new(object);
    if cursor.kind()? != Kind::Object {
        return Ok(());
    }
    cursor.enter();
    while let Some(key) = cursor.next_key()? {
        let key = key.text();
        let value = cursor.take()?;
        match node.below.get(key.as_ref()) {
            Some(next) => follow(next, value, found),
            // A key may hold dots of its own.
            None if key.contains('.') => {
                let next = key
                    .split('.')
                    .try_fold(node, |node, part| node.below.get(part));
                if let Some(next) = next {
                    follow(next, value, found);
                }
            }
            None => {}
        }
    }
    Ok(())
}

fn follow<'e>(node: &Node, value: &'e str, found: &mut [Option<&'e str>]) {
    if value == "null" {
        return;
    }
    for field in &node.ends {
        found[*field].get_or_insert(value);
    }
    if node.below.is_empty() {
        return;
    }
    if value.starts_with('{') {
        follow_object(node, value, found);
    } else if value.starts_with('[') {
        for (index, element) in elements(value).unwrap_or_default().into_iter().enumerate() {
            if let Some(next) = node.below.get(index.to_string().as_str()) {
                follow(next, element, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::AsArray;

    use super::*;

    fn values(path: &str, event: &str) -> Option<String> {
        let fields = Fields::new(&[path.parse().unwrap()]);
        let arrays = fields.arrays(&[event]);
        let values = arrays[0].as_string::<i32>();
        values.iter().next().flatten().map(str::to_owned)
    }

    #[test]
    fn a_field_is_found_by_its_path() {
        let some = |text: &str| Some(text.to_owned());
        for (path, event, expected) in [
            ("a", r#"{"a":"x"}"#, some("x")),
            ("a", r#"{"a":1.50}"#, some("1.50")),
            ("a", r#"{"a":null,"a":2}"#, some("2")),
            ("a", r#"{"a":{"b":[1, 2]}}"#, some(r#"{"b":[1, 2]}"#)),
            ("a.b", r#"{"a":{"b":"x\ny"}}"#, some("x\ny")),
            ("a.b", r#"{"a.b":"x"}"#, some("x")),
            ("a.b", r#"{"a":"x"}"#, None),
            ("a.\"0\".b", r#"{"a":[{"b":"x"},{"b":"y"}]}"#, some("x")),
            ("a.\"1\".b", r#"{"a":[{"b":"x"},{"b":"y"}]}"#, some("y")),
            ("a.\"2\".b", r#"{"a":[{"b":"x"},{"b":"y"}]}"#, None),
            ("b", r#"{"a":1}"#, None),
        ] {
            assert_eq!(values(path, event), expected, "{path} in {event}");
        }
    }
}
