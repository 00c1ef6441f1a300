//! A server for the part of S3 that a file store needs, with faults on request.
//!
//! It checks the id of the access key, but not the signature. Parts and their sizes, ranges,
//! versions, listings and refusals are like those of S3.

mod answer;
mod bucket;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use answer::{Answer, empty, refuse};
use bucket::Bucket;

/// An S3 server with one bucket. It ends when it is dropped.
pub struct S3Server {
    port: u16,
    bucket: Arc<Mutex<Bucket>>,
    serving: JoinHandle<()>,
}

impl S3Server {
    /// The name of the bucket.
    pub const BUCKET: &'static str = "the-bucket";
    /// The id of the only access key that it accepts.
    pub const KEY: &'static str = "AKIDTEST";
    /// The secret of that key. It is not checked. It must not appear in any output.
    pub const SECRET: &'static str = "a-secret-that-is-never-told";

    /// Starts a server with an empty bucket.
    ///
    /// # Panics
    ///
    /// If no port is available.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the server");
        let port = listener.local_addr().expect("it is bound").port();
        let bucket = Arc::new(Mutex::new(Bucket::default()));
        let serving = tokio::spawn(accept(listener, Arc::clone(&bucket)));
        Self { port, bucket, serving }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets whether every request is answered with 503 `SlowDown`.
    pub fn be_busy(&self, is_busy: bool) {
        self.bucket().is_busy = is_busy;
    }

    /// Closes the connection after that many bytes of each content. `None` ends this fault.
    pub fn cut_off_after(&self, bytes: Option<usize>) {
        self.bucket().cut_after = bytes;
    }

    /// Number of answers that were cut off.
    pub fn cuts(&self) -> u64 {
        self.bucket().cuts
    }

    /// Number of requests for a content or a range of one.
    pub fn reads(&self) -> u64 {
        self.bucket().reads
    }

    /// Number of multipart uploads that were started.
    pub fn begun(&self) -> u64 {
        self.bucket().begun
    }

    /// Number of multipart uploads that were neither completed nor aborted.
    pub fn unfinished(&self) -> usize {
        self.bucket().uploads.len()
    }

    /// The keys of all objects, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.bucket().objects.keys().cloned().collect()
    }

    /// Stores an object, replacing the one with that key.
    pub fn replace(&self, key: &str, content: impl Into<Bytes>) {
        self.bucket().put(key, content.into());
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves connections. They end when this future is dropped.
async fn accept(listener: TcpListener, bucket: Arc<Mutex<Bucket>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&bucket)));
    }
}

async fn serve(stream: TcpStream, bucket: Arc<Mutex<Bucket>>) {
    let service = service_fn(move |request| {
        let bucket = Arc::clone(&bucket);
        async move { Ok::<_, Infallible>(answer(&bucket, request).await) }
    });
    // A client that disconnects is not an error of the server.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(bucket: &Mutex<Bucket>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return refuse(StatusCode::BAD_REQUEST, "IncompleteBody") };
    let body = body.to_bytes();
    let said = String::from_utf8_lossy(&body);
    let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !header(AUTHORIZATION.as_str()).contains(&format!("Credential={}/", S3Server::KEY)) {
        return refuse(StatusCode::FORBIDDEN, "InvalidAccessKeyId");
    }
    if bucket.is_busy {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    }
    let path = head.uri.path().trim_start_matches('/');
    let (name, key) = path.split_once('/').unwrap_or((path, ""));
    if name != S3Server::BUCKET {
        return refuse(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    let query = head.uri.query().unwrap_or_default();
    let upload = parameter(query, "uploadId");
    match (head.method, upload) {
        (Method::GET, _) if key.is_empty() => bucket.list(&parameter(query, "prefix").unwrap_or_default()),
        (Method::GET, _) => bucket.get(key, header("range"), header("if-match")),
        (Method::HEAD, _) => bucket.head(key),
        (Method::POST, _) if parameter(query, "delete").is_some() => bucket.delete(&said),
        (Method::POST, None) if parameter(query, "uploads").is_some() => bucket.begin(),
        (Method::PUT, Some(upload)) => {
            let number = parameter(query, "partNumber").and_then(|number| number.parse().ok());
            bucket.part(&upload, number.unwrap_or(0), body)
        }
        (Method::POST, Some(upload)) => bucket.complete(&upload, key, &said),
        (Method::DELETE, Some(upload)) => {
            bucket.uploads.remove(&upload);
            empty(StatusCode::NO_CONTENT)
        }
        _ => refuse(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

/// The value of a query parameter.
fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = { pairs }.find(|(found, _)| *found == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}
