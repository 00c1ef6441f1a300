//! Limits how long the server waits for a client that does not read its response.
//!
//! While no part of a response can be sent, hyper polls its body no more. So neither the end of a
//! stream nor its timeout takes effect. Only the connection can see that its client has stopped
//! reading.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::minimum_rate::MinimumRate;

/// A stream whose writes fail if the other end reads nothing for `patience`, or reads more slowly
/// than the minimum rate.
#[derive(Debug)]
pub(super) struct WriteTimeout<S> {
    stream: S,
    patience: Duration,
    pace: MinimumRate,
    /// Since when a write waits, and until when.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> WriteTimeout<S> {
    /// `rate`: bytes per second that the client must read while more is to be sent. 0 for no limit.
    pub(super) const fn new(stream: S, patience: Duration, rate: u64) -> Self {
        Self { stream, patience, pace: MinimumRate::new(rate), wait: None }
    }

    /// Fails a write that waits for too long.
    fn bound<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if let Some((since, _)) = self.wait.take() {
                self.pace.waited(since.elapsed());
            }
            return polled;
        }
        let patience = self.pace.patience().map_or(self.patience, |patience| patience.min(self.patience));
        let (_, until) = self.wait.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience))));
        until.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn bound_write(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.pace.moved(bytes);
        }
        self.bound(context, polled)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bound_write(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.bound_write(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bound(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_given_up_and_who_reads_slowly_is_not() {
        let (server, mut client) = duplex(8);
        let mut server = WriteTimeout::new(server, PATIENCE, 0);
        let reading = tokio::spawn(async move {
            for _ in 0..8 {
                sleep(PATIENCE / 2).await;
                client.read_exact(&mut [0; 4]).await.unwrap();
            }
            client
        });
        server.write_all(&[7; 40]).await.expect("it goes on, if slowly");
        let _client = reading.await.unwrap();
        let full = Instant::now();
        assert_eq!(server.write_all(&[7; 8]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(full.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_byte_now_and_then_is_given_up_too() {
        let (server, mut client) = duplex(8);
        let mut server = WriteTimeout::new(server, PATIENCE, 512);
        let reading = tokio::spawn(async move {
            loop {
                sleep(PATIENCE / 30).await;
                if client.read_exact(&mut [0]).await.is_err() {
                    break;
                }
            }
        });
        let begun = Instant::now();
        assert_eq!(server.write_all(&[7; 4000]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((10..=11).contains(&begun.elapsed().as_secs()), "behind the grace: {:?}", begun.elapsed());
        drop(server);
        reading.await.unwrap();
    }
}
