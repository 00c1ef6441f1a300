//! Passwords: hashed slowly, a few at a time, and as slowly where there is none to compare with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::Argon2;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who waits for a turn beyond so many is refused: each turn takes some ten milliseconds of a core.
const MOST_WAITING: usize = 256;

/// What is kept of a password: salt, costs and hash, in the form of PHC.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredPassword(String);

impl StoredPassword {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_table(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPassword(****)")
    }
}

/// A password that could not be hashed or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Too many are being hashed.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The process is ending, or the algorithm failed.
    #[error("a password can't be hashed")]
    Failed,
}

/// Hashes and compares passwords by Argon2id (19 MiB, two passes).
///
/// As many at a time as the machine has cores, on threads that may block: a hundred logins at once take the memory of a few, and the
/// others wait. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Passwords(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// What an unknown user's password is compared with. Nobody knows a password of it.
    nobodys: StoredPassword,
    compared: AtomicU64,
}

/// One of those who wait, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// Hashes one password, for users that there aren't.
    ///
    /// # Errors
    ///
    /// When the algorithm fails.
    pub async fn new() -> Result<Self, PasswordError> {
        let nobodys = tokio::task::spawn_blocking(|| hash(crate::session::SessionToken::generate().expose()));
        let nobodys = nobodys.await.map_err(|_| PasswordError::Failed)??;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (waiting, compared) = Default::default();
        Ok(Self(Arc::new(Parts { cores: Arc::new(Semaphore::new(cores)), waiting, nobodys, compared })))
    }

    /// What is to be kept of a password.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Busy`] where too many wait.
    pub async fn hash(&self, password: &str) -> Result<StoredPassword, PasswordError> {
        let password = password.to_owned();
        self.in_turn(move |_| hash(&password)).await
    }

    /// Whether that is the password. Where there is none to compare with it takes as long, and isn't.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Busy`] where too many wait.
    pub async fn matches(&self, password: &str, stored: Option<&StoredPassword>) -> Result<bool, PasswordError> {
        let (password, stored) = (password.to_owned(), stored.cloned());
        self.in_turn(move |parts| {
            let is_it = compare(&password, stored.as_ref().unwrap_or(&parts.nobodys))?;
            parts.compared.fetch_add(1, Ordering::Relaxed);
            Ok(is_it && stored.is_some())
        })
        .await
    }

    /// How many were compared.
    pub fn compared(&self) -> u64 {
        self.0.compared.load(Ordering::Relaxed)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Parts) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = self.turn().await?;
        let parts = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            // Where the caller leaves, the work goes on: the turn ends with it.
            let _turn = turn;
            work(&parts)
        });
        done.await.map_err(|_| PasswordError::Failed)?
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, PasswordError> {
        let before = self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.0.waiting);
        if before >= MOST_WAITING {
            return Err(PasswordError::Busy);
        }
        Arc::clone(&self.0.cores).acquire_owned().await.map_err(|_| PasswordError::Failed)
    }
}

fn hash(password: &str) -> Result<StoredPassword, PasswordError> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| PasswordError::Failed)?;
    Ok(StoredPassword(hash.to_string()))
}

fn compare(password: &str, stored: &StoredPassword) -> Result<bool, PasswordError> {
    use argon2::password_hash::Error;
    let stored = PasswordHash::new(&stored.0).map_err(|_| PasswordError::Failed)?;
    match Argon2::default().verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(PasswordError::Failed),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_two_are_kept_alike() {
        let passwords = Passwords::new().await.unwrap();
        let (one, two) = (passwords.hash("correct horse").await.unwrap(), passwords.hash("correct horse").await.unwrap());
        assert_ne!(one, two);
        assert!(one.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.as_str());
        assert_eq!(passwords.matches("correct horse", Some(&one)).await, Ok(true));
        assert_eq!(passwords.matches("Correct horse", Some(&one)).await, Ok(false));
        assert!(!format!("{one:?} {passwords:?}").contains("argon2id"));
        let broken = StoredPassword("nothing".to_owned());
        assert_eq!(passwords.matches("any", Some(&broken)).await, Err(PasswordError::Failed));
    }

    #[tokio::test]
    async fn nobodys_password_is_compared_at_the_same_costs_and_never_right() {
        let passwords = Passwords::new().await.unwrap();
        let someones = passwords.hash("correct horse").await.unwrap();
        let costs = |stored: &StoredPassword| stored.as_str().rsplitn(3, '$').last().unwrap_or_default().to_owned();
        assert_eq!(costs(&passwords.0.nobodys), costs(&someones));
        assert_eq!(passwords.matches("any", None).await, Ok(false));
        assert_eq!(passwords.compared(), 1);
    }

    #[tokio::test]
    async fn beyond_those_who_may_wait_one_is_refused_and_the_others_get_their_turn() {
        let passwords = Passwords::new().await.unwrap();
        let held = Arc::clone(&passwords.0.cores).acquire_many_owned(
            u32::try_from(passwords.0.cores.available_permits()).unwrap(),
        );
        let held = held.await.unwrap();
        // Each gives its turn back at once.
        let asked = (0..MOST_WAITING + 10).map(|_| async { passwords.turn().await.map(drop) });
        let answers = tokio::join!(join_all(asked), async { drop(held) }).0;
        let refused = answers.iter().filter(|turn| matches!(turn, Err(PasswordError::Busy))).count();
        assert_eq!(refused, 10);
        assert_eq!(passwords.0.waiting.load(Ordering::Relaxed), 0);
    }
}
