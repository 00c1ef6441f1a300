//! One turn of one user, and its calls.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{Answer, Api, Recorder};

/// One turn of one user: a request, or several that follow one another.
pub struct Turn {
    /// The processes.
    pub api: Api,
    /// Its number; each is given once, over all runs of a program.
    pub number: u64,
    started: Instant,
    recorder: Recorder,
    has_failed_call: bool,
}

impl Turn {
    pub(super) fn new(api: Api, number: u64, started: Instant, recorder: Recorder) -> Self {
        Self { api, number, started, recorder, has_failed_call: false }
    }

    /// A hash of the number: neighbours in time have nothing in common.
    pub fn shuffled(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.number);
        hasher.finish()
    }

    /// Makes a call and records it. The first call of a turn counts from its scheduled time.
    ///
    /// # Errors
    ///
    /// The call's error.
    pub async fn call(
        &mut self,
        operation: &'static str,
        call: impl Future<Output = anyhow::Result<Answer>>,
    ) -> anyhow::Result<Answer> {
        self.call_named(|_| operation, call).await
    }

    /// Makes a call whose answer says which operation it was, and records it.
    ///
    /// # Errors
    ///
    /// The call's error.
    pub async fn call_named(
        &mut self,
        operation: impl FnOnce(&anyhow::Result<Answer>) -> &'static str,
        call: impl Future<Output = anyhow::Result<Answer>>,
    ) -> anyhow::Result<Answer> {
        let answer = call.await;
        let now = Instant::now();
        self.recorder.record(operation(&answer), now - self.started, &answer);
        self.started = now;
        self.has_failed_call |= answer.is_err();
        answer
    }

    /// Makes several calls at the same moment, and records each.
    ///
    /// # Errors
    ///
    /// The error of the first failed call.
    pub async fn call_at_once(
        &mut self,
        operation: &'static str,
        calls: impl IntoIterator<Item = impl Future<Output = anyhow::Result<Answer>>>,
    ) -> anyhow::Result<Vec<Answer>> {
        let (started, recorder) = (self.started, &self.recorder);
        let calls = calls.into_iter().map(async |call| {
            let answer = call.await;
            recorder.record(operation, Instant::now() - started, &answer);
            answer
        });
        let answers = join_all(calls).await;
        self.started = Instant::now();
        self.has_failed_call |= answers.iter().any(Result::is_err);
        answers.into_iter().collect()
    }

    /// Records how the turn ended.
    pub(super) fn end(&self, ended: anyhow::Result<()>) {
        // The error of a failed call is recorded. Any other one is a wrong answer.
        if let Err(error) = ended
            && !self.has_failed_call
        {
            self.recorder.record::<()>("turn", Duration::ZERO, &Err(error));
        }
    }
}
