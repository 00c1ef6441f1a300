//! Notices over a channel, for servers that refuse tracking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::client::Client;
use crate::command::Command;
use crate::error::{Error, ErrorKind};
use crate::shards::Connection;
use crate::value::Value;

/// How long a heartbeat waits for its own message.
const ECHO: Duration = Duration::from_millis(250);
/// Digits of the sender at the start of every message.
const SENDER: usize = 16;

/// A channel on which processes publish the keys that they have changed. It keeps copies up to date
/// where `CLIENT TRACKING` is not available. The process that changes a key publishes it *after*
/// the change. Changes that are not published (expiry, eviction, other programs) are not noticed.
/// Cheap to clone.
///
/// A script can publish too. Its message consists of 16 zeros, which mean no sender, and the key.
/// Every listening process receives it.
#[derive(Clone, Debug)]
pub struct Channel {
    pub(super) client: Client,
    name: Arc<str>,
    sender: Arc<str>,
}

impl Channel {
    /// The channel with this name, `<installation>:…`, on the client's servers. Needs no round
    /// trip.
    pub fn new(client: &Client, name: &str) -> Self {
        let sender = format!("{:0SENDER$x}", rand::random::<u64>());
        Self { client: client.clone(), name: name.into(), sender: sender.into() }
    }

    /// Publishes that the key was changed. Clones of this value ignore it, others receive it.
    ///
    /// # Errors
    /// [`Error`]. Then it is unknown which processes have received it.
    pub async fn publish(&self, key: &str) -> Result<(), Error> {
        let word = format!("{}{key}", self.sender);
        // Receiving it twice has the same effect as once.
        let publish = Command::new("PUBLISH").key(&*self.name).arg(word).idempotent();
        self.client.execute(publish).await.map(drop)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// The subscription of one connection, which no other command uses: see [`Connection::subscribe`].
#[derive(Debug)]
pub(super) struct Line {
    channel: Channel,
    /// Another channel for the heartbeats of this subscription, so that others don't receive them.
    echo: String,
    is_subscribed: AtomicBool,
    sent: AtomicU64,
    heard: watch::Sender<u64>,
}

impl Line {
    pub(super) fn new(channel: Channel) -> Arc<Self> {
        let echo = format!("{}:{:0SENDER$x}", channel.name(), rand::random::<u64>());
        let (is_subscribed, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { channel, echo, is_subscribed, sent, heard: watch::Sender::new(0) })
    }

    /// Records that the connection, and so the subscription, has ended.
    pub(super) fn cut(&self) {
        self.is_subscribed.store(false, Ordering::SeqCst);
    }

    /// Processes a message. Returns the key that another process changed.
    pub(super) fn take(&self, channel: &str, word: &Bytes) -> Option<Bytes> {
        if channel == self.echo {
            if let Some(number) = str::from_utf8(word).ok().and_then(|digits| digits.parse().ok()) {
                self.heard.send_replace(number);
            }
            return None;
        }
        // A message without a key is ignored.
        let (sender, key) = word.split_at_checked(SENDER).filter(|(_, key)| !key.is_empty())?;
        let is_foreign = channel == self.channel.name() && sender != self.channel.sender.as_bytes();
        is_foreign.then(|| word.slice_ref(key))
    }

    /// Subscribes to the channel on this connection if necessary. Returns whether it was subscribed
    /// before.
    pub(super) async fn listen(&self, connection: &Connection) -> Result<bool, Error> {
        if self.is_subscribed.load(Ordering::SeqCst) && self.beat(connection).await? {
            return Ok(true);
        }
        // Set first, so that the end of this connection is not taken for that of an earlier one.
        self.is_subscribed.store(true, Ordering::SeqCst);
        let subscribed = connection.subscribe([self.channel.name(), &self.echo]).await;
        let heard = match subscribed {
            Ok(()) => self.beat(connection).await,
            Err(error) => Err(Error::from_fred(&error)),
        };
        if !matches!(heard, Ok(true)) {
            self.cut();
        }
        // Not an outage: the server answers.
        if heard? { Ok(false) } else { Err(Error::new(ErrorKind::Silent, "the channel does not bring our own words")) }
    }

    /// Publishes a message and waits until it is received here.
    async fn beat(&self, connection: &Connection) -> Result<bool, Error> {
        let number = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let sent = connection.send("PUBLISH", vec![self.echo.as_str().into(), number.to_string().into()]).await;
        Value::from_fred(sent.map_err(|error| Error::from_fred(&error))?);
        let mut heard = self.heard.subscribe();
        let echo = heard.wait_for(|heard| *heard >= number);
        Ok(timeout(ECHO, echo).await.is_ok())
    }
}
