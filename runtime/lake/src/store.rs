//! Where things lie: a URL or a path becomes a store's client and a prefix in it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Component, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::list::PaginatedListStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::{Host, Url};
use yagura_core::names::did_you_mean;

use crate::LakeError;
use crate::azure::Connector;
use crate::credentials::CloudCredentials;

/// A prefix in an object store.
#[derive(Debug, Clone)]
pub struct Location {
    /// The store's client, shared by all locations of one bucket with the same options.
    pub store: Arc<dyn ObjectStore>,
    /// Scheme and authority: what DataFusion registers the store under. Unlike what [`fmt::Display`] shows, it tells
    /// two containers of one Azure account apart.
    pub base: Url,
    /// The prefix inside the store; empty for all of it.
    pub prefix: Path,
    /// Scheme and authority as given, for people.
    root: Arc<str>,
    /// The same store, listed page by page, where it can be.
    pub(crate) pages: Option<Pages>,
    credentials: Option<CloudCredentials>,
}

/// A store that lists page by page.
#[derive(Clone)]
pub(crate) struct Pages(pub(crate) Arc<dyn PaginatedListStore>);

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

type Options = BTreeMap<String, String>;
type StoreClient = (
    Arc<dyn ObjectStore>,
    Option<Pages>,
    Option<CloudCredentials>,
);
type Stores = HashMap<(Url, Options), StoreClient>;

/// Clients live as long as the process, so that a connection pool serves every table of a bucket and `memory://NAME`
/// means one store.
static STORES: LazyLock<Mutex<Stores>> = LazyLock::new(Mutex::default);

const SCHEMES: [&str; 10] = [
    "file", "memory", "s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss",
];

impl Location {
    /// Finds the store of a URL (`file://`, `s3://`, `gs://`, `az://`, `abfs://`, `memory://NAME`) or of a plain path,
    /// relative or absolute, which need not exist yet. Nothing is requested from the store.
    ///
    /// `options` are those of the `object_store` crate (`endpoint`, `region`, `allow_http` …). They override what the
    /// environment says in `AWS_…`, `GOOGLE_…` and `AZURE_…`. Plain http is allowed to the loopback interface, and to
    /// elsewhere only with `allow_http`.
    ///
    /// # Errors
    /// [`LakeError`], for what is no URL, unknown schemes and options, insecure endpoints, and clients that refuse.
    pub fn parse(text: &str, options: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        let wrong = |reason: &str| LakeError::NotALocation {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        if text.is_empty() {
            return Err(wrong("it is empty: write a URL or a path"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::local(
                text,
                absolute(text).map_err(|error| wrong(&error.to_string()))?,
            );
        };
        let scheme = scheme.to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) {
            return Err(LakeError::UnknownScheme {
                text: text.to_owned(),
                hint: did_you_mean(&scheme, SCHEMES),
                scheme,
            });
        }
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "it has a query or a fragment: write `?` as %3F and `#` as %23 in a URL",
            ));
        }
        if scheme == "file" {
            let path = url
                .to_file_path()
                .map_err(|()| wrong("a file URL names an absolute path: file:///path"))?;
            return Self::local(text, path);
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(wrong(&format!(
                "it names no bucket: write {scheme}://NAME/prefix"
            )));
        };
        if rest.starts_with('/') {
            return Err(wrong("it names no bucket"));
        }
        let prefix = Path::from_url_path(url.path()).map_err(|error| wrong(&error.to_string()))?;
        let root = match url.username() {
            "" => url[..url::Position::AfterPort].to_owned(),
            user => format!("{scheme}://{user}@{host}"),
        };
        // DataFusion does not look at a URL's user, which is the container in Azure's long form.
        let base =
            Url::parse(&root.replace('@', ".")).map_err(|error| wrong(&error.to_string()))?;
        let options = match scheme.as_str() {
            "memory" => Options::new(),
            _ => cloud_options(text, &scheme, options)?,
        };

        let key = (base.clone(), options);
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        let (store, pages, credentials) = match stores.get(&key) {
            Some(client) => client.clone(),
            None => {
                let client = client(&scheme, &url, &key.1).map_err(|source| LakeError::Client {
                    text: text.to_owned(),
                    source,
                })?;
                stores.insert(key, client.clone());
                client
            }
        };
        Ok(Self {
            store,
            base,
            prefix,
            root: root.into(),
            pages,
            credentials,
        })
    }

    fn local(text: &str, path: PathBuf) -> Result<Self, LakeError> {
        let wrong = |reason: String| LakeError::NotALocation {
            text: text.to_owned(),
            reason,
        };
        let path = path
            .to_str()
            .ok_or_else(|| wrong("its absolute path is not UTF-8".to_owned()))?;
        Ok(Self {
            store: Arc::new(LocalFileSystem::new()),
            base: Url::parse("file:///").map_err(|error| wrong(error.to_string()))?,
            prefix: Path::parse(path).map_err(|error| wrong(error.to_string()))?,
            root: "".into(),
            pages: None,
            credentials: None,
        })
    }

    /// Returns the location below this one; slashes in `relative` separate levels.
    pub fn join(&self, relative: &str) -> Self {
        let mut below = self.clone();
        for segment in relative.split('/').filter(|segment| !segment.is_empty()) {
            below.prefix = below.prefix.join(segment);
        }
        below
    }

    /// Returns what signs requests to other services of the store's cloud; nothing for a store of no cloud.
    pub fn credentials(&self) -> Option<&CloudCredentials> {
        self.credentials.as_ref()
    }

    /// Returns the name of the bucket or container; nothing for local files.
    pub fn bucket(&self) -> Option<&str> {
        let (_, authority) = self.root.split_once("://")?;
        let bucket = authority.split_once('@').map(|(bucket, _)| bucket);
        Some(bucket.unwrap_or(authority))
    }

    /// Returns how people write an object of this store: its URL, or the path of a file.
    pub fn name_of(&self, object: &Path) -> String {
        format!("{}/{object}", self.root)
    }

    /// Returns the object that [`Location::name_of`] wrote so; nothing for one of another store.
    pub fn object_of(&self, name: &str) -> Option<Path> {
        let below = name.strip_prefix(&*self.root)?.strip_prefix('/')?;
        Path::parse(below).ok()
    }
}

impl fmt::Display for Location {
    /// Writes the URL, or the absolute path of a local file or directory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name_of(&self.prefix))
    }
}

/// Makes the client of a store.
fn client(scheme: &str, url: &Url, options: &Options) -> Result<StoreClient, object_store::Error> {
    /// Makes it as `parse_url_opts` does, and keeps that it lists page by page, and its credentials.
    macro_rules! build {
        ($builder:expr, $skip:expr, |$built:ident, $signer:ident| $credentials:expr) => {{
            let mut builder = $builder.with_url(url.as_str());
            for (name, value) in options {
                // The names were checked.
                if let Ok(name) = name.parse() {
                    builder = builder.with_config(name, value);
                }
            }
            let $built = builder.clone();
            let is_signed = !$built
                .get_config_value(&$skip)
                .is_some_and(|skips| is_true(&skips));
            let store = Arc::new(builder.build()?);
            let pages = Pages(Arc::clone(&store) as Arc<dyn PaginatedListStore>);
            let $signer = is_signed.then(|| Arc::clone(store.credentials()));
            let credentials = $credentials;
            Ok((store, Some(pages), Some(credentials)))
        }};
    }
    match scheme {
        "memory" => Ok((Arc::new(InMemory::new()), None, None)),
        "s3" | "s3a" => build!(
            AmazonS3Builder::new(),
            AmazonS3ConfigKey::SkipSignature,
            |built, signer| CloudCredentials::Aws {
                provider: signer,
                region: built.get_config_value(&AmazonS3ConfigKey::Region),
            }
        ),
        "gs" => build!(
            GoogleCloudStorageBuilder::new(),
            GoogleConfigKey::SkipSignature,
            |built, signer| CloudCredentials::Google(signer)
        ),
        // Its lists are made fit to be read as they come.
        _ => build!(
            MicrosoftAzureBuilder::new().with_http_connector(Connector),
            AzureConfigKey::SkipSignature,
            |built, signer| CloudCredentials::Azure(signer)
        ),
    }
}

/// Reads an option as the stores do.
fn is_true(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    matches!(text.as_str(), "1" | "true" | "on" | "yes" | "y")
}

/// Makes a path absolute without asking that it exist; `..` goes up from where symbolic links lead.
fn absolute(text: &str) -> std::io::Result<PathBuf> {
    let mut path = PathBuf::new();
    for component in std::path::absolute(text)?.components() {
        if component == Component::ParentDir {
            path = path.canonicalize().unwrap_or(path);
            path.pop();
        } else {
            path.push(component);
        }
    }
    Ok(path)
}

/// Merges the environment's settings with `given`, lower-cased, and sees to it that plain http stays on this machine.
fn cloud_options(text: &str, scheme: &str, given: &Options) -> Result<Options, LakeError> {
    let known: fn(&str) -> bool = match scheme {
        "s3" | "s3a" => |key| key.parse::<AmazonS3ConfigKey>().is_ok(),
        "gs" => |key| key.parse::<GoogleConfigKey>().is_ok(),
        _ => |key| key.parse::<AzureConfigKey>().is_ok(),
    };
    let variables = match scheme {
        "s3" | "s3a" => "AWS_",
        "gs" => "GOOGLE_",
        _ => "AZURE_",
    };
    let mut options = Options::new();
    // `vars` panics on what is not Unicode.
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && name.starts_with(variables)
            && known(&name.to_ascii_lowercase())
        {
            options.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    for (name, value) in given {
        let name = name.to_ascii_lowercase();
        if !known(&name) {
            return Err(LakeError::UnknownOption {
                text: text.to_owned(),
                option: name,
            });
        }
        // The same setting has several names: the environment's must not come out on top.
        let short = short(&name);
        options.retain(|other, _| self::short(other) != short);
        options.insert(name, value.clone());
    }

    let http_is_allowed = options
        .iter()
        .any(|(name, value)| short(name) == "allow_http" && value.eq_ignore_ascii_case("true"));
    let plain = options
        .iter()
        .find(|(name, value)| short(name) == "endpoint" && value.starts_with("http://"))
        .map(|(_, value)| value.clone());
    if let Some(endpoint) = plain.filter(|_| !http_is_allowed) {
        let url = Url::parse(&endpoint).map_err(|error| LakeError::NotALocation {
            text: endpoint.clone(),
            reason: error.to_string(),
        })?;
        let is_loopback = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if !is_loopback {
            return Err(LakeError::Insecure {
                text: text.to_owned(),
                endpoint,
            });
        }
        options.retain(|name, _| short(name) != "allow_http");
        options.insert("allow_http".to_owned(), "true".to_owned());
    }
    Ok(options)
}

/// Returns an option's name without the provider's prefix, the endpoint's always as `endpoint`.
fn short(name: &str) -> &str {
    let name = ["aws_", "google_", "azure_storage_", "azure_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    match name {
        "endpoint_url" => "endpoint",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, LakeError> {
        Location::parse(text, &Options::new())
    }

    fn with(text: &str, options: &[(&str, &str)]) -> Result<Location, LakeError> {
        let options = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Location::parse(text, &options)
    }

    #[test]
    fn paths_are_made_absolute_and_shown_as_paths() {
        let here = std::env::current_dir().unwrap();
        let here = here.to_str().unwrap();
        for text in ["lake/logs", "./lake//logs/", "not-there/../lake/logs"] {
            let location = parse(text).unwrap();
            assert_eq!(location.to_string(), format!("{here}/lake/logs"), "{text}");
            assert_eq!(location.base.as_str(), "file:///");
        }
        assert_eq!(parse("/a/b").unwrap().to_string(), "/a/b");
        assert_eq!(parse("file:///a/b%20c").unwrap().to_string(), "/a/b c");
        assert_eq!(
            parse("/a").unwrap().join("b/date=2026-01-01").to_string(),
            "/a/b/date=2026-01-01"
        );
    }

    #[test]
    fn urls_name_a_bucket_and_a_prefix() {
        let location = parse("s3://logs/aws/trail/").unwrap();
        assert_eq!(location.base.as_str(), "s3://logs");
        assert_eq!(location.prefix.as_ref(), "aws/trail");
        assert_eq!(location.join("/x/y").to_string(), "s3://logs/aws/trail/x/y");
        assert_eq!(parse("gs://b").unwrap().prefix.as_ref(), "");
    }

    #[test]
    fn two_containers_of_an_azure_account_have_two_bases() {
        let options = [("azure_storage_account_key", "a2V5")];
        let parse = |container: &str| {
            let text = format!("abfss://{container}@account.dfs.core.windows.net/x");
            with(&text, &options).unwrap()
        };
        assert_ne!(parse("one").base, parse("two").base);
        assert_eq!(
            parse("one").to_string(),
            "abfss://one@account.dfs.core.windows.net/x"
        );
    }

    #[test]
    fn a_bucket_has_one_client_and_a_memory_store_one_content() {
        let clients = [parse("s3://one/a").unwrap(), parse("s3://one/b").unwrap()];
        assert!(Arc::ptr_eq(&clients[0].store, &clients[1].store));
        let other = with("s3://one/a", &[("region", "eu-west-1")]).unwrap();
        assert!(!Arc::ptr_eq(&clients[0].store, &other.store));
        let memory = [parse("memory://m/a").unwrap(), parse("memory://m").unwrap()];
        assert!(Arc::ptr_eq(&memory[0].store, &memory[1].store));
        assert!(!Arc::ptr_eq(
            &memory[0].store,
            &parse("memory://n").unwrap().store
        ));
    }

    #[test]
    fn wrong_locations_say_what_to_write() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert!(
            message("abffs://x").contains("did you mean `abfs`"),
            "{}",
            message("abffs://x")
        );
        assert!(message("http://x/y").contains("unknown scheme `http`"));
        assert!(message("s3:///key").contains("s3://NAME/prefix"));
        assert!(message("memory:///").contains("memory://NAME"));
        assert!(message("file://host/x").contains("file:///path"));
        assert!(message("").contains("empty"));
        assert!(message("s3://bucket/a?b").contains("%3F"));
        let error = with("s3://x", &[("reigon", "x")]).unwrap_err();
        assert!(matches!(error, LakeError::UnknownOption { .. }), "{error}");
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_allowed() {
        for endpoint in [
            "http://127.0.0.1:9000",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            with("s3://http", &[("endpoint", endpoint)]).unwrap();
        }
        let far = ("aws_endpoint_url", "http://10.0.0.1:9000");
        let error = with("s3://http", &[far]).unwrap_err();
        assert!(error.to_string().contains("allow_http"), "{error}");
        assert!(with("s3://http", &[far, ("allow_http", "false")]).is_err());
        with("s3://http", &[far, ("allow_http", "true")]).unwrap();
    }
}
