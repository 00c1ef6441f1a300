//! TLS in front of HTTP.

use std::io;
use std::sync::Arc;

use axum::http::HeaderValue;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::protocol::Protocol;
use super::write_timeout::WriteTimeout;
use crate::tls::H2;

/// Extension of requests that came over the server's own TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByTls;

/// Requires a client that has connected over TLS to use nothing else for a year (RFC 6797).
pub(super) const STRICT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The first byte of each handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

const IN_CLEAR: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 23\r\nconnection: close\r\n\r\n\
    this port speaks HTTPS\n";

/// Performs the TLS handshake, which also negotiates the version of HTTP. A client that starts with
/// plain HTTP gets an explanation.
pub(super) async fn open(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
    patient: impl FnOnce(TcpStream) -> WriteTimeout<TcpStream>,
) -> io::Result<(TlsStream<WriteTimeout<TcpStream>>, Protocol)> {
    let mut first = [0];
    let found = stream.peek(&mut first).await?;
    if found > 0 && first != [HANDSHAKE] {
        if first[0].is_ascii_uppercase() {
            // Unread data would turn the close into a reset, and the client would lose the
            // response.
            let _ = stream.try_read(&mut [0; 8 << 10]);
            stream.write_all(IN_CLEAR).await?;
            stream.shutdown().await?;
        }
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a TLS handshake"));
    }
    // The bounds are below TLS, so that they also apply to the handshake and to the closing alert.
    let stream = TlsAcceptor::from(config).accept(patient(stream)).await?;
    let (_, session) = stream.get_ref();
    let protocol = if session.alpn_protocol() == Some(H2) { Protocol::Http2 } else { Protocol::Http1 };
    Ok((stream, protocol))
}
