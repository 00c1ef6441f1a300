//! The server's own certificate: read, judged, and read again when its files change.
//!
//! A pair is taken whole or not at all. What is half written, or doesn't fit, leaves the one before in place; connections under way
//! keep what they began with.

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

/// HTTP/2 as ALPN names it (RFC 9113, 3.1).
pub(crate) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(10);

/// The files of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate, and those that lead from it to an authority.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// A certificate or a key that can't be used. Nothing of a key is ever told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("{setting}: {path} can't be read: {source}", path = path.display())]
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file doesn't hold what it should.
    #[error("{setting}: {path} {reason}", path = path.display())]
    Unusable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The key is another certificate's, or one of the two is of a kind that isn't known.
    #[error("tls.key: {key} is no key for the certificate in {certificate}: {source}", key = key.display(), certificate = certificate.display())]
    Unfit {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// A certificate and its key that fit.
#[derive(Debug)]
pub struct Pair {
    /// What a connection is served with.
    pub config: Arc<ServerConfig>,
    /// What an operator should know of it.
    pub warnings: Vec<String>,
}

/// Reads both files.
///
/// # Errors
///
/// When one can't be used, or the two don't fit.
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
        warnings.push(format!("warning: tls.key: {} is open to every user of this machine", settings.key.display()));
    }
    let unfit =
        |source| TlsError::Unfit { certificate: settings.certificate.clone(), key: settings.key.clone(), source };
    // The provider is named, so that it doesn't depend on what else is linked into the program.
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
    let chain = chain.map_err(|_| unusable("is broken off, or no PEM"))?;
    if chain.is_empty() { Err(unusable("has no certificate in it")) } else { Ok(chain) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read("tls.key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError::Unusable {
        setting: "tls.key",
        path: path.to_owned(),
        reason: match error {
            pem::Error::NoItemsFound => "has no private key in it (one under a pass phrase can't be read)",
            _ => "is broken off, or no PEM",
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

/// The pair that new connections are served with.
#[derive(Debug)]
pub struct Certificates {
    settings: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// The files as they were when they were last read.
    seen: Mutex<Stamps>,
}

impl Certificates {
    /// Reads both files for the first time.
    ///
    /// # Errors
    ///
    /// When one can't be used, or the two don't fit.
    pub fn open(settings: TlsFiles) -> Result<Self, TlsError> {
        // Before they are read: what changes meanwhile is read again.
        let seen = Mutex::new(Stamps::of(&settings));
        let pair = load(&settings)?;
        pair.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Self { settings, config: RwLock::new(pair.config), seen })
    }

    /// With what a connection is served that comes now.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files every ten seconds and on SIGHUP, until `stop`.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut hangups = shutdown::hangups_or_warn("certificates");
        loop {
            let is_told = tokio::select! {
                () = stop.cancelled() => return,
                () = hung_up(&mut hangups) => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let this = Arc::clone(&self);
            // Files may lie on something slow.
            let looked = tokio::task::spawn_blocking(move || this.look(is_told)).await;
            if let Err(error) = looked {
                tracing::error!(%error, "a look at the certificate did not end well");
            }
        }
    }

    /// Reads the files again if they have changed, or in any case.
    pub(crate) fn look(&self, in_any_case: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamps::of(&self.settings);
        if *seen == now && !in_any_case {
            return;
        }
        // Also where they are no good: that is said once, and they are read again when they change again.
        *seen = now;
        match load(&self.settings) {
            Ok(pair) => {
                pair.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = pair.config;
                tracing::info!("the certificate was read again: new connections get it");
            }
            Err(error) => tracing::warn!(%error, "the certificate was not read again: the one before goes on"),
        }
    }
}

#[cfg(test)]
mod tests;
