//! Sends one mail over one connection. Connections are not reused: mails are few, and a connection
//! with an unfinished exchange can't be distinguished from a good one.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tidegate_settings::{Security, SmtpServer};
use tokio::time::timeout;

use super::{SendError, shown};

/// Timeout of the end of the session. The server has accepted the mail by then.
const GOODBYE: Duration = Duration::from_secs(2);
/// Authentication mechanisms, in order of preference.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
/// Reply codes about the login and the connection, not about the mail.
const ABOUT_US: [u16; 4] = [530, 534, 535, 538];

pub(super) async fn send(
    server: &SmtpServer,
    envelope: &Envelope,
    message: &[u8],
    patience: Duration,
) -> Result<(), SendError> {
    let exchange = async {
        let mut connection = connect(server).await.map_err(|error| before(&error))?;
        match connection.send(envelope, message).await {
            Ok(_) => Ok(connection),
            Err(error) => {
                leave(connection);
                Err(about_the_mail(&error))
            }
        }
    };
    leave(timeout(patience, exchange).await.map_err(|_| SendError::TimedOut(patience))??);
    Ok(())
}

async fn connect(server: &SmtpServer) -> Result<AsyncSmtpConnection, Error> {
    let us = ClientId::default();
    let tls = || TlsParameters::new(server.host.clone());
    let implicit = if server.security == Security::Implicit { Some(tls()?) } else { None };
    // The caller limits the time of the whole exchange.
    let address = (server.host.as_str(), server.port);
    let mut connection = AsyncSmtpConnection::connect_tokio1(address, None, &us, implicit, None).await?;
    let starts = match server.security {
        Security::Required => true,
        Security::Offered => connection.can_starttls(),
        Security::Implicit | Security::None => false,
    };
    if starts {
        connection.starttls(tls()?, &us).await?;
    }
    if let Some((user, password)) = &server.login {
        let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
        connection.auth(&MECHANISMS, &credentials).await?;
    }
    Ok(connection)
}

/// Ends the session in the background.
fn leave(mut connection: AsyncSmtpConnection) {
    tokio::spawn(async move {
        let _ = timeout(GOODBYE, connection.abort()).await;
    });
}

/// Maps an error that occurred before the server received the mail, which is therefore not the
/// cause.
fn before(error: &Error) -> SendError {
    let reason = reason(error);
    if error.is_transient() {
        SendError::Later(reason)
    } else if error.is_permanent() || error.is_client() || error.is_tls() {
        SendError::Unusable(reason)
    } else {
        SendError::Connection(reason)
    }
}

fn about_the_mail(error: &Error) -> SendError {
    let is_about_us = error.status().is_some_and(|code| ABOUT_US.contains(&code.into()));
    if error.is_permanent() && !is_about_us || error.is_client() {
        SendError::Refused(reason(error))
    } else {
        before(error)
    }
}

fn reason(error: &Error) -> String {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    shown(&match error.status() {
        Some(code) => format!("{code} {cause}"),
        None => cause,
    })
}
