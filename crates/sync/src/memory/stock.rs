//! Stocks in memory: implements the `stock_*.lua` scripts in Rust.

pub(super) mod state;

use std::time::Duration;

use async_trait::async_trait;

use self::state::{Step, StockState};
use super::{MemoryStore, lock};
use crate::clock::micros;
use crate::error::StoreError;
use crate::stock::{Added, Counts, Ended, Reserving, StockId, StockStore, Swept};

impl MemoryStore {
    /// Takes a step on a stock. `None` if it does not exist.
    fn on_stock<T>(&self, stock: &StockId, step: impl FnOnce(&mut Step<'_>) -> T) -> Option<T> {
        Some(self.step_on(lock(&self.stocks).get_mut(&stock.name)?, stock, step))
    }

    fn step_on<T>(&self, state: &mut StockState, stock: &StockId, step: impl FnOnce(&mut Step<'_>) -> T) -> T {
        let now = self.now();
        step(&mut Step { state, now, forget_at: now + micros(stock.horizon) })
    }
}

#[async_trait]
impl StockStore for MemoryStore {
    async fn add(&self, stock: &StockId, id: &str, quantity: u64) -> Result<Added, StoreError> {
        let mut stocks = lock(&self.stocks);
        let state = stocks.entry(stock.name.clone()).or_default();
        Ok(self.step_on(state, stock, |step| step.add(id, quantity)))
    }

    async fn reserve(&self, stock: &StockId, id: &str, quantity: u64, ttl: Duration) -> Result<Reserving, StoreError> {
        let answer = self.on_stock(stock, |step| step.reserve(id, quantity, micros(ttl)));
        Ok(answer.unwrap_or(Reserving::NoStock))
    }

    async fn end(&self, stock: &StockId, id: &str, wanted: Ended) -> Result<Option<Ended>, StoreError> {
        Ok(self.on_stock(stock, |step| step.end(id, wanted)).flatten())
    }

    async fn sweep(&self, stock: &StockId, limit: u32) -> Result<Swept, StoreError> {
        let swept = self.on_stock(stock, |step| Swept { expired: step.expire(limit), forgotten: step.forget(limit) });
        Ok(swept.unwrap_or_default())
    }

    async fn counts(&self, stock: &StockId) -> Result<Option<Counts>, StoreError> {
        Ok(self.on_stock(stock, |step| step.state.counts))
    }

    async fn remove(&self, stock: &StockId) -> Result<(), StoreError> {
        lock(&self.stocks).remove(&stock.name);
        Ok(())
    }
}
