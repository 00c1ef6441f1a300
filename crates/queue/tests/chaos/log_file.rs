//! Records of what processes did: small entries in a file of each process, so that a kill loses
//! none that was written.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use tidegate_queue::{Clock, Timestamp};

const SIZE: usize = 16;

/// An event of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEntry {
    pub job: u32,
    /// The number of the lease; 0 if there is none.
    pub delivery: u32,
    /// Time of the machine's clock, in milliseconds.
    pub at: i64,
}

/// The machine's clock, in milliseconds.
pub fn now() -> i64 {
    Timestamp::now(&Clock::system()).unix_ms()
}

/// Milliseconds by which an entry may be late, if its process had to wait for the CPU.
#[cfg(feature = "redis")]
pub const LATE: i64 = 500;

impl LogEntry {
    pub fn now(job: u32, delivery: u32) -> Self {
        Self { job, delivery, at: now() }
    }

    fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..4].copy_from_slice(&self.job.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.delivery.to_le_bytes());
        bytes[8..].copy_from_slice(&self.at.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            job: u32::from_le_bytes(bytes[..4].try_into().unwrap()),
            delivery: u32::from_le_bytes(bytes[4..8].try_into().unwrap()),
            at: i64::from_le_bytes(bytes[8..].try_into().unwrap()),
        }
    }
}

/// A file that one process writes.
pub struct LogFile(File);

impl LogFile {
    pub fn open(directory: &Path, name: &str) -> Self {
        Self(File::options().append(true).create(true).open(directory.join(name)).unwrap())
    }

    /// One write, so that a kill leaves all of it or nothing.
    pub fn add(&self, entries: &[LogEntry]) {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_bytes()).collect();
        (&self.0).write_all(&bytes).unwrap();
    }
}

/// Number of entries in the files whose names have the prefix.
pub fn count(directory: &Path, prefix: &str) -> usize {
    files(directory, prefix).iter().map(|file| usize::try_from(file.metadata().unwrap().len()).unwrap() / SIZE).sum()
}

/// All entries of the files whose names have the prefix.
pub fn read(directory: &Path, prefix: &str) -> Vec<LogEntry> {
    let read = |file: &std::fs::DirEntry| {
        let bytes = std::fs::read(file.path()).unwrap();
        bytes.chunks_exact(SIZE).map(LogEntry::from_bytes).collect::<Vec<_>>()
    };
    files(directory, prefix).iter().flat_map(read).collect()
}

fn files(directory: &Path, prefix: &str) -> Vec<std::fs::DirEntry> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap());
    files.filter(|file| file.file_name().to_str().unwrap().starts_with(prefix)).collect()
}
