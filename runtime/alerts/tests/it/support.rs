//! Alerts, policies, stores, a notifier with a server's memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use yagura_alerts::deliver::Backoff;
use yagura_alerts::policy::{CompiledPolicy, Policy};
use yagura_alerts::ports::{Failure, Notify};
use yagura_alerts::store::StoredAlert;
use yagura_alerts::{AlertStore, Clock, DeliverOptions, StoreLocation, Triage};
use yagura_core::alert::{Observable, identity};
use yagura_core::report::{AlertLine, AlertState};
use yagura_core::{Alert, Evidence, Report, Severity, Timestamp};

/// 2026-01-31T08:00:00Z.
pub(crate) const START: i64 = 1_769_846_400_000_000;
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;

/// A clock that moves only when a test advances it.
#[derive(Clone)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START + 1_000 * MINUTE)))
    }

    pub(crate) fn advance(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let hands = Arc::clone(&self.0);
        Clock::new(move || Timestamp::clamped(hands.load(Ordering::SeqCst)))
    }
}

pub(crate) fn policy(text: &str) -> Arc<CompiledPolicy> {
    let policy: Policy = toml::from_str(text).unwrap();
    Arc::new(CompiledPolicy::compile(&policy).unwrap())
}

/// A policy that reports everything to one notifier.
pub(crate) const SIMPLE: &str = r#"
[notifier.slack]
plugin = "slack/notifier.wasm"
[[route]]
notify = ["slack"]
"#;

/// Returns an alert `seconds` after [`START`].
pub(crate) fn alert(rule: &str, seconds: i64, observables: &[(&str, &str)]) -> Alert {
    let time = Timestamp::clamped(START + seconds * SECOND);
    let key = observables.first().map_or("", |(_, value)| value);
    let mut alert = Alert {
        id: identity(rule, key, time),
        rule: rule.to_owned(),
        title: format!("{rule} by {key}"),
        severity: Severity::Medium,
        key: key.to_owned(),
        window_start: time,
        first_time: time,
        last_time: time,
        count: 1,
        observables: Vec::new(),
        context: Vec::new(),
        tags: Vec::new(),
        evidence: Evidence::default(),
    };
    alert.observables = observables
        .iter()
        .map(|(kind, value)| Observable {
            kind: (*kind).to_owned(),
            value: (*value).to_owned(),
        })
        .collect();
    alert
}

pub(crate) fn more_severe(mut alert: Alert, severity: Severity) -> Alert {
    alert.severity = severity;
    alert
}

/// Lines that count from one.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Vec<AlertLine>);

impl Lines {
    pub(crate) fn add(&mut self, state: AlertState, alert: &Alert) -> &mut AlertLine {
        self.0.push(AlertLine {
            seq: i64::try_from(self.0.len()).unwrap() + 1,
            state,
            reason: None,
            replaced_by: None,
            alert: alert.clone(),
        });
        self.0.last_mut().unwrap()
    }

    pub(crate) fn provisional(&mut self, alert: &Alert) {
        self.add(AlertState::Provisional, alert);
    }

    pub(crate) fn finalise(&mut self, alert: &Alert) {
        self.add(AlertState::Final, alert);
    }

    pub(crate) fn withdraw(
        &mut self,
        alert: &Alert,
        replaced_by: Option<&Alert>,
    ) -> &mut AlertLine {
        let line = self.add(AlertState::Withdrawn, alert);
        line.reason = Some("its condition does not hold".to_owned());
        line.replaced_by = replaced_by.map(|alert| alert.id.clone());
        line
    }
}

/// Where a store is that lasts as long as this: a file, or a schema of the server that `YAGURA_TEST_POSTGRES` names.
pub(crate) struct TestStore {
    pub(crate) location: StoreLocation,
    url: String,
    _dir: tempfile::TempDir,
}

impl TestStore {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let location = match on_postgres() {
            Some(url) => schema(&url).await,
            None => format!("sqlite://{}/alerts.sqlite", dir.path().display()),
        };
        Self {
            location: location.parse().unwrap(),
            url: location,
            _dir: dir,
        }
    }

    /// For a look past the crate.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) async fn open(&self, clock: Clock) -> AlertStore {
        AlertStore::open(&self.location, clock).await.unwrap()
    }
}

/// Set by the test that runs all others on a server.
pub(crate) const ON_POSTGRES: &str = "YAGURA_TEST_ON_POSTGRES";

/// What the names of schemas begin with.
pub(crate) const SCHEMAS: &str = "yagura_test_";

pub(crate) fn on_postgres() -> Option<String> {
    std::env::var(ON_POSTGRES).ok()
}

/// Makes a schema of its own and returns its address.
async fn schema(url: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    let name = format!("{SCHEMAS}{}_{count}", std::process::id());
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    for text in [
        format!("DROP SCHEMA IF EXISTS {name} CASCADE"),
        format!("CREATE SCHEMA {name}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(text))
            .execute(&pool)
            .await
            .unwrap();
    }
    pool.close().await;
    format!("{url}?options=-c%20search_path%3D{name}")
}

pub(crate) async fn memory(hands: &Hands) -> AlertStore {
    let location = match on_postgres() {
        Some(url) => schema(&url).await.parse().unwrap(),
        None => StoreLocation::Memory,
    };
    AlertStore::open(&location, hands.clock()).await.unwrap()
}

/// A triage in memory that has taken these lines.
pub(crate) async fn triage_with(text: &str, lines: &Lines) -> Triage {
    let store = memory(&Hands::new()).await;
    let triage = Triage::open(&store, policy(text), &[]).await.unwrap();
    triage.take(&lines.0).await.unwrap();
    triage
}

pub(crate) async fn became(triage: &Triage, alert: &Alert) -> StoredAlert {
    triage.store().alert(&alert.id).await.unwrap().unwrap()
}

/// Returns the incident of a reported alert.
pub(crate) async fn incident_of(triage: &Triage, alert: &Alert) -> String {
    let record = became(triage, alert).await;
    let why = record.alert.why.unwrap_or_default();
    let missing = format!("{} is {}: {why}", alert.title, record.alert.outcome);
    record.alert.incident.expect(&missing)
}

/// What a notifier's server does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Takes the report and says so.
    Take,
    /// Refuses it, and may take it another time.
    Refuse,
    /// Takes it, and the answer is lost.
    TakeAndLose,
    /// Will never take it.
    Never,
    /// Asks to come back later.
    Later(Duration),
    /// Does not answer.
    Hang,
}

/// A report as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) ticket: String,
    pub(crate) report: Report,
}

/// A notifier whose server keeps tickets. A report without receipt opens a ticket, unless it is uncertain and the server
/// has one of the incident: what a plugin that honours both does.
#[derive(Default)]
pub(crate) struct Server {
    came: Mutex<Vec<Came>>,
    calls: AtomicU64,
    answers: Mutex<Vec<Answer>>,
    pub(crate) slow: Option<Duration>,
}

impl Server {
    /// Answers the first calls like this, and takes what comes then.
    pub(crate) fn with(answers: &[Answer]) -> Arc<Self> {
        let mut answers = answers.to_vec();
        answers.reverse();
        Arc::new(Self {
            answers: Mutex::new(answers),
            ..Self::default()
        })
    }

    pub(crate) fn slow(by: Duration) -> Arc<Self> {
        Arc::new(Self {
            slow: Some(by),
            ..Self::default()
        })
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// Tickets with the reports that came in for each.
    pub(crate) fn tickets(&self) -> BTreeMap<String, Vec<Report>> {
        let mut tickets = BTreeMap::<String, Vec<Report>>::new();
        for came in self.came() {
            tickets.entry(came.ticket).or_default().push(came.report);
        }
        tickets
    }

    fn take(&self, report: Report) -> String {
        let mut came = self.came.lock().unwrap();
        let known = report.earlier.clone().or_else(|| {
            let same = |came: &&Came| report.uncertain && came.report.id == report.id;
            came.iter().find(same).map(|came| came.ticket.clone())
        });
        let ticket = known.unwrap_or_else(|| format!("T-{}", came.len() + 1));
        came.push(Came {
            ticket: ticket.clone(),
            report,
        });
        ticket
    }
}

impl Notify for Server {
    fn notify(&self, report: Report) -> BoxFuture<'_, Result<String, Failure>> {
        async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if let Some(slow) = self.slow {
                tokio::time::sleep(slow).await;
            }
            let answer = self.answers.lock().unwrap().pop();
            let retry = |after, is_uncertain| Failure::Retry {
                message: "it did not work".to_owned(),
                after,
                is_uncertain,
            };
            match answer.unwrap_or(Answer::Take) {
                Answer::Take => {
                    let ticket = self.take(report);
                    if self.slow.is_some() {
                        tokio::task::yield_now().await;
                    }
                    Ok(ticket)
                }
                Answer::Refuse => Err(retry(None, false)),
                Answer::TakeAndLose => {
                    self.take(report);
                    Err(retry(None, true))
                }
                Answer::Never => Err(Failure::Permanent {
                    message: "no such channel".to_owned(),
                }),
                Answer::Later(after) => Err(retry(Some(after), false)),
                Answer::Hang => std::future::pending().await,
            }
        }
        .boxed()
    }
}

/// Delivery that does not let a test wait.
pub(crate) fn quick() -> DeliverOptions {
    DeliverOptions {
        poll: Duration::from_millis(20),
        backoff: Backoff {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(4),
        },
        ..DeliverOptions::default()
    }
}

pub(crate) fn ports(all: &[(&str, &Arc<Server>)]) -> BTreeMap<String, Arc<dyn Notify>> {
    all.iter()
        .map(|(name, port)| ((*name).to_owned(), Arc::clone(*port) as Arc<dyn Notify>))
        .collect()
}

/// Waits until something holds; fails after twenty seconds.
pub(crate) async fn until<F, Fut>(what: &str, mut holds: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let begin = Instant::now();
    while !holds().await {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "waited for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
