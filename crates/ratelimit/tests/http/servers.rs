//! The layer in real servers: hyper with HTTP/1, and tonic's server and client with gRPC over
//! HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tidegate_ratelimit::{
    GrpcStatus, KeyExtractor, Limiter, MAX_KEY_BYTES, ManualClock, MemoryLimiter, ProblemJson, Quota, RateLimitLayer,
    RequestKey, SlidingWindow,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};
use tower::{Layer, Service, service_fn};

fn limiter(limit: u64) -> Arc<MemoryLimiter<SlidingWindow>> {
    let algorithm = SlidingWindow::new(Quota::per_minute(limit).unwrap());
    Arc::new(MemoryLimiter::builder("api é", algorithm).max_keys(1).clock(ManualClock::default()).build())
}

/// Raw bytes, for a service without generated code.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A gRPC server that echoes its input, with a limiter by the metadata `user`.
async fn grpc_server(limiter: Arc<dyn Limiter>) -> SocketAddr {
    let echo = service_fn(async |request: Request<Incoming>| {
        let echo = service_fn(async |message: tonic::Request<Bytes>| {
            Ok::<_, Status>(tonic::Response::new(message.into_inner()))
        });
        Ok::<_, Infallible>(tonic::server::Grpc::new(Raw).unary(Unary(echo), request).await)
    });
    let by_user = |request: &Request<Incoming>| match request.headers().get("user").map(|user| user.to_str()) {
        Some(Ok(user)) => RequestKey::new(user),
        _ => RequestKey::bad("say who you are"),
    };
    let service = RateLimitLayer::new(limiter, by_user).reject_with(GrpcStatus).layer(echo);
    serve(move |stream| {
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    })
    .await
}

#[derive(Clone)]
struct Unary<S>(S);

impl<S> tonic::server::UnaryService<Bytes> for Unary<S>
where
    S: Service<tonic::Request<Bytes>, Response = tonic::Response<Bytes>, Error = Status>,
{
    type Response = Bytes;
    type Future = S::Future;

    fn call(&mut self, request: tonic::Request<Bytes>) -> S::Future {
        self.0.call(request)
    }
}

async fn serve(mut accept: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accept(stream);
        }
    });
    address
}

async fn call(address: SocketAddr, user: Option<&str>) -> Result<tonic::Response<Bytes>, Status> {
    let channel = tonic::transport::Endpoint::from(Uri::try_from(format!("http://{address}")).unwrap());
    let mut client = Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let mut request = tonic::Request::new(Bytes::from_static(b"hello"));
    if let Some(user) = user {
        request.metadata_mut().insert("user", user.parse().unwrap());
    }
    client.unary(request, PathAndQuery::from_static("/echo.Echo/Say"), Raw).await
}

#[tokio::test]
async fn a_grpc_client_is_told_resource_exhausted_and_when_to_come_back() {
    let address = grpc_server(limiter(2)).await;
    for left in ["\"api _\";r=1;t=60", "\"api _\";r=0;t=60"] {
        let answer = call(address, Some("ada")).await.unwrap();
        assert_eq!(answer.metadata().get("ratelimit").unwrap(), left);
        assert_eq!(answer.into_inner(), "hello");
    }
    let status = call(address, Some("ada")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "limit 2/minute of api é reached; retry after 60 s");
    let metadata = status.metadata();
    assert_eq!(metadata.get("grpc-retry-pushback-ms").unwrap(), "60000");
    assert_eq!(metadata.get("retry-after").unwrap(), "60");
}

#[tokio::test]
async fn a_grpc_client_is_told_unavailable_when_nobody_can_count() {
    let limiter = limiter(2);
    // A blocked key uses the only capacity.
    limiter.block("banned", std::time::Duration::from_secs(60)).await.unwrap();
    let address = grpc_server(limiter).await;
    let status = call(address, Some("ada")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "api é can't count this request now"));
    assert_eq!(call(address, Some("banned")).await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(call(address, None).await.unwrap_err().code(), Code::InvalidArgument);
    let long = "u".repeat(MAX_KEY_BYTES + 1);
    assert_eq!(call(address, Some(&long)).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn one_server_answers_each_request_in_its_own_protocol() {
    let by_anything = |_: &Request<()>| "one";
    let inner = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::from("served"))));
    let service = RateLimitLayer::new(limiter(1), by_anything).reject_with(ProblemJson).layer(inner);
    let ask = async |content_type: &str| {
        let request = Request::post("/").header("content-type", content_type).body(()).unwrap();
        tower::ServiceExt::oneshot(service.clone(), request).await.unwrap()
    };
    assert_eq!(ask("application/json").await.body(), "served");
    let problem = ask("application/json").await;
    assert_eq!(
        (problem.status().as_u16(), &problem.headers()["content-type"]),
        (429, &"application/problem+json".parse().unwrap())
    );
    let status = ask("application/grpc+proto").await;
    assert_eq!((status.status().as_u16(), status.body().as_str()), (200, ""));
    assert_eq!(status.headers()["grpc-status"], "8");
    assert_eq!(status.headers()["content-type"], "application/grpc");
    assert_eq!(status.headers()["grpc-message"], "limit 1/minute of api %C3%A9 reached; retry after 60 s");
}

#[tokio::test]
async fn hyper_counts_a_client_by_its_address_whatever_it_forwards() {
    let limiter = limiter(2);
    let counted = Arc::clone(&limiter);
    let address = serve(move |stream| {
        let peer = stream.peer_addr().unwrap();
        let by_address = tidegate_ratelimit::ByAddress::new(move |_: &http::Extensions| Some(peer.ip()));
        let inner = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Full::from("served"))));
        let layer = RateLimitLayer::new(counted.clone() as Arc<dyn Limiter>, move |request: &Request<Incoming>| {
            by_address.key(request)
        });
        let service = TowerToHyperService::new(layer.reject_with(refused).layer(inner));
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    })
    .await;
    let mut statuses = Vec::new();
    for forged in ["6.6.6.1", "6.6.6.2", "6.6.6.3"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {forged}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        statuses.push(answer[9..12].to_owned());
    }
    assert_eq!(statuses, ["200", "200", "429"]);
    assert_eq!(limiter.stats().tracked_keys, 1);
}

fn refused(rejection: tidegate_ratelimit::Rejection<'_>) -> Response<Full<Bytes>> {
    let response: Response<String> = tidegate_ratelimit::Reject::reject(&ProblemJson, rejection);
    response.map(Full::from)
}
