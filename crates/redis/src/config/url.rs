//! Parser of the URL. Our own, since no URL library supports several hosts.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::login::{Login, SharedLogin};
use super::{Config, Topology};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A Redis URL is wrong, or a file that it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no `scheme://`. The error does not contain the text, which may contain a password.
    #[error(
        "the Redis URL has no scheme; it has to look like redis://user:password@host:6379/0, redis-sentinel://… or \
         redis-cluster://…, with `rediss` for TLS"
    )]
    NoScheme,
    /// The scheme is unknown.
    #[error(
        "`{0}` is no scheme of a Redis URL; it is redis://, redis-sentinel:// or redis-cluster://, with `rediss` for TLS"
    )]
    Scheme(String),
    /// A host is missing or malformed. The error does not contain it: if `@host` is missing, it is
    /// the password.
    #[error(
        "host number {0} of the Redis URL is not a host, host:port or [IPv6]:port; a `/`, `?`, `#` or `@` in a password is \
         written as %2F, %3F, %23 or %40"
    )]
    Host(usize),
    /// There is more than one `@`.
    #[error(
        "there are two `@` in the Redis URL: user and password stand once, in front of the first host, and an `@` in them is \
         written as %40"
    )]
    Login,
    /// Several hosts where one is allowed.
    #[error("redis:// takes one host; for several it is redis-sentinel:// or redis-cluster://")]
    SeveralHosts,
    /// The name of the primary is missing.
    #[error("redis-sentinel:// needs the name of the primary behind the hosts: redis-sentinel://host:26379/name")]
    Service,
    /// The database is not a number from 0 to 255, or a cluster has one.
    #[error(
        "what stands behind the hosts of the Redis URL is not a database: a number from 0 to 255, and none in a cluster"
    )]
    Database,
    /// A parameter after `?` is unknown or malformed.
    #[error(
        "parameter number {0} behind the `?` of the Redis URL is not understood; there may stand timeout, connect_timeout (such \
         as 250ms), ca, sentinel_user and sentinel_password"
    )]
    Parameter(usize),
    /// A `%` is not followed by two digits, or the decoded text is not UTF-8. The error does not
    /// contain the text, which may be a password.
    #[error("user, password or a value is not valid UTF-8 once its %xx are decoded")]
    Encoding,
    /// The file of the certificate authority can't be used.
    #[error("the certificate authority {path} can't be used: {detail}", path = path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// The reason.
        detail: String,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
}

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let (scheme, rest) = text.split_once("://").ok_or(ConfigError::NoScheme)?;
    let (topology, uses_tls) = read_scheme(scheme)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, _)) if login.contains('@') => return Err(ConfigError::Login),
        Some((login, rest)) => (read_login(login)?, rest),
        None => (Login::default(), rest),
    };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let default_port = if topology == Topology::Sentinel { SENTINEL_PORT } else { REDIS_PORT };
    let hosts =
        hosts.split(',').zip(1..).map(|(host, nth)| read_host(host, default_port).ok_or(ConfigError::Host(nth)));
    let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
    if topology == Topology::Single && hosts.len() > 1 {
        return Err(ConfigError::SeveralHosts);
    }
    let (service, database) = read_path(topology, path)?;
    let mut config = Config {
        topology,
        uses_tls,
        hosts,
        service,
        login: SharedLogin::new(login),
        sentinel_login: Login::default(),
        database,
        authority: None,
        timeout: None,
        connect_timeout: CONNECT_TIMEOUT,
        allows_eviction: false,
    };
    for (parameter, nth) in query.split('&').filter(|parameter| !parameter.is_empty()).zip(1..) {
        read_parameter(&mut config, parameter, nth)?;
    }
    Ok(config)
}

fn read_scheme(scheme: &str) -> Result<(Topology, bool), ConfigError> {
    let unknown = || ConfigError::Scheme(scheme.chars().take(40).collect());
    let (base, arrangement) = scheme.split_once(['-', '+']).unwrap_or((scheme, ""));
    let uses_tls = match base {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return Err(unknown()),
    };
    let topology = match arrangement {
        "" => Topology::Single,
        "sentinel" => Topology::Sentinel,
        "cluster" => Topology::Cluster,
        _ => return Err(unknown()),
    };
    Ok((topology, uses_tls))
}

fn read_login(login: &str) -> Result<Login, ConfigError> {
    // Redis' own convention: a single word is the password, as in redis://secret@host.
    let (user, password) = login.split_once(':').unwrap_or(("", login));
    let given = |text: &str| if text.is_empty() { Ok(None) } else { decode(text).map(Some) };
    Ok(Login { user: given(user)?, password: given(password)? })
}

fn read_host(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if host.is_empty() || !host.bytes().all(is_plain) {
        return None;
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None => default_port,
    };
    Some((host.to_owned(), port))
}

fn read_path(topology: Topology, path: &str) -> Result<(String, u8), ConfigError> {
    let (service, database) = match topology {
        Topology::Sentinel => path.split_once('/').unwrap_or((path, "")),
        Topology::Single | Topology::Cluster => ("", path),
    };
    if topology == Topology::Sentinel && service.is_empty() {
        return Err(ConfigError::Service);
    }
    let number = if database.is_empty() { 0 } else { database.parse().map_err(|_| ConfigError::Database)? };
    if topology == Topology::Cluster && number != 0 {
        return Err(ConfigError::Database);
    }
    Ok((decode(service)?, number))
}

fn read_parameter(config: &mut Config, parameter: &str, nth: usize) -> Result<(), ConfigError> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    // Not even the name is in the error: it may be the part of a password after a `&`.
    let unknown = || ConfigError::Parameter(nth);
    let value = decode(value)?;
    if value.is_empty() {
        return Err(unknown());
    }
    let duration = || humantime::parse_duration(&value).ok().filter(|time| !time.is_zero()).ok_or_else(unknown);
    match name {
        "timeout" => config.timeout = Some(duration()?),
        "connect_timeout" => config.connect_timeout = duration()?,
        "ca" => config.authority = Some(PathBuf::from(value)),
        "sentinel_user" => config.sentinel_login.user = Some(value),
        "sentinel_password" => config.sentinel_login.password = Some(value),
        _ => return Err(unknown()),
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, ConfigError> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| ConfigError::Encoding)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_url_for_each_arrangement() {
        for (url, shown) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("redis://localhost:7000/3", "redis://localhost:7000/3"),
            ("rediss://cache.example.org", "rediss://cache.example.org:6379"),
            ("valkey://[::1]:7000", "redis://::1:7000"),
            ("redis-sentinel://a,b:5000/main/2", "redis-sentinel://a:26379,b:5000/main/2"),
            ("rediss-cluster://a:1,b:2", "rediss-cluster://a:1,b:2"),
            ("redis+cluster://a:1", "redis-cluster://a:1"),
        ] {
            assert_eq!(Config::parse(url).unwrap().to_string(), shown, "{url}");
        }
    }

    #[test]
    fn a_password_is_read_and_never_shown() {
        let config = Config::parse("redis://ada:p%40ss@h?sentinel_password=t0p").unwrap();
        assert_eq!(config.login.get().password.as_deref(), Some("p@ss"));
        assert_eq!(config.login.get().user.as_deref(), Some("ada"));
        assert_eq!(config.to_string(), "redis://ada:***@h:6379");
        let debug = format!("{config:?}");
        assert!(!debug.contains("p@ss") && !debug.contains("t0p"), "{debug}");
        assert_eq!(Config::parse("redis://secret@h").unwrap().login.get().password.as_deref(), Some("secret"));
    }

    #[test]
    fn times_and_files() {
        let config = Config::parse("redis://h?timeout=80ms&connect_timeout=2s&ca=/etc/ca.pem").unwrap();
        assert_eq!(config.timeout, Some(Duration::from_millis(80)));
        assert_eq!(config.connect_timeout, Duration::from_secs(2));
        assert_eq!(config.authority, Some(PathBuf::from("/etc/ca.pem")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, error) in [
            ("localhost:6379", ConfigError::NoScheme),
            ("http://h", ConfigError::Scheme("http".into())),
            ("redis-ring://h", ConfigError::Scheme("redis-ring".into())),
            ("redis://", ConfigError::Host(1)),
            ("redis://h:0", ConfigError::Host(1)),
            ("redis://h:port", ConfigError::Host(1)),
            ("redis://[x]:1", ConfigError::Host(1)),
            ("redis://a,b", ConfigError::SeveralHosts),
            ("redis-sentinel://a", ConfigError::Service),
            ("redis://h/x", ConfigError::Database),
            ("redis-cluster://h/1", ConfigError::Database),
            ("redis://h?timeout=soon", ConfigError::Parameter(1)),
            ("redis://h?ca=/x&pasword=secret", ConfigError::Parameter(2)),
            ("redis-cluster://u:p@a:1,u:p@b:2", ConfigError::Login),
            ("redis-cluster://a:1,b:x", ConfigError::Host(2)),
            ("redis://u:%ff@h", ConfigError::Encoding),
        ] {
            assert_eq!(Config::parse(url).err(), Some(error), "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(redis|rediss-cluster|redis-sentinel)?(://)?.{0,40}") {
            let _ = Config::parse(&text);
        }

        #[test]
        fn no_error_repeats_a_password(password in "[a-zA-Z0-9]{12}", tail in "[a-z?/=&,:]{0,12}") {
            // Correct, without a host, cut by characters that should have been encoded, and in
            // other wrong forms.
            for url in [
                format!("redis://user:{password}@h{tail}"),
                format!("redis://user:{password}{tail}"),
                format!("redis://:a?{password}@h"),
                format!("redis://:a/{password}@h"),
                format!("redis-sentinel://h/main?sentinel_password=a&{password}{tail}"),
            ] {
                let shown = match Config::parse(&url) {
                    Ok(config) => format!("{config} {config:?}"),
                    Err(error) => format!("{error} {error:?}"),
                };
                // A single word may be a host.
                let is_host = shown.starts_with("redis://") && !shown.contains("***");
                prop_assert!(is_host || !shown.contains(&password), "{}", shown);
            }
        }
    }
}
