//! TLS: successful and failed handshakes, and renewed certificates.

use std::io::ErrorKind;

use axum::http::header::STRICT_TRANSPORT_SECURITY;
use bytes::Bytes;
use h2::client;
use hyper::Request;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tidegate_testkit::poll_until;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tls::test_ground::{Files, TestCertificate};

const SHORT: Duration = Duration::from_millis(500);
/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);
const H1: &[&[u8]] = &[b"http/1.1"];
const LARGE: usize = 8 << 20;

/// A server with a certificate of its own, until it is dropped.
struct Server {
    made: TestCertificate,
    files: Files,
    certificates: Arc<Certificates>,
    address: SocketAddr,
    ending: Ending,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(change: impl FnOnce(&mut Bounds)) -> Self {
        let made = TestCertificate::new();
        let files = Files::of(&made);
        let certificates = Arc::new(Certificates::open(files.settings()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = settings(Duration::from_secs(600));
        settings.tls = Some(Arc::clone(&certificates));
        change(&mut settings.bounds);
        let ending = Ending::default();
        let how =
            |by_tls: Option<Extension<ByTls>>| async move { if by_tls.is_some() { "by TLS" } else { "in clear" } };
        let large = || async { Bytes::from(vec![7; LARGE]) };
        let router = Router::new().route("/", get(how)).route("/large", get(large));
        let serving = tokio::spawn(serve(listener, router, settings, ending.clone(), || Duration::ZERO));
        Self { made, files, certificates, address, ending, serving }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(&self, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        timeout(DEADLINE, TlsConnector::from(config).connect(name, self.tcp().await)).await.unwrap()
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        self.tls(self.made.client(H1)).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Returns the head and the body of a response over a connection that stays open.
async fn ask(connection: &mut TlsStream<TcpStream>) -> String {
    connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"by TLS") {
        text.push(timeout(DEADLINE, connection.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(text).unwrap()
}

async fn closed_after(connection: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    let mut bytes = Vec::new();
    // A reset counts as the end too.
    let _ = timeout(DEADLINE, connection.read_to_end(&mut bytes)).await.expect("the server closes it");
    begun.elapsed()
}

#[tokio::test]
async fn a_connection_that_waits_before_its_first_request_is_not_slow() {
    let made = TestCertificate::new();
    let files = Files::of(&made);
    let clock = Clock::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut settings = settings(Duration::ZERO);
    settings.tls = Some(Arc::new(Certificates::open(files.settings()).unwrap()));
    tokio::spawn(serve(listener, received_at(), settings, Ending::default(), clock.now()));
    let tcp = TcpStream::connect(address).await.unwrap();
    // Before the handshake, after it, and between two requests.
    clock.set_after_accept(30).await;
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = TlsConnector::from(made.client(H1)).connect(name, tcp).await.unwrap();
    for later in [60, 90] {
        clock.set_after_accept(later).await;
        connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(format!("\r\n\r\n{later}").as_bytes()) {
            answer.push(timeout(DEADLINE, connection.read_u8()).await.unwrap().unwrap());
            assert!(answer.len() < 1_000, "{}", String::from_utf8_lossy(&answer));
        }
    }
}

#[tokio::test]
async fn http1_is_spoken_by_alpn_and_without_it() {
    let server = Server::start(|_| {}).await;
    for (alpn, agreed) in [(H1, Some(&b"http/1.1"[..])), (&[], None)] {
        let mut connection = server.tls(server.made.client(alpn)).await.unwrap();
        assert_eq!(connection.get_ref().1.alpn_protocol(), agreed);
        for _ in 0..2 {
            let answer = ask(&mut connection).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
        }
    }
}

#[tokio::test]
async fn http2_is_spoken_by_alpn() {
    let server = Server::start(|_| {}).await;
    let connection = server.tls(server.made.client(&[b"h2", b"http/1.1"])).await.unwrap();
    assert_eq!(connection.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = client::handshake(connection).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let answer = timeout(DEADLINE, answer).await.unwrap().unwrap();
    assert_eq!(answer.version(), axum::http::Version::HTTP_2);
    assert_eq!(answer.headers()[STRICT_TRANSPORT_SECURITY], "max-age=31536000");
    assert_eq!(answer.into_body().data().await.unwrap().unwrap(), "by TLS");
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    use rustls::version::{TLS12, TLS13};
    let server = Server::start(|_| {}).await;
    for version in [&TLS12, &TLS13] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(server.made.der.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connection = server.tls(Arc::new(config)).await.unwrap();
        assert_eq!(connection.get_ref().1.protocol_version(), Some(version.version));
        ask(&mut connection).await;
    }
}

#[tokio::test]
async fn who_never_shakes_hands_is_ended_in_time() {
    let server = Server::start(|http| http.header_timeout = SHORT).await;
    assert!(closed_after(&mut server.tcp().await).await >= SHORT / 2);
    // The first bytes of another protocol, and nothing after them.
    let mut begun = server.tcp().await;
    begun.write_all(&[22, 3, 1, 0, 200, 1]).await.unwrap();
    assert!(closed_after(&mut begun).await >= SHORT / 2);
}

#[tokio::test]
async fn a_handshake_that_dribbles_in_is_ended_in_time() {
    let server = Server::start(|http| http.header_timeout = SHORT).await;
    let mut connection = server.tcp().await;
    let begun = Instant::now();
    // A record of 16,000 bytes, one at a time.
    let mut record = [&[22, 3, 1, 0x3e, 0x80, 1, 0, 0x3e, 0x7c][..], &[3; 16_000]].concat().into_iter();
    while connection.write_all(&[record.next().unwrap()]).await.is_ok() {
        assert!(begun.elapsed() < DEADLINE, "it goes on");
        let mut byte = [0];
        // Nothing arrives until the end.
        if let Ok(Ok(0) | Err(_)) = timeout(Duration::from_millis(20), connection.read(&mut byte)).await {
            break;
        }
    }
    assert!(begun.elapsed() >= SHORT / 2);
}

#[tokio::test]
async fn who_shakes_hands_and_asks_nothing_is_ended_in_time() {
    let server = Server::start(|http| http.header_timeout = SHORT).await;
    for alpn in [H1, &[b"h2"]] {
        let mut connection = server.tls(server.made.client(alpn)).await.unwrap();
        let mut bytes = Vec::new();
        let _ = timeout(DEADLINE, connection.read_to_end(&mut bytes)).await.expect("the server closes it");
    }
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_cut_off() {
    let server = Server::start(|http| http.write_timeout = SHORT).await;
    let mut connection = server.connect().await;
    connection.write_all(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // The first bytes have arrived. From now on the test reads nothing until the server has given
    // up.
    connection.read_u8().await.unwrap();
    server.ending.stop.cancel();
    let gone = poll_until(DEADLINE, async || server.serving.is_finished().then_some(())).await;
    assert!(gone.is_ok(), "the server does not wait for it for ever");
    let mut bytes = Vec::new();
    let end = connection.read_to_end(&mut bytes).await;
    assert!(end.is_err() && bytes.len() < LARGE, "{end:?}, {} bytes", bytes.len());
}

#[tokio::test]
async fn http_in_clear_is_told_that_tls_is_spoken() {
    let server = Server::start(|_| {}).await;
    let mut connection = server.tcp().await;
    connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = timeout(DEADLINE, rest(connection)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("\r\n\r\nthis port speaks HTTPS\n"), "{answer}");
    // A client that sends no text is disconnected without an explanation.
    let mut connection = server.tcp().await;
    connection.write_all(&[0; 8]).await.unwrap();
    assert_eq!(timeout(DEADLINE, rest(connection)).await.unwrap(), "");
}

#[tokio::test]
async fn a_renewed_certificate_is_for_new_connections_and_old_ones_go_on() {
    let server = Server::start(|_| {}).await;
    let mut old = server.connect().await;
    ask(&mut old).await;
    let renewed = TestCertificate::new();
    server.files.write("certificate.pem", &renewed.certificate);
    server.files.write("key.pem", &renewed.key);
    server.certificates.look(false);
    let mut new = server.tls(renewed.client(H1)).await.unwrap();
    ask(&mut new).await;
    assert!(server.tls(server.made.client(H1)).await.is_err(), "the old one is served no more");
    ask(&mut old).await;
}

#[tokio::test]
async fn a_pair_that_is_half_written_leaves_the_one_before() {
    let server = Server::start(|_| {}).await;
    let renewed = TestCertificate::new();
    server.files.write("certificate.pem", &renewed.certificate);
    server.certificates.look(false);
    ask(&mut server.connect().await).await;
    server.files.write("key.pem", &renewed.key[..40]);
    server.certificates.look(false);
    ask(&mut server.connect().await).await;
    std::fs::remove_file(server.files.path("certificate.pem")).unwrap();
    server.certificates.look(true);
    ask(&mut server.connect().await).await;
    // Now the pair is complete.
    server.files.write("certificate.pem", &renewed.certificate);
    server.files.write("key.pem", &renewed.key);
    server.certificates.look(false);
    ask(&mut server.tls(renewed.client(H1)).await.unwrap()).await;
}

#[tokio::test]
async fn an_end_is_told_as_one() {
    let server = Server::start(|_| {}).await;
    let mut connection = server.connect().await;
    ask(&mut connection).await;
    server.ending.stop.cancel();
    let mut bytes = Vec::new();
    let end = timeout(DEADLINE, connection.read_to_end(&mut bytes)).await.expect("the server ends it");
    // Without `close_notify` an attacker could have cut the connection, and rustls reports that.
    assert_ne!(end.as_ref().map_err(std::io::Error::kind), Err(ErrorKind::UnexpectedEof));
    assert_eq!(end.unwrap(), 0);
}
