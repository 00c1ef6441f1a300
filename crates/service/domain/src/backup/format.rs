//! The form `tidegate-backup-1`: lines of JSON, compressed by zstd.
//!
//! The first line is the manifest. Then for each of its tables one array a row, in the order of the key, and behind the last an object
//! with their number and SHA-256. The last line has the SHA-256 of all lines before it: a file that was cut off has none, and one
//! of which a row has changed has another. Behind it stands a seal, the SHA-256 of all compressed bytes, in a frame that zstd passes over: it
//! sees also the bits that change nothing of what is read.

use std::io::{self, BufRead, BufReader, Read, Seek, Write};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_store::{Cells, Table};

/// The name of the form.
pub(crate) const FORMAT: &str = "tidegate-backup-1";
/// As the library's default: a third of the size for a hundredth of the time of the highest.
const LEVEL: i32 = 3;
/// Longest line. No row that the application writes comes near.
const MOST_LINE: u64 = 64 << 20;

/// What the frame of the seal begins with: the mark of one that is passed over, and the length of what it holds.
const SEAL: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];
const SEALED: usize = SEAL.len() + 32;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub(crate) format: String,
    /// The schema of the tables.
    pub(crate) schema: i64,
    /// Which database they were of.
    pub(crate) installation: String,
    /// When it was begun, in milliseconds since 1970.
    pub(crate) created_at: i64,
    pub(crate) tables: Vec<TableHead>,
}

/// A table of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableHead {
    pub(crate) name: String,
    /// What the cells of a row stand for.
    pub(crate) columns: Vec<String>,
}

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDigest {
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// Of all lines before it.
    sha256: String,
}

/// What every table holds.
pub type Digests = Vec<TableDigest>;

/// A file that is no backup, or not the one that was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// It can't be read to its end: it was cut off, or is damaged, or something else.
    #[error("the backup can't be read (line {line}): {source}")]
    Read {
        /// The line.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// It is something else, or was changed.
    #[error("the backup is damaged or none (line {line}): {reason}")]
    Damaged {
        /// The line.
        line: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Manifest {
    /// Of these tables.
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

/// Rows as they are counted: the same of a backup and of what it was restored to.
#[derive(Default)]
pub(crate) struct Counted {
    rows: u64,
    digest: Sha256,
}

impl Counted {
    pub(crate) fn add(&mut self, line: &[u8]) {
        self.rows += 1;
        self.digest.update(line);
        self.digest.update(b"\n");
    }

    pub(crate) fn end(self, table: &str) -> TableDigest {
        TableDigest { table: table.to_owned(), rows: self.rows, sha256: HEXLOWER.encode(&self.digest.finalize()) }
    }
}

/// A row as a line.
pub(crate) fn line_of(row: &Cells) -> Vec<u8> {
    // Numbers and texts, of which none can fail.
    serde_json::to_vec(row).unwrap_or_default()
}

/// Makes the bytes of a backup, which are [taken](Self::take) as they come.
pub struct Writer {
    compressed: zstd::Encoder<'static, Vec<u8>>,
    whole: Sha256,
    /// Of the compressed bytes that were taken.
    bytes: Sha256,
    table: Counted,
    digests: Digests,
}

impl Writer {
    /// Begins with the manifest.
    ///
    /// # Errors
    ///
    /// When it can't be compressed.
    pub fn new(manifest: &Manifest) -> io::Result<Self> {
        let mut compressed = zstd::Encoder::new(Vec::new(), LEVEL)?;
        compressed.include_checksum(true)?;
        let (whole, bytes) = (Sha256::new(), Sha256::new());
        let mut writer = Self { compressed, whole, bytes, table: Counted::default(), digests: Digests::new() };
        writer.line(&serde_json::to_vec(manifest)?)?;
        Ok(writer)
    }

    /// The next row of the table that is being written.
    ///
    /// # Errors
    ///
    /// When it can't be compressed.
    pub fn row(&mut self, row: &Cells) -> io::Result<()> {
        let line = line_of(row);
        self.table.add(&line);
        self.line(&line)
    }

    /// Ends a table.
    ///
    /// # Errors
    ///
    /// When it can't be compressed.
    pub fn end_table(&mut self, name: &str) -> io::Result<()> {
        let digest = std::mem::take(&mut self.table).end(name);
        self.line(&serde_json::to_vec(&digest)?)?;
        self.digests.push(digest);
        Ok(())
    }

    /// What has come of it so far.
    pub fn take(&mut self) -> Vec<u8> {
        let taken = std::mem::take(self.compressed.get_mut());
        self.bytes.update(&taken);
        taken
    }

    /// Ends the backup: its last bytes, and what each table holds.
    ///
    /// # Errors
    ///
    /// When it can't be compressed.
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

/// Reads a backup line by line, and checks all of it on the way.
pub(crate) struct Reader<R: Read> {
    lines: BufReader<zstd::Decoder<'static, BufReader<R>>>,
    /// How many lines were read.
    number: u64,
    whole: Sha256,
    manifest: Manifest,
    table: Counted,
    /// The end of a table whose last rows are out.
    ended: Option<TableDigest>,
}

/// What comes next in a table.
pub(crate) enum Part {
    /// Some rows, never none.
    Rows(Vec<Cells>),
    /// There are no more, and this is what they were.
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
            table: Counted::default(),
            ended: None,
        };
        let line = reader.line()?;
        let manifest: Option<Manifest> = serde_json::from_slice(&line).ok();
        let manifest = manifest.filter(|manifest| manifest.format == FORMAT);
        reader.manifest = manifest.ok_or_else(|| reader.damaged("it does not begin as a backup of this form"))?;
        Ok(reader)
    }

    /// At most `most` rows of a table, or its end.
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

    /// Reads the last line, behind which there is nothing.
    pub(crate) fn end(mut self) -> Result<(), FormatError> {
        let sha256 = HEXLOWER.encode(&self.whole.clone().finalize());
        let line = self.line()?;
        let said: End = serde_json::from_slice(&line).map_err(|_| self.damaged("its last line is not one"))?;
        if said.sha256 != sha256 {
            return Err(self.damaged("it is not as it was written"));
        }
        // Also the check that zstd itself makes of what it has read.
        let rest = self.lines.fill_buf().map(<[u8]>::len);
        match rest {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged("something stands behind its end")),
            Err(source) => Err(FormatError::Read { line: self.number, source }),
        }
    }

    /// A line without its end.
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

/// Whether the bytes are those that were sealed.
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
        // All but what may be the seal.
        let before = held.len().saturating_sub(SEALED);
        digest.update(&held[..before]);
        held.drain(..before);
    }
    let is_sealed = held.strip_prefix(&SEAL).is_some_and(|seal| *seal == *digest.finalize());
    let reason = "it was cut off, changed, or is none";
    if is_sealed { Ok(()) } else { Err(FormatError::Damaged { line: 0, reason }) }
}

/// Reads all of a backup, and says what it holds. Nothing of it is used before this has returned.
///
/// # Errors
///
/// When one bit of it is not as it was written.
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

/// These compressed lines with their seal.
#[cfg(any(test, feature = "test-support"))]
pub fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let seal = Sha256::digest(&bytes);
    bytes.extend(SEAL);
    bytes.extend(seal);
    bytes
}

#[cfg(test)]
mod tests;
