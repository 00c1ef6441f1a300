//! Hashes passwords with an expensive function, a few at a time. It takes the same time for unknown
//! users.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use tidegate_model::password::StoredPassword;

use tidegate_model::session::SessionToken;

/// Maximum number of waiting requests. Further ones are refused. Each hash takes about ten
/// milliseconds of a core.
const MOST_WAITING: usize = 256;
/// Maximum number of hashes at a time, whatever the number of cores. Each one uses 19 MiB.
const MOST_AT_ONCE: usize = 8;

/// Memory of one hash, kept for the next one. If each thread allocated and freed it, the process
/// would keep many times as much.
type Room = Vec<Block>;

/// A password that could not be hashed or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Too many passwords are being hashed.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The process is ending, or the algorithm failed.
    #[error("a password can't be hashed")]
    Failed,
}

/// The text is not a stored password, or cannot be hashed.
struct Unfit;

impl<E: std::error::Error> From<E> for Unfit {
    fn from(_: E) -> Self {
        Self
    }
}

impl From<Unfit> for PasswordError {
    fn from(_: Unfit) -> Self {
        Self::Failed
    }
}

/// Hashes and compares passwords with Argon2id (19 MiB, two passes).
///
/// At most one hash per core runs at a time, and at most eight, on threads that may block. So a
/// hundred logins at once use the memory of a few, and the others wait. Cheap to clone.
#[derive(Clone)]
pub struct Passwords(Arc<Parts>);

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

struct Parts {
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
    rooms: Mutex<Vec<Room>>,
    /// Compared with the password of an unknown user. No password matches it.
    nobodys: StoredPassword,
    compared: AtomicU64,
}

impl Parts {
    fn rooms(&self) -> MutexGuard<'_, Vec<Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one waiting request until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// Hashes one random password, for unknown users.
    ///
    /// # Errors
    ///
    /// If the algorithm fails.
    pub async fn new() -> Result<Self, PasswordError> {
        let nobodys = tokio::task::spawn_blocking(|| {
            let mut room = Room::new();
            hash(SessionToken::generate().expose(), &mut room).map(|hashed| (hashed, room))
        });
        let (nobodys, room) = nobodys.await.map_err(|_| PasswordError::Failed)??;
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_AT_ONCE);
        let (cores, rooms) = (Arc::new(Semaphore::new(cores)), Mutex::new(vec![room]));
        let (waiting, compared) = Default::default();
        Ok(Self(Arc::new(Parts { cores, waiting, rooms, nobodys, compared })))
    }

    /// Returns the hash to store for a password.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Busy`] if too many requests wait.
    pub async fn hash(&self, password: &str) -> Result<StoredPassword, PasswordError> {
        let password = password.to_owned();
        self.in_turn(move |_, room| Ok(hash(&password, room)?)).await
    }

    /// Whether the password matches. Without a stored password it takes the same time and returns
    /// `false`.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Busy`] if too many requests wait.
    pub async fn matches(&self, password: &str, stored: Option<&StoredPassword>) -> Result<bool, PasswordError> {
        let (password, stored) = (password.to_owned(), stored.cloned());
        self.in_turn(move |parts, room| {
            let is_it = compare(&password, stored.as_ref().unwrap_or(&parts.nobodys), room)?;
            parts.compared.fetch_add(1, Ordering::Relaxed);
            Ok(is_it && stored.is_some())
        })
        .await
    }

    /// Returns how many passwords were compared.
    pub fn compared(&self) -> u64 {
        self.0.compared.load(Ordering::Relaxed)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Parts, &mut Room) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = self.turn().await?;
        let parts = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            // If the caller's future is dropped, the work continues, so it holds the permit to the
            // end.
            let _turn = turn;
            let mut room = parts.rooms().pop().unwrap_or_default();
            let done = work(&parts, &mut room);
            parts.rooms().push(room);
            done
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

fn hash(password: &str, room: &mut Room) -> Result<StoredPassword, Unfit> {
    let argon = Argon2::default();
    let salt = Salt::generate();
    let hash = hash_in(&argon, password, &salt, Params::DEFAULT_OUTPUT_LEN, room)?;
    let stored = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: argon.params().try_into()?,
        salt: Some(salt),
        hash: Some(hash),
    };
    Ok(StoredPassword::from_table(stored.to_string()))
}

/// Uses the cost parameters of the stored password.
fn compare(password: &str, stored: &StoredPassword, room: &mut Room) -> Result<bool, Unfit> {
    let stored = PasswordHash::new(stored.as_str())?;
    let (Some(version), Some(salt), Some(hash)) = (stored.version, &stored.salt, &stored.hash) else {
        return Err(Unfit);
    };
    let algorithm = Algorithm::try_from(stored.algorithm.as_str())?;
    let argon = Argon2::new(algorithm, version.try_into()?, Params::try_from(&stored)?);
    // The comparison of the hashes takes constant time.
    Ok(hash_in(&argon, password, salt, hash.len(), room)? == *hash)
}

fn hash_in(argon: &Argon2<'_>, password: &str, salt: &[u8], length: usize, room: &mut Room) -> Result<Output, Unfit> {
    let needed = argon.params().block_count();
    if room.len() < needed {
        room.resize(needed, Block::default());
    }
    let mut hash = [0; Output::MAX_LENGTH];
    let hash = hash.get_mut(..length).ok_or(Unfit)?;
    argon.hash_password_into_with_memory(password.as_bytes(), salt, hash, &mut room[..needed])?;
    Ok(Output::new(hash)?)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_two_are_kept_alike() {
        let passwords = Passwords::new().await.unwrap();
        let (one, two) =
            (passwords.hash("correct horse").await.unwrap(), passwords.hash("correct horse").await.unwrap());
        assert_ne!(one, two);
        assert!(one.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.as_str());
        assert_eq!(passwords.matches("correct horse", Some(&one)).await, Ok(true));
        assert_eq!(passwords.matches("Correct horse", Some(&one)).await, Ok(false));
        assert!(!format!("{one:?} {passwords:?}").contains("argon2id"));
        let broken = StoredPassword::from_table("nothing".to_owned());
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
    async fn however_many_are_hashed_no_more_rooms_are_kept_than_there_are_turns() {
        let passwords = Passwords::new().await.unwrap();
        let turns = passwords.0.cores.available_permits();
        let hashed = join_all((0..4 * turns).map(|_| passwords.matches("any", None))).await;
        assert!(hashed.iter().all(|is_it| *is_it == Ok(false)), "{hashed:?}");
        let rooms = passwords.0.rooms();
        assert!((1..=turns).contains(&rooms.len()), "{}", rooms.len());
        assert!(rooms.iter().all(|room| room.len() == Params::DEFAULT.block_count()));
    }

    #[tokio::test]
    async fn beyond_those_who_may_wait_one_is_refused_and_the_others_get_their_turn() {
        let passwords = Passwords::new().await.unwrap();
        let held = Arc::clone(&passwords.0.cores)
            .acquire_many_owned(u32::try_from(passwords.0.cores.available_permits()).unwrap());
        let held = held.await.unwrap();
        // Each one releases its permit at once.
        let asked = (0..MOST_WAITING + 10).map(|_| async { passwords.turn().await.map(drop) });
        let answers = tokio::join!(join_all(asked), async { drop(held) }).0;
        let refused = answers.iter().filter(|turn| matches!(turn, Err(PasswordError::Busy))).count();
        assert_eq!(refused, 10);
        assert_eq!(passwords.0.waiting.load(Ordering::Relaxed), 0);
    }
}
