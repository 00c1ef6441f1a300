//! A server that answers as no Tidegate does.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers each connection with the next of some texts, the last one again and again.
pub(crate) struct Server {
    pub(crate) url: String,
    /// Heads of the requests, in lower case.
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

/// The end of a connection after its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    Hang,
}

impl Server {
    pub(crate) async fn start(answers: &[&str], then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let task = tokio::spawn(serve(listener, answers, then, Arc::clone(&requests)));
        Self { url, requests, task }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, answers: Vec<String>, then: Then, requests: Arc<Mutex<Vec<String>>>) {
    let mut open = Vec::new();
    for answer in answers.iter().chain(std::iter::repeat(answers.last().expect("an answer"))) {
        let Ok((mut connection, _)) = listener.accept().await else { return };
        let head = head(&mut connection).await;
        requests.lock().expect("no panic").push(head);
        // The client may be gone.
        let _ = connection.write_all(answer.as_bytes()).await;
        if then == Then::Hang {
            open.push(connection);
        }
    }
}

async fn head(connection: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

/// An answer with that status line and body.
pub(crate) fn answer(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
