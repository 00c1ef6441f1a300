//! Turns text into values that need no further checks.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use tidegate_ratelimit::{ForwardedHeader, Ipv6Prefix, TrustedProxies};
use tidegate_redis::Keyspace;

use super::database::database;
use super::email::email;
use super::files::files;
use super::notifications::{notifications, webhook};
use super::queues;
use super::reader::{Reader, misspelt_level};
use super::reminders::reminders;
use super::tls::tls;
use super::{
    AccessLogSettings, HttpSettings, InnerWorker, LimitsSettings, ListSettings, LogFormat, OpenTenants, QueueSettings,
    RawSettings, RedisServers, RedisSettings, Settings, SettingsError, Tokens, WarmUpSettings, WorkerListen, cache,
    performance,
};

/// Ten years.
const MOST_KEPT: Duration = Duration::from_secs(3_660 * 24 * 3600);

/// Returns the log filter.
fn log_filter(raw: &Reader<'_>) -> Result<String, SettingsError> {
    raw.required("log", "a filter such as info,tidegate=debug", |text| {
        tracing_subscriber::EnvFilter::try_new(text).is_ok().then(|| text.to_owned())
    })
    .and_then(|text| match misspelt_level(&text) {
        Some(fault) => Err(raw.invalid("log", fault)),
        None => Ok(text),
    })
}

pub(super) fn check(raw: &RawSettings) -> Result<Settings, SettingsError> {
    let raw = Reader(raw);
    let tokens = Tokens {
        admin: raw.token("tokens.admin")?,
        read: raw.token("tokens.read")?,
        service: raw.token("tokens.service")?,
    };
    if tokens.are_shared() {
        let reason = "tokens.admin, tokens.read and tokens.service must differ: each has rights of its own";
        return Err(raw.invalid("tokens.admin", reason.to_owned()));
    }
    let listen: SocketAddr =
        raw.required("listen", "an address and port such as 127.0.0.1:8080", |text| text.parse().ok())?;
    if tokens.admin.is_none() && !listen.ip().is_loopback() {
        return Err(raw.invalid(
            "listen",
            format!(
                "{listen} is reachable from outside this machine, and tokens.admin (TIDEGATE_ADMIN_TOKEN) is not set: \
                 set it, or listen on 127.0.0.1"
            ),
        ));
    }

    let ipv6_prefix = raw.required("limits.ipv6_prefix", "a whole number from 1 to 128", |text| {
        text.parse().ok().and_then(|bits| Ipv6Prefix::try_new(bits).ok())
    })?;
    let redis = redis(&raw)?;
    Ok(Settings {
        listen,
        tls: tls(&raw)?,
        worker_listen: raw.required(
            "worker_listen",
            "an address and port such as 127.0.0.1:9464, `auto` or `off`",
            |text| match text {
                "auto" => Some(WorkerListen::Auto),
                "off" => Some(WorkerListen::Off),
                _ => text.parse().ok().map(WorkerListen::At),
            },
        )?,
        data_dir: raw.required("data_dir", "a directory", |text| Some(text.into()))?,
        database: database(&raw)?,
        files: files(&raw)?,
        worker: raw.required("worker", "`auto`, `inner` or `none`", |text| match text {
            "inner" => Some(InnerWorker::Inner),
            "none" => Some(InnerWorker::None),
            "auto" if redis.is_some() => Some(InnerWorker::None),
            "auto" => Some(InnerWorker::Inner),
            _ => None,
        })?,
        trusted_proxies: raw
            .optional("trusted_proxies", "CIDRs such as 10.0.0.0/8, separated by commas", |text| {
                TrustedProxies::parse(text).ok()
            })?
            .unwrap_or_default()
            .header(raw.required(
                "forwarded_header",
                "`x-forwarded-for`, `forwarded` or `either`",
                |text| match text {
                    "x-forwarded-for" => Some(ForwardedHeader::XForwardedFor),
                    "forwarded" => Some(ForwardedHeader::Forwarded),
                    "either" => Some(ForwardedHeader::Either),
                    _ => None,
                },
            )?),
        open_tenants: raw
            .optional("open_tenants", "1 or 0", |text| match text {
                "1" | "true" => Some(OpenTenants::Everyone),
                "0" | "false" => Some(OpenTenants::Closed),
                _ => None,
            })?
            .unwrap_or(if tokens.any() { OpenTenants::Closed } else { OpenTenants::Loopback }),
        log: log_filter(&raw)?,
        log_format: raw.required("log_format", "`text` or `json`", |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        })?,
        http: HttpSettings {
            max_body: raw.size("http.max_body", 1024..=64 << 20)?.try_into().unwrap_or(usize::MAX),
            max_import: raw.size("http.max_import", 1024..=16 << 30)?,
            request_timeout: raw.duration(
                "http.request_timeout",
                Duration::from_millis(100),
                Duration::from_secs(3600),
            )?,
            upload_timeout: raw.duration(
                "http.upload_timeout",
                Duration::from_secs(1),
                Duration::from_secs(24 * 3600),
            )?,
            header_timeout: raw.duration(
                "http.header_timeout",
                Duration::from_millis(100),
                Duration::from_secs(3600),
            )?,
            write_timeout: raw.duration("http.write_timeout", Duration::from_millis(100), Duration::from_secs(3600))?,
            min_rate: raw.size("http.min_rate", 0..=1 << 30)?,
            max_connections: raw.count("http.max_connections", 1..=1_000_000)?,
            max_in_flight: raw.required("http.max_in_flight", "a whole number from 1 to 1000000", |text| {
                text.parse::<NonZeroU32>().ok().filter(|most| most.get() <= 1_000_000)
            })?,
            compress_above: raw.size("http.compress_above", 0..=64 << 20)?,
            access_log: access_log(&raw)?,
            max_connections_per_address: raw.count("http.max_connections_per_address", 1..=1_000_000)?,
            drain_delay: raw.duration("http.drain_delay", Duration::ZERO, Duration::from_secs(3600))?,
            drain_timeout: raw.duration("http.drain_timeout", Duration::ZERO, Duration::from_secs(3600))?,
        },
        cache_size: raw.size("cache.size", 1 << 20..=1 << 40)?,
        cache_classes: cache::classes(&raw)?,
        warm_up: WarmUpSettings {
            keys: raw.count("cache.warm_up", 0..=100_000)?,
            concurrency: raw.count("cache.warm_up_concurrency", 1..=64)?,
        },
        limits: LimitsSettings {
            ddos_lists: ListSettings {
                allow: raw.allowed("limits.ddos_allow", ipv6_prefix)?,
                deny: raw.networks("limits.ddos_deny")?,
            },
            ddos: raw.limit("limits.ddos", "limits.ddos_block", "limits.ddos_mode")?,
            auth: raw.small_limit("limits.auth", "limits.auth_block", "limits.auth_mode")?,
            report: raw.small_limit("limits.report", "limits.report_block", "limits.report_mode")?,
            api: raw.limit("limits.api", "limits.api_block", "limits.api_mode")?,
            tenant_mode: raw.mode("limits.tenant_mode")?,
            ipv6_prefix,
            new_keys: raw.count("limits.new_keys", 1..=1_000_000_000)?,
            instances: raw.required("limits.instances", "a whole number from 1", |text| text.parse().ok())?,
            patience: raw.duration("limits.patience", Duration::from_millis(1), Duration::from_secs(60))?,
            leases: raw.switch("limits.leases")?,
            anomaly_interval: raw.duration("limits.anomaly_interval", Duration::ZERO, Duration::from_secs(3600))?,
        },
        redis,
        analytics_keep: raw.duration("analytics.keep", Duration::from_secs(24 * 3600), MOST_KEPT)?,
        session_ttl: raw.duration("session.ttl", Duration::from_secs(60), Duration::from_secs(366 * 24 * 3600))?,
        queue: QueueSettings {
            partitions: raw.count("queue.partitions", 1..=256)?,
            served: queues::served(&raw)?,
            lease: raw.duration("queue.lease", Duration::from_secs(1), Duration::from_secs(3600))?,
            grace: raw.duration("queue.grace", Duration::ZERO, Duration::from_secs(3600))?,
            import_chunk: raw.count("import.chunk", 1..=500)?,
            import_pause: raw.duration("import.pause", Duration::ZERO, Duration::from_secs(60))?,
            import_max_rejects: raw.count("import.max_rejects", 0..=1_000_000)?,
            import_max_pending: raw.count("import.max_pending", 1..=100_000)?,
        },
        email: email(&raw)?,
        notifications: notifications(&raw)?,
        webhook: webhook(&raw)?,
        reminders: reminders(&raw)?,
        performance: performance::read(&raw, &tokens)?,
        tokens,
        secret_files: raw.0.secret_files(),
    })
}

/// The share is checked even if it is not used.
fn access_log(raw: &Reader<'_>) -> Result<AccessLogSettings, SettingsError> {
    let share = raw.share("http.access_log_sample")?;
    raw.required("http.access_log", "`off`, `sampled` or `full`", |text| match text {
        "off" => Some(AccessLogSettings::Off),
        "sampled" => Some(AccessLogSettings::Sampled(share)),
        "full" => Some(AccessLogSettings::Full),
        _ => None,
    })
}

/// Everything is checked even without a URL: so a mistake shows when it is made, not when Redis is
/// enabled.
fn redis(raw: &Reader<'_>) -> Result<Option<RedisSettings>, SettingsError> {
    let timeouts = |key| raw.duration(key, Duration::from_millis(10), Duration::from_secs(60));
    let (timeout, request_timeout) = (timeouts("redis.timeout")?, timeouts("redis.request_timeout")?);
    let reads_replicas = raw.switch("cache.replicas")?;
    let lag = raw.duration("cache.replica_lag", Duration::from_millis(100), Duration::from_secs(3600))?;
    let prefix =
        raw.required("redis.prefix", "1 to 64 letters, digits, `-`, `_` or `.`", |text| Keyspace::new(text).ok())?;
    let rewrites_append_only_file = raw.switch("redis.rewrite_append_only_file")?;
    let (url, cache_url) = (raw.redis_url("redis.url")?, raw.redis_url("redis.cache_url")?);
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
    let replica_lag = reads_replicas.then_some(lag);
    Ok(Some(RedisSettings { servers, keyspace: prefix, replica_lag, rewrites_append_only_file }))
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;
    use crate::test_ground::check_with;
    use crate::{CATALOGUE, LimitMode};

    #[test]
    fn defaults_are_good() {
        let settings = check_with(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.open_tenants, OpenTenants::Loopback);
        assert_eq!(settings.http.max_body, 1 << 20);
    }

    #[test]
    fn jobs_run_in_the_api_unless_redis_is_set() {
        let redis = ("REDIS_URL", "redis://127.0.0.1");
        for (variables, worker) in [
            (&[][..], InnerWorker::Inner),
            (&[redis], InnerWorker::None),
            (&[redis, ("TIDEGATE_WORKER", "inner")], InnerWorker::Inner),
            (&[("TIDEGATE_WORKER", "none")], InnerWorker::None),
        ] {
            assert_eq!(check_with(variables).unwrap().worker, worker, "{variables:?}");
        }
    }

    #[test]
    fn a_worker_answers_probes_unless_told_not_to() {
        let listens = |variables| check_with(variables).unwrap().worker_listen;
        assert_eq!(listens(&[]), WorkerListen::Auto);
        assert_eq!(listens(&[("TIDEGATE_WORKER_LISTEN", "off")]), WorkerListen::Off);
        let address = WorkerListen::At(([127, 0, 0, 1], 1).into());
        assert_eq!(listens(&[("TIDEGATE_WORKER_LISTEN", "127.0.0.1:1")]), address);
    }

    #[test]
    fn every_bad_value_names_its_setting_and_variable() {
        for setting in CATALOGUE.iter().filter(|setting| !matches!(setting.key, "data_dir" | "tokens.admin")) {
            let error = check_with(&[(setting.variable, "=not\u{7f} valid!")]).unwrap_err().to_string();
            assert!(error.contains(setting.key) && error.contains(setting.variable), "{error}");
        }
    }

    #[test]
    fn a_bind_that_others_can_reach_wants_a_token() {
        let open = [("TIDEGATE_LISTEN", "0.0.0.0:8080")];
        assert!(check_with(&open).unwrap_err().to_string().contains("TIDEGATE_ADMIN_TOKEN"));
        let guarded = [open[0], ("TIDEGATE_ADMIN_TOKEN", "0123456789abcdef")];
        assert_eq!(check_with(&guarded).unwrap().open_tenants, OpenTenants::Closed);
    }

    #[test]
    fn a_weak_token_is_refused_and_not_repeated() {
        let error = check_with(&[("TIDEGATE_ADMIN_TOKEN", "hunter2")]).unwrap_err().to_string();
        assert!(error.contains("tokens.admin") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn each_limit_can_be_changed_watched_and_switched_off() {
        let limits = check_with(&[]).unwrap().limits;
        assert_eq!(limits.auth.quota.to_string(), "5/minute");
        assert_eq!((limits.auth.block, limits.report.block), (Duration::from_secs(900), Duration::from_secs(300)));
        assert_eq!((limits.report.quota.to_string().as_str(), limits.ipv6_prefix.bits()), ("10/hour", 64));
        let changed = [
            ("TIDEGATE_LIMIT_AUTH", "1000/day"),
            ("TIDEGATE_LIMIT_AUTH_BLOCK", "0s"),
            ("TIDEGATE_LIMIT_DDOS_MODE", "shadow"),
            ("TIDEGATE_LIMIT_TENANT_MODE", "off"),
            ("TIDEGATE_LIMIT_IPV6_PREFIX", "48"),
        ];
        let limits = check_with(&changed).unwrap().limits;
        assert_eq!((limits.auth.quota.to_string().as_str(), limits.auth.block), ("1000/day", Duration::ZERO));
        assert_eq!((limits.ddos.mode, limits.api.mode), (LimitMode::Shadow, LimitMode::On));
        assert_eq!((limits.tenant_mode, limits.ipv6_prefix.bits()), (LimitMode::Off, 48));
        for (variable, value) in [("TIDEGATE_LIMIT_AUTH", "1001/day"), ("TIDEGATE_LIMIT_IPV6_PREFIX", "0")] {
            let error = check_with(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable), "{error}");
        }
    }

    #[test]
    fn lists_name_addresses_and_networks_and_nobody_is_listed_in_vain() {
        assert_eq!(check_with(&[]).unwrap().limits.ddos_lists, ListSettings::default());
        let variables = [
            ("TIDEGATE_LIMIT_DDOS_ALLOW", "203.0.113.7, 10.1.2.3/8,2001:db8::7/48 , ::ffff:192.0.2.0/120"),
            ("TIDEGATE_LIMIT_DDOS_DENY", "2001:db8::7"),
        ];
        let lists = check_with(&variables).unwrap().limits.ddos_lists;
        let shown = |networks: &[IpNet]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&lists.allow), ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::/48", "192.0.2.0/24"]);
        assert_eq!(shown(&lists.deny), ["2001:db8::7/128"]);
        for wrong in ["2001:db8::7", "10.0.0.0/33", "10.0.0.0/8,", "localhost"] {
            let error = check_with(&[("TIDEGATE_LIMIT_DDOS_ALLOW", wrong)]).unwrap_err().to_string();
            assert!(error.contains("TIDEGATE_LIMIT_DDOS_ALLOW"), "{error}");
        }
        let whole = [("TIDEGATE_LIMIT_DDOS_ALLOW", "2001:db8::7"), ("TIDEGATE_LIMIT_IPV6_PREFIX", "128")];
        assert_eq!(check_with(&whole).unwrap().limits.ddos_lists.allow.len(), 1);
    }

    #[test]
    fn the_header_of_the_trusted_proxies_is_named() {
        let trusted = |value: &str| {
            check_with(&[("TIDEGATE_TRUSTED_PROXIES", "10.0.0.0/8"), ("TIDEGATE_FORWARDED_HEADER", value)])
                .map(|settings| settings.trusted_proxies)
        };
        let unset = check_with(&[("TIDEGATE_TRUSTED_PROXIES", "10.0.0.0/8")]).unwrap().trusted_proxies;
        assert_eq!(unset, trusted("x-forwarded-for").unwrap());
        let proxies = || TrustedProxies::parse("10.0.0.0/8").unwrap();
        assert_eq!(unset, proxies().header(ForwardedHeader::XForwardedFor));
        assert_eq!(trusted("forwarded").unwrap(), proxies().header(ForwardedHeader::Forwarded));
        assert_eq!(trusted("either").unwrap(), proxies());
        let error = trusted("x-real-ip").unwrap_err().to_string();
        assert!(error.contains("TIDEGATE_FORWARDED_HEADER"), "{error}");
    }

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
        assert_eq!(lag(&[("TIDEGATE_CACHE_REPLICAS", "on")]).unwrap(), Some(Duration::from_secs(1)));
        let both = [("TIDEGATE_CACHE_REPLICAS", "on"), ("TIDEGATE_CACHE_REPLICA_LAG", "250ms")];
        assert_eq!(lag(&both).unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(lag(&both[1..]).unwrap(), None);
        for wrong in [("TIDEGATE_CACHE_REPLICAS", "yes"), ("TIDEGATE_CACHE_REPLICA_LAG", "1ms")] {
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
            ("redis://:secret@localhost?timeout=1s", "redis.request_timeout"),
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

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(check_with(&[("TIDEGATE_LISTEN", "")]).unwrap().listen.port(), 8080);
        assert!(check_with(&[("REDIS_URL", "")]).is_ok());
    }
}
