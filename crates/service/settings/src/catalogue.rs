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

const MODE: &str = "`on`: it refuses; `shadow`: it only counts; `off`: it isn't asked";

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
        "address of the API; port 0 picks a free one and prints it",
    ),
    setting(
        "worker_listen",
        "TIDEGATE_WORKER_LISTEN",
        Some("auto"),
        "address where tidegate-worker answers probes and /metrics; `auto`: 127.0.0.1:9464, or a free port where that is \
         in use; `off`: nowhere",
    ),
    setting(
        "tls.certificate",
        "TIDEGATE_TLS_CERTIFICATE",
        None,
        "PEM file with the API's certificate and those that lead from it to an authority; with tls.key the API speaks TLS alone",
    ),
    setting("tls.key", "TIDEGATE_TLS_KEY", None, "PEM file with the private key of that certificate, not encrypted"),
    setting("data_dir", "TIDEGATE_DATA_DIR", Some("./data"), "databases, files and uploads"),
    setting(
        "files_url",
        "TIDEGATE_FILES_URL",
        None,
        "where uploads, exports, reports and backups lie: s3://BUCKET/PREFIX, with the usual variables of AWS; not set: in the data directory",
    ),
    setting(
        "worker",
        "TIDEGATE_WORKER",
        Some("auto"),
        "`inner`: the API runs jobs itself; `none`: only tidegate-worker does; `auto`: `none` where REDIS_URL is set, \
         else `inner`",
    ),
    secret("tokens.admin", "TIDEGATE_ADMIN_TOKEN", "bearer token for reads and changes of the operations routes"),
    secret("tokens.read", "TIDEGATE_READ_TOKEN", "bearer token for reads of the operations routes"),
    secret("tokens.service", "TIDEGATE_SERVICE_TOKEN", "bearer token of services that ask POST /api/rate-limit/check"),
    setting(
        "trusted_proxies",
        "TIDEGATE_TRUSTED_PROXIES",
        None,
        "CIDRs, separated by commas, whose forwarded headers count",
    ),
    setting(
        "forwarded_header",
        "TIDEGATE_FORWARDED_HEADER",
        Some("x-forwarded-for"),
        "the header that the trusted proxies set: x-forwarded-for, forwarded, or either",
    ),
    setting(
        "open_tenants",
        "TIDEGATE_OPEN_TENANTS",
        None,
        "`1`: X-Tenant-Id names the tenant without a key; `0`: never; not set: on direct loopback while no token is set",
    ),
    setting("log", "RUST_LOG", Some("info,fred=off"), "filter of the log"),
    setting(
        "log_format",
        "TIDEGATE_LOG_FORMAT",
        Some("text"),
        "`text`: lines for people; `json`: one JSON object a line, for log collectors",
    ),
    setting("http.max_body", "TIDEGATE_HTTP_MAX_BODY", Some("1MiB"), "largest JSON body"),
    setting("http.max_import", "TIDEGATE_HTTP_MAX_IMPORT", Some("64MiB"), "largest import"),
    setting(
        "http.request_timeout",
        "TIDEGATE_HTTP_REQUEST_TIMEOUT",
        Some("30s"),
        "a request that takes longer is answered 503",
    ),
    setting("http.upload_timeout", "TIDEGATE_HTTP_UPLOAD_TIMEOUT", Some("1h"), "an upload that takes longer is ended"),
    setting(
        "http.header_timeout",
        "TIDEGATE_HTTP_HEADER_TIMEOUT",
        Some("10s"),
        "a connection on which no whole request head comes for that long is closed",
    ),
    setting(
        "http.write_timeout",
        "TIDEGATE_HTTP_WRITE_TIMEOUT",
        Some("30s"),
        "a client that takes nothing of its answer for that long is cut off",
    ),
    setting(
        "http.max_connections",
        "TIDEGATE_HTTP_MAX_CONNECTIONS",
        Some("10000"),
        "connections open at a time; beyond it the one that has been idle longest is closed",
    ),
    setting(
        "http.max_connections_per_address",
        "TIDEGATE_HTTP_MAX_CONNECTIONS_PER_ADDRESS",
        Some("512"),
        "connections of one client address, open at a time; more are closed as they come; trusted proxies are not counted",
    ),
    setting(
        "http.max_in_flight",
        "TIDEGATE_HTTP_MAX_IN_FLIGHT",
        Some("1024"),
        "requests under way at a time; more are answered 503 at once; streams and bodies that are waited for don't count",
    ),
    setting(
        "http.min_rate",
        "TIDEGATE_HTTP_MIN_RATE",
        Some("512B"),
        "bytes a second that a client has to bring of a body and to take of an answer, after 10 s of waiting; 0B: none",
    ),
    setting(
        "http.compress_above",
        "TIDEGATE_HTTP_COMPRESS_ABOVE",
        Some("1KiB"),
        "answers of at least that size are compressed for clients that take gzip, br or zstd; 0: none",
    ),
    setting(
        "http.access_log",
        "TIDEGATE_HTTP_ACCESS_LOG",
        Some("sampled"),
        "`full`: a line of the log for each request; `sampled`: for a share of them and each that failed; `off`: none",
    ),
    setting(
        "http.access_log_sample",
        "TIDEGATE_HTTP_ACCESS_LOG_SAMPLE",
        Some("0.01"),
        "the share of requests that a sampled access log tells of",
    ),
    setting(
        "http.drain_delay",
        "TIDEGATE_HTTP_DRAIN_DELAY",
        Some("0s"),
        "how long a shutdown goes on serving while /readyz answers 503, so that balancers see it",
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
        "cached schedules: options with commas between; an option that is not named keeps its default",
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
        "keys that a warm-up loads at once",
    ),
    setting(
        "cache.replicas",
        "TIDEGATE_CACHE_REPLICAS",
        Some("off"),
        "on: the cache's shared tier reads values from replicas of its Redis, where there are any; off: from primaries alone",
    ),
    setting(
        "cache.replica_lag",
        "TIDEGATE_CACHE_REPLICA_LAG",
        Some("1s"),
        "how far behind its primary a replica may be to be read, and for how long a key that has changed is read from the primary",
    ),
    setting("limits.ddos", "TIDEGATE_LIMIT_DDOS", Some("1000/second"), "requests of one client address"),
    setting(
        "limits.ddos_block",
        "TIDEGATE_LIMIT_DDOS_BLOCK",
        Some("10s"),
        "first block of an address over it; 0s: none",
    ),
    setting("limits.ddos_mode", "TIDEGATE_LIMIT_DDOS_MODE", Some("on"), MODE),
    setting(
        "limits.ddos_allow",
        "TIDEGATE_LIMIT_DDOS_ALLOW",
        None,
        "addresses and CIDRs, separated by commas, that it never counts",
    ),
    setting(
        "limits.ddos_deny",
        "TIDEGATE_LIMIT_DDOS_DENY",
        None,
        "addresses and CIDRs, separated by commas, that it always refuses; also where they are allowed",
    ),
    setting(
        "limits.auth",
        "TIDEGATE_LIMIT_AUTH",
        Some("5/minute"),
        "failed logins from one address to one account; at most 1000",
    ),
    setting(
        "limits.auth_block",
        "TIDEGATE_LIMIT_AUTH_BLOCK",
        Some("15m"),
        "first block of an address and account over it; 0s: none",
    ),
    setting("limits.auth_mode", "TIDEGATE_LIMIT_AUTH_MODE", Some("on"), MODE),
    setting("limits.report", "TIDEGATE_LIMIT_REPORT", Some("10/hour"), "exports and reports of one user; at most 1000"),
    setting(
        "limits.report_block",
        "TIDEGATE_LIMIT_REPORT_BLOCK",
        Some("5m"),
        "first block of a user over it; 0s: none",
    ),
    setting("limits.report_mode", "TIDEGATE_LIMIT_REPORT_MODE", Some("on"), MODE),
    setting("limits.api", "TIDEGATE_LIMIT_API", Some("100/minute"), "anonymous and per-user application requests"),
    setting("limits.api_block", "TIDEGATE_LIMIT_API_BLOCK", Some("1m"), "first block of a client over it; 0s: none"),
    setting("limits.api_mode", "TIDEGATE_LIMIT_API_MODE", Some("on"), MODE),
    setting("limits.tenant_mode", "TIDEGATE_LIMIT_TENANT_MODE", Some("on"), MODE),
    setting(
        "limits.ipv6_prefix",
        "TIDEGATE_LIMIT_IPV6_PREFIX",
        Some("64"),
        "bits of an IPv6 address that tell clients apart",
    ),
    setting(
        "limits.new_keys",
        "TIDEGATE_LIMIT_NEW_KEYS",
        Some("10000"),
        "keys a second that one process may bring to Redis and hasn't seen before, for each limiter",
    ),
    setting(
        "limits.instances",
        "TIDEGATE_LIMIT_INSTANCES",
        Some("1"),
        "processes that share the limits: while Redis is away each admits one such part of a limit",
    ),
    setting(
        "limits.patience",
        "TIDEGATE_LIMIT_PATIENCE",
        Some("40ms"),
        "longest wait of a limit for Redis, before the process decides by itself; at most redis.request_timeout counts",
    ),
    setting(
        "limits.leases",
        "TIDEGATE_LIMIT_LEASES",
        Some("off"),
        "on: the limiters ddos and api lease part of a busy key's limit from Redis and admit it without asking for each request",
    ),
    setting(
        "limits.anomaly_interval",
        "TIDEGATE_LIMIT_ANOMALY_INTERVAL",
        Some("10s"),
        "interval in which a tenant's requests are counted to flag a rate far above its usual one; 0s: off",
    ),
    setting(
        "queues",
        "TIDEGATE_QUEUES",
        Some("all"),
        "queues whose jobs the process runs, separated by commas, or `all`; one that no process serves waits",
    ),
    setting(
        "queue.analytics_concurrency",
        "TIDEGATE_QUEUE_ANALYTICS_CONCURRENCY",
        Some("1"),
        "rolls of analytics that one process runs at a time",
    ),
    setting(
        "queue.analytics_timeout",
        "TIDEGATE_QUEUE_ANALYTICS_TIMEOUT",
        Some("10m"),
        "how long one run of it may take",
    ),
    setting("analytics.keep", "TIDEGATE_ANALYTICS_KEEP", Some("400d"), "how long a day's figures are kept"),
    setting(
        "queue.import_concurrency",
        "TIDEGATE_QUEUE_IMPORT_CONCURRENCY",
        Some("2"),
        "imports that one process runs at a time",
    ),
    setting(
        "session.ttl",
        "TIDEGATE_SESSION_TTL",
        Some("24h"),
        "how long a user stays logged in; a change is for sessions that begin later",
    ),
    setting("queue.lease", "TIDEGATE_QUEUE_LEASE", Some("15s"), "how long a job stays a dead worker's"),
    setting("queue.grace", "TIDEGATE_QUEUE_GRACE", Some("10s"), "how long a shutdown lets running jobs go on"),
    setting("import.chunk", "TIDEGATE_IMPORT_CHUNK", Some("500"), "lines that one transaction of an import takes"),
    setting("import.pause", "TIDEGATE_IMPORT_PAUSE", Some("0s"), "pause between two transactions of an import"),
    setting(
        "import.max_rejects",
        "TIDEGATE_IMPORT_MAX_REJECTS",
        Some("10000"),
        "bad lines that an import may have; one more stops it",
    ),
    setting(
        "import.max_pending",
        "TIDEGATE_IMPORT_MAX_PENDING",
        Some("20"),
        "imports that a tenant may have uploading, waiting or running; more are answered 429",
    ),
    setting(
        "queue.export_concurrency",
        "TIDEGATE_QUEUE_EXPORT_CONCURRENCY",
        Some("1"),
        "exports that one process runs at a time",
    ),
    setting("export.timeout", "TIDEGATE_EXPORT_TIMEOUT", Some("1h"), "how long one run of an export may take"),
    setting("export.keep", "TIDEGATE_EXPORT_KEEP", Some("24h"), "how long an export can be fetched"),
    setting(
        "export.max_pending",
        "TIDEGATE_EXPORT_MAX_PENDING",
        Some("5"),
        "exports that a tenant may have waiting or running; more are answered 429",
    ),
    setting(
        "queue.report_concurrency",
        "TIDEGATE_QUEUE_REPORT_CONCURRENCY",
        Some("1"),
        "reports that one process makes at a time",
    ),
    setting("report.timeout", "TIDEGATE_REPORT_TIMEOUT", Some("1h"), "how long one run of a report may take"),
    setting("report.keep", "TIDEGATE_REPORT_KEEP", Some("24h"), "how long the files of a report can be fetched"),
    setting(
        "report.max_pending",
        "TIDEGATE_REPORT_MAX_PENDING",
        Some("5"),
        "reports that a tenant may have waiting or running; more are answered 429",
    ),
    setting(
        "queue.backup_concurrency",
        "TIDEGATE_QUEUE_BACKUP_CONCURRENCY",
        Some("1"),
        "backups that one process runs at a time",
    ),
    setting("backup.timeout", "TIDEGATE_BACKUP_TIMEOUT", Some("1h"), "how long one run of a backup may take"),
    setting("backup.keep", "TIDEGATE_BACKUP_KEEP", Some("7"), "backups that are kept; of more, the oldest go"),
    setting("import.timeout", "TIDEGATE_IMPORT_TIMEOUT", Some("6h"), "how long one run of an import may take"),
    setting(
        "queue.email_concurrency",
        "TIDEGATE_QUEUE_EMAIL_CONCURRENCY",
        Some("4"),
        "mails that one process sends at a time",
    ),
    setting(
        "queue.email_timeout",
        "TIDEGATE_QUEUE_EMAIL_TIMEOUT",
        Some("2m"),
        "how long one run of a mail's job may take",
    ),
    setting(
        "queue.notification_concurrency",
        "TIDEGATE_QUEUE_NOTIFICATION_CONCURRENCY",
        Some("8"),
        "notices that one process writes at a time",
    ),
    setting(
        "queue.notification_timeout",
        "TIDEGATE_QUEUE_NOTIFICATION_TIMEOUT",
        Some("2m"),
        "how long one run of such a job may take",
    ),
    setting(
        "queue.schedule_concurrency",
        "TIDEGATE_QUEUE_SCHEDULE_CONCURRENCY",
        Some("4"),
        "reminders, and looks at schedules, that one process is at at a time",
    ),
    setting(
        "queue.schedule_timeout",
        "TIDEGATE_QUEUE_SCHEDULE_TIMEOUT",
        Some("10m"),
        "how long one run of such a job may take",
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
        "how long before it is sent a reminder is prepared",
    ),
    setting(
        "reminders.email",
        "TIDEGATE_REMINDERS_EMAIL",
        Some("off"),
        "`on`: attendees that are addresses get a mail with each reminder",
    ),
    setting(
        "reminders.per_tenant_day",
        "TIDEGATE_REMINDERS_PER_TENANT_DAY",
        Some("1000"),
        "reminders, and mails of them, that a tenant may have on a day (UTC); what is beyond gets none",
    ),
    setting(
        "queue.webhook_concurrency",
        "TIDEGATE_QUEUE_WEBHOOK_CONCURRENCY",
        Some("8"),
        "posts to webhooks that one process is at at a time, a quarter of them for one tenant",
    ),
    setting(
        "queue.webhook_timeout",
        "TIDEGATE_QUEUE_WEBHOOK_TIMEOUT",
        Some("2m"),
        "how long one run of such a job may take",
    ),
    secret(
        "email.url",
        "TIDEGATE_EMAIL_URL",
        "SMTP server, such as smtp://user:password@mail.example.com:587; not set: mails become files in data_dir/outbox",
    ),
    setting("email.from", "TIDEGATE_EMAIL_FROM", Some("Tidegate <tidegate@localhost>"), "whom mails come from"),
    setting("email.timeout", "TIDEGATE_EMAIL_TIMEOUT", Some("10s"), "how long the mail server may take for a mail"),
    setting("email.max_recipients", "TIDEGATE_EMAIL_MAX_RECIPIENTS", Some("50"), "recipients that a mail may have"),
    setting(
        "notifications.keep",
        "TIDEGATE_NOTIFICATIONS_KEEP",
        Some("7d"),
        "how long a notice can be read by a client that was away",
    ),
    setting(
        "notifications.streams",
        "TIDEGATE_NOTIFICATIONS_STREAMS",
        Some("1000"),
        "event streams of notices that one process has open at a time",
    ),
    setting(
        "notifications.streams_per_tenant",
        "TIDEGATE_NOTIFICATIONS_STREAMS_PER_TENANT",
        Some("32"),
        "of those, streams of one tenant",
    ),
    setting(
        "webhook.private_addresses",
        "TIDEGATE_WEBHOOK_PRIVATE_ADDRESSES",
        Some("off"),
        "`on`: tenants' webhooks may be on a private network, this machine among it",
    ),
    setting(
        "webhook.timeout",
        "TIDEGATE_WEBHOOK_TIMEOUT",
        Some("5s"),
        "how long one try to post to a webhook may take",
    ),
    setting("webhook.per_tenant", "TIDEGATE_WEBHOOK_PER_TENANT", Some("10"), "webhooks that a tenant may have"),
    setting(
        "queue.partitions",
        "TIDEGATE_QUEUE_PARTITIONS",
        Some("1"),
        "slots of a Redis Cluster over which the jobs of one queue are spread; the same for all processes",
    ),
    setting(
        "performance.slow_api_log",
        "TIDEGATE_PERFORMANCE_SLOW_API_LOG",
        Some("500ms"),
        "a request that takes longer is written to the log and listed",
    ),
    setting(
        "performance.warn_database",
        "TIDEGATE_PERFORMANCE_WARN_DATABASE",
        Some("100ms"),
        "a database operation that takes longer is listed",
    ),
    setting(
        "performance.warn_api",
        "TIDEGATE_PERFORMANCE_WARN_API",
        Some("200ms"),
        "a measured API operation that takes longer is listed",
    ),
    setting(
        "performance.warn_cache",
        "TIDEGATE_PERFORMANCE_WARN_CACHE",
        Some("10ms"),
        "a cache operation that takes longer is listed",
    ),
    setting(
        "performance.warn_rendering",
        "TIDEGATE_PERFORMANCE_WARN_RENDERING",
        Some("50ms"),
        "a rendering that takes longer is listed",
    ),
    setting(
        "performance.slow_query",
        "TIDEGATE_PERFORMANCE_SLOW_QUERY",
        Some("1s"),
        "95th percentile of a statement above which health suffers; longer ones are listed",
    ),
    setting(
        "performance.slow_api",
        "TIDEGATE_PERFORMANCE_SLOW_API",
        Some("2s"),
        "95th percentile of an endpoint above which health suffers",
    ),
    setting(
        "performance.p99",
        "TIDEGATE_PERFORMANCE_P99",
        Some("5s"),
        "99th percentile of all requests above which health suffers",
    ),
    setting(
        "performance.error_rate",
        "TIDEGATE_PERFORMANCE_ERROR_RATE",
        Some("0.05"),
        "share of 5xx above which health suffers",
    ),
    setting(
        "performance.aborted",
        "TIDEGATE_PERFORMANCE_ABORTED",
        Some("0.2"),
        "share of requests whose client left before the answer, above which health suffers",
    ),
    setting(
        "performance.min_samples",
        "TIDEGATE_PERFORMANCE_MIN_SAMPLES",
        Some("20"),
        "with fewer samples than that, nothing is judged",
    ),
    setting(
        "performance.hit_rate",
        "TIDEGATE_PERFORMANCE_HIT_RATE",
        Some("0.8"),
        "share of hits among the cache's lookups below which health suffers",
    ),
    setting(
        "performance.pool_in_use",
        "TIDEGATE_PERFORMANCE_POOL_IN_USE",
        Some("0.8"),
        "share of a pool's connections in use for 10 s above which health suffers; pools of one connection are left out",
    ),
    setting(
        "performance.pool_wait",
        "TIDEGATE_PERFORMANCE_POOL_WAIT",
        Some("1s"),
        "a wait for a database connection above which health suffers",
    ),
    setting(
        "performance.pool_stuck",
        "TIDEGATE_PERFORMANCE_POOL_STUCK",
        Some("5s"),
        "a wait for a database connection above which whoever holds it hangs; half as long again makes the node unhealthy",
    ),
    setting(
        "performance.endpoints",
        "TIDEGATE_PERFORMANCE_ENDPOINTS",
        Some("512"),
        "endpoints that get figures of their own; the rest share one",
    ),
    setting(
        "performance.fingerprints",
        "TIDEGATE_PERFORMANCE_FINGERPRINTS",
        Some("1000"),
        "statements, by their shape, that are kept",
    ),
    setting(
        "performance.n_plus_one",
        "TIDEGATE_PERFORMANCE_N_PLUS_ONE",
        Some("5"),
        "more statements alike than that in one request are told",
    ),
    setting(
        "performance.metrics_access",
        "TIDEGATE_PERFORMANCE_METRICS_ACCESS",
        Some("open"),
        "`open`: /metrics and /health are for everybody; `token`: they want tokens.read, /health tells others its status alone",
    ),
    setting(
        "performance.actions",
        "TIDEGATE_PERFORMANCE_ACTIONS",
        Some("off"),
        "`on`: advice may change settings within their bounds, and undo it; `off`: it only advises",
    ),
    // The URL of a webhook often is its password.
    secret("alerts.webhook", "TIDEGATE_ALERTS_WEBHOOK", "URL that each alert is posted to"),
    secret(
        "alerts.webhook_secret",
        "TIDEGATE_ALERTS_WEBHOOK_SECRET",
        "key of the HMAC-SHA256 that signs what is posted",
    ),
    secret(
        "alerts.slack_url",
        "TIDEGATE_ALERTS_SLACK_URL",
        "incoming webhook of Slack, Mattermost or Discord (its `/slack` endpoint) that alerts are posted to",
    ),
    secret(
        "alerts.pagerduty_key",
        "TIDEGATE_ALERTS_PAGERDUTY_KEY",
        "integration key of a PagerDuty service (Events API v2) that gets the alerts",
    ),
    setting(
        "alerts.pagerduty_url",
        "TIDEGATE_ALERTS_PAGERDUTY_URL",
        Some("https://events.pagerduty.com/v2/enqueue"),
        "where PagerDuty takes events; in the EU https://events.eu.pagerduty.com/v2/enqueue",
    ),
    setting(
        "alerts.email",
        "TIDEGATE_ALERTS_EMAIL",
        None,
        "addresses that alerts are mailed to, with commas between, through the server of email.url",
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
        "`on`: what alerts are posted to may be on a private network",
    ),
    setting(
        "alerts.objective",
        "TIDEGATE_ALERTS_OBJECTIVE",
        Some("99.9%"),
        "share of responses that should be good, of which the rest is the error budget: above 93.06%, such as 99.5% or 0.995",
    ),
    setting(
        "alerts.rules",
        "TIDEGATE_ALERTS_RULES",
        None,
        "rules of alerts, with commas between: `backlog: > 5000 for 5m` changes one, `backlog: off` switches it off, \
         `NAME: METRIC{label=value} > 500 for 2m critical` adds one on any metric of /metrics (docs/operations.md)",
    ),
    // For some collectors the path contains the key.
    secret(
        "otlp.endpoint",
        "TIDEGATE_OTLP_ENDPOINT",
        "OpenTelemetry collector that traces and metrics are sent to, by OTLP over HTTP",
    ),
    secret("otlp.headers", "TIDEGATE_OTLP_HEADERS", "headers sent to it: name=value, with commas between"),
    setting("otlp.sample", "TIDEGATE_OTLP_SAMPLE", Some("1"), "share of the traces begun here that are sent"),
    setting("otlp.interval", "TIDEGATE_OTLP_INTERVAL", Some("60s"), "how often metrics are sent"),
    setting(
        "otlp.resource",
        "TIDEGATE_OTLP_RESOURCE",
        None,
        "what is said of the sender, such as deployment.environment.name=production: name=value, with commas between",
    ),
    // The URLs may contain passwords.
    secret(
        "redis.url",
        "REDIS_URL",
        "queue, limits and the cache's shared tier on Redis: redis://, redis-sentinel:// or redis-cluster://; not set: embedded",
    ),
    secret("redis.cache_url", "REDIS_CACHE_URL", "another server for the cache's shared tier, which may evict keys"),
    setting(
        "redis.prefix",
        "TIDEGATE_REDIS_PREFIX",
        Some("tidegate"),
        "what all keys on Redis begin with; each installation needs its own",
    ),
    setting(
        "redis.rewrite_append_only_file",
        "TIDEGATE_REDIS_REWRITE_APPEND_ONLY_FILE",
        Some("on"),
        "on: ask Redis for BGREWRITEAOF at first sight and after each restart, to remove what a torn script has left; off: never",
    ),
    setting("redis.timeout", "TIDEGATE_REDIS_TIMEOUT", Some("1s"), "longest wait for one answer of Redis to the queue"),
    setting(
        "redis.request_timeout",
        "TIDEGATE_REDIS_REQUEST_TIMEOUT",
        Some("250ms"),
        "longest wait for one answer of Redis to limits and cache, before memory stands in",
    ),
    secret(
        "database_url",
        "DATABASE_URL",
        "PostgreSQL server of the application's tables, as postgres://user:password@host/database; not set: a SQLite file in data_dir",
    ),
    secret(
        "database_replica_urls",
        "DATABASE_REPLICA_URLS",
        "up to eight servers that follow that one, with commas between them: schedules, exports, reports and backups are read there",
    ),
    setting(
        "database.pool",
        "TIDEGATE_DATABASE_POOL",
        Some("10"),
        "connections to that server of one process, and to each replica, from 10 to 100 as a rule; one more listens",
    ),
    setting(
        "database.connect_timeout",
        "TIDEGATE_DATABASE_CONNECT_TIMEOUT",
        Some("10s"),
        "how long a connection to it may take",
    ),
    setting(
        "database.deadline",
        "TIDEGATE_DATABASE_DEADLINE",
        Some("30s"),
        "how long a server that is away is asked again; a statement that brings nothing for a third of it is given up",
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
