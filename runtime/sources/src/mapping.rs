//! A source's file as plans: each class with its condition and one expression a column.

use std::collections::BTreeMap;
use std::path::Path;

use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::DataType;
use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::names::did_you_mean;
use yagura_core::source::SourceText;
use yagura_core::{Diagnostics, FieldPath};
use yagura_formats::Zone;
use yagura_lake::{ColumnDefinition, ColumnKind};
use yagura_ocsf::{Class, Schema};
use yagura_plan::FieldExpression;

use crate::attribute::Attribute;
use crate::fields::Fields;
use crate::file::{REPEAT_COLUMNS, SourceFile, WrittenColumn, columns};
use crate::mask::Masks;
use crate::normalizer::{add, add_text, texts};
use crate::value::write_text;

/// How the events of a source become rows.
#[derive(Debug)]
pub struct Mapping {
    /// The fields that its expressions name.
    pub(crate) paths: Vec<FieldPath>,
    pub(crate) fields: Fields,
    /// Expressions that others use like fields, behind the maker's own.
    pub(crate) named: Vec<FieldExpression>,
    /// These as they are written.
    pub(crate) named_as: Vec<String>,
    pub(crate) classes: Vec<ClassPlan>,
    pub(crate) masks: Masks,
    /// The columns that its rows may have.
    columns: Vec<ColumnDefinition>,
}

/// How events of one class become rows.
#[derive(Debug)]
pub(crate) struct ClassPlan {
    pub(crate) name: &'static str,
    pub(crate) caption: &'static str,
    pub(crate) uid: i64,
    pub(crate) condition: Option<FieldExpression>,
    pub(crate) columns: Vec<ColumnPlan>,
    /// The zone of times that name none.
    pub(crate) zone: Zone,
    /// The members that all its rows have.
    pub(crate) constant: String,
    /// Names of attributes that hold the captions of others, by the name of these.
    pub(crate) siblings: BTreeMap<String, String>,
    /// Captions of ids, by the name of the attribute.
    pub(crate) captions: BTreeMap<String, BTreeMap<i64, String>>,
}

/// A column and what it comes from.
#[derive(Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) name: String,
    /// The expression as it is written.
    pub(crate) written: String,
    pub(crate) attribute: Attribute,
    pub(crate) source: Source,
    /// Whether it is the time of the event rather than a column.
    pub(crate) is_time: bool,
    /// Its name as a key of JSON, with the colon behind it.
    pub(crate) key: String,
    /// The start of its value's observable, up to the value; nothing where its values are none.
    pub(crate) observable: Option<String>,
}

/// Where the values of a column come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The same for every event.
    Constant(Option<String>),
    /// From the fields of each event.
    Expression(FieldExpression),
}

/// The attribute that holds the event's time, which is the table's time column.
const TIME: &str = "time";

/// Attributes that follow from the class and from ids, and are no one's to map.
const DERIVED: [&str; 10] = [
    "metadata.version",
    "metadata.profiles",
    "class_uid",
    "class_name",
    "category_uid",
    "category_name",
    "type_uid",
    "type_name",
    "observables",
    "unmapped",
];

impl Mapping {
    /// Checks a source's expressions against the attributes of its classes. `text` is the file's, for places.
    ///
    /// # Errors
    /// All that is wrong, each with its place.
    pub fn new(file: &Path, text: &str, source: &SourceFile) -> Result<Self, Diagnostics> {
        let mut reading = Reading::default();
        let (masks, wrong) = Masks::new(&source.source.mask);
        let wrong = wrong.into_iter();
        reading
            .problems
            .extend(wrong.map(|problem| problem.under(&Key::top("source"))));
        let shared = Key::top("source").name("columns");
        let (common, wrong) = columns(&source.source.columns, &shared);
        reading.problems.extend(wrong);
        let mut used = vec![false; common.len()];
        let mut classes: Vec<ReadClass<'_>> = Vec::new();
        for (index, class) in source.classes.iter().enumerate() {
            let key = Key::top("class").index(index);
            let Some(known) = Schema::shipped().class(&class.name) else {
                let names = Schema::shipped().classes().map(Class::name);
                let near = did_you_mean(&class.name, names);
                let message = format!("`{}` is not a class of OCSF{near}", class.name);
                reading.wrong(Code::InvalidValue, key.name("name"), message);
                continue;
            };
            let (mut own, wrong) = columns(&class.columns, &key.name("columns"));
            reading.problems.extend(wrong);
            for (common, used) in common.iter().zip(&mut used) {
                let is_own = own.iter().any(|column| column.name == common.name);
                let has_it = Attribute::of(known, &common.name).is_some();
                *used |= has_it;
                if has_it && !is_own {
                    own.push(common.clone());
                }
            }
            classes.push((class.condition.as_ref(), key, known, own));
        }
        for (common, used) in common.iter().zip(used) {
            if !used && !classes.is_empty() {
                let (_, _, known, _) = &classes[0];
                reading.no_attribute(known, common);
            }
        }
        let (named, wrong) = columns(&source.source.fields, &Key::top("source").name("fields"));
        reading.problems.extend(wrong);
        // Each field is read once for all that name it.
        for field in &named {
            reading.fields(&field.expression);
        }
        for (condition, _, _, columns) in &classes {
            if let Some(condition) = condition {
                reading.fields(condition);
            }
            for column in columns {
                reading.fields(&column.expression);
            }
        }
        reading.only_known(source, &named, &classes);
        let named_as = named.iter().map(|field| field.expression.clone()).collect();
        let named = reading.named(&named);
        if !reading.problems.is_empty() {
            // What is wrong with a name would be said again for all that use it.
            return Err(SourceText::new(file, text).refuse(reading.problems));
        }
        let mut plans = Vec::new();
        for (condition, key, known, columns) in classes {
            let condition = condition.and_then(|condition| {
                let read = FieldExpression::condition(condition, &reading.paths);
                reading.checked(read, &key.name("where"))
            });
            plans.push(reading.class(known, condition, &columns));
        }
        match reading.problems.is_empty() {
            true => {
                let mut mapping = Self {
                    fields: Fields::new(&reading.paths[..reading.paths.len() - named.len()]),
                    paths: reading.paths,
                    named,
                    named_as,
                    columns: columns_of(&plans),
                    classes: plans,
                    masks,
                };
                if source.source.repeats.is_some() {
                    let repeated = REPEAT_COLUMNS.iter();
                    mapping.columns.extend(
                        repeated.map(|name| ColumnDefinition::of_key(name, ColumnKind::Int64)),
                    );
                }
                mapping.set_zone(source.zone());
                Ok(mapping)
            }
            false => {
                let mut problems = reading.problems;
                problems.dedup();
                Err(SourceText::new(file, text).refuse(problems))
            }
        }
    }

    /// Returns the columns that its rows may have.
    pub fn columns(&self) -> &[ColumnDefinition] {
        &self.columns
    }

    /// Says whether masks write hashes, which need a key: without one of the operator's, that of tests is used.
    pub fn needs_key(&self) -> bool {
        self.masks.needs_key()
    }

    /// Sets the key of the hashes that masks write.
    pub fn set_key(&mut self, key: &[u8]) {
        self.masks.set_key(key);
    }

    /// Sets the zone of times that name none.
    pub fn set_zone(&mut self, zone: Zone) {
        for class in &mut self.classes {
            class.zone = zone;
            for column in &mut class.columns {
                column.attribute.set_zone(zone);
            }
        }
    }

    /// Returns the names of its classes.
    pub fn class_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.classes.iter().map(|class| class.name)
    }

    /// Returns the fields of the maker's that its expressions name.
    pub fn fields(&self) -> &[FieldPath] {
        &self.paths
    }
}

/// Returns the columns that rows of these classes may have, in order of their names.
fn columns_of(classes: &[ClassPlan]) -> Vec<ColumnDefinition> {
    let mut all: BTreeMap<&str, ColumnKind> = BTreeMap::new();
    for class in classes {
        for (name, kind) in class.kinds() {
            let known = all.entry(name).or_insert(kind);
            *known = known.widened(kind, false);
        }
    }
    let all = all.into_iter();
    all.map(|(name, kind)| ColumnDefinition::of_key(name, kind))
        .collect()
}

impl ClassPlan {
    /// Returns the columns of its rows with their kinds.
    pub(crate) fn kinds(&self) -> Vec<(&str, ColumnKind)> {
        let mut kinds = vec![
            ("class_uid", ColumnKind::Int64),
            ("class_name", ColumnKind::Text),
            ("category_uid", ColumnKind::Int64),
            ("category_name", ColumnKind::Text),
            ("activity_id", ColumnKind::Int64),
            ("type_uid", ColumnKind::Int64),
            ("type_name", ColumnKind::Text),
            ("severity_id", ColumnKind::Int64),
            ("metadata.version", ColumnKind::Text),
            ("metadata.profiles", ColumnKind::Json),
            ("observables", ColumnKind::Json),
        ];
        let own = self.columns.iter().filter(|column| !column.is_time);
        kinds.extend(own.map(|column| (column.name.as_str(), column.attribute.kind())));
        let of_ids = ["activity_id", "severity_id"].into_iter();
        let names = self.columns.iter().map(|column| column.name.as_str());
        let siblings = of_ids
            .chain(names)
            .filter_map(|name| self.siblings.get(name));
        kinds.extend(siblings.map(|sibling| (sibling.as_str(), ColumnKind::Text)));
        kinds
    }
}

/// A class as it is written: its condition, its key, what it is, and its columns.
type ReadClass<'s> = (Option<&'s String>, Key, &'static Class, Vec<WrittenColumn>);

/// What was read so far, and what is wrong with it.
#[derive(Default)]
struct Reading {
    paths: Vec<FieldPath>,
    problems: Vec<Diagnostic>,
}

impl Reading {
    fn wrong(&mut self, code: Code, key: Key, message: String) {
        self.problems.push(Diagnostic::error(code, message).at(key));
    }

    fn no_attribute(&mut self, class: &Class, column: &WrittenColumn) {
        let message = match class.find_attribute(&column.name) {
            Err(error) => error.to_string(),
            Ok(_) => format!(
                "`{}` lies inside a list, and a column holds a list as a whole: map the list, as JSON",
                column.name
            ),
        };
        self.wrong(Code::UnknownField, column.key.clone(), message);
    }

    /// Adds the fields that an expression names. What is wrong with it is said when it is planned.
    fn fields(&mut self, expression: &str) {
        for path in FieldExpression::fields_of(expression).unwrap_or_default() {
            if !self.paths.contains(&path) {
                self.paths.push(path);
            }
        }
    }

    /// Refuses fields that no line can have, where the shape of the lines says which there are.
    fn only_known(
        &mut self,
        source: &SourceFile,
        named: &[WrittenColumn],
        classes: &[ReadClass<'_>],
    ) {
        if source.source.plugin.is_some() {
            return;
        }
        let mut known: Vec<String> = match (source.grok(), source.source.format.as_deref()) {
            (Some(Ok(grok)), _) => grok.fields().map(str::to_owned).collect(),
            (None, Some("text")) => vec!["message".to_owned()],
            _ => return,
        };
        // What a listener knows of a line.
        known.push("received".to_owned());
        known.extend(named.iter().map(|field| field.name.clone()));
        let conditions = classes.iter().filter_map(|(condition, key, _, _)| {
            Some((condition.as_ref()?.as_str(), key.name("where")))
        });
        let columns = classes.iter().flat_map(|(_, _, _, columns)| columns);
        let columns = columns.chain(named);
        let columns = columns.map(|column| (column.expression.as_str(), column.key.clone()));
        for (expression, key) in conditions.chain(columns) {
            for path in FieldExpression::fields_of(expression).unwrap_or_default() {
                let name = path.segments().join(".");
                let first = &path.segments()[0];
                if !known.contains(&name) && !known.contains(first) {
                    let near = did_you_mean(&name, known.iter().map(String::as_str));
                    let message = format!(
                        "names the field `{path}`, which no line has{near}; the fields are {}; a text stands in single quotes",
                        known.join(", ")
                    );
                    self.wrong(Code::UnknownField, key.clone(), message);
                }
            }
        }
    }

    /// Plans expressions that others use like fields, and puts their names behind the fields of the maker.
    fn named(&mut self, written: &[WrittenColumn]) -> Vec<FieldExpression> {
        let is_named = |path: &FieldPath| {
            let name = path.segments().join(".");
            written.iter().any(|field| field.name == name)
        };
        // A maker's field of a name is read by the expression of that name alone.
        let mut own = std::mem::take(&mut self.paths);
        own.retain(|path| !is_named(path));
        self.paths = own;
        let mut planned = Vec::new();
        let mut left: Vec<&WrittenColumn> = written.iter().collect();
        while !left.is_empty() {
            let before = left.len();
            for field in std::mem::take(&mut left) {
                let reads = FieldExpression::fields_of(&field.expression).unwrap_or_default();
                let mut waits = reads.iter().filter(|path| is_named(path));
                if waits.any(|path| !self.paths.contains(path)) {
                    left.push(field);
                    continue;
                }
                let read = FieldExpression::new(&field.expression, &self.paths);
                let read = self.checked(read, &field.key);
                let (Some(read), Ok(path)) = (read, field.name.parse::<FieldPath>()) else {
                    // What uses it is not wrong itself.
                    return planned;
                };
                self.paths.push(path);
                planned.push(read);
            }
            if left.len() == before {
                for field in left {
                    let message =
                        "reads itself, or a name that reads it: give one of them another name"
                            .to_owned();
                    self.wrong(Code::UnknownReference, field.key.clone(), message);
                }
                break;
            }
        }
        planned
    }

    fn checked(
        &mut self,
        read: Result<FieldExpression, yagura_plan::ConditionError>,
        key: &Key,
    ) -> Option<FieldExpression> {
        let read = read.map_err(|error| error.to_string()).and_then(|read| {
            match can_cast_types(read.data_type(), &DataType::Utf8) {
                true => Ok(read),
                false => Err(format!(
                    "gives values of the type {}, which have no form as a text: take what you need out of them",
                    read.data_type()
                )),
            }
        });
        read.map_err(|message| self.wrong(Code::InvalidCondition, key.clone(), message))
            .ok()
    }

    fn class(
        &mut self,
        class: &'static Class,
        condition: Option<FieldExpression>,
        written: &[WrittenColumn],
    ) -> ClassPlan {
        let mut constant = String::new();
        add(&mut constant, "class_uid", &class.uid().to_string());
        add_text(&mut constant, "class_name", class.caption());
        add(
            &mut constant,
            "category_uid",
            &class.category().uid.to_string(),
        );
        add_text(&mut constant, "category_name", class.category().caption);
        add_text(
            &mut constant,
            "metadata.version",
            Schema::shipped().version(),
        );
        let mut plan = ClassPlan {
            name: class.name(),
            caption: class.caption(),
            uid: i64::from(class.uid()),
            condition,
            columns: Vec::new(),
            zone: Zone::utc(),
            constant,
            siblings: BTreeMap::new(),
            captions: BTreeMap::new(),
        };
        for name in ["activity_id", "severity_id"] {
            if let Some(attribute) = Attribute::of(class, name) {
                plan.learn(name, &attribute);
            }
        }
        for column in written {
            if DERIVED.contains(&column.name.as_str()) {
                let message = format!(
                    "`{}` follows from the class and the other columns: leave it out",
                    column.name
                );
                self.wrong(Code::ConflictingKeys, column.key.clone(), message);
                continue;
            }
            let Some(attribute) = Attribute::of(class, &column.name) else {
                self.no_attribute(class, column);
                continue;
            };
            let read = FieldExpression::new(&column.expression, &self.paths);
            let Some(expression) = self.checked(read, &column.key) else {
                continue;
            };
            let source = match constant_of(&expression, &column.expression) {
                Some(value) => Source::Constant(value),
                None => Source::Expression(expression),
            };
            plan.learn(&column.name, &attribute);
            let mut key = String::new();
            write_text(&column.name, &mut key);
            let observable = attribute.observable.map(|(id, caption)| {
                format!("{{\"name\":{key},\"type\":\"{caption}\",\"type_id\":{id},\"value\":")
            });
            plan.columns.push(ColumnPlan {
                key: format!("{key}:"),
                observable,
                name: column.name.clone(),
                written: column.expression.clone(),
                is_time: column.name == TIME,
                attribute,
                source,
            });
        }
        plan
    }
}

impl ClassPlan {
    fn learn(&mut self, name: &str, attribute: &Attribute) {
        if let Some(captions) = &attribute.captions {
            self.captions.insert(name.to_owned(), captions.clone());
        }
        if let Some(sibling) = &attribute.sibling {
            self.siblings.insert(name.to_owned(), sibling.clone());
        }
    }
}

/// Returns the value of an expression that names no field.
fn constant_of(expression: &FieldExpression, written: &str) -> Option<Option<String>> {
    let is_constant = FieldExpression::fields_of(written).is_ok_and(|fields| fields.is_empty());
    if !is_constant {
        return None;
    }
    let values = expression.evaluate(&[], 1).ok()?;
    let values = texts(&values).ok()?;
    Some(values.iter().next().flatten().map(str::to_owned))
}
