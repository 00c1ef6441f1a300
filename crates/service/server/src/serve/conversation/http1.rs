//! Serves the requests of a connection over HTTP/1.1, one after the other.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, STRICT_TRANSPORT_SECURITY};
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::{Conversation, prepared};
use crate::serve::arrival::Arrival;
use crate::serve::tls;

impl<N> Conversation<N>
where
    N: Fn() -> Duration + Clone + Send + Sync + Unpin + 'static,
{
    pub(super) async fn http1<S>(self, stream: S, http: http1::Builder)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let by_tls = self.by_tls();
        let Self { arrivals, now, peer, ending, leave, settings, router, .. } = &self;
        let stream = Arrival::new(stream, now.clone(), arrivals.clone());
        let announced = &ending.announced;
        let service = service_fn(|request: Request<Incoming>| {
            let (received, exchange) = arrivals.request();
            let request = request.map(|body| exchange.asking(body));
            let request = prepared(request, *peer, by_tls, settings.min_rate, now, received);
            let answer = router.clone().call(request);
            async move {
                let mut answer: Response = answer.await.unwrap_or_else(|never| match never {});
                if by_tls.is_some() {
                    answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, tls::STRICT);
                }
                if announced.is_cancelled() {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer.map(|body| exchange.answering(body)))
            }
        });
        let must_leave = async {
            loop {
                leave.notified().await;
                if arrivals.idle_since().is_some() {
                    break;
                }
                // A request has just arrived. Its response, or the next one, closes the connection.
                announced.cancel();
            }
        };
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            () = must_leave => return,
            () = self.is_silent() => return,
            () = self.is_over() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            ended = connection.as_mut() => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}
