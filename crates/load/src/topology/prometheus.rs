//! Prometheus with the rules of `deploy/prometheus`.

use std::path::Path;
use std::time::Duration;

use tidegate_testkit::{Process, free_port};

use super::programs;

const CONFIGURATION: &str = include_str!("../../../../deploy/prometheus/prometheus.yml");
const RECORDING: &str = include_str!("../../../../deploy/prometheus/recording.yml");
const ALERTS: &str = include_str!("../../../../deploy/prometheus/alerts.yml");
const START: Duration = Duration::from_secs(60);

/// A Prometheus that scrapes all nodes, or the reason why there is none.
pub(super) enum Prometheus {
    Running { process: Box<Process>, port: u16 },
    Missing(String),
}

impl Prometheus {
    pub(super) async fn start(root: &Path, apis: &[u16], workers: &[u16]) -> anyhow::Result<Self> {
        let program = match programs::prometheus() {
            Ok(program) => program,
            Err(missing) => return Ok(Self::Missing(missing)),
        };
        let (directory, port) = (root.join("prometheus"), free_port());
        std::fs::create_dir(&directory)?;
        let files = [
            ("prometheus.yml", here(CONFIGURATION, port, apis, workers)),
            ("recording.yml", RECORDING.to_owned()),
            ("alerts.yml", ALERTS.to_owned()),
        ];
        for (name, text) in files {
            std::fs::write(directory.join(name), text)?;
        }
        let mut process = Process::builder(program)
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(&directory)
            .start()?;
        process.wait_until_ready(&format!("http://127.0.0.1:{port}/-/ready"), START).await?;
        Ok(Self::Running { process: Box::new(process), port })
    }

    /// Returns its address, or why there is none.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Running { port, .. } => format!("http://127.0.0.1:{port}"),
            Self::Missing(why) => why.clone(),
        }
    }

    pub(super) async fn stop(&mut self) {
        if let Self::Running { process, .. } = self {
            // One that has ended needs no stop.
            let _ = process.stop().await;
        }
    }
}

/// Returns the file of the deployment, with this machine's ports in place of the containers' names.
fn here(text: &str, own: u16, apis: &[u16], workers: &[u16]) -> String {
    let named = |kind: &'static str, port: u16, ports: &[u16]| {
        let names = ports
            .iter()
            .enumerate()
            .map(move |(number, here)| (format!("\"{kind}{}:{port}\"", number + 1), format!("\"127.0.0.1:{here}\"")));
        names.collect::<Vec<_>>()
    };
    let mut names = named("api", 8080, apis);
    names.extend(named("worker", 8081, workers));
    names.push(("\"localhost:9090\"".to_owned(), format!("\"127.0.0.1:{own}\"")));
    names.iter().fold(text.to_owned(), |text, (name, address)| text.replace(name, address))
}

#[cfg(test)]
mod tests {
    use super::{CONFIGURATION, here};

    #[test]
    fn every_target_of_the_deployment_is_led_to_this_machine() {
        let text = here(CONFIGURATION, 7090, &[7001, 7002, 7003], &[7011, 7012]);
        for port in [7001, 7002, 7003, 7011, 7012, 7090] {
            assert!(text.contains(&format!("\"127.0.0.1:{port}\"")), "{text}");
        }
        assert!(!text.contains("api1") && !text.contains("worker1"), "{text}");
    }
}
