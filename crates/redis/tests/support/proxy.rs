use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A TCP proxy that can swallow a reply.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The next reply to a request that holds this text is swallowed and its connection cut.
    armed: AtomicBool,
    swallowed: AtomicUsize,
}

impl Proxy {
    pub async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((down, _)) = listener.accept().await {
                let Ok(up) = TcpStream::connect(("127.0.0.1", upstream)).await else { continue };
                tokio::spawn(carry(down, up, shared.clone()));
            }
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The reply to the next request on any connection is lost, and the connection with it.
    pub fn drop_next_reply(&self) {
        self.state.armed.store(true, Ordering::SeqCst);
    }

    pub fn swallowed(&self) -> usize {
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

async fn carry(mut down: TcpStream, mut up: TcpStream, state: Arc<State>) {
    let (mut requests, mut replies) = ([0; 16_384], [0; 16_384]);
    let mut is_doomed = false;
    loop {
        tokio::select! {
            read = down.read(&mut requests) => match read {
                Ok(length) if length > 0 => {
                    is_doomed = is_doomed || state.armed.swap(false, Ordering::SeqCst);
                    if up.write_all(&requests[..length]).await.is_err() { return }
                }
                _ => return,
            },
            read = up.read(&mut replies) => match read {
                Ok(_) if is_doomed => {
                    state.swallowed.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                Ok(length) if length > 0 => if down.write_all(&replies[..length]).await.is_err() { return },
                _ => return,
            },
        }
    }
}
