//! A primary, its replica and three Sentinels, started by `deploy/redis/start.sh` as in
//! `compose.yaml`.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tidegate_testkit::redis::redis_cli;
use tidegate_testkit::{Process, free_port, poll_until};

use super::usage::Usage;

const REDIS_CONF: &str = include_str!("../../../../deploy/redis/redis.conf");
const SENTINEL_CONF: &str = include_str!("../../../../deploy/redis/sentinel.conf");
const START: &str = include_str!("../../../../deploy/redis/start.sh");
/// The primary's address in those files.
const PRIMARY: &str = "172.30.1.11 6379";
/// The name under which the Sentinels know the primary.
const NAME: &str = "main";
const LONG: Duration = Duration::from_secs(60);

/// Redis with its failover.
pub struct RedisFleet {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
    password: String,
}

struct Server {
    process: Process,
    port: u16,
}

impl RedisFleet {
    /// Starts all five in directories of `root`, and returns when they know one another.
    pub(super) async fn start(root: &Path, password: &str, password_file: &Path) -> anyhow::Result<Self> {
        let primary = free_port();
        let start = |role: &str, name: &str, port| start(root, role, name, port, primary, password_file);
        let servers = vec![start("primary", "redis1", primary)?, start("replica", "redis2", free_port())?];
        let mut fleet = Self { servers, sentinels: Vec::new(), password: password.to_owned() };
        fleet.wait_for_replica().await.context("redis2 does not follow redis1")?;
        for name in ["sentinel1", "sentinel2", "sentinel3"] {
            fleet.sentinels.push(start("sentinel", name, free_port())?);
        }
        fleet.wait_for_sentinels().await.context("the Sentinels do not find one another")?;
        Ok(fleet)
    }

    /// The URL of the primary through the Sentinels, with the password.
    pub(super) fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis-sentinel://:{}@{}/{NAME}", self.password, hosts.join(","))
    }

    /// Address of each server.
    pub(super) fn addresses(&self) -> Vec<(String, String)> {
        let all = self.servers.iter().chain(&self.sentinels);
        all.map(|server| (server.process.name().to_owned(), format!("127.0.0.1:{}", server.port))).collect()
    }

    /// Kills the primary with SIGKILL, waits until the Sentinels have chosen the other server, and
    /// starts the killed one, which then follows.
    ///
    /// # Errors
    ///
    /// No other primary is chosen within a minute.
    pub async fn fail_over(&mut self) -> anyhow::Result<()> {
        let before = self.primary_port().await;
        let killed = self.server(before)?;
        killed.process.kill9()?;
        let chosen = poll_until(LONG, async || {
            let now = self.primary_port().await;
            let is_primary = now != 0 && now != before && self.cli(now, &["ROLE"]).await.starts_with("master");
            is_primary.then_some(())
        });
        chosen.await.context("the Sentinels chose no other primary")?;
        self.server(before)?.process.restart()?;
        self.wait_for_replica().await.context("the killed server does not follow the new primary")
    }

    /// Stops the primary with SIGSTOP for that long.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub async fn suspend_primary(&mut self, length: Duration) -> anyhow::Result<()> {
        let port = self.primary_port().await;
        let server = self.server(port)?;
        server.process.pause().await?;
        tokio::time::sleep(length).await;
        server.process.resume()?;
        // The Sentinels may have chosen the other one meanwhile.
        self.wait_for_replica().await.context("one server does not follow the other after the pause")
    }

    /// Resources of the server that is the primary.
    pub async fn usage(&self) -> Option<Usage> {
        let port = self.primary_port().await;
        let server = self.servers.iter().find(|server| server.port == port)?;
        Usage::of(server.process.pid()?)
    }

    pub(super) async fn stop(&mut self) {
        // The Sentinels first, or they would begin a failover.
        for server in self.sentinels.iter_mut().chain(&mut self.servers) {
            // One that has ended needs no stop, and the drop ends the others.
            let _ = server.process.stop().await;
        }
    }

    fn server(&mut self, port: u16) -> anyhow::Result<&mut Server> {
        self.servers.iter_mut().find(|server| server.port == port).context("the Sentinels name an unknown primary")
    }

    async fn primary_port(&self) -> u16 {
        let Some(sentinel) = self.sentinels.first() else { return self.servers[0].port };
        let address = redis_cli(sentinel.port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).await;
        address.lines().nth(1).and_then(|port| port.parse().ok()).unwrap_or_default()
    }

    async fn cli(&self, port: u16, args: &[&str]) -> String {
        let login = ["--no-auth-warning", "-a", &self.password];
        redis_cli(port, &[&login, args].concat()).await
    }

    async fn wait_for_replica(&self) -> anyhow::Result<()> {
        let follows = poll_until(LONG, async || {
            for server in &self.servers {
                if self.cli(server.port, &["INFO", "replication"]).await.contains("master_link_status:up") {
                    return Some(());
                }
            }
            None
        });
        Ok(follows.await?)
    }

    async fn wait_for_sentinels(&self) -> anyhow::Result<()> {
        for sentinel in &self.sentinels {
            let knows_all = poll_until(LONG, async || {
                let known = redis_cli(sentinel.port, &["SENTINEL", "MASTER", NAME]).await;
                let field = |name| known.lines().skip_while(|line| *line != name).nth(1);
                (field("num-other-sentinels") == Some("2") && field("num-slaves") == Some("1")).then_some(())
            });
            knows_all.await?;
        }
        Ok(())
    }
}

fn start(root: &Path, role: &str, name: &str, port: u16, primary: u16, password: &Path) -> anyhow::Result<Server> {
    let (data, configuration) = (root.join(name), root.join(format!("{name}-conf")));
    std::fs::create_dir(&data)?;
    std::fs::create_dir(&configuration)?;
    for (file, text) in [("redis.conf", REDIS_CONF), ("sentinel.conf", SENTINEL_CONF), ("start.sh", START)] {
        std::fs::write(configuration.join(file), here(text, port, &data, primary))?;
    }
    let process = Process::builder("/bin/sh")
        .name(name)
        .arg(configuration.join("start.sh"))
        .arg(role)
        .args([&configuration, &data])
        .env("REDIS_PASSWORD_FILE", password)
        .start()?;
    Ok(Server { process, port })
}

/// Returns a file of `deploy/redis`, with this machine's addresses in place of the containers'.
fn here(text: &str, port: u16, data: &Path, primary: u16) -> String {
    let lines = text.lines().map(|line| match line.split_once(' ') {
        Some(("port", _)) => format!("port {port}\nbind 127.0.0.1"),
        Some(("dir", _)) => format!("dir {}", data.display()),
        _ => line.replace(PRIMARY, &format!("127.0.0.1 {primary}")),
    });
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{REDIS_CONF, SENTINEL_CONF, START, here};

    #[test]
    fn the_files_of_the_deployment_are_led_to_this_machine() {
        let [redis, sentinel, start] =
            [REDIS_CONF, SENTINEL_CONF, START].map(|text| here(text, 7001, Path::new("/scratch"), 7000));
        assert!(redis.contains("\nport 7001\nbind 127.0.0.1\n") && redis.contains("dir /scratch\n"), "{redis}");
        assert!(sentinel.contains("sentinel monitor main 127.0.0.1 7000 2\n"), "{sentinel}");
        assert!(sentinel.contains("down-after-milliseconds main 5000"), "{sentinel}");
        assert!(sentinel.contains("failover-timeout main 10000"), "{sentinel}");
        assert!(start.contains("replicaof 127.0.0.1 7000"), "{start}");
        for text in [redis, sentinel, start] {
            assert!(!text.contains("172.30."), "{text}");
        }
    }
}
