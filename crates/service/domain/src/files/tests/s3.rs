//! Files in a bucket.

use std::time::Duration;

use tidegate_testkit::S3Server;

use super::*;

/// Returns a builder with the address of the server and that key.
fn builder(s3: &S3Server, key: &str) -> AmazonS3Builder {
    stand_in::builder(s3.port(), key, S3Server::SECRET)
}

fn files_in(s3: &S3Server, bucket: &str, key: &str) -> Files {
    Files::in_stand_in(s3.port(), bucket, (key, S3Server::SECRET))
}

/// Opens files in the bucket of that server.
pub(crate) fn files_of(s3: &S3Server) -> Files {
    files_in(s3, S3Server::BUCKET, S3Server::KEY)
}

#[tokio::test]
async fn a_file_in_a_bucket_is_whole_or_not_there() {
    let s3 = S3Server::start().await;
    let files = files_of(&s3);
    keeps_its_promises(&files, &[10, 0, 17 << 20, 1]).await;
    assert!(s3.begun() >= 2, "by parts");
    let at = abandoned(&files).await;
    assert!(files.read(&at).await.is_err_and(|error| error.is_missing()));
    assert!(listed(&files, FileKind::Export).await.is_empty());
    let thrown_away = async {
        while s3.unfinished() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), thrown_away).await.expect("no part stays of what was given up");
}

#[tokio::test]
async fn a_bucket_that_refuses_us_or_is_away_is_told_apart_and_no_secret_is_told() {
    let s3 = S3Server::start().await;
    let at = FileAt::of_operations(FileKind::Backup);
    let refused = files_in(&s3, S3Server::BUCKET, "AKIDSTRANGER").create(at.clone()).await.err().unwrap();
    assert!(matches!(refused, FilesError::Refused { .. }) && !refused.is_transient(), "{refused}");
    let elsewhere = files_in(&s3, "another-bucket", S3Server::KEY);
    let nowhere = elsewhere.create(at.clone()).await.err().unwrap();
    assert!(matches!(nowhere, FilesError::NoBucket { .. }) && !nowhere.is_transient(), "{nowhere}");
    let unread = elsewhere.open_reader(&at).await.err().unwrap();
    assert!(matches!(unread, FilesError::NoBucket { .. }), "{unread}");

    let files = files_of(&s3);
    s3.be_busy(true);
    let busy = files.create(at.clone()).await.err().unwrap();
    assert!(busy.is_transient(), "{busy}");
    s3.be_busy(false);
    let mut file = files.create(at.clone()).await.expect("it is back");
    file.write(b"content").await.unwrap();
    file.finish().await.unwrap();
    assert_eq!(content(&files, &at).await, b"content");

    drop(s3);
    let away = files.create(at.clone()).await.err().unwrap();
    assert!(away.is_transient(), "{away}");
    let errors = [refused, nowhere, unread, busy, away].map(|error| error.to_string());
    for told in errors.iter().chain([&format!("{files:?}")]) {
        assert!(!told.contains("secret") && !told.contains("127.0.0.1"), "{told}");
    }
}

/// Files are tenants' data, and each request carries the session token.
#[tokio::test]
async fn nothing_goes_to_a_bucket_without_tls_unless_that_is_allowed() {
    let s3 = S3Server::start().await;
    let files = Files::in_bucket(builder(&s3, S3Server::KEY), S3Server::BUCKET, &Path::default()).unwrap();
    let refused = files.create(FileAt::of_operations(FileKind::Backup)).await.err();
    assert!(refused.is_some_and(|error| !error.is_missing()));
    assert_eq!(s3.begun(), 0);
}
