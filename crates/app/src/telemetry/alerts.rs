//! From a verdict each second to whoever is told: the log, the event stream, a webhook.

mod figures;
mod log;
mod steady;
mod stream;
mod traces;
mod webhook;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_perfmon::{
    AlertRule, Alerts, BurnLog, BurnRate, BurnReading, Health, Observation, OutboxCounts, Queries, Registry, Severity,
    Silence, SilenceError, mask,
};
use tokio_util::sync::CancellationToken;

use super::latest::Latest;
use super::own_rules::OwnRules;
use super::{Beat, Section, Table};
use crate::alert_rules::{LIMITS, Limit, Measurement, RuleBook};
use crate::clock::unix_ms;
use crate::places::TooManyFollowers;
use crate::settings::AlertSettings;
use crate::webhook::WebhookError;
use figures::AlertFigures;
use steady::Steady;
use stream::Stream;
use webhook::Webhook;

pub use stream::{Follower, Told, Topic};

/// The rule for a tenant whose rate is far above its usual one; the subject is the tenant.
pub const TENANT_ANOMALY: &str = "tenant_anomaly";
/// Ended alerts and transitions that are remembered.
const HISTORY: usize = 200;
/// Between two entries of the log of outcomes.
const BURN_SPACING: Duration = Duration::from_secs(5);

/// Keeps the alerts of this process, and tells of them. All that it tells or shows went through [`mask`].
pub struct AlertDesk {
    state: Mutex<State>,
    objective: BurnRate,
    /// Tells the alerts of this process from those of the one before it.
    epoch: u64,
    latest: Arc<Latest>,
    /// Where the traces of slow statements are.
    statements: OnceLock<Queries>,
    stream: Stream,
    webhook: Option<Arc<Webhook>>,
    /// Observations that are no part of health.
    sources: Mutex<Vec<Source>>,
    book: Arc<RuleBook>,
    /// The operator's rules on metrics.
    own: Arc<OwnRules>,
}

type Source = Box<dyn Fn() -> Vec<Observation<'static>> + Send + Sync>;

struct State {
    alerts: Alerts,
    silences: Steady,
    outcomes: BurnLog,
    recorded_at: Option<Duration>,
    burning: Vec<BurnReading>,
    /// As it was told last.
    health: Option<Health>,
    /// The counts of queues that were sent last, while a client follows them.
    queues: BTreeMap<&'static str, Told>,
    logged: u64,
}

impl std::fmt::Debug for AlertDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlertDesk").finish_non_exhaustive()
    }
}

impl AlertDesk {
    /// A desk that delivers until `shutdown`, and measures what it sends. Whoever asks how health is is told the verdict in force.
    pub(super) fn start(
        settings: &AlertSettings,
        registry: &Registry,
        latest: Arc<Latest>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, WebhookError> {
        let epoch = unix_ms();
        let webhook = Webhook::new(settings, epoch, registry)?.map(Arc::new);
        if let Some(webhook) = &webhook {
            tokio::spawn(Arc::clone(webhook).run(shutdown));
        }
        let objective = BurnRate::standard(settings.objective);
        let book = Arc::new(RuleBook::new(standing_rules(&objective), &settings.rules));
        let alerts = Alerts::new(book.rules().to_vec(), HISTORY)
            .expect("the rules are written here, a test makes them, and the settings check the others");
        let state = State {
            alerts,
            silences: Steady::default(),
            outcomes: BurnLog::new(registry.now()),
            recorded_at: None,
            burning: Vec::new(),
            health: None,
            queues: BTreeMap::new(),
            logged: 0,
        };
        let (state, stream) = (Mutex::new(state), Stream::default());
        let (statements, sources) = (OnceLock::new(), Mutex::default());
        let own = Arc::new(OwnRules::new(&settings.rules.own));
        Ok(Arc::new(Self { state, objective, epoch, latest, statements, stream, webhook, sources, book, own }))
    }

    /// Takes in what `source` observes each second, for a rule of which health knows nothing. It
    /// must not wait.
    pub fn watch(&self, source: impl Fn() -> Vec<Observation<'static>> + Send + Sync + 'static) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// The same for measurements with a threshold of [`LIMITS`].
    pub(super) fn watch_limits(&self, source: impl Fn() -> Vec<Measurement> + Send + Sync + 'static) {
        let book = Arc::clone(&self.book);
        self.watch(move || source().into_iter().filter_map(|figure| book.observe(figure)).collect());
    }

    /// The operator's rules on metrics.
    pub(super) fn own_rules(&self) -> &Arc<OwnRules> {
        &self.own
    }

    /// Looks for the traces of alerts about statements among these.
    pub(super) fn look_into(&self, statements: Queries) {
        self.statements.get_or_init(|| statements);
    }

    /// Takes in a second, and tells what it changes. Waits for nobody.
    pub(super) fn beat(&self, beat: &Beat<'_>) {
        let mut state = self.state();
        if state.recorded_at.is_none_or(|at| beat.now.saturating_sub(at) >= BURN_SPACING) {
            state.recorded_at = Some(beat.now);
            state.outcomes.record(beat.now, beat.registry.outcomes());
            state.burning = self.objective.evaluate(&state.outcomes);
        }
        let State { alerts, silences, burning, .. } = &mut *state;
        silences.turn(alerts, beat.now, beat.unix_ms);
        let mut seen = beat.health.observations();
        seen.extend(burning.iter().map(BurnReading::observation));
        seen.extend(self.sources.lock().unwrap_or_else(PoisonError::into_inner).iter().flat_map(|source| source()));
        seen.retain(|observation| !self.book.is_off(&observation.rule));
        seen.iter_mut().for_each(hide);
        for observation in seen.iter_mut().filter(|observation| observation.breached == Some(true)) {
            observation.trace_id = traces::of(observation, beat, self.statements.get());
        }
        let steps = alerts.evaluate(beat.now, beat.unix_ms, &seen);
        drop(seen);

        let steps: Vec<_> = steps.into_iter().filter(|step| step.notify).collect();
        // Still under the lock, so that whoever begins to follow now misses none and hears none twice.
        for step in &steps {
            state.logged += 1;
            self.stream.tell(&Told::alert(self.epoch, step));
            if let Some(webhook) = &self.webhook {
                webhook.push(step.clone());
            }
        }
        if state.health.replace(beat.health.status) != Some(beat.health.status) {
            self.stream.tell(&told_of(beat));
        }
        drop(state);
        // Whoever reads the log may be slow, and nobody else waits for that.
        steps.iter().for_each(log::line);
    }

    /// Follows for `client` what is told from now on; with `after`, the id of an event, from that one on, as far as it is
    /// remembered.
    ///
    /// # Errors
    ///
    /// When too many follow, in all or for that client.
    pub fn follow(&self, client: &str, topics: &[Topic], after: Option<&str>) -> Result<Follower, TooManyFollowers> {
        let state = self.state();
        let mut first = Vec::new();
        if let Some(after) = after {
            let since = stream::seq_in(after, self.epoch).map(|seq| state.alerts.since(seq));
            if since.as_ref().is_none_or(|since| since.missed) {
                first.push(Told::gap(None));
            }
            let missed = since.into_iter().flat_map(|since| since.transitions);
            first.extend(missed.filter(|step| step.notify).map(|step| Told::alert(self.epoch, &step)));
        }
        let (status, score) = self.latest.told();
        first.push(Told::health(status, score, None));
        if topics.contains(&Topic::Queues) {
            first.extend(state.queues.values().cloned());
        }
        self.stream.follow(client, topics, first)
    }

    /// Whether a client follows the topic.
    pub(super) fn is_followed(&self, topic: Topic) -> bool {
        self.stream.is_followed(topic)
    }

    /// Tells whoever follows the topic of something that has no life of its own. Its texts are masked already.
    pub(super) fn announce(&self, topic: Topic, name: &'static str, data: &Value) {
        self.stream.tell(&Told::unnumbered(Some(topic), name, data));
    }

    /// Sends the changed counts of a queue, and keeps them for clients that begin to follow later.
    pub(super) fn announce_counts(&self, queue: &'static str, data: &Value) {
        let told = Told::unnumbered(Some(Topic::Queues), "queue", data);
        // Both under the lock, so that a new follower gets these counts exactly once.
        let mut state = self.state();
        self.stream.tell(&told);
        state.queues.insert(queue, told);
    }

    /// Forgets the kept counts, which are kept up to date only while a client follows them.
    pub(super) fn forget_counts(&self) {
        self.state().queues.clear();
    }

    /// Keeps a rule, or one subject of it, from being told for a while. Its texts are masked before they are kept, as those of
    /// alerts are.
    ///
    /// # Errors
    ///
    /// [`SilenceError`] says what is wrong with it.
    pub fn silence(&self, mut silence: Silence) -> Result<Silence, SilenceError> {
        silence.reason = mask(&silence.reason).into_owned();
        silence.subject = silence.subject.as_deref().map(|subject| mask(subject).into_owned());
        let (mut state, now) = (self.state(), unix_ms());
        state.alerts.silence(silence.clone(), now)?;
        state.silences.add(&silence, now);
        Ok(silence)
    }

    /// Ends a silence before its time; whether there was one.
    pub fn lift_silence(&self, rule: &str, subject: Option<&str>) -> bool {
        let subject = subject.map(mask);
        let mut state = self.state();
        state.silences.lift(rule, subject.as_deref());
        state.alerts.lift_silence(rule, subject.as_deref())
    }

    pub(super) fn figures(&self) -> AlertFigures {
        let state = self.state();
        let rules = state.alerts.rules().iter();
        let mut firing: BTreeMap<_, _> = rules.map(|rule| ((rule.id.to_string(), rule.severity), 0)).collect();
        for alert in state.alerts.firing() {
            *firing.entry((alert.rule.clone(), alert.severity)).or_default() += 1;
        }
        let (health, age) = (self.latest.told(), self.latest.age());
        AlertFigures { health, age, firing, deliveries: self.deliveries(state.logged) }
    }

    /// What became of what was told, by way and outcome.
    fn deliveries(&self, logged: u64) -> Vec<(&'static str, &'static str, u64)> {
        let mut all = vec![("log", "delivered", logged)];
        let (delivered, dropped) = self.stream.counts();
        all.extend([("stream", "delivered", delivered), ("stream", "dropped", dropped)]);
        if let Some(webhook) = &self.webhook {
            let OutboxCounts { delivered, failed, given_up, dropped, .. } = webhook.counts();
            all.extend([
                ("webhook", "delivered", delivered),
                ("webhook", "failed", failed),
                ("webhook", "given_up", given_up),
                ("webhook", "dropped", dropped),
            ]);
        }
        all
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rules of the library and of the error budget, and those for what only the application reads.
pub(crate) fn standing_rules(objective: &BurnRate) -> Vec<AlertRule> {
    let rule =
        |id, severity, hold| AlertRule::new(id, severity).hold(Duration::from_secs(hold)).keep(Duration::from_secs(60));
    let mut rules = AlertRule::standard();
    rules.extend(objective.rules());
    rules.extend([
        rule("job_store_unreachable", Severity::Critical, 5),
        rule("redis_unavailable", Severity::Critical, 5),
        rule("job_store_full", Severity::Critical, 0),
        rule("jobs_recovered", Severity::Warning, 0),
        rule("queues_without_live_worker", Severity::Warning, 30),
        rule("open_descriptors", Severity::Warning, 30),
        rule("pool_wait", Severity::Warning, 5),
        rule("pool_stuck", Severity::Critical, 5),
        rule(TENANT_ANOMALY, Severity::Warning, 1),
    ]);
    rules.extend(LIMITS.iter().map(Limit::rule));
    rules
}

/// Takes out of an observation what looks like a secret.
fn hide(observation: &mut Observation<'_>) {
    for text in [&mut observation.subject, &mut observation.detail] {
        let masked = match mask(text) {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        };
        if let Some(masked) = masked {
            *text = Cow::Owned(masked);
        }
    }
}

fn told_of(beat: &Beat<'_>) -> Told {
    let reason = beat.health.reasons.first().map(|reason| mask(&reason.message).into_owned());
    Told::health(beat.health.status, beat.health.score, reason.as_deref())
}

/// What an item of any of the lists may have; where one has it not, its cell is empty.
const COLUMNS: &[&str] = &[
    "list",
    "id",
    "rule",
    "subject",
    "severity",
    "metric",
    "phase",
    "pending_at_unix_ms",
    "fired_at_unix_ms",
    "ended_at_unix_ms",
    "known_at_unix_ms",
    "value",
    "peak",
    "threshold",
    "silenced",
    "trace_id",
    "detail",
    "until_unix_ms",
    "reason",
    "hold_ms",
    "keep_ms",
    "expire_ms",
    "factor",
    "long",
    "short",
    "breached",
    "way",
    "outcome",
    "count",
];
const LISTS: &[&str] = &["items", "silences", "rules", "burn_rates", "deliveries", "without_data"];

impl Section for AlertDesk {
    fn name(&self) -> &'static str {
        "alerts"
    }

    fn json(&self, limit: usize) -> Value {
        let state = self.state();
        let deliveries: Vec<Value> = self
            .deliveries(state.logged)
            .into_iter()
            .map(|(way, outcome, count)| json!({"way": way, "outcome": outcome, "count": count}))
            .collect();
        json!({
            "items": state.alerts.list(limit),
            "silences": state.alerts.silences(unix_ms()).into_iter().take(limit).collect::<Vec<_>>(),
            "rules": state.alerts.rules(),
            "burn_rates": state.burning,
            "deliveries": deliveries,
            "waiting_for_webhook": self.webhook.as_ref().map(|webhook| webhook.waiting()),
            "followers": self.stream.followers(),
            "without_data": self.own.without_data(),
            "without_rule": state.alerts.unruled(),
            "overflowed": state.alerts.overflowed(),
        })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        Some(Table::of_lists(COLUMNS, LISTS, &self.json(limit)))
    }
}

#[cfg(test)]
mod tests;
