//! The list of all settings, the only place that names them.

/// One setting: its names, its default and its meaning.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Key in the settings file. A dot opens a table.
    pub key: &'static str,
    /// Environment variable, which overrides the file.
    pub variable: &'static str,
    /// Default value. `None` if the setting is not set by default.
    pub default: Option<&'static str>,
    /// Description for `--help` and `--print-settings`.
    pub meaning: &'static str,
    /// Whether its value is masked wherever settings are shown.
    pub is_secret: bool,
}

const fn setting(
    key: &'static str,
    variable: &'static str,
    default: Option<&'static str>,
    meaning: &'static str,
) -> Setting {
    Setting { key, variable, default, meaning, is_secret: false }
}

const fn secret(key: &'static str, variable: &'static str, meaning: &'static str) -> Setting {
    Setting { key, variable, default: None, meaning, is_secret: true }
}

const MODE: &str = "`on`: refuses requests; `shadow`: only counts; `off`: not consulted";

/// A setting of an older version that is no longer read.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) key: &'static str,
    pub(super) variable: &'static str,
    /// Advice on the setting that replaces it.
    pub(super) instead: &'static str,
}

/// Settings that were removed. Setting one causes only a warning, so that the program still starts
/// after an update.
pub(super) const RETIRED: &[Retired] = &[Retired {
    key: "performance.pool_connections",
    variable: "TIDEGATE_PERFORMANCE_POOL_CONNECTIONS",
    instead: "set performance.pool_in_use (TIDEGATE_PERFORMANCE_POOL_IN_USE), which is a share of each pool's \
              connections such as 0.8, not a number of connections",
}];

/// Every setting, in the order in which they are shown.
pub const CATALOGUE: &[Setting] = &[
    setting(
        "listen",
        "TIDEGATE_LISTEN",
        Some("127.0.0.1:8080"),
        "address of the API; port 0 picks a free port and prints it",
    ),
    setting(
        "worker_listen",
        "TIDEGATE_WORKER_LISTEN",
        Some("auto"),
        "address where tidegate-worker serves probes and /metrics; `auto`: 127.0.0.1:9464, or a free port if that is in use; `off`: none",
    ),
    setting(
        "tls.certificate",
        "TIDEGATE_TLS_CERTIFICATE",
        None,
        "PEM file with the server certificate and its chain; setting it and tls.key enables HTTPS and disables plain HTTP",
    ),
    setting("tls.key", "TIDEGATE_TLS_KEY", None, "PEM file with the private key of the certificate, not encrypted"),
    setting("data_dir", "TIDEGATE_DATA_DIR", Some("./data"), "directory of databases, files and uploads"),
    setting(
        "files_url",
        "TIDEGATE_FILES_URL",
        None,
        "location of uploads, exports, reports and backups: s3://BUCKET/PREFIX, with the usual AWS variables; not set: in data_dir",
    ),
    setting(
        "worker",
        "TIDEGATE_WORKER",
        Some("auto"),
        "`inner`: the API runs jobs itself; `none`: only tidegate-worker does; `auto`: `none` if REDIS_URL is set, else `inner`",
    ),
    secret("tokens.admin", "TIDEGATE_ADMIN_TOKEN", "bearer token for reading and changing on the operations routes"),
    secret("tokens.read", "TIDEGATE_READ_TOKEN", "bearer token for reading on the operations routes"),
    secret("tokens.service", "TIDEGATE_SERVICE_TOKEN", "bearer token of services that call POST /api/rate-limit/check"),
    setting(
        "trusted_proxies",
        "TIDEGATE_TRUSTED_PROXIES",
        None,
        "CIDRs, separated by commas, of proxies whose forwarded headers are trusted",
    ),
    setting(
        "forwarded_header",
        "TIDEGATE_FORWARDED_HEADER",
        Some("x-forwarded-for"),
        "header that the trusted proxies set: x-forwarded-for, forwarded, or either",
    ),
    setting(
        "open_tenants",
        "TIDEGATE_OPEN_TENANTS",
        None,
        "`1`: X-Tenant-Id names the tenant without a key; `0`: never; not set: only for direct loopback connections while no token is set",
    ),
    setting("log", "RUST_LOG", Some("info,fred=off"), "log filter"),
    setting(
        "log_format",
        "TIDEGATE_LOG_FORMAT",
        Some("text"),
        "`text`: readable lines; `json`: one JSON object per line, for log collectors",
    ),
    setting("http.max_body", "TIDEGATE_HTTP_MAX_BODY", Some("1MiB"), "maximum size of a JSON body"),
    setting("http.max_import", "TIDEGATE_HTTP_MAX_IMPORT", Some("64MiB"), "maximum size of an import"),
    setting(
        "http.request_timeout",
        "TIDEGATE_HTTP_REQUEST_TIMEOUT",
        Some("30s"),
        "timeout of a request, which then gets a 503",
    ),
    setting("http.upload_timeout", "TIDEGATE_HTTP_UPLOAD_TIMEOUT", Some("1h"), "timeout of a whole upload"),
    setting(
        "http.header_timeout",
        "TIDEGATE_HTTP_HEADER_TIMEOUT",
        Some("10s"),
        "maximum time for a whole request head to arrive before the connection is closed",
    ),
    setting(
        "http.write_timeout",
        "TIDEGATE_HTTP_WRITE_TIMEOUT",
        Some("30s"),
        "how long a client may read nothing of its response before it is cut off",
    ),
    setting(
        "http.max_connections",
        "TIDEGATE_HTTP_MAX_CONNECTIONS",
        Some("10000"),
        "maximum number of open connections; beyond it the one that has been idle longest is closed",
    ),
    setting(
        "http.max_connections_per_address",
        "TIDEGATE_HTTP_MAX_CONNECTIONS_PER_ADDRESS",
        Some("512"),
        "maximum number of open connections per client address; further ones are closed as they arrive; trusted proxies are not counted",
    ),
    setting(
        "http.max_in_flight",
        "TIDEGATE_HTTP_MAX_IN_FLIGHT",
        Some("1024"),
        "maximum number of requests in flight; further ones get a 503 immediately; streams and requests that wait for their body don't count",
    ),
    setting(
        "http.min_rate",
        "TIDEGATE_HTTP_MIN_RATE",
        Some("512B"),
        "minimum rate per second at which a client sends a body and reads a response, after 10 s of waiting; 0B: none",
    ),
    setting(
        "http.compress_above",
        "TIDEGATE_HTTP_COMPRESS_ABOVE",
        Some("1KiB"),
        "minimum size of responses that are compressed for clients that accept gzip, br or zstd; 0: none",
    ),
    setting(
        "http.access_log",
        "TIDEGATE_HTTP_ACCESS_LOG",
        Some("sampled"),
        "`full`: one log line per request; `sampled`: for a share of them and each that failed; `off`: none",
    ),
    setting(
        "http.access_log_sample",
        "TIDEGATE_HTTP_ACCESS_LOG_SAMPLE",
        Some("0.01"),
        "share of requests in a sampled access log",
    ),
    setting(
        "http.drain_delay",
        "TIDEGATE_HTTP_DRAIN_DELAY",
        Some("0s"),
        "how long a shutdown still serves requests while /readyz returns 503, so that load balancers see it",
    ),
    setting(
        "http.drain_timeout",
        "TIDEGATE_HTTP_DRAIN_TIMEOUT",
        Some("20s"),
        "how long a shutdown then waits for requests in flight before it cuts them off",
    ),
    setting("cache.size", "TIDEGATE_CACHE_SIZE", Some("256MiB"), "memory of the in-process cache"),
    setting(
        "cache.schedule",
        "TIDEGATE_CACHE_SCHEDULE",
        Some("ttl=2h, grace=1h, soft_timeout=250ms, refresh_ahead=5m, early_refresh=on, sliding=off, wait=10s"),
        "cached schedules: options separated by commas; an option that is not named keeps its default",
    ),
    setting(
        "cache.tenant",
        "TIDEGATE_CACHE_TENANT",
        Some("ttl=10m, grace=1h, soft_timeout=250ms, refresh_ahead=1m, early_refresh=on, sliding=off, wait=10s"),
        "cached tenants and their keys; options as for cache.schedule",
    ),
    setting(
        "cache.session",
        "TIDEGATE_CACHE_SESSION",
        Some("ttl=24h, grace=1h, soft_timeout=250ms, refresh_ahead=0s, early_refresh=on, sliding=off, wait=10s"),
        "cached sessions of users; options as for cache.schedule",
    ),
    setting(
        "cache.preferences",
        "TIDEGATE_CACHE_PREFERENCES",
        Some("ttl=7d, grace=1d, soft_timeout=250ms, refresh_ahead=0s, early_refresh=on, sliding=off, wait=10s"),
        "cached preferences of users; options as for cache.schedule",
    ),
    setting(
        "cache.warm_up",
        "TIDEGATE_CACHE_WARM_UP",
        Some("1000"),
        "maximum number of hot keys that the API remembers, in data_dir and on Redis, and loads at its next start; 0: none",
    ),
    setting(
        "cache.warm_up_concurrency",
        "TIDEGATE_CACHE_WARM_UP_CONCURRENCY",
        Some("4"),
        "number of keys that a warm-up loads concurrently",
    ),
    setting(
        "cache.replicas",
        "TIDEGATE_CACHE_REPLICAS",
        Some("off"),
        "on: the cache's shared tier also reads values from Redis replicas; off: only from primaries",
    ),
    setting(
        "cache.replica_lag",
        "TIDEGATE_CACHE_REPLICA_LAG",
        Some("1s"),
        "maximum lag of a replica that is read, and how long a changed key is read from the primary",
    ),
    setting("limits.ddos", "TIDEGATE_LIMIT_DDOS", Some("1000/second"), "limit on requests per client address"),
    setting(
        "limits.ddos_block",
        "TIDEGATE_LIMIT_DDOS_BLOCK",
        Some("10s"),
        "first block of an address that exceeds limits.ddos; 0s: none",
    ),
    setting("limits.ddos_mode", "TIDEGATE_LIMIT_DDOS_MODE", Some("on"), MODE),
    setting(
        "limits.ddos_allow",
        "TIDEGATE_LIMIT_DDOS_ALLOW",
        None,
        "addresses and CIDRs, separated by commas, that limits.ddos never counts",
    ),
    setting(
        "limits.ddos_deny",
        "TIDEGATE_LIMIT_DDOS_DENY",
        None,
        "addresses and CIDRs, separated by commas, that are always refused, even if also in limits.ddos_allow",
    ),
    setting(
        "limits.auth",
        "TIDEGATE_LIMIT_AUTH",
        Some("5/minute"),
        "limit on failed logins from one address to one account; at most 1000",
    ),
    setting(
        "limits.auth_block",
        "TIDEGATE_LIMIT_AUTH_BLOCK",
        Some("15m"),
        "first block of an address and account that exceed limits.auth; 0s: none",
    ),
    setting("limits.auth_mode", "TIDEGATE_LIMIT_AUTH_MODE", Some("on"), MODE),
    setting("limits.report", "TIDEGATE_LIMIT_REPORT", Some("10/hour"), "exports and reports per user; at most 1000"),
    setting(
        "limits.report_block",
        "TIDEGATE_LIMIT_REPORT_BLOCK",
        Some("5m"),
        "first block of a user that exceeds limits.report; 0s: none",
    ),
    setting("limits.report_mode", "TIDEGATE_LIMIT_REPORT_MODE", Some("on"), MODE),
    setting("limits.api", "TIDEGATE_LIMIT_API", Some("100/minute"), "limit on anonymous and per-user requests"),
    setting(
        "limits.api_block",
        "TIDEGATE_LIMIT_API_BLOCK",
        Some("1m"),
        "first block of a client over limits.api; 0s: none",
    ),
    setting("limits.api_mode", "TIDEGATE_LIMIT_API_MODE", Some("on"), MODE),
    setting("limits.tenant_mode", "TIDEGATE_LIMIT_TENANT_MODE", Some("on"), MODE),
    setting(
        "limits.ipv6_prefix",
        "TIDEGATE_LIMIT_IPV6_PREFIX",
        Some("64"),
        "length of the IPv6 prefix that counts as one client",
    ),
    setting(
        "limits.new_keys",
        "TIDEGATE_LIMIT_NEW_KEYS",
        Some("10000"),
        "maximum number of new keys per second that one process adds to Redis, for each limiter",
    ),
    setting(
        "limits.instances",
        "TIDEGATE_LIMIT_INSTANCES",
        Some("1"),
        "number of processes that share the limits; while Redis is unavailable each admits that fraction of a limit",
    ),
    setting(
        "limits.patience",
        "TIDEGATE_LIMIT_PATIENCE",
        Some("40ms"),
        "how long a limit check waits for Redis before the process decides by itself; at most redis.request_timeout",
    ),
    setting(
        "limits.leases",
        "TIDEGATE_LIMIT_LEASES",
        Some("off"),
        "on: the limiters ddos and api lease a part of a busy key's limit from Redis, and admit it without a Redis command per request",
    ),
    setting(
        "limits.anomaly_interval",
        "TIDEGATE_LIMIT_ANOMALY_INTERVAL",
        Some("10s"),
        "interval at which a tenant's requests are counted to flag a rate far above its usual one; 0s: off",
    ),
    setting(
        "queues",
        "TIDEGATE_QUEUES",
        Some("all"),
        "queues whose jobs the process runs, separated by commas, or `all`; jobs of a queue that no process serves wait",
    ),
    setting(
        "queue.analytics_concurrency",
        "TIDEGATE_QUEUE_ANALYTICS_CONCURRENCY",
        Some("1"),
        "maximum number of analytics jobs that one process runs at a time",
    ),
    setting("queue.analytics_timeout", "TIDEGATE_QUEUE_ANALYTICS_TIMEOUT", Some("10m"), "timeout of one analytics run"),
    setting("analytics.keep", "TIDEGATE_ANALYTICS_KEEP", Some("400d"), "how long a day's figures are kept"),
    setting(
        "queue.import_concurrency",
        "TIDEGATE_QUEUE_IMPORT_CONCURRENCY",
        Some("2"),
        "maximum number of imports that one process runs at a time",
    ),
    setting(
        "session.ttl",
        "TIDEGATE_SESSION_TTL",
        Some("24h"),
        "how long a user stays logged in; a change applies to sessions that begin later",
    ),
    setting("queue.lease", "TIDEGATE_QUEUE_LEASE", Some("15s"), "how long a job stays assigned to a dead worker"),
    setting("queue.grace", "TIDEGATE_QUEUE_GRACE", Some("10s"), "how long a shutdown lets running jobs continue"),
    setting("import.chunk", "TIDEGATE_IMPORT_CHUNK", Some("500"), "number of lines per transaction of an import"),
    setting("import.pause", "TIDEGATE_IMPORT_PAUSE", Some("0s"), "pause between two transactions of an import"),
    setting(
        "import.max_rejects",
        "TIDEGATE_IMPORT_MAX_REJECTS",
        Some("10000"),
        "maximum number of rejected lines per import; one more stops it",
    ),
    setting(
        "import.max_pending",
        "TIDEGATE_IMPORT_MAX_PENDING",
        Some("20"),
        "maximum number of uploading, waiting or running imports per tenant; further ones get a 429",
    ),
    setting(
        "queue.export_concurrency",
        "TIDEGATE_QUEUE_EXPORT_CONCURRENCY",
        Some("1"),
        "maximum number of exports that one process runs at a time",
    ),
    setting("export.timeout", "TIDEGATE_EXPORT_TIMEOUT", Some("1h"), "timeout of one run of an export"),
    setting("export.keep", "TIDEGATE_EXPORT_KEEP", Some("24h"), "how long an export can be downloaded"),
    setting(
        "export.max_pending",
        "TIDEGATE_EXPORT_MAX_PENDING",
        Some("5"),
        "maximum number of waiting or running exports per tenant; further ones get a 429",
    ),
    setting(
        "queue.report_concurrency",
        "TIDEGATE_QUEUE_REPORT_CONCURRENCY",
        Some("1"),
        "maximum number of reports that one process creates at a time",
    ),
    setting("report.timeout", "TIDEGATE_REPORT_TIMEOUT", Some("1h"), "timeout of one run of a report"),
    setting("report.keep", "TIDEGATE_REPORT_KEEP", Some("24h"), "how long the files of a report can be downloaded"),
    setting(
        "report.max_pending",
        "TIDEGATE_REPORT_MAX_PENDING",
        Some("5"),
        "maximum number of waiting or running reports per tenant; further ones get a 429",
    ),
    setting(
        "queue.backup_concurrency",
        "TIDEGATE_QUEUE_BACKUP_CONCURRENCY",
        Some("1"),
        "maximum number of backups that one process runs at a time",
    ),
    setting("backup.timeout", "TIDEGATE_BACKUP_TIMEOUT", Some("1h"), "timeout of one run of a backup"),
    setting("backup.keep", "TIDEGATE_BACKUP_KEEP", Some("7"), "backups to keep; older ones are removed"),
    setting("import.timeout", "TIDEGATE_IMPORT_TIMEOUT", Some("6h"), "timeout of one run of an import"),
    setting(
        "queue.email_concurrency",
        "TIDEGATE_QUEUE_EMAIL_CONCURRENCY",
        Some("4"),
        "maximum number of mails that one process sends at a time",
    ),
    setting("queue.email_timeout", "TIDEGATE_QUEUE_EMAIL_TIMEOUT", Some("2m"), "timeout of one run of a mail job"),
    setting(
        "queue.notification_concurrency",
        "TIDEGATE_QUEUE_NOTIFICATION_CONCURRENCY",
        Some("8"),
        "maximum number of notices that one process writes at a time",
    ),
    setting(
        "queue.notification_timeout",
        "TIDEGATE_QUEUE_NOTIFICATION_TIMEOUT",
        Some("2m"),
        "timeout of one run of a notice job",
    ),
    setting(
        "queue.schedule_concurrency",
        "TIDEGATE_QUEUE_SCHEDULE_CONCURRENCY",
        Some("4"),
        "maximum number of reminder and schedule jobs that one process runs at a time",
    ),
    setting(
        "queue.schedule_timeout",
        "TIDEGATE_QUEUE_SCHEDULE_TIMEOUT",
        Some("10m"),
        "timeout of one run of a reminder or schedule job",
    ),
    setting(
        "reminders.lead",
        "TIDEGATE_REMINDERS_LEAD",
        Some("15m"),
        "how long before an occurrence of a schedule its reminder is sent",
    ),
    setting(
        "reminders.horizon",
        "TIDEGATE_REMINDERS_HORIZON",
        Some("1h"),
        "how long before sending it a reminder is prepared",
    ),
    setting(
        "reminders.email",
        "TIDEGATE_REMINDERS_EMAIL",
        Some("off"),
        "`on`: attendees with a mail address get a mail with each reminder",
    ),
    setting(
        "reminders.per_tenant_day",
        "TIDEGATE_REMINDERS_PER_TENANT_DAY",
        Some("1000"),
        "maximum number of reminders, and of mails for them, per tenant and day (UTC); no further ones are sent",
    ),
    setting(
        "queue.webhook_concurrency",
        "TIDEGATE_QUEUE_WEBHOOK_CONCURRENCY",
        Some("8"),
        "maximum number of concurrent webhook requests per process, of which one tenant gets at most a quarter",
    ),
    setting(
        "queue.webhook_timeout",
        "TIDEGATE_QUEUE_WEBHOOK_TIMEOUT",
        Some("2m"),
        "timeout of one run of a webhook job",
    ),
    secret(
        "email.url",
        "TIDEGATE_EMAIL_URL",
        "SMTP server, such as smtp://user:password@mail.example.com:587; not set: mails are written to files in data_dir/outbox",
    ),
    setting("email.from", "TIDEGATE_EMAIL_FROM", Some("Tidegate <tidegate@localhost>"), "sender address of mails"),
    setting("email.timeout", "TIDEGATE_EMAIL_TIMEOUT", Some("10s"), "timeout of one mail"),
    setting("email.max_recipients", "TIDEGATE_EMAIL_MAX_RECIPIENTS", Some("50"), "maximum recipients per mail"),
    setting(
        "notifications.keep",
        "TIDEGATE_NOTIFICATIONS_KEEP",
        Some("7d"),
        "how long a notice can be read by a client that was offline",
    ),
    setting(
        "notifications.streams",
        "TIDEGATE_NOTIFICATIONS_STREAMS",
        Some("1000"),
        "maximum number of open event streams of notices per process",
    ),
    setting(
        "notifications.streams_per_tenant",
        "TIDEGATE_NOTIFICATIONS_STREAMS_PER_TENANT",
        Some("32"),
        "maximum number of these streams per tenant",
    ),
    setting(
        "webhook.private_addresses",
        "TIDEGATE_WEBHOOK_PRIVATE_ADDRESSES",
        Some("off"),
        "`on`: tenants' webhooks may be on a private network or on this machine",
    ),
    setting("webhook.timeout", "TIDEGATE_WEBHOOK_TIMEOUT", Some("5s"), "timeout of one attempt to post to a webhook"),
    setting("webhook.per_tenant", "TIDEGATE_WEBHOOK_PER_TENANT", Some("10"), "maximum number of webhooks per tenant"),
    setting(
        "queue.partitions",
        "TIDEGATE_QUEUE_PARTITIONS",
        Some("1"),
        "number of Redis Cluster slots over which the jobs of one queue are spread; the same for all processes",
    ),
    setting(
        "performance.slow_api_log",
        "TIDEGATE_PERFORMANCE_SLOW_API_LOG",
        Some("500ms"),
        "requests that take longer are logged and listed",
    ),
    setting(
        "performance.warn_database",
        "TIDEGATE_PERFORMANCE_WARN_DATABASE",
        Some("100ms"),
        "database operations that take longer are listed",
    ),
    setting(
        "performance.warn_api",
        "TIDEGATE_PERFORMANCE_WARN_API",
        Some("200ms"),
        "measured API operations that take longer are listed",
    ),
    setting(
        "performance.warn_cache",
        "TIDEGATE_PERFORMANCE_WARN_CACHE",
        Some("10ms"),
        "cache operations that take longer are listed",
    ),
    setting(
        "performance.warn_rendering",
        "TIDEGATE_PERFORMANCE_WARN_RENDERING",
        Some("50ms"),
        "renderings that take longer are listed",
    ),
    setting(
        "performance.slow_query",
        "TIDEGATE_PERFORMANCE_SLOW_QUERY",
        Some("1s"),
        "95th percentile of a statement above which health degrades; slower ones are listed",
    ),
    setting(
        "performance.slow_api",
        "TIDEGATE_PERFORMANCE_SLOW_API",
        Some("2s"),
        "95th percentile of an endpoint above which health degrades",
    ),
    setting(
        "performance.p99",
        "TIDEGATE_PERFORMANCE_P99",
        Some("5s"),
        "99th percentile of all requests above which health degrades",
    ),
    setting(
        "performance.error_rate",
        "TIDEGATE_PERFORMANCE_ERROR_RATE",
        Some("0.05"),
        "share of 5xx responses above which health degrades",
    ),
    setting(
        "performance.aborted",
        "TIDEGATE_PERFORMANCE_ABORTED",
        Some("0.2"),
        "share of requests whose client disconnected before the response, above which health degrades",
    ),
    setting(
        "performance.min_samples",
        "TIDEGATE_PERFORMANCE_MIN_SAMPLES",
        Some("20"),
        "minimum number of samples for a judgement",
    ),
    setting(
        "performance.hit_rate",
        "TIDEGATE_PERFORMANCE_HIT_RATE",
        Some("0.8"),
        "cache hit rate below which health degrades",
    ),
    setting(
        "performance.pool_in_use",
        "TIDEGATE_PERFORMANCE_POOL_IN_USE",
        Some("0.8"),
        "share of a pool's connections in use for 10 s above which health degrades; pools of one connection are ignored",
    ),
    setting(
        "performance.pool_wait",
        "TIDEGATE_PERFORMANCE_POOL_WAIT",
        Some("1s"),
        "wait for a database connection above which health degrades",
    ),
    setting(
        "performance.pool_stuck",
        "TIDEGATE_PERFORMANCE_POOL_STUCK",
        Some("5s"),
        "wait for a database connection above which its current user counts as stuck; half as long again makes the node unhealthy",
    ),
    setting(
        "performance.endpoints",
        "TIDEGATE_PERFORMANCE_ENDPOINTS",
        Some("512"),
        "maximum number of endpoints with their own figures; the rest share one",
    ),
    setting(
        "performance.fingerprints",
        "TIDEGATE_PERFORMANCE_FINGERPRINTS",
        Some("1000"),
        "maximum number of statement fingerprints that are kept",
    ),
    setting(
        "performance.n_plus_one",
        "TIDEGATE_PERFORMANCE_N_PLUS_ONE",
        Some("5"),
        "number of similar statements in one request above which they are reported",
    ),
    setting(
        "performance.metrics_access",
        "TIDEGATE_PERFORMANCE_METRICS_ACCESS",
        Some("open"),
        "`open`: /metrics and /health need no token; `token`: they need tokens.read, and without it /health returns only its status",
    ),
    setting(
        "performance.actions",
        "TIDEGATE_PERFORMANCE_ACTIONS",
        Some("off"),
        "`on`: advice may change settings within their bounds, and revert that; `off`: advice only",
    ),
    // The URL of a webhook often is its password.
    secret("alerts.webhook", "TIDEGATE_ALERTS_WEBHOOK", "URL that each alert is posted to"),
    secret(
        "alerts.webhook_secret",
        "TIDEGATE_ALERTS_WEBHOOK_SECRET",
        "key of the HMAC-SHA256 signature of these posts",
    ),
    secret(
        "alerts.slack_url",
        "TIDEGATE_ALERTS_SLACK_URL",
        "incoming webhook of Slack, Mattermost or Discord (its `/slack` endpoint) that alerts are posted to",
    ),
    secret(
        "alerts.pagerduty_key",
        "TIDEGATE_ALERTS_PAGERDUTY_KEY",
        "integration key of a PagerDuty service (Events API v2) that receives the alerts",
    ),
    setting(
        "alerts.pagerduty_url",
        "TIDEGATE_ALERTS_PAGERDUTY_URL",
        Some("https://events.pagerduty.com/v2/enqueue"),
        "URL of the PagerDuty events API; in the EU https://events.eu.pagerduty.com/v2/enqueue",
    ),
    setting(
        "alerts.email",
        "TIDEGATE_ALERTS_EMAIL",
        None,
        "addresses, separated by commas, that alerts are mailed to through the server of email.url",
    ),
    setting(
        "alerts.dashboard_url",
        "TIDEGATE_ALERTS_DASHBOARD_URL",
        None,
        "URL of the dashboard that alerts link to, such as https://tidegate.example.com/dashboard",
    ),
    setting(
        "alerts.private_addresses",
        "TIDEGATE_ALERTS_PRIVATE_ADDRESSES",
        Some("off"),
        "`on`: receivers of alerts may be on a private network",
    ),
    setting(
        "alerts.objective",
        "TIDEGATE_ALERTS_OBJECTIVE",
        Some("99.9%"),
        "target share of good responses; the rest is the error budget: above 93.06%, such as 99.5% or 0.995",
    ),
    setting(
        "alerts.rules",
        "TIDEGATE_ALERTS_RULES",
        None,
        "alert rules, separated by commas: `backlog: > 5000 for 5m` changes one, `backlog: off` switches it off, `NAME: METRIC{label=value} > 500 for 2m critical` adds one on any metric of /metrics (docs/operations/alerts.md)",
    ),
    // For some collectors the path contains the key.
    secret(
        "otlp.endpoint",
        "TIDEGATE_OTLP_ENDPOINT",
        "OpenTelemetry collector that receives traces and metrics with OTLP over HTTP",
    ),
    secret("otlp.headers", "TIDEGATE_OTLP_HEADERS", "headers for the collector: name=value, separated by commas"),
    setting("otlp.sample", "TIDEGATE_OTLP_SAMPLE", Some("1"), "share of the traces started here that are sent"),
    setting("otlp.interval", "TIDEGATE_OTLP_INTERVAL", Some("60s"), "interval at which metrics are sent"),
    setting(
        "otlp.resource",
        "TIDEGATE_OTLP_RESOURCE",
        None,
        "resource attributes of the sender, such as deployment.environment.name=production: name=value, separated by commas",
    ),
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
    setting("redis.timeout", "TIDEGATE_REDIS_TIMEOUT", Some("1s"), "timeout of one Redis command of the queue"),
    setting(
        "redis.request_timeout",
        "TIDEGATE_REDIS_REQUEST_TIMEOUT",
        Some("250ms"),
        "timeout of one Redis command of limits and cache, before the process uses its memory instead",
    ),
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
        "database.pool",
        "TIDEGATE_DATABASE_POOL",
        Some("10"),
        "maximum number of connections of one process to that server, and to each replica, usually 10 to 100; one more listens",
    ),
    setting(
        "database.connect_timeout",
        "TIDEGATE_DATABASE_CONNECT_TIMEOUT",
        Some("10s"),
        "timeout of a connection attempt",
    ),
    setting(
        "database.deadline",
        "TIDEGATE_DATABASE_DEADLINE",
        Some("30s"),
        "how long requests to an unavailable server are retried; a statement without progress for a third of it is cancelled",
    ),
];

impl Setting {
    /// Returns the setting with that key.
    pub(super) fn named(key: &str) -> Option<&'static Self> {
        CATALOGUE.iter().find(|setting| setting.key == key)
    }

    /// Returns the secret with that key.
    pub(super) fn secret(key: &str) -> Option<&'static Self> {
        Self::named(key).filter(|setting| setting.is_secret)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::CATALOGUE;

    #[test]
    fn keys_and_variables_are_unique() {
        let keys: HashSet<_> = CATALOGUE.iter().map(|setting| setting.key).collect();
        let variables: HashSet<_> = CATALOGUE.iter().map(|setting| setting.variable).collect();
        assert_eq!(keys.len(), CATALOGUE.len());
        assert_eq!(variables.len(), CATALOGUE.len());
    }
}
