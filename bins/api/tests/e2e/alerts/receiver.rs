//! A webhook's receiver: it can refuse, hang, and check who sent what.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

/// The key that both sides share.
pub(crate) const KEY: &str = "webhook-key-0123456789";

/// Takes what is posted to it, from some try on.
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Whether the first try is refused, and the second one hangs.
    is_bad: bool,
    /// Whether each try is refused.
    refuses: AtomicBool,
    tries: Mutex<Vec<String>>,
    taken: Mutex<Vec<Delivery>>,
}

/// A received message.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) body: Value,
    timestamp: String,
    signature: String,
    trace: String,
    text: String,
}

impl Delivery {
    /// Checks the signature as the documentation describes.
    pub(crate) fn assert_signed(&self) {
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("any key");
        mac.update(format!("{}.{}", self.timestamp, self.text).as_bytes());
        let digits = self.signature.strip_prefix("sha256=").expect("how it is signed");
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
            .collect();
        mac.verify_slice(&bytes).expect("the sender knows the key");
        let sent: u64 = self.timestamp.parse().expect("a number");
        let happened = self.body["at_unix_ms"].as_u64().expect("a time") / 1_000;
        assert!(self.trace.len() == 55 && self.trace.starts_with("00-"), "{}", self.trace);
        assert!((happened..happened + 60).contains(&sent), "it is dated when it is sent: {happened} {sent}");
    }
}

impl Receiver {
    /// Refuses the first try, lets the second one hang, and takes what comes then.
    pub(crate) async fn start() -> Self {
        Self::serve(true, false).await
    }

    /// Refuses all until it [`accept`](Self::accept)s.
    pub(crate) async fn refusing() -> Self {
        Self::serve(false, true).await
    }

    /// Takes all from now on.
    pub(crate) fn accept(&self) {
        self.seen.refuses.store(false, Ordering::Relaxed);
    }

    /// Takes all.
    pub(crate) async fn good() -> Self {
        Self::serve(false, false).await
    }

    async fn serve(is_bad: bool, refuses: bool) -> Self {
        let seen = Arc::new(Seen { is_bad, refuses: refuses.into(), ..Seen::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(take).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The ids of the events, try by try.
    pub(crate) fn tries(&self) -> Vec<String> {
        self.seen.tries.lock().expect("it is not poisoned").clone()
    }

    pub(crate) fn taken(&self) -> Vec<Delivery> {
        self.seen.taken.lock().expect("it is not poisoned").clone()
    }
}

async fn take(State(seen): State<Arc<Seen>>, headers: HeaderMap, text: String) -> StatusCode {
    let header =
        |name: &str| headers.get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default();
    let id = header("x-tidegate-event");
    let number = {
        let mut tries = seen.tries.lock().expect("it is not poisoned");
        tries.push(id.clone());
        tries.len()
    };
    if seen.refuses.load(Ordering::Relaxed) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    match number {
        1 if seen.is_bad => return StatusCode::INTERNAL_SERVER_ERROR,
        2 if seen.is_bad => std::future::pending().await,
        _ => {}
    }
    let (timestamp, signature) = (header("x-tidegate-timestamp"), header("x-tidegate-signature"));
    let trace = header("traceparent");
    let body = serde_json::from_str(&text).expect("JSON");
    seen.taken.lock().expect("it is not poisoned").push(Delivery { id, body, timestamp, signature, trace, text });
    StatusCode::NO_CONTENT
}
