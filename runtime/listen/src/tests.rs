//! Listeners with real sockets.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path as File;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::{
    Compression, Framing, ListenCounts, ListenLimits, ListenOptions, Listener, TlsError, TlsFiles,
    tls_server,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn options(store: Arc<dyn ObjectStore>) -> ListenOptions {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    ListenOptions {
        name: "edge".to_owned(),
        udp: Some(any),
        tcp: Some(any),
        tls: None,
        allow: Vec::new(),
        framing: Framing::Auto,
        store,
        prefix: Path::from("raw/syslog"),
        compression: Compression::Zstd,
        limits: ListenLimits::default(),
    }
}

/// Returns the lines of all objects, and the objects' names in order.
async fn written(store: &dyn ObjectStore) -> (Vec<Value>, Vec<String>) {
    let objects = store.list(Some(&Path::from("raw/syslog")));
    let mut names: Vec<String> = objects
        .map_ok(|object| object.location.to_string())
        .try_collect()
        .await
        .unwrap();
    names.sort();
    let mut lines = Vec::new();
    for name in &names {
        let bytes = store.get(&Path::from(name.as_str())).await.unwrap();
        let bytes = bytes.bytes().await.unwrap();
        let mut text = String::new();
        if name.ends_with(".zst") {
            text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
        } else if name.ends_with(".gz") {
            let mut plain = flate2::read::GzDecoder::new(&bytes[..]);
            plain.read_to_string(&mut text).unwrap();
        } else {
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        assert!(text.ends_with('\n'), "{name} is whole");
        lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
    }
    (lines, names)
}

fn messages(lines: &[Value]) -> BTreeSet<String> {
    let messages = lines.iter().map(|line| line["message"].as_str().unwrap());
    messages.map(str::to_owned).collect()
}

async fn until(listener: &Listener, is_so: impl Fn(&ListenCounts) -> bool) -> ListenCounts {
    for _ in 0..2_000 {
        let counts = listener.counts();
        if is_so(&counts) {
            return counts;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to that: {:?}", listener.counts());
}

async fn connect(listener: &Listener) -> TcpStream {
    TcpStream::connect(listener.bound().tcp.unwrap())
        .await
        .unwrap()
}

async fn datagram(listener: &Listener, message: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = listener.bound().udp.unwrap();
    socket.send_to(message, to).await.unwrap();
}

#[tokio::test]
async fn each_message_is_once_in_an_object_with_its_peer_and_time() {
    for (compression, end) in [
        (Compression::Zstd, ".ndjson.zst"),
        (Compression::Gzip, ".ndjson.gz"),
        (Compression::None, ".ndjson"),
    ] {
        let store = Arc::new(InMemory::new());
        let mut options = options(Arc::clone(&store) as _);
        options.compression = compression;
        options.limits.object_bytes = 2_000;
        let listener = Listener::start(options).await.unwrap();
        let mut expected = BTreeSet::new();
        for number in 0..20 {
            let message = format!("<34>datagram {number}");
            datagram(&listener, format!("{message}\n").as_bytes()).await;
            expected.insert(message);
        }
        let mut stream = connect(&listener).await;
        for number in 0..20 {
            let message = format!("<34>line {number}");
            stream
                .write_all(format!("{message}\n").as_bytes())
                .await
                .unwrap();
            expected.insert(message);
            let message = format!("<34>counted\n{number}");
            let counted = format!("{} {message}", message.len());
            stream.write_all(counted.as_bytes()).await.unwrap();
            expected.insert(message);
        }
        // The last line has no end.
        stream.write_all(b"<34>the last").await.unwrap();
        expected.insert("<34>the last".to_owned());
        let own = stream.local_addr().unwrap();
        drop(stream);
        until(&listener, |counts| counts.received == 61).await;
        let stopped = listener.stop(PATIENCE).await;
        assert_eq!(stopped.lost, 0);
        assert_eq!((stopped.counts.received, stopped.counts.written), (61, 61));
        assert_eq!(stopped.counts.open, 0);

        let (lines, names) = written(&*store).await;
        assert_eq!(lines.len(), 61);
        assert_eq!(messages(&lines), expected);
        assert_eq!(names.len() as u64, stopped.counts.objects);
        assert!(names.len() > 2, "{names:?}");
        assert!(names.iter().all(|name| name.ends_with(end)), "{names:?}");
        let numbers: BTreeSet<u64> = lines.iter().map(|of| of["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers.len(), 61);
        let of_line = lines.iter().find(|of| of["message"] == "<34>line 3");
        let of_line = of_line.unwrap();
        assert_eq!(of_line["peer"], own.to_string());
        assert_eq!(of_line["transport"], "tcp");
        let received: yagura_core::Timestamp =
            of_line["received"].as_str().unwrap().parse().unwrap();
        assert!((crate::record::now().micros() - received.micros()).abs() < 60_000_000);
    }
}

#[tokio::test]
async fn an_object_is_written_when_its_first_message_is_old() {
    let store = Arc::new(InMemory::new());
    let mut options = options(Arc::clone(&store) as _);
    options.limits.age = Duration::from_millis(200);
    let listener = Listener::start(options).await.unwrap();
    datagram(&listener, b"<1>first").await;
    until(&listener, |counts| counts.written == 1).await;
    datagram(&listener, b"<1>second").await;
    until(&listener, |counts| counts.written == 2).await;
    let (lines, names) = written(&*store).await;
    assert_eq!((lines.len(), names.len()), (2, 2));
    assert!(names[0] < names[1]);
    // A process that is killed: what is in the store is whole and stays.
    datagram(&listener, b"<1>third").await;
    until(&listener, |counts| counts.received == 3).await;
    drop(listener);
    assert_eq!(written(&*store).await.0.len(), 2);
}

#[tokio::test]
async fn while_the_store_takes_nothing_streams_wait_and_datagrams_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    // A file stands where the folder of the objects must be.
    let block = dir.path().join("raw");
    std::fs::write(&block, "in the way").unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap());
    let mut options = options(Arc::clone(&store) as _);
    options.limits.object_bytes = 50_000;
    options.limits.queue_bytes = 200_000;
    let listener = Listener::start(options).await.unwrap();
    const LINES: usize = 60_000;
    let mut stream = connect(&listener).await;
    let sender = tokio::spawn(async move {
        for number in 0..LINES {
            let line = format!("<34>{number:06} {}\n", "x".repeat(90));
            stream.write_all(line.as_bytes()).await.unwrap();
        }
        stream.shutdown().await.unwrap();
        // Until the listener has read all of it.
        let _ = stream.read(&mut [0]).await;
    });
    let counts = until(&listener, |counts| counts.trouble.is_some()).await;
    let trouble = counts.trouble.unwrap();
    assert!(trouble.starts_with("cannot write raw/syslog/"), "{trouble}");
    sleep(Duration::from_millis(500)).await;
    let held = listener.counts().received;
    // 6 MB were offered. 250 kB are held, in lines that are about twice as long as their messages.
    assert!(held < 3_000, "{held}");
    assert!(!sender.is_finished());
    for _ in 0..50 {
        datagram(&listener, &[b'y'; 9_000]).await;
    }
    let counts = until(&listener, |counts| counts.dropped > 0).await;
    assert_eq!(counts.written, 0);

    std::fs::remove_file(&block).unwrap();
    timeout(PATIENCE, sender).await.unwrap().unwrap();
    let stopped = listener.stop(PATIENCE).await;
    assert_eq!(stopped.lost, 0, "{stopped:?}");
    assert_eq!(stopped.counts.trouble, None);
    let (lines, _) = written(&*store).await;
    let of_stream = lines.iter().filter(|of| of["transport"] == "tcp");
    assert_eq!(of_stream.count(), LINES);
    let of_datagrams = lines.iter().filter(|of| of["transport"] == "udp").count() as u64;
    assert_eq!(of_datagrams + stopped.counts.dropped, 50);
}

#[tokio::test]
async fn a_stop_without_a_store_says_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("raw"), "in the way").unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap());
    let listener = Listener::start(options(store)).await.unwrap();
    datagram(&listener, b"<1>a").await;
    datagram(&listener, b"<1>b").await;
    until(&listener, |counts| counts.received == 2).await;
    let stopped = listener.stop(Duration::from_millis(300)).await;
    assert_eq!(stopped.lost, 2);
}

#[tokio::test]
async fn a_stop_reads_what_peers_had_sent() {
    let store = Arc::new(InMemory::new());
    let listener = Listener::start(options(Arc::clone(&store) as _))
        .await
        .unwrap();
    let mut stream = connect(&listener).await;
    stream.write_all(b"<1>begin\n").await.unwrap();
    until(&listener, |counts| counts.open == 1).await;
    for number in 0..500 {
        let line = format!("<1>{number}\n");
        stream.write_all(line.as_bytes()).await.unwrap();
    }
    for number in 0..100 {
        datagram(&listener, format!("<2>{number}").as_bytes()).await;
    }
    // The connection is still open.
    let stopped = listener.stop(PATIENCE).await;
    assert_eq!(stopped.counts.written, 601);
    assert_eq!(written(&*store).await.0.len(), 601);
}

#[tokio::test]
async fn slow_peers_huge_lines_and_wrong_frames_harm_no_other_peer() {
    let store = Arc::new(InMemory::new());
    let mut options = options(Arc::clone(&store) as _);
    options.limits.message_bytes = 1_000;
    options.limits.idle = Duration::from_secs(1);
    let listener = Listener::start(options).await.unwrap();

    let mut huge = connect(&listener).await;
    let writes_much = async {
        huge.write_all(b"<1>huge ").await.unwrap();
        for _ in 0..5_000 {
            huge.write_all(&[b'h'; 10_000]).await.unwrap();
        }
        huge.write_all(b"\n<1>after huge\n").await.unwrap();
        huge.shutdown().await.unwrap();
    };
    let mut slow = connect(&listener).await;
    let writes_slowly = async {
        for byte in b"9 <1>slowly" {
            slow.write_all(&[*byte]).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(writes_much, writes_slowly);
    // A count that never comes to its end, and then silence.
    let mut silent = connect(&listener).await;
    silent.write_all(b"900 <1>never whole").await.unwrap();
    let closed = timeout(PATIENCE, silent.read(&mut [0])).await.unwrap();
    assert_eq!(closed.unwrap(), 0, "the listener closes it");

    let stopped = listener.stop(PATIENCE).await;
    let counts = &stopped.counts;
    assert_eq!((counts.cut, counts.incomplete), (1, 1));
    assert!(counts.idle >= 1, "{counts:?}");
    let (lines, _) = written(&*store).await;
    let find = |start: &str| {
        let mut lines = lines.iter();
        lines
            .find(|of| of["message"].as_str().unwrap().starts_with(start))
            .unwrap()
    };
    assert_eq!(find("<1>huge")["message"].as_str().unwrap().len(), 1_000);
    assert_eq!(find("<1>huge")["cut"], 50_000_008 - 1_000);
    assert_eq!(find("<1>slow")["message"], "<1>slowly");
    assert_eq!(find("<1>never")["incomplete"], true);
    find("<1>after huge");
}

#[tokio::test]
async fn a_connection_without_counts_ends_where_they_are_required() {
    let store = Arc::new(InMemory::new());
    let mut options = options(Arc::clone(&store) as _);
    options.framing = Framing::OctetCounting;
    let listener = Listener::start(options).await.unwrap();
    let mut stream = connect(&listener).await;
    stream.write_all(b"4 <1>a<1>b\n").await.unwrap();
    let closed = timeout(PATIENCE, stream.read(&mut [0])).await.unwrap();
    assert!(!matches!(closed, Ok(1..)), "{closed:?}");
    let stopped = listener.stop(PATIENCE).await;
    assert_eq!(stopped.counts.without_count, 1);
    assert_eq!(stopped.counts.written, 1);
}

#[tokio::test]
async fn many_connections_are_served_and_those_over_the_limit_are_refused() {
    let store = Arc::new(InMemory::new());
    let mut options = options(Arc::clone(&store) as _);
    options.limits.connections = 100;
    let listener = Listener::start(options).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(connect(&listener).await);
    }
    until(&listener, |counts| counts.open == 100).await;
    for _ in 0..5 {
        let mut refused = connect(&listener).await;
        let end = timeout(PATIENCE, refused.read(&mut [0])).await.unwrap();
        assert!(!matches!(end, Ok(1..)), "{end:?}");
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let line = format!("<1>of {number}\n");
        stream.write_all(line.as_bytes()).await.unwrap();
    }
    until(&listener, |counts| counts.received == 100).await;
    // A place that is free is given to the next.
    drop(streams);
    until(&listener, |counts| counts.open == 0).await;
    connect(&listener)
        .await
        .write_all(b"<1>late\n")
        .await
        .unwrap();
    until(&listener, |counts| counts.received == 101).await;
    let stopped = listener.stop(PATIENCE).await;
    assert_eq!(stopped.counts.refused, 5);
    assert_eq!(written(&*store).await.0.len(), 101);
}

#[tokio::test]
async fn peers_that_are_not_allowed_are_counted_and_not_heard() {
    let store = Arc::new(InMemory::new());
    let mut options = options(Arc::clone(&store) as _);
    options.allow = vec!["192.0.2.0/24".parse().unwrap()];
    let listener = Listener::start(options).await.unwrap();
    datagram(&listener, b"<1>a").await;
    let mut stream = connect(&listener).await;
    let _ = stream.write_all(b"<1>b\n").await;
    until(&listener, |counts| counts.not_allowed == 2).await;
    assert_eq!(listener.stop(PATIENCE).await.counts.received, 0);
}

struct Certificates {
    dir: tempfile::TempDir,
    authority: rcgen::Certificate,
    client: (rcgen::Certificate, rcgen::KeyPair),
}

impl Certificates {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, &key);
        let signed = |name: &str| {
            let own = rcgen::KeyPair::generate().unwrap();
            let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
            (parameters.signed_by(&own, &issuer).unwrap(), own)
        };
        let server = signed("localhost");
        let client = signed("client");
        std::fs::write(dir.path().join("server.pem"), server.0.pem()).unwrap();
        std::fs::write(dir.path().join("server.key"), server.1.serialize_pem()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        Self {
            dir,
            authority,
            client,
        }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn files(&self, with_clients: bool) -> TlsFiles {
        TlsFiles {
            cert: self.file("server.pem"),
            key: self.file("server.key"),
            client_ca: with_clients.then(|| self.file("ca.pem")),
        }
    }

    fn connector(&self, with_certificate: bool) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match with_certificate {
            false => config.with_no_client_auth(),
            true => {
                let (certificate, key) = &self.client;
                let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                config
                    .with_client_auth_cert(vec![certificate.der().clone()], key)
                    .unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

#[tokio::test]
async fn messages_come_over_tls_and_only_from_clients_with_a_certificate_where_one_is_required() {
    let certificates = Certificates::new();
    for requires in [false, true] {
        let store = Arc::new(InMemory::new());
        let mut options = options(Arc::clone(&store) as _);
        let tls = tls_server(&certificates.files(requires)).unwrap();
        options.tls = Some(("127.0.0.1:0".parse().unwrap(), tls));
        let listener = Listener::start(options).await.unwrap();
        let to = listener.bound().tls.unwrap();
        let send = async |connector: TlsConnector, message: &str| {
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TcpStream::connect(to).await.unwrap();
            let mut stream = connector.connect(name, stream).await?;
            let counted = format!("{} {message}", message.len());
            stream.write_all(counted.as_bytes()).await?;
            stream.flush().await?;
            // With TLS 1.3 a refusal comes after the client's part.
            let _ = timeout(Duration::from_millis(300), stream.read(&mut [0])).await;
            stream.shutdown().await
        };
        send(certificates.connector(true), "<1>with").await.unwrap();
        let _ = send(certificates.connector(false), "<1>without").await;
        // One that does not speak TLS.
        let mut plain = TcpStream::connect(to).await.unwrap();
        plain.write_all(b"<1>plain\n").await.unwrap();
        let expected = if requires { 2 } else { 1 };
        let counts = until(&listener, |counts| counts.failed == expected).await;
        assert!(counts.last_failure.unwrap().contains("TLS handshake with"));
        until(&listener, |counts| counts.received >= 1).await;
        let stopped = listener.stop(PATIENCE).await;
        assert_eq!(stopped.lost, 0);
        let (lines, _) = written(&*store).await;
        let expected: &[&str] = match requires {
            true => &["<1>with"],
            false => &["<1>with", "<1>without"],
        };
        assert!(messages(&lines).iter().eq(expected));
        assert!(lines.iter().all(|of| of["transport"] == "tls"));
    }
}

#[test]
fn wrong_files_of_tls_are_named() {
    let certificates = Certificates::new();
    let message = |change: fn(&Certificates, &mut TlsFiles)| {
        let mut files = certificates.files(true);
        change(&certificates, &mut files);
        let error: TlsError = tls_server(&files).unwrap_err();
        error.to_string()
    };
    let shown = |name: &str| File::display(&certificates.file(name)).to_string();
    let missing = message(|of, files| files.cert = of.file("nowhere.pem"));
    assert_eq!(
        missing,
        format!("cannot read certificates in {}", shown("nowhere.pem"))
    );
    let other = message(|of, files| files.cert = of.file("server.key"));
    assert!(other.contains("has no certificate"), "{other}");
    let key = message(|of, files| files.key = of.file("ca.pem"));
    assert!(key.starts_with("cannot read a private key in"), "{key}");
    let unfit = message(|of, files| files.cert = of.file("ca.pem"));
    assert!(
        unfit.starts_with("cannot use the certificate in"),
        "{unfit}"
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let store = Arc::new(InMemory::new());
    let first = Listener::start(options(Arc::clone(&store) as _))
        .await
        .unwrap();
    let mut second = options(store);
    second.tcp = first.bound().tcp;
    let error = Listener::start(second).await.unwrap_err();
    let address = first.bound().tcp.unwrap();
    assert_eq!(
        error.to_string(),
        format!("listener `edge`: cannot listen on tcp {address}")
    );
}
