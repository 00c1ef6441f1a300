//! The output of a process.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most lines kept. Older ones are dropped and counted.
const CAPACITY: usize = 10_000;

/// Stream of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line without its line break. Bytes that are not UTF-8 are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// Number of the run of the process, from 1.
    pub run: u32,
    /// The stream.
    pub stream: Stream,
    /// The text.
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.stream {
            Stream::Stdout => "out",
            Stream::Stderr => "err",
        };
        write!(f, "{}:{mark}| {}", self.run, self.text)
    }
}

/// The output of a [`Process`](crate::Process) over all its runs: the last 10,000 lines. Clones
/// share it.
#[derive(Clone, Debug, Default)]
pub struct Log {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    dropped: usize,
    run: u32,
}

impl Log {
    /// All lines that are kept, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.ring().lines.iter().cloned().collect()
    }

    /// The last `count` lines, oldest first.
    pub fn tail(&self, count: usize) -> Vec<LogLine> {
        let ring = self.ring();
        ring.lines.iter().skip(ring.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// Number of lines dropped because of the limit.
    pub fn dropped(&self) -> usize {
        self.ring().dropped
    }

    /// The first line of the current run whose text satisfies `matches`.
    pub fn find(&self, matches: impl Fn(&str) -> bool) -> Option<String> {
        let ring = self.ring();
        let this_run = ring.lines.iter().filter(|line| line.run == ring.run);
        this_run.map(|line| &line.text).find(|text| matches(text)).cloned()
    }

    /// Starts the next run, and returns its number.
    pub(crate) fn begin_run(&self) -> u32 {
        let mut ring = self.ring();
        ring.run += 1;
        ring.run
    }

    /// Reads lines from `source` until it ends. The last line needs no line break.
    pub(crate) fn read_from(&self, source: impl Read, run: u32, stream: Stream) {
        let mut source = BufReader::new(source);
        let mut bytes = Vec::new();
        while source.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            self.push(LogLine { run, stream, text });
            bytes.clear();
        }
    }

    fn push(&self, line: LogLine) {
        let mut ring = self.ring();
        if ring.lines.len() == CAPACITY {
            ring.lines.pop_front();
            ring.dropped += 1;
        }
        ring.lines.push_back(line);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Every change is complete in one statement, so a panic of another thread leaves no partial
        // change.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Log, Stream};

    fn texts(log: &Log) -> Vec<String> {
        log.lines().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_split_and_foreign_bytes_replaced() {
        let log = Log::default();
        let run = log.begin_run();
        log.read_from(&b"one\r\n\n\xff two\nlast"[..], run, Stream::Stderr);
        assert_eq!(texts(&log), ["one", "", "\u{fffd} two", "last"]);
        assert_eq!(log.lines()[0].to_string(), "1:err| one");
        assert_eq!(log.tail(1)[0].text, "last");
        assert_eq!(log.tail(100).len(), 4);
    }

    #[test]
    fn only_the_present_run_is_searched() {
        let log = Log::default();
        let first = log.begin_run();
        log.read_from(&b"ready\n"[..], first, Stream::Stdout);
        assert_eq!(log.find(|line| line == "ready").as_deref(), Some("ready"));

        let second = log.begin_run();
        assert_eq!(log.find(|line| line == "ready"), None);
        log.read_from(&b"ready\n"[..], second, Stream::Stdout);
        assert!(log.find(|line| line == "ready").is_some());
        assert_eq!(log.lines().iter().map(|line| line.run).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn the_oldest_lines_are_dropped_and_counted() {
        let log = Log::default();
        let run = log.begin_run();
        let printed: String = (0..CAPACITY + 3).map(|number| format!("{number}\n")).collect();
        log.read_from(printed.as_bytes(), run, Stream::Stdout);
        assert_eq!(log.lines().len(), CAPACITY);
        assert_eq!(log.dropped(), 3);
        assert_eq!(log.lines()[0].text, "3");
    }
}
