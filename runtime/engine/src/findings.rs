//! Findings as record batches, so that they can leave a plan and, later, a process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Builder, ListArray, ListBuilder, RecordBatch, StringBuilder,
    StructArray, StructBuilder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use datafusion::arrow::datatypes::{
    DataType, Field, Fields, Int64Type, Schema, SchemaRef, UInt8Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use yagura_core::{EventRef, Finding, Severity, Timestamp};

fn pair_fields() -> Fields {
    Fields::from(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ])
}

fn event_fields() -> Fields {
    Fields::from(vec![
        Field::new("time", DataType::Int64, false),
        Field::new("object", DataType::Utf8, false),
        Field::new("row", DataType::UInt64, false),
    ])
}

fn list_of(fields: Fields) -> DataType {
    DataType::List(Arc::new(Field::new(
        "item",
        DataType::Struct(fields),
        false,
    )))
}

fn text_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Utf8, true))
}

fn texts_type() -> DataType {
    DataType::List(text_field())
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("rule", DataType::UInt32, false),
        Field::new("key", DataType::Utf8, false),
        Field::new("title", DataType::Utf8, false),
        Field::new("severity", DataType::UInt8, true),
        Field::new("events", list_of(event_fields()), false),
        Field::new("observables", list_of(pair_fields()), false),
        Field::new("context", list_of(pair_fields()), false),
        Field::new("time", DataType::Int64, false),
        Field::new("fields", texts_type(), false),
    ]))
});

/// Returns the schema of a batch of findings. `rule` indexes the run's rules, times are microseconds in UTC.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

const SEVERITIES: [Severity; 5] = [
    Severity::Info,
    Severity::Low,
    Severity::Medium,
    Severity::High,
    Severity::Critical,
];

/// Returns the findings as one batch.
pub(crate) fn encode(findings: &[Finding]) -> Result<RecordBatch, ArrowError> {
    let mut rule = UInt32Builder::new();
    let mut key = StringBuilder::new();
    let mut title = StringBuilder::new();
    let mut severity = UInt8Builder::new();
    let mut events = list_builder(event_fields());
    let mut observables = list_builder(pair_fields());
    let mut context = list_builder(pair_fields());
    let mut time = Int64Builder::new();
    let mut fields = ListBuilder::new(StringBuilder::new()).with_field(text_field());
    for finding in findings {
        time.append_value(finding.time.micros());
        for field in &finding.fields {
            fields.values().append_option(field.as_deref());
        }
        fields.append(true);
        rule.append_value(
            u32::try_from(finding.rule)
                .map_err(|_| ArrowError::ComputeError("more than 2^32 rules".into()))?,
        );
        key.append_value(&finding.key);
        title.append_value(&finding.title);
        severity.append_option(finding.severity.and_then(|severity| {
            let index = SEVERITIES.iter().position(|known| *known == severity)?;
            u8::try_from(index).ok()
        }));
        for event in &finding.events {
            let item = events.values();
            if let Some(time) = item.field_builder::<Int64Builder>(0) {
                time.append_value(event.time.micros());
            }
            if let Some(object) = item.field_builder::<StringBuilder>(1) {
                object.append_value(&event.object);
            }
            if let Some(row) = item.field_builder::<UInt64Builder>(2) {
                row.append_value(event.row);
            }
            item.append(true);
        }
        events.append(true);
        append_pairs(&mut observables, &finding.observables);
        append_pairs(&mut context, &finding.context);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rule.finish()),
        Arc::new(key.finish()),
        Arc::new(title.finish()),
        Arc::new(severity.finish()),
        Arc::new(events.finish()),
        Arc::new(observables.finish()),
        Arc::new(context.finish()),
        Arc::new(time.finish()),
        Arc::new(fields.finish()),
    ];
    RecordBatch::try_new(schema(), columns)
}

fn list_builder(fields: Fields) -> ListBuilder<StructBuilder> {
    let item = Field::new("item", DataType::Struct(fields.clone()), false);
    ListBuilder::new(StructBuilder::from_fields(fields, 0)).with_field(item)
}

fn append_pairs(list: &mut ListBuilder<StructBuilder>, pairs: &[(String, String)]) {
    for (name, value) in pairs {
        let item = list.values();
        for (index, text) in [name, value].into_iter().enumerate() {
            if let Some(column) = item.field_builder::<StringBuilder>(index) {
                column.append_value(text);
            }
        }
        item.append(true);
    }
    list.append(true);
}

/// Reads findings back; object names that repeat share their memory through `objects`.
pub(crate) fn decode(batch: &RecordBatch, objects: &mut HashMap<String, Arc<str>>) -> Vec<Finding> {
    let rule = batch.column(0).as_primitive::<UInt32Type>();
    let key = batch.column(1).as_string::<i32>();
    let title = batch.column(2).as_string::<i32>();
    let severity = batch.column(3).as_primitive::<UInt8Type>();
    let events = batch.column(4).as_list::<i32>();
    let items = events.values().as_struct();
    let times = items.column(0).as_primitive::<Int64Type>();
    let names = items.column(1).as_string::<i32>();
    let rows = items.column(2).as_primitive::<UInt64Type>();
    let known = batch.column(7).as_primitive::<Int64Type>();
    let fields = batch.column(8).as_list::<i32>();
    let values = fields.values().as_string::<i32>();
    (0..batch.num_rows())
        .map(|index| Finding {
            time: Timestamp::clamped(known.value(index)),
            fields: range(fields, index)
                .map(|at| values.is_valid(at).then(|| values.value(at).to_owned()))
                .collect(),
            rule: rule.value(index) as usize,
            key: key.value(index).to_owned(),
            title: title.value(index).to_owned(),
            severity: severity
                .is_valid(index)
                .then(|| SEVERITIES.get(usize::from(severity.value(index))).copied())
                .flatten(),
            events: range(events, index)
                .map(|at| EventRef {
                    time: Timestamp::clamped(times.value(at)),
                    object: intern(objects, names.value(at)),
                    row: rows.value(at),
                })
                .collect(),
            observables: pairs(batch.column(5).as_list(), index),
            context: pairs(batch.column(6).as_list(), index),
        })
        .collect()
}

fn intern(objects: &mut HashMap<String, Arc<str>>, name: &str) -> Arc<str> {
    if let Some(known) = objects.get(name) {
        return Arc::clone(known);
    }
    let shared: Arc<str> = name.into();
    objects.insert(name.to_owned(), Arc::clone(&shared));
    shared
}

fn pairs(list: &ListArray, index: usize) -> Vec<(String, String)> {
    let items: &StructArray = list.values().as_struct();
    let names = items.column(0).as_string::<i32>();
    let values = items.column(1).as_string::<i32>();
    range(list, index)
        .map(|at| (names.value(at).to_owned(), values.value(at).to_owned()))
        .collect()
}

fn range(list: &ListArray, index: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    let at = |index: usize| usize::try_from(offsets[index]).unwrap_or_default();
    at(index)..at(index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_survive_the_round_trip() {
        let findings = vec![
            Finding {
                rule: 7,
                events: vec![
                    EventRef {
                        time: Timestamp::clamped(5),
                        object: "a".into(),
                        row: 3,
                    },
                    EventRef {
                        time: Timestamp::clamped(6),
                        object: "b".into(),
                        row: 0,
                    },
                ],
                key: "k".into(),
                title: "t".into(),
                severity: Some(Severity::High),
                observables: vec![("ip".into(), "10.0.0.1".into())],
                context: vec![],
                time: Timestamp::clamped(6),
                fields: vec![Some("a".into()), None],
            },
            Finding {
                rule: 0,
                events: vec![EventRef {
                    time: Timestamp::clamped(-1),
                    object: "a".into(),
                    row: 9,
                }],
                key: String::new(),
                title: String::new(),
                severity: None,
                observables: vec![],
                context: vec![("n".into(), "v".into()), ("m".into(), String::new())],
                time: Timestamp::clamped(-1),
                fields: vec![],
            },
        ];
        let batch = encode(&findings).unwrap();
        assert_eq!(decode(&batch, &mut HashMap::new()), findings);
    }
}
