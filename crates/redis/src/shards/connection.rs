//! A connection to one server.

use std::time::Duration;

use fred::clients::{Client as FredClient, WithOptions};
use fred::error::{Error as FredError, ErrorKind as Fred};
use fred::interfaces::{ClientLike, PubsubInterface};
use fred::types::config::{Options, ServerConfig};
use fred::types::{Key, Value};
use futures_util::future::{join, lazy};
use tokio_util::task::AbortOnDropHandle;

use super::address::Address;
use super::detached::Detached;
use super::failure;
use super::lane::{Call, Lanes, Order, custom};
use crate::config::Config;
use crate::error::ConnectError;

/// A connection that reconnects automatically, and ends when it is dropped: requests in progress
/// then fail.
pub(crate) struct Connection {
    fred: WithOptions<FredClient>,
    lanes: Lanes,
    _router: Router,
}

/// fred's task of a connection. It would reconnect for ever, so it is aborted when this is dropped.
/// `quit` would wait for the pending replies, and a blocked or hung connection gives none.
type Router = AbortOnDropHandle<Result<(), FredError>>;

/// Options of every command. With `fail_fast`, fred returns an error for a command in progress when
/// its connection is lost, and does not send it again.
///
/// One attempt would be enough, but fred counts the wait for a connection as an attempt.
fn options() -> Options {
    Options { fail_fast: true, max_attempts: Some(2), ..Options::default() }
}

impl Connection {
    /// Connects to `server`, or to the server of the URL if it is `None`. `timeout` is that of each
    /// command; zero means none, for connections of blocking commands.
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
        let servers = || server.map_or_else(|| Address::all(config), |server| vec![server.clone()]);
        let fred = match builder.build() {
            Ok(fred) => fred,
            Err(error) => return Err(failure::sort(config, &servers(), &error).await),
        };
        let bound = config.connect_timeout() * 2; // fred's own time-outs are those of a step
        let error = match tokio::time::timeout(bound, connect(&fred)).await {
            Ok(Ok(router)) => {
                let fred = fred.with_options(&options());
                return Ok(Self { lanes: Lanes::new(fred.clone()), fred, _router: router });
            }
            Ok(Err(error)) => error,
            Err(_) => FredError::new(Fred::Timeout, format!("no answer within {bound:?}")),
        };
        Err(failure::sort(config, &servers(), &error).await)
    }

    /// Replaces the connection in the background. With Sentinels, by one to the primary that they
    /// name now.
    pub(crate) fn reconnect(&self) {
        let fred = self.fred.clone();
        tokio::spawn(async move {
            // It retries by itself, whatever the result of the first attempt.
            let _ = fred.force_reconnection().await;
        });
    }

    /// The fred client, with the options of every command.
    pub(crate) fn fred(&self) -> &WithOptions<FredClient> {
        &self.fred
    }

    /// Sends one command, once. If the call is dropped, the command may still be sent until its
    /// time-out is over, and not later.
    pub(crate) fn send(&self, name: &'static str, args: Vec<Value>) -> Call<'_> {
        self.lanes.call(Order::new(name, args))
    }

    /// Reads a string.
    pub(crate) fn get(&self, key: &str) -> Call<'_> {
        self.lanes.call(Order::Get(Key::from(key)))
    }

    #[cfg(test)]
    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Subscribes to channels, until the connection ends.
    ///
    /// For a connection without other commands: fred does not read the answer to `SUBSCRIBE`. So it
    /// gives a refusal to the next command, and every later reply to the wrong one.
    pub(crate) fn subscribe(
        &self,
        channels: [&str; 2],
    ) -> impl Future<Output = Result<(), FredError>> + Send + 'static {
        let (fred, channels) = (self.fred.clone(), channels.map(str::to_owned));
        Detached::new(async move {
            for channel in channels {
                fred.subscribe(channel).await?;
            }
            Ok(())
        })
    }

    /// Sends one command that the server has to execute although the slot is still migrating to it.
    pub(crate) fn send_asking(
        &self,
        name: &'static str,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Value, FredError>> + Send + 'static {
        let pipeline = self.fred.pipeline().with_options(&options());
        Detached::new(async move {
            // Both are sent together, so that no other command of this connection comes in between.
            let _: Value = pipeline.custom(custom("ASKING"), Vec::<Value>::new()).await?;
            let _: Value = pipeline.custom(custom(name), args).await?;
            pipeline.last().await
        })
    }

    /// Sends two commands, with no other command of this connection in between. The second is sent
    /// whatever the answer to the first.
    pub(crate) fn send_both(
        &self,
        first: (&'static str, Vec<Value>),
        second: (&'static str, Vec<Value>),
    ) -> impl Future<Output = Result<(Value, Value), FredError>> + Send + 'static {
        let pipeline = self.fred.pipeline().with_options(&options());
        Detached::new(async move {
            let _: Value = pipeline.custom(custom(first.0), first.1).await?;
            let _: Value = pipeline.custom(custom(second.0), second.1).await?;
            let mut answers = pipeline.try_all::<Value>().await.into_iter();
            let mut next =
                || answers.next().unwrap_or_else(|| Err(FredError::new(Fred::Protocol, "an answer is missing")));
            Ok((next()?, next()?))
        })
    }
}

/// Connects for the first time. If that fails, or the caller is cancelled, no task remains.
async fn connect(fred: &FredClient) -> Result<Router, FredError> {
    // Polled in this order: the listener must exist before the first event.
    let begin = lazy(|_| AbortOnDropHandle::new(fred.connect()));
    let (connected, router) = join(fred.wait_for_connect(), begin).await;
    connected.map(|()| router)
}
