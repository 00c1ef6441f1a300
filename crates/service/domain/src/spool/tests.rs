use std::convert::Infallible;

use futures_util::stream;
use tidegate_settings::FilesPlace;
use tidegate_testkit::{S3Server, poll_until};

use super::*;
use crate::files::tests::s3::files_of;
use crate::import::Format;

const LIMITS: UploadLimits = UploadLimits { bytes: 10, stall: Duration::from_secs(1), total: Duration::from_secs(60) };

/// Accepts every header.
fn take() -> HeaderCheck {
    HeaderCheck::new(Format::Ndjson)
}

fn spool() -> (tempfile::TempDir, Spool) {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(&FilesPlace::Directory, directory.path()).unwrap();
    let spool = Spool::open(&files, directory.path()).unwrap();
    (directory, spool)
}

fn name(spool: &Spool, id: &str) -> Upload {
    spool.name(JobId::new(id).unwrap())
}

fn names(spool: &Spool) -> usize {
    std::fs::read_dir(spool.path("")).unwrap().count()
}

#[tokio::test]
async fn a_whole_upload_is_there_under_its_id() {
    let (_directory, spool) = spool();
    let one = name(&spool, "one");
    let pieces = stream::iter(["abc", "de"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
    assert_eq!(spool.receive(&one, pieces, take(), LIMITS).await.unwrap().bytes, 5);
    assert_eq!(std::fs::read(spool.path("one")).unwrap(), b"abcde");
    spool.remove(&one).await.unwrap();
    spool.remove(&one).await.expect("gone already is fine");
    assert_eq!(names(&spool), 0);
}

#[tokio::test]
async fn an_upload_over_the_limit_leaves_nothing() {
    let (_directory, spool) = spool();
    let pieces = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(b"0123")));
    assert!(matches!(
        spool.receive(&name(&spool, "big"), pieces, take(), LIMITS).await,
        Err(SpoolError::TooLarge { limit: 10 })
    ));
    assert_eq!(names(&spool), 0);
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing() {
    let (_directory, spool) = spool();
    let pieces = stream::iter([Ok(Bytes::from_static(b"abc")), Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
    assert!(matches!(
        spool.receive(&name(&spool, "broken"), pieces, take(), LIMITS).await,
        Err(SpoolError::BrokeOff { .. })
    ));
    assert_eq!(names(&spool), 0);
}

#[tokio::test]
async fn who_is_too_slow_is_told_so() {
    let (_directory, spool) = spool();
    let pieces = stream::iter([Err::<Bytes, _>(axum::Error::new(TooSlow { rate: 512 }))]);
    let ended = spool.receive(&name(&spool, "dribble"), pieces, take(), LIMITS).await;
    assert!(matches!(ended, Err(SpoolError::Dribbles(TooSlow { rate: 512 }))), "{ended:?}");
    assert_eq!(names(&spool), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_upload_ends_and_leaves_nothing() {
    let (_directory, spool) = spool();
    let pieces = stream::pending::<Result<Bytes, Infallible>>();
    assert!(matches!(
        spool.receive(&name(&spool, "slow"), pieces, take(), LIMITS).await,
        Err(SpoolError::Stalled { .. })
    ));
    assert_eq!(names(&spool), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_only_dribbles_ends_and_leaves_nothing() {
    let (_directory, spool) = spool();
    let pieces = stream::unfold((), async |()| {
        tokio::time::sleep(LIMITS.stall / 2).await;
        Some((Ok::<_, Infallible>(Bytes::new()), ()))
    });
    let limits = UploadLimits { total: Duration::from_secs(5), ..LIMITS };
    let ended = spool.receive(&name(&spool, "dribble"), Box::pin(pieces), take(), limits).await;
    assert!(matches!(ended, Err(SpoolError::TooSlow { limit }) if limit == limits.total), "{ended:?}");
    assert_eq!(names(&spool), 0);
}

#[tokio::test]
async fn a_refused_piece_ends_the_upload_before_the_next_one_comes() {
    let (_directory, spool) = spool();
    // A second read would wait for ever.
    let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"no\n"))]).chain(stream::pending());
    let limits = UploadLimits { stall: Duration::from_secs(3600), ..LIMITS };
    let ended = spool.receive(&name(&spool, "wrong"), pieces, HeaderCheck::new(Format::Csv), limits).await;
    assert!(matches!(ended, Err(SpoolError::Header(HeaderError::Columns { .. }))), "{ended:?}");
    assert_eq!(names(&spool), 0);
}

/// Opens a spool in the bucket of that server, with the limits of an upload that has several parts.
fn in_bucket(s3: &S3Server) -> (tempfile::TempDir, Spool, UploadLimits) {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(&files_of(s3), directory.path()).unwrap();
    (directory, spool, UploadLimits { bytes: 20 << 20, ..LIMITS })
}

/// Waits until no part is left in the bucket.
async fn gives_up_its_parts(s3: &S3Server) {
    let given_up = async || (s3.unfinished() == 0).then_some(());
    poll_until(Duration::from_secs(60), given_up).await.expect("its parts are removed");
    assert!(s3.begun() > 0);
    assert_eq!(s3.keys(), [""; 0]);
}

#[tokio::test]
async fn two_uploads_for_one_job_are_two_files_of_a_bucket() {
    let s3 = S3Server::start().await;
    let (_directory, spool, limits) = in_bucket(&s3);
    let mut uploads = Vec::new();
    for content in ["abc", "abd"] {
        let upload = name(&spool, "one");
        let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from(content))]);
        let received = spool.receive(&upload, pieces, take(), limits).await.unwrap();
        assert_eq!(Upload::of(JobId::new("one").unwrap(), received.file.as_ref()), upload);
        uploads.push((upload, content));
    }
    assert!(s3.keys().iter().all(|key| key.starts_with("some/where/upload/one/")), "{:?}", s3.keys());
    for (upload, content) in uploads {
        let mut reader = spool.read(&upload).await.unwrap();
        let read = tokio::task::spawn_blocking(move || io::read_to_string(&mut reader)).await.unwrap();
        assert_eq!(read.unwrap(), content);
        spool.remove(&upload).await.unwrap();
        spool.remove(&upload).await.expect("gone already is fine");
        assert_eq!(spool.read(&upload).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
    assert_eq!(s3.keys(), [""; 0]);
    assert_eq!(names(&spool), 0, "nothing is in the directory");
}

#[tokio::test]
async fn an_upload_over_the_limit_leaves_nothing_in_a_bucket() {
    let s3 = S3Server::start().await;
    let (_directory, spool, limits) = in_bucket(&s3);
    let pieces = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b'x'; 1 << 20])));
    let ended = spool.receive(&name(&spool, "big"), pieces, take(), limits).await;
    assert!(matches!(ended, Err(SpoolError::TooLarge { .. })), "{ended:?}");
    gives_up_its_parts(&s3).await;
}

#[tokio::test]
async fn an_upload_whose_client_goes_away_leaves_nothing_in_a_bucket() {
    let s3 = S3Server::start().await;
    let (_directory, spool, limits) = in_bucket(&s3);
    let some = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b'x'; 9 << 20]))]);
    let upload = name(&spool, "gone");
    let receiving = spool.receive(&upload, some.chain(stream::pending()), take(), limits);
    let is_begun = poll_until(Duration::from_secs(60), async || (s3.unfinished() > 0).then_some(()));
    tokio::select! {
        ended = receiving => panic!("it waits for more: {ended:?}"),
        begun = is_begun => begun.unwrap(),
    }
    gives_up_its_parts(&s3).await;
}

#[tokio::test]
async fn a_wrong_header_leaves_nothing_in_a_bucket_also_at_the_end() {
    let s3 = S3Server::start().await;
    let (_directory, spool, limits) = in_bucket(&s3);
    for content in ["no\n", "title,starts_at"] {
        let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from(content))]);
        let ended = spool.receive(&name(&spool, "wrong"), pieces, HeaderCheck::new(Format::Csv), limits).await;
        assert!(matches!(ended, Err(SpoolError::Header(_))), "{ended:?}");
    }
    gives_up_its_parts(&s3).await;
}

#[tokio::test]
async fn a_bucket_that_is_away_is_an_error_that_passes() {
    let s3 = S3Server::start().await;
    let (_directory, spool, limits) = in_bucket(&s3);
    s3.be_busy(true);
    // A client whose body is read waits for ever.
    let pieces = stream::pending::<Result<Bytes, Infallible>>();
    let ended = spool.receive(&name(&spool, "one"), pieces, take(), limits).await;
    assert!(matches!(&ended, Err(SpoolError::Files(error)) if error.is_transient()), "{ended:?}");
}

#[tokio::test]
async fn a_process_without_a_bucket_says_that_it_lacks_it() {
    let s3 = S3Server::start().await;
    let (_directory, with_bucket, _) = in_bucket(&s3);
    let (_other, without) = spool();
    let upload = name(&with_bucket, "one");
    let error = without.read(&upload).await.unwrap_err();
    assert!(error.to_string().contains("TIDEGATE_FILES_URL"), "{error}");
    assert!(without.remove(&upload).await.is_err());
}
