//! Redis.

use std::time::Duration;

use tidegate_redis::Keyspace;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, secret, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    // The URLs may contain passwords.
    secret(
        "redis.url",
        "REDIS_URL",
        "queue, limits and the cache's shared tier on Redis: redis://, redis-sentinel:// or redis-cluster://; not set: embedded",
    ),
    secret("redis.cache_url", "REDIS_CACHE_URL", "separate server for the cache's shared tier, which may evict keys"),
    setting(
        "redis.prefix",
        "TIDEGATE_REDIS_PREFIX",
        Some("tidegate"),
        "prefix of all keys on Redis; each installation needs its own",
    ),
    setting(
        "redis.rewrite_append_only_file",
        "TIDEGATE_REDIS_REWRITE_APPEND_ONLY_FILE",
        Some("on"),
        "on: send BGREWRITEAOF to Redis at the first connection and after each of its restarts, to remove the remains of torn scripts; off: never",
    ),
    setting(
        "redis.timeouts",
        "TIDEGATE_REDIS_TIMEOUTS",
        Some("queue=1s, request=250ms"),
        "timeout of one Redis command of the queue, and of limits and cache before the process uses its memory instead",
    ),
    setting(
        "cache.replicas",
        "TIDEGATE_CACHE_REPLICAS",
        Some("off"),
        "maximum lag, such as 1s, of Redis replicas that the cache's shared tier also reads values from, and how long a changed key is read from the primary; `off`: reads only from primaries",
    ),
];

/// Settings of Redis.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// The servers.
    pub servers: RedisServers,
    /// The keys of this installation.
    pub keyspace: Keyspace,
    /// Maximum lag of a replica that the cache reads from. `None` if it reads only from primaries.
    pub replica_lag: Option<Duration>,
    /// Whether a restarted server that keeps torn scripts is asked to rewrite its append-only file.
    pub rewrites_append_only_file: bool,
}

/// The Redis servers, and how long they may take to respond.
#[derive(Debug, Clone)]
pub struct RedisServers {
    /// For the queue.
    pub queue: tidegate_redis::Config,
    /// For the limiters: the same server, with a shorter timeout.
    pub limits: tidegate_redis::Config,
    /// For the cache, if it has its own server.
    pub cache: Option<tidegate_redis::Config>,
}

fn replica_lag(raw: &Reader<'_>) -> Result<Option<Duration>, SettingsError> {
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    raw.required("cache.replicas", "`off` or a time from 100ms to 1h, such as 1s", |text| match text {
        "off" => Some(None),
        _ => humantime::parse_duration(text).ok().filter(|lag| range.contains(lag)).map(Some),
    })
}

/// Everything is checked even without a URL: so a mistake shows when it is made, not when Redis is
/// enabled.
pub(crate) fn redis(raw: &Reader<'_>) -> Result<Option<RedisSettings>, SettingsError> {
    let timeouts = raw.options("redis.timeouts")?;
    let time = |name| timeouts.duration(name, Duration::from_millis(10), Duration::from_secs(60));
    let (timeout, request_timeout) = (time("queue")?, time("request")?);
    let replica_lag = replica_lag(raw)?;
    let prefix =
        raw.required("redis.prefix", "1 to 64 letters, digits, `-`, `_` or `.`", |text| Keyspace::new(text).ok())?;
    let rewrites_append_only_file = raw.switch("redis.rewrite_append_only_file")?;
    let (url, cache_url) = (redis_url(raw, "redis.url")?, redis_url(raw, "redis.cache_url")?);
    let Some(url) = url else {
        return match cache_url {
            Some(_) => Err(raw.invalid("redis.cache_url", "requires redis.url (REDIS_URL) too".to_owned())),
            None => Ok(None),
        };
    };
    let servers = RedisServers {
        queue: url.clone().command_timeout(timeout),
        limits: url.command_timeout(request_timeout),
        cache: cache_url.map(|url| url.command_timeout(request_timeout)),
    };
    Ok(Some(RedisSettings { servers, keyspace: prefix, replica_lag, rewrites_append_only_file }))
}

/// A Redis URL. Errors do not repeat it, because it may contain a password.
fn redis_url(raw: &Reader<'_>, key: &'static str) -> Result<Option<tidegate_redis::Config>, SettingsError> {
    let Some((text, _)) = raw.text(key) else { return Ok(None) };
    let asks_for_timeout = text
        .split_once('?')
        .is_some_and(|(_, query)| query.split('&').any(|parameter| parameter.split('=').next() == Some("timeout")));
    if asks_for_timeout {
        let reason = "`timeout` after `?` is not supported: set redis.timeouts";
        return Err(raw.invalid(key, reason.to_owned()));
    }
    tidegate_redis::Config::parse(text).map(Some).map_err(|error| raw.invalid(key, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ground::check_with;

    #[test]
    fn redis_is_off_unless_its_url_is_set() {
        assert!(check_with(&[]).unwrap().redis.is_none());
        let redis = check_with(&[("REDIS_URL", "redis://:secret@localhost")]).unwrap().redis.unwrap();
        assert_eq!(redis.keyspace.prefix(), "tidegate");
        assert!(redis.servers.cache.is_none());
        assert!(!format!("{redis:?}").contains("secret"), "{redis:?}");
    }

    #[test]
    fn replicas_are_read_where_that_is_switched_on() {
        let lag = |variables: &[(&str, &str)]| {
            let variables = [&[("REDIS_URL", "redis://localhost")], variables].concat();
            check_with(&variables).map(|settings| settings.redis.unwrap().replica_lag)
        };
        assert_eq!(lag(&[]).unwrap(), None);
        assert_eq!(lag(&[("TIDEGATE_CACHE_REPLICAS", "250ms")]).unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(lag(&[("TIDEGATE_CACHE_REPLICAS", "off")]).unwrap(), None);
        for wrong in [("TIDEGATE_CACHE_REPLICAS", "on"), ("TIDEGATE_CACHE_REPLICAS", "1ms")] {
            let error = lag(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(wrong.0), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_redis_url_is_told_without_its_password() {
        for (url, wrong) in [
            ("http://:secret@localhost", "`http` is no scheme"),
            ("redis://:secret@one,two", "one host"),
            ("redis-sentinel://:secret@one", "name of the primary"),
            ("redis://:secret@localhost/x", "database"),
            ("redis://:secret@localhost?tiemout=1s", "parameter number 1"),
            ("redis://:secret@localhost?timeout=1s", "redis.timeouts"),
        ] {
            let error = check_with(&[("REDIS_URL", url)]).unwrap_err().to_string();
            assert!(error.contains("redis.url (environment variable REDIS_URL)"), "{error}");
            assert!(error.contains(wrong) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_server_for_the_cache_alone_is_no_setup() {
        let error = check_with(&[("REDIS_CACHE_URL", "redis://localhost")]).unwrap_err().to_string();
        assert!(error.contains("redis.cache_url") && error.contains("REDIS_URL"), "{error}");
    }
}
