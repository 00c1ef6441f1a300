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
/// Stands behind the sender of a heartbeat; no key begins with it.
const BEAT: u8 = 0;

/// A channel on which processes name the keys that they have changed: the way to keep copies true where `CLIENT TRACKING`
/// can't be had. Whoever changes a key says so, *after* the change; what says nothing, such as expiry, eviction and other
/// programs, is not heard of. Cheap to clone.
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

/// What a word on the channel is to this process.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// A key that somebody else changed.
    Key(Bytes),
    /// The heartbeat of this line.
    Beat(u64),
    /// Our own, or of no meaning.
    Nothing,
}

/// The subscription of one connection.
#[derive(Debug)]
pub(super) struct Line {
    channel: Channel,
    /// Names this line in its heartbeats.
    id: String,
    is_subscribed: AtomicBool,
    sent: AtomicU64,
    heard: watch::Sender<u64>,
}

impl Line {
    pub(super) fn new(channel: Channel) -> Arc<Self> {
        let id = format!("{:0SENDER$x}", rand::random::<u64>());
        let (is_subscribed, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { channel, id, is_subscribed, sent, heard: watch::Sender::new(0) })
    }

    pub(super) fn channel(&self) -> &str {
        self.channel.name()
    }

    /// Says that the connection, and with it the subscription, has ended.
    pub(super) fn cut(&self) {
        self.is_subscribed.store(false, Ordering::SeqCst);
    }

    /// Takes a word in; gives back the key that it names.
    pub(super) fn take(&self, word: &Bytes) -> Option<Bytes> {
        match self.read(word) {
            Word::Key(key) => return Some(key),
            Word::Beat(number) => drop(self.heard.send_replace(number)),
            Word::Nothing => {}
        }
        None
    }

    fn read(&self, word: &Bytes) -> Word {
        let Some((sender, rest)) = word.split_at_checked(SENDER) else { return Word::Nothing };
        match rest.first() {
            Some(&BEAT) if sender == self.id.as_bytes() => {
                let number = str::from_utf8(&rest[1..]).ok().and_then(|digits| digits.parse().ok());
                number.map_or(Word::Nothing, Word::Beat)
            }
            None | Some(&BEAT) => Word::Nothing,
            Some(_) if sender == self.channel.sender.as_bytes() => Word::Nothing,
            Some(_) => Word::Key(word.slice(SENDER..)),
        }
    }

    /// Sees to it that the channel is heard on this connection; tells whether it was.
    pub(super) async fn listen(&self, connection: &Connection) -> Result<bool, Error> {
        if self.is_subscribed.load(Ordering::SeqCst) && self.beat(connection).await? {
            return Ok(true);
        }
        // First, so that the end of the connection meanwhile is not taken for that of an earlier one.
        self.is_subscribed.store(true, Ordering::SeqCst);
        let heard = match connection.subscribe(self.channel()).await {
            Ok(()) => self.beat(connection).await,
            Err(error) => Err(Error::from_fred(&error)),
        };
        if !matches!(heard, Ok(true)) {
            self.cut();
        }
        if heard? { Ok(false) } else { Err(Error::new(ErrorKind::Timeout, "the channel does not bring our own words")) }
    }

    /// Says something and waits until it is heard here.
    async fn beat(&self, connection: &Connection) -> Result<bool, Error> {
        let number = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let word = format!("{}{}{number}", self.id, char::from(BEAT));
        let sent = connection.send("PUBLISH", vec![self.channel().into(), word.as_str().into()]).await;
        Value::from_fred(sent.map_err(|error| Error::from_fred(&error))?);
        let mut heard = self.heard.subscribe();
        let echo = heard.wait_for(|heard| *heard >= number);
        Ok(timeout(ECHO, echo).await.is_ok())
    }
}
