//! HTTP/2 without TLS, with clients that know in advance that the server speaks it, and with
//! malicious clients.

use bytes::Bytes;
use h2::client::{self, SendRequest};
use hyper::Request;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const SHORT: Duration = Duration::from_millis(500);
/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server, until it is dropped.
struct Server {
    address: SocketAddr,
    ending: Ending,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(router: Router, change: impl FnOnce(&mut Bounds)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = settings(Duration::from_secs(600));
        change(&mut settings.bounds);
        let ending = Ending::default();
        let serving = tokio::spawn(serve(listener, router, settings, ending.clone(), || Duration::ZERO));
        Self { address, ending, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A client, and how its connection ended.
    async fn client(&self) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
        let (client, connection) = client::handshake(self.connect().await).await.unwrap();
        (client, tokio::spawn(connection))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://localhost{path}")).body(()).unwrap()
}

async fn body(mut body: h2::RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// Reads until the end of the stream or a reset.
async fn rest_of(mut connection: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(DEADLINE, connection.read_to_end(&mut bytes)).await.expect("the server closes it");
    bytes
}

/// Returns the frames that a server sent: kind, stream, payload.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (u8, u32, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some((head[3], u32::from_be_bytes(head[5..].try_into().unwrap()), payload))
    })
}

/// Returns the code of the last GOAWAY.
fn goaway(bytes: &[u8]) -> Option<u32> {
    let code = |payload: &[u8]| payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
    frames(bytes).filter(|(kind, ..)| *kind == 7).last().and_then(|(.., payload)| code(payload))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET / HTTP/2` for localhost, in HPACK.
const HEAD: &[u8] = b"\x82\x86\x84\x41\x09localhost";

/// The same for `/slow`.
const SLOW_HEAD: &[u8] = b"\x82\x86\x04\x05/slow\x41\x09localhost";

const LARGE: usize = 1 << 20;
/// Longer than an idle connection is kept.
const SLOW: Duration = Duration::from_secs(2);

fn routes() -> Router {
    let echo = |ConnectInfo(peer): ConnectInfo<SocketAddr>, uri: axum::http::Uri| async move {
        format!("{peer} {}", uri.authority().map_or("none", |authority| authority.as_str()))
    };
    Router::new()
        .route("/", axum::routing::get(echo))
        .route("/large", axum::routing::get(|| async { Bytes::from(vec![7; LARGE]) }))
        .route("/slow", axum::routing::get(|| sleep(SLOW)))
        .route("/never", axum::routing::get(|| async { std::future::pending::<()>().await }))
}

#[tokio::test]
async fn a_connection_that_waits_before_its_first_request_is_not_slow() {
    let clock = Clock::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, received_at(), settings(Duration::ZERO), Ending::default(), clock.now()));
    let connection = TcpStream::connect(address).await.unwrap();
    clock.set_after_accept(30).await;
    let (mut client, connection) = client::handshake(connection).await.unwrap();
    tokio::spawn(connection);
    for later in [30, 60] {
        clock.set_after_accept(later).await;
        let (answer, _) = client.send_request(get("/"), true).unwrap();
        let answer = timeout(DEADLINE, answer).await.unwrap().unwrap();
        assert_eq!(body(answer.into_body()).await, later.to_string().as_bytes());
    }
}

#[tokio::test]
async fn both_versions_are_served_at_one_port() {
    let server = Server::start(routes(), |_| {}).await;
    let (mut client, _connection) = server.client().await;
    let (answer, _) = client.send_request(get("/"), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, axum::http::Version::HTTP_2));
    let text = String::from_utf8(body(answer.into_body()).await).unwrap();
    assert!(text.starts_with("127.0.0.1:") && text.ends_with(" localhost"), "{text}");
    let (large, _) = client.send_request(get("/large"), true).unwrap();
    assert_eq!(body(large.await.unwrap().into_body()).await, vec![7; LARGE]);
    let mut other = server.connect().await;
    other.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest_of(other).await.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_preface_that_never_comes() {
    let server = Server::start(routes(), |http| http.header_timeout = SHORT).await;
    let begun = Instant::now();
    let mut ended = JoinSet::new();
    for beginning in [&b""[..], b"P", &PREFACE[..20]] {
        let mut connection = server.connect().await;
        connection.write_all(beginning).await.unwrap();
        ended.spawn(rest_of(connection));
    }
    assert_eq!(ended.join_all().await, [b""; 3]);
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn h2_that_never_settles() {
    let server = Server::start(routes(), |http| http.header_timeout = SHORT).await;
    let mut ended = JoinSet::new();
    let ping = frame(6, 0, 0, &[0; 8]);
    for beginning in [PREFACE.to_vec(), [PREFACE, SETTINGS].concat(), [PREFACE, SETTINGS, &ping].concat()] {
        let mut connection = server.connect().await;
        connection.write_all(&beginning).await.unwrap();
        ended.spawn(rest_of(connection));
    }
    ended.join_all().await;
    // A client that sent one request and then nothing gets GOAWAY.
    let (mut client, connection) = server.client().await;
    let (answer, _) = client.send_request(get("/"), true).unwrap();
    body(answer.await.unwrap().into_body()).await;
    timeout(DEADLINE, connection).await.expect("it ends").unwrap().expect("and well");
}

#[tokio::test]
async fn rapid_resets_are_ended() {
    let server = Server::start(routes(), |_| {}).await;
    let mut connection = server.connect().await;
    let mut flood = [PREFACE, SETTINGS].concat();
    for nth in 0..500 {
        flood.extend(frame(1, 5, 2 * nth + 1, HEAD));
        flood.extend(frame(3, 0, 2 * nth + 1, &8_u32.to_be_bytes()));
    }
    connection.write_all(&flood).await.unwrap();
    let enhance_your_calm = 11;
    assert_eq!(goaway(&rest_of(connection).await), Some(enhance_your_calm));
}

#[tokio::test]
async fn who_takes_back_what_it_asks_for_one_by_one_is_ended_too() {
    let server = Server::start(routes(), |_| {}).await;
    let (mut client, mut connection) = server.client().await;
    let mut asked = 0;
    let flood = async {
        while let Ok(mut ready) = client.clone().ready().await {
            let Ok((_, mut stream)) = ready.send_request(get("/never"), true) else { break };
            // The server handles each request before its reset.
            sleep(Duration::from_millis(2)).await;
            stream.send_reset(h2::Reason::CANCEL);
            asked += 1;
            client = ready;
        }
    };
    let ended = async {
        tokio::select! {
            () = flood => {}
            _ = &mut connection => {}
        }
    };
    timeout(DEADLINE, ended).await.expect("it ends");
    assert!(asked > 50, "{asked}: a few are nothing");
}

#[tokio::test]
async fn headers_without_end_are_not_kept() {
    let server = Server::start(routes(), |_| {}).await;
    let mut connection = server.connect().await;
    let mut begin = [PREFACE, SETTINGS].concat();
    begin.extend(frame(1, 0, 1, HEAD));
    connection.write_all(&begin).await.unwrap();
    let more = frame(9, 0, 1, b"\x00\x01a\x01b").repeat(1_000);
    let flood = async { while connection.write_all(&more).await.is_ok() {} };
    timeout(DEADLINE, flood).await.expect("it is ended");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_reset_and_the_others_go_on() {
    let server = Server::start(routes(), |http| http.write_timeout = SHORT).await;
    let (client, _connection) = server.client().await;
    let (answer, _) = client.clone().send_request(get("/large"), true).unwrap();
    // The client opens no window for more than the first 64 KiB.
    let mut answer = answer.await.unwrap().into_body();
    let mut taken = 0;
    let ended = async {
        loop {
            match answer.data().await.expect("it doesn't end well") {
                Ok(piece) => taken += piece.len(),
                Err(error) => break error,
            }
        }
    };
    let error = timeout(DEADLINE, ended).await.expect("it ends");
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    assert!((1..LARGE).contains(&taken), "{taken}");
    // The unread data has used up the connection's window.
    answer.flow_control().release_capacity(taken).unwrap();
    let (another, _) = client.clone().ready().await.unwrap().send_request(get("/large"), true).unwrap();
    let another = body(another.await.unwrap().into_body());
    assert_eq!(timeout(DEADLINE, another).await.expect("the connection goes on").len(), LARGE);
}

#[tokio::test]
async fn who_takes_nothing_of_many_answers_is_ended() {
    let server = Server::start(routes(), |http| http.write_timeout = SHORT).await;
    let (mut client, connection) = server.client().await;
    let mut held = Vec::new();
    let ask = async {
        // It waits while the maximum number of streams is open.
        while let Ok(ready) = client.ready().await {
            client = ready;
            let Ok((answer, _)) = client.send_request(get("/large"), true) else { break };
            let Ok(answer) = answer.await else { break };
            held.push(answer);
        }
    };
    timeout(DEADLINE, ask).await.expect("its connection is ended");
    let _ = timeout(DEADLINE, connection).await.expect("it ends").unwrap();
    assert!(held.len() > 100, "{}", held.len());
}

#[tokio::test]
async fn an_address_has_no_more_requests_than_connections() {
    let server = Server::start(routes(), |http| http.max_connections_per_address = 3).await;
    let (client, _connection) = server.client().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(client.clone().ready().await.unwrap().send_request(get("/never"), true).unwrap());
    }
    let (answer, _) = client.clone().ready().await.unwrap().send_request(get("/"), true).unwrap();
    assert_eq!(answer.await.unwrap_err().reason(), Some(h2::Reason::REFUSED_STREAM));
    drop(held);
    let again = async {
        loop {
            let (answer, _) = client.clone().ready().await.unwrap().send_request(get("/"), true).unwrap();
            if answer.await.is_ok() {
                break;
            }
        }
    };
    timeout(DEADLINE, again).await.expect("what is given back is given out again");
}

#[tokio::test]
async fn who_speaks_h2_is_told_of_the_end_and_answered() {
    let (arrived, go_on, router) = slow();
    let server = Server::start(router, |_| {}).await;
    let (mut client, connection) = server.client().await;
    let (answer, _) = client.send_request(get("/"), true).unwrap();
    arrived.notified().await;
    server.ending.announced.cancel();
    let told = async {
        while client.clone().ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, told).await.expect("it gets GOAWAY");
    go_on.notify_one();
    assert_eq!(body(answer.await.unwrap().into_body()).await, b"at last");
    timeout(DEADLINE, connection).await.expect("it ends").unwrap().expect("and well");
}

#[tokio::test]
async fn who_asks_before_it_hears_of_the_end_is_answered() {
    let server = Server::start(routes(), |_| {}).await;
    let mut connection = server.connect().await;
    connection.write_all(&[PREFACE, SETTINGS, &frame(1, 5, 1, HEAD)].concat()).await.unwrap();
    // Idle for long: only the time to see GOAWAY keeps the connection open.
    sleep(SLOW).await;
    server.ending.announced.cancel();
    sleep(SHORT).await;
    connection.write_all(&frame(1, 5, 3, SLOW_HEAD)).await.unwrap();
    let answers = rest_of(connection).await;
    let answered: Vec<u32> = frames(&answers).filter(|(kind, ..)| *kind == 1).map(|(_, stream, _)| stream).collect();
    assert_eq!(answered, [1, 3]);
}

/// A connection that was asked to leave no longer counts towards its address. So it must not send
/// further requests.
#[tokio::test]
async fn who_does_not_listen_to_the_end_is_not_served_for_ever() {
    let server = Server::start(routes(), |_| {}).await;
    let mut connection = server.connect().await;
    connection.write_all(&[PREFACE, SETTINGS, &frame(1, 5, 1, HEAD)].concat()).await.unwrap();
    server.ending.announced.cancel();
    let (mut reader, mut writer) = connection.split();
    // The client answers no PING. After the reply a server would accept no more requests.
    let asks = async {
        for stream in (3..).step_by(2) {
            sleep(Duration::from_millis(100)).await;
            if writer.write_all(&frame(1, 5, stream, HEAD)).await.is_err() {
                break;
            }
        }
    };
    let mut answers = Vec::new();
    let ended = async {
        tokio::select! {
            () = asks => {}
            _ = reader.read_to_end(&mut answers) => {}
        }
    };
    timeout(DEADLINE / 4, ended).await.expect("the server ends it");
    assert!(!answers.is_empty(), "and has answered before");
}
