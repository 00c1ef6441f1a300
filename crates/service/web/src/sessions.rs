//! Sessions of users as requests need them: from the cache, else from the store.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use cookie::SameSite;
use tidegate_base::clock;
use tidegate_cache::{Fill, Key, TieredCache, TtlClass, TypedCache, WarmUp};
use tidegate_model::cache_keys::{self, Named};
use tidegate_model::session::{Session, SessionDigest, SessionToken};
use tidegate_store::{Store, StoreError};

use crate::cookie::{MOST_COOKIES, NewCookie, cookies, own_name};
use crate::problem::Problem;

/// Name of the cookie. It is sent only to the API, and scripts cannot read it. The dashboard has
/// its own cookie.
pub const NAME: &str = "tidegate_user";
/// A missing session is cached only for a short time: guesses must not fill the cache.
const UNKNOWN: Duration = Duration::from_secs(5);

/// The sessions of users, in the store and behind the cache.
#[derive(Debug, Clone)]
pub struct Sessions {
    store: Store,
    // Only in this process: Redis needs no list of logged-in users.
    sessions: TypedCache<Option<Session>>,
}

impl Sessions {
    /// Reads through `cache` from `store`, as values of `class`.
    pub fn new(store: &Store, cache: &TieredCache, class: TtlClass) -> Self {
        Self { store: store.clone(), sessions: cache.typed(class) }
    }

    /// Returns the session with that digest, until it expires. The caller has caught up with other
    /// processes.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn of(&'static self, digest: &SessionDigest) -> Result<Option<Session>, Problem> {
        let key = cache_keys::session(digest);
        let digest = *digest;
        let load = async move || load(&self.store, &digest).await;
        let read = self.sessions.fetch(&key, load).await?;
        Ok(read.value.as_ref().clone().filter(|session| clock::now() < session.expires_at))
    }

    /// Registers the loader of sessions with a warm-up.
    pub fn teach(&self, warm_up: WarmUp) -> WarmUp {
        let store = self.store.clone();
        warm_up.class(&self.sessions, move |key: Key| {
            let store = store.clone();
            async move {
                let Some(Named::Session(digest)) = Named::of(&key) else { return Err(NotWarmed::NotAKey) };
                Ok(load(&store, &digest).await?)
            }
        })
    }
}

/// Why a session was not loaded at start.
#[derive(Debug, thiserror::Error)]
enum NotWarmed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("not a key of sessions")]
    NotAKey,
}

async fn load(store: &Store, digest: &SessionDigest) -> Result<Fill<Option<Session>>, StoreError> {
    let session = store.session(digest).await?;
    let tag = session.as_ref().map(|session| cache_keys::sessions_of(&session.tenant, session.user));
    let fill = Fill::found(session);
    Ok(match tag {
        Some(tag) => fill.tag(tag),
        None => fill.ttl(UNKNOWN),
    })
}

/// Returns the session of the request's cookie.
pub fn sent(headers: &HeaderMap) -> Option<SessionDigest> {
    cookies(headers, &own_name(NAME, headers)).take(MOST_COOKIES).find_map(SessionToken::digest_of)
}

/// Returns the cookie that begins a session of that length.
pub fn begin(token: &SessionToken, lasts: Duration, headers: &HeaderMap) -> HeaderValue {
    cookie(token.expose(), lasts, headers)
}

/// Returns the cookie that ends a session.
pub fn end(headers: &HeaderMap) -> HeaderValue {
    cookie("", Duration::ZERO, headers)
}

fn cookie(value: &str, lasts: Duration, headers: &HeaderMap) -> HeaderValue {
    NewCookie { name: NAME, value, path: "/api", lasts, same_site: SameSite::Strict }.header(headers)
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_cookie_is_known_again_among_others() {
        let token = SessionToken::generate();
        let set = begin(&token, Duration::from_secs(60), &HeaderMap::new());
        let (pair, attributes) = set.to_str().unwrap().split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/api; Max-Age=60; HttpOnly; SameSite=Strict");
        let sent_with = |text: &str| sent(&with(header::COOKIE, text));
        assert_eq!(sent_with(&format!("a=b; tidegate_user=x; {pair}; c=d")), Some(token.digest()));
        assert_eq!(sent_with("tidegate_session=x; a=b"), None);
        assert_eq!(sent_with("tidegate_user="), None);
        assert!(!format!("{set:?}").contains(token.expose()), "what prints headers prints no token");
    }

    #[test]
    fn a_cookie_that_came_by_tls_stays_there() {
        let token = SessionToken::generate();
        for (proto, is_secure) in [("https", true), ("http", false)] {
            let headers = with(header::HeaderName::from_static("x-forwarded-proto"), proto);
            for cookie in [begin(&token, Duration::from_secs(1), &headers), end(&headers)] {
                assert_eq!(cookie.to_str().unwrap().ends_with("; Secure"), is_secure, "{proto}");
            }
        }
    }

    #[test]
    fn a_cookie_that_another_host_planted_counts_for_nothing_where_there_is_tls() {
        let (own, planted) = (SessionToken::generate(), SessionToken::generate());
        let mut headers = with(header::HeaderName::from_static("x-forwarded-proto"), "https");
        let set = begin(&own, Duration::from_secs(60), &headers);
        let (pair, attributes) = set.to_str().unwrap().split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure");
        let sent_with = format!("{NAME}={}; {pair}", planted.expose());
        headers.insert(header::COOKIE, HeaderValue::from_str(&sent_with).unwrap());
        assert_eq!(sent(&headers), Some(own.digest()));
        let alone = format!("{NAME}={}", planted.expose());
        headers.insert(header::COOKIE, HeaderValue::from_str(&alone).unwrap());
        assert_eq!(sent(&headers), None);
    }
}
