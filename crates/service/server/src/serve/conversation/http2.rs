//! Serves the requests of a connection over HTTP/2, each as a task of its own.

use std::pin::pin;
use std::time::Duration;

use axum::http::header::{CONNECTION, STRICT_TRANSPORT_SECURITY};
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tidegate_perfmon::ReceivedAt;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::{Conversation, prepared};
use crate::serve::streams::{self, CloseReason, Streams};
use crate::serve::tls;

/// How long an idle HTTP/2 connection stays open for its client to see GOAWAY.
const FAREWELL: Duration = Duration::from_secs(1);

impl<N> Conversation<N>
where
    N: Fn() -> Duration + Clone + Send + Sync + Unpin + 'static,
{
    pub(super) async fn http2<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let by_tls = self.by_tls();
        let Self { arrivals, now, peer, ending, leave, settings, router, .. } = &self;
        // Runs also if this task is cancelled.
        let _ended = self.tasks.ended.clone().drop_guard();
        let streams = Streams::new(*settings, self.budget.clone(), arrivals.clone());
        let service = {
            let (streams, now, router) = (streams.clone(), now.clone(), router.clone());
            let (peer, min_rate) = (*peer, settings.min_rate);
            service_fn(move |request: Request<Incoming>| {
                let stream = streams.begin();
                let answer = stream.is_some().then(|| {
                    let received = Some(ReceivedAt(now()));
                    router.clone().call(prepared(request, peer, by_tls, min_rate, &now, received))
                });
                async move {
                    let Some((stream, answer)) = stream.zip(answer) else {
                        // The request was not processed, so the client may safely retry it.
                        return Err(h2::Error::from(h2::Reason::REFUSED_STREAM));
                    };
                    let mut answer: Response = answer.await.unwrap_or_else(|never| match never {});
                    // The header is for one connection, and HTTP/2 has GOAWAY for that.
                    answer.headers_mut().remove(CONNECTION);
                    if by_tls.is_some() {
                        answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, tls::STRICT);
                    }
                    Ok(answer.map(|body| stream.answering(body)))
                }
            })
        };
        let is_announced = async {
            ending.announced.cancelled().await;
            // A client without a request has only just connected. Its first request is answered.
            streams.asked().await;
        };
        let http = streams::builder(self.tasks.clone());
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            () = leave.notified() => None,
            () = is_announced => None,
            () = self.is_silent() => None,
            () = self.is_over() => None,
            useless = streams.useless(settings.header_timeout) => match useless {
                CloseReason::Idle => None,
                CloseReason::Harmful => {
                    tracing::debug!(%peer, "a connection was closed: its client resets its requests, or does not read the responses");
                    return;
                }
            },
            ended = connection.as_mut() => Some(ended),
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                // Requests that the client sends before it sees GOAWAY are answered.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    () = streams.farewell(FAREWELL) => return,
                    ended = connection.as_mut() => ended,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}
