//! One log line per request: what was requested and what was sent, never its content.
//!
//! A line is created when the last byte of a response is sent. A separate thread writes it, behind
//! a bounded queue. A line that finds the queue full is counted and dropped, so that no request
//! waits for a disk or a terminal.

mod layer;
mod line;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tidegate_model::tenant::TenantId;
use tidegate_settings::AccessLogSettings;
use tidegate_telemetry::Telemetry;
use tokio::sync::oneshot;

use self::line::Line;

/// Maximum number of lines that wait to be written: about a second of a busy process, and a few
/// MiB.
const WAITING: usize = 16_384;
/// How long a shutdown waits for pending lines.
const FLUSH: Duration = Duration::from_secs(1);

/// The tenant of a response, set by `caller`.
#[derive(Debug, Clone)]
pub struct TenantOf(pub TenantId);

/// The log of requests, and the layer that writes it. There is one per process.
#[derive(Clone, Copy)]
pub struct AccessLog(&'static Parts);

struct Parts {
    settings: AccessLogSettings,
    /// The same clock that records when a request was received.
    now: Box<dyn Fn() -> Duration + Send + Sync>,
    queue: SyncSender<Message>,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(Line),
    /// A request for a reply once all earlier lines are written.
    Flush(oneshot::Sender<()>),
}

impl AccessLog {
    /// Starts the thread that writes, and registers a counter of dropped lines.
    pub fn start(settings: AccessLogSettings, telemetry: &Telemetry) -> Self {
        let registry = telemetry.registry().clone();
        let log = Self::with(settings, WAITING, move || registry.now(), line::write);
        telemetry.watch_access_log(move || log.0.dropped.load(Ordering::Relaxed));
        log
    }

    fn with(
        settings: AccessLogSettings,
        waiting: usize,
        now: impl Fn() -> Duration + Send + Sync + 'static,
        write: impl Fn(&Line) + Send + 'static,
    ) -> Self {
        let (queue, lines) = sync_channel(waiting);
        if settings != AccessLogSettings::Off {
            let thread = std::thread::Builder::new().name("access-log".to_owned());
            if let Err(error) = thread.spawn(move || write_all(&lines, write)) {
                tracing::error!(%error, "the access log can't start its thread, and drops its lines");
            }
        }
        Self(Box::leak(Box::new(Parts { settings, now: Box::new(now), queue, dropped: AtomicU64::new(0) })))
    }

    /// Returns when all lines so far are written, or a second has passed.
    pub async fn flush(&self) {
        let (told, written) = oneshot::channel();
        if self.0.queue.try_send(Message::Flush(told)).is_ok() {
            // A blocked reader must not delay the shutdown.
            let _ = tokio::time::timeout(FLUSH, written).await;
        }
    }
}

fn write_all(lines: &Receiver<Message>, write: impl Fn(&Line)) {
    while let Ok(message) = lines.recv() {
        match message {
            Message::Line(line) => write(&line),
            // The caller may have given up.
            Message::Flush(told) => drop(told.send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use axum::extract::Request;
    use axum::http::{Response, StatusCode};
    use tower::service_fn;
    use tower_layer::Layer;
    use tower_service::Service;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn request() -> Request {
        Request::get("/a?token=hunter2").body(Body::empty()).unwrap()
    }

    /// Sends one request, and reads the whole response.
    async fn ask(log: &AccessLog, status: StatusCode) {
        let answer = move |_: Request| async move {
            let mut answer = Response::new(Body::from("four"));
            *answer.status_mut() = status;
            Ok::<_, Infallible>(answer)
        };
        let answer = log.layer(service_fn(answer)).call(request()).await.unwrap();
        let body = axum::body::to_bytes(Body::new(answer.into_body()), usize::MAX).await.unwrap();
        assert_eq!(body, "four");
    }

    type Kept = Arc<Mutex<Vec<(Option<u16>, u64, bool)>>>;

    fn keeping(settings: AccessLogSettings) -> (AccessLog, Kept) {
        let kept = Kept::default();
        let to = Arc::clone(&kept);
        let keep = move |line: &Line| {
            to.lock().unwrap().push((line.status.map(|status| status.as_u16()), line.bytes, line.whole));
        };
        (AccessLog::with(settings, WAITING, || Duration::ZERO, keep), kept)
    }

    #[tokio::test]
    async fn a_full_log_never_delays() {
        let written = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written);
        let (open, gate) = channel::<()>();
        let log = AccessLog::with(
            AccessLogSettings::Full,
            10,
            || Duration::ZERO,
            move |_| {
                // Blocks until the other end is gone.
                let _ = gate.recv();
                count.fetch_add(1, Ordering::Relaxed);
            },
        );
        // A request that waited for the log would wait for the gate, which opens only later.
        for _ in 0..1_000 {
            ask(&log, StatusCode::OK).await;
        }
        let dropped = log.0.dropped.load(Ordering::Relaxed);
        // Ten wait in the queue, and the writer may hold one more.
        assert!((989..=990).contains(&dropped), "{dropped}");
        drop(open);
        let all = async {
            while written.load(Ordering::Relaxed) + dropped < 1_000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, all).await.expect("what found room is written");
        log.flush().await;
        assert_eq!(written.load(Ordering::Relaxed) + dropped, 1_000);
    }

    #[tokio::test]
    async fn failures_are_logged_at_any_sampling_rate() {
        let (log, kept) = keeping(AccessLogSettings::Sampled(0.0));
        ask(&log, StatusCode::OK).await;
        ask(&log, StatusCode::NOT_FOUND).await;
        ask(&log, StatusCode::SERVICE_UNAVAILABLE).await;
        let hangs = service_fn(|_: Request| std::future::pending::<Result<Response<Body>, Infallible>>());
        drop(log.layer(hangs).call(request()));
        log.flush().await;
        assert_eq!(*kept.lock().unwrap(), [(Some(503), 4, true), (None, 0, false)]);
    }

    #[tokio::test]
    async fn each_request_is_logged_at_most_once() {
        let (log, kept) = keeping(AccessLogSettings::Full);
        for _ in 0..100 {
            ask(&log, StatusCode::OK).await;
        }
        log.flush().await;
        assert_eq!(*kept.lock().unwrap(), [(Some(200), 4, true)].repeat(100));
        let (log, kept) = keeping(AccessLogSettings::Off);
        ask(&log, StatusCode::INTERNAL_SERVER_ERROR).await;
        log.flush().await;
        assert!(kept.lock().unwrap().is_empty());
        assert_eq!(log.0.dropped.load(Ordering::Relaxed), 0);
    }
}
