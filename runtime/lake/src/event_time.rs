//! Which column holds the time of events, and how its values are read.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, make_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;
use yagura_core::Timestamp;
use yagura_core::names::did_you_mean;

use crate::definition::TableDefinition;
use crate::epoch_unit::EpochUnit;
use crate::ingest::time::of_text;
use crate::table_config::TableConfig;
use crate::table_error::TableError;

/// The type in which event time is compared.
pub const EVENT_TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Names of time columns, best first; compared without case, `_`, `-`, `.` and `@`.
const TIME_NAMES: [&str; 12] = [
    "eventtime",
    "timedt",
    "time",
    "timestamp",
    "ts",
    "datetime",
    "timecreated",
    "systemtime",
    "utctime",
    "eventtimestamp",
    "timegenerated",
    "createdat",
];

/// The column of event time.
pub(crate) struct EventTime {
    pub(crate) column: String,
    /// What a person should know of the choice.
    pub(crate) note: Option<String>,
}

pub(crate) fn time_column(
    config: &TableConfig,
    definition: Option<&TableDefinition>,
    schema: &Schema,
) -> Result<EventTime, TableError> {
    let wrong = |reason| TableError::Time {
        table: config.name.clone(),
        reason,
    };
    let set = format!(
        "set `time = \"COLUMN\"` under [table.{}] of the configuration",
        config.name
    );
    let given = config
        .time
        .as_deref()
        .or_else(|| definition.map(|definition| definition.time_column.as_str()));
    if let Some(name) = given {
        let chosen = |note| {
            Ok(EventTime {
                column: name.to_owned(),
                note,
            })
        };
        return match schema.field_with_name(name) {
            Ok(field) if is_readable(field.data_type()) => chosen(None),
            Ok(field) => Err(wrong(format!(
                "the time column `{name}` holds {}, of which no time can be read; {set} to a column of timestamps, dates, numbers or text{}",
                plain_type(field.data_type()),
                candidates(schema)
            ))),
            Err(_) => {
                let names = schema.fields().iter().map(|field| field.name().as_str());
                Err(wrong(format!(
                    "there is no time column `{name}`{}; {set}{}",
                    did_you_mean(name, names),
                    candidates(schema)
                )))
            }
        };
    }
    let with_name = |is_fit: fn(&DataType) -> bool| {
        TIME_NAMES.iter().find_map(|known| {
            let mut fields = schema.fields().iter();
            fields.find(|field| is_fit(field.data_type()) && bare(field.name()) == *known)
        })
    };
    let fields = schema.fields().iter();
    let times: Vec<_> = fields
        .filter(|field| is_timestamp(field.data_type()))
        .collect();
    let chosen = |field: &Field, note| {
        Ok(EventTime {
            column: field.name().clone(),
            note,
        })
    };
    if let Some(field) = with_name(is_timestamp) {
        return chosen(field, None);
    }
    if let [only] = times.as_slice() {
        return chosen(only, None);
    }
    if !times.is_empty() {
        let names: Vec<_> = times.iter().map(|field| field.name().as_str()).collect();
        return Err(wrong(format!(
            "it has several timestamp columns ({}); {set} to the one that holds the event time",
            names.join(", ")
        )));
    }
    match with_name(is_readable) {
        Some(field) => {
            let note = format!(
                "the event time is read from `{}`, a column of {}; {set} if it is another",
                field.name(),
                plain_type(field.data_type())
            );
            chosen(field, Some(note))
        }
        None => Err(wrong(format!(
            "it has no column of timestamps, and none whose name says that it holds the event time; {set}{}",
            candidates(schema)
        ))),
    }
}

fn bare(name: &str) -> String {
    let mut name = name.to_lowercase();
    name.retain(|letter| !matches!(letter, '_' | '-' | '.' | '@' | ' '));
    name
}

fn candidates(schema: &Schema) -> String {
    const MOST: usize = 8;
    let is_fit = |field: &&Arc<Field>| is_readable(field.data_type());
    let all: Vec<_> = schema.fields().iter().filter(is_fit).collect();
    if all.is_empty() {
        return String::new();
    }
    let shown = all.iter().take(MOST);
    let shown: Vec<_> = shown
        .map(|field| format!("`{}` ({})", field.name(), plain_type(field.data_type())))
        .collect();
    let more = if all.len() > MOST { " …" } else { "" };
    format!("; it has {}{more}", shown.join(", "))
}

fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, _))
}

fn is_readable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_readable(value),
        DataType::Date32 | DataType::Date64 => true,
        other => is_timestamp(other) || other.is_string() || other.is_numeric(),
    }
}

/// Returns what people call a type, in the plural.
pub fn plain_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "nothing but nulls",
        DataType::Boolean => "true and false",
        other if other.is_integer() => "integers",
        other if other.is_numeric() => "numbers",
        other if other.is_string() => "text",
        DataType::Timestamp(_, _) => "timestamps",
        DataType::Date32 | DataType::Date64 => "dates",
        DataType::Time32(_) | DataType::Time64(_) => "times of day",
        DataType::Duration(_) | DataType::Interval(_) => "durations",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bytes",
        DataType::Struct(_) => "structs",
        DataType::Map(_, _) => "maps",
        DataType::Union(_, _) => "values of several types",
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, value) => plain_type(value.data_type()),
        _ => "lists",
    }
}

/// Returns the times of an array of timestamps, dates, numbers since 1970 or text; of a number its size tells the unit.
///
/// # Errors
/// [`ArrowError`], for a type that holds no times.
pub fn event_times(array: &ArrayRef) -> Result<Vec<Option<Timestamp>>, ArrowError> {
    read(array, None)
}

pub(crate) fn read(
    array: &ArrayRef,
    unit: Option<EpochUnit>,
) -> Result<Vec<Option<Timestamp>>, ArrowError> {
    let number = |number: i64| {
        unit.unwrap_or_else(|| EpochUnit::by_size(number))
            .read(number)
    };
    match array.data_type() {
        DataType::Timestamp(unit, zone) => {
            // What is stored is UTC whatever the zone; a cast would shift it to local time.
            let array = if zone.is_some() {
                let without_zone = DataType::Timestamp(*unit, None);
                let data = array.to_data().into_builder().data_type(without_zone);
                make_array(data.build()?)
            } else {
                Arc::clone(array)
            };
            of_micros(&array)
        }
        DataType::Date32 | DataType::Date64 => of_micros(array),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let values = read(dictionary.values(), unit)?;
            let keys = dictionary.normalized_keys();
            let time = |(row, key): (usize, &usize)| {
                if dictionary.is_null(row) {
                    None
                } else {
                    *values.get(*key)?
                }
            };
            // Keys of an empty dictionary are not normalized: all of them are NULL.
            if dictionary.values().is_empty() {
                return Ok(vec![None; array.len()]);
            }
            Ok(keys.iter().enumerate().map(time).collect())
        }
        other if other.is_integer() => {
            let numbers = cast(array, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>().iter();
            Ok(numbers.map(|value| value.and_then(number)).collect())
        }
        _ => {
            let texts = cast(array, &DataType::Utf8View)?;
            let time = |text: &str| match (unit, text.trim().parse()) {
                (Some(unit), Ok(number)) => unit.read(number),
                _ => of_text(text),
            };
            let texts = texts.as_string_view().iter();
            Ok(texts.map(|text| text.and_then(time)).collect())
        }
    }
}

fn of_micros(array: &ArrayRef) -> Result<Vec<Option<Timestamp>>, ArrowError> {
    let micros = cast(array, &EVENT_TIME)?;
    let micros = micros.as_primitive::<TimestampMicrosecondType>().iter();
    Ok(micros
        .map(|value| value.and_then(Timestamp::from_micros))
        .collect())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        Date32Array, Date64Array, DictionaryArray, Int64Array, LargeStringArray, StringArray,
        StringViewArray, TimestampMillisecondArray, TimestampSecondArray, UInt64Array,
    };
    use datafusion::arrow::datatypes::Int8Type;

    use super::*;

    #[test]
    fn one_moment_is_the_same_in_every_type() {
        let text = "2026-03-01T12:30:00Z";
        let wanted = text.parse::<Timestamp>().unwrap();
        let seconds = wanted.micros() / 1_000_000;
        let dictionary: DictionaryArray<Int8Type> = [Some(text), None].into_iter().collect();
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some(text), None])),
            Arc::new(LargeStringArray::from(vec![
                Some("2026-03-01 13:30:00+01:00"),
                None,
            ])),
            Arc::new(StringViewArray::from(vec![Some("1772368200"), Some("-")])),
            Arc::new(dictionary),
            Arc::new(Int64Array::from(vec![Some(seconds), None])),
            Arc::new(Int64Array::from(vec![Some(seconds * 1_000), None])),
            Arc::new(Int64Array::from(vec![Some(seconds * 1_000_000), None])),
            Arc::new(UInt64Array::from(vec![
                seconds.cast_unsigned() * 1_000_000_000,
                u64::MAX,
            ])),
            Arc::new(TimestampSecondArray::from(vec![
                Some(seconds),
                Some(i64::MAX),
            ])),
            Arc::new(
                TimestampMillisecondArray::from(vec![Some(seconds * 1_000), None])
                    .with_timezone("Asia/Tokyo"),
            ),
        ];
        for array in &arrays {
            let times = event_times(array).unwrap();
            assert_eq!(times, [Some(wanted), None], "{}", array.data_type());
        }
        let day = "2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap();
        let days: Vec<ArrayRef> = vec![
            Arc::new(Date32Array::from(vec![20_513])),
            Arc::new(Date64Array::from(vec![20_513 * 86_400_000])),
            Arc::new(StringArray::from(vec!["2026-03-01"])),
        ];
        for array in &days {
            assert_eq!(
                event_times(array).unwrap(),
                [Some(day)],
                "{}",
                array.data_type()
            );
        }
        let small: ArrayRef = Arc::new(Int64Array::from(vec![1_000]));
        let milliseconds = read(&small, Some(EpochUnit::Milliseconds)).unwrap();
        assert_eq!(milliseconds, [Timestamp::from_micros(1_000_000)]);
    }
}
