//! Counters of a server and of this process.

use std::time::Duration;

use tidegate_benches::{ClockId, processor_time};
use tidegate_redis::{Client, Command, Config, Role};

/// Commands of this module, which count for no queue.
const MINE: [&str; 2] = ["info", "flushall"];

/// Reads a server's own numbers.
pub(crate) struct Gauge(Client);

/// Numbers since the server, and this process, started.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// Commands, including those inside scripts.
    pub(crate) commands: f64,
    /// Calls of scripts.
    pub(crate) scripts: f64,
    /// Processor time of the server, all threads.
    pub(crate) server: f64,
    /// Processor time of this process, all threads.
    pub(crate) client: f64,
}

impl Gauge {
    pub(crate) async fn on(url: &str) -> Self {
        let config = Config::parse(url).expect("a URL").command_timeout(Duration::from_secs(60));
        Self(Client::connect(&config, Role::Durable).await.expect("connected"))
    }

    /// Empties the server.
    pub(crate) async fn flush(&self) {
        self.0.execute(Command::new("FLUSHALL").arg("SYNC")).await.expect("emptied");
    }

    pub(crate) async fn read(&self) -> Reading {
        let cpu = self.info("cpu").await;
        let stats = self.info("commandstats").await;
        let mut reading = Reading {
            commands: 0.0,
            scripts: 0.0,
            server: field(&cpu, "used_cpu_sys") + field(&cpu, "used_cpu_user"),
            client: processor_time(ClockId::ProcessCPUTime).as_secs_f64(),
        };
        for line in stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")) {
            let (command, numbers) = line.split_once(":calls=").expect("calls come first");
            let calls: f64 = numbers.split(',').next().and_then(|calls| calls.parse().ok()).expect("a number");
            if !MINE.contains(&command) {
                reading.commands += calls;
            }
            if ["eval", "evalsha", "fcall"].contains(&command) {
                reading.scripts += calls;
            }
        }
        reading
    }

    /// Bytes of the server's memory, without buffers of connections and of the append-only file.
    pub(crate) async fn memory(&self) -> f64 {
        let memory = self.info("memory").await;
        field(&memory, "used_memory") - field(&memory, "mem_clients_normal") - field(&memory, "mem_aof_buffer")
    }

    /// The server's version.
    pub(crate) async fn version(&self) -> String {
        let server = self.info("server").await;
        text(&server, "redis_version").to_owned()
    }

    async fn info(&self, section: &str) -> String {
        let reply = self.0.execute(Command::new("INFO").arg(section)).await.expect("told");
        reply.into_text().expect("text")
    }
}

impl Reading {
    /// Returns the growth since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            commands: self.commands - earlier.commands,
            scripts: self.scripts - earlier.scripts,
            server: self.server - earlier.server,
            client: self.client - earlier.client,
        }
    }
}

fn text<'a>(info: &'a str, name: &str) -> &'a str {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("Redis 7 reports it").trim()
}

fn field(info: &str, name: &str) -> f64 {
    text(info, name).parse().expect("a number")
}
