//! Everything below a location, whatever the names are.
//!
//! ```text
//! the store's listing ─▶ all objects
//!         │ a name that no object can have
//!         ▼
//! name by name, or page by page ─▶ the others, and these names
//! ```

use std::collections::HashSet;

use futures::TryStreamExt;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::{Error as PathError, Path};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::Location;
use crate::azure::odd_name;
use crate::names::{escaped, of_path};

/// What lies below a location.
#[derive(Debug, Default)]
pub(crate) struct LocationContents {
    pub(crate) objects: Vec<ObjectMeta>,
    /// Files and folders with names that no object can have.
    pub(crate) odd_names: Vec<String>,
}

impl LocationContents {
    /// Sorts out what was listed: names for which others stand are odd ones.
    pub(crate) fn of(listed: Vec<ObjectMeta>) -> Self {
        let mut found = Self::default();
        for meta in listed {
            match odd_name(&meta.location) {
                Some(name) => found.odd_names.push(name),
                None => found.objects.push(meta),
            }
        }
        found
    }
}

/// Lists all objects below a location. One whose name this program cannot use is left out, and hides no other.
pub(crate) async fn list_all(location: &Location) -> Result<LocationContents, StoreError> {
    let listed = location.store.list(Some(&location.prefix)).try_collect();
    match listed.await {
        Ok(objects) => Ok(LocationContents::of(objects)),
        Err(error) if !is_of_a_name(&error) => Err(error),
        Err(error) => match &location.pages {
            Some(pages) => list_pages(pages.0.as_ref(), &location.prefix).await,
            None if location.base.scheme() == "file" => list_folder(location).await,
            None => Err(error),
        },
    }
}

/// Lists a bucket page by page. A page on which a name cannot be used is asked for again with fewer objects, until the name stands
/// alone and is passed over.
async fn list_pages(
    pages: &dyn PaginatedListStore,
    prefix: &Path,
) -> Result<LocationContents, StoreError> {
    const MOST: usize = 1_000;
    let prefix = format!("{prefix}/");
    let prefix = (prefix != "/").then_some(prefix.as_str());
    let mut found = LocationContents::default();
    let mut options = PaginatedListOptions {
        max_keys: Some(MOST),
        ..PaginatedListOptions::default()
    };
    loop {
        let most = options.max_keys.unwrap_or(MOST);
        match pages.list_paginated(prefix, options.clone()).await {
            Ok(page) => {
                found.objects.extend(page.result.objects);
                if page.page_token.is_none() {
                    return Ok(found);
                }
                options.page_token = page.page_token;
                options.max_keys = Some((most * 2).min(MOST));
            }
            Err(error) if most > 1 && is_of_a_name(&error) => options.max_keys = Some(most / 2),
            Err(error) => {
                let Some(name) = name_in(&error) else {
                    return Err(error);
                };
                // A store that does not go on behind the name would be asked for ever.
                if options.offset.as_ref() == Some(&name) {
                    return Err(error);
                }
                found.odd_names.push(escaped(name.as_bytes()));
                options.page_token = None;
                options.offset = Some(name);
            }
        }
    }
}

/// Returns the name that cannot be used.
fn name_in(error: &StoreError) -> Option<String> {
    match error {
        StoreError::InvalidPath {
            source: PathError::EmptySegment { path } | PathError::BadSegment { path, .. },
        } => Some(path.clone()),
        _ => None,
    }
}

/// Says whether a listing failed because of an object's name, or of a link that leads back up.
pub(crate) fn is_of_a_name(error: &StoreError) -> bool {
    match error {
        StoreError::InvalidPath { .. } => true,
        StoreError::Generic { source, .. } => source.to_string().contains("loop found"),
        _ => false,
    }
}

/// Lists a folder of this machine, name by name.
async fn list_folder(location: &Location) -> Result<LocationContents, StoreError> {
    let root = std::path::PathBuf::from(format!("/{}", location.prefix));
    let walked = tokio::task::spawn_blocking(move || walk(&root)).await;
    let not_walked = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Generic {
        store: "the local file system",
        source,
    };
    let (files, odd_names) = walked
        .map_err(|error| not_walked(Box::new(error)))?
        .map_err(|error| not_walked(Box::new(error)))?;
    let mut objects = Vec::with_capacity(files.len());
    for file in files {
        match location.store.head(&Path::parse(file)?).await {
            Ok(meta) => objects.push(meta),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(LocationContents { objects, odd_names })
}

/// Returns the paths of all files below a folder, and, to be shown, those that no object can have.
fn walk(root: &std::path::Path) -> std::io::Result<(Vec<String>, Vec<String>)> {
    let (mut files, mut odd) = (Vec::new(), Vec::new());
    // A link may lead back up.
    let mut seen = HashSet::from([root.canonicalize()?]);
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = folder.read_dir();
        let entries = entries.map_err(|error| {
            std::io::Error::new(error.kind(), format!("{}: {error}", of_path(&folder)))
        });
        for entry in entries? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let Some(plain) = plain(&path) else {
                if !name.starts_with(b".") {
                    odd.push(of_path(&path));
                }
                continue;
            };
            let metadata = match path.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if metadata.is_dir() {
                if seen.insert(path.canonicalize()?) {
                    folders.push(path);
                }
            } else if metadata.is_file() && !is_begun(name) {
                files.push(plain.to_owned());
            }
        }
    }
    odd.sort();
    Ok((files, odd))
}

/// Returns a path that an object can have.
fn plain(path: &std::path::Path) -> Option<&str> {
    let text = path.to_str()?;
    (!text.contains(|c: char| c.is_ascii_control())).then_some(text)
}

/// Says whether a file is one that the store writes before it has its name, such as `a.parquet#1`.
fn is_begun(name: &[u8]) -> bool {
    let mut parts = name.splitn(2, |byte| *byte == b'#').skip(1);
    parts.any(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::pin::Pin;
    use std::sync::Mutex;

    use object_store::ListResult;
    use object_store::list::PaginatedListResult;

    use super::*;

    #[test]
    fn names_that_no_object_can_have_hide_no_others() {
        use std::os::unix::ffi::OsStrExt;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("date=2026-03-01/sub")).unwrap();
        let names: [&[u8]; 8] = [
            b"a.parquet",
            b"date=2026-03-01/b 100%25.parquet",
            b"tab\t.parquet",
            b"date=2026-03-01/line\nend.parquet",
            b"date=2026-03-01/\xff.parquet",
            b"date=2026-03-01/sub/\xfe\x7f",
            b"c.parquet#1",
            b".hidden\t",
        ];
        for name in names {
            std::fs::write(root.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("date=2026-03-01/sub/up")).unwrap();
        let location = Location::parse(root.to_str().unwrap(), &BTreeMap::new()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let found = runtime.block_on(list_all(&location)).unwrap();
        let mut objects: Vec<_> = found
            .objects
            .iter()
            .map(|meta| (meta.location.filename().unwrap().to_owned(), meta.size))
            .collect();
        objects.sort();
        let one = |name: &str| (name.to_owned(), 1);
        assert_eq!(objects, [one("a.parquet"), one("b 100%25.parquet")]);
        let below = |name: &String| {
            name.strip_prefix(root.to_str().unwrap())
                .unwrap()
                .to_owned()
        };
        let mut odd: Vec<_> = found.odd_names.iter().map(below).collect();
        odd.sort();
        assert_eq!(
            odd,
            [
                "/date=2026-03-01/\\xff.parquet",
                "/date=2026-03-01/line\\nend.parquet",
                "/date=2026-03-01/sub/\\xfe\\u{7f}",
                "/tab\\t.parquet",
            ]
        );
    }

    /// A bucket that refuses pages with names that no object can have, as clients of stores do.
    struct Bucket {
        names: Vec<String>,
        requests: Mutex<usize>,
    }

    impl Bucket {
        fn page(&self, options: &PaginatedListOptions) -> Result<PaginatedListResult, StoreError> {
            *self.requests.lock().unwrap() += 1;
            let after = options.page_token.as_ref().or(options.offset.as_ref());
            let mut rest = self
                .names
                .iter()
                .filter(|name| after.is_none_or(|after| *name > after));
            let names: Vec<&String> = rest.by_ref().take(options.max_keys.unwrap()).collect();
            let objects = names.iter().map(|name| {
                Ok(ObjectMeta {
                    location: Path::parse(name)?,
                    last_modified: chrono::DateTime::UNIX_EPOCH,
                    size: 1,
                    e_tag: None,
                    version: None,
                })
            });
            let objects: Result<Vec<_>, StoreError> = objects.collect();
            Ok(PaginatedListResult {
                result: ListResult {
                    objects: objects?,
                    common_prefixes: Vec::new(),
                },
                page_token: rest.next().and(names.last().map(|name| (*name).clone())),
            })
        }
    }

    impl PaginatedListStore for Bucket {
        fn list_paginated<'a, 'b, 'c>(
            &'a self,
            prefix: Option<&'b str>,
            options: PaginatedListOptions,
        ) -> Pin<Box<dyn Future<Output = Result<PaginatedListResult, StoreError>> + Send + 'c>>
        where
            'a: 'c,
            'b: 'c,
        {
            assert_eq!(prefix, Some("t/"));
            Box::pin(async move { self.page(&options) })
        }
    }

    #[test]
    fn a_page_with_an_odd_name_gives_its_other_objects() {
        let odd = [
            "t/0000\ta",
            "t/0100//a.parquet",
            "t/1500\n",
            "t/1500\n\n",
            "t/2999\u{7f}",
        ];
        let mut names: Vec<String> = (0..3_000).map(|at| format!("t/{at:04}")).collect();
        names.extend(odd.map(str::to_owned));
        names.sort();
        let bucket = Bucket {
            names,
            requests: Mutex::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let found = runtime
            .block_on(list_pages(&bucket, &Path::from("t")))
            .unwrap();
        let names: HashSet<&str> = found
            .objects
            .iter()
            .map(|of| of.location.as_ref())
            .collect();
        assert_eq!((found.objects.len(), names.len()), (3_000, 3_000));
        assert_eq!(
            found.odd_names,
            [
                "t/0000\\ta",
                "t/0100//a.parquet",
                "t/1500\\n",
                "t/1500\\n\\n",
                "t/2999\\u{7f}"
            ]
        );
        let requests = *bucket.requests.lock().unwrap();
        assert!(requests < 250, "{requests}");
    }
}
