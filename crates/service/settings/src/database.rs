//! The PostgreSQL server, if the tables are not in a file.

use std::time::Duration;

use crate::database_url::{DatabaseUrl, UrlError};
use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, secret, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    secret(
        "database_url",
        "DATABASE_URL",
        "PostgreSQL server of the application's tables, such as postgres://user:password@host/database; not set: a SQLite file in data_dir",
    ),
    secret(
        "database_replica_urls",
        "DATABASE_REPLICA_URLS",
        "up to eight replicas of that server, separated by commas, for reads of schedules, exports, reports and backups",
    ),
    setting(
        "database.connections",
        "TIDEGATE_DATABASE_CONNECTIONS",
        Some("pool=10, connect=10s, deadline=30s"),
        "maximum number of connections of one process to that server, and to each replica, usually 10 to 100 (one more listens), timeout of a connection attempt, and how long requests to an unavailable server are retried (a statement without progress for a third of it is cancelled)",
    ),
];

/// Maximum number of replicas.
pub const MOST_REPLICAS: usize = 8;

/// A PostgreSQL server and how it is used.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The primary server.
    pub url: DatabaseUrl,
    /// Its replicas, which serve some of the reads.
    pub replicas: Vec<DatabaseUrl>,
    /// Maximum number of connections of one process to each server. One more listens on the
    /// primary.
    pub pool: u32,
    /// How long it may take to connect.
    pub connect_timeout: Duration,
    /// How long a request to an unavailable server is retried.
    pub deadline: Duration,
}

pub(crate) fn database(raw: &Reader<'_>) -> Result<Option<DatabaseSettings>, SettingsError> {
    let options = raw.options("database.connections")?;
    let pool = options.count("pool", 2..=1000)?;
    let connect_timeout = options.duration("connect", Duration::from_millis(100), Duration::from_secs(60))?;
    let deadline = options.duration("deadline", Duration::from_secs(1), Duration::from_secs(600))?;
    let replicas = replicas(raw)?;
    let Some((text, _)) = raw.text("database_url") else {
        if replicas.is_empty() {
            return Ok(None);
        }
        return Err(raw.invalid(
            "database_replica_urls",
            "names replicas of a server that `database_url` doesn't name".to_owned(),
        ));
    };
    let url = text.parse().map_err(|error: UrlError| raw.invalid("database_url", error.to_string()))?;
    Ok(Some(DatabaseSettings { url, replicas, pool, connect_timeout, deadline }))
}

fn replicas(raw: &Reader<'_>) -> Result<Vec<DatabaseUrl>, SettingsError> {
    let Some((text, _)) = raw.text("database_replica_urls") else { return Ok(Vec::new()) };
    let invalid = |number: usize, why: String| raw.invalid("database_replica_urls", format!("replica {number} {why}"));
    let read = |(index, url): (usize, &str)| {
        url.trim().parse().map_err(|error: UrlError| invalid(index + 1, error.to_string()))
    };
    let urls = text.split(',').enumerate().map(read).collect::<Result<Vec<DatabaseUrl>, _>>()?;
    if urls.len() > MOST_REPLICAS {
        return Err(invalid(MOST_REPLICAS + 1, format!("is one too many: there may be {MOST_REPLICAS}")));
    }
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ground::check_with;

    const URL: (&str, &str) = ("DATABASE_URL", "postgres://app:hunter2@localhost/shop");

    #[test]
    fn the_tables_are_in_a_file_unless_a_server_is_named() {
        assert!(check_with(&[]).unwrap().database.is_none());
        let settings = check_with(&[URL]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
        let database = settings.database.unwrap();
        assert_eq!((database.pool, database.deadline), (10, Duration::from_secs(30)));
        assert_eq!(database.connect_timeout, Duration::from_secs(10));
    }

    #[test]
    fn replicas_are_told_apart_by_their_number_and_by_nothing_secret() {
        let urls = "postgres://app:hunter2@one/shop, postgres://app:hunter2@two/shop";
        let settings = check_with(&[URL, ("DATABASE_REPLICA_URLS", urls)]).unwrap();
        let places: Vec<_> = settings.database.unwrap().replicas.iter().map(ToString::to_string).collect();
        assert_eq!(places, ["shop at one:5432", "shop at two:5432"]);
        let many = ["postgres://app:hunter2@one/shop"; MOST_REPLICAS + 1].join(",");
        for (urls, wanted) in [("postgres://app@one/shop,mysql://hunter2@two", "replica 2"), (&many, "replica 9")] {
            let error = check_with(&[URL, ("DATABASE_REPLICA_URLS", urls)]).unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains("hunter2"), "{error}");
        }
        let error =
            check_with(&[("DATABASE_REPLICA_URLS", "postgres://app:hunter2@one/shop")]).unwrap_err().to_string();
        assert!(error.contains("database_url") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn another_database_is_refused_without_repeating_its_password() {
        for url in ["mysql://app:hunter2@localhost", "postgres://app:hunter2@one,two/shop", "hunter2"] {
            let error = check_with(&[("DATABASE_URL", url)]).unwrap_err().to_string();
            assert!(error.contains("database_url (environment variable DATABASE_URL)"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
