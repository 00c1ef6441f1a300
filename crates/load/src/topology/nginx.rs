//! nginx from `deploy/nginx.conf`, and the certificate that clients trust.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::{Certificate, ClientBuilder};
use tidegate_testkit::redis::Certificates;
use tidegate_testkit::{Process, ProcessBuilder, free_port, http_client, poll_until};
use tokio::process::Command;

use super::usage::Usage;

const CONF: &str = include_str!("../../../../deploy/nginx.conf");
const START: Duration = Duration::from_secs(30);
/// The weight of an API beside a canary of weight 1: of ten requests the canary gets one.
const STABLE_WEIGHT: u32 = 3;

/// The proxy in front of the APIs.
pub struct Proxy {
    process: Process,
    program: PathBuf,
    directory: PathBuf,
    certificates: Certificates,
    https: u16,
    http: u16,
    apis: Vec<u16>,
}

impl Proxy {
    /// Starts nginx on two free ports in front of those of the APIs.
    pub(super) async fn start(program: PathBuf, root: &Path, apis: Vec<u16>) -> anyhow::Result<Self> {
        let directory = root.join("nginx");
        std::fs::create_dir(&directory)?;
        let certificates = Certificates::generate();
        let process = command(&program, &directory);
        let (https, http) = (free_port(), free_port());
        write(&directory, &certificates, https, http, &apis, None)?;
        let process = process.start()?;
        let proxy = Self { process, program, directory, certificates, https, http, apis };
        let (client, url) = (proxy.client()?.build()?, format!("{}/livez", proxy.url()));
        let answers = poll_until(START, async || client.get(&url).send().await.ok());
        if answers.await.is_err() {
            let log: Vec<_> = proxy.process.log().tail(20).iter().map(ToString::to_string).collect();
            bail!("nginx does not answer at {url}:\n{}", log.join("\n"));
        }
        Ok(proxy)
    }

    /// Returns a client that trusts the certificate.
    ///
    /// # Errors
    ///
    /// The certificate cannot be read.
    pub fn client(&self) -> anyhow::Result<ClientBuilder> {
        let authority = self.certificates.authority();
        let pem = std::fs::read(&authority).with_context(|| format!("{} can't be read", authority.display()))?;
        Ok(http_client().tls_certs_only([Certificate::from_pem(&pem)?]))
    }

    /// The address that clients use.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https)
    }

    /// The address that redirects to [`url`](Self::url).
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// The authority that signed the certificate, as PEM.
    pub fn authority(&self) -> PathBuf {
        self.certificates.authority()
    }

    /// Leads a tenth of the requests to a canary at that port: one `nginx -s reload`.
    ///
    /// # Errors
    ///
    /// nginx refuses the configuration.
    pub async fn add_canary(&mut self, port: u16) -> anyhow::Result<()> {
        self.reload(Some(port)).await
    }

    /// Leads all requests to the stable version again: one `nginx -s reload`.
    ///
    /// # Errors
    ///
    /// nginx refuses the configuration.
    pub async fn roll_back(&mut self) -> anyhow::Result<()> {
        self.reload(None).await
    }

    async fn reload(&mut self, canary: Option<u16>) -> anyhow::Result<()> {
        write(&self.directory, &self.certificates, self.https, self.http, &self.apis, canary)?;
        let arguments = arguments(&self.directory, &["-s", "reload"]);
        let output = Command::new(&self.program).args(arguments).stdin(Stdio::null()).output().await?;
        ensure!(output.status.success(), "nginx -s reload: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Resources of all its processes.
    pub fn usage(&self) -> Option<Usage> {
        Usage::of(self.process.pid()?)
    }

    pub(super) async fn stop(&mut self) {
        // One that has ended needs no stop.
        let _ = self.process.stop().await;
    }
}

fn command(program: &Path, directory: &Path) -> ProcessBuilder {
    Process::builder(program).name("nginx").args(arguments(directory, &[]))
}

fn arguments(directory: &Path, more: &[&str]) -> Vec<String> {
    let is_root = rustix::process::geteuid().is_root();
    // The workers must be able to read a directory that is this user's alone.
    let globals = if is_root { "daemon off; user root;" } else { "daemon off;" };
    let directory = directory.display().to_string();
    let first = ["-p", &directory, "-c", "nginx.conf", "-e", "stderr", "-g", globals];
    first.iter().chain(more).map(ToString::to_string).collect()
}

fn write(
    directory: &Path,
    certificates: &Certificates,
    https: u16,
    http: u16,
    apis: &[u16],
    canary: Option<u16>,
) -> anyhow::Result<()> {
    let text = here(CONF, directory, certificates, https, http, apis, canary);
    std::fs::write(directory.join("nginx.conf"), text).context("nginx.conf can't be written")
}

/// Returns the file of the deployment, with this machine's ports and paths in place of the
/// containers'.
fn here(
    text: &str,
    directory: &Path,
    certificates: &Certificates,
    https: u16,
    http: u16,
    apis: &[u16],
    canary: Option<u16>,
) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    let certificate = certificates.authority();
    let file = |name: &str| certificate.with_file_name(name).display().to_string();
    let mut text = text
        .replace("/run/nginx.pid", &path("nginx.pid"))
        .replace("/dev/stdout", &path("access.log"))
        .replace("/run/secrets/tls.crt", &file("server.pem"))
        .replace("/run/secrets/tls.key", &file("server.key"))
        .replace("listen 80 ", &format!("listen 127.0.0.1:{http} "))
        .replace("listen 443 ", &format!("listen 127.0.0.1:{https} "))
        .replace("https://$host$request_uri", &format!("https://$host:{https}$request_uri"));
    for (number, port) in apis.iter().enumerate() {
        let weight = if canary.is_some() { format!(" weight={STABLE_WEIGHT}") } else { String::new() };
        text = text.replace(&format!("api{}:8080", number + 1), &format!("127.0.0.1:{port}{weight}"));
    }
    // A topology may have fewer instances than the deployment.
    text = text.split_inclusive('\n').filter(|line| !line.contains("server api")).collect();
    if let Some(port) = canary {
        text =
            text.replace("least_conn;", &format!("least_conn;\n        server 127.0.0.1:{port} weight=1 max_fails=0;"));
    }
    let mut temporary = String::from("http {\n");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(temporary, "    {kind}_temp_path {};", path(kind));
    }
    text.replacen("http {\n", &temporary, 1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidegate_testkit::redis::Certificates;

    use super::{CONF, here};

    #[test]
    fn the_file_of_the_deployment_is_led_to_this_machine() {
        let certificates = Certificates::generate();
        let text = |canary| here(CONF, Path::new("/scratch"), &certificates, 7443, 7080, &[7001, 7002, 7003], canary);
        let stable = text(None);
        for part in [
            "listen 127.0.0.1:7443 ssl http2",
            "listen 127.0.0.1:7080 default_server",
            "server 127.0.0.1:7003 max_fails=1",
            "https://$host:7443$request_uri",
            "pid /scratch/nginx.pid",
            "proxy_temp_path /scratch/proxy",
            "least_conn;",
            "proxy_read_timeout 60s;",
        ] {
            assert!(stable.contains(part), "{part} is not in:\n{stable}");
        }
        assert!(!stable.contains(":8080") && !stable.contains("/run/"), "{stable}");
        let one = here(CONF, Path::new("/scratch"), &certificates, 7443, 7080, &[7001], None);
        assert!(one.contains("server 127.0.0.1:7001") && !one.contains("server api"), "{one}");
        let canary = text(Some(7009));
        assert!(canary.contains("server 127.0.0.1:7009 weight=1"), "{canary}");
        assert!(canary.contains("server 127.0.0.1:7001 weight=3 max_fails=1"), "{canary}");
    }
}
