//! One reader over both formats, in chunks that a store can commit.

use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};
use tidegate_model::import::{Chunk, Position, Reject};
use tidegate_model::schedule::ScheduleDraft;

use super::csv::Header;
use super::entry::{Entry, Malformed, Record};
use super::error::ImportError;
use super::ndjson::{self, Lines};
use super::records::Records;

/// Bytes of the file after which a chunk is closed, even if it has few rows.
///
/// Without this limit a thousand rows of maximum length would be 64 MiB in memory and in one
/// transaction.
const CHUNK_BYTES: u64 = 4 * 1024 * 1024;

/// The format of an import file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `text/csv` with a header; the columns are named in any order.
    Csv,
    /// `application/x-ndjson`: one [`RawSchedule`](tidegate_model::schedule::RawSchedule) object a
    /// line.
    Ndjson,
}

/// The schedules of an import file, from any position at which a chunk ended.
///
/// A reader that is opened at [`Chunk::end`] continues exactly where the first one stopped. Blank
/// lines and the CSV header are neither rows nor rejects. Every other line belongs to exactly one
/// of them.
#[derive(Debug)]
pub struct Rows<R> {
    source: Source<R>,
    position: Position,
}

#[derive(Debug)]
enum Source<R> {
    Csv { header: Header, records: Records<R> },
    Ndjson(Lines<R>),
}

impl<R: Read + Seek> Rows<R> {
    /// Opens `reader`, a whole file, to read from `position`: [`Position::START`], or the `end` of
    /// a chunk.
    ///
    /// The header of a CSV file is read again each time.
    ///
    /// # Errors
    ///
    /// See [`ImportError`]. A CSV file without a valid header is refused here.
    pub fn open(mut reader: R, format: Format, position: Position) -> Result<Self, ImportError> {
        let length = reader.seek(SeekFrom::End(0))?;
        if position.byte > length {
            return Err(ImportError::PastEnd { byte: position.byte, length });
        }
        let header = match format {
            Format::Csv => {
                reader.seek(SeekFrom::Start(0))?;
                Some(Header::read(&mut reader)?)
            }
            Format::Ndjson => None,
        };
        let position = match &header {
            Some(header) if position.byte < header.end().byte => header.end(),
            _ => position,
        };
        reader.seek(SeekFrom::Start(position.byte))?;
        let source = match header {
            Some(header) => Source::Csv { header, records: Records::new(reader, position) },
            None => Source::Ndjson(Lines::new(reader, position)),
        };
        Ok(Self { source, position })
    }

    /// Reads until rows and rejects together are `max_rows` (0 counts as 1), 4 MiB of the file have
    /// been read, or the file ends. After the end, chunks are empty and finished.
    ///
    /// # Errors
    ///
    /// A failed read. The rows of this chunk are dropped, and every further call fails too. Open
    /// the file again at the `end` of the last chunk: then no line is lost or read twice.
    pub fn next_chunk(&mut self, max_rows: usize) -> io::Result<Chunk> {
        let begin = self.position;
        let mut chunk = Chunk { rows: Vec::new(), rejects: Vec::new(), end: begin, finished: false };
        while chunk.rows.len() + chunk.rejects.len() < max_rows.max(1) && chunk.end.byte - begin.byte < CHUNK_BYTES {
            let Some(line) = self.source.next_line()? else {
                chunk.finished = true;
                break;
            };
            chunk.end = line.end;
            match line.outcome {
                Ok(draft) => chunk.rows.push((line.number, draft)),
                Err(reject) => chunk.rejects.push(reject),
            }
        }
        self.position = chunk.end;
        Ok(chunk)
    }
}

/// One data line: its number, its result, and where the next one starts.
struct Line {
    number: u64,
    outcome: Result<ScheduleDraft, Reject>,
    end: Position,
}

impl<R: Read> Source<R> {
    fn next_line(&mut self) -> io::Result<Option<Line>> {
        match self {
            Self::Csv { header, records } => {
                let entry = records.next().transpose()?;
                Ok(entry.map(|entry| Line::of_entry(entry, |record| header.draft(record))))
            }
            Self::Ndjson(lines) => {
                let entry = lines.next().transpose()?;
                Ok(entry.map(|entry| Line::of_entry(entry, ndjson::draft)))
            }
        }
    }
}

impl Line {
    fn of_entry<T>(entry: Entry<T>, draft: impl FnOnce(&Record<T>) -> Result<ScheduleDraft, Reject>) -> Self {
        match entry {
            Entry::Record(record) => Self { number: record.start.line, outcome: draft(&record), end: record.end },
            Entry::Malformed(Malformed { start, end, reason }) => {
                Self { number: start.line, outcome: Err(Reject::new(start.line, reason)), end }
            }
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
