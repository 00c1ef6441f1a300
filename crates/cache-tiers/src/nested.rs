//! Loads that wait for loads. They are known by their task, so that no load waits for itself or for
//! a permit that is reserved for it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::flight::Flight;
use crate::read::LoadError;

tokio::task_local! {
    /// The flight whose loader this task runs.
    static LOADING: Arc<Flight>;
}

/// Orders the changes of the waits, so that two that close a cycle cannot miss each other.
static ORDER: Mutex<()> = Mutex::new(());

/// Runs a loader as the loader of its flight.
pub(crate) async fn within<F: Future>(flight: &Arc<Flight>, loader: F) -> F::Output {
    LOADING.scope(Arc::clone(flight), loader).await
}

/// Whether L2 could not be queried for the value that this task loads, so that L2 may have it.
#[cfg(feature = "sessions")]
pub fn is_without_l2() -> bool {
    LOADING.try_with(|flight| flight.inquiry.is_without_l2()).unwrap_or(false)
}

/// Loads of a batch end with the first of them.
pub fn end_with(first: &Arc<Flight>, others: impl IntoIterator<Item = Arc<Flight>>) {
    let _order = ORDER.lock().unwrap_or_else(PoisonError::into_inner);
    for other in others {
        other.awaits().push(Arc::clone(first));
        // Another load may have begun to wait for it before.
        if other.is_exempt() {
            first.exempt();
        }
    }
}

/// The load that this task runs waits for another one, until this is dropped.
pub struct Waiting {
    waiter: Arc<Flight>,
    awaited: Arc<Flight>,
}

/// The load would wait for its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cycle;

impl<E> From<Cycle> for LoadError<E> {
    fn from(Cycle: Cycle) -> Self {
        Self::Cycle
    }
}

/// Notes that the load of this task, if it runs one, waits for `awaited`. The awaited load then
/// needs no permit: it runs on the permit of the waiter.
pub fn wait_for(awaited: &Arc<Flight>) -> Result<Option<Waiting>, Cycle> {
    let Ok(waiter) = LOADING.try_with(Arc::clone) else { return Ok(None) };
    {
        let _order = ORDER.lock().unwrap_or_else(PoisonError::into_inner);
        if leads_to(awaited, &waiter) {
            return Err(Cycle);
        }
        waiter.awaits().push(Arc::clone(awaited));
    }
    awaited.exempt();
    // The first key of a batch has the permit.
    awaited.awaits().iter().for_each(|flight| flight.exempt());
    Ok(Some(Waiting { waiter, awaited: Arc::clone(awaited) }))
}

fn leads_to(from: &Arc<Flight>, to: &Arc<Flight>) -> bool {
    let (mut seen, mut open) = (Vec::new(), vec![Arc::clone(from)]);
    while let Some(flight) = open.pop() {
        if Arc::ptr_eq(&flight, to) {
            return true;
        }
        if !seen.iter().any(|other| Arc::ptr_eq(other, &flight)) {
            open.extend(flight.awaits().iter().cloned());
            seen.push(flight);
        }
    }
    false
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _order = ORDER.lock().unwrap_or_else(PoisonError::into_inner);
        let mut awaits = self.waiter.awaits();
        if let Some(at) = awaits.iter().position(|flight| Arc::ptr_eq(flight, &self.awaited)) {
            awaits.swap_remove(at);
        }
    }
}
