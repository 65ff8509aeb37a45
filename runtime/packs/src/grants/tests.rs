//! What is asked, granted and changed.

use std::path::Path;

use super::*;

fn asks(request: &str) -> PackRequests {
    let text = format!(
        "[pack]\nname = \"demo\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"e.wasm\"\nworld = \"enricher\"\n{request}"
    );
    PackRequests::of(&Manifest::read(Path::new("pack.toml"), &text).unwrap())
}

fn grant(text: &str) -> Grant {
    toml::from_str(text).unwrap()
}

fn held(before: &str, now: &str, granted: &str) -> Vec<String> {
    let held = upgrade("demo", &asks(before), &asks(now), &grant(granted));
    held.iter().map(ToString::to_string).collect()
}

#[test]
fn asked_and_granted_are_laid_side_by_side() {
    let asks = asks(
        "[plugin.request]\nhttp = [\"https://api.a.org\", \"https://*.b.org\", \"https://c.org\"]\nsecrets = [\"TOKEN\"]\nsearch = [\"*\"]\n",
    );
    let comparison = asks.compare(
        "demo",
        &grant(
            "http = [\"https://*.a.org\", \"https://x.b.org\", \"https://old.org\"]\nnetworks = [\"10.0.0.0/8\"]\n\
             search = [\"dns\"]\nlookups = [\"assets\"]\n",
        ),
    );
    let answers: Vec<(String, &GrantAnswer)> = comparison
        .asked
        .iter()
        .map(|asked| (asked.ask.entry.clone(), &asked.answer))
        .collect();
    let part = |entry: &str| GrantAnswer::Partly(vec![entry.to_owned()]);
    let missing = |line: &str| {
        GrantAnswer::Missing(format!(
            "write `{line}` under `[pack.demo]` in the grants file"
        ))
    };
    assert_eq!(
        answers,
        [
            ("https://*.b.org".to_owned(), &part("https://x.b.org")),
            ("https://api.a.org".to_owned(), &GrantAnswer::Granted),
            (
                "https://c.org".to_owned(),
                &missing(
                    "http = [\"https://*.a.org\", \"https://old.org\", \"https://x.b.org\", \"https://c.org\"]"
                )
            ),
            ("TOKEN".to_owned(), &missing("secrets.TOKEN = [\"HOST\"]")),
            ("*".to_owned(), &part("dns")),
        ]
    );
    assert_eq!(comparison.missing().count(), 2);
    let unasked: Vec<String> = comparison.unasked.iter().map(ToString::to_string).collect();
    assert_eq!(
        unasked,
        ["connect to `https://old.org`", "read the lookup `assets`"]
    );
}

#[test]
fn an_upgrade_that_asks_for_more_is_held_until_granted() {
    let before = "[plugin.request]\nhttp = [\"https://api.a.org\"]\n";
    let now = "[plugin.request]\nhttp = [\"https://api.a.org\", \"https://evil.org\"]\nsecrets = [\"TOKEN\"]\n";
    assert_eq!(
        held(before, now, "http = [\"https://api.a.org\"]"),
        [
            "`e.wasm` now asks to connect to `https://evil.org`: write `http = [\"https://api.a.org\", \"https://evil.org\"]` \
             under `[pack.demo]` in the grants file, or accept it with `yagura grants --config FILE --accept demo` to load it without",
            "`e.wasm` now asks to use the secret `TOKEN`: write `secrets.TOKEN = [\"HOST\"]` under `[pack.demo]` in the grants \
             file, or accept it with `yagura grants --config FILE --accept demo` to load it without",
        ]
    );
    let granted =
        "http = [\"https://*.a.org\", \"https://evil.org\"]\nsecrets.TOKEN = [\"evil.org\"]\n";
    assert_eq!(held(before, now, granted), [""; 0]);
    // Less, the same, and a part of what was asked for hold nothing back.
    assert_eq!(held(now, before, ""), [""; 0]);
    let wide = "[plugin.request]\nhttp = [\"https://*.a.org\"]\n";
    assert_eq!(held(wide, before, ""), [""; 0]);
    assert_eq!(
        held(before, wide, "http = [\"https://api.a.org\"]"),
        [
            "`e.wasm` now asks to connect to `https://*.a.org`: https://api.a.org is granted; accept it with `yagura grants \
             --config FILE --accept demo` to leave it at that"
        ]
    );
}

#[test]
fn higher_limits_and_new_plugins_are_listed() {
    let limits = |lines: &str| format!("[plugin.limits]\n{lines}\n");
    assert_eq!(
        held(
            &limits("time = \"10s\""),
            &limits("time = \"1m\"\nmemory_mib = 128"),
            ""
        ),
        [
            "`e.wasm` now asks to have `limits.time = 1m`, which was 10s: write `limits.time = \"1m\"` under `[pack.demo]` in the grants \
             file, or accept it with `yagura grants --config FILE --accept demo` to load it with 10s"
        ]
    );
    assert_eq!(
        held(&limits("time = \"60s\""), &limits("time = \"1m\""), ""),
        [""; 0]
    );
    // What is no more than usual only changes.
    assert_eq!(
        held(&limits("memory_mib = 64"), &limits("memory_mib = 128"), ""),
        [
            "`e.wasm` now asks to have `limits.memory_mib = 128`, which was 64: accept it with `yagura grants --config FILE --accept demo`"
        ]
    );
    // Whoever bounds it has answered.
    assert_eq!(
        held(
            &limits("time = \"10s\""),
            &limits("time = \"1m\""),
            "limits = { time = \"5s\" }"
        ),
        [""; 0]
    );
    let more = asks(&limits("memory_mib = 1024"));
    let new = Changes::between(&PackRequests::default(), &more);
    assert_eq!(new.new_plugins, ["e.wasm"]);
    assert!(new.limits[0].is_more);
    let gone = Changes::between(&more, &PackRequests::default());
    assert_eq!(gone.gone_plugins, ["e.wasm"]);
    assert!(Changes::between(&more, &more).is_empty());
}
