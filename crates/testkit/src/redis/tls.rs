//! A certificate for 127.0.0.1, and the authority that signed it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::Scratch;

/// Files of a certificate authority, and of a server certificate for this machine that it signed.
#[derive(Clone, Debug)]
pub struct Certificates {
    scratch: Arc<Scratch>,
}

impl Certificates {
    /// Generates new certificates.
    ///
    /// # Panics
    ///
    /// If `openssl` is not installed.
    #[must_use]
    pub fn generate() -> Self {
        let scratch = Scratch::new();
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let authority = ["req", "-x509", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
        openssl(&scratch, &[&authority[..], &key].concat());
        let server = ["req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=test server"];
        let names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=CA:FALSE"];
        openssl(&scratch, &[&server[..], &key, &names, &["-keyout", "server.key", "-out", "server.pem"]].concat());
        Self { scratch: Arc::new(scratch) }
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.scratch.join("ca.pem")
    }

    /// Arguments of `redis-server`.
    pub(super) fn args(&self, port: u16) -> Vec<String> {
        let file = |name: &str| self.scratch.join(name).display().to_string();
        let port = port.to_string();
        let args = [
            ["--port", "0"],
            ["--tls-port", &port],
            ["--tls-cert-file", &file("server.pem")],
            ["--tls-key-file", &file("server.key")],
            ["--tls-ca-cert-file", &file("ca.pem")],
            ["--tls-auth-clients", "no"],
        ];
        args.concat().into_iter().map(str::to_owned).collect()
    }
}

fn openssl(scratch: &Scratch, args: &[&str]) {
    let directory: &Path = scratch.path();
    let run = Command::new("openssl").args(args).current_dir(directory).stdin(Stdio::null()).output();
    let output = run.expect("openssl runs; install it with: apt-get install openssl");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
