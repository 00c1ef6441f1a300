//! Settings of older versions.

use crate::catalogue::CATALOGUE;

/// A setting of an older version. Setting it stops a start.
#[derive(Debug)]
pub(crate) struct Retired {
    key: &'static str,
    instead: Instead,
}

#[derive(Debug)]
enum Instead {
    /// A setting, and an example of its text.
    Setting(&'static str, &'static str),
    /// Nothing: the program always uses this value.
    Constant(&'static str),
}

const fn moved(key: &'static str, to: &'static str, example: &'static str) -> Retired {
    Retired { key, instead: Instead::Setting(to, example) }
}

const fn fixed(key: &'static str, value: &'static str) -> Retired {
    Retired { key, instead: Instead::Constant(value) }
}

/// The settings that were removed.
const RETIRED: &[Retired] = &[
    moved("backup.timeout", "queue.timeout", "backup=1h"),
    moved("cache.replica_lag", "cache.replicas", "1s"),
    moved("cache.warm_up_concurrency", "cache.warm_up", "1000, concurrency=4"),
    moved("database.connect_timeout", "database.connections", "connect=10s"),
    moved("database.deadline", "database.connections", "deadline=30s"),
    moved("database.pool", "database.connections", "pool=10"),
    moved("email.max_recipients", "email.limits", "max_recipients=50"),
    moved("email.timeout", "email.limits", "timeout=10s"),
    moved("export.keep", "export", "keep=24h"),
    moved("export.max_pending", "export", "max_pending=5"),
    moved("export.timeout", "queue.timeout", "export=1h"),
    moved("http.access_log_sample", "http.access_log", "0.01"),
    moved("http.drain_delay", "http.drain", "delay=10s"),
    moved("http.drain_timeout", "http.drain", "timeout=20s"),
    moved("http.header_timeout", "http.slow_clients", "header=10s"),
    moved("http.max_body", "http.max_size", "body=1MiB"),
    moved("http.max_connections", "http.capacity", "connections=10000"),
    moved("http.max_connections_per_address", "http.capacity", "per_address=512"),
    moved("http.max_import", "http.max_size", "import=64MiB"),
    moved("http.max_in_flight", "http.capacity", "in_flight=1024"),
    moved("http.min_rate", "http.slow_clients", "min_rate=512B"),
    moved("http.request_timeout", "http.timeouts", "request=30s"),
    moved("http.upload_timeout", "http.timeouts", "upload=1h"),
    moved("http.write_timeout", "http.slow_clients", "write=30s"),
    moved("import.chunk", "import", "chunk=500"),
    moved("import.max_pending", "import", "max_pending=20"),
    moved("import.max_rejects", "import", "max_rejects=10000"),
    moved("import.pause", "import", "pause=100ms"),
    moved("import.timeout", "queue.timeout", "import=6h"),
    moved("limits.api_block", "limits.api", "100/minute, block=1m"),
    moved("limits.api_mode", "limits.api", "100/minute, mode=shadow"),
    moved("limits.auth_block", "limits.auth", "5/minute, block=15m"),
    moved("limits.auth_mode", "limits.auth", "5/minute, mode=shadow"),
    moved("limits.ddos_block", "limits.ddos", "1000/second, block=10s"),
    moved("limits.ddos_mode", "limits.ddos", "1000/second, mode=shadow"),
    moved("limits.leases", "limits.redis", "leases=on"),
    moved("limits.new_keys", "limits.redis", "new_keys=10000"),
    moved("limits.report_block", "limits.report", "10/hour, block=5m"),
    moved("limits.report_mode", "limits.report", "10/hour, mode=shadow"),
    moved("notifications.keep", "notifications", "keep=7d"),
    moved("notifications.streams", "notifications", "streams=1000"),
    moved("notifications.streams_per_tenant", "notifications", "streams_per_tenant=32"),
    moved("otlp.interval", "otlp.sending", "interval=60s"),
    moved("otlp.sample", "otlp.sending", "sample=0.1"),
    moved("performance.aborted", "performance.health", "aborted=0.2"),
    fixed("performance.endpoints", "512"),
    moved("performance.error_rate", "performance.health", "error_rate=0.05"),
    fixed("performance.fingerprints", "1000"),
    moved("performance.hit_rate", "performance.health", "hit_rate=0.8"),
    moved("performance.min_samples", "performance.health", "min_samples=20"),
    moved("performance.n_plus_one", "performance.slow", "n_plus_one=5"),
    moved("performance.p99", "performance.health", "p99=5s"),
    moved("performance.pool_connections", "performance.health", "pool_in_use=0.8"),
    moved("performance.pool_in_use", "performance.health", "pool_in_use=0.8"),
    moved("performance.pool_stuck", "performance.health", "pool_stuck=5s"),
    moved("performance.pool_wait", "performance.health", "pool_wait=1s"),
    moved("performance.slow_api", "performance.health", "slow_api=2s"),
    moved("performance.slow_api_log", "performance.slow", "request=500ms"),
    moved("performance.slow_query", "performance.health", "slow_query=1s"),
    moved("performance.warn_api", "performance.slow", "api=200ms"),
    moved("performance.warn_cache", "performance.slow", "cache=10ms"),
    moved("performance.warn_database", "performance.slow", "database=100ms"),
    moved("performance.warn_rendering", "performance.slow", "rendering=50ms"),
    moved("queue.analytics_concurrency", "queue.concurrency", "analytics=1"),
    moved("queue.analytics_timeout", "queue.timeout", "analytics=10m"),
    moved("queue.backup_concurrency", "queue.concurrency", "backup=1"),
    moved("queue.email_concurrency", "queue.concurrency", "email=4"),
    moved("queue.email_timeout", "queue.timeout", "email=2m"),
    moved("queue.export_concurrency", "queue.concurrency", "export=1"),
    moved("queue.import_concurrency", "queue.concurrency", "import=2"),
    moved("queue.notification_concurrency", "queue.concurrency", "notification=8"),
    moved("queue.notification_timeout", "queue.timeout", "notification=2m"),
    moved("queue.report_concurrency", "queue.concurrency", "report=1"),
    moved("queue.schedule_concurrency", "queue.concurrency", "schedule=4"),
    moved("queue.schedule_timeout", "queue.timeout", "schedule=10m"),
    moved("queue.webhook_concurrency", "queue.concurrency", "webhook=8"),
    moved("queue.webhook_timeout", "queue.timeout", "webhook=2m"),
    moved("redis.request_timeout", "redis.timeouts", "request=250ms"),
    moved("redis.timeout", "redis.timeouts", "queue=1s"),
    moved("reminders.email", "reminders", "email=on"),
    moved("reminders.horizon", "reminders", "horizon=1h"),
    moved("reminders.lead", "reminders", "lead=15m"),
    moved("reminders.per_tenant_day", "reminders", "per_tenant_day=1000"),
    moved("report.keep", "report", "keep=24h"),
    moved("report.max_pending", "report", "max_pending=5"),
    moved("report.timeout", "queue.timeout", "report=1h"),
    moved("webhook.per_tenant", "webhooks", "per_tenant=10"),
    moved("webhook.private_addresses", "webhooks", "private_addresses=on"),
    moved("webhook.timeout", "webhooks", "timeout=5s"),
];

impl Retired {
    /// Returns the retired setting with that key.
    pub(crate) fn named(key: &str) -> Option<&'static Self> {
        RETIRED.iter().find(|retired| retired.key == key)
    }

    /// Returns the retired setting with that environment variable.
    pub(crate) fn of_variable(name: &str) -> Option<&'static Self> {
        RETIRED.iter().find(|retired| retired.variable() == name)
    }

    fn variable(&self) -> String {
        let name = self.key.replace("limits.", "limit.").replace('.', "_");
        format!("TIDEGATE_{}", name.to_uppercase())
    }

    /// Returns what to set in its place.
    pub(crate) fn advice(&self) -> String {
        match self.instead {
            Instead::Setting(key, example) => {
                let setting = CATALOGUE.iter().find(|setting| setting.key == key);
                let variable = setting.map_or("", |setting| setting.variable);
                format!("set {key} ({variable}), for example to `{example}`")
            }
            Instead::Constant(value) => format!("remove it, its value is always {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawSettings;
    use crate::test_ground::check_with;

    #[test]
    fn a_retired_setting_stops_the_start_and_names_its_new_form() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[performance]\npool_connections = 80").unwrap();
        let variable = ("TIDEGATE_REMINDERS_LEAD".into(), "5m".into());
        let (settings, faults) = RawSettings::load(Some(file.path()), [variable]).unwrap().judge();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert!(settings.is_some() && faults.len() == 2, "{faults:#?}");
        for part in ["`performance.pool_connections` is no longer a setting", "performance.health", "`pool_in_use=0.8`"]
        {
            assert!(faults[0].contains(part), "{part}: {}", faults[0]);
        }
        assert_eq!(
            faults[1],
            "environment variable TIDEGATE_REMINDERS_LEAD is no longer a setting: set reminders \
             (TIDEGATE_REMINDERS), for example to `lead=15m`"
        );
    }

    #[test]
    fn every_new_form_is_one() {
        for retired in RETIRED {
            assert!(CATALOGUE.iter().all(|setting| setting.key != retired.key), "{} is read", retired.key);
            let Instead::Setting(key, example) = retired.instead else { continue };
            let setting = CATALOGUE.iter().find(|setting| setting.key == key).unwrap();
            assert!(check_with(&[(setting.variable, example)]).is_ok(), "{}", retired.advice());
        }
    }
}
