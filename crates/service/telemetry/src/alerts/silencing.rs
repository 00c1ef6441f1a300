//! Silences of alerts, in this process and in all others.

use tidegate_base::clock::unix_ms;
use tidegate_perfmon::{Silence, SilenceError, mask};
use tidegate_store::StoreError;

use super::dispatcher::{AlertDispatcher, State};

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

impl AlertDispatcher {
    /// Returns the active silences.
    pub(in crate::alerts) fn silences(&self) -> Vec<Silence> {
        self.state().alerts.silences(unix_ms())
    }

    /// Applies the silences of all processes. Returns the expired ones.
    pub(in crate::alerts) fn adopt_silences(&self, found: Vec<Silence>) -> Vec<Silence> {
        let mut state = self.state();
        let State { alerts, silences, .. } = &mut *state;
        silences.adopt(alerts, found, unix_ms())
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
}
