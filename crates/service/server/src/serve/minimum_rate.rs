//! Limits how long the server waits for a slow body.
//!
//! A timeout between two pieces does not limit a body that sends one byte just before each timeout.
//! What counts is the total time that the server waited, and how much arrived in that time. Time in
//! which the reader does not want to read is not charged to the client.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};
use tidegate_base::TooSlow;
use tokio::time::{Instant, Sleep, sleep};

/// How long the server waits for a client whatever its rate is, since a bad line may stall for a
/// while.
const GRACE: Duration = Duration::from_secs(10);

/// How much longer the server waits for a client that must transfer that many bytes per second, in
/// either direction.
#[derive(Debug)]
pub(super) struct MinimumRate {
    /// Bytes per second. 0 for no limit.
    rate: u64,
    moved: u64,
    waited: Duration,
}

impl MinimumRate {
    pub(super) const fn new(rate: u64) -> Self {
        Self { rate, moved: 0, waited: Duration::ZERO }
    }

    pub(super) const fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes as u64);
    }

    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Returns how long the client may still take. `None` if there is no limit.
    pub(super) fn patience(&self) -> Option<Duration> {
        let earned = Duration::from_micros(self.moved.saturating_mul(1_000_000).checked_div(self.rate)?);
        Some((GRACE + earned).saturating_sub(self.waited))
    }
}

/// A body that fails if its client sends more slowly than the minimum rate.
#[derive(Debug)]
pub(super) struct PacedBody<B> {
    body: B,
    pace: MinimumRate,
    /// Since when the reader waits for the next piece, and until when.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B> PacedBody<B> {
    pub(super) const fn new(body: B, rate: u64) -> Self {
        Self { body, pace: MinimumRate::new(rate), wait: None }
    }
}

impl<B> HttpBody for PacedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let Some(patience) = this.pace.patience() else { return Poll::Pending };
            let (_, until) = this.wait.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience))));
            ready!(until.as_mut().poll(cx));
            return Poll::Ready(Some(Err(TooSlow { rate: this.pace.rate }.into())));
        };
        if let Some((since, _)) = this.wait.take() {
            this.pace.waited(since.elapsed());
        }
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(|frame| frame.data_ref())) {
            this.pace.moved(data.map_or(0, Buf::remaining));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::stream;

    use super::*;

    /// Reads a body that sends a piece of that size after each pause. Returns the bytes, the error
    /// and the time it took.
    async fn read(pieces: usize, size: usize, pause: Duration, rate: u64) -> (usize, Option<TooSlow>, Duration) {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            sleep(pause).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![7; size]))
        });
        let body = axum::body::Body::from_stream(pieces);
        let begun = Instant::now();
        let mut read = 0;
        let mut body = PacedBody::new(body, rate);
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            match frame {
                None => return (read, None, begun.elapsed()),
                Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(error)) => return (read, TooSlow::cause_of(&*error), begun.elapsed()),
            }
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_dribbles_is_ended_behind_a_grace_and_who_is_slow_is_not() {
        let slow = Some(TooSlow { rate: 512 });
        assert_eq!(read(100, 1, 29 * SECOND, 512).await, (0, slow, GRACE));
        assert_eq!(read(100_000, 1, SECOND / 10, 512).await.1, slow);
        let (bytes, ended, took) = read(1_000, 256, SECOND, 512).await;
        assert_eq!(ended, slow);
        // At half of the rate, the grace lasts twice as long.
        assert!((18..=21).contains(&took.as_secs()) && bytes <= 21 * 256, "{took:?}, {bytes} bytes");
        assert_eq!(read(1_000, 600, SECOND, 512).await.1, None);
        assert_eq!(read(1, 1, 9 * SECOND, 512).await, (1, None, 9 * SECOND));
        assert_eq!(read(3, 1, 3600 * SECOND, 0).await.1, None, "no rate");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_its_time_is_not_its_clients_fault() {
        let mut body = PacedBody::new(axum::body::Body::from("whole"), 512);
        sleep(3600 * SECOND).await;
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(frame.is_some_and(|frame| frame.is_ok()));
    }
}
