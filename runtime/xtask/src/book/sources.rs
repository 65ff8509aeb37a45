//! The pages of the book, made from the documents of the checkout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

/// Where links to files lead that are not in the book.
const REPOSITORY: &str = "https://github.com/yagura/yagura";

const INCLUDE: &str = "{{#include ";

/// The list of all pages, which is not a page.
const SUMMARY: &str = "SUMMARY.md";

/// Writes the sources of the book: all of `docs`, with included documents and rewritten links.
///
/// # Errors
/// When a file cannot be read or written, or an included file does not exist.
pub(crate) fn write(root: &Path, to: &Path) -> Result<()> {
    let docs = root.join("docs");
    let mut files = Vec::new();
    list(&docs, &mut files)?;
    let mut pages = BookPages::new(root);
    for file in &files {
        pages.add(file.strip_prefix(root)?)?;
    }
    for file in files {
        let target = to.join(file.strip_prefix(&docs)?);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        if is_markdown(&file) {
            let text = pages.page(file.strip_prefix(root)?)?;
            fs::write(&target, text)
                .with_context(|| format!("cannot write {}", target.display()))?;
        } else {
            fs::copy(&file, &target).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    Ok(())
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext == "md")
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Which file of the checkout is which page.
struct BookPages<'a> {
    root: &'a Path,
    /// From a file of the checkout, relative to its root, to the page or file under `docs` that shows it.
    shown: BTreeMap<PathBuf, PathBuf>,
}

impl<'a> BookPages<'a> {
    fn new(root: &'a Path) -> Self {
        Self {
            root,
            shown: BTreeMap::new(),
        }
    }

    /// Adds a file under `docs`, and the document that it includes.
    fn add(&mut self, file: &Path) -> Result<()> {
        if !file.ends_with(SUMMARY) {
            self.shown.insert(file.to_owned(), file.to_owned());
        }
        if is_markdown(file) {
            for line in read(&self.root.join(file))?.lines() {
                if let Some(included) = included(line, file) {
                    self.shown.insert(included, file.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Returns the text of a page.
    fn page(&self, page: &Path) -> Result<String> {
        let text = read(&self.root.join(page))?;
        // mdbook reads it by the names of the files.
        if page.ends_with(SUMMARY) {
            return Ok(text);
        }
        let mut whole = String::new();
        let mut own = String::new();
        for line in text.lines() {
            if let Some(included) = included(line, page) {
                whole.push_str(&self.rewrite(&std::mem::take(&mut own), page, page));
                let text = read(&self.root.join(&included))?;
                whole.push_str(&self.rewrite(&text, &included, page));
            } else {
                own.push_str(line);
                own.push('\n');
            }
        }
        whole.push_str(&self.rewrite(&own, page, page));
        Ok(whole)
    }

    /// Returns a text of the file `from` with its links as they must be in the page `page`.
    fn rewrite(&self, text: &str, from: &Path, page: &Path) -> String {
        let mut rewritten = String::with_capacity(text.len());
        let mut fenced = false;
        for line in text.lines() {
            let fence = line.trim_start().starts_with("```");
            if fence {
                fenced = !fenced;
            }
            if fence || fenced {
                rewritten.push_str(line);
            } else {
                self.rewrite_line(line, from, page, &mut rewritten);
            }
            rewritten.push('\n');
        }
        rewritten
    }

    fn rewrite_line(&self, line: &str, from: &Path, page: &Path, to: &mut String) {
        // Every other part stands between back quotes.
        for (position, part) in line.split('`').enumerate() {
            if position > 0 {
                to.push('`');
            }
            // A link whose text is code ends in a part that is not code.
            if position % 2 == 1 {
                to.push_str(part);
                continue;
            }
            let mut rest = part;
            while let Some(at) = rest.find("](") {
                let (before, target) = rest.split_at(at + 2);
                let Some(end) = target.find(')') else { break };
                to.push_str(before);
                to.push_str(&self.target(&target[..end], from, page));
                rest = &target[end..];
            }
            to.push_str(rest);
        }
    }

    /// Returns where a link of `from` leads to from `page`.
    fn target(&self, target: &str, from: &Path, page: &Path) -> String {
        let (path, anchor) = match target.find('#') {
            Some(at) => target.split_at(at),
            None => (target, ""),
        };
        if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
            return target.to_owned();
        }
        let file = resolve(from, path);
        let folder = self.root.join(&file).is_dir();
        let shown = match folder {
            true => self.shown.get(&file.join("README.md")),
            false => self.shown.get(&file),
        };
        match shown {
            // mdbook makes `index.html` of `README.md`.
            Some(shown) if shown.ends_with("README.md") => {
                let index = shown.with_file_name("index.md");
                format!("{}{anchor}", relative(page, &index))
            }
            Some(shown) => format!("{}{anchor}", relative(page, shown)),
            None => {
                let kind = if folder { "tree" } else { "blob" };
                format!("{REPOSITORY}/{kind}/main/{}{anchor}", slashes(&file))
            }
        }
    }
}

/// Returns the file that a line includes, relative to the root of the checkout.
fn included(line: &str, page: &Path) -> Option<PathBuf> {
    let path = line.trim().strip_prefix(INCLUDE)?.strip_suffix("}}")?;
    Some(resolve(page, path.trim()))
}

/// Returns the path to which `target` leads from the file `from`.
fn resolve(from: &Path, target: &str) -> PathBuf {
    let mut path = from.parent().map(Path::to_owned).unwrap_or_default();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// Returns the link from a page to another.
fn relative(from: &Path, to: &Path) -> String {
    let from: Vec<_> = from.parent().into_iter().flat_map(Path::iter).collect();
    let to: Vec<_> = to.iter().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| "..".to_owned());
    let down = to[common..]
        .iter()
        .map(|name| name.to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

fn slashes(path: &Path) -> String {
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(root: &Path) -> BookPages<'_> {
        let mut pages = BookPages::new(root);
        let (architecture, page) = ("ARCHITECTURE.md", "docs/contributors/architecture.md");
        pages.shown.insert(architecture.into(), page.into());
        for file in ["docs/README.md", "docs/authors/README.md", page] {
            pages.shown.insert(file.into(), file.into());
        }
        pages
    }

    #[test]
    fn links_lead_to_pages_or_to_the_repository() {
        let root = crate::run::root();
        let pages = pages(&root);
        let page = Path::new("docs/authors/README.md");
        for (link, expected) in [
            ("../README.md", "../index.md"),
            ("../README.md#a", "../index.md#a"),
            ("#here", "#here"),
            ("https://example.org/x.md", "https://example.org/x.md"),
            (
                "../../ARCHITECTURE.md#code-map",
                "../contributors/architecture.md#code-map",
            ),
            (
                "../../Cargo.toml",
                "https://github.com/yagura/yagura/blob/main/Cargo.toml",
            ),
            (
                "../../runtime",
                "https://github.com/yagura/yagura/tree/main/runtime",
            ),
        ] {
            assert_eq!(pages.target(link, page, page), expected, "{link}");
        }
    }

    #[test]
    fn links_of_an_included_document_are_those_of_its_page() {
        let root = crate::run::root();
        let pages = pages(&root);
        let page = Path::new("docs/contributors/architecture.md");
        let text =
            "See [authors](docs/authors/README.md) and [`code`](Cargo.toml).\n```\n[x](y)\n```\n";
        let expected = "See [authors](../authors/index.md) and [`code`](https://github.com/yagura/yagura/blob/main/Cargo.toml).\n```\n[x](y)\n```\n";
        let rewritten = pages.rewrite(text, Path::new("ARCHITECTURE.md"), page);
        assert_eq!(rewritten, expected);
        assert_eq!(
            included("{{#include ../../ARCHITECTURE.md}}", page),
            Some(PathBuf::from("ARCHITECTURE.md"))
        );
    }
}
