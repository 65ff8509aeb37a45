//! `yagura source class`: the classes of OCSF and their attributes, without a network.

use std::io::{self, Write};

use anyhow::{Result, bail};
use serde::Serialize;
use yagura_core::names::did_you_mean;
use yagura_ocsf::{Attribute, Class, Requirement, Schema};

use crate::output::{OutputFormat, Shown, cut, table};

/// How wide the list of an attribute's values is, in columns.
const VALUES_WIDTH: usize = 70;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the class, such as authentication [default: list the classes]
    class: Option<String>,
    /// How many names a path may have: 2 shows `user.name`, 3 shows `actor.user.name` too
    #[arg(long, value_name = "N", default_value_t = 2)]
    depth: usize,
    /// How to print them
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

/// An attribute as `--format json` prints it.
#[derive(Debug, Serialize)]
struct AttributeView {
    name: String,
    r#type: String,
    requirement: &'static str,
    profiles: &'static [&'static str],
    /// Ids and their captions.
    values: Vec<(&'static str, &'static str)>,
    caption: &'static str,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let schema = Schema::shipped();
    let Some(name) = &arguments.class else {
        return classes(arguments.format);
    };
    let Some(class) = schema.class(name) else {
        let names = schema.classes().map(Class::name);
        let near = did_you_mean(name, names);
        bail!(
            "`{name}` is not a class of OCSF {}{near}; `yagura source class` lists them",
            schema.version()
        );
    };
    let views = class.paths(arguments.depth).into_iter().filter_map(|path| {
        let attribute = class.attribute(&path)?;
        Some(view(path, &attribute))
    });
    let mut out = Shown(io::stdout().lock());
    match arguments.format {
        OutputFormat::Json => {
            for view in views {
                serde_json::to_writer(&mut out, &view)?;
                writeln!(out)?;
            }
        }
        OutputFormat::Text => {
            writeln!(
                out,
                "{} ({}), category {}, OCSF {}",
                class.caption(),
                class.uid(),
                class.category().caption,
                schema.version()
            )?;
            let mut rows = table(["ATTRIBUTE", "TYPE", "REQUIREMENT", "PROFILE", "VALUES"]);
            for view in views {
                let values: Vec<String> = view
                    .values
                    .iter()
                    .map(|(id, caption)| format!("{id} {caption}"))
                    .collect();
                rows.add_row([
                    view.name,
                    view.r#type,
                    view.requirement.to_owned(),
                    view.profiles.join(", "),
                    cut(&values.join(", "), VALUES_WIDTH),
                ]);
            }
            writeln!(out, "{rows}")?;
        }
    }
    Ok(0)
}

fn view(name: String, attribute: &Attribute) -> AttributeView {
    let list = match (attribute.is_array, attribute.in_array) {
        (true, _) => " list",
        (false, true) => ", in a list",
        (false, false) => "",
    };
    let values = attribute.enum_values.iter();
    AttributeView {
        name,
        r#type: format!("{}{list}", attribute.type_name),
        requirement: match attribute.requirement {
            Requirement::Required => "required",
            Requirement::Recommended => "recommended",
            Requirement::Optional => "optional",
        },
        profiles: attribute.profiles,
        values: values.map(|value| (value.id, value.caption)).collect(),
        caption: attribute.caption,
    }
}

/// A class as `--format json` prints it.
#[derive(Debug, Serialize)]
struct ClassView {
    name: &'static str,
    uid: u32,
    category: &'static str,
    caption: &'static str,
}

fn classes(format: OutputFormat) -> Result<u8> {
    let all = Schema::shipped().classes().map(|class| ClassView {
        name: class.name(),
        uid: class.uid(),
        category: class.category().caption,
        caption: class.caption(),
    });
    let mut out = Shown(io::stdout().lock());
    match format {
        OutputFormat::Json => {
            for view in all {
                serde_json::to_writer(&mut out, &view)?;
                writeln!(out)?;
            }
        }
        OutputFormat::Text => {
            let mut rows = table(["CLASS", "UID", "CATEGORY", "TITLE"]);
            for view in all {
                rows.add_row([
                    view.name.to_owned(),
                    view.uid.to_string(),
                    view.category.to_owned(),
                    view.caption.to_owned(),
                ]);
            }
            writeln!(out, "{rows}")?;
        }
    }
    Ok(0)
}
