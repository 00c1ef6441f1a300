//! Metrics and alerts of the PostgreSQL server of the tables: its connections, of all programs, and
//! its replicas.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_model::alert_rules::Measurement;
use tidegate_store::{ReplicaState, ServerState, ServerWatch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::exposition::Family;
use super::{AlertDispatcher, Sources};

/// Time between two readings.
const PERIOD: Duration = Duration::from_secs(15);
/// Age above which a reading counts as missing.
const STALE: Duration = Duration::from_secs(60);

/// The last reading.
#[derive(Debug, Default)]
struct LatestReading(Mutex<Option<(Instant, ServerState)>>);

impl LatestReading {
    fn register(self: &Arc<Self>, sources: &Sources, alerts: &AlertDispatcher) {
        let (shown, judged) = (Arc::clone(self), Arc::clone(self));
        sources.figures(move || Box::new(ServerFigures(shown.fresh())));
        alerts.watch_limits(move || judged.fresh().iter().flat_map(measurements).collect());
    }

    fn set(&self, state: ServerState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), state));
    }

    fn fresh(&self) -> Option<ServerState> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().filter(|(at, _)| at.elapsed() < STALE).map(|(_, state)| state.clone())
    }
}

/// Registers metrics and alerts of the server, and reads it periodically until `shutdown`. On
/// SQLite nothing is read, and the metrics have no series.
pub(super) fn start(
    watch: Option<ServerWatch>,
    sources: &Sources,
    alerts: &AlertDispatcher,
    shutdown: CancellationToken,
) {
    let latest = Arc::<LatestReading>::default();
    latest.register(sources, alerts);
    if let Some(watch) = watch {
        tokio::spawn(shutdown.run_until_cancelled_owned(read(watch, latest)));
    }
}

async fn read(mut watch: ServerWatch, latest: Arc<LatestReading>) {
    let mut beat = interval(PERIOD);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        match watch.read().await {
            Ok(state) => latest.set(state),
            Err(error) => tracing::debug!(%error, "the database server was not read"),
        }
    }
}

/// Returns the measurements for alert rules.
fn measurements(state: &ServerState) -> Vec<Measurement> {
    let share = share(state.connections, state.max_connections);
    let connections = Measurement::new("postgres_connections", &*state.place, share);
    let lag = |replica: &ReplicaState| {
        Measurement::new("postgres_replica_lag", &*replica.place, replica.behind.as_secs_f64())
    };
    std::iter::once(connections).chain(state.replicas.iter().map(lag)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[derive(Debug)]
struct ServerFigures(Option<ServerState>);

impl Collector for ServerFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let help = "Client connections to the server, of all programs";
        let mut family = Family::new(encoder, "tidegate_postgres_connections", help, MetricType::Gauge)?;
        if let Some(state) = &self.0 {
            family.gauge(&[("server", &state.place)], state.connections)?;
        }
        let help = "Maximum number of connections of the server";
        let mut family = Family::new(encoder, "tidegate_postgres_max_connections", help, MetricType::Gauge)?;
        if let Some(state) = &self.0 {
            family.gauge(&[("server", &state.place)], state.max_connections)?;
        }
        let help = "Time since the latest moment whose changes the replica is known to have";
        let mut family = Family::new(encoder, "tidegate_postgres_replica_lag_seconds", help, MetricType::Gauge)?;
        for replica in self.0.iter().flat_map(|state| &state.replicas) {
            family.fraction(&[("replica", &replica.place)], replica.behind.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnection;
    use sqlx::{ConnectOptions, Connection};
    use tidegate_cache::TieredCache;
    use tidegate_settings::DatabaseSettings;
    use tidegate_store::Store;
    use tidegate_testkit::{PostgresServer, poll_until};

    use super::*;
    use crate::test_ground::Ground;

    const LONG: Duration = Duration::from_secs(60);

    /// Alerts on readings of a real server. The test provides the time of the alerts.
    struct AlertHarness {
        ground: Ground,
        store: Store,
        watch: ServerWatch,
        latest: Arc<LatestReading>,
        second: u64,
    }

    impl AlertHarness {
        async fn on(server: &PostgresServer, replicas: &[&PostgresServer], rules: &str) -> Self {
            let settings = DatabaseSettings {
                url: server.url().parse().unwrap(),
                replicas: replicas.iter().map(|replica| replica.url().parse().unwrap()).collect(),
                pool: 2,
                connect_timeout: LONG,
                deadline: LONG,
            };
            let cache = |_: &str| TieredCache::builder().build();
            let (store, _) = Store::connect(&settings, cache, CancellationToken::new()).await.unwrap();
            let ground = Ground::with(&[("TIDEGATE_ALERTS_RULES", rules)]).await;
            let latest = Arc::<LatestReading>::default();
            latest.register(ground.telemetry.sources(), ground.telemetry.alerts());
            Self { ground, watch: store.server_watch().unwrap(), store, latest, second: 0 }
        }

        /// Reads the server until the alert has the phase. More time passes between readings than
        /// the rule's hold.
        async fn until(&mut self, rule: &str, subject: &str, phase: &str) {
            let reached = poll_until(LONG, async || {
                self.latest.set(self.watch.read().await.unwrap());
                let begun = self.second;
                self.second += 70;
                self.ground.pass(begun..self.second);
                (self.ground.phase(rule, subject) == phase).then_some(())
            });
            let reached = reached.await;
            assert!(reached.is_ok(), "{rule} is not {phase}: {:?}", self.ground.alert(rule, subject));
        }

        fn detail(&self, rule: &str, subject: &str) -> String {
            self.ground.alert(rule, subject).unwrap()["detail"].as_str().unwrap().to_owned()
        }
    }

    #[tokio::test]
    async fn a_server_that_is_nearly_out_of_connections_is_an_alert_until_some_close() {
        let server = PostgresServer::start_tcp(&[("max_connections", "20")]).await;
        let here = format!("postgres at 127.0.0.1:{}", server.port());
        let mut judged = AlertHarness::on(&server, &[], "").await;
        let options: sqlx::postgres::PgConnectOptions = server.url().parse().unwrap();
        let mut others: Vec<PgConnection> = Vec::new();
        for _ in 0..16 {
            others.push(options.connect().await.unwrap());
        }
        judged.until("postgres_connections", &here, "firing").await;
        let detail = judged.detail("postgres_connections", &here);
        assert!(detail.ends_with("%, above 80 % for 1 minute"), "{detail}");
        let metrics = judged.ground.telemetry.exposition().await;
        assert!(metrics.contains(&format!("tidegate_postgres_max_connections{{server=\"{here}\"}} 20\n")), "{metrics}");
        let open = metrics.lines().find_map(|line| line.strip_prefix("tidegate_postgres_connections{")).unwrap();
        let open: u64 = open.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((17..=20).contains(&open), "{open}");
        for other in others {
            other.close().await.unwrap();
        }
        judged.until("postgres_connections", &here, "resolved").await;
    }

    #[tokio::test]
    async fn a_replica_that_falls_behind_is_an_alert_until_it_has_caught_up() {
        let server = PostgresServer::start_tcp(&[]).await;
        let replica = server.replica(&[]).await;
        let there = format!("postgres at 127.0.0.1:{}", replica.port());
        let mut judged = AlertHarness::on(&server, &[&replica], "postgres_replica_lag: > 300ms").await;
        let caught_up = async || judged.watch.read().await.unwrap().replicas[0].behind.is_zero().then_some(());
        poll_until(LONG, caught_up).await.unwrap();
        replica.psql("SELECT pg_wal_replay_pause()").await;
        server.psql("CREATE TABLE later (id int)").await;
        judged.until("postgres_replica_lag", &there, "firing").await;
        assert!(
            judged
                .detail("postgres_replica_lag", &there)
                .starts_with(&format!("replication lag of PostgreSQL replica {there}"))
        );
        let metrics = judged.ground.telemetry.exposition().await;
        assert!(
            metrics.contains(&format!("tidegate_postgres_replica_lag_seconds{{replica=\"{there}\"}}")),
            "{metrics}"
        );
        replica.psql("SELECT pg_wal_replay_resume()").await;
        judged.until("postgres_replica_lag", &there, "resolved").await;
        judged.store.close().await;
    }

    #[tokio::test]
    async fn an_old_reading_is_unknown() {
        let latest = Arc::<LatestReading>::default();
        tokio::time::pause();
        let replicas = Vec::new();
        latest.set(ServerState { place: "here".to_owned(), connections: 1, max_connections: 2, replicas });
        assert_eq!(latest.fresh().map(|state| measurements(&state).len()), Some(1));
        tokio::time::advance(STALE).await;
        assert!(latest.fresh().is_none());
    }
}
