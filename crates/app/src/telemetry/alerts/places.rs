//! How many may follow at once, and how many of those for one client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Each holds a connection.
pub(super) const MOST_FOLLOWERS: usize = 64;
/// Of one client: some tabs of a browser, or some machines behind one address.
pub(super) const MOST_OF_A_CLIENT: usize = 8;

/// Why somebody may not follow now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooManyFollowers {
    /// Of all.
    #[error("{MOST_FOLLOWERS} follow the events of this process, which is as many as may")]
    InAll,
    /// Of this client.
    #[error("{MOST_OF_A_CLIENT} of this client follow the events of this process, which is as many as may")]
    OfClient,
}

/// The places, all of them free at first.
#[derive(Debug, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<Box<str>, usize>>>);

impl Places {
    /// A place for one who follows for `client`.
    pub(super) fn take(&self, client: &str) -> Result<Place, TooManyFollowers> {
        let mut taken = lock(&self.0);
        if taken.values().sum::<usize>() >= MOST_FOLLOWERS {
            return Err(TooManyFollowers::InAll);
        }
        let own = taken.entry(client.into()).or_default();
        if *own >= MOST_OF_A_CLIENT {
            return Err(TooManyFollowers::OfClient);
        }
        *own += 1;
        Ok(Place { taken: Arc::clone(&self.0), client: client.into() })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        lock(&self.0).values().sum()
    }
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<HashMap<Box<str>, usize>>>,
    client: Box<str>,
}

impl Drop for Place {
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
        let places = Places::default();
        let mut greedy: Vec<_> = (0..MOST_OF_A_CLIENT).map(|_| places.take("a").unwrap()).collect();
        assert_eq!(places.take("a").unwrap_err(), TooManyFollowers::OfClient);
        let others: Vec<_> = (0..MOST_FOLLOWERS - MOST_OF_A_CLIENT)
            .map(|at| places.take(&format!("b{}", at / MOST_OF_A_CLIENT)).unwrap())
            .collect();
        assert_eq!(places.take("c").unwrap_err(), TooManyFollowers::InAll);
        greedy.pop();
        assert!(places.take("a").is_ok());
        assert_eq!(places.taken(), MOST_FOLLOWERS - 1);
        drop((greedy, others));
        assert_eq!((places.taken(), lock(&places.0).len()), (0, 0), "who is gone is forgotten");
    }
}
