//! Which HTTP a client speaks that nobody could ask.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

/// What a connection of HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a preface that is not whole: twice as long each time, so that who leaves it at that costs little.
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
    /// Waits until the client's first bytes say it. They are looked at where they lie: when they came, whoever reads them
    /// is to see. A client that begins no preface to its end is waited for without end.
    pub(super) async fn of(stream: &TcpStream) -> io::Result<Self> {
        let mut pause = FIRST_LOOK;
        let mut known = 0;
        loop {
            let mut bytes = [0; PREFACE.len()];
            let found = stream.peek(&mut bytes).await?;
            match bytes.get(..found) {
                Some(begun) if found < PREFACE.len() && found > 0 && PREFACE.starts_with(begun) => {}
                Some(whole) if whole == PREFACE => return Ok(Self::Http2),
                // The end is one too, which nobody has to be told of here.
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
