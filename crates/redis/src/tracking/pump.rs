//! Forwards notices from a connection to the reader.

use std::sync::Arc;

use fred::interfaces::{EventInterface, TrackingInterface};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::channel::Line;
use super::{Cause, Notice, Teller};
use crate::shards::Connection;
use crate::value::Value;

/// Forwards the notices of one connection until it is dropped.
#[derive(Debug)]
pub(super) struct Pump(#[expect(dead_code, reason = "dropping it ends the task")] AbortOnDropHandle<()>);

impl Pump {
    /// Listens from now on. When the connection is lost or reconnects, `complete` becomes false at
    /// once and the heartbeat is called early. Notices of keys that start with `own` are ignored.
    /// Messages come from `line`, if there is one.
    pub(super) fn start(
        connection: &Connection,
        own: String,
        line: Option<Arc<Line>>,
        teller: Teller,
        complete: watch::Sender<bool>,
        beat: Arc<Notify>,
    ) -> Self {
        let fred = connection.fred();
        let (mut invalidations, mut errors, mut connects) =
            (fred.invalidation_rx(), fred.error_rx(), fred.reconnect_rx());
        let mut words = fred.message_rx();
        let cut = move |line: &Option<Arc<Line>>| line.iter().for_each(|line| line.cut());
        Self(AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::select! {
                    invalidation = invalidations.recv() => match invalidation {
                        Ok(invalidation) => {
                            let keys = invalidation.keys.into_iter().map(fred::types::Key::into_bytes);
                            keys.filter(|key| !key.starts_with(own.as_bytes())).for_each(|key| teller.tell(Notice::Key(key)));
                        }
                        Err(RecvError::Lagged(_)) => teller.forget_everything(Cause::Lagged),
                        Err(RecvError::Closed) => return,
                    },
                    word = words.recv(), if line.is_some() => match word {
                        Ok(message) => {
                            let word = Value::from_fred(message.value).into_bytes().ok();
                            let key = line.as_ref().zip(word).and_then(|(line, word)| line.take(&message.channel, &word));
                            key.into_iter().for_each(|key| teller.tell(Notice::Key(key)));
                        }
                        Err(RecvError::Lagged(_)) => teller.forget_everything(Cause::Lagged),
                        Err(RecvError::Closed) => return,
                    },
                    // A lagging receiver has missed events, which counts as an event.
                    event = errors.recv() => match event {
                        Err(RecvError::Closed) => return,
                        _ => {
                            cut(&line);
                            complete.send_if_modified(|complete| std::mem::replace(complete, false));
                        }
                    },
                    event = connects.recv() => match event {
                        Err(RecvError::Closed) => return,
                        _ => {
                            cut(&line);
                            beat.notify_one();
                        }
                    },
                }
            }
        })))
    }
}
