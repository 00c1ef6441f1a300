//! Handlers by kind, with their job types erased.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;

use crate::handler::{Context, Handler, Outcome};
use crate::job::{DecodeError, Job, decode};
use crate::lease::LeasedJob;

/// What a handler made of a job.
pub(crate) enum Verdict {
    Ended(Outcome),
    /// Written by a newer release: some other worker may know it.
    NotForUs(String),
}

#[async_trait]
pub(crate) trait ErasedHandler: Send + Sync {
    async fn run(&self, job: &LeasedJob, context: &Context) -> Verdict;
}

struct Typed<J, H> {
    handler: H,
    job: PhantomData<fn() -> J>,
}

#[async_trait]
impl<J: Job, H: Handler<J>> ErasedHandler for Typed<J, H> {
    async fn run(&self, job: &LeasedJob, context: &Context) -> Verdict {
        match decode::<J>(job.version, &job.payload) {
            Ok(job) => Verdict::Ended(self.handler.run(job, context).await),
            Err(error @ DecodeError::TooNew { .. }) => Verdict::NotForUs(error.to_string()),
            Err(error) => Verdict::Ended(Outcome::bury(error)),
        }
    }
}

/// Handlers by kind.
#[derive(Clone, Default)]
pub(crate) struct Registry(HashMap<&'static str, Arc<dyn ErasedHandler>>);

impl Registry {
    /// Returns whether the kind was new.
    pub(crate) fn add<J: Job, H: Handler<J>>(&mut self, handler: H) -> bool {
        let typed = Typed { handler, job: PhantomData::<fn() -> J> };
        self.0.insert(J::KIND, Arc::new(typed)).is_none()
    }

    pub(crate) fn get(&self, kind: &str) -> Option<Arc<dyn ErasedHandler>> {
        self.0.get(kind).cloned()
    }
}
