//! What the server is told of the settings.

use tidegate_server::serve::{Bounds, ServeSettings};
use tidegate_server::tls::TlsFiles;
use tidegate_settings::{Settings, TlsSettings};

/// How the server treats its clients. It speaks in clear: whoever has certificates adds them.
pub fn serve_settings(settings: &Settings) -> ServeSettings {
    let http = &settings.http;
    ServeSettings {
        bounds: Bounds {
            header_timeout: http.header_timeout,
            write_timeout: http.write_timeout,
            min_rate: http.min_rate,
            max_connections: http.max_connections,
            max_connections_per_address: http.max_connections_per_address,
            drain_timeout: http.drain_timeout,
        },
        proxies: settings.trusted_proxies.clone(),
        ipv6_prefix: settings.limits.ipv6_prefix,
        tls: None,
    }
}

/// The files of the API's certificate.
pub fn tls_files(settings: &TlsSettings) -> TlsFiles {
    TlsFiles { certificate: settings.certificate.clone(), key: settings.key.clone() }
}
