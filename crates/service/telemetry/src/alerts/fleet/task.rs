//! The task that shares the alerts of a process, and sends those of the fleet while it holds the
//! lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_base::LogThrottle;
use tidegate_base::clock::unix_ms;
use tidegate_base::identity::THIS_PROCESS;
use tidegate_perfmon::{Phase, Silence, Transition};
use tidegate_store::{AlertSender, AlertState, StateChange, StoreError};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::lease::{BELIEVES, Claim, Lease};
use super::merge::{Merged, merge};
use super::own::{OwnReports, key};
use super::sightings::{LiveReports, Sightings};
use super::view::View;
use super::{FAREWELL, Fleet, is_silenced};
use crate::alerts::dispatcher::AlertDispatcher;
use crate::alerts::notice::Notice;

/// Interval of the sender's turns, and of each process's reads of its own alerts.
const TURN: Duration = Duration::from_secs(1);
/// Interval of the reads of the database by a process that does not send.
const LOOK: Duration = Duration::from_secs(5);
/// Timeout of the database operations in a turn.
const PATIENCE: Duration = Duration::from_secs(3);
/// Duration of an outage of the database after which a process sends its own alerts.
const GRACE: Duration = Duration::from_secs(5);
/// Limits the log lines about an unreachable database to one a minute.
static FAILURES: LogThrottle = LogThrottle::new(Duration::from_secs(60));

/// State of the fleet that one process knows. Times are since the start of the task.
pub(in crate::alerts) struct Task {
    fleet: Arc<Fleet>,
    dispatcher: Arc<AlertDispatcher>,
    began: Instant,
    lease: Lease,
    sightings: Sightings,
    own: OwnReports,
    /// Rules and subjects of the alerts that the fleet has sent, at the last read.
    told: BTreeSet<(String, String)>,
    looked_at: Option<Duration>,
    good_at: Duration,
    /// Position of each receiver, as written to the database.
    settled: BTreeMap<&'static str, u64>,
    /// Number of the last notice that this process sent directly.
    direct: u64,
}

impl Task {
    pub(in crate::alerts) fn new(fleet: Arc<Fleet>, dispatcher: Arc<AlertDispatcher>) -> Self {
        Self {
            fleet,
            dispatcher,
            began: Instant::now(),
            lease: Lease::new(&THIS_PROCESS.instance),
            sightings: Sightings::new(&THIS_PROCESS.instance),
            own: OwnReports::default(),
            told: BTreeSet::new(),
            looked_at: None,
            good_at: Duration::ZERO,
            settled: BTreeMap::new(),
            direct: 0,
        }
    }

    /// Shares the alerts until `shutdown`.
    pub(in crate::alerts) async fn run(mut self, shutdown: CancellationToken) {
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wake = Arc::clone(&self.fleet.wake);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = turns.tick() => {}
                () = wake.notified() => {}
            }
            // A turn that a shutdown interrupts has failed: the next sender reads what was
            // committed.
            if shutdown.run_until_cancelled(self.turn()).await.is_none() {
                break;
            }
        }
        if timeout(FAREWELL, self.leave()).await.is_err() {
            tracing::debug!(
                "the lease of the process that sends alerts was not released: another process takes it over when it expires"
            );
        }
    }

    /// Returns the time since the start of the task.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn turn(&mut self) {
        let shared = match timeout(PATIENCE, self.share()).await {
            Ok(shared) => shared.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let now = self.now();
        match shared {
            Ok(()) => self.good_at = now,
            Err(error) => {
                // It is unknown which part was done: the next sender reads what was committed.
                // Waiting notices may be sent until the end of the lease.
                self.lease.lost();
                if let Some(unlogged) = FAILURES.count() {
                    tracing::warn!(
                        error,
                        unlogged,
                        "alerts can't be shared with other processes: the database is unavailable"
                    );
                }
            }
        }
        let is_away = now.saturating_sub(self.good_at) >= GRACE;
        if is_away {
            // Direct notices must not wait after notices that another process may already send.
            self.step_down();
        }
        self.send_directly(is_away);
    }

    /// Runs all steps that need the database.
    async fn share(&mut self) -> Result<(), StoreError> {
        self.report().await?;
        self.settle().await?;
        let now = self.now();
        let is_due = self.looked_at.is_none_or(|at| now.saturating_sub(at) >= LOOK);
        if !self.lease.is_held(now) && !is_due {
            return Ok(());
        }
        self.adopt_silences().await?;
        let reports = self.fleet.store.alert_reports().await?;
        let living = self.sightings.look(self.now(), reports);
        let sender = self.claim().await?;
        let (mut states, unreadable) = self.fleet.store.alert_states().await?;
        let silences = self.dispatcher.silences();
        if self.lease.is_held(self.now()) {
            states = self.send(&sender, &living, states, unreadable, &silences).await?;
            for (process, heartbeat) in &living.dead {
                self.fleet.store.remove_dead_alert_reports(process, *heartbeat).await?;
            }
        }
        *self.fleet.view() = View::of(&living.reports, &states, &sender);
        self.told = states.into_iter().filter(|state| state.is_told).map(|state| key(&state.alert)).collect();
        self.looked_at = Some(self.now());
        Ok(())
    }

    /// Reads the silences of all processes and applies them to the dispatcher. Removes the expired
    /// ones.
    async fn adopt_silences(&self) -> Result<(), StoreError> {
        let _silencing = self.fleet.silencing.lock().await;
        for over in self.dispatcher.adopt_silences(self.fleet.store.alert_silences().await?) {
            self.fleet.store.end_alert_silence(&over).await?;
        }
        Ok(())
    }

    /// Writes the changed reports of this process.
    async fn report(&mut self) -> Result<(), StoreError> {
        let (now, dispatcher) = (self.now(), &self.dispatcher);
        if let Some(plan) = self.own.plan(now, &dispatcher.firing(), |alert| dispatcher.end_of(alert)) {
            let process = &THIS_PROCESS.instance;
            self.own.doubt();
            let reports = self.fleet.store.put_alert_reports(process, &plan).await?;
            if !plan.changed.is_empty() {
                // So that the view includes it.
                self.looked_at = None;
            }
            self.own.wrote(plan, now, reports);
        }
        Ok(())
    }

    /// Records delivered notices in the database.
    async fn settle(&mut self) -> Result<(), StoreError> {
        for receiver in self.fleet.receivers() {
            let (way, settled) = (receiver.way(), receiver.settled());
            if settled > self.settled.get(way).copied().unwrap_or(0) {
                self.fleet.store.settle_alerts(way, settled).await?;
                self.settled.insert(way, settled);
            }
        }
        Ok(())
    }

    /// Takes or keeps the role of the sender, if it is this process's turn. A process without
    /// receivers never does. Returns the row.
    async fn claim(&mut self) -> Result<AlertSender, StoreError> {
        let (process, name) = (&THIS_PROCESS.instance, THIS_PROCESS.name());
        let mut sender = self.fleet.store.alert_sender().await?;
        if self.fleet.receivers().is_empty() {
            return Ok(sender);
        }
        let now = self.now();
        let claim = self.lease.look(&sender, now);
        match claim {
            Claim::Hold => {}
            Claim::Leave => self.step_down(),
            Claim::Take | Claim::Renew => {
                if !self.fleet.store.claim_alert_sender(process, &name, sender.turn).await? {
                    self.step_down();
                    return Ok(sender);
                }
                sender = AlertSender { holder: process.clone(), name, turn: sender.turn + 1, ..sender };
                if claim == Claim::Take {
                    tracing::info!("this process now sends the alerts of all processes");
                    self.lease_receivers(now);
                    self.take_over(&sender).await?;
                }
                self.renewed(now);
            }
        }
        Ok(sender)
    }

    /// Continues from the position of the previous sender.
    async fn take_over(&mut self, sender: &AlertSender) -> Result<(), StoreError> {
        let store = &self.fleet.store;
        for receiver in self.fleet.receivers() {
            let settled = match store.alert_settled(receiver.way()).await? {
                Some(settled) => settled,
                // A new receiver gets only later notices.
                None => {
                    store.settle_alerts(receiver.way(), sender.notices).await?;
                    sender.notices
                }
            };
            for (number, body) in store.alert_notices_behind(receiver.catch_up(settled)).await? {
                match serde_json::from_str(&body) {
                    Ok(notice) => receiver.push(Arc::new(notice), Some(number)),
                    Err(error) => {
                        tracing::warn!(number, %error, "a notice of another version can't be read and is not sent");
                    }
                }
            }
        }
        Ok(())
    }

    /// Merges the reports, records the notices, and passes them to the receivers. Removes states
    /// that can't be read. Returns the resulting firing alerts.
    async fn send(
        &mut self,
        sender: &AlertSender,
        living: &LiveReports,
        states: Vec<AlertState>,
        unreadable: Vec<(String, String)>,
        silences: &[Silence],
    ) -> Result<Vec<AlertState>, StoreError> {
        let now_unix_ms = unix_ms();
        let merged = merge(living, &states, is_silenced(silences), now_unix_ms);
        if merged.is_empty() && unreadable.is_empty() {
            return Ok(states);
        }
        let (mut changes, mut notices) = (Vec::new(), Vec::new());
        for (rule, subject) in unreadable {
            tracing::warn!(rule, subject, "an alert of another version can't be read and is removed");
            changes.push(StateChange::Remove { rule, subject });
        }
        for Merged { change, step } in merged {
            changes.push(change);
            if let Some(step) = step {
                let number = sender.notices + 1 + notices.len() as u64;
                let event = format!("{}-{number}", self.fleet.store.installation());
                let step_of = Transition::new(number, now_unix_ms, Some(step.from), true, step.alert);
                notices.push((number, Arc::new(Notice { event, step: step_of, source: step.source })));
            }
        }
        // A notice contains only numbers and texts, which always serialize.
        let written =
            notices.iter().map(|(number, notice)| (*number, serde_json::to_string(&**notice).unwrap_or_default()));
        let written: Vec<_> = written.collect();
        let now = self.now();
        if !self.fleet.store.record_alerts(&THIS_PROCESS.instance, sender, &changes, &written).await? {
            self.step_down();
            return Ok(states);
        }
        self.renewed(now);
        for receiver in self.fleet.receivers() {
            for (number, notice) in &notices {
                receiver.push(Arc::clone(notice), Some(*number));
            }
        }
        Ok(after(states, changes))
    }

    /// Sends the alerts that this process has to send directly.
    fn send_directly(&mut self, is_away: bool) {
        if self.fleet.receivers().is_empty() {
            return;
        }
        let told = &self.told;
        for alert in self.own.direct(is_away, &self.dispatcher.firing(), |key| told.contains(key)) {
            self.direct += 1;
            let event = format!("{}-{}", THIS_PROCESS.instance, self.direct);
            let step = Transition::new(self.direct, unix_ms(), Some(Phase::Pending), true, alert);
            let notice = Arc::new(Notice { event, step, source: THIS_PROCESS.clone() });
            self.fleet.receivers().iter().for_each(|receiver| receiver.push(Arc::clone(&notice), None));
        }
    }

    /// Records that the lease was taken or renewed.
    fn renewed(&mut self, now: Duration) {
        self.lease.renewed(now);
        self.lease_receivers(now);
    }

    fn lease_receivers(&self, now: Duration) {
        let end = self.began + now + BELIEVES;
        self.fleet.receivers().iter().for_each(|receiver| receiver.lease_until(end));
    }

    /// Leaves the fleet's notices to the process that sends from now on.
    fn step_down(&mut self) {
        self.lease.lost();
        self.fleet.receivers().iter().for_each(|receiver| receiver.take_back_shared());
    }

    /// Releases the lease, so that another process need not wait for its expiry. Reports of alerts
    /// that the fleet has sent stay until the sender finds this process dead, so a restart repeats
    /// none of them. The other reports are removed.
    async fn leave(&mut self) {
        let left = async {
            self.settle().await?;
            let (states, _) = self.fleet.store.alert_states().await?;
            let sent: BTreeSet<_> = states.iter().map(|state| key(&state.alert)).collect();
            if let Some(change) = self.own.farewell(|key| sent.contains(key)) {
                self.fleet.store.put_alert_reports(&THIS_PROCESS.instance, &change).await?;
            }
            let sender = self.fleet.store.alert_sender().await?;
            if sender.holder == THIS_PROCESS.instance {
                self.fleet.store.claim_alert_sender("", "", sender.turn).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = left.await {
            tracing::debug!(%error, "the lease of the process that sends alerts was not released");
        }
    }
}

/// Returns the states after the changes.
fn after(mut states: Vec<AlertState>, changes: Vec<StateChange>) -> Vec<AlertState> {
    for change in changes {
        let (rule, subject) = match &change {
            StateChange::Put(state) => (&state.alert.rule, &state.alert.subject),
            StateChange::Remove { rule, subject } => (rule, subject),
        };
        states.retain(|state| (&state.alert.rule, &state.alert.subject) != (rule, subject));
        if let StateChange::Put(state) = change {
            states.push(*state);
        }
    }
    states
}
