//! The links of HTML pages: every file and every anchor within the book must exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Returns the links of the pages below a folder that lead nowhere, as text for a reader.
///
/// Links to other servers are not followed.
///
/// # Errors
/// When a page cannot be read.
pub(crate) fn broken(folder: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    read(folder, &mut pages)?;
    let anchors: BTreeMap<&PathBuf, BTreeSet<&str>> = pages
        .iter()
        .map(|(path, text)| (path, attributes(text, "id").collect()))
        .collect();
    let mut broken = BTreeSet::new();
    for (page, text) in &pages {
        for link in attributes(text, "href").chain(attributes(text, "src")) {
            if !leads_somewhere(page, link, &anchors) {
                let page = page.strip_prefix(folder).unwrap_or(page);
                broken.insert(format!("{}: {link}", page.display()));
            }
        }
    }
    Ok(broken.into_iter().collect())
}

fn read(folder: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, pages)?;
        } else if path.extension().is_some_and(|ext| ext == "html")
            // Its links are those of a page at the root of a server.
            && path.file_name().is_some_and(|name| name != "404.html")
        {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            pages.insert(path, text);
        }
    }
    Ok(())
}

/// Returns the values of an attribute.
fn attributes<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!(" {name}=\"");
    let mut rest = text;
    std::iter::from_fn(move || {
        let at = rest.find(&start)?;
        let value = &rest[at + start.len()..];
        let end = value.find('"')?;
        rest = &value[end..];
        Some(&value[..end])
    })
}

fn leads_somewhere(page: &Path, link: &str, anchors: &BTreeMap<&PathBuf, BTreeSet<&str>>) -> bool {
    // `scheme:` of other servers, mail and data.
    let scheme = link.split(['/', '#', '?']).next().unwrap_or_default();
    if scheme.contains(':') || link.starts_with("//") {
        return true;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = path.split('?').next().unwrap_or_default();
    let target = match path {
        "" => page.to_owned(),
        path => normal(&page.with_file_name("").join(path)),
    };
    match anchors.get(&target) {
        Some(ids) => anchor.is_empty() || ids.contains(anchor),
        None => target.exists(),
    }
}

/// Returns a path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_anchors_must_exist() {
        let folder = crate::run::host_target().join("book-links-test");
        let sub = folder.join("sub");
        fs::create_dir_all(&sub).unwrap();
        let one = r##"<h1 id="top">a</h1> <a href="#top">a</a> <a href="sub/two.html#x">b</a>
            <a href="https://example.org/y">c</a> <a href="three.html">d</a> <a href="#none">e</a>"##;
        let two = r##"<a id="x" href="../one.html#top">a</a> <a href="../one.html#gone">b</a>"##;
        fs::write(folder.join("one.html"), one).unwrap();
        fs::write(sub.join("two.html"), two).unwrap();
        let found = broken(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            found,
            [
                "one.html: #none",
                "one.html: three.html",
                "sub/two.html: ../one.html#gone"
            ]
        );
    }
}
