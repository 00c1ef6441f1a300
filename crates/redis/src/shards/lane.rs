//! Where calls run: places that are used again and again, and in which a call goes on that its caller gave up.
//!
//! fred's future of one command takes 7 KB. To have each go on when its caller leaves it must be in a box, and a box for each
//! was a fifth of all commands a second: to get 7 KB, to fill them and to give them back. So the boxes stay. In each runs a
//! loop that takes an order from its desk, lets fred do it, and puts the answer there.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use fred::clients::{Client as FredClient, WithOptions};
use fred::error::Error as FredError;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::{Key, Value};
use futures_util::future::poll_fn;
use tokio::runtime::Handle;

use super::connection::custom;
use crate::availability::Availability;
use crate::error::Error;

/// Lanes that a connection keeps while nobody needs them: 450 KB. More are made when more calls are under way.
const IDLE: usize = 64;

/// What is to be sent.
pub(super) enum Order {
    Get(Key),
    Command(&'static str, Vec<Value>),
}

impl Order {
    /// fred writes to the socket after every `custom` command, while it gathers those that it knows: with 64 tasks that is
    /// twice as many a second. Reads of the cache are worth the exception.
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

type Answer = Result<Value, FredError>;

/// Where a lane finds its order and leaves its answer.
enum Desk {
    Empty,
    Order(Order),
    Answer(Answer),
}

/// A loop that never ends by itself, and its desk.
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

    /// Goes on with the order.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        // Pending, with an answer or without.
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

/// Waits for the next look, which comes with the next order.
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
    /// Of the connection: calls that were given up end there, since the runtime of their caller may be gone before.
    runtime: Handle,
    idle: Mutex<Vec<Lane>>,
}

impl Lanes {
    pub(super) fn new(fred: WithOptions<FredClient>) -> Self {
        Self { fred, runtime: Handle::current(), idle: Mutex::default() }
    }

    /// A call of this order, which is sent when it is first polled.
    pub(super) fn call(&self, order: Order) -> Call<'_> {
        let lane = self.idle().pop().unwrap_or_else(|| Lane::new(self.fred.clone()));
        *look(&lane.desk) = Desk::Order(order);
        Call { lanes: self, lane: Some(lane), told: None }
    }

    /// Keeps a lane that has nothing to do.
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

/// A call that goes on by itself when it is dropped.
///
/// fred keeps a command that waits for its connection until the call's time-out marks it as given up. A call that is dropped
/// before never marks it: the command would be sent whenever the server comes back, minutes after its caller has left.
#[must_use = "nothing is sent before it is polled"]
pub(crate) struct Call<'a> {
    lanes: &'a Lanes,
    /// None when it has ended.
    lane: Option<Lane>,
    /// Who hears of an outage when the caller has left, and the slot that was asked.
    told: Option<(&'a Availability, u16)>,
}

impl<'a> Call<'a> {
    /// As it is, but an outage that it meets when its caller has given it up opens the slot's breaker. Else callers that have
    /// less patience than the time-out would each wait for a server that hangs.
    pub(crate) fn telling(mut self, availability: &'a Availability, slot: u16) -> Self {
        self.told = Some((availability, slot));
        self
    }
}

impl Future for Call<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        // Polled again after its end it waits for ever, as a future may.
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
