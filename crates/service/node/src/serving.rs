//! Converts settings for the HTTP server.

use tidegate_server::serve::{Bounds, ServeSettings};
use tidegate_server::tls::TlsFiles;
use tidegate_settings::{Settings, TlsSettings};

/// Returns the server's settings, without TLS: the caller adds certificates.
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

/// Returns the paths of the API's certificate and key.
pub fn tls_files(settings: &TlsSettings) -> TlsFiles {
    TlsFiles { certificate: settings.certificate.clone(), key: settings.key.clone() }
}
