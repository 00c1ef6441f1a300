//! Files in a bucket, of a server that speaks as much of S3 as a place of files needs.
//!
//! It is a small one of our own, so that the tests build no whole one and can make it fail as they like. It believes the
//! name of a key without its signature; parts and their sizes, listings and refusals are as S3 has them.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;

const KEY: &str = "AKIDTEST";
const BUCKET: &str = "the-bucket";
const WRITTEN: &str = "Mon, 23 Nov 2026 01:00:00 GMT";
/// No part but the last may be smaller.
const SMALLEST_PART: usize = 5 << 20;

/// What lies in the bucket.
#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Bytes>,
    /// By upload: its parts, by number.
    uploads: HashMap<String, BTreeMap<u32, Bytes>>,
    begun: u32,
    is_busy: bool,
}

type Shared = Arc<Mutex<Bucket>>;

struct S3 {
    address: SocketAddr,
    bucket: Shared,
    /// It serves until this is dropped.
    _serving: DropGuard,
}

impl S3 {
    async fn start() -> Self {
        let bucket = Shared::default();
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&bucket));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(axum::serve(listener, router).into_future()).await });
        Self { address, bucket, _serving: stop.drop_guard() }
    }

    fn builder(&self, key: &str) -> AmazonS3Builder {
        AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.address))
            .with_region("eu-central-1")
            .with_access_key_id(key)
            .with_secret_access_key("a-secret-that-is-never-told")
    }

    fn files(&self, bucket: &str, key: &str) -> Files {
        let builder = self.builder(key).with_allow_http(true);
        Files::in_bucket(builder, bucket, &Path::parse("some/where").unwrap()).unwrap()
    }
}

fn refuse(status: StatusCode, code: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code></Error>")).into_response()
}

async fn answer(
    State(bucket): State<Shared>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut bucket = bucket.lock().unwrap();
    let login = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !login.contains(&format!("Credential={KEY}/")) {
        return refuse(StatusCode::FORBIDDEN, "InvalidAccessKeyId");
    }
    if bucket.is_busy {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    }
    let path = uri.path().trim_start_matches('/');
    let (name, key) = path.split_once('/').unwrap_or((path, ""));
    if name != BUCKET {
        return refuse(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    let upload = query.get("uploadId");
    match (method, upload) {
        (Method::GET, _) if key.is_empty() => bucket.list(query.get("prefix").map_or("", String::as_str)),
        (Method::GET, _) => bucket.get(key),
        (Method::POST, _) if query.contains_key("delete") => bucket.delete(&String::from_utf8_lossy(&body)),
        (Method::POST, None) if query.contains_key("uploads") => bucket.begin(),
        (Method::PUT, Some(upload)) => bucket.part(upload, &query["partNumber"], body),
        (Method::POST, Some(upload)) => bucket.complete(upload, key, &String::from_utf8_lossy(&body)),
        (Method::DELETE, Some(upload)) => {
            bucket.uploads.remove(upload);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => refuse(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

/// What stands between each of these elements.
fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&begin).skip(1).map(|rest| rest.split(&end).next().unwrap()).collect()
}

impl Bucket {
    fn list(&self, prefix: &str) -> Response {
        let found = self.objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, content)| {
            let size = content.len();
            format!("<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>2026-11-23T01:00:00Z</LastModified></Contents>")
        });
        format!("<ListBucketResult>{}</ListBucketResult>", found.collect::<String>()).into_response()
    }

    fn get(&self, key: &str) -> Response {
        match self.objects.get(key) {
            Some(content) => {
                let told: [(HeaderName, &str); 2] = [(header::LAST_MODIFIED, WRITTEN), (header::ETAG, "\"whole\"")];
                (told, content.clone()).into_response()
            }
            None => refuse(StatusCode::NOT_FOUND, "NoSuchKey"),
        }
    }

    fn begin(&mut self) -> Response {
        self.begun += 1;
        self.uploads.insert(self.begun.to_string(), BTreeMap::new());
        let begun = self.begun;
        format!("<InitiateMultipartUploadResult><UploadId>{begun}</UploadId></InitiateMultipartUploadResult>")
            .into_response()
    }

    fn part(&mut self, upload: &str, number: &str, body: Bytes) -> Response {
        let Some(parts) = self.uploads.get_mut(upload) else { return refuse(StatusCode::NOT_FOUND, "NoSuchUpload") };
        parts.insert(number.parse().unwrap(), body);
        [(header::ETAG, format!("\"part {number}\""))].into_response()
    }

    fn complete(&mut self, upload: &str, key: &str, said: &str) -> Response {
        let Some(parts) = self.uploads.get(upload) else { return refuse(StatusCode::NOT_FOUND, "NoSuchUpload") };
        let numbers: Vec<u32> = elements(said, "PartNumber").iter().map(|number| number.parse().unwrap()).collect();
        if numbers.is_empty() || !numbers.is_sorted() {
            return refuse(StatusCode::BAD_REQUEST, "InvalidPartOrder");
        }
        let Some(content) = numbers.iter().map(|number| parts.get(number)).collect::<Option<Vec<_>>>() else {
            return refuse(StatusCode::BAD_REQUEST, "InvalidPart");
        };
        if content[..content.len() - 1].iter().any(|part| part.len() < SMALLEST_PART) {
            return refuse(StatusCode::BAD_REQUEST, "EntityTooSmall");
        }
        let whole = content.iter().flat_map(|part| part.iter().copied()).collect();
        self.objects.insert(key.to_owned(), whole);
        self.uploads.remove(upload);
        "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>".into_response()
    }

    fn delete(&mut self, said: &str) -> Response {
        let keys = elements(said, "Key");
        keys.iter().for_each(|key| drop(self.objects.remove(*key)));
        let gone: String = keys.iter().map(|key| format!("<Deleted><Key>{key}</Key></Deleted>")).collect();
        format!("<DeleteResult>{gone}</DeleteResult>").into_response()
    }
}

#[tokio::test]
async fn a_file_in_a_bucket_is_whole_or_not_there() {
    let s3 = S3::start().await;
    let files = s3.files(BUCKET, KEY);
    keeps_its_promises(&files, &[10, 0, 17 << 20, 1]).await;
    assert!(s3.bucket.lock().unwrap().begun >= 2, "by parts");
    let at = abandoned(&files).await;
    assert!(files.read(&at).await.is_err_and(|error| error.is_missing()));
    assert!(listed(&files, FileKind::Export).await.is_empty());
    let thrown_away = async {
        while !s3.bucket.lock().unwrap().uploads.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), thrown_away).await.expect("no part stays of what was given up");
}

#[tokio::test]
async fn a_bucket_that_refuses_us_or_is_away_is_told_apart_and_no_secret_is_told() {
    let s3 = S3::start().await;
    let at = FileAt::of_operations(FileKind::Backup);
    let refused = s3.files(BUCKET, "AKIDSTRANGER").create(at.clone()).await.err().unwrap();
    assert!(matches!(refused, FilesError::Refused { .. }) && !refused.is_transient(), "{refused}");
    let nowhere = s3.files("another-bucket", KEY).create(at.clone()).await.err().unwrap();
    assert!(nowhere.is_missing() && !nowhere.is_transient(), "{nowhere}");

    let files = s3.files(BUCKET, KEY);
    s3.bucket.lock().unwrap().is_busy = true;
    let busy = files.create(at.clone()).await.err().unwrap();
    assert!(busy.is_transient(), "{busy}");
    s3.bucket.lock().unwrap().is_busy = false;
    let mut file = files.create(at.clone()).await.expect("it is back");
    file.write(b"content").await.unwrap();
    file.finish().await.unwrap();
    assert_eq!(content(&files, &at).await, b"content");

    drop(s3);
    let away = files.create(at.clone()).await.err().unwrap();
    assert!(away.is_transient(), "{away}");
    for told in [refused, nowhere, busy, away].map(|error| error.to_string()).iter().chain([&format!("{files:?}")]) {
        assert!(!told.contains("secret") && !told.contains("127.0.0.1"), "{told}");
    }
}

/// Files are tenants' data, and a session's token goes with each request.
#[tokio::test]
async fn nothing_goes_to_a_bucket_without_tls_unless_that_is_allowed() {
    let s3 = S3::start().await;
    let files = Files::in_bucket(s3.builder(KEY), BUCKET, &Path::default()).unwrap();
    let refused = files.create(FileAt::of_operations(FileKind::Backup)).await.err();
    assert!(refused.is_some_and(|error| !error.is_missing()));
    assert_eq!(s3.bucket.lock().unwrap().begun, 0);
}
