//! Reading files from any byte.

use std::io::{self, Read, Seek, SeekFrom};

use tidegate_testkit::S3Server;

use super::s3::files_of;
use super::*;

/// Longer than two windows, and different at every position.
fn content() -> Vec<u8> {
    (0..(5_u32 << 20) / 2).map(|byte| u8::try_from(byte % 251).unwrap()).collect()
}

async fn stored(files: &Files) -> FileAt {
    let at = FileAt::of_tenant(FileKind::Export, acme());
    let mut file = files.create(at.clone()).await.unwrap();
    file.write(&content()).await.unwrap();
    file.finish().await.unwrap();
    at
}

/// Reads to the end, on a thread that may block.
async fn read_on(mut reader: FileReader) -> (FileReader, io::Result<Vec<u8>>) {
    let read = move || {
        let mut read = Vec::new();
        let outcome = reader.read_to_end(&mut read);
        (reader, outcome.map(|_| read))
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

async fn is_read_from_every_place(files: &Files) {
    let (at, whole) = (stored(files).await, content());
    let mut reader = files.open_reader(&at).await.unwrap();
    assert_eq!(reader.size(), whole.len() as u64);
    let size = i64::try_from(whole.len()).unwrap();
    for (to, byte) in [
        (SeekFrom::Start(0), 0),
        (SeekFrom::Start(1 << 20), 1 << 20),
        (SeekFrom::Start((1 << 20) + 7), (1 << 20) + 7),
        (SeekFrom::End(-3), whole.len() - 3),
        (SeekFrom::Current(-size), 0),
        (SeekFrom::End(0), whole.len()),
        (SeekFrom::End(10), whole.len() + 10),
    ] {
        assert_eq!(reader.seek(to).unwrap(), byte as u64);
        let (same, read) = read_on(reader).await;
        reader = same;
        assert!(read.unwrap() == whole.get(byte..).unwrap_or_default(), "{to:?}");
        // The next seek is relative to this position.
        reader.seek(SeekFrom::Start(whole.len() as u64)).unwrap();
    }
    assert!(reader.seek(SeekFrom::End(-1 - size)).is_err());
    let missing = FileAt::of_operations(FileKind::Backup);
    assert!(files.open_reader(&missing).await.is_err_and(|error| error.is_missing()));
}

#[tokio::test]
async fn a_file_is_read_from_every_place_of_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(&FilesPlace::Directory, directory.path()).unwrap();
    is_read_from_every_place(&files).await;
}

#[tokio::test]
async fn a_file_is_read_from_every_place_of_a_bucket() {
    let s3 = S3Server::start().await;
    is_read_from_every_place(&files_of(&s3)).await;
}

#[tokio::test]
async fn a_window_of_a_bucket_is_asked_for_once() {
    let s3 = S3Server::start().await;
    let files = files_of(&s3);
    let mut reader = files.open_reader(&stored(&files).await).await.unwrap();
    let mut begin = [0; 100];
    reader = tokio::task::spawn_blocking(move || {
        for place in [0, 10, 0, 1000] {
            reader.seek(SeekFrom::Start(place)).unwrap();
            reader.read_exact(&mut begin).unwrap();
        }
        reader
    })
    .await
    .unwrap();
    assert_eq!(s3.reads(), 1);
    reader.seek(SeekFrom::Start(0)).unwrap();
    assert!(read_on(reader).await.1.unwrap() == content());
    assert_eq!(s3.reads(), 3);
}

/// Each response is shorter than a window, and the client gives up after a few of them.
#[tokio::test]
async fn answers_that_are_cut_off_are_gone_on_with() {
    let s3 = S3Server::start().await;
    let files = files_of(&s3);
    let at = stored(&files).await;
    s3.cut_off_after(Some(150_000));
    let reader = files.open_reader(&at).await.unwrap();
    assert!(read_on(reader).await.1.unwrap() == content());
    assert!(s3.cuts() > 10, "{}", s3.cuts());
}

#[tokio::test]
async fn a_read_that_failed_can_be_repeated_at_the_same_place() {
    let s3 = S3Server::start().await;
    let files = files_of(&s3);
    let reader = files.open_reader(&stored(&files).await).await.unwrap();
    s3.cut_off_after(Some(0));
    let (reader, nothing) = read_on(reader).await;
    let error = nothing.unwrap_err();
    let below = error.get_ref().and_then(|below| below.downcast_ref::<FilesError>());
    assert!(below.is_some_and(FilesError::is_transient), "{error:?}");
    s3.cut_off_after(None);
    assert!(read_on(reader).await.1.unwrap() == content());
}

#[tokio::test]
async fn two_contents_are_never_read_as_one() {
    let s3 = S3Server::start().await;
    let files = files_of(&s3);
    let mut reader = files.open_reader(&stored(&files).await).await.unwrap();
    let mut begin = [0; 100];
    reader =
        tokio::task::spawn_blocking(move || reader.read_exact(&mut begin).map(|()| reader)).await.unwrap().unwrap();
    let key = s3.keys().pop().unwrap();
    s3.replace(&key, content());
    let error = read_on(reader).await.1.unwrap_err();
    let below = error.get_ref().and_then(|below| below.downcast_ref());
    assert!(matches!(below, Some(FilesError::Replaced { .. })), "{error:?}");
}
