//! Detects the version of HTTP where there is no ALPN.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

/// The start of an HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause between two reads of an incomplete preface. It doubles each time, so that a client which
/// never completes the preface costs little.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1 or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Waits until the client's first bytes show the version. It only peeks at them, so that the
    /// code that reads them can still see when they came. It has no limit for a client that never
    /// completes the preface.
    pub(super) async fn of(stream: &TcpStream) -> io::Result<Self> {
        let mut pause = FIRST_LOOK;
        let mut known = 0;
        loop {
            let mut bytes = [0; PREFACE.len()];
            let found = stream.peek(&mut bytes).await?;
            match bytes.get(..found) {
                Some(begun) if found < PREFACE.len() && found > 0 && PREFACE.starts_with(begun) => {}
                Some(whole) if whole == PREFACE => return Ok(Self::Http2),
                // The end of the stream also counts as HTTP/1, whose code handles it.
                _ => return Ok(Self::Http1),
            }
            if found > known {
                (known, pause) = (found, FIRST_LOOK);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }
}
