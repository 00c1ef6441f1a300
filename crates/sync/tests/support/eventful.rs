//! A store of ledgers that injects events into its steps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tidegate_sync::{
    Credit, Credited, LedgerId, LedgerStore, Posted, Posting, Settlement, Snapshot, StoreError, TransitPage,
};

use super::Store;

/// An event during a step that changes the ledger.
#[derive(Clone, Debug)]
pub enum Event {
    /// No event.
    None,
    /// The step is not executed.
    Lost,
    /// The step is executed, and its reply is lost.
    ReplyLost,
    /// Another client withdraws first.
    Rival { id: String, account: String, amount: u64 },
}

/// Forwards each step. Each consumes the next event, while there are any.
pub struct Eventful {
    inner: Arc<dyn Store>,
    events: Mutex<VecDeque<Event>>,
}

impl Eventful {
    pub fn new(inner: Arc<dyn Store>, events: impl IntoIterator<Item = Event>) -> Arc<Self> {
        Arc::new(Self { inner, events: Mutex::new(events.into_iter().collect()) })
    }

    async fn step<T>(
        &self,
        ledger: &LedgerId,
        step: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let event = self.events.lock().unwrap().pop_front();
        match event.unwrap_or(Event::None) {
            Event::None => step.await,
            Event::Lost => Err(failure()),
            Event::ReplyLost => {
                step.await?;
                Err(failure().maybe_run())
            }
            Event::Rival { id, account, amount } => {
                let rival = Posting { id: &id, from: Some(&account), to: None, amount, fence: None, expected: None };
                let posted = self.inner.post(ledger, rival).await?;
                assert!(matches!(posted, Posted::Done { .. }), "{posted:?}");
                step.await
            }
        }
    }
}

fn failure() -> StoreError {
    StoreError::new("a step", "the process has died").transient()
}

#[async_trait]
impl LedgerStore for Eventful {
    async fn post_all(&self, ledger: &LedgerId, at: u16, postings: &[Posting<'_>]) -> Result<Vec<Posted>, StoreError> {
        self.step(ledger, self.inner.post_all(ledger, at, postings)).await
    }

    async fn credit(&self, ledger: &LedgerId, at: u16, credits: &[Credit<'_>]) -> Result<Vec<Credited>, StoreError> {
        self.step(ledger, self.inner.credit(ledger, at, credits)).await
    }

    async fn settle(&self, ledger: &LedgerId, at: u16, settled: &[Settlement]) -> Result<Vec<bool>, StoreError> {
        if settled.is_empty() {
            return self.inner.settle(ledger, at, settled).await;
        }
        self.step(ledger, self.inner.settle(ledger, at, settled)).await
    }

    async fn in_transit(&self, ledger: &LedgerId, at: u16, after: u64, limit: u32) -> Result<TransitPage, StoreError> {
        self.inner.in_transit(ledger, at, after, limit).await
    }

    async fn read(
        &self,
        ledger: &LedgerId,
        at: u16,
        accounts: &[&str],
        id: Option<&str>,
    ) -> Result<Snapshot, StoreError> {
        self.inner.read(ledger, at, accounts, id).await
    }
}
