//! HTTP/2 in plain text, by a client that knows that it is spoken.

use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use h2::client::{self, SendRequest};
use tokio::net::TcpStream;

use crate::harness::{Api, DEADLINE};

async fn client(api: &Api) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(api.url.trim_start_matches("http://")).await.expect("a connection");
    let (client, connection) = client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

async fn status(client: &mut SendRequest<Bytes>, target: &str, host: Option<&str>) -> StatusCode {
    let mut request = Request::get(target);
    if let Some(host) = host {
        request = request.header(header::HOST, host);
    }
    let request = request.body(()).expect("a request");
    let (answer, _) = client.send_request(request, true).expect("it is taken");
    tokio::time::timeout(DEADLINE, answer).await.expect("in time").expect("an answer").status()
}

#[tokio::test]
async fn h2_without_host_is_not_local() {
    let api = Api::start().await;
    let mut client = client(&api).await;
    let path = "/api/queue";
    let mut ask = async |authority: &str, host| {
        let target = if authority.is_empty() { path.to_owned() } else { format!("http://{authority}{path}") };
        status(&mut client, &target, host).await
    };
    assert_eq!(ask("localhost", None).await, 200);
    assert_eq!(ask("127.0.0.1:8080", Some("localhost")).await, 200);
    assert_eq!(ask("", Some("localhost")).await, 200);
    // A page that a foreign name led here names that name, in either way.
    assert_eq!(ask("evil.example", None).await, 403);
    assert_eq!(ask("evil.example", Some("localhost")).await, 403);
    assert_eq!(ask("localhost", Some("evil.example")).await, 403);
    assert_eq!(ask("", None).await, 403);
}
