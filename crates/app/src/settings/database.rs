//! The PostgreSQL server, where the tables are not in a file.

use std::time::Duration;

use super::SettingsError;
use super::reader::Reader;
use crate::store::DatabaseUrl;

/// A PostgreSQL server and how it is used.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The server that is written to.
    pub url: DatabaseUrl,
    /// Connections to it, at most, of one process; one more listens.
    pub pool: u32,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a server that is away is asked again.
    pub deadline: Duration,
}

pub(super) fn database(raw: &Reader<'_>) -> Result<Option<DatabaseSettings>, SettingsError> {
    let pool = raw.count("database.pool", 2..=1000)?;
    let connect_timeout =
        raw.duration("database.connect_timeout", Duration::from_millis(100), Duration::from_secs(60))?;
    let deadline = raw.duration("database.deadline", Duration::from_secs(1), Duration::from_secs(600))?;
    let Some((text, _)) = raw.text("database_url") else { return Ok(None) };
    let url = text.parse().map_err(|error: crate::store::UrlError| raw.invalid("database_url", error.to_string()))?;
    Ok(Some(DatabaseSettings { url, pool, connect_timeout, deadline }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::test_ground::check_with;

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
    fn another_database_is_refused_without_repeating_its_password() {
        for url in ["mysql://app:hunter2@localhost", "postgres://app:hunter2@one,two/shop", "hunter2"] {
            let error = check_with(&[("DATABASE_URL", url)]).unwrap_err().to_string();
            assert!(error.contains("database_url (environment variable DATABASE_URL)"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
