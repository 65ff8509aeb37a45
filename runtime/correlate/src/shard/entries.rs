//! Keys and states as bytes.

use std::collections::HashMap;

/// Appends a key with its state, or that it is gone. The state is framed, so that shards can be joined without knowing
/// what states are.
pub(super) fn encode<S: serde::Serialize>(bytes: &mut Vec<u8>, key: &str, state: Option<&S>) {
    let framed = state.map(|state| postcard::to_allocvec(state).unwrap_or_default());
    let entry: StoredEntry<'_> = (key, framed.as_deref());
    let whole = std::mem::take(bytes);
    // Writing to a growing vector does not fail.
    *bytes = postcard::to_extend(&entry, whole).unwrap_or_default();
}

/// A key and the bytes of its state, or nothing where the key is gone.
type StoredEntry<'a> = (&'a str, Option<&'a [u8]>);

/// Reads stored entries, of which later ones replace earlier ones of the same key.
///
/// # Errors
/// When the bytes are not what [`encode`] wrote.
pub(super) fn latest(mut bytes: &[u8]) -> Result<HashMap<&str, Option<&[u8]>>, postcard::Error> {
    let mut entries = HashMap::new();
    while !bytes.is_empty() {
        let ((key, state), rest): (StoredEntry<'_>, _) = postcard::take_from_bytes(bytes)?;
        bytes = rest;
        entries.insert(key, state);
    }
    Ok(entries)
}

/// Joins what was stored of a shard one after the other into one.
///
/// # Errors
/// When the bytes are not what [`encode`] wrote.
pub(crate) fn join(bytes: &[u8]) -> Result<Vec<u8>, postcard::Error> {
    let mut joined = Vec::with_capacity(bytes.len() / 2);
    let mut entries: Vec<StoredEntry<'_>> = latest(bytes)?
        .into_iter()
        .filter(|(_, state)| state.is_some())
        .collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    for entry in entries {
        joined = postcard::to_extend(&entry, joined)?;
    }
    Ok(joined)
}
