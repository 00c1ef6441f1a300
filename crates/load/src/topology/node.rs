//! One process of Tidegate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tidegate_testkit::{Process, ProcessBuilder, find_binary, free_port, http_client};

use super::usage::Usage;

/// Settings of `compose.yaml` for each process, without addresses and paths.
pub(super) const SETTINGS: &[(&str, &str)] =
    &[("TIDEGATE_WORKER", "none"), ("TIDEGATE_LIMIT_INSTANCES", "3"), ("RUST_LOG", "info,fred=off")];
/// Settings of `compose.yaml` for the APIs alone.
pub(super) const API_SETTINGS: &[(&str, &str)] = &[("TIDEGATE_HTTP_DRAIN", "delay=2s")];

const READY: Duration = Duration::from_secs(90);
/// `stop_grace_period` of `compose.yaml`.
const STOP: Duration = Duration::from_secs(45);

/// Which program a node runs.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `tidegate-api`
    Api,
    /// `tidegate-worker`
    Worker,
}

/// Files and settings with which a node finds the rest of the fleet.
#[derive(Clone)]
pub(super) struct Setup {
    /// The settings file with the secrets.
    pub(super) settings: PathBuf,
    pub(super) data: PathBuf,
    /// Settings of the run besides those of `compose.yaml`.
    pub(super) more: Vec<(String, String)>,
}

/// A process of Tidegate with an address of its own.
pub struct Node {
    kind: Kind,
    process: Process,
    port: u16,
    setup: Setup,
    program: PathBuf,
}

impl Node {
    pub(super) fn start(kind: Kind, number: usize, setup: &Setup) -> anyhow::Result<Self> {
        let (program, name) = match kind {
            Kind::Api => ("tidegate-api", format!("api{number}")),
            Kind::Worker => ("tidegate-worker", format!("worker{number}")),
        };
        let (program, port) = (find_binary(program)?, free_port());
        let process = builder(kind, Process::builder(&program), port, setup).name(name).start()?;
        Ok(Self { kind, process, port, setup: setup.clone(), program })
    }

    /// `api1`, `worker2` and so on.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Returns its port on 127.0.0.1: that of the API, or that of a worker's probes.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    ///
    /// It ends, or is not ready after 90 s.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        self.process.wait_until_ready(&url, READY).await.with_context(|| format!("{} is not ready", self.name()))
    }

    /// Whether `/readyz` answers 200 now.
    pub async fn is_ready(&self) -> bool {
        let Ok(client) = http_client().timeout(Duration::from_secs(2)).build() else { return false };
        let answer = client.get(format!("http://127.0.0.1:{}/readyz", self.port)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Sends SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    ///
    /// It does not end in time, or with another code than 0.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let status = self.process.stop().await?;
        anyhow::ensure!(status.success(), "{} ended with {status} after SIGTERM", self.name());
        Ok(())
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.process.kill9()?;
        Ok(())
    }

    /// Starts it again, on the same port, once it has ended; see [`ready`](Self::ready).
    ///
    /// # Errors
    ///
    /// It runs, or does not start.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.replace(Process::builder(&self.program))
    }

    /// Starts it again with a full disk below its spool of uploads: there, no file can be created.
    /// The other nodes see the same directory without that.
    ///
    /// # Errors
    ///
    /// It runs, or does not start, for example because the system allows no mount namespace.
    pub fn start_again_with_full_disk(&mut self) -> anyhow::Result<()> {
        let spool = self.setup.data.join("spool");
        std::fs::create_dir_all(&spool)?;
        // One inode is the directory's own, so that none is left for a file.
        const MOUNT: &str = "mount -t tmpfs -o size=4k,nr_inodes=1,mode=0700 tmpfs \"$0\" && exec \"$@\"";
        let namespaces =
            if rustix::process::geteuid().is_root() { "--mount" } else { "--mount --user --map-root-user" };
        let program = Process::builder("unshare")
            .args(namespaces.split(' '))
            .args(["/bin/sh", "-c", MOUNT])
            .arg(spool)
            .arg(&self.program);
        self.replace(program)
    }

    /// Whether it has ended by itself.
    pub fn has_died(&mut self) -> bool {
        self.process.exit_status().is_ok_and(|status| status.is_some())
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Its resources, while it runs.
    pub fn usage(&self) -> Option<Usage> {
        Usage::of(self.process.pid()?)
    }

    fn replace(&mut self, program: ProcessBuilder) -> anyhow::Result<()> {
        anyhow::ensure!(self.has_died(), "{} still runs", self.name());
        let name = self.name().to_owned();
        self.process = builder(self.kind, program, self.port, &self.setup).name(name).start()?;
        Ok(())
    }
}

fn builder(kind: Kind, program: ProcessBuilder, port: u16, setup: &Setup) -> ProcessBuilder {
    let address = format!("127.0.0.1:{port}");
    let mut builder = program
        .arg("--config")
        .arg(&setup.settings)
        .current_dir(root(&setup.data))
        .env("TIDEGATE_DATA_DIR", &setup.data)
        .stop_deadline(STOP);
    for (name, value) in SETTINGS {
        builder = builder.env(name, value);
    }
    builder = match kind {
        Kind::Api => API_SETTINGS
            .iter()
            .fold(builder, |builder, (name, value)| builder.env(name, value))
            .env("TIDEGATE_LISTEN", address)
            .env("TIDEGATE_TRUSTED_PROXIES", "127.0.0.1"),
        Kind::Worker => builder.env("TIDEGATE_WORKER_LISTEN", address),
    };
    setup.more.iter().fold(builder, |builder, (name, value)| builder.env(name, value))
}

fn root(data: &Path) -> &Path {
    data.parent().unwrap_or(data)
}

#[cfg(test)]
mod tests {
    use super::{API_SETTINGS, SETTINGS};

    const COMPOSE: &str = include_str!("../../../../deploy/compose.yaml");

    #[test]
    fn a_node_is_set_as_in_the_deployment() {
        for (name, value) in SETTINGS.iter().chain(API_SETTINGS) {
            let line = COMPOSE.lines().find(|line| line.trim_start().starts_with(&format!("{name}:")));
            let line = line.unwrap_or_else(|| unreachable!("compose.yaml does not set {name}"));
            let set = line.split_once(':').map(|(_, rest)| rest.split(" #").next().unwrap_or_default());
            assert_eq!(set.map(|set| set.trim().trim_matches('"')), Some(*value), "{name}");
        }
    }
}
