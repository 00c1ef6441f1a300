mod read;
pub(crate) mod s3;

use std::time::Duration;

use super::*;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tidegate_model::tenant::TenantId;

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

async fn content(files: &Files, at: &FileAt) -> Vec<u8> {
    let (size, pieces) = files.read(at).await.unwrap();
    let content = pieces.try_collect::<Vec<_>>().await.unwrap().concat();
    assert_eq!(content.len() as u64, size);
    content
}

async fn listed(files: &Files, kind: FileKind) -> Vec<FileAt> {
    files.list(kind).map_ok(|stored| stored.at).try_collect().await.unwrap()
}

/// Tests every guarantee of a file store. `parts` are the sizes of the writes in bytes.
async fn keeps_its_promises(files: &Files, parts: &[usize]) {
    let at = FileAt::of_tenant(FileKind::Export, acme());
    let mut file = files.create(at.clone()).await.unwrap();
    let mut whole = Vec::new();
    for (number, size) in parts.iter().enumerate() {
        let piece: Vec<u8> = (0..*size).map(|byte| u8::try_from((byte + number) % 251).unwrap()).collect();
        file.write(&piece).await.unwrap();
        whole.extend(piece);
        assert!(files.read(&at).await.is_err_and(|error| error.is_missing()), "half of it is seen");
        assert!(listed(files, FileKind::Export).await.is_empty());
    }
    let written = file.finish().await.unwrap();
    assert_eq!(written, Written { bytes: whole.len() as u64, sha256: HEXLOWER.encode(&Sha256::digest(&whole)) });
    assert!(content(files, &at).await == whole);
    assert_eq!(listed(files, FileKind::Export).await, std::slice::from_ref(&at));
    assert!(listed(files, FileKind::Backup).await.is_empty());

    let backup = FileAt::of_operations(FileKind::Backup);
    let empty = files.create(backup.clone()).await.unwrap().finish().await.unwrap();
    assert_eq!(empty.bytes, 0);
    assert!(content(files, &backup).await.is_empty());
    assert_eq!(listed(files, FileKind::Backup).await, std::slice::from_ref(&backup));

    for at in [&at, &backup] {
        files.remove(at).await.unwrap();
        files.remove(at).await.expect("gone already is fine");
        assert!(files.read(at).await.is_err_and(|error| error.is_missing()));
    }
}

async fn abandoned(files: &Files) -> FileAt {
    let mut file = files.create(FileAt::of_tenant(FileKind::Export, acme())).await.unwrap();
    file.write(&vec![7; 9 << 20]).await.unwrap();
    file.at().clone()
}

#[tokio::test]
async fn a_file_in_a_directory_is_whole_or_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(&FilesPlace::Directory, directory.path()).unwrap();
    keeps_its_promises(&files, &[10, 0, 17 << 20, 1]).await;

    let at = abandoned(&files).await;
    let left = directory.path().join("files/export/acme");
    let thrown_away = async {
        while std::fs::read_dir(&left).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), thrown_away).await.expect("nothing stays of what was given up");
    assert!(files.read(&at).await.is_err());
}

#[tokio::test]
async fn files_of_tenants_are_closed_to_other_accounts() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    Files::open(&FilesPlace::Directory, directory.path()).unwrap();
    let mode = std::fs::metadata(directory.path().join("files")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_once_it_is_old() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(&FilesPlace::Directory, directory.path()).unwrap();
    let at = FileAt::of_tenant(FileKind::Export, acme());
    files.create(at.clone()).await.unwrap().finish().await.unwrap();
    let left = directory.path().join(format!("files/export/acme/{}#1", FileId::generate()));
    std::fs::write(&left, "half").unwrap();
    files.remove_unfinished(Duration::from_secs(3600)).await.unwrap();
    assert!(left.exists(), "a process may be writing it");
    assert_eq!(listed(&files, FileKind::Export).await, std::slice::from_ref(&at), "half a file is not listed");
    files.remove_unfinished(Duration::ZERO).await.unwrap();
    assert!(!left.exists());
    assert_eq!(listed(&files, FileKind::Export).await, [at]);
}

#[test]
fn a_key_is_read_back_and_what_is_foreign_is_not_ours() {
    let prefix = Path::parse("some/where").unwrap();
    for at in [
        FileAt::of_tenant(FileKind::Export, "a.b_c-D".parse().unwrap()),
        FileAt::of_operations(FileKind::Backup),
        FileAt::of_upload(JobId::new("ik-0123456789abcdef").unwrap(), FileId::generate()),
        FileAt::of_upload(JobId::generate(), FileId::generate()),
    ] {
        assert_eq!(at_key(&prefix, &key_of(&at, &prefix)), Some(at.clone()));
        assert_eq!(at_key(&Path::default(), &key_of(&at, &prefix)), None);
    }
    for foreign in ["some/where/readme.txt", "some/where/other/x", "some/where/export/acme/deep/er"] {
        assert_eq!(at_key(&prefix, &Path::parse(foreign).unwrap()), None);
    }
}
