//! Lanes: reusable futures in which calls run, and continue if their caller is cancelled.
//!
//! fred's future of one command takes 7 KB. To continue after its caller is cancelled, it must be
//! in a box. Allocating, filling and freeing such a box for each command cost a fifth of the
//! throughput. So the boxes are reused. In each box runs a loop that takes an order from its desk,
//! executes it with fred, and puts the answer there.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use fred::clients::{Client as FredClient, WithOptions};
use fred::error::Error as FredError;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::{ClusterHash, CustomCommand, Key, Value};
use futures_util::future::poll_fn;
use tokio::runtime::Handle;

use crate::availability::Availability;
use crate::error::Error;

/// Most idle lanes of a connection: 450 KB. More are created for more concurrent calls.
const IDLE: usize = 64;

/// A request to send.
pub(super) enum Order {
    Get(Key),
    Command(&'static str, Vec<Value>),
}

impl Order {
    /// Uses fred's own GET command. fred flushes the socket after every `custom` command, but
    /// batches the commands it knows: with 64 tasks that doubles the throughput. Reads of the cache
    /// are worth the exception.
    pub(super) fn new(name: &'static str, mut args: Vec<Value>) -> Self {
        if name == "GET"
            && args.len() == 1
            && let Some(Value::String(key)) = args.pop_if(|key| matches!(key, Value::String(_)))
        {
            return Self::Get(Key::from(key));
        }
        Self::Command(name, args)
    }
}

/// Returns the command of that name for fred's `custom`.
pub(super) fn custom(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::Custom(0), false)
}

type Answer = Result<Value, FredError>;

/// Passes the order to a lane, and its answer back.
enum Desk {
    Empty,
    Order(Order),
    Answer(Answer),
}

/// An endless loop, and its desk.
struct Lane {
    course: Pin<Box<dyn Future<Output = ()> + Send>>,
    desk: Arc<Mutex<Desk>>,
}

impl Lane {
    fn new(fred: WithOptions<FredClient>) -> Self {
        let desk = Arc::new(Mutex::new(Desk::Empty));
        let course = Box::pin(run(fred, Arc::clone(&desk)));
        Self { course, desk }
    }

    /// Continues with the order.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        // The loop is always pending, with an answer or without.
        let _ = self.course.as_mut().poll(context);
        let mut desk = look(&self.desk);
        match std::mem::replace(&mut *desk, Desk::Empty) {
            Desk::Answer(answer) => Poll::Ready(answer),
            other => {
                *desk = other;
                Poll::Pending
            }
        }
    }
}

async fn run(fred: WithOptions<FredClient>, desk: Arc<Mutex<Desk>>) {
    loop {
        let order = std::mem::replace(&mut *look(&desk), Desk::Empty);
        if let Desk::Order(order) = order {
            let answer = match order {
                Order::Get(key) => fred.get(key).await,
                Order::Command(name, args) => fred.custom(custom(name), args).await,
            };
            *look(&desk) = Desk::Answer(answer);
        }
        rest().await;
    }
}

/// Yields until the next poll, which comes with the next order.
async fn rest() {
    let mut has_rested = false;
    poll_fn(|_| if std::mem::replace(&mut has_rested, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn look(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lanes of a connection.
pub(super) struct Lanes {
    fred: WithOptions<FredClient>,
    /// Runtime of the connection. Dropped calls continue there, since the runtime of their caller
    /// may end earlier.
    runtime: Handle,
    idle: Mutex<Vec<Lane>>,
}

impl Lanes {
    pub(super) fn new(fred: WithOptions<FredClient>) -> Self {
        Self { fred, runtime: Handle::current(), idle: Mutex::default() }
    }

    /// A call of this order. It is sent when the call is first polled.
    pub(super) fn call(&self, order: Order) -> Call<'_> {
        let lane = self.idle().pop().unwrap_or_else(|| Lane::new(self.fred.clone()));
        *look(&lane.desk) = Desk::Order(order);
        Call { lanes: self, lane: Some(lane), told: None }
    }

    /// Keeps an idle lane.
    fn keep(&self, lane: Lane) {
        let mut idle = self.idle();
        if idle.len() < IDLE {
            idle.push(lane);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that continues in the background when it is dropped.
///
/// fred keeps a command that waits for its connection until the call's time-out marks it as
/// cancelled. A call that is dropped earlier would never mark it: the command would be sent
/// whenever the server is back, even minutes after its caller was cancelled.
#[must_use = "nothing is sent before it is polled"]
pub(crate) struct Call<'a> {
    lanes: &'a Lanes,
    /// `None` when it has ended.
    lane: Option<Lane>,
    /// The breaker to notify of an outage after the caller was cancelled, and the slot of the call.
    told: Option<(&'a Availability, u16)>,
}

impl<'a> Call<'a> {
    /// Makes the call open the slot's breaker if it meets an outage after its caller was cancelled.
    /// Otherwise, callers with a shorter time-out would each wait for a server that hangs.
    pub(crate) fn telling(mut self, availability: &'a Availability, slot: u16) -> Self {
        self.told = Some((availability, slot));
        self
    }
}

impl Future for Call<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        // Polled after its end, it stays pending, as a future may.
        let Some(mut lane) = self.lane.take() else { return Poll::Pending };
        let polled = lane.poll(context);
        if polled.is_ready() {
            self.lanes.keep(lane);
        } else {
            self.lane = Some(lane);
        }
        polled
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let Some(mut lane) = self.lane.take() else { return };
        let is_unsent = matches!(*look(&lane.desk), Desk::Order(_));
        if is_unsent {
            *look(&lane.desk) = Desk::Empty;
            self.lanes.keep(lane);
        } else {
            let told = self.told.map(|(availability, slot)| (availability.clone(), slot));
            self.lanes.runtime.spawn(async move {
                let answer = poll_fn(|context| lane.poll(context)).await;
                if let (Err(error), Some((availability, slot))) = (answer, told)
                    && Error::from_fred(&error).is_outage()
                {
                    availability.report(slot);
                }
            });
        }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("has_ended", &self.lane.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tidegate_testkit::redis::RedisServer;

    use super::super::Connection;
    use super::*;
    use crate::config::Config;

    async fn connect(server: &RedisServer) -> Connection {
        let config = Config::parse(&server.url()).unwrap();
        Connection::open(&config, None, Duration::from_secs(10)).await.unwrap()
    }

    fn add(connection: &Connection) -> Call<'_> {
        connection.send("INCR", vec!["sum".into()])
    }

    #[tokio::test]
    async fn what_was_never_polled_is_never_sent() {
        let server = RedisServer::start().await;
        let connection = connect(&server).await;
        drop(add(&connection));
        assert_eq!(add(&connection).await, Ok(1.into()));
        drop(add(&connection));
        assert_eq!(add(&connection).await, Ok(2.into()));
        assert_eq!(connection.lanes().idle().len(), 1);
    }

    #[tokio::test]
    async fn a_call_that_was_given_up_runs_and_leaves_its_answer_to_nobody() {
        let server = RedisServer::start().await;
        let connection = connect(&server).await;
        for call in 0..100 {
            assert_eq!(add(&connection).now_or_never(), None, "sent, and not answered yet");
            let set = connection.send("SET", vec![format!("key-{call}").into(), call.into()]);
            assert_eq!(set.await, Ok("OK".into()));
            assert_eq!(connection.get(&format!("key-{call}")).await, Ok(call.to_string().into()));
        }
        // Behind all others on the same connection.
        assert_eq!(add(&connection).await, Ok(101.into()));
    }

    #[tokio::test]
    async fn no_more_lanes_are_kept_than_agreed() {
        let server = RedisServer::start().await;
        let connection = connect(&server).await;
        let added = join_all((0..3 * IDLE).map(|_| add(&connection))).await;
        assert!(added.iter().all(Result::is_ok));
        assert_eq!(connection.lanes().idle().len(), IDLE);
    }
}
