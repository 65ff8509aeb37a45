//! Checks, limits and records of calls, without a plugin.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use yagura_core::alert::hex;
use yagura_http::{
    BodySignature, CallLimit, HttpError, HttpPolicy, HttpRequest, HttpSettings, MemoryCache,
};

use yagura_http_testing::server::{Server, answer, answer_with, misbehaving, raw, resetting};
use yagura_http_testing::{Names, Rig, TOKEN, caller, denied, failed, grant, live};

fn post(url: &str, body: &str) -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        body: body.into(),
        ..HttpRequest::get(url)
    }
}

#[test]
fn secrets_are_filled_in_and_answers_are_without_them() {
    let server = Server::start(|seen| {
        let mut answer = answer(
            200,
            format!("{} {} {}", seen.path, seen.body, seen.header("a")),
        );
        let echo = seen.header("authorization").parse().unwrap();
        answer.headers_mut().insert("x-echo", echo);
        answer
    });
    let mut rig = Rig::on_loopback();
    let mut request = post(
        &format!(
            "{}/x/{{{{secret:TOKEN}}}}?q={{{{secret:TOKEN}}}}",
            server.url()
        ),
        "body {{secret:TOKEN}} {{x}}",
    );
    request.headers = vec![
        ("A".to_owned(), "{{secret:TOKEN}}".to_owned()),
        (
            "Authorization".to_owned(),
            "Basic {{basic:me:TOKEN}}".to_owned(),
        ),
    ];
    request.sign = Some(BodySignature {
        header: "X-Signature".to_owned(),
        secret: "TOKEN".to_owned(),
        prefix: "v0=".to_owned(),
        before: "v0:".to_owned(),
    });
    let answer = rig.send(&caller(&grant(&server.url())), request).unwrap();

    let seen = server.seen().pop().unwrap();
    assert_eq!(
        seen.path,
        "/x/tok/en%2B%227f%26%3D%25%C3%A9-0123456789?q=tok%2Fen%2B%227f%26%3D%25%C3%A9-0123456789"
    );
    let sent = format!("body {TOKEN} {{{{x}}}}");
    assert_eq!(seen.body, sent);
    assert_eq!(seen.header("a"), TOKEN);
    let basic = STANDARD.encode(format!("me:{TOKEN}"));
    assert_eq!(seen.header("authorization"), format!("Basic {basic}"));
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(format!("v0:{sent}").as_bytes());
    let proof = hex(&mac.finalize().into_bytes());
    assert_eq!(seen.header("x-signature"), format!("v0={proof}"));

    let body = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(
        body,
        "/x/{{secret:TOKEN}}?q={{secret:TOKEN}} body {{secret:TOKEN}} {{x}} {{secret:TOKEN}}"
    );
    let echo = answer.header("x-echo").unwrap();
    assert!(
        echo.contains("{{secret:TOKEN}}") && !echo.contains(&basic[8..]),
        "{echo}"
    );
    let call = rig.last_call();
    assert_eq!(
        call.url,
        format!(
            "{}/x/{{{{secret:TOKEN}}}}?q={{{{secret:TOKEN}}}}",
            server.url()
        )
    );
    assert_eq!(
        (call.status, call.subject.as_deref()),
        (Some(200), Some("alert-1"))
    );
    assert_eq!((call.error, call.cached), (None, false));
    assert_eq!(call.response_bytes, body.len() as u64);
    assert!(!rig.outcome.uncertain);
}

#[test]
fn an_answer_that_hides_a_secret_does_not_reach_the_plugin() {
    let server = Server::start(|seen| {
        let token = seen.header("a").as_bytes();
        let shown = String::from_utf8_lossy(token).into_owned();
        let text = format!("{{\"token\": \"{shown}\"}}");
        let gzip = |bytes: &[u8]| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            packed.write_all(bytes).unwrap();
            packed.finish().unwrap()
        };
        let body = match &*seen.path {
            "/upper" => text.to_uppercase().into_bytes(),
            "/cut" => format!("begins with {}…", &shown[..13]).into_bytes(),
            "/mime" => STANDARD
                .encode(&text)
                .as_bytes()
                .chunks(30)
                .collect::<Vec<_>>()
                .join(&b"\r\n"[..]),
            "/entities" => shown
                .chars()
                .map(|c| format!("&#{};", u32::from(c)))
                .collect::<String>()
                .into_bytes(),
            "/gzip" => gzip(text.as_bytes()),
            "/gzip64" => STANDARD.encode(gzip(text.as_bytes())).into_bytes(),
            "/bomb" => gzip(&vec![0; 32 << 20]),
            _ => b"nothing of it".to_vec(),
        };
        answer(200, body)
    });
    let mut rig = Rig::on_loopback();
    let caller = caller(&grant(&server.url()));
    let mut get = |path: &str| {
        let mut request = HttpRequest::get(&format!("{}{path}", server.url()));
        request.headers = vec![("A".to_owned(), "{{secret:TOKEN}}".to_owned())];
        rig.send(&caller, request)
    };
    for path in ["/upper", "/cut", "/mime", "/entities", "/gzip", "/gzip64"] {
        let body = String::from_utf8(get(path).unwrap().body).unwrap();
        assert!(body.contains("{{secret:TOKEN}}"), "{path}: {body}");
    }
    assert_eq!(get("/none").unwrap().body, b"nothing of it");
    let reason = failed(get("/bomb"));
    assert!(
        reason.contains("too large to be searched for secrets"),
        "{reason}"
    );
}

#[test]
fn tokens_in_urls_are_not_recorded() {
    let server = Server::start(|seen| match seen.path.starts_with("/first") {
        true => answer_with(302, "location", "/second?sig=aBcD1234&n=1"),
        false => answer(200, "here"),
    });
    let mut rig = Rig::on_loopback();
    let url = format!("{}/first?access_token=t0k3n", server.url());
    let answer = rig.get(&caller(&grant(&server.url())), &url).unwrap();
    assert_eq!(answer.body, b"here");
    let seen: Vec<String> = server.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(
        seen,
        ["/first?access_token=t0k3n", "/second?sig=aBcD1234&n=1"]
    );
    let urls: Vec<String> = rig.calls.all().into_iter().map(|call| call.url).collect();
    let shown = ["/first?access_token=***", "/second?sig=***&n=1"];
    assert_eq!(urls, shown.map(|path| format!("{}{path}", server.url())));
}

#[test]
fn only_granted_servers_and_addresses_are_reached() {
    let server = Server::start(|_| answer(200, "here"));
    let port = server.port();
    let names = |answers: &[&[&'static str]]| Rig::new(live(Names::new("inside.example", answers)));
    let url = format!("http://inside.example:{port}");
    let granted = format!("http = [\"{url}\"]");

    let mut rig = names(&[&["127.0.0.1"]]);
    assert_eq!(
        denied(rig.get(&caller(""), &url)),
        format!(
            "`{url}` is not granted: write `http = [\"{url}\"]` under `[pack.shop]` in the grants file"
        )
    );
    let other_port = denied(rig.get(&caller(&granted), "http://inside.example:1/"));
    assert!(other_port.contains("is not granted"), "{other_port}");
    let by_tls = format!("https://inside.example:{port}/");
    assert!(denied(rig.get(&caller(&granted), &by_tls)).contains("is not granted"));
    // The name is granted, its address is not.
    assert_eq!(
        denied(rig.get(&caller(&granted), &url)),
        "`inside.example` has the address 127.0.0.1, which is loopback: write `networks = [\"127.0.0.1/32\"]` under \
         `[pack.shop]` in the grants file if that is meant"
    );
    // One public address beside it does not help.
    let mut rig = names(&[&["93.184.216.34", "127.0.0.1"]]);
    assert!(denied(rig.get(&caller(&granted), &url)).contains("loopback"));
    assert!(server.seen().is_empty());
    let mut rig = names(&[&["127.0.0.1"]]);
    let with_network = format!("{granted}\nnetworks = [\"127.0.0.0/8\"]");
    let answer = rig.get(&caller(&with_network), &url).unwrap();
    assert_eq!(answer.body, b"here");
    let host = server.seen().pop().unwrap();
    assert_eq!(host.header("host"), format!("inside.example:{port}"));
}

#[test]
fn the_forms_of_an_address_are_one_address() {
    let server = Server::start(|_| answer(200, "here"));
    let port = server.port();
    let mut rig = Rig::on_loopback();
    let plain = format!("http = [\"http://127.0.0.1:{port}\", \"http://[::ffff:7f00:1]:{port}\"]");
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
    ] {
        let reason = denied(rig.get(&caller(&plain), &format!("http://{host}:{port}/")));
        assert!(reason.contains("networks = "), "{host}: {reason}");
    }
    let granted = format!("{plain}\nnetworks = [\"127.0.0.1/32\"]");
    rig.get(&caller(&granted), &format!("http://2130706433:{port}/"))
        .unwrap();
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_name_is_resolved_once_and_its_checked_address_used() {
    let server = Server::start(|_| answer(200, "here"));
    // After the first answer, the name leads elsewhere.
    let names = Names::new("rebinding.example", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let mut rig = Rig::new(live(names.clone()));
    let url = format!("http://rebinding.example:{}", server.port());
    let caller = caller(&format!(
        "http = [\"{url}\"]\nnetworks = [\"127.0.0.1/32\"]"
    ));
    assert_eq!(rig.get(&caller, &url).unwrap().body, b"here");
    assert_eq!(names.asked.lock().unwrap().len(), 1);
    // Nothing of the earlier connection or answer is used for the next call.
    assert!(denied(rig.get(&caller, &url)).contains("127.0.0.2"));
    assert_eq!(names.asked.lock().unwrap().len(), 2);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn each_redirect_is_checked_like_a_first_request() {
    let inner = Server::start(|seen| answer(200, seen.header("x-token").to_owned()));
    let inner_port = inner.port();
    let server = Server::start(move |seen| {
        let to = match seen.path.as_str() {
            "/private" => format!("http://127.0.0.2:{inner_port}/"),
            "/metadata" => "http://169.254.169.254/latest/".to_owned(),
            "/elsewhere" => "https://elsewhere.example/".to_owned(),
            "/file" => "file:///etc/passwd".to_owned(),
            "/inner" => format!("http://localhost:{inner_port}/"),
            "/echo" => format!("http://localhost:{inner_port}/?{}", seen.header("x-token")),
            "/injected" => format!("http://127.0.0.1:{inner_port}/{{{{secret:TOKEN}}}}"),
            "/loop" => "/loop".to_owned(),
            "/relative" => "here?a=b".to_owned(),
            _ => return answer(200, seen.path.clone()),
        };
        answer_with(302, "location", &to)
    });
    let url = server.url();
    let grant = format!(
        "http = [\"{url}\", \"http://127.0.0.2:{inner_port}\", \"http://169.254.169.254\", \
         \"http://localhost:{inner_port}\", \"http://127.0.0.1:{inner_port}\"]\nnetworks = [\"127.0.0.1/32\"]\n\
         secrets.TOKEN = [\"127.0.0.1\"]"
    );
    let caller = caller(&grant);
    let mut rig = Rig::new(live(Names::new("localhost", &[&["127.0.0.1"]])));
    let with_token = |path: &str| {
        let mut request = HttpRequest::get(&format!("{url}{path}"));
        let value = "{{secret:TOKEN}}-0";
        request
            .headers
            .push(("x-token".to_owned(), value.to_owned()));
        request
    };

    for (path, part) in [
        ("/private", "127.0.0.2 is loopback"),
        ("/metadata", "169.254.169.254 is link-local"),
        ("/elsewhere", "`https://elsewhere.example` is not granted"),
        ("/file", "must begin with https:// or http://"),
    ] {
        let reason = denied(rig.get(&caller, &format!("{url}{path}")));
        assert!(reason.contains(part), "{path}: {reason}");
        assert!(rig.last_call().error.unwrap().contains(part));
    }
    // Granted, and without a secret it may be reached; with one it may not, by whatever way the secret would come.
    rig.get(&caller, &format!("{url}/inner")).unwrap();
    for path in ["/inner", "/echo"] {
        let reason = denied(rig.send(&caller, with_token(path)));
        assert!(
            reason.contains("`TOKEN` may not go to `localhost`"),
            "{path}: {reason}"
        );
    }
    assert_eq!(inner.seen().len(), 1);
    // A server cannot have a secret filled in by naming it.
    let injected = denied(rig.get(&caller, &format!("{url}/injected")));
    assert!(injected.contains("{ secret:TOKEN}}"), "{injected}");
    assert_eq!(inner.seen().len(), 1);

    let relative = rig.get(&caller, &format!("{url}/relative")).unwrap();
    assert_eq!(relative.body, b"/here?a=b");
    assert!(failed(rig.get(&caller, &format!("{url}/loop"))).contains("more than 5 redirects"));
    // Only GET and HEAD are repeated elsewhere.
    let answer = rig
        .send(&caller, post(&format!("{url}/relative"), "x"))
        .unwrap();
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("here?a=b"))
    );
}

#[test]
fn faults_of_servers_end_in_time_and_differ() {
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 5 << 20);
    let chunked = |mut stream: std::net::TcpStream| {
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while stream.write_all(chunk.as_bytes()).is_ok() {}
    };
    let header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let slow = misbehaving(|stream| {
        std::thread::sleep(Duration::from_secs(5));
        drop(stream);
    });
    let trickling = misbehaving(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let gzip = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx";
    let failed = |error: &HttpError| matches!(error, HttpError::Failed(_));
    let too_large = |error: &HttpError| *error == HttpError::TooLarge;
    let timeout = |error: &HttpError| *error == HttpError::Timeout;
    type Case = (&'static str, String, fn(&HttpError) -> bool);
    let cases: [Case; 9] = [
        ("slow", slow, timeout),
        ("trickling", trickling, timeout),
        ("reset", resetting(), failed),
        ("large", raw(large), too_large),
        ("chunked", misbehaving(chunked), too_large),
        ("headers", raw(header), too_large),
        ("malformed", raw("HTTP/1.1 abc\r\n\r\n"), failed),
        (
            "cut short",
            raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"),
            failed,
        ),
        ("compressed", raw(gzip), failed),
    ];
    for (name, url, is_expected) in cases {
        let mut rig = Rig::on_loopback();
        let start = Instant::now();
        let sent = rig.send_within(
            &caller(&grant(&url)),
            post(&url, "x"),
            Duration::from_secs(1),
        );
        let error = sent.unwrap_err();
        assert!(is_expected(&error), "{name}: {error}");
        assert!(start.elapsed() < Duration::from_secs(3), "{name}");
        assert!(rig.outcome.uncertain, "{name}: the request was sent");
        assert_eq!(rig.last_call().error, Some(error.to_string()));
        let get = HttpRequest::get(&url);
        rig.send_within(&caller(&grant(&url)), get, Duration::from_secs(1))
            .unwrap_err();
        assert!(!rig.outcome.uncertain, "{name}: GET changes nothing");
    }
    // Nobody listens, so nothing was sent.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let mut rig = Rig::on_loopback();
    let error = rig
        .send(&caller(&grant(&url)), post(&url, "x"))
        .unwrap_err();
    assert!(failed(&error) && !rig.outcome.uncertain, "{error}");
    // No protection can be agreed on, so nothing was sent either.
    let plain = Server::start(|_| answer(200, ""));
    let url = plain.url().replace("http://", "https://");
    let error = rig
        .send(&caller(&grant(&url)), post(&url, "x"))
        .unwrap_err();
    assert!(failed(&error) && !rig.outcome.uncertain, "{error}");
    assert!(plain.seen().is_empty());
    let unknown = "http://no.example";
    let granted = caller(&format!("http = [\"{unknown}\"]"));
    let error = rig.send(&granted, post(unknown, "x")).unwrap_err();
    assert!(error.to_string().contains("cannot resolve `no.example`"));
    assert!(!rig.outcome.uncertain);
}

#[test]
fn a_wait_that_a_server_asks_for_reaches_the_caller() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/429" => answer_with(429, "retry-after", "30"),
        "/503" => answer_with(503, "retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
        path => answer(path[1..].parse().unwrap(), ""),
    });
    let caller = caller(&grant(&server.url()));
    let mut rig = Rig::on_loopback();
    let seconds = |number| Some(Duration::from_secs(number));
    for (status, uncertain, retry_after) in [
        (200, false, None),
        (404, false, None),
        (429, false, seconds(30)),
        (500, true, None),
        (503, true, seconds(0)),
    ] {
        let url = format!("{}/{status}", server.url());
        let answer = rig.send(&caller, post(&url, "x")).unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(rig.outcome.uncertain, uncertain, "{status}");
        assert_eq!(rig.outcome.retry_after, retry_after, "{status}");
    }
}

#[test]
fn calls_are_limited_by_plugin_host_and_call() {
    let server = Server::start(|_| answer(200, ""));
    let mut caller = caller(&grant(&server.url()));
    let mut rig = Rig::on_loopback();
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut outcome = Default::default();
    for number in 1..=50 {
        let sent = rig.service.send(
            &caller,
            &mut outcome,
            HttpRequest::get(&server.url()),
            deadline,
        );
        match number {
            1..=16 => drop(sent.unwrap()),
            _ => assert!(denied(sent).contains("16 HTTP calls")),
        }
    }
    assert_eq!(server.seen().len(), 16);
    // The refusal is recorded once: a plugin that loops must not fill the record.
    assert_eq!(rig.calls.all().len(), 17);

    caller.policy = HttpPolicy {
        cache: None,
        limits: vec![CallLimit {
            calls: 2,
            per: Duration::from_secs(60),
        }],
    };
    for _ in 0..2 {
        rig.get(&caller, &server.url()).unwrap();
    }
    let error = rig.get(&caller, &server.url()).unwrap_err();
    assert!(matches!(&error, HttpError::Limited(_)), "{error}");
    let wait = rig.outcome.retry_after.unwrap();
    assert!(wait > Duration::from_secs(50), "{wait:?}");
    assert_eq!(server.seen().len(), 18);
    assert!(
        rig.last_call()
            .error
            .unwrap()
            .contains("the next call is possible in")
    );
    let mut other = caller.clone();
    other.plugin.pack = "other".to_owned();
    rig.get(&other, &server.url()).unwrap();
}

#[test]
fn answers_are_cached_for_their_plugin_only() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/500" => answer(500, ""),
        "/404" => answer(404, ""),
        "/moved" => answer_with(302, "location", "/found"),
        _ => answer(200, "found"),
    });
    let mut caller = caller(&grant(&server.url()));
    caller.policy.cache = Some(Duration::from_secs(60));
    let mut rig = Rig::on_loopback();
    rig.service = rig.service.with_cache(Arc::new(MemoryCache::default()));
    let mut count = |caller: &_, request: HttpRequest| {
        let before = server.seen().len();
        for _ in 0..3 {
            rig.send(caller, request.clone()).unwrap();
        }
        (server.seen().len() - before, rig.last_call().cached)
    };
    let get = |path: &str| HttpRequest::get(&format!("{}{path}", server.url()));
    assert_eq!(count(&caller, get("/a")), (1, true));
    assert_eq!(count(&caller, get("/404")), (1, true));
    assert_eq!(count(&caller, get("/moved")), (2, true));
    assert_eq!(count(&caller, get("/500")), (3, false));
    assert_eq!(count(&caller, post(&get("/a").url, "")), (3, false));
    let mut other = caller.clone();
    other.plugin.file = "b.wasm".to_owned();
    assert_eq!(count(&other, get("/a")), (1, true));
    other.policy.cache = None;
    assert_eq!(count(&other, get("/a")), (3, false));
    // A plugin without its grant does not get cached answers.
    let mut revoked = yagura_http_testing::caller("");
    revoked.policy = caller.policy.clone();
    denied(rig.send(&revoked, get("/a")));
}

#[test]
fn sizes_are_limited_before_anything_is_sent() {
    let server = Server::start(|_| answer(200, ""));
    let mut rig = Rig::on_loopback();
    rig.service = rig.service.with_settings(HttpSettings {
        max_request: 10,
        ..HttpSettings::default()
    });
    let caller = caller(&grant(&server.url()));
    let reason = denied(rig.send(&caller, post(&server.url(), "12345678901")));
    assert!(reason.contains("11 bytes"), "{reason}");
    let mut request = HttpRequest::get(&server.url());
    request.headers = vec![("x".to_owned(), "a\r\nhost: evil".to_owned())];
    assert!(denied(rig.send(&caller, request)).contains("line break"));
    let with_user = server.url().replace("http://", "http://user:word@");
    assert!(denied(rig.get(&caller, &with_user)).contains("user name"));
    let unknown = format!("{}/{{{{secret:UNKNOWN}}}}", server.url());
    assert!(denied(rig.get(&caller, &unknown)).contains("the secret `UNKNOWN` is not granted"));
    let wrong = format!("{}/{{{{secret:A", server.url());
    assert!(denied(rig.get(&caller, &wrong)).contains("is not a placeholder"));
    assert!(server.seen().is_empty());
    assert_eq!(rig.calls.all().len(), 5);
}
