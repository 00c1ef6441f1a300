//! One connection to one server.

use std::time::Duration;

use fred::clients::{Client as FredClient, WithOptions};
use fred::error::{Error as FredError, ErrorKind as Fred};
use fred::interfaces::ClientLike;
use fred::types::config::{Options, ServerConfig};
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Value};

use super::Address;
use crate::config::Config;
use crate::error::ConnectError;

/// One connection that comes back by itself, and ends when it is dropped: what is in flight on it then fails.
pub(crate) struct Connection {
    fred: WithOptions<FredClient>,
    router: ConnectHandle,
}

/// How every command is sent: `fail_fast` makes fred answer for a command that is in flight when its connection is lost,
/// rather than send it again.
///
/// One attempt would do, but fred counts the wait for a connection as one.
fn options() -> Options {
    Options { fail_fast: true, max_attempts: Some(2), ..Options::default() }
}

impl Connection {
    /// Connects: to that server, or else to what the URL names. `timeout` bounds each command; zero is no bound, for
    /// connections that wait.
    pub(crate) async fn open(
        config: &Config,
        server: Option<&Address>,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let mut builder = config.builder(timeout)?;
        if let Some(address) = server {
            let server = ServerConfig::new_centralized(address.host.clone(), address.port);
            builder.with_config(|config| config.server = server);
        }
        let address = || server.map_or_else(|| config.address(), Address::to_string);
        let fred = builder.build().map_err(|error| sort(address(), &error))?;
        let bound = config.connect_timeout() * 2; // fred's own time-outs are those of a step
        match tokio::time::timeout(bound, fred.init()).await {
            Ok(Ok(router)) => Ok(Self { fred: fred.with_options(&options()), router }),
            Ok(Err(error)) => Err(sort(address(), &error)),
            Err(_) => {
                let detail = format!("no answer within {bound:?}");
                Err(ConnectError::Unreachable { address: address(), detail })
            }
        }
    }

    /// The client underneath, with the options that every command has.
    pub(crate) fn fred(&self) -> &WithOptions<FredClient> {
        &self.fred
    }

    /// Sends one command, once.
    pub(crate) async fn send(&self, name: &'static str, args: Vec<Value>) -> Result<Value, FredError> {
        self.fred.custom(custom(name), args).await
    }

    /// Sends one command that this server has to answer although its slot is on the way to it.
    pub(crate) async fn send_asking(&self, name: &'static str, args: Vec<Value>) -> Result<Value, FredError> {
        // The two go out together, so that no other command of this connection comes between them.
        let pipeline = self.fred.pipeline().with_options(&options());
        let queued = async {
            let _: Value = pipeline.custom(custom("ASKING"), Vec::<Value>::new()).await?;
            let _: Value = pipeline.custom(custom(name), args).await?;
            Ok::<_, FredError>(())
        };
        queued.await?;
        pipeline.last().await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // `quit` would wait for the replies that are under way; a connection that blocks or hangs gives none.
        self.router.abort();
    }
}

fn custom(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::Custom(0), false)
}

/// Which of the things that can be wrong it is.
fn sort(address: String, error: &FredError) -> ConnectError {
    let detail = error.details().to_owned();
    let is_login = ["WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH"].iter().any(|code| detail.starts_with(code));
    match error.kind() {
        Fred::Auth => ConnectError::Login { address, detail },
        _ if is_login => ConnectError::Login { address, detail },
        Fred::Tls => ConnectError::Tls { address, detail },
        Fred::IO | Fred::Timeout | Fred::Canceled | Fred::Sentinel => ConnectError::Unreachable { address, detail },
        _ => ConnectError::Unsuitable { address, detail },
    }
}
