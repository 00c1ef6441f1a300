//! Sheds load: any request beyond `max_in_flight` gets a 503 immediately.
//!
//! Each running request uses a part of the process, so with too many of them all end too late. A
//! queue in front would make them even later.
//!
//! A request holds a permit until the head of its response is ready, so streams hold none. It holds
//! none while it waits for its client: a slow body costs little and must not lock out other
//! requests.

pub mod permits;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use tidegate_ratelimit::Permit;

use self::permits::RequestPermits;
use crate::access;
use crate::app::App;
use crate::problem::Problem;
use tidegate_server::fn_layer::{Inner, answered};

/// Permits of short requests become free soon.
const TRY_AGAIN_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Layer that returns 503 if no permit is free. The admin token needs none, so that an operator can
/// repair the service.
///
/// # Errors
///
/// 503.
pub fn layer<S: Inner>(
    app: App,
    request: Request,
    inner: &mut S,
) -> impl Future<Output = Result<Response, Problem>> + Send + use<S> {
    let begun = admit(app, request).map(|(seat, request)| (seat, answered(inner.call(request))));
    async move {
        let (seat, answer) = begun?;
        let answer = answer.await;
        seat.give_back();
        Ok(answer)
    }
}

/// Takes a permit for a request, and makes its body release the permit while it waits.
fn admit(app: App, request: Request) -> Result<(Seat, Request), Problem> {
    let Some(place) = app.request_permits().take() else {
        return if access::is_admin(&app, &request) { Ok((Seat::None, request)) } else { Err(overloaded()) };
    };
    if request.body().is_end_stream() {
        return Ok((Seat::Kept(place), request));
    }
    let held = HeldPermit { permits: app.request_permits().clone(), place: Arc::new(Mutex::new(Some(place))) };
    let awaited = |body: Body| Body::from_stream(WaitedBody { body: body.into_data_stream(), held: held.clone() });
    let request = request.map(awaited);
    Ok((Seat::Lent(held), request))
}

fn overloaded() -> Problem {
    Problem::unavailable("overloaded", "too many requests are in flight; nothing was done; try again later")
        .header(header::RETRY_AFTER, TRY_AGAIN_SECONDS)
}

/// The permit of a running request.
enum Seat {
    None,
    /// It waits only for the server.
    Kept(Permit),
    /// It also waits for its client.
    Lent(HeldPermit),
}

impl Seat {
    fn give_back(self) {
        match self {
            Self::None => {}
            Self::Kept(place) => place.succeeded(),
            Self::Lent(held) => held.give_back(),
        }
    }
}

/// The permit of a request, while it has one.
#[derive(Debug, Clone)]
struct HeldPermit {
    permits: RequestPermits,
    place: Arc<Mutex<Option<Permit>>>,
}

impl HeldPermit {
    fn give_back(&self) {
        if let Some(place) = self.place().take() {
            place.succeeded();
        }
    }

    /// If no permit is free, the request continues all the same, because it was admitted.
    fn take_again(&self) {
        let mut place = self.place();
        if place.is_none() {
            *place = self.permits.take();
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<Permit>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body. While the server waits for it, the request holds no permit.
struct WaitedBody {
    body: BodyDataStream,
    held: HeldPermit,
}

impl Stream for WaitedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.body.poll_next_unpin(context);
        match &polled {
            Poll::Pending => self.held.give_back(),
            Poll::Ready(_) => self.held.take_again(),
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_request_that_waits_for_its_body_holds_no_permit() {
        let permits = RequestPermits::of(NonZeroU32::MIN);
        let held = HeldPermit { permits: permits.clone(), place: Arc::new(Mutex::new(permits.take())) };
        assert_eq!((permits.in_flight(), permits.take().is_none()), (1, true));
        let (send, receive) = tokio::sync::mpsc::channel::<&'static str>(1);
        let pieces = stream::unfold(receive, async |mut receive| Some((receive.recv().await?, receive)));
        let body = Body::from_stream(pieces.map(Ok::<_, axum::Error>)).into_data_stream();
        let mut body = WaitedBody { body, held: held.clone() };
        assert!(futures_util::poll!(body.next()).is_pending());
        assert_eq!(permits.in_flight(), 0);
        let other = permits.take().expect("the place is free");
        send.send("piece").await.unwrap();
        assert!(body.next().await.unwrap().is_ok(), "an admitted request continues");
        drop(other);
        drop(send);
        assert!(body.next().await.is_none());
        assert_eq!(permits.in_flight(), 1, "and has a place again where there is one");
        held.give_back();
        assert_eq!(permits.in_flight(), 0);
    }
}
