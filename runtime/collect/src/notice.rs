//! What a message of a queue announces: new objects, something else, or nothing that can be read.
//!
//! ```text
//! S3:    Records[].s3                                 as it is, or in the envelope of SNS
//!        detail-type "Object Created", detail         of EventBridge, as it is or in the envelope of SNS
//! GCS:   attributes bucketId, objectId, eventType     beside the text
//! Azure: eventType or type, subject                   of Event Grid, in both of its schemas, in base64 or not
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::queue::Message;

/// How deep envelopes are opened: EventBridge in SNS.
const DEEPEST: usize = 3;

/// A new object that was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// The ETag of its content then, without quotes, if it is that which the store's lists show.
    pub(crate) tag: Option<String>,
}

/// What a message announces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) arrivals: Vec<Arrival>,
    /// Events of other kinds, such as deletions and tests.
    pub(crate) others: u64,
}

/// Reads a message.
///
/// # Errors
/// Why it does not announce an object of a store.
pub(crate) fn notice(message: &Message) -> Result<Notice, String> {
    if let Some(kind) = message.attributes.get("eventType")
        && message.attributes.contains_key("bucketId")
    {
        return of_google(message, kind);
    }
    let mut notice = Notice::default();
    of_text(&message.text, DEEPEST, &mut notice)?;
    Ok(notice)
}

fn of_google(message: &Message, kind: &str) -> Result<Notice, String> {
    if kind != "OBJECT_FINALIZE" {
        return Ok(Notice {
            others: 1,
            ..Notice::default()
        });
    }
    let attribute = |name: &str| {
        let value = message.attributes.get(name).cloned();
        value.ok_or_else(|| format!("it has no attribute `{name}`"))
    };
    let arrival = Arrival {
        bucket: attribute("bucketId")?,
        key: attribute("objectId")?,
        // Its ETag is another one in the API for JSON than in lists.
        tag: None,
    };
    Ok(Notice {
        arrivals: vec![arrival],
        others: 0,
    })
}

fn of_text(text: &str, depth: usize, notice: &mut Notice) -> Result<(), String> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => match unpacked(text) {
            Some(value) => value,
            None => return Err(format!("it is not JSON: {error}")),
        },
    };
    of_value(&value, depth, notice)
}

/// Reads text in base64, as Event Grid writes it into a queue.
fn unpacked(text: &str) -> Option<Value> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn of_value(value: &Value, depth: usize, notice: &mut Notice) -> Result<(), String> {
    let text = |name: &str| value[name].as_str();
    if let Some(records) = value["Records"].as_array() {
        for record in records {
            of_record(record, notice)?;
        }
        return Ok(());
    }
    if text("Event") == Some("s3:TestEvent") {
        notice.others += 1;
        return Ok(());
    }
    if text("Type") == Some("Notification")
        && let Some(inner) = text("Message")
        && depth > 0
    {
        return of_text(inner, depth - 1, notice);
    }
    if let Some(kind) = text("detail-type") {
        return of_event_bridge(value, kind, notice);
    }
    if let Some(events) = value.as_array() {
        for event in events {
            of_event_grid(event, notice)?;
        }
        return Ok(());
    }
    of_event_grid(value, notice)
}

fn of_record(record: &Value, notice: &mut Notice) -> Result<(), String> {
    let Some(kind) = record["eventName"].as_str() else {
        return Err("a record has no `eventName`".to_owned());
    };
    if !kind.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        notice.others += 1;
        return Ok(());
    }
    let object = &record["s3"]["object"];
    let bucket = record["s3"]["bucket"]["name"].as_str();
    let (Some(bucket), Some(key)) = (bucket, object["key"].as_str()) else {
        return Err("a record has no `s3.bucket.name` or no `s3.object.key`".to_owned());
    };
    // It is written as in a form: a space as `+`.
    let spaced = key.replace('+', " ");
    let key = percent_decode_str(&spaced)
        .decode_utf8()
        .map_err(|_| format!("the key `{key}` is not UTF-8"))?;
    notice.arrivals.push(Arrival {
        bucket: bucket.to_owned(),
        key: key.into_owned(),
        tag: object["eTag"].as_str().map(bare),
    });
    Ok(())
}

fn of_event_bridge(value: &Value, kind: &str, notice: &mut Notice) -> Result<(), String> {
    if kind != "Object Created" {
        notice.others += 1;
        return Ok(());
    }
    let detail = &value["detail"];
    let bucket = detail["bucket"]["name"].as_str();
    let (Some(bucket), Some(key)) = (bucket, detail["object"]["key"].as_str()) else {
        return Err("it has no `detail.bucket.name` or no `detail.object.key`".to_owned());
    };
    notice.arrivals.push(Arrival {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        tag: detail["object"]["etag"].as_str().map(bare),
    });
    Ok(())
}

fn of_event_grid(value: &Value, notice: &mut Notice) -> Result<(), String> {
    let kind = value["eventType"].as_str().or(value["type"].as_str());
    let Some(kind) = kind else {
        return Err(
            "it is not an event of S3, SNS, EventBridge, Cloud Storage or Event Grid".to_owned(),
        );
    };
    if kind != "Microsoft.Storage.BlobCreated" {
        notice.others += 1;
        return Ok(());
    }
    let subject = value["subject"].as_str().unwrap_or_default();
    let place = subject
        .strip_prefix("/blobServices/default/containers/")
        .and_then(|rest| rest.split_once("/blobs/"));
    let Some((container, key)) = place else {
        return Err(format!(
            "its `subject` does not name an object: `{subject}`"
        ));
    };
    notice.arrivals.push(Arrival {
        bucket: container.to_owned(),
        key: key.to_owned(),
        tag: value["data"]["eTag"].as_str().map(bare),
    });
    Ok(())
}

/// Returns an ETag without its quotes: stores write them here and leave them out there.
pub(crate) fn bare(tag: &str) -> String {
    tag.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Notice, String> {
        notice(&Message {
            text: text.to_owned(),
            ..Message::default()
        })
    }

    fn one(bucket: &str, key: &str, tag: Option<&str>) -> Notice {
        Notice {
            arrivals: vec![Arrival {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                tag: tag.map(str::to_owned),
            }],
            others: 0,
        }
    }

    fn s3_event(kind: &str) -> String {
        json!({"Records": [{"eventName": kind, "s3": {
            "bucket": {"name": "raw"},
            "object": {"key": "a/b+c%2B%C3%A9.log", "size": 1, "eTag": "d41d"},
        }}]})
        .to_string()
    }

    #[test]
    fn amazon_announces_in_four_ways() {
        let expected = one("raw", "a/b c+é.log", Some("d41d"));
        let plain = s3_event("ObjectCreated:Put");
        assert_eq!(read(&plain), Ok(expected.clone()));
        let by_sns = json!({"Type": "Notification", "TopicArn": "t", "Message": plain}).to_string();
        assert_eq!(read(&by_sns), Ok(expected));
        let bridged = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {
            "bucket": {"name": "raw"}, "object": {"key": "a/b+c%20.log", "etag": "d41d"}}});
        let expected = one("raw", "a/b+c%20.log", Some("d41d"));
        assert_eq!(read(&bridged.to_string()), Ok(expected.clone()));
        let both = json!({"Type": "Notification", "Message": bridged.to_string()});
        assert_eq!(read(&both.to_string()), Ok(expected));
        for other in [
            s3_event("ObjectRemoved:Delete"),
            json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "raw"}).to_string(),
            json!({"detail-type": "Object Deleted", "detail": {}}).to_string(),
        ] {
            let notice = read(&other).unwrap();
            assert_eq!((notice.arrivals.len(), notice.others), (0, 1), "{other}");
        }
    }

    #[test]
    fn google_announces_in_attributes() {
        let message = |kind: &str| Message {
            text: "{\"kind\":\"storage#object\"}".to_owned(),
            attributes: [
                ("eventType", kind),
                ("bucketId", "raw"),
                ("objectId", "a/b c.log"),
                ("objectGeneration", "17"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            receipt: String::new(),
        };
        assert_eq!(
            notice(&message("OBJECT_FINALIZE")),
            Ok(one("raw", "a/b c.log", None))
        );
        assert_eq!(notice(&message("OBJECT_DELETE")).unwrap().others, 1);
        let mut torn = message("OBJECT_FINALIZE");
        torn.attributes.remove("objectId");
        assert!(notice(&torn).unwrap_err().contains("objectId"));
    }

    #[test]
    fn microsoft_announces_in_two_schemas() {
        let subject = "/blobServices/default/containers/raw/blobs/a/b c.log";
        let expected = one("raw", "a/b c.log", Some("0x8D4"));
        let grid = json!({"eventType": "Microsoft.Storage.BlobCreated", "subject": subject, "data": {"eTag": "\"0x8D4\""}});
        let cloud = json!({"type": "Microsoft.Storage.BlobCreated", "subject": subject, "data": {"eTag": "0x8D4"}});
        for event in [grid.clone(), cloud, json!([grid])] {
            assert_eq!(read(&event.to_string()), Ok(expected.clone()));
            assert_eq!(
                read(&STANDARD.encode(event.to_string())),
                Ok(expected.clone())
            );
        }
        let deleted = json!({"eventType": "Microsoft.Storage.BlobDeleted", "subject": subject});
        assert_eq!(read(&deleted.to_string()).unwrap().others, 1);
    }

    #[test]
    fn what_is_no_announcement_is_said() {
        for (text, expected) in [
            ("hello", "not JSON"),
            ("", "not JSON"),
            ("{}", "not an event of S3"),
            ("[1]", "not an event of S3"),
            ("{\"Records\":[{}]}", "no `eventName`"),
            (
                "{\"Records\":[{\"eventName\":\"ObjectCreated:Put\"}]}",
                "no `s3.bucket.name`",
            ),
            ("{\"Type\":\"Notification\",\"Message\":\"x\"}", "not JSON"),
            (
                "{\"type\":\"Microsoft.Storage.BlobCreated\",\"subject\":\"/x\"}",
                "`/x`",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        // An envelope in itself has an end.
        let mut text = "x".to_owned();
        for _ in 0..6 {
            text = json!({"Type": "Notification", "Message": text}).to_string();
        }
        assert!(read(&text).is_err());
    }
}
