//! The content of the bucket.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED};

use super::answer::{Answer, content, cut_off, empty, refuse, text};

/// Smallest size of a part, except for the last one.
const SMALLEST_PART: usize = 5 << 20;

#[derive(Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Object>,
    /// Parts by upload and number.
    pub(super) uploads: HashMap<String, BTreeMap<u32, Bytes>>,
    pub(super) begun: u64,
    pub(super) reads: u64,
    pub(super) cuts: u64,
    pub(super) is_busy: bool,
    pub(super) cut_after: Option<usize>,
    versions: u64,
}

pub(super) struct Object {
    content: Bytes,
    version: String,
    written: SystemTime,
}

impl Bucket {
    #[expect(clippy::disallowed_methods, reason = "a server has a clock of its own, as S3 has")]
    pub(super) fn put(&mut self, key: &str, content: Bytes) {
        self.versions += 1;
        let version = format!("\"{}\"", self.versions);
        self.objects.insert(key.to_owned(), Object { content, version, written: SystemTime::now() });
    }

    pub(super) fn list(&self, prefix: &str) -> Answer {
        let found = self.objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, object)| {
            let (size, written) = (object.content.len(), humantime::format_rfc3339(object.written));
            format!("<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>{written}</LastModified></Contents>")
        });
        text(StatusCode::OK, format!("<ListBucketResult>{}</ListBucketResult>", found.collect::<String>()))
    }

    pub(super) fn head(&self, key: &str) -> Answer {
        let Some(object) = self.objects.get(key) else { return empty(StatusCode::NOT_FOUND) };
        let mut answer = object.described(empty(StatusCode::OK));
        answer.headers_mut().insert(CONTENT_LENGTH, object.content.len().into());
        answer
    }

    pub(super) fn get(&mut self, key: &str, range: &str, version: &str) -> Answer {
        let Some(object) = self.objects.get(key) else { return refuse(StatusCode::NOT_FOUND, "NoSuchKey") };
        if !version.is_empty() && version != object.version {
            return refuse(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        self.reads += 1;
        let size = object.content.len();
        let (status, asked) = match range.strip_prefix("bytes=") {
            Some(range) => (StatusCode::PARTIAL_CONTENT, bounds(range, size)),
            None => (StatusCode::OK, Some(0..size)),
        };
        let Some(asked) = asked else { return refuse(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange") };
        let part = object.content.slice(asked.clone());
        let answer = match self.cut_after {
            Some(after) if after < part.len() => {
                self.cuts += 1;
                cut_off(status, &part, after)
            }
            _ => content(status, part),
        };
        let mut answer = object.described(answer);
        if status == StatusCode::PARTIAL_CONTENT {
            insert(&mut answer, CONTENT_RANGE, &format!("bytes {}-{}/{size}", asked.start, asked.end - 1));
        }
        answer
    }

    pub(super) fn begin(&mut self) -> Answer {
        self.begun += 1;
        let upload = self.begun.to_string();
        let told =
            format!("<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>");
        self.uploads.insert(upload, BTreeMap::new());
        text(StatusCode::OK, told)
    }

    pub(super) fn part(&mut self, upload: &str, number: u32, body: Bytes) -> Answer {
        let Some(parts) = self.uploads.get_mut(upload) else { return refuse(StatusCode::NOT_FOUND, "NoSuchUpload") };
        parts.insert(number, body);
        let mut answer = empty(StatusCode::OK);
        insert(&mut answer, ETAG, &format!("\"part {number}\""));
        answer
    }

    pub(super) fn complete(&mut self, upload: &str, key: &str, said: &str) -> Answer {
        let Some(parts) = self.uploads.get(upload) else { return refuse(StatusCode::NOT_FOUND, "NoSuchUpload") };
        let numbers: Vec<u32> = elements(said, "PartNumber").iter().filter_map(|number| number.parse().ok()).collect();
        if numbers.is_empty() || !numbers.is_sorted() {
            return refuse(StatusCode::BAD_REQUEST, "InvalidPartOrder");
        }
        let Some(content) = numbers.iter().map(|number| parts.get(number)).collect::<Option<Vec<_>>>() else {
            return refuse(StatusCode::BAD_REQUEST, "InvalidPart");
        };
        if content[..content.len() - 1].iter().any(|part| part.len() < SMALLEST_PART) {
            return refuse(StatusCode::BAD_REQUEST, "EntityTooSmall");
        }
        let whole: Vec<u8> = content.iter().flat_map(|part| part.iter().copied()).collect();
        self.put(key, whole.into());
        self.uploads.remove(upload);
        let told = "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>";
        text(StatusCode::OK, told.to_owned())
    }

    pub(super) fn delete(&mut self, said: &str) -> Answer {
        let keys = elements(said, "Key");
        keys.iter().for_each(|key| drop(self.objects.remove(*key)));
        let gone: String = keys.iter().map(|key| format!("<Deleted><Key>{key}</Key></Deleted>")).collect();
        text(StatusCode::OK, format!("<DeleteResult>{gone}</DeleteResult>"))
    }
}

impl Object {
    fn described(&self, mut answer: Answer) -> Answer {
        insert(&mut answer, ETAG, &self.version);
        insert(&mut answer, LAST_MODIFIED, &httpdate::fmt_http_date(self.written));
        insert(&mut answer, ACCEPT_RANGES, "bytes");
        answer
    }
}

fn insert(answer: &mut Answer, name: HeaderName, value: &str) {
    answer.headers_mut().insert(name, HeaderValue::from_str(value).expect("the text of a header"));
}

/// Parses `first-last`; `last` is optional.
fn bounds(range: &str, size: usize) -> Option<Range<usize>> {
    let (first, last) = range.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let end = last.parse().map_or(size, |last: usize| size.min(last + 1));
    (first < end).then_some(first..end)
}

/// The texts of all elements with that name.
fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&begin).skip(1).filter_map(|rest| rest.split(&end).next()).collect()
}
