//! Returns 500 in place of a handler that panicked. The connection stays open.
//!
//! The panic's message may contain anything, so no client sees it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use crate::problem::Problem;
use tidegate_server::fn_layer::{Inner, answered};

/// Layer that also responds if the code that builds the response panics.
pub fn layer<S: Inner>((): (), request: Request, inner: &mut S) -> impl Future<Output = Response> + Send + use<S> {
    // Requests share locks, and every holder copes with a lock that a panic has poisoned.
    let begun = catch_unwind(AssertUnwindSafe(|| answered(inner.call(request))));
    async move {
        let answer = match begun {
            Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
            Err(panic) => Err(panic),
        };
        answer.unwrap_or_else(|_| Problem::panicked().into_response())
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::request_id;
    use tidegate_server::fn_layer::fn_layer;

    async fn panics() -> &'static str {
        panic!("a secret")
    }

    async fn ask(connection: &mut TcpStream, path: &str, end: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0, "the connection lives");
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_a_500_and_the_connection_lives() {
        let router = Router::new().route("/panics", get(panics)).route("/answers", get(|| async { "fine" }));
        let router = router.layer(fn_layer((), layer)).layer(fn_layer((), request_id::layer));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut connection = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            let answer = ask(&mut connection, "/panics", "}").await;
            assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("application/problem+json"), "{answer}");
            assert!(answer.contains("request_id") && !answer.contains("secret"), "{answer}");
            assert!(ask(&mut connection, "/answers", "fine").await.starts_with("HTTP/1.1 200"));
        }
    }
}
