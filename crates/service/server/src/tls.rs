//! The server's own certificate: loads it, checks it, and reloads it when its files change.
//!
//! A certificate and its key are replaced together or not at all. If a file is incomplete or the
//! two do not match, the previous pair stays in use. Open connections keep the pair they started
//! with.

mod stamps;
#[cfg(test)]
pub(crate) mod test_ground;
mod validity;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tidegate_base::clock;
use tidegate_base::shutdown;
use tidegate_base::shutdown::hung_up;
use tokio_util::sync::CancellationToken;

use self::stamps::Stamps;

/// The name of HTTP/2 in ALPN (RFC 9113, 3.1).
pub(crate) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Interval between two checks of the files.
const LOOK: Duration = Duration::from_secs(10);

/// The files of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file with the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// A certificate or a key that cannot be used. The messages contain no part of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting}: {path} can't be read: {source}", path = path.display())]
    Unreadable {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not contain what it should.
    #[error("{setting}: {path} {reason}", path = path.display())]
    Unusable {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason, as the end of the message.
        reason: &'static str,
    },
    /// The key belongs to another certificate, or the type of one of the two is not supported.
    #[error("tls.key: {key} does not match the certificate in {certificate}: {source}", key = key.display(), certificate = certificate.display())]
    Unfit {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
}

/// A certificate and the key that matches it.
#[derive(Debug)]
pub struct Pair {
    /// TLS configuration of new connections.
    pub config: Arc<ServerConfig>,
    /// Warnings for the operator.
    pub warnings: Vec<String>,
}

/// Reads both files.
///
/// # Errors
///
/// If a file cannot be used, or the key does not match the certificate.
pub fn load(settings: &TlsFiles) -> Result<Pair, TlsError> {
    let chain = chain(&settings.certificate)?;
    let key = key(&settings.key)?;
    let mut warnings = Vec::new();
    if let Some(leaf) = chain.first() {
        let warning = validity::warning(leaf, clock::now());
        warnings.extend(
            warning.map(|warning| format!("warning: tls.certificate: {} {warning}", settings.certificate.display())),
        );
    }
    if is_open_to_others(&settings.key) {
        warnings
            .push(format!("warning: tls.key: {} is readable by every user of this machine", settings.key.display()));
    }
    let unfit =
        |source| TlsError::Unfit { certificate: settings.certificate.clone(), key: settings.key.clone(), source };
    // Named explicitly, so that the provider does not depend on other crates in the program.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    Ok(Pair { config: Arc::new(config), warnings })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |reason| TlsError::Unusable { setting: "tls.certificate", path: path.to_owned(), reason };
    let text = read("tls.certificate", path)?;
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|_| unusable("is incomplete or not PEM"))?;
    if chain.is_empty() { Err(unusable("contains no certificate")) } else { Ok(chain) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read("tls.key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError::Unusable {
        setting: "tls.key",
        path: path.to_owned(),
        reason: match error {
            pem::Error::NoItemsFound => "contains no private key (an encrypted key can't be read)",
            _ => "is incomplete or not PEM",
        },
    })
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable { setting, path: path.to_owned(), source })
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}

/// The pair that new connections use.
#[derive(Debug)]
pub struct Certificates {
    settings: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// The files' metadata at the last read.
    seen: Mutex<Stamps>,
}

impl Certificates {
    /// Reads both files for the first time.
    ///
    /// # Errors
    ///
    /// If a file cannot be used, or the key does not match the certificate.
    pub fn open(settings: TlsFiles) -> Result<Self, TlsError> {
        // Before the files are read, so that a change during the read causes another one.
        let seen = Mutex::new(Stamps::of(&settings));
        let pair = load(&settings)?;
        pair.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Self { settings, config: RwLock::new(pair.config), seen })
    }

    /// Returns the TLS configuration for a new connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks the files every ten seconds and on SIGHUP, until `stop`.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut hangups = shutdown::hangups_or_warn("certificates");
        loop {
            let is_told = tokio::select! {
                () = stop.cancelled() => return,
                () = hung_up(&mut hangups) => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let this = Arc::clone(&self);
            // The files may be on a slow file system.
            let looked = tokio::task::spawn_blocking(move || this.look(is_told)).await;
            if let Err(error) = looked {
                tracing::error!(%error, "the check of the certificate failed");
            }
        }
    }

    /// Reads the files again if they have changed, or always if `in_any_case` is set.
    pub(crate) fn look(&self, in_any_case: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamps::of(&self.settings);
        if *seen == now && !in_any_case {
            return;
        }
        // Also if the new files cannot be used: that is logged once, and they are read again after
        // the next change.
        *seen = now;
        match load(&self.settings) {
            Ok(pair) => {
                pair.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = pair.config;
                tracing::info!("the certificate was reloaded: new connections use it");
            }
            Err(error) => tracing::warn!(%error, "the certificate was not reloaded: the previous one stays in use"),
        }
    }
}

#[cfg(test)]
mod tests;
