//! Locks and semaphores in memory: implements `permit_acquire.lua` in Rust.

pub(super) mod state;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use self::state::Waiter;
use super::{MemoryStore, lock};
use crate::clock::micros;
use crate::error::StoreError;
use crate::fence::Fence;
use crate::permit::{Acquire, Acquired, PermitStore, Place};

#[async_trait]
impl PermitStore for MemoryStore {
    async fn acquire(&self, request: Acquire<'_>) -> Result<Acquired, StoreError> {
        let mut permits = lock(&self.permits);
        let now = self.now();
        let permits = &mut *permits;
        let state = permits.places.entry(request.place.clone()).or_default();
        state.holders.retain(|_, ends| *ends > now);
        state.queue.retain(|waiter| waiter.dead_at > now || waiter.owner == request.owner);

        let free = (request.permits as usize).saturating_sub(state.holders.len());
        let position = state.queue.iter().position(|waiter| waiter.owner == request.owner);
        let ahead = position.unwrap_or(state.queue.len());
        if ahead < free || state.holders.contains_key(request.owner) {
            if let Some(position) = position {
                state.queue.remove(position);
            }
            state.holders.insert(request.owner.to_owned(), now + micros(request.lease));
            permits.fence = now.max(permits.fence + 1);
            return Ok(Acquired::Granted(Fence::new(permits.fence)));
        }
        if let Some(wait) = request.queue {
            let dead_at = now + micros(wait);
            match position {
                Some(position) => state.queue[position].dead_at = dead_at,
                None => {
                    state.queue.push_back(Waiter { owner: request.owner.to_owned(), dead_at, wake: Arc::default() });
                }
            }
        }
        let free_in = state.holders.values().min().map_or(0, |ends| ends - now);
        Ok(Acquired::Busy { ahead: (ahead - free) as u64, free_in: Duration::from_micros(free_in) })
    }

    async fn extend(&self, place: &Place, owner: &str, lease: Duration) -> Result<bool, StoreError> {
        let mut permits = lock(&self.permits);
        let now = self.now();
        let held = permits.places.get_mut(place).and_then(|state| state.holders.get_mut(owner));
        Ok(match held {
            Some(ends) if *ends > now => {
                *ends = (*ends).max(now + micros(lease));
                true
            }
            _ => false,
        })
    }

    async fn release(&self, place: &Place, owner: &str) -> Result<(), StoreError> {
        let mut permits = lock(&self.permits);
        if let Some(state) = permits.places.get_mut(place) {
            state.holders.remove(owner);
            state.queue.retain(|waiter| waiter.owner != owner);
            state.wake(1);
            if state.holders.is_empty() && state.queue.is_empty() {
                permits.places.remove(place);
            }
        }
        Ok(())
    }

    async fn wait(&self, place: &Place, owner: &str, at_most: Duration) {
        let wake = {
            let permits = lock(&self.permits);
            let mut queue = permits.places.get(place).into_iter().flat_map(|state| &state.queue);
            queue.find(|waiter| waiter.owner == owner).map(|waiter| waiter.wake.clone())
        };
        match wake {
            // Woken or not, the caller sends a request.
            Some(wake) => drop(timeout(at_most, wake.notified()).await),
            None => tokio::time::sleep(at_most).await,
        }
    }
}
