//! The alerts of this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tidegate_base::clock::unix_ms;
use tidegate_model::alert_rules::{Measurement, RuleBook, standing_rules};
use tidegate_perfmon::{Alert, Alerts, BurnLog, BurnRate, BurnReading, Health, Observation, Queries, Registry};
use tidegate_settings::AlertSettings;

use super::fleet::Fleet;
use super::receivers::Receiver;
use super::silence_timers::SilenceTimers;
use super::stream::{Stream, StreamEvent};
use crate::latest::LatestReport;
use crate::own_rules::OwnRules;

/// Maximum number of ended alerts and transitions that are remembered.
const HISTORY: usize = 200;

/// Keeps the alerts of this process and announces them. All texts are masked by
/// [`mask`](tidegate_perfmon::mask).
pub struct AlertDispatcher {
    pub(super) state: Mutex<State>,
    pub(super) objective: BurnRate,
    /// Distinguishes the alerts of this process from those of an earlier one.
    pub(super) epoch: u64,
    pub(super) latest: Arc<LatestReport>,
    /// Statements with traces. Empty until `look_into`.
    pub(super) statements: OnceLock<Queries>,
    pub(super) stream: Stream,
    /// The processes that share their alerts with this one. Empty in a test.
    pub(super) fleet: OnceLock<Arc<Fleet>>,
    /// Sources of observations that are not part of health.
    pub(super) sources: Mutex<Vec<Source>>,
    pub(super) book: Arc<RuleBook>,
    /// The operator's rules on metrics.
    pub(super) own: Arc<OwnRules>,
}

type Source = Box<dyn Fn() -> Vec<Observation<'static>> + Send + Sync>;

/// The alerts and what was announced of them.
pub(super) struct State {
    pub(super) alerts: Alerts,
    pub(super) silences: SilenceTimers,
    pub(super) outcomes: BurnLog,
    pub(super) recorded_at: Option<Duration>,
    pub(super) burning: Vec<BurnReading>,
    /// The health that was last announced.
    pub(super) health: Option<Health>,
    /// The counts of queues that were last sent, while a client follows them.
    pub(super) queues: BTreeMap<&'static str, StreamEvent>,
    pub(super) logged: u64,
}

impl std::fmt::Debug for AlertDispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlertDispatcher").finish_non_exhaustive()
    }
}

impl AlertDispatcher {
    /// Makes a dispatcher for alerts and events. New followers get the report in `latest`.
    pub(crate) fn new(settings: &AlertSettings, registry: &Registry, latest: Arc<LatestReport>) -> Arc<Self> {
        let epoch = unix_ms();
        let objective = BurnRate::standard(settings.objective);
        let book = Arc::new(RuleBook::new(standing_rules(&objective), &settings.rules));
        let alerts = Alerts::new(book.rules().to_vec(), HISTORY)
            .expect("the rules are written here, a test makes them, and the settings check the others");
        let state = State {
            alerts,
            silences: SilenceTimers::default(),
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

    /// Returns the firing alerts of this process, the most severe first.
    pub(in crate::alerts) fn firing(&self) -> Vec<Alert> {
        let mut firing: Vec<_> = self.state().alerts.firing().cloned().collect();
        firing.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
        firing
    }

    /// Returns the alert after its end. `None` if it has not ended or is not remembered.
    pub(in crate::alerts) fn end_of(&self, alert: &Alert) -> Option<Alert> {
        let all = self.state().alerts.list(usize::MAX);
        let is_it = |other: &Alert| (other.id, &other.rule, &other.subject) == (alert.id, &alert.rule, &alert.subject);
        all.into_iter().find(|other| is_it(other) && other.ended_at_unix_ms.is_some())
    }

    /// Adds a source, read each second, for a rule outside of health. It must not block.
    pub fn watch(&self, source: impl Fn() -> Vec<Observation<'static>> + Send + Sync + 'static) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// Adds a source of measurements for the thresholds of
    /// [`LIMITS`](tidegate_model::alert_rules::LIMITS).
    pub(crate) fn watch_limits(&self, source: impl Fn() -> Vec<Measurement> + Send + Sync + 'static) {
        let book = Arc::clone(&self.book);
        self.watch(move || source().into_iter().filter_map(|figure| book.observe(figure)).collect());
    }

    /// The operator's rules on metrics.
    pub(crate) fn own_rules(&self) -> &Arc<OwnRules> {
        &self.own
    }

    /// Uses these statements to find the traces of alerts on statements.
    pub(crate) fn look_into(&self, statements: Queries) {
        self.statements.get_or_init(|| statements);
    }

    pub(in crate::alerts) fn receivers(&self) -> &[Arc<Receiver>] {
        self.fleet.get().map_or(&[], |fleet| fleet.receivers())
    }

    pub(in crate::alerts) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
