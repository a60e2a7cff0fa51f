//! Files: how sealed bytes are laid out in chunks, and what is said over HTTP about them.
//!
//! A file is cut into chunks of [`CHUNK_BYTES`], the last one as long as what is left; each is
//! sealed by itself and grows by [`TAG_BYTES`]. An empty file is one chunk without content. So
//! the length of the sealed file says how many chunks it has and how long each of them is.

use std::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::InvalidId;

/// Content of every chunk but the last.
pub const CHUNK_BYTES: u32 = 1 << 20;

/// What sealing adds to a chunk.
pub const TAG_BYTES: u32 = 16;

/// A whole chunk, sealed.
pub const SEALED_CHUNK_BYTES: u32 = CHUNK_BYTES + TAG_BYTES;

/// Chunks are numbered with 32 bits, and the highest number stays free.
const MOST_CHUNKS: u64 = u32::MAX as u64;

/// The name of a sealed file on the server: 16 random bytes, so that nobody finds a file that
/// they were not told of. In text 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct FileId([u8; 16]);

impl FileId {
    /// Wraps random bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for FileId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
        if text.len() != 32 || !digits {
            return Err(InvalidId::File);
        }
        u128::from_str_radix(text, 16)
            .map(|number| Self(number.to_be_bytes()))
            .map_err(|_| InvalidId::File)
    }
}

impl TryFrom<String> for FileId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FileId> for String {
    fn from(id: FileId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The name finds the file: it is kept out of logs.
impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileId(…)")
    }
}

/// No sealed file has this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no sealed file has this length: every chunk has {TAG_BYTES} bytes more than its content")]
pub struct InvalidLength;

/// The length of a sealed file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(try_from = "u64", into = "u64")]
#[ts(export, type = "number")]
pub struct SealedLength(u64);

impl SealedLength {
    /// Checks that a sealed file can be so long.
    pub const fn new(bytes: u64) -> Result<Self, InvalidLength> {
        let whole = bytes / SEALED_CHUNK_BYTES as u64;
        let rest = bytes % SEALED_CHUNK_BYTES as u64;
        let is_empty_file = bytes == TAG_BYTES as u64;
        if !(is_empty_file || rest > TAG_BYTES as u64 || (rest == 0 && whole > 0))
            || whole >= MOST_CHUNKS
        {
            return Err(InvalidLength);
        }
        Ok(Self(bytes))
    }

    /// That of a file with so much content.
    pub const fn of_content(bytes: u64) -> Result<Self, InvalidLength> {
        let chunks = match bytes.div_ceil(CHUNK_BYTES as u64) {
            0 => 1,
            chunks if chunks > MOST_CHUNKS => return Err(InvalidLength),
            chunks => chunks,
        };
        Self::new(bytes + chunks * TAG_BYTES as u64)
    }

    /// The bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many chunks there are, at least one.
    pub const fn chunks(self) -> u32 {
        // At most `MOST_CHUNKS`, which has 32 bits.
        #[expect(clippy::cast_possible_truncation, reason = "checked when it was made")]
        let chunks = self.0.div_ceil(SEALED_CHUNK_BYTES as u64) as u32;
        chunks
    }

    /// Where a chunk lies in the sealed file; none if there is no such chunk.
    pub fn chunk(self, number: u32) -> Option<Range<u64>> {
        let start = u64::from(number) * u64::from(SEALED_CHUNK_BYTES);
        let end = (start + u64::from(SEALED_CHUNK_BYTES)).min(self.0);
        (start < end).then_some(start..end)
    }
}

impl TryFrom<u64> for SealedLength {
    type Error = InvalidLength;

    fn try_from(bytes: u64) -> Result<Self, InvalidLength> {
        Self::new(bytes)
    }
}

impl From<SealedLength> for u64 {
    fn from(length: SealedLength) -> Self {
        length.0
    }
}

/// `POST /api/v1/files`: room for a sealed file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(export)]
pub struct DeclareFile {
    /// Its length.
    pub bytes: SealedLength,
}

/// The answer: there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct DeclaredFile {
    /// What the file is called here.
    pub id: FileId,
    /// How many chunks are expected.
    pub chunks: u32,
}

/// `GET /api/v1/files/{id}/chunks`: how far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct FileProgress {
    /// Length of the sealed file.
    pub bytes: SealedLength,
    /// How many chunks it has.
    pub chunks: u32,
    /// The chunks that are not there yet, as ranges: the first and the one after the last.
    pub missing: Vec<(u32, u32)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_says_how_many_chunks_there_are() {
        for (content, sealed, chunks) in [
            (0, 16, 1),
            (1, 17, 1),
            (1 << 20, (1 << 20) + 16, 1),
            ((1 << 20) + 1, (1 << 20) + 33, 2),
            (10_000_000_000, 10_000_152_592, 9537),
        ] {
            let length = SealedLength::of_content(content).unwrap();
            assert_eq!((length.get(), length.chunks()), (sealed, chunks));
            assert_eq!(SealedLength::new(sealed), Ok(length));
            assert_eq!(length.chunk(0).unwrap().start, 0);
            assert_eq!(length.chunk(chunks - 1).unwrap().end, sealed);
            assert_eq!(length.chunk(chunks), None);
        }
    }

    #[test]
    fn lengths_that_no_sealed_file_has_are_refused() {
        let whole = u64::from(SEALED_CHUNK_BYTES);
        for bytes in [0, 15, whole + 1, whole + 16, u64::MAX, whole << 32] {
            assert_eq!(SealedLength::new(bytes), Err(InvalidLength), "{bytes}");
        }
        assert_eq!(SealedLength::of_content(u64::MAX), Err(InvalidLength));
    }

    #[test]
    fn a_name_is_read_as_it_is_written_and_not_shown() {
        let id = FileId::new([0xa5; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), "FileId(…)");
        for text in [
            "",
            "a5",
            &"A5".repeat(16),
            &"+1".repeat(16),
            &"a5".repeat(17),
        ] {
            assert_eq!(text.parse::<FileId>(), Err(InvalidId::File), "{text}");
        }
    }
}
