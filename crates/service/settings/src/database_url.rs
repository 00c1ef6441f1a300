//! Location of a PostgreSQL server, parsed from a URL that is never repeated.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use reqwest::Url;
use sqlx::postgres::PgConnectOptions;

/// A server, a database on it, and the credentials. Displayed without user and password.
///
/// Clones share the credentials, which may change while connections are made.
#[derive(Clone)]
pub struct DatabaseUrl {
    options: Arc<RwLock<PgConnectOptions>>,
    /// The URL without user and password.
    place: Arc<str>,
}

/// Why a text is not a [`DatabaseUrl`]. The message does not repeat the text, which may contain a
/// password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is not such a URL.
    #[error("must be a URL such as postgres://user:password@host:5432/database")]
    NotPostgres,
    /// It has several hosts.
    #[error("must have one host: use a name or a proxy that leads to the writable server")]
    SeveralHosts,
    /// An unknown parameter, which the driver would ignore.
    #[error("parameter number {0} after `?` is unknown")]
    UnknownParameter(usize),
    /// The port or a parameter has an invalid value.
    #[error("its port or the value of a parameter after `?` is invalid")]
    Unusable,
}

/// The parameters that may follow `?`. The driver logs the value of any other parameter, for
/// example of a misspelt `password`, and continues without it.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

impl DatabaseUrl {
    /// Returns the driver's options.
    pub fn options(&self) -> PgConnectOptions {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether `newer` differs only in the credentials. If the URL names no database, another user
    /// means another database.
    pub fn differs_in_login_alone(&self, newer: &Self) -> bool {
        self.place == newer.place && self.to_string() == newer.to_string()
    }

    /// Uses the credentials of `newer` from the next connection on.
    pub fn replace_login(&self, newer: &Self) {
        let options = newer.options();
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url: Url = text.parse().map_err(|_| UrlError::NotPostgres)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") || url.cannot_be_a_base() {
            return Err(UrlError::NotPostgres);
        }
        let hosts = url.query_pairs().filter(|(name, _)| matches!(&**name, "host" | "hostaddr" | "port"));
        if url.host_str().is_some_and(|host| host.contains(','))
            || hosts.into_iter().any(|(_, value)| value.contains(','))
        {
            return Err(UrlError::SeveralHosts);
        }
        let is_known = |name: &str| PARAMETERS.contains(&name) || (name.starts_with("options[") && name.ends_with(']'));
        if let Some(place) = url.query_pairs().position(|(name, _)| !is_known(&name)) {
            return Err(UrlError::UnknownParameter(place + 1));
        }
        let options: PgConnectOptions = text.parse().map_err(|_| UrlError::Unusable)?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("tidegate"),
        };
        Ok(Self { options: Arc::new(RwLock::new(options)), place: without_login(url).into() })
    }
}

fn without_login(mut url: Url) -> String {
    // Both can fail only for a URL without a host, which has no credentials.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    let is_login = |name: &str| matches!(name, "user" | "password");
    let rest: Vec<_> = url
        .query_pairs()
        .filter(|(name, _)| !is_login(name))
        .map(|it| (it.0.into_owned(), it.1.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(rest);
    url.into()
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options();
        let database = options.get_database().unwrap_or(options.get_username());
        match options.get_socket() {
            Some(socket) => write!(f, "{database} at {}", socket.display()),
            None => write!(f, "{database} at {}:{}", options.get_host(), options.get_port()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_without_what_logs_in() {
        let url: DatabaseUrl = "postgres://app:hunter2@db.example.com:6432/shop?sslmode=require".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "shop at db.example.com:6432 DatabaseUrl(shop at db.example.com:6432)");
        let socket: DatabaseUrl =
            "postgresql://app@localhost/shop?host=/run/postgresql&password=hunter2".parse().unwrap();
        assert_eq!(socket.to_string(), "shop at /run/postgresql");
    }

    #[test]
    fn nothing_but_the_login_is_replaced() {
        let url = |text: &str| text.parse::<DatabaseUrl>().unwrap();
        let old = url("postgres://app:one@db.example.com/shop?sslmode=verify-full");
        for other in [
            "postgres://app:two@db.example.com/shop",
            "postgres://app:two@db.example.com/shop?sslmode=disable",
            "postgres://app:two@db.example.com/other?sslmode=verify-full",
            "postgres://app:two@elsewhere.example.com/shop?sslmode=verify-full",
        ] {
            assert!(!old.differs_in_login_alone(&url(other)), "{other}");
        }
        let newer = url("postgres://next:two@db.example.com/shop?sslmode=verify-full");
        let in_query = url("postgres://db.example.com/shop?sslmode=verify-full&user=next&password=two");
        assert!(old.differs_in_login_alone(&newer) && old.differs_in_login_alone(&in_query));
        let clone = old.clone();
        old.replace_login(&newer);
        assert_eq!(clone.options().get_username(), "next");
        let unnamed = url("postgres://app@db.example.com");
        assert!(
            !unnamed.differs_in_login_alone(&url("postgres://next@db.example.com")),
            "its database has the user's name"
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_repeating_it() {
        for (text, wanted) in [
            ("hunter2", UrlError::NotPostgres),
            ("mysql://app:hunter2@localhost/shop", UrlError::NotPostgres),
            ("postgres:hunter2", UrlError::NotPostgres),
            ("postgres://app:hunter2@one,two/shop", UrlError::SeveralHosts),
            ("postgres://app@one/shop?host=one,two", UrlError::SeveralHosts),
            ("postgres://app@one/shop?sslmode=require&passwrod=hunter2", UrlError::UnknownParameter(2)),
            ("postgres://app:hunter2@one/shop?sslmode=hunter2", UrlError::Unusable),
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert_eq!(error, wanted, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
