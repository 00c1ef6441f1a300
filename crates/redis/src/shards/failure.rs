//! Explains why there is no connection, and what to do.

use std::time::Duration;

use fred::error::{Error as FredError, ErrorKind as Fred};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::address::Address;
use crate::config::Config;
use crate::error::ConnectError;

/// Time-out of the plain-text request.
const PATIENCE: Duration = Duration::from_millis(500);

/// Classifies the error. `servers` are those that were tried.
pub(super) async fn sort(config: &Config, servers: &[Address], error: &FredError) -> ConnectError {
    let address = servers.iter().map(Address::to_string).collect::<Vec<_>>().join(",");
    let detail = plain(error.details());
    let starts = |codes: &[&str]| codes.iter().any(|code| detail.starts_with(code));
    if *error.kind() == Fred::Auth || starts(&["WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH"]) {
        return ConnectError::Login { address, detail };
    }
    if detail.contains("unknown command") && detail.contains("HELLO") {
        return ConnectError::TooOld { address, version: "5 or older".to_owned() };
    }
    let is_network = matches!(error.kind(), Fred::IO | Fred::Timeout | Fred::Canceled | Fred::Sentinel | Fred::Unknown);
    if config.uses_tls() {
        let speaks_of_tls =
            ["certificate", "InvalidContentType", "corrupt message", "HandshakeFailure", "Alert", "UnknownIssuer"];
        if is_network && answers_plain_text(servers).await {
            return ConnectError::Tls { address, detail: "the server answers in plain text".to_owned() };
        }
        if *error.kind() == Fred::Tls || speaks_of_tls.iter().any(|word| detail.contains(word)) {
            return ConnectError::Tls { address, detail };
        }
    } else if is_network && ["reset", "closed", "Broken pipe", "end of file"].iter().any(|word| detail.contains(word)) {
        let detail = format!("{detail} (if its port speaks TLS, the URL starts with rediss://)");
        return ConnectError::Unreachable { address, detail };
    }
    match error.kind() {
        _ if starts(&["ERR", "DENIED", "LOADING", "MASTERDOWN", "CLUSTERDOWN"]) => {
            ConnectError::Unsuitable { address, detail }
        }
        _ if is_network => ConnectError::Unreachable { address, detail },
        _ => ConnectError::Unsuitable { address, detail },
    }
}

/// Extracts the message of a formatted operating system error: `Os { code: 111, …, message: "…" }`
/// and similar forms.
fn plain(detail: &str) -> String {
    ["message: \"", "error: \""]
        .iter()
        .find_map(|mark| detail.split_once(mark)?.1.split_once('"').map(|(text, _)| text))
        .unwrap_or(detail)
        .to_owned()
}

/// Whether one of the servers answers an unencrypted request. No password is sent.
async fn answers_plain_text(servers: &[Address]) -> bool {
    for server in servers {
        let asked = async {
            let mut connection = TcpStream::connect((server.host.as_str(), server.port)).await.ok()?;
            connection.write_all(b"PING\r\n").await.ok()?;
            connection.read_u8().await.ok()
        };
        if let Ok(Some(b'+' | b'-')) = timeout(PATIENCE, asked).await {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_is_put_in_its_own_words() {
        let refused = "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }";
        assert_eq!(plain(refused), "Connection refused");
        let lookup = "Custom { kind: Uncategorized, error: \"failed to lookup address information\" }";
        assert_eq!(plain(lookup), "failed to lookup address information");
        assert_eq!(plain("WRONGPASS invalid username"), "WRONGPASS invalid username");
    }

    #[tokio::test]
    async fn each_refusal_is_told_apart() {
        let config = Config::parse("redis://here").unwrap();
        let servers = [Address { host: "here".to_owned(), port: 6379 }];
        let sorted =
            async |kind: Fred, detail: &'static str| sort(&config, &servers, &FredError::new(kind, detail)).await;
        assert!(matches!(sorted(Fred::Auth, "WRONGPASS no").await, ConnectError::Login { .. }));
        assert!(matches!(
            sorted(Fred::Unknown, "ERR AUTH <password> called without").await,
            ConnectError::Login { .. }
        ));
        assert!(matches!(sorted(Fred::Unknown, "ERR unknown command `HELLO`").await, ConnectError::TooOld { .. }));
        assert!(matches!(sorted(Fred::Unknown, "ERR max number of clients").await, ConnectError::Unsuitable { .. }));
        let reset = sorted(Fred::IO, "Os { message: \"Connection reset by peer\" }").await.to_string();
        assert!(reset.contains("rediss://") && reset.contains("here:6379"), "{reset}");
        assert!(matches!(sorted(Fred::Timeout, "Request timed out.").await, ConnectError::Unreachable { .. }));
    }
}
