//! Limits how many clients subscribe to the events of a process, and how many streams one client
//! has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a client may not subscribe to the events now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooManyFollowers {
    /// The limit of the process is reached.
    #[error("{0} event streams are open on this process, which is the maximum")]
    InAll(usize),
    /// The limit of this client is reached.
    #[error("{0} event streams of this client are open on this process, which is the maximum")]
    OfClient(usize),
}

/// The slots for subscribers, all of them free at first. Clones share them.
#[derive(Debug, Clone)]
pub struct PermitPool {
    taken: Arc<Mutex<HashMap<Box<str>, usize>>>,
    most: usize,
    most_of_client: usize,
}

impl PermitPool {
    /// Creates slots with a limit in total and a limit per client.
    pub fn new(most: usize, most_of_client: usize) -> Self {
        Self { taken: Arc::default(), most, most_of_client }
    }

    /// Takes a slot for a subscription of `client`.
    ///
    /// # Errors
    ///
    /// If the limit of the process or of the client is reached.
    pub fn take(&self, client: &str) -> Result<Permit, TooManyFollowers> {
        let mut taken = lock(&self.taken);
        if taken.values().sum::<usize>() >= self.most {
            return Err(TooManyFollowers::InAll(self.most));
        }
        let own = taken.get(client).copied().unwrap_or(0);
        if own >= self.most_of_client {
            return Err(TooManyFollowers::OfClient(self.most_of_client));
        }
        taken.insert(client.into(), own + 1);
        Ok(Permit { taken: Arc::clone(&self.taken), client: client.into() })
    }

    /// Returns how many slots are taken.
    pub fn taken(&self) -> usize {
        lock(&self.taken).values().sum()
    }
}

/// A slot, which is released on drop.
#[derive(Debug)]
pub struct Permit {
    taken: Arc<Mutex<HashMap<Box<str>, usize>>>,
    client: Box<str>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(own) = taken.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

fn lock(taken: &Mutex<HashMap<Box<str>, usize>>) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_places_to_others_and_each_place_is_given_back() {
        let permits = PermitPool::new(64, 8);
        let mut greedy: Vec<_> = (0..8).map(|_| permits.take("a").unwrap()).collect();
        assert_eq!(permits.take("a").unwrap_err(), TooManyFollowers::OfClient(8));
        let others: Vec<_> = (0..56).map(|at| permits.take(&format!("b{}", at / 8)).unwrap()).collect();
        assert_eq!(permits.take("c").unwrap_err(), TooManyFollowers::InAll(64));
        greedy.pop();
        assert!(permits.take("a").is_ok());
        assert_eq!(permits.taken(), 63);
        drop((greedy, others));
        assert_eq!((permits.taken(), lock(&permits.taken).len()), (0, 0), "a client without a stream is removed");
    }
}
