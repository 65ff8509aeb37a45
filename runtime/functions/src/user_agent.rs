//! `parse_user_agent`: browser, system and kind of device out of the header `User-Agent`.
//!
//! Rules of this crate: marks that makers document, the first that is found. The lists of others know every model of a device; they
//! are megabytes of patterns that are out of date soon. These rules give what a condition needs: a browser or a tool, on which system.

use crate::{Made, Prepared, Value};

/// Marks of browsers and their names. Most browsers also carry the marks of others, so the order counts.
const BROWSERS: [(&str, &str); 22] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("Opera/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("YaBrowser/", "Yandex Browser"),
    ("Vivaldi/", "Vivaldi"),
    ("Whale/", "Whale"),
    ("UCBrowser/", "UC Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Electron/", "Electron"),
    ("HeadlessChrome/", "Headless Chrome"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("MSIE ", "Internet Explorer"),
    ("Trident/", "Internet Explorer"),
];

/// Marks of programs that are not browsers.
const TOOLS: [&str; 45] = [
    "aiohttp/",
    "Ansible/",
    "Apache-HttpClient/",
    "APN/",
    "aws-cli/",
    "aws-sdk-",
    "axios/",
    "azsdk-",
    "Boto3/",
    "Botocore/",
    "curl/",
    "Dalvik/",
    "dirbuster",
    "docker/",
    "feroxbuster/",
    "ffuf",
    "Fuzz Faster",
    "git/",
    "gobuster/",
    "Go-http-client/",
    "google-api-",
    "hashicorp",
    "HTTPie/",
    "Java/",
    "kubectl/",
    "libwww-perl/",
    "masscan/",
    "Microsoft-CryptoAPI/",
    "Nikto",
    "Nmap",
    "node-fetch",
    "Nuclei",
    "okhttp/",
    "PostmanRuntime/",
    "PowerShell/",
    "python-requests/",
    "Python-urllib/",
    "python-httpx/",
    "Ruby",
    "sqlmap/",
    "Terraform/",
    "Wget/",
    "WindowsPowerShell/",
    "WinHttp",
    "zgrab/",
];

#[derive(Debug, Clone, Copy)]
enum Part {
    Browser,
    BrowserVersion,
    Os,
    OsVersion,
    Device,
}

/// Prepares `parse_user_agent(text, part)`.
pub(crate) fn prepare(settings: &[&str]) -> Made {
    let name = settings.first().copied().unwrap_or_default();
    Ok(Box::new(match name {
        "browser" => Part::Browser,
        "browser_version" => Part::BrowserVersion,
        "os" => Part::Os,
        "os_version" => Part::OsVersion,
        "device" => Part::Device,
        _ => {
            return Err(format!(
                "'{name}' is not a part of a user agent; the parts are browser, browser_version, os, os_version, device"
            ));
        }
    }))
}

impl Prepared for Part {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        match self {
            Self::Browser => program(text).map(|(name, _)| Value::text(name)),
            Self::BrowserVersion => program(text)?.1.map(Value::text),
            Self::Os => system(text).map(|(name, _)| Value::text(name)),
            Self::OsVersion => system(text)?
                .1
                .map(|version| Value::text(version.replace('_', "."))),
            Self::Device => device(text).map(Value::text),
        }
    }
}

/// Returns the digits and dots at the start of a text.
fn version(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let version = text.get(..end.unwrap_or(text.len()))?.trim_end_matches('.');
    (!version.is_empty()).then_some(version)
}

fn after<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    text.split_once(mark).map(|(_, after)| after)
}

/// Returns the word of a text that names a robot. Many put a URL with `bot` into a word of its own, which names none.
fn robot(text: &str) -> Option<&str> {
    let words = text.split([' ', ';', '(', ')', ',']);
    let mut names = words.map(|word| word.split('/').next().unwrap_or_default());
    names.find(|name| {
        let name = name.to_ascii_lowercase();
        // `Botocore` is not a robot.
        let ends = |(_, after): (&str, &str)| !after.starts_with(|c: char| c.is_alphabetic());
        let is_one = name.split_once("bot").is_some_and(ends)
            || ["spider", "crawler", "slurp"]
                .iter()
                .any(|mark| name.contains(mark));
        is_one && !name.contains([':', '.', '@']) && !name.starts_with("cubot")
    })
}

/// Returns the mark of a tool where a word begins with it, and the text from there.
fn tool(text: &str) -> Option<(&'static str, &str)> {
    TOOLS.iter().find_map(|mark| {
        let mut found = text.match_indices(mark);
        let (at, _) = found.find(|(at, _)| {
            let before = text
                .get(..*at)
                .and_then(|before| before.chars().next_back());
            before.is_none_or(|before| !before.is_alphanumeric())
        })?;
        Some((
            mark.trim_end_matches(['/', '-']),
            text.get(at + mark.len()..)?,
        ))
    })
}

/// Returns the name of the browser, robot or tool, and its version.
fn program(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(name) = robot(text) {
        let rest = after(text, name).and_then(|rest| rest.strip_prefix('/'));
        return Some((name, rest.and_then(version)));
    }
    for (mark, name) in BROWSERS {
        if let Some(rest) = after(text, mark) {
            let version = match mark {
                "Trident/" => after(text, "rv:").and_then(version),
                // Opera writes its version elsewhere since 10.
                "Opera/" => after(text, "Version/").or(Some(rest)).and_then(version),
                _ => version(rest),
            };
            return Some((name, version));
        }
    }
    if text.contains("Safari/") && text.contains("Version/") {
        let name = if text.contains("Android") {
            "Android Browser"
        } else {
            "Safari"
        };
        return Some((name, after(text, "Version/").and_then(version)));
    }
    tool(text).map(|(name, rest)| (name, version(rest)))
}

/// Returns the name of the operating system, and its version as the text writes it.
fn system(text: &str) -> Option<(&'static str, Option<&str>)> {
    let underscores = |text: &'_ str| {
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '_' | '.')));
        end.unwrap_or(text.len())
    };
    for (mark, name) in [
        ("Windows Phone ", "Windows Phone"),
        ("Windows NT ", "Windows"),
        ("Windows/", "Windows"),
        ("iPhone OS ", "iOS"),
        ("CPU OS ", "iOS"),
        ("Android ", "Android"),
        ("Mac OS X ", "macOS"),
        ("Darwin/", "macOS"),
        ("CrOS ", "ChromeOS"),
        ("FreeBSD/", "FreeBSD"),
        ("Linux/", "Linux"),
    ] {
        let Some(rest) = after(text, mark) else {
            continue;
        };
        let found = match name {
            // After the architecture: `CrOS x86_64 14541.0.0`.
            "ChromeOS" => after(rest, " ").and_then(version),
            _ => rest
                .get(..underscores(rest))
                .filter(|version| !version.is_empty()),
        };
        return Some((name, found));
    }
    let names = [
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("iPhone", "iOS"),
        ("iPad", "iOS"),
        ("Macintosh", "macOS"),
        ("FreeBSD", "FreeBSD"),
        ("OpenBSD", "OpenBSD"),
        ("Linux", "Linux"),
        ("linux", "Linux"),
    ];
    let found = names.iter().find(|(mark, _)| text.contains(mark));
    found.map(|(_, name)| (*name, None))
}

fn device(text: &str) -> Option<&'static str> {
    let has = |mark: &str| text.contains(mark);
    if robot(text).is_some() {
        return Some("bot");
    }
    if !has("Mozilla/") && tool(text).is_some() {
        return Some("tool");
    }
    if [
        "SmartTV", "SMART-TV", "Smart TV", "AppleTV", "GoogleTV", "BRAVIA",
    ]
    .iter()
    .any(|mark| has(mark))
    {
        return Some("tv");
    }
    if has("iPad") || has("Tablet") || (has("Android") && !has("Mobile")) {
        return Some("tablet");
    }
    if has("Mobile") || has("iPhone") || has("Windows Phone") {
        return Some("mobile");
    }
    match tool(text) {
        Some(_) => Some("tool"),
        None => system(text).map(|_| "desktop"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [&str; 5] = ["browser", "browser_version", "os", "os_version", "device"];

    #[test]
    fn usual_headers_are_read() {
        for (text, expected) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.68",
                ["Edge", "126.0.2592.68", "Windows", "10.0", "desktop"],
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
                ["Safari", "17.5", "macOS", "10.15.7", "desktop"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1",
                ["Chrome", "126.0", "iOS", "17.5", "mobile"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-X200) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                ["Chrome", "126.0.0.0", "Android", "14", "tablet"],
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
                ["Firefox", "127.0", "Linux", "", "desktop"],
            ),
            (
                "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
                ["Internet Explorer", "11.0", "Windows", "6.1", "desktop"],
            ),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                ["Googlebot", "2.1", "", "", "bot"],
            ),
            ("curl/8.5.0", ["curl", "8.5.0", "", "", "tool"]),
            (
                "sqlmap/1.8.4#stable (https://sqlmap.org)",
                ["sqlmap", "1.8.4", "", "", "tool"],
            ),
            (
                "Boto3/1.34.1 md/Botocore#1.34.1 ua/2.0 os/linux#5.15 lang/python#3.12",
                ["Boto3", "1.34.1", "Linux", "", "tool"],
            ),
            (
                "Mozilla/5.0 (Windows NT; Windows NT 10.0; de-DE) WindowsPowerShell/5.1.19041.1",
                [
                    "WindowsPowerShell",
                    "5.1.19041.1",
                    "Windows",
                    "10.0",
                    "tool",
                ],
            ),
            ("AmazonRDS", ["", "", "", "", ""]),
            ("", ["", "", "", "", ""]),
        ] {
            for (name, expected) in PARTS.iter().zip(expected) {
                let value = prepare(&[name]).unwrap().value(text);
                let value = match value {
                    Some(Value::Text(text)) => text.into_owned(),
                    _ => String::new(),
                };
                assert_eq!(value, expected, "{name}: {text}");
            }
        }
        assert!(
            prepare(&["model"])
                .unwrap_err()
                .contains("the parts are browser")
        );
    }
}
