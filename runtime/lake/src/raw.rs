//! Raw objects of a store: listed, and copied to files that ingest reads.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};

use crate::Location;
use crate::list::list_all;

/// Why an object cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store does not hand it out.
    #[error("cannot fetch {object}")]
    Fetch {
        /// The object.
        object: String,
        /// What the store says.
        source: StoreError,
    },
    /// The copy cannot be written.
    #[error("cannot keep a copy of {object}")]
    Keep {
        /// The object.
        object: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Lists all objects below a location, or the one that it names; and the names that no object can have.
///
/// # Errors
/// What the store says.
pub async fn raw_objects(
    location: &Location,
) -> Result<(Vec<ObjectMeta>, Vec<String>), StoreError> {
    let found = list_all(location).await?;
    let is_whole_store = location.prefix.as_ref().is_empty();
    // Without a key, a store answers for the bucket itself.
    if found.objects.is_empty() && found.odd_names.is_empty() && !is_whole_store {
        return match location.store.head(&location.prefix).await {
            Ok(object) => Ok((vec![object], Vec::new())),
            Err(StoreError::NotFound { .. }) => Ok((Vec::new(), Vec::new())),
            Err(error) => Err(error),
        };
    }
    Ok((found.objects, found.odd_names))
}

/// Returns what stands in front of an object's key in messages, such as `s3://bucket`.
pub fn root_of(location: &Location) -> String {
    let shown = location.to_string();
    let root = shown.strip_suffix('/').unwrap_or(&shown);
    let root = root.strip_suffix(location.prefix.as_ref()).unwrap_or(root);
    root.strip_suffix('/').unwrap_or(root).to_owned()
}

/// Copies an object into a folder, as a file of its key, and returns the file.
///
/// # Errors
/// [`CopyError`].
pub async fn copy_object(
    location: &Location,
    object: &ObjectMeta,
    folder: &Path,
) -> Result<PathBuf, CopyError> {
    let shown = || format!("{}/{}", root_of(location), object.location);
    let fetch = |source| CopyError::Fetch {
        object: shown(),
        source,
    };
    let keep = |source| CopyError::Keep {
        object: shown(),
        source,
    };
    let parts = object.location.parts();
    let path = parts.fold(folder.to_owned(), |path, part| path.join(part.as_ref()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(keep)?;
    }
    let fetched = location.store.get(&object.location).await.map_err(fetch)?;
    let mut bytes = fetched.into_stream();
    let mut file = File::create(&path).map_err(keep)?;
    while let Some(part) = bytes.try_next().await.map_err(fetch)? {
        file.write_all(&part).map_err(keep)?;
    }
    // Times without a year take the object's.
    file.set_modified(object.last_modified.into())
        .map_err(keep)?;
    Ok(path)
}
