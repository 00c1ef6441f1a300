//! One mail over one connection. Nothing is kept open: there are few mails, and a connection that was left half-way can't be told from
//! a good one.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tidegate_settings::{Security, SmtpServer};
use tokio::time::timeout;

use super::{SendError, shown};

/// How long the server may take to say goodbye. The mail is its own by then.
const GOODBYE: Duration = Duration::from_secs(2);
/// In this order.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
/// Answers about who we are and how we came, and not about the mail.
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
    // The whole exchange is bounded by whoever calls.
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

/// Nobody waits for it.
fn leave(mut connection: AsyncSmtpConnection) {
    tokio::spawn(async move {
        let _ = timeout(GOODBYE, connection.abort()).await;
    });
}

/// What went wrong before the server had heard of the mail, which so is not at fault.
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
