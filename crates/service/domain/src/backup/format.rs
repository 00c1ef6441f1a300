//! The format `tidegate-backup-1`: lines of JSON, compressed with zstd.
//!
//! - The first line is the manifest.
//! - Each table of the manifest follows: one array per row, in the order of the key, then an object
//!   with the number of rows and their SHA-256.
//! - The last line has the SHA-256 of all lines before it. A truncated file has no such line, and a
//!   file with a changed row has another hash.
//! - After the last line comes a seal: the SHA-256 of all compressed bytes, in a frame that zstd
//!   skips. It also detects changed bits that do not change the decompressed data.

use std::io::{self, BufRead, BufReader, Read, Seek, Write};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_store::{Cells, Table};

/// Name of the format.
pub(crate) const FORMAT: &str = "tidegate-backup-1";
/// The library's default: a third of the size, in a hundredth of the time of the highest level.
const LEVEL: i32 = 3;
/// Maximum length of a line. No row that the application writes is nearly as long.
const MOST_LINE: u64 = 64 << 20;

/// Header of the seal's frame: the magic number of a skippable frame, and the length of its
/// content.
const SEAL: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];
const SEALED: usize = SEAL.len() + 32;

/// The first line of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub(crate) format: String,
    /// Schema version of the tables.
    pub(crate) schema: i64,
    /// Id of the database that was backed up.
    pub(crate) installation: String,
    /// When the backup was begun, in milliseconds since 1970.
    pub(crate) created_at: i64,
    pub(crate) tables: Vec<TableHead>,
}

/// A table of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableHead {
    pub(crate) name: String,
    /// Names of the columns, in the order of a row's cells.
    pub(crate) columns: Vec<String>,
}

/// Row count and hash of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDigest {
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// Hash of all lines before it.
    sha256: String,
}

/// Row count and hash of every table.
pub type Digests = Vec<TableDigest>;

/// A file that is not a backup, or was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file cannot be read to its end: it is truncated, damaged, or not a backup.
    #[error("the backup can't be read (line {line}): {source}")]
    Read {
        /// The line.
        line: u64,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a backup, or was changed.
    #[error("the file is damaged or not a backup (line {line}): {reason}")]
    Damaged {
        /// The line.
        line: u64,
        /// The reason, as the end of the message.
        reason: &'static str,
    },
}

impl Manifest {
    /// Creates the manifest of these tables.
    pub fn of(schema: i64, installation: &str, created_at: i64, tables: &[Table]) -> Self {
        let head = |table: &Table| TableHead {
            name: table.name.to_owned(),
            columns: table.columns.iter().map(|column| column.name.to_owned()).collect(),
        };
        Self {
            format: FORMAT.to_owned(),
            schema,
            installation: installation.to_owned(),
            created_at,
            tables: tables.iter().map(head).collect(),
        }
    }
}

/// Counts and hashes rows. The result is the same for a backup and for the restored table.
#[derive(Default)]
pub(crate) struct RowDigest {
    rows: u64,
    digest: Sha256,
}

impl RowDigest {
    pub(crate) fn add(&mut self, line: &[u8]) {
        self.rows += 1;
        self.digest.update(line);
        self.digest.update(b"\n");
    }

    pub(crate) fn end(self, table: &str) -> TableDigest {
        TableDigest { table: table.to_owned(), rows: self.rows, sha256: HEXLOWER.encode(&self.digest.finalize()) }
    }
}

/// Returns a row as a line.
pub(crate) fn line_of(row: &Cells) -> Vec<u8> {
    // Numbers and texts can always be serialized.
    serde_json::to_vec(row).unwrap_or_default()
}

/// Produces the bytes of a backup, which the caller [takes](Self::take) piece by piece.
pub struct Writer {
    compressed: zstd::Encoder<'static, Vec<u8>>,
    whole: Sha256,
    /// Hash of the compressed bytes that were taken.
    bytes: Sha256,
    table: RowDigest,
    digests: Digests,
}

impl Writer {
    /// Begins with the manifest.
    ///
    /// # Errors
    ///
    /// If the compression fails.
    pub fn new(manifest: &Manifest) -> io::Result<Self> {
        let mut compressed = zstd::Encoder::new(Vec::new(), LEVEL)?;
        compressed.include_checksum(true)?;
        let (whole, bytes) = (Sha256::new(), Sha256::new());
        let mut writer = Self { compressed, whole, bytes, table: RowDigest::default(), digests: Digests::new() };
        writer.line(&serde_json::to_vec(manifest)?)?;
        Ok(writer)
    }

    /// Writes the next row of the current table.
    ///
    /// # Errors
    ///
    /// If the compression fails.
    pub fn row(&mut self, row: &Cells) -> io::Result<()> {
        let line = line_of(row);
        self.table.add(&line);
        self.line(&line)
    }

    /// Ends a table.
    ///
    /// # Errors
    ///
    /// If the compression fails.
    pub fn end_table(&mut self, name: &str) -> io::Result<()> {
        let digest = std::mem::take(&mut self.table).end(name);
        self.line(&serde_json::to_vec(&digest)?)?;
        self.digests.push(digest);
        Ok(())
    }

    /// Returns the bytes that were produced since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        let taken = std::mem::take(self.compressed.get_mut());
        self.bytes.update(&taken);
        taken
    }

    /// Ends the backup. Returns its last bytes and the digest of each table.
    ///
    /// # Errors
    ///
    /// If the compression fails.
    pub fn finish(mut self) -> io::Result<(Vec<u8>, Digests)> {
        let sha256 = HEXLOWER.encode(&self.whole.finalize_reset());
        self.line(&serde_json::to_vec(&End { sha256 })?)?;
        let mut rest = self.compressed.finish()?;
        self.bytes.update(&rest);
        rest.extend(SEAL);
        rest.extend(self.bytes.finalize());
        Ok((rest, self.digests))
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        for piece in [line, b"\n"] {
            self.whole.update(piece);
            self.compressed.write_all(piece)?;
        }
        Ok(())
    }
}

/// Reads a backup line by line, and checks all of it.
pub(crate) struct Reader<R: Read> {
    lines: BufReader<zstd::Decoder<'static, BufReader<R>>>,
    /// Number of lines read.
    number: u64,
    whole: Sha256,
    manifest: Manifest,
    table: RowDigest,
    /// The end of a table, after its last rows were returned.
    ended: Option<TableDigest>,
}

/// The next part of a table.
pub(crate) enum Part {
    /// Some rows, at least one.
    Rows(Vec<Cells>),
    /// The end of the table, with its digest.
    End(TableDigest),
}

impl<R: Read> Reader<R> {
    /// Reads the manifest.
    pub(crate) fn open(file: R) -> Result<Self, FormatError> {
        let decoder = zstd::Decoder::new(file).map_err(|source| FormatError::Read { line: 0, source })?;
        let mut reader = Self {
            lines: BufReader::new(decoder),
            number: 0,
            whole: Sha256::new(),
            manifest: Manifest::of(0, "", 0, &[]),
            table: RowDigest::default(),
            ended: None,
        };
        let line = reader.line()?;
        let manifest: Option<Manifest> = serde_json::from_slice(&line).ok();
        let manifest = manifest.filter(|manifest| manifest.format == FORMAT);
        reader.manifest = manifest.ok_or_else(|| reader.damaged("it does not begin as a backup of this form"))?;
        Ok(reader)
    }

    /// Returns at most `most` rows of a table, or its end.
    pub(crate) fn part(&mut self, most: usize) -> Result<Part, FormatError> {
        if let Some(ended) = self.ended.take() {
            return Ok(Part::End(ended));
        }
        let mut rows = Vec::new();
        while rows.len() < most {
            let line = self.line()?;
            if line.first() == Some(&b'[') {
                rows.push(serde_json::from_slice(&line).map_err(|_| self.damaged("a row can't be read"))?);
                self.table.add(&line);
                continue;
            }
            let said: TableDigest =
                serde_json::from_slice(&line).map_err(|_| self.damaged("neither a row nor the end of a table"))?;
            if std::mem::take(&mut self.table).end(&said.table) != said {
                return Err(self.damaged("a table has other rows than were written"));
            }
            if rows.is_empty() {
                return Ok(Part::End(said));
            }
            self.ended = Some(said);
            break;
        }
        Ok(Part::Rows(rows))
    }

    /// Reads the last line, and checks that no data follows.
    pub(crate) fn end(mut self) -> Result<(), FormatError> {
        let sha256 = HEXLOWER.encode(&self.whole.clone().finalize());
        let line = self.line()?;
        let said: End = serde_json::from_slice(&line).map_err(|_| self.damaged("its last line is not one"))?;
        if said.sha256 != sha256 {
            return Err(self.damaged("it is not as it was written"));
        }
        // This also runs zstd's own check of the data.
        let rest = self.lines.fill_buf().map(<[u8]>::len);
        match rest {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged("there is data after its end")),
            Err(source) => Err(FormatError::Read { line: self.number, source }),
        }
    }

    /// Returns a line without its line ending.
    fn line(&mut self) -> Result<Vec<u8>, FormatError> {
        self.number += 1;
        let mut line = Vec::new();
        let read = (&mut self.lines).take(MOST_LINE).read_until(b'\n', &mut line);
        read.map_err(|source| FormatError::Read { line: self.number, source })?;
        self.whole.update(&line);
        if line.pop() != Some(b'\n') {
            return Err(self.damaged("it ends too soon"));
        }
        Ok(line)
    }

    fn damaged(&self, reason: &'static str) -> FormatError {
        FormatError::Damaged { line: self.number, reason }
    }
}

/// Checks that the seal matches the bytes.
fn check_seal(file: impl Read) -> Result<(), FormatError> {
    let mut file = BufReader::new(file);
    let (mut digest, mut held) = (Sha256::new(), Vec::new());
    loop {
        let piece = file.fill_buf().map_err(|source| FormatError::Read { line: 0, source })?;
        let length = piece.len();
        if length == 0 {
            break;
        }
        held.extend_from_slice(piece);
        file.consume(length);
        // All bytes except those that may be the seal.
        let before = held.len().saturating_sub(SEALED);
        digest.update(&held[..before]);
        held.drain(..before);
    }
    let is_sealed = held.strip_prefix(&SEAL).is_some_and(|seal| *seal == *digest.finalize());
    let reason = "it was cut off, changed, or is none";
    if is_sealed { Ok(()) } else { Err(FormatError::Damaged { line: 0, reason }) }
}

/// Reads all of a backup, and returns its manifest and digests. No part of a backup is used before
/// this succeeds.
///
/// # Errors
///
/// If a single bit has changed.
pub(crate) fn verify<R: Read + Seek>(mut file: R) -> Result<(Manifest, Digests), FormatError> {
    const AT_A_TIME: usize = 500;
    check_seal(&mut file)?;
    file.rewind().map_err(|source| FormatError::Read { line: 0, source })?;
    let mut reader = Reader::open(file)?;
    let mut digests = Digests::new();
    for number in 0..reader.manifest.tables.len() {
        let ended = loop {
            if let Part::End(ended) = reader.part(AT_A_TIME)? {
                break ended;
            }
        };
        if ended.table != reader.manifest.tables[number].name {
            return Err(reader.damaged("its tables are not those that it names"));
        }
        digests.push(ended);
    }
    let manifest = reader.manifest.clone();
    reader.end()?;
    Ok((manifest, digests))
}

/// Adds the seal to these compressed lines.
#[cfg(any(test, feature = "test-support"))]
pub fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let seal = Sha256::digest(&bytes);
    bytes.extend(SEAL);
    bytes.extend(seal);
    bytes
}

#[cfg(test)]
mod tests;
