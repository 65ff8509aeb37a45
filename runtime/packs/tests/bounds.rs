//! Registries that are broken or hostile: lists without end, bodies without end, one byte at a time. Each ends soon, with a
//! message that says which registry, which bound, and what can be done.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hostile;

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hostile::{Server, send, send_endless, send_slowly};
use yagura_packs::registry::{Credentials, PackLock, RegistryError, RegistryOptions};
use yagura_packs::{Bounds, Contents, Digest};

fn tags(tags: impl Iterator<Item = String>) -> Vec<u8> {
    let tags: Vec<String> = tags.map(|tag| format!("\"{tag}\"")).collect();
    format!("{{\"name\":\"demo\",\"tags\":[{}]}}", tags.join(",")).into_bytes()
}

fn number_of(path: &str) -> usize {
    let number = path.rsplit("page=").next().unwrap_or_default();
    number.parse().unwrap_or_default()
}

fn quick() -> RegistryOptions {
    RegistryOptions {
        timeout: Duration::from_millis(500),
        search_time: Duration::from_secs(10),
        ..RegistryOptions::default()
    }
}

fn text_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// Checks what becomes of a list of versions, and that it does soon.
async fn refused(server: &Server, options: RegistryOptions, wanted: &[&str]) {
    let started = Instant::now();
    let registry = server.registry("team/demo", options).await;
    let message = text_of(&registry.pull().await.unwrap_err());
    for wanted in wanted {
        assert!(message.contains(wanted), "{wanted}: {message}");
    }
    let reference = format!("oci://{}/team/demo", server.address);
    assert!(message.contains(&reference), "{message}");
    assert!(message.len() < 1_000, "{message}");
    assert!(started.elapsed() < Duration::from_secs(20), "{message}");
}

const WAY_OUT: &str = "use another registry, or bring the pack as a file";

#[tokio::test]
async fn pages_without_end_are_refused() {
    let server = Server::start(|path, stream| {
        let page = number_of(path);
        let link = format!(
            "Link: </v2/team/demo/tags/list?page={}>; rel=\"next\"\r\n",
            page + 1
        );
        send(
            stream,
            "200 OK",
            &link,
            &tags([format!("t{page}")].into_iter()),
        )
    });
    refused(&server, quick(), &["more than 200 pages of tags", WAY_OUT]).await;
    // One a page, one for what the registry wants to know of who asks.
    assert!(server.requests.load(Ordering::Relaxed) <= 202);
}

#[tokio::test]
async fn a_page_that_leads_to_itself_or_to_another_server_is_refused() {
    let same = Server::start(|_, stream| {
        let link = "Link: </v2/team/demo/tags/list?page=1>; rel=\"next\"\r\n";
        send(
            stream,
            "200 OK",
            link,
            &tags(["1.0.0".to_owned()].into_iter()),
        )
    });
    refused(
        &same,
        quick(),
        &["page=1", "that was read before", "ask who runs"],
    )
    .await;
    assert!(same.requests.load(Ordering::Relaxed) <= 3);

    let other = Server::start(|_, stream| send(stream, "200 OK", "", b"{}"));
    let link = format!(
        "Link: <http://{}/v2/team/demo/tags/list>; rel=next\r\n",
        other.address
    );
    let leads_away = Server::start(move |_, stream| {
        send(
            stream,
            "200 OK",
            &link,
            &tags(["1.0.0".to_owned()].into_iter()),
        )
    });
    let with_token = RegistryOptions {
        credentials: Credentials::Token("secret".to_owned()),
        ..quick()
    };
    refused(&leads_away, with_token, &["not on the same server"]).await;
    assert_eq!(other.requests.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn millions_of_tags_are_refused_at_once_and_in_pages() {
    let all = tags((0..2_000_000).map(|tag| format!("tag-{tag}")));
    let at_once = Server::start(move |_, stream| send(stream, "200 OK", "", &all));
    refused(
        &at_once,
        quick(),
        &["more than 4,194,304 bytes", "tags/list", WAY_OUT],
    )
    .await;

    let in_pages = |prefix: &'static str| {
        Server::start(move |path, stream| {
            let page = number_of(path);
            let link = format!("Link: <list?page={}>; rel=\"next\"\r\n", page + 1);
            let all = (0..1_000).map(|tag| format!("{prefix}{}", page * 1_000 + tag));
            send(stream, "200 OK", &link, &tags(all))
        })
    };
    refused(
        &in_pages("nightly-"),
        quick(),
        &["more than 100,000 tags", WAY_OUT],
    )
    .await;
    refused(
        &in_pages("1.0."),
        quick(),
        &["more than 10,000 versions", WAY_OUT],
    )
    .await;
}

#[tokio::test]
async fn honest_lists_are_read_whole() {
    // By links, a few a page, whatever was asked for; a page may have none.
    let linked = Server::start(|path, stream| {
        let page = number_of(path);
        let link = match page {
            5 => String::new(),
            _ => format!(
                "Link: </v2/team/demo/tags/list?n=1&page={}>; rel=\"next\"\r\n",
                page + 1
            ),
        };
        let all = (page != 2).then(|| format!("1.{page}.0"));
        send(stream, "200 OK", &link, &tags(all.into_iter()))
    });
    // Without links, by the last tag.
    let by_last = Server::start(|path, stream| {
        let from = path.rsplit("last=1.").next().unwrap_or_default();
        let from = from
            .trim_end_matches(".0")
            .parse()
            .map_or(0, |last: usize| last + 1);
        let to = (from + 1_000).min(2_500);
        send(
            stream,
            "200 OK",
            "",
            &tags((from..to).map(|minor| format!("1.{minor}.0"))),
        )
    });
    // All at once, whatever was asked for, and as many as a page has.
    let all = Server::start(|_, stream| {
        send(
            stream,
            "200 OK",
            "",
            &tags((0..1_000).map(|minor| format!("1.{minor}.0"))),
        )
    });
    let none =
        Server::start(|_, stream| send(stream, "200 OK", "", b"{\"name\":\"a\",\"tags\":null}"));
    for (server, count) in [(linked, 5), (by_last, 2_500), (all, 1_000), (none, 0)] {
        let versions = server.registry("team/demo", quick()).await.versions().await;
        assert_eq!(versions.unwrap().len(), count);
    }
}

#[tokio::test]
async fn one_byte_at_a_time_is_refused() {
    let list = Server::start(|path, stream| match path {
        "/v2/" => send(stream, "200 OK", "", b"{}"),
        _ => send_slowly(stream, "200 OK"),
    });
    refused(
        &list,
        quick(),
        &["bytes a second are the minimum", "tags/list", WAY_OUT],
    )
    .await;
    // Nothing at all.
    let nothing = Server::start(|_, stream| {
        std::thread::sleep(Duration::from_secs(5));
        send(stream, "200 OK", "", b"{}")
    });
    refused(&nothing, quick(), &["sent 0 bytes", WAY_OUT]).await;
    // Each page is quick enough, and all of them are not.
    let pages = Server::start(|path, stream| {
        std::thread::sleep(Duration::from_millis(200));
        let link = format!(
            "Link: <list?page={}>; rel=\"next\"\r\n",
            number_of(path) + 1
        );
        send(stream, "200 OK", &link, &tags(["a".to_owned()].into_iter()))
    });
    let options = RegistryOptions {
        search_time: Duration::from_secs(2),
        ..quick()
    };
    refused(&pages, options, &["more than 2 s", WAY_OUT]).await;
}

#[tokio::test]
async fn bodies_without_end_are_refused_whatever_they_are() {
    let manifest = |layer: &str| {
        let config = Digest::of(b"{}").tagged();
        format!(
            r#"{{"schemaVersion":2,"artifactType":"application/vnd.yagura.pack.v1",
            "config":{{"mediaType":"application/vnd.yagura.pack.config.v1+json","digest":"{config}","size":2}},
            "layers":[{{"mediaType":"application/wasm","digest":"{layer}","size":100}}]}}"#
        )
    };
    let layer = Digest::of(b"layer").tagged();
    let of = |endless: &'static str| {
        let manifest = manifest(&layer);
        Server::start(move |path, stream| match path {
            path if path.contains(endless) => send_endless(stream, "200 OK"),
            path if path.contains("tags") => send(
                stream,
                "200 OK",
                "",
                &tags(["1.0.0".to_owned()].into_iter()),
            ),
            path if path.contains("manifests") => send(stream, "200 OK", "", manifest.as_bytes()),
            "/v2/" if endless == "token" => {
                let server = stream.local_addr().unwrap();
                let wanted =
                    format!("WWW-Authenticate: Bearer realm=\"http://{server}/token\"\r\n");
                send(stream, "401 Unauthorized", &wanted, b"")
            }
            _ => send(stream, "200 OK", "", b"{}"),
        })
    };
    for (endless, wanted) in [
        ("tags", "more than 4,194,304 bytes"),
        ("manifests", "more than 4,194,304 bytes"),
        ("blobs", "more than 100 bytes"),
        ("token", "more than 65,536 bytes"),
    ] {
        refused(&of(endless), quick(), &[endless, wanted, WAY_OUT]).await;
    }
    // What is said of an error has no more of a bound than an error needs.
    for (status, wanted) in [
        ("404 Not Found", "it is not there"),
        ("500 Internal Server Error", "answers 500"),
        ("401 Unauthorized", "give a user and password"),
    ] {
        let server = Server::start(move |path, stream| match path {
            "/v2/" => send(stream, "200 OK", "", b"{}"),
            _ => send_endless(stream, status),
        });
        refused(&server, quick(), &[wanted]).await;
    }
    let slow = Server::start(|path, stream| match path {
        "/v2/" => send(stream, "200 OK", "", b"{}"),
        _ => send_slowly(stream, "403 Forbidden"),
    });
    refused(&slow, quick(), &["answers 403"]).await;
    // A length that is only said.
    let said = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    });
    refused(&said, quick(), &["more than 4,194,304 bytes"]).await;
}

#[tokio::test]
async fn signatures_without_end_are_refused() {
    let mut contents = Contents::read_dir(pack_dir().path(), &Bounds::default()).unwrap();
    contents.seal();
    let pack = contents.verify().unwrap();
    let image = yagura_packs::registry::Image::of(&pack).unwrap();
    let digest = image.digest();
    for endless in ["referrers", "manifests/sha256-"] {
        let (manifest, blobs) = image_parts(&pack);
        let server = Server::start(move |path, stream| {
            if path.contains(endless) {
                return send_endless(stream, "200 OK");
            }
            if path.contains("manifests/sha256-") || path.contains("referrers") {
                return send(stream, "404 Not Found", "", b"");
            }
            if path.contains("manifests") {
                return send(stream, "200 OK", "", &manifest);
            }
            match blobs
                .iter()
                .find(|(digest, _)| path.ends_with(digest.as_str()))
            {
                Some((_, bytes)) => send(stream, "200 OK", "", bytes),
                None => send(stream, "200 OK", "", b"{}"),
            }
        });
        let rest = format!("team/demo@{}", digest.tagged());
        let registry = server.registry(&rest, quick()).await;
        let message = text_of(&registry.pull().await.unwrap_err());
        assert!(message.contains("look for signatures of"), "{message}");
        assert!(message.contains("more than 4,194,304 bytes"), "{message}");
    }
}

#[tokio::test]
async fn packs_that_need_packs_without_end_are_refused() {
    let config = |path: &str| {
        let pack = path.trim_start_matches("/v2/team/p").split('/').next();
        let number: usize = pack.unwrap_or_default().parse().unwrap_or_default();
        format!(
            r#"{{"pack":{{"name":"p{number}","version":"1.0.0","api":"0.1.0","license":"MIT","dependencies":{{"p{}":"^1"}}}}}}"#,
            number + 1
        )
    };
    let server = Server::start(move |path, stream| {
        let config = config(path);
        match path {
            path if path.contains("tags") => send(
                stream,
                "200 OK",
                "",
                &tags(["1.0.0".to_owned()].into_iter()),
            ),
            path if path.contains("manifests") => {
                let (digest, size) = (Digest::of(config.as_bytes()).tagged(), config.len());
                let manifest = format!(
                    r#"{{"schemaVersion":2,"artifactType":"application/vnd.yagura.pack.v1",
                    "config":{{"mediaType":"application/vnd.yagura.pack.config.v1+json","digest":"{digest}","size":{size}}},"layers":[]}}"#
                );
                send(stream, "200 OK", "", manifest.as_bytes())
            }
            path if path.contains("blobs") => send(stream, "200 OK", "", config.as_bytes()),
            _ => send(stream, "200 OK", "", b"{}"),
        }
    });
    let options = RegistryOptions {
        search_time: Duration::from_secs(120),
        ..quick()
    };
    let registry = server.registry("team/p0", options).await;
    let roots = [("p0".to_owned(), "*".parse().unwrap())];
    let message = text_of(
        &registry
            .pull_all(&roots, &PackLock::default())
            .await
            .unwrap_err(),
    );
    assert!(
        message.contains("more than 500 packs and versions"),
        "{message}"
    );
    assert!(message.contains(WAY_OUT), "{message}");
}

#[tokio::test]
async fn tokens_are_asked_for_once_and_go_to_no_other_server() {
    let other = Server::start(|_, stream| send(stream, "200 OK", "", b"{\"token\":\"a\"}"));
    let plain = other.address.clone();
    let server = Server::start(move |path, stream| match path {
        "/v2/" => {
            let wanted = format!(
                "WWW-Authenticate: Bearer realm=\"http://{plain}/token\",service=\"registry\"\r\n"
            );
            send(stream, "401 Unauthorized", &wanted, b"")
        }
        _ => send(
            stream,
            "200 OK",
            "",
            &tags(["1.0.0".to_owned()].into_iter()),
        ),
    });
    let registry = server.registry("team/demo", quick()).await;
    assert_eq!(registry.versions().await.unwrap().len(), 1);
    assert_eq!(registry.versions().await.unwrap().len(), 1);
    assert_eq!(other.requests.load(Ordering::Relaxed), 1);

    // A token that is no header must not end the program.
    let odd = Server::start(|path, stream| match path {
        "/v2/" => {
            let server = stream.local_addr().unwrap();
            let wanted = format!("WWW-Authenticate: Bearer realm=\"http://{server}/token\"\r\n");
            send(stream, "401 Unauthorized", &wanted, b"")
        }
        _ => send(stream, "200 OK", "", b"{\"token\":\"a\\nb\"}"),
    });
    refused(&odd, quick(), &["without a token that can be sent"]).await;
}

#[tokio::test]
async fn a_push_is_bounded_too() {
    let mut contents = Contents::read_dir(pack_dir().path(), &Bounds::default()).unwrap();
    contents.seal();
    let pack = contents.verify().unwrap();
    type Bad = fn(&mut TcpStream) -> std::io::Result<()>;
    let bad: [(Bad, &str); 4] = [
        (
            |stream| send_endless(stream, "500 Internal Server Error"),
            "answers 500",
        ),
        (
            |stream| send_slowly(stream, "500 Internal Server Error"),
            "answers 500",
        ),
        (
            |stream| send(stream, "202 Accepted", "", b""),
            "without an address to upload to",
        ),
        (
            |stream| {
                std::thread::sleep(Duration::from_secs(5));
                send(stream, "202 Accepted", "", b"")
            },
            "are the minimum",
        ),
    ];
    for (bad, wanted) in bad {
        let server = Server::start(move |path, stream| match path {
            path if path.contains("uploads") => bad(stream),
            path if path.contains("manifests") => send(stream, "404 Not Found", "", b""),
            _ => send(stream, "200 OK", "", b"{}"),
        });
        let started = Instant::now();
        let registry = server.registry("team/demo", quick()).await;
        let error = registry.push(&pack).await.unwrap_err();
        assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
        let message = text_of(&error);
        assert!(message.contains(wanted), "{message}");
        assert!(started.elapsed() < Duration::from_secs(20), "{message}");
    }
}

fn pack_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let toml = "[pack]\nname = \"demo\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\nlicense = \"MIT\"\n";
    std::fs::write(dir.path().join("pack.toml"), toml).unwrap();
    dir
}

/// Returns the manifest of a pack's image and its blobs, as a registry that the pack was pushed to has them.
fn image_parts(pack: &yagura_packs::VerifiedPack) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let mut layout = Vec::new();
    yagura_packs::registry::save(&[pack], &mut layout).unwrap();
    let digest = yagura_packs::registry::Image::of(pack)
        .unwrap()
        .digest()
        .tagged();
    let mut blobs = Vec::new();
    let mut archive = tar::Archive::new(layout.as_slice());
    for entry in archive.entries().unwrap() {
        let mut bytes = Vec::new();
        std::io::copy(&mut entry.unwrap(), &mut bytes).unwrap();
        blobs.push((Digest::of(&bytes).tagged(), bytes));
    }
    let manifest = blobs.iter().find(|(known, _)| *known == digest);
    (manifest.unwrap().1.clone(), blobs)
}
