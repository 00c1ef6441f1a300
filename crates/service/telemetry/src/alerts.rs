//! Turns the health report of each second into alerts: in the log and event stream of this process,
//! and at the receivers of the fleet.

mod figures;
mod fleet;
mod log;
mod notice;
mod receivers;
mod sentence;
mod steady;
mod stream;
#[cfg(test)]
mod test_alert;
mod traces;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_base::clock::unix_ms;
use tidegate_base::identity::THIS_PROCESS;
use tidegate_base::places::TooManyFollowers;
use tidegate_model::alert_rules::{Measurement, RuleBook, standing_rules};
use tidegate_outgoing::webhook::WebhookError;
use tidegate_perfmon::{
    Alert, Alerts, BurnLog, BurnRate, BurnReading, Health, Observation, OutboxCounts, Phase, Queries, Registry,
    Silence, SilenceError, mask,
};
use tidegate_settings::{AlertSettings, Settings};
use tidegate_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::latest::Latest;
use super::own_rules::OwnRules;
use super::{Beat, Section, Table};
use figures::AlertFigures;
use fleet::Fleet;
use receivers::Receiver;
use steady::Steady;
use stream::Stream;

pub use stream::{Follower, Told, Topic};

/// Maximum number of ended alerts and transitions that are remembered.
const HISTORY: usize = 200;
/// Interval between two entries of the outcome history.
const BURN_SPACING: Duration = Duration::from_secs(5);

/// Keeps the alerts of this process and announces them. All texts are masked by [`mask`].
pub struct AlertDesk {
    state: Mutex<State>,
    objective: BurnRate,
    /// Distinguishes the alerts of this process from those of an earlier one.
    epoch: u64,
    latest: Arc<Latest>,
    /// Statements with traces. Empty until `look_into`.
    statements: OnceLock<Queries>,
    stream: Stream,
    /// The processes that share their alerts with this one. Empty in a test.
    fleet: OnceLock<Arc<Fleet>>,
    /// Sources of observations that are not part of health.
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
    /// The health that was last announced.
    health: Option<Health>,
    /// The counts of queues that were last sent, while a client follows them.
    queues: BTreeMap<&'static str, Told>,
    logged: u64,
}

/// A silence was not stored.
#[derive(Debug, thiserror::Error)]
pub enum SilenceFailure {
    /// The silence is invalid.
    #[error(transparent)]
    Refused(#[from] SilenceError),
    /// The database, from which all processes read silences, can't be written.
    #[error(transparent)]
    NotKept(#[from] StoreError),
}

impl std::fmt::Debug for AlertDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlertDesk").finish_non_exhaustive()
    }
}

impl AlertDesk {
    /// Makes a desk for alerts and events. New followers get the report in `latest`.
    pub(super) fn new(settings: &AlertSettings, registry: &Registry, latest: Arc<Latest>) -> Arc<Self> {
        let epoch = unix_ms();
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
        let (statements, fleet, sources) = (OnceLock::new(), OnceLock::new(), Mutex::default());
        let own = Arc::new(OwnRules::new(&settings.rules.own));
        Arc::new(Self { state, objective, epoch, latest, statements, stream, fleet, sources, book, own })
    }

    /// Shares alerts and silences with the other processes of the database, and sends to the
    /// configured receivers, until `shutdown`. Only the first call has an effect.
    ///
    /// # Errors
    ///
    /// [`WebhookError`] if no client for a receiver can be created.
    pub(super) fn share(
        self: &Arc<Self>,
        settings: &Settings,
        store: &Store,
        registry: &Registry,
        shutdown: CancellationToken,
    ) -> Result<(), WebhookError> {
        if self.fleet.get().is_none() {
            let fleet = Fleet::start(self, settings, store, registry, shutdown)?;
            self.fleet.get_or_init(|| fleet);
        }
        Ok(())
    }

    /// Waits until the sharing of alerts has stopped, which is soon after the shutdown.
    pub async fn unshared(&self) {
        if let Some(fleet) = self.fleet.get() {
            fleet.ended().await;
        }
    }

    /// Returns the firing alerts of this process, the most severe first.
    fn firing(&self) -> Vec<Alert> {
        let mut firing: Vec<_> = self.state().alerts.firing().cloned().collect();
        firing.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
        firing
    }

    /// Returns the alert after its end. `None` if it has not ended or is not remembered.
    fn end_of(&self, alert: &Alert) -> Option<Alert> {
        let all = self.state().alerts.list(usize::MAX);
        let is_it = |other: &Alert| (other.id, &other.rule, &other.subject) == (alert.id, &alert.rule, &alert.subject);
        all.into_iter().find(|other| is_it(other) && other.ended_at_unix_ms.is_some())
    }

    /// Returns the active silences.
    fn silences(&self) -> Vec<Silence> {
        self.state().alerts.silences(unix_ms())
    }

    /// Applies the silences of all processes. Returns the expired ones.
    fn adopt_silences(&self, found: Vec<Silence>) -> Vec<Silence> {
        let mut state = self.state();
        let State { alerts, silences, .. } = &mut *state;
        silences.adopt(alerts, found, unix_ms())
    }

    /// Adds a source, read each second, for a rule outside of health. It must not block.
    pub fn watch(&self, source: impl Fn() -> Vec<Observation<'static>> + Send + Sync + 'static) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// Adds a source of measurements for the thresholds of
    /// [`LIMITS`](tidegate_model::alert_rules::LIMITS).
    pub(super) fn watch_limits(&self, source: impl Fn() -> Vec<Measurement> + Send + Sync + 'static) {
        let book = Arc::clone(&self.book);
        self.watch(move || source().into_iter().filter_map(|figure| book.observe(figure)).collect());
    }

    /// The operator's rules on metrics.
    pub(super) fn own_rules(&self) -> &Arc<OwnRules> {
        &self.own
    }

    /// Uses these statements to find the traces of alerts on statements.
    pub(super) fn look_into(&self, statements: Queries) {
        self.statements.get_or_init(|| statements);
    }

    /// Processes a second, and announces the changes. Does not wait for followers or receivers.
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

        if steps.iter().any(|step| !matches!(step.alert.phase, Phase::Pending | Phase::Withdrawn))
            && let Some(fleet) = self.fleet.get()
        {
            fleet.wake();
        }
        let steps: Vec<_> = steps.into_iter().filter(|step| step.notify).collect();
        // Still under the lock, so that a new follower misses no event and gets none twice.
        for step in &steps {
            state.logged += 1;
            self.stream.tell(&Told::alert(self.epoch, step));
        }
        if state.health.replace(beat.health.status) != Some(beat.health.status) {
            self.stream.tell(&told_of(beat));
        }
        drop(state);
        // The reader of the log may be slow, so the lock is released first.
        steps.iter().for_each(log::line);
    }

    /// Follows new events for `client`. With `after`, the id of an event, starts after that event,
    /// as far as events are remembered.
    ///
    /// # Errors
    ///
    /// [`TooManyFollowers`] if the limit in total or for that client is reached.
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

    /// Sends an event without a lifecycle to the topic's followers. Its texts are already masked.
    pub(super) fn announce(&self, topic: Topic, name: &'static str, data: &Value) {
        self.stream.tell(&Told::unnumbered(Some(topic), name, data));
    }

    /// Sends the changed counts of a queue, and keeps them for later followers.
    pub(super) fn announce_counts(&self, queue: &'static str, data: &Value) {
        let told = Told::unnumbered(Some(Topic::Queues), "queue", data);
        // Both under the lock, so that a new follower gets these counts exactly once.
        let mut state = self.state();
        self.stream.tell(&told);
        state.queues.insert(queue, told);
    }

    /// Removes the kept counts, which are only up to date while a client follows them.
    pub(super) fn forget_counts(&self) {
        self.state().queues.clear();
    }

    /// Silences a rule, or one subject of it, for a time and in all processes. Its texts are masked
    /// before they are stored, like those of alerts.
    ///
    /// # Errors
    ///
    /// [`SilenceFailure`] if the silence is invalid or the database can't be written.
    pub async fn silence(&self, mut silence: Silence) -> Result<Silence, SilenceFailure> {
        silence.reason = mask(&silence.reason).into_owned();
        silence.subject = silence.subject.as_deref().map(|subject| mask(subject).into_owned());
        self.state().alerts.check_silence(&silence, unix_ms())?;
        match self.fleet.get() {
            Some(fleet) => fleet.silence(&silence, || self.keep(&silence, true)).await??,
            None => self.keep(&silence, false)?,
        }
        Ok(silence)
    }

    fn keep(&self, silence: &Silence, is_shared: bool) -> Result<(), SilenceError> {
        let (mut state, now) = (self.state(), unix_ms());
        state.alerts.silence(silence.clone(), now)?;
        state.silences.add(silence, now);
        if is_shared {
            state.silences.share(silence);
        }
        Ok(())
    }

    /// Ends a silence early in all processes. Returns whether it existed.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn lift_silence(&self, rule: &str, subject: Option<&str>) -> Result<bool, StoreError> {
        let subject = subject.map(mask);
        let lift = || {
            let mut state = self.state();
            state.silences.lift(rule, subject.as_deref());
            state.alerts.lift_silence(rule, subject.as_deref())
        };
        let mut was_here = false;
        let was_shared = match self.fleet.get() {
            Some(fleet) => fleet.lift_silence(rule, subject.as_deref(), || was_here = lift()).await?,
            None => lift(),
        };
        Ok(was_shared || was_here)
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

    /// Returns the numbers of deliveries by channel and outcome.
    fn deliveries(&self, logged: u64) -> Vec<(&'static str, &'static str, u64)> {
        let mut all = vec![("log", "delivered", logged)];
        let (delivered, dropped) = self.stream.counts();
        all.extend([("stream", "delivered", delivered), ("stream", "dropped", dropped)]);
        for receiver in self.receivers() {
            let (way, OutboxCounts { delivered, failed, given_up, dropped, .. }) = (receiver.way(), receiver.counts());
            let outcomes = [("delivered", delivered), ("failed", failed), ("given_up", given_up), ("dropped", dropped)];
            all.extend(outcomes.map(|(outcome, count)| (way, outcome, count)));
        }
        all
    }

    fn receivers(&self) -> &[Arc<Receiver>] {
        self.fleet.get().map_or(&[], |fleet| fleet.receivers())
    }

    /// Returns the alerts of all processes, whether they are currently known, and the sender.
    fn fleet_json(&self, limit: usize) -> (Value, bool, Value) {
        let Some(fleet) = self.fleet.get() else { return (json!([]), false, Value::Null) };
        let (silences, own) = (self.silences(), self.firing());
        let view = fleet.view();
        let firing = view.firing(own, limit, fleet::is_silenced(&silences));
        let age = view.read_at.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        let sender = json!({"name": view.sender, "is_this_process": view.is_sender, "known_ms_ago": age});
        (json!(firing), view.is_current(), sender)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Masks secrets in an observation.
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

/// The columns of all lists. If an item lacks a member, its cell is empty.
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
    "notified",
    "processes",
    "waiting",
];
const LISTS: &[&str] =
    &["items", "silences", "rules", "burn_rates", "deliveries", "without_data", "fleet", "receivers"];

impl Section for AlertDesk {
    fn name(&self) -> &'static str {
        "alerts"
    }

    fn json(&self, limit: usize) -> Value {
        let (fleet, fleet_is_current, sender) = self.fleet_json(limit);
        let receivers = self.receivers().iter();
        let receivers: Vec<_> =
            receivers.map(|receiver| json!({"way": receiver.way(), "waiting": receiver.waiting()})).collect();
        let webhook = receivers.iter().find(|receiver| receiver["way"] == "webhook");
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
            "process": THIS_PROCESS.name(),
            "fleet": fleet,
            "fleet_is_current": fleet_is_current,
            "sender": sender,
            "waiting_for_webhook": webhook.map(|webhook| &webhook["waiting"]),
            "receivers": receivers,
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
