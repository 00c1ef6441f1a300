//! Clients that hold on to whatever they can, while other clients must be served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_testkit::{poll_until, scale};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::harness::{Api, DEADLINE};

/// Maximum duration of 95 of 100 requests of the other clients.
const BOUND: Duration = Duration::from_millis(200);
/// How long a hostile client stays away that was closed on.
const PAUSE: Duration = Duration::from_secs(1);

const HEAD: &str = "GET /api/schedules HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\nx-long: ";
const BODY: &str = "POST /api/schedules HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\n\
                    content-type: application/json\r\ncontent-length: 1000\r\n\r\n";
const READ: &str = "GET /api/schedules?limit=1 HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\n\r\n";

/// The nth address of this machine that is not the others'.
fn address(nth: usize) -> SocketAddr {
    let [high, low] = u16::try_from(nth + 2).expect("few addresses").to_be_bytes();
    SocketAddr::from(([127, 0, high, low], 0))
}

async fn connect(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    socket.connect(to).await
}

/// Sends the beginning and, if it dribbles, a byte a second. Returns when the server closes the
/// connection.
async fn hold(from: SocketAddr, to: SocketAddr, beginning: &'static str, dribbles: bool, held: Arc<AtomicUsize>) {
    loop {
        if let Ok(mut connection) = connect(from, to).await
            && connection.write_all(beginning.as_bytes()).await.is_ok()
        {
            held.fetch_add(1, Ordering::SeqCst);
            let (mut reader, mut writer) = connection.split();
            let closed = async {
                let mut bytes = [0; 1024];
                while reader.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            };
            let dribbling = async {
                while dribbles && writer.write_all(b"a").await.is_ok() {
                    sleep(PAUSE).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = closed => {}
                () = dribbling => {}
            }
            held.fetch_sub(1, Ordering::SeqCst);
        }
        sleep(PAUSE).await;
    }
}

/// Comes as often as it can from one address, which has its share.
async fn flood(from: SocketAddr, to: SocketAddr, refused: Arc<AtomicUsize>) {
    loop {
        let Ok(mut connection) = connect(from, to).await else {
            // No port of its own is free.
            sleep(PAUSE / 10).await;
            continue;
        };
        if !matches!(connection.read(&mut [0]).await, Ok(1..)) {
            refused.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// How long a request takes, with its connection where it has to be made.
async fn ask(connection: &mut Option<TcpStream>, to: SocketAddr) -> Duration {
    let begun = Instant::now();
    let mut open = match connection.take() {
        Some(open) => open,
        None => TcpStream::connect(to).await.expect("others are let in"),
    };
    open.write_all(READ.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    let reading = async {
        while !answer.ends_with(b"}") {
            assert_ne!(open.read_buf(&mut answer).await.expect("an answer"), 0, "others are answered");
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    *connection = Some(open);
    begun.elapsed()
}

#[tokio::test]
async fn others_are_served_beside_hostile_clients() {
    let (idle, dribbling, bodies) = (scale(300, 10_000), scale(50, 500), scale(50, 1_000));
    let share = scale(40, 512);
    // Idle ones alone would fill it.
    let most = idle;
    let capacity = format!("connections={most}, per_address={share}");
    let api =
        Api::start_with(&[("TIDEGATE_HTTP_CAPACITY", capacity.as_str()), ("TIDEGATE_LIMIT_TENANT_MODE", "off")]).await;
    api.create_tenant("acme", "enterprise").await;
    let to: SocketAddr = api.url.trim_start_matches("http://").parse().expect("an address");
    let (held, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut hostile = JoinSet::new();
    let kinds = [("", false, idle), (HEAD, true, dribbling), (BODY, true, bodies)];
    let mut nth = 0;
    for (beginning, dribbles, count) in kinds {
        for _ in 0..count {
            hostile.spawn(hold(address(nth / share), to, beginning, dribbles, Arc::clone(&held)));
            nth += 1;
        }
    }
    // The first address is the first idle ones', who take all of its share.
    hostile.spawn(flood(address(0), to, Arc::clone(&refused)));
    let full = poll_until(DEADLINE, async || (held.load(Ordering::SeqCst) * 10 > most * 9).then_some(()));
    full.await.expect("they hold nearly all that there is");

    let mut times = Vec::new();
    let (mut kept, mut new) = (None, None);
    for _ in 0..scale(200, 5_000) {
        times.push(ask(&mut kept, to).await);
        times.push(ask(&mut new, to).await);
        new = None;
        let livez = api.request(reqwest::Method::GET, "/livez").send().await.expect("probes are answered");
        assert_eq!(livez.status(), 200);
        sleep(Duration::from_millis(10)).await;
    }
    times.sort_unstable();
    let p95 = times[times.len() * 95 / 100];
    let (held, refused) = (held.load(Ordering::SeqCst), refused.load(Ordering::SeqCst));
    println!(
        "P95 {p95:?}, worst {:?}, of {} requests; {held} held, {refused} refused",
        times[times.len() - 1],
        times.len()
    );
    assert!(p95 <= BOUND, "{p95:?}");
    assert!(refused > 0, "the flood is turned away");
    hostile.shutdown().await;
}
