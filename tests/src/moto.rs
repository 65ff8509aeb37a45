//! A moto server, whose address the environment names: S3 that announces its objects through SNS and SQS.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test without its server must fail"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

/// The region and the account of everything on the server.
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "123456789012";
/// Messages that SQS takes together.
const TOGETHER: usize = 10;

/// A server.
#[derive(Debug, Clone)]
pub struct Moto {
    /// `HOST:PORT`.
    server: String,
}

impl Moto {
    /// Returns the server that `YAGURA_TEST_MOTO` names, as `http://HOST:PORT`.
    ///
    /// # Panics
    /// If it names none.
    pub fn of_environment() -> Self {
        let url = std::env::var("YAGURA_TEST_MOTO").unwrap();
        let server = url.strip_prefix("http://").unwrap().to_owned();
        Self { server }
    }

    /// Returns the options of a table or location there.
    pub fn options(&self) -> BTreeMap<String, String> {
        [
            ("endpoint", format!("http://{}", self.server)),
            ("region", REGION.to_owned()),
            ("access_key_id", "test".to_owned()),
            ("secret_access_key", "test".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Returns the options as lines of a configuration.
    pub fn option_lines(&self) -> String {
        let options = self.options().into_iter();
        options
            .map(|(key, value)| format!("{key} = {value:?}\n"))
            .collect()
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn bucket(&self, name: &str) {
        self.ask("PUT", &format!("/{name}"), "s3", &[], b"");
    }

    /// Puts an object whose key is encoded as in a URL.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        self.ask("PUT", &format!("/{bucket}/{key}"), "s3", &[], bytes);
    }

    /// Makes a queue and returns its URL.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn queue(&self, name: &str) -> String {
        let made = self.sqs("CreateQueue", &json!({"QueueName": name}));
        let url = made["QueueUrl"].as_str().unwrap();
        // It may name another host.
        let path = url.splitn(4, '/').nth(3).unwrap();
        format!("http://{}/{path}", self.server)
    }

    /// Makes a topic that writes into a queue, and returns its ARN.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn topic(&self, name: &str, queue: &str) -> String {
        self.sns(&format!("Action=CreateTopic&Name={name}"));
        let arn = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}");
        let endpoint = self.arn(queue).replace(':', "%3A");
        let topic = arn.replace(':', "%3A");
        self.sns(&format!(
            "Action=Subscribe&TopicArn={topic}&Protocol=sqs&Endpoint={endpoint}"
        ));
        arn
    }

    /// Returns the ARN of a queue.
    pub fn arn(&self, queue: &str) -> String {
        let name = queue.rsplit('/').next().unwrap_or_default();
        format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
    }

    /// Lets a bucket announce new objects to a queue or a topic, by its ARN.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn announce(&self, bucket: &str, arn: &str) {
        let kind = if arn.contains(":sns:") {
            "Topic"
        } else {
            "Queue"
        };
        let body = format!(
            "<NotificationConfiguration><{kind}Configuration><Id>n</Id><{kind}>{arn}</{kind}>\
             <Event>s3:ObjectCreated:*</Event></{kind}Configuration></NotificationConfiguration>"
        );
        let path = format!("/{bucket}?notification");
        self.ask("PUT", &path, "s3", &[], body.as_bytes());
    }

    /// Sends messages.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn send(&self, queue: &str, texts: &[String]) {
        for some in texts.chunks(TOGETHER) {
            let entries = some
                .iter()
                .enumerate()
                .map(|(id, text)| json!({"Id": id.to_string(), "MessageBody": text}));
            let entries: Vec<Value> = entries.collect();
            self.sqs(
                "SendMessageBatch",
                &json!({"QueueUrl": queue, "Entries": entries}),
            );
        }
    }

    /// Returns how many messages are not deleted, hidden ones among them.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn left(&self, queue: &str) -> u64 {
        let asked = json!({"QueueUrl": queue, "AttributeNames": ["All"]});
        let found = self.sqs("GetQueueAttributes", &asked);
        let count = |name: &str| {
            let text = found["Attributes"][name].as_str().unwrap_or("0");
            text.parse::<u64>().unwrap()
        };
        count("ApproximateNumberOfMessages") + count("ApproximateNumberOfMessagesNotVisible")
    }

    fn sqs(&self, action: &str, body: &Value) -> Value {
        let target = format!("AmazonSQS.{action}");
        let headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("X-Amz-Target", target.as_str()),
        ];
        let answer = self.ask("POST", "/", "sqs", &headers, body.to_string().as_bytes());
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn sns(&self, form: &str) {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let body = format!("{form}&Version=2010-03-31");
        self.ask("POST", "/", "sns", &headers, body.as_bytes());
    }

    /// Sends a request, whose signature moto does not check, and returns the body of the answer.
    fn ask(
        &self,
        method: &str,
        path: &str,
        service: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> String {
        let server = &self.server;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n",
            body.len()
        );
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        let mut stream = TcpStream::connect(server).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            panic!("{method} {path}: {answer}");
        }
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        body.unwrap_or_default().to_owned()
    }
}
