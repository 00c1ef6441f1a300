//! Sessions: start, lookup, end.

use std::time::Duration;

use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::cache_keys;
use tidegate_model::password::StoredPassword;
use tidegate_model::session::{Session, SessionDigest};
use tidegate_model::tenant::TenantId;
use uuid::Uuid;

use super::sql::accounts::{
    DELETE_SESSION, INSERT_SESSION, IS_ENDED, OLDEST_SESSIONS, PASSWORD, REMOVE_ENDED, SESSION,
};
use super::{Store, StoreError};

/// Maximum number of sessions of a user. Beyond it, the oldest sessions end.
const MOST_SESSIONS: i64 = 20;
/// Number of expired sessions that one transaction removes. Other writers can run between
/// transactions.
const AT_A_TIME: i64 = 500;

impl Store {
    /// Starts a session of a user whose password was `password` when it was verified. `None` if the
    /// password has changed or the user was deleted: a password change ends all sessions of the old
    /// password. Also ends the session `instead_of`, if given.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn begin_session(
        &self,
        digest: &SessionDigest,
        (tenant, user): (&TenantId, Uuid),
        password: &StoredPassword,
        lasts: Duration,
        instead_of: Option<&SessionDigest>,
    ) -> Result<Option<Session>, StoreError> {
        let now = clock::now();
        let expires_at = now + lasts;
        let begin = || async {
            let mut change = self.begin_once().await?;
            let found = change.one(&PASSWORD, &[tenant.as_str().into(), user.into()]).await?;
            let found = found.map(|row| row.text("password")).transpose()?;
            if found.as_deref() != Some(password.as_str()) {
                return Ok(None);
            }
            let values =
                [digest.0.as_slice().into(), tenant.as_str().into(), user.into(), now.into(), expires_at.into()];
            change.run(&INSERT_SESSION, &values, Touched::new().key(&cache_keys::session(digest))).await?;
            if let Some(before) = instead_of {
                let touched = Touched::new().key(&cache_keys::session(before));
                change.run(&DELETE_SESSION, &[before.0.as_slice().into()], touched).await?;
            }
            let of_user = [tenant.as_str().into(), user.into(), MOST_SESSIONS.into()];
            for row in change.all(&OLDEST_SESSIONS, &of_user).await? {
                let oldest = digest_of(row.blob("digest")?)?;
                let touched = Touched::new().key(&cache_keys::session(&oldest));
                change.run(&DELETE_SESSION, &[oldest.0.as_slice().into()], touched).await?;
            }
            change.commit().await?;
            Ok(Some(Session { tenant: tenant.clone(), user, expires_at }))
        };
        self.db.insist(begin).await
    }

    /// Returns the session, even if it has expired.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn session(&self, digest: &SessionDigest) -> Result<Option<Session>, StoreError> {
        let Some(row) = self.one(&SESSION, &[digest.0.as_slice().into()]).await? else { return Ok(None) };
        let unreadable = |column| StoreError::Unreadable { table: "session", id: digest.to_string(), column };
        Ok(Some(Session {
            tenant: row.text("tenant_id")?.parse().map_err(|_| unreadable("tenant_id"))?,
            user: row.text("user_id")?.parse().map_err(|_| unreadable("user_id"))?,
            expires_at: row.time("expires_at")?,
        }))
    }

    /// Ends a session: no request that begins after this is accepted with it, in any process.
    /// Returns whether it existed.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn end_session(&self, digest: &SessionDigest) -> Result<bool, StoreError> {
        let end = || async {
            let mut change = self.begin_once().await?;
            let touched = Touched::new().key(&cache_keys::session(digest));
            if change.run(&DELETE_SESSION, &[digest.0.as_slice().into()], touched).await? == 0 {
                return Ok(false);
            }
            change.commit().await?;
            Ok(true)
        };
        self.db.insist(end).await
    }

    /// Removes expired sessions. Returns how many.
    pub(super) async fn remove_ended_sessions(&self) -> Result<u64, StoreError> {
        let now = clock::now();
        let mut removed = 0;
        // Usually there are none, and no writer is needed.
        while self.db.one(&IS_ENDED, &[now.into()]).await?.is_some() {
            let mut change = self.begin_once().await?;
            // They are not accepted any more: the cached entries have their expiry.
            removed += change.run(&REMOVE_ENDED, &[now.into(), AT_A_TIME.into()], Touched::new()).await?;
            change.commit().await?;
        }
        Ok(removed)
    }
}

fn digest_of(bytes: Vec<u8>) -> Result<SessionDigest, StoreError> {
    let unreadable = |_| StoreError::Unreadable { table: "session", id: String::new(), column: "digest" };
    bytes.try_into().map(SessionDigest).map_err(unreadable)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ground::Ground;
    use crate::users::tests::{password, user};
    use tidegate_model::session::SessionToken;

    const HOUR: Duration = Duration::from_secs(3600);

    async fn begin_with(
        store: &Store,
        tenant: &TenantId,
        user: Uuid,
        word: &str,
        instead_of: Option<&SessionDigest>,
    ) -> SessionDigest {
        let digest = SessionToken::generate().digest();
        let begun = store.begin_session(&digest, (tenant, user), &password(word), HOUR, instead_of).await.unwrap();
        assert!(begun.is_some());
        digest
    }

    async fn begin(store: &Store, tenant: &TenantId, user: Uuid, lasts: Duration) -> SessionDigest {
        let digest = SessionToken::generate().digest();
        let begun = store.begin_session(&digest, (tenant, user), &password("one"), lasts, None).await.unwrap().unwrap();
        assert_eq!(store.session(&digest).await.unwrap(), Some(begun));
        digest
    }

    pub(crate) async fn a_session_ends_by_logout_a_new_password_or_with_its_user(ground: &Ground) {
        let (store, acme) = ground.with_tenant().await;
        let ada = user(&store, &acme, "ada@example.org").await.id;
        let is_there = async |digest: &SessionDigest| store.session(digest).await.unwrap().is_some();
        let (left, stays) = (begin(&store, &acme, ada, HOUR).await, begin(&store, &acme, ada, HOUR).await);
        assert!(store.end_session(&left).await.unwrap());
        assert!(!store.end_session(&left).await.unwrap());
        assert!(!is_there(&left).await && is_there(&stays).await);

        assert!(!store.set_password(&acme, ada, &password("two"), Some(&password("wrong"))).await.unwrap());
        assert!(is_there(&stays).await);
        assert!(store.set_password(&acme, ada, &password("two"), Some(&password("one"))).await.unwrap());
        assert!(!is_there(&stays).await);
        let last = begin_with(&store, &acme, ada, "two", None).await;
        let late = SessionToken::generate().digest();
        let begun = store.begin_session(&late, (&acme, ada), &password("one"), HOUR, Some(&last)).await.unwrap();
        assert_eq!(begun, None, "its password was compared before it was changed");
        assert!(is_there(&last).await, "a failed login ends no session");
        let next = begin_with(&store, &acme, ada, "two", Some(&last)).await;
        assert!(is_there(&next).await && !is_there(&last).await, "of one browser the next begins and the last ends");

        assert!(store.set_password(&acme, ada, &password("one"), None).await.unwrap());
        let last = begin(&store, &acme, ada, HOUR).await;
        assert!(store.delete_user(&acme, ada).await.unwrap());
        assert!(!is_there(&last).await);
        assert!(!store.set_password(&acme, ada, &password("two"), None).await.unwrap());
    }

    pub(crate) async fn of_too_many_sessions_the_oldest_end_and_those_over_are_removed(ground: &Ground) {
        let (store, acme) = ground.with_tenant().await;
        let (ada, bob) = (user(&store, &acme, "ada@x.org").await.id, user(&store, &acme, "bob@x.org").await.id);
        let others = begin(&store, &acme, bob, HOUR).await;
        let mut begun = Vec::new();
        for _ in 0..MOST_SESSIONS + 3 {
            begun.push(begin(&store, &acme, ada, HOUR).await);
            // The order of two sessions of the same millisecond is undefined.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mut there = Vec::new();
        for digest in &begun {
            there.push(store.session(digest).await.unwrap().is_some());
        }
        assert_eq!(there.iter().position(|is_there| *is_there), Some(3), "{there:?}");
        assert!(there[3..].iter().all(|is_there| *is_there), "{there:?}");
        assert!(store.session(&others).await.unwrap().is_some());

        let over = begin(&store, &acme, bob, Duration::ZERO).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(store.remove_ended_sessions().await.unwrap(), 1);
        assert_eq!(store.session(&over).await.unwrap(), None);
        assert!(store.session(&others).await.unwrap().is_some());
    }
}
