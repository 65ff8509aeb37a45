//! The page of the shipped sources, made from their files: `docs/operators/sources-first-party.md`.

use std::fs;
use std::path::{Path, PathBuf};

use yagura_ocsf::{Class, Requirement, Schema};

use crate::mapping::{ClassPlan, Mapping};
use crate::{SourceFile, shipped, shipped_names};

const HEAD: &str = "\
# First-party sources

<!-- `YAGURA_REWRITE=1 cargo test -p yagura-sources page` makes this page from the files in `plugins/sources`. -->

With this page you can see which raw logs Yagura reads without work of yours, and how much of each log gets a name of OCSF.

```sh
yagura source list
yagura ingest --source NAME --to lake logs/
```

[Sources](sources.md) shows how a service ingests such logs as they arrive. [Write a source](../authors/sources.md) shows how to add one.
";

const CLASSES: &str = "
## Classes and attributes

*Mapped* counts the attributes that the source's file fills with an expression. Other attributes follow by themselves and are not
counted. *Required* and *recommended* compare the attributes at the top of the class with those of the source's rows. Attributes of
profiles are left out. An attribute counts if any part of it is filled, such as `device.hostname` for `device`. A log need not contain
everything that its class recommends.

| source | class | mapped | required | recommended |
|---|---|---:|---:|---:|
";

/// Returns the page.
fn page() -> String {
    let mut sources = String::from("\n| source | logs | format | samples |\n|---|---|---|---|\n");
    let mut classes = String::from(CLASSES);
    for name in shipped_names() {
        let (file, text) = shipped(&name).unwrap();
        let source = SourceFile::read(&file, text).unwrap();
        let mapping = Mapping::new(&file, text, &source).unwrap();
        sources.push_str(&source_row(&file, &source));
        for class in &mapping.classes {
            classes.push_str(&class_row(&name, class));
        }
    }
    format!("{HEAD}{sources}{classes}")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn source_row(file: &Path, source: &SourceFile) -> String {
    let head = &source.source;
    let title = match head.references.first() {
        Some(page) => format!("[{}]({page})", head.title),
        None => head.title.clone(),
    };
    let format = match (&head.format, &head.grok) {
        (Some(format), _) => format!("`{format}`"),
        (None, Some(_)) => "a grok pattern".to_owned(),
        (None, None) => "recognised".to_owned(),
    };
    let place = Path::new("plugins/sources/sources").join(file.parent().unwrap());
    let samples: Vec<String> = source
        .tests
        .iter()
        .map(|test| {
            let raw = place.join(&test.raw);
            assert!(folder().join(&raw).exists(), "{}", raw.display());
            format!("[{}](../../{})", test.name, raw.display())
        })
        .collect();
    format!(
        "| `{}` | {title} | {format} | {} |\n",
        head.name,
        samples.join(", ")
    )
}

fn class_row(source: &str, class: &ClassPlan) -> String {
    let known = Schema::shipped().class(class.name).unwrap();
    format!(
        "| `{source}` | `{}` | {} | {} | {} |\n",
        class.name,
        class.columns.len(),
        share(class, known, Requirement::Required),
        share(class, known, Requirement::Recommended),
    )
}

/// Returns how many of the attributes at the top of the class that are needed so much the rows of the source may have.
fn share(class: &ClassPlan, known: &Class, requirement: Requirement) -> String {
    let names = class.kinds().into_iter().map(|(name, _)| name);
    // Every row has a time column.
    let names: Vec<&str> = names.chain(["time"]).collect();
    let is_filled = |attribute: &str| {
        names.iter().any(|name| {
            let rest = name.strip_prefix(attribute);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let of_class = known.attributes().iter();
    let of_class = of_class
        .filter(|attribute| attribute.requirement == requirement && attribute.profiles.is_empty());
    let (filled, left): (Vec<&str>, Vec<&str>) = of_class
        .map(|attribute| attribute.name)
        .partition(|name| is_filled(name));
    let all = filled.len() + left.len();
    match (100 * filled.len()).checked_div(all) {
        Some(percent) => format!("{} of {all} ({percent} %)", filled.len()),
        None => "none".to_owned(),
    }
}

#[test]
fn the_page_of_shipped_sources_is_what_their_files_say() {
    let file = folder().join("docs/operators/sources-first-party.md");
    let page = page();
    if std::env::var_os("YAGURA_REWRITE").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == page,
        "{} is not what the files in plugins/sources say: rewrite it with `YAGURA_REWRITE=1 cargo test -p yagura-sources page`",
        file.display()
    );
}
