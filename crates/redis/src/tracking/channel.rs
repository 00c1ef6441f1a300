//! Words over a channel, where the server will not track.

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

/// How long a heartbeat waits for its own word.
const ECHO: Duration = Duration::from_millis(250);
/// Digits of a sender, at the start of every word.
const SENDER: usize = 16;

/// A channel on which processes name the keys that they have changed: the way to keep copies true where `CLIENT TRACKING`
/// can't be had. Whoever changes a key says so, *after* the change; what says nothing, such as expiry, eviction and other
/// programs, is not heard of. Cheap to clone.
///
/// A script can publish as well. Its message is 16 zeros, which stand for no sender, and the key:
/// every process that listens hears it.
#[derive(Clone, Debug)]
pub struct Channel {
    pub(super) client: Client,
    name: Arc<str>,
    sender: Arc<str>,
}

impl Channel {
    /// The channel of this name, `<installation>:…`, on the client's servers. Needs no round trip.
    pub fn new(client: &Client, name: &str) -> Self {
        let sender = format!("{:0SENDER$x}", rand::random::<u64>());
        Self { client: client.clone(), name: name.into(), sender: sender.into() }
    }

    /// Says that the key was changed. Clones of this value don't hear it, others do.
    ///
    /// # Errors
    /// [`Error`]: then it is not known who has heard it.
    pub async fn publish(&self, key: &str) -> Result<(), Error> {
        let word = format!("{}{key}", self.sender);
        // Heard twice it is as good as once.
        let publish = Command::new("PUBLISH").key(&*self.name).arg(word).idempotent();
        self.client.execute(publish).await.map(drop)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// The subscription of one connection. It shares the connection with no other command: see
/// [`Connection::subscribe`].
#[derive(Debug)]
pub(super) struct Line {
    channel: Channel,
    /// Another channel, on which this line says its heartbeats: nobody else has to hear them.
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

    /// Says that the connection, and with it the subscription, has ended.
    pub(super) fn cut(&self) {
        self.is_subscribed.store(false, Ordering::SeqCst);
    }

    /// Takes in what was said on a channel; gives back the key that somebody else changed.
    pub(super) fn take(&self, channel: &str, word: &Bytes) -> Option<Bytes> {
        if channel == self.echo {
            if let Some(number) = str::from_utf8(word).ok().and_then(|digits| digits.parse().ok()) {
                self.heard.send_replace(number);
            }
            return None;
        }
        // Without a key it means nothing.
        let (sender, key) = word.split_at_checked(SENDER).filter(|(_, key)| !key.is_empty())?;
        let is_foreign = channel == self.channel.name() && sender != self.channel.sender.as_bytes();
        is_foreign.then(|| word.slice_ref(key))
    }

    /// Sees to it that the channel is heard on this connection; tells whether it was.
    pub(super) async fn listen(&self, connection: &Connection) -> Result<bool, Error> {
        if self.is_subscribed.load(Ordering::SeqCst) && self.beat(connection).await? {
            return Ok(true);
        }
        // First, so that the end of the connection meanwhile is not taken for that of an earlier one.
        self.is_subscribed.store(true, Ordering::SeqCst);
        let subscribed = connection.subscribe([self.channel.name(), &self.echo]).await;
        let heard = match subscribed {
            Ok(()) => self.beat(connection).await,
            Err(error) => Err(Error::from_fred(&error)),
        };
        if !matches!(heard, Ok(true)) {
            self.cut();
        }
        // That is no outage: the server answers.
        if heard? { Ok(false) } else { Err(Error::new(ErrorKind::Silent, "the channel does not bring our own words")) }
    }

    /// Says something and waits until it is heard here.
    async fn beat(&self, connection: &Connection) -> Result<bool, Error> {
        let number = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let sent = connection.send("PUBLISH", vec![self.echo.as_str().into(), number.to_string().into()]).await;
        Value::from_fred(sent.map_err(|error| Error::from_fred(&error))?);
        let mut heard = self.heard.subscribe();
        let echo = heard.wait_for(|heard| *heard >= number);
        Ok(timeout(ECHO, echo).await.is_ok())
    }
}
