//! Why a process did not start, or could not continue.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use tidegate_domain::backup::RestoreError;
use tidegate_domain::files::FilesError;
use tidegate_outgoing::redis;
use tidegate_outgoing::webhook::WebhookError;
use tidegate_queue::{BuildError, WorkerError};
use tidegate_ratelimit::{QuotaError, UnsupportedAlgorithm};
use tidegate_server::tls::TlsError;
use tidegate_settings::SettingsError;

/// A process did not start, or could not continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The certificate or its key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The application's database can't be used.
    #[error(transparent)]
    Store(#[from] tidegate_store::OpenError),
    /// The queue's database can't be used.
    #[error(transparent)]
    Queue(#[from] tidegate_queue::OpenError),
    /// Redis can't be used.
    #[error(transparent)]
    Redis(#[from] redis::Unusable),
    /// The spool can't be used.
    #[error("spool in {path} can't be used: {source}", path = path.display())]
    Spool {
        /// The data directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Files can't be stored.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A backup was not restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The process can't listen on the address.
    #[error("can't listen on {address}: {source}; {}", listen_advice(source, *address, variable))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting of the address.
        variable: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// A limit is not supported on Redis.
    #[error("limits on Redis: {0}")]
    Limits(UnsupportedAlgorithm),
    /// A limit is not valid for its algorithm.
    #[error("limits: {0}")]
    Limit(QuotaError),
    /// Alerts can't be posted.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The worker can't be built.
    #[error("worker: {0}")]
    Worker(#[from] BuildError),
    /// The worker ended with an error after it had worked.
    #[error("the worker ended: {0}")]
    Ended(#[from] WorkerError),
    /// The server ended without a shutdown request.
    #[error("the server no longer serves requests: {reason}")]
    NotServing {
        /// How it ended.
        reason: String,
    },
    /// The system refused a basic resource, such as a thread.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

/// Returns advice for an address on which the process can't listen.
fn listen_advice(error: &std::io::Error, address: SocketAddr, variable: &str) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!("another process uses it: choose another with {variable}"),
        ErrorKind::AddrNotAvailable => format!("it is not an address of this machine: choose another with {variable}"),
        ErrorKind::PermissionDenied if address.port() < 1024 => format!(
            "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE on Linux): grant it, or choose a higher port with \
             {variable}"
        ),
        ErrorKind::PermissionDenied => format!("the system forbids it: choose another with {variable}"),
        _ => format!("choose another with {variable}"),
    }
}

impl StartError {
    /// Exit code: 2 for settings, 3 for unusable data, 4 for the address, 5 for unusable Redis, 6
    /// for a login that Redis or the database server refuses, 1 for any other error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Tls(_) | Self::Limits(_) | Self::Limit(_) => 2,
            Self::Redis(error) if error.is_a_setting() => 2,
            Self::Redis(error) if error.refuses_login() => 6,
            Self::Redis(_) => 5,
            Self::Store(tidegate_store::OpenError::Server(error)) if error.reason.refuses_login() => 6,
            Self::Files(FilesError::Unusable { .. }) => 2,
            Self::Store(_) | Self::Queue(_) | Self::Spool { .. } | Self::Files(_) | Self::Restore(_) => 3,
            Self::Listen { .. } => 4,
            Self::Webhook(_) | Self::Worker(_) | Self::Ended(_) | Self::NotServing { .. } | Self::System(_) => 1,
        }
    }
}

impl StartError {
    /// Whether the same start may succeed later: Redis or the database server is unreachable.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Redis(error) => error.is_transient(),
            Self::Store(tidegate_store::OpenError::Server(error)) => error.reason.is_transient(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_states_why_an_address_cannot_be_used() {
        let told = |kind: ErrorKind, port| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            StartError::Listen { address, variable: "TIDEGATE_LISTEN", source: kind.into() }.to_string()
        };
        for (kind, port, words) in [
            (ErrorKind::AddrInUse, 8080, "another process uses it"),
            (ErrorKind::PermissionDenied, 80, "ports below 1024 need a privilege"),
            (ErrorKind::PermissionDenied, 8080, "the system forbids it"),
            (ErrorKind::AddrNotAvailable, 8080, "not an address of this machine"),
        ] {
            let told = told(kind, port);
            assert!(told.contains(words) && told.contains("TIDEGATE_LISTEN"), "{told}");
            assert_eq!(told.contains("another process"), kind == ErrorKind::AddrInUse, "{told}");
        }
    }
}
