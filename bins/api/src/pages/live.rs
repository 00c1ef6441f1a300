//! Figures that change while a page is open. Its HTML is rendered from the same figures.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;
use tidegate_perfmon::{EndpointSnapshot, Health, HealthReport, Overall, Window};
use tidegate_telemetry::Section;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;

use super::section::{items, told};
use super::{chart, text};
use crate::pages::visitor::Visitor;
use tidegate_web::app::App;
use tidegate_web::problem::Problem;

const EVERY: Duration = Duration::from_secs(2);
/// Maximum duration of a stream. A client that no longer reads cannot keep one for ever. A browser
/// reconnects by itself.
const LONGEST: Duration = Duration::from_secs(60 * 60);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Maximum number of pages that are updated at the same time. Further ones keep their first
/// figures.
const MOST_FOLLOWERS: usize = 64;
/// The window of rates, errors and percentiles.
pub(super) const WINDOW: Window = Window::Minutes(5);
/// Maximum number of endpoints in the list, busiest first.
const MOST_ENDPOINTS: usize = 20;
const MOST_ADVICE: usize = 5;
/// Maximum number of alerts, and of silences.
const MOST_ALERTS: usize = 100;

/// The figures at one moment, as text. A page and the stream both use them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    texts: BTreeMap<String, String>,
    points: BTreeMap<String, String>,
    states: BTreeMap<String, &'static str>,
    /// Changes when a page would show other parts: endpoints, reasons, alerts, advice, or a new
    /// minute. The script then reloads the page, so that its parts match its figures.
    pub(super) parts: u64,
    /// Method and route of the listed endpoints, in their order.
    #[serde(skip)]
    pub(super) endpoints: Vec<(&'static str, String)>,
    #[serde(skip)]
    pub(super) firing: Vec<Value>,
    /// Silences in force.
    #[serde(skip)]
    pub(super) silences: Vec<Value>,
}

impl Figures {
    pub(super) fn take(app: &App) -> Self {
        let telemetry = &app.node().telemetry;
        let registry = telemetry.registry();
        let mut figures = Self::default();
        figures.tell("at", tidegate_base::clock::now().format("%H:%M:%S UTC").to_string());
        figures.tell_health(telemetry.health().as_ref());
        figures.take_alerts(&telemetry.alerts().json(MOST_ALERTS));
        let alerts = figures.firing.len();
        figures.tell("alerts", alerts.to_string());
        figures.states.insert("alerts".to_owned(), if alerts > 0 { "bad" } else { "ok" });
        figures.tell_overall(&registry.overall(WINDOW));
        figures.tell("in-flight", registry.in_flight().iter().map(|route| route.count).sum::<usize>().to_string());
        let slots = registry.slots(None, Window::Seconds(60));
        figures.points.insert("all".to_owned(), chart::points(&slots));
        figures.tell("peak all", chart::peak(&slots));

        let mut endpoints = registry.endpoints(WINDOW);
        endpoints.retain(|endpoint| endpoint.count > 0);
        endpoints.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.route.cmp(&other.route)));
        endpoints.truncate(MOST_ENDPOINTS);
        for endpoint in endpoints {
            let slots = registry.slots(Some(&registry.endpoint(endpoint.method, &endpoint.route)), Window::Seconds(60));
            let key = key(endpoint.method, &endpoint.route);
            figures.points.insert(key.clone(), chart::points(&slots));
            figures.tell(&format!("peak {key}"), chart::peak(&slots));
            figures.tell_endpoint(&key, &endpoint);
            figures.endpoints.push((endpoint.method, endpoint.route));
        }
        figures.parts = figures.number_of_parts(app);
        figures
    }

    fn take_alerts(&mut self, told: &Value) {
        self.firing = items(told, "fleet").to_vec();
        self.silences = items(told, "silences").to_vec();
    }

    /// Returns a number of 53 bits, which is exact in JavaScript.
    fn number_of_parts(&self, app: &App) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.endpoints.hash(&mut hasher);
        let report = app.node().telemetry.health();
        for reason in report.iter().flat_map(|report| &report.reasons) {
            reason.message.hash(&mut hasher);
        }
        for alert in &self.firing {
            for named in ["rule", "subject", "severity", "fired_at_unix_ms", "silenced", "processes"] {
                alert[named].to_string().hash(&mut hasher);
            }
        }
        for silence in &self.silences {
            silence.to_string().hash(&mut hasher);
        }
        for item in items(&advice(app), "items") {
            item["text"].to_string().hash(&mut hasher);
        }
        (tidegate_base::clock::now().timestamp() / 60).hash(&mut hasher);
        hasher.finish() >> 11
    }

    /// Returns the figure with that name, or a dash.
    pub(super) fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or(text::NONE, String::as_str)
    }

    pub(super) fn points(&self, name: &str) -> &str {
        self.points.get(name).map_or("", String::as_str)
    }

    pub(super) fn state(&self, name: &str) -> &'static str {
        self.states.get(name).copied().unwrap_or("unknown")
    }

    fn tell(&mut self, name: &str, text: String) {
        self.texts.insert(name.to_owned(), text);
    }

    fn tell_health(&mut self, report: Option<&HealthReport>) {
        let health = report.map_or(Health::Unknown, |report| report.status);
        // A score from the few readings that can be judged would claim that all is well.
        let score = report.and_then(|report| report.score).filter(|_| health != Health::Unknown);
        self.tell("score", text::or_none(score, |score| score.to_string()));
        self.tell("of", if score.is_some() { " of 100" } else { " no score yet" }.to_owned());
        self.tell("health", if health == Health::Unknown { "not judged yet" } else { health.name() }.to_owned());
        self.states.insert("health".to_owned(), health.name());
    }

    fn tell_overall(&mut self, all: &Overall) {
        self.tell("rate", text::rate(all.rate));
        self.tell("errors", text::percent_or_none(all.error_rate, all.count));
        self.states.insert("errors".to_owned(), if all.errors > 0 { "bad" } else { "plain" });
        self.tell("p50", text::time_or_none(all.latency.p50, all.count));
        self.tell("p95", text::time_or_none(all.latency.p95, all.count));
        self.tell("p99", text::time_or_none(all.latency.p99, all.count));
    }

    fn tell_endpoint(&mut self, key: &str, endpoint: &EndpointSnapshot) {
        self.tell(&format!("rate {key}"), text::rate(endpoint.rate));
        self.tell(&format!("errors {key}"), text::percent_or_none(endpoint.error_rate, endpoint.count));
        self.states.insert(format!("errors {key}"), if endpoint.errors > 0 { "bad" } else { "plain" });
        self.tell(&format!("p50 {key}"), text::time_or_none(endpoint.latency.p50, endpoint.count));
        self.tell(&format!("p99 {key}"), text::time_or_none(endpoint.latency.p99, endpoint.count));
    }
}

/// Returns the key of an endpoint's figures.
pub(super) fn key(method: &str, route: &str) -> String {
    format!("{method} {route}")
}

pub(super) fn advice(app: &App) -> Value {
    told(app, "advice", MOST_ADVICE)
}

/// One sampler for all followers. It is idle while there are none.
#[derive(Clone)]
pub(super) struct Live {
    latest: watch::Sender<Arc<str>>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Live {
    /// Samples until `stop`, when all streams end too.
    pub(super) fn start(app: &App, stop: CancellationToken) -> Self {
        let latest = watch::Sender::new(Arc::from(""));
        tokio::spawn(sample(*app, latest.clone(), stop.clone()));
        Self { latest, places: Arc::new(Semaphore::new(MOST_FOLLOWERS)), stop }
    }
}

async fn sample(app: App, latest: watch::Sender<Arc<str>>, stop: CancellationToken) {
    let mut beats = interval(EVERY);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(beats.tick()).await.is_some() {
        if latest.receiver_count() == 0 {
            continue;
        }
        match serde_json::to_string(&Figures::take(&app)) {
            Ok(figures) => drop(latest.send_replace(figures.into())),
            Err(error) => tracing::warn!(%error, "the dashboard's figures can't be written as JSON"),
        }
    }
}

/// One event every two seconds, which holds all figures.
pub(super) async fn follow(
    visitor: Result<Visitor, Response>,
    Extension(live): Extension<Live>,
) -> Result<Response, Problem> {
    if let Err(refused) = visitor {
        // A script cannot follow a redirect to the login. This response makes it stop.
        return match refused.extensions().get::<Problem>() {
            Some(problem) => Err(problem.clone()),
            None => Err(Problem::unauthorized("the session has ended; log in again at /dashboard/login")),
        };
    }
    let place = Arc::clone(&live.places).try_acquire_owned().map_err(|_| {
        let detail = format!("{MOST_FOLLOWERS} pages are followed already; try again later");
        Problem::new(axum::http::StatusCode::TOO_MANY_REQUESTS, "too-many-followers", detail).try_again_later()
    })?;
    let follower =
        Follower { figures: live.latest.subscribe(), until: Instant::now() + LONGEST, stop: live.stop, _place: place };
    let answer = Sse::new(stream::unfold(follower, Follower::next)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let headers = [
        // A proxy that buffers a whole response would buffer this one for ever.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, answer).into_response())
}

struct Follower {
    figures: watch::Receiver<Arc<str>>,
    until: Instant,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let changed = timeout_at(self.until, self.figures.changed());
        self.stop.run_until_cancelled(changed).await?.ok()?.ok()?;
        let event = Event::default().event("figures").data(&**self.figures.borrow_and_update());
        Some((Ok(event), self))
    }
}
