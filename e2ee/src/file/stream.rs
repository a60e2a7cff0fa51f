//! Sealing and opening chunks.

use std::fmt;

use aead_stream::{NewStream as _, StreamBE32, StreamPrimitive as _};
use aes_gcm::Aes256Gcm;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use conclave_protocol::file::{CHUNK_BYTES, InvalidLength, SealedLength, TAG_BYTES};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What opens one file: a key that is used for nothing else, and the beginning of every nonce.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileKey {
    key: [u8; 32],
    prefix: [u8; 7],
}

impl FileKey {
    const BYTES: usize = 32 + 7;

    /// Draws one.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self::from_bytes(&bytes))
    }

    /// The key and after it the prefix.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut this = Self {
            key: [0; 32],
            prefix: [0; 7],
        };
        this.key.copy_from_slice(&bytes[..32]);
        this.prefix.copy_from_slice(&bytes[32..]);
        this
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(…)")
    }
}

/// Not the key of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a file's key has 39 bytes, in base64url")]
pub struct InvalidKey;

impl TryFrom<String> for FileKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        let text = Zeroizing::new(text);
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(text.as_bytes())
                .map_err(|_| InvalidKey)?,
        );
        let bytes: &[u8; Self::BYTES] = bytes.as_slice().try_into().map_err(|_| InvalidKey)?;
        Ok(Self::from_bytes(bytes))
    }
}

impl From<FileKey> for String {
    fn from(key: FileKey) -> Self {
        let mut bytes = Zeroizing::new([0; FileKey::BYTES]);
        bytes[..32].copy_from_slice(&key.key);
        bytes[32..].copy_from_slice(&key.prefix);
        URL_SAFE_NO_PAD.encode(*bytes)
    }
}

/// Why a chunk was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The file ends before.
    #[error("the file has no chunk of this number")]
    NoSuchChunk,
    /// The file has another length at this place.
    #[error("the chunk has another length than its place in the file")]
    WrongLength,
    /// It was changed, or belongs elsewhere.
    #[error("the chunk is not what its sender sealed for this place in this file")]
    NotAuthentic,
}

/// One file's chunks, to be sealed or opened in any order.
pub struct FileStream {
    stream: StreamBE32<Aes256Gcm>,
    sealed: SealedLength,
}

impl FileStream {
    /// For a file with so many bytes of content.
    pub fn new(key: &FileKey, size: u64) -> Result<Self, InvalidLength> {
        Ok(Self {
            stream: StreamBE32::new(&key.key.into(), &key.prefix.into()),
            sealed: SealedLength::of_content(size)?,
        })
    }

    /// How long the sealed file is.
    pub const fn sealed(&self) -> SealedLength {
        self.sealed
    }

    /// Seals a chunk. Each number must be sealed with one content only, as the nonce is made of it.
    pub fn seal(&self, number: u32, content: &[u8]) -> Result<Vec<u8>, ChunkError> {
        let length = self.sealed_length(number)? - TAG_BYTES as usize;
        if content.len() != length {
            return Err(ChunkError::WrongLength);
        }
        self.stream
            .encrypt(number, self.is_last(number), content)
            .map_err(|_| ChunkError::NotAuthentic)
    }

    /// Opens a chunk, if it is the one of this place.
    pub fn open(&self, number: u32, sealed: &[u8]) -> Result<Vec<u8>, ChunkError> {
        if sealed.len() != self.sealed_length(number)? {
            return Err(ChunkError::WrongLength);
        }
        self.stream
            .decrypt(number, self.is_last(number), sealed)
            .map_err(|_| ChunkError::NotAuthentic)
    }

    fn sealed_length(&self, number: u32) -> Result<usize, ChunkError> {
        let place = self.sealed.chunk(number).ok_or(ChunkError::NoSuchChunk)?;
        // At most that of one chunk.
        Ok(usize::try_from(place.end - place.start).unwrap_or(CHUNK_BYTES as usize))
    }

    const fn is_last(&self, number: u32) -> bool {
        number == self.sealed.chunks() - 1
    }
}

impl fmt::Debug for FileStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileStream({} bytes)", self.sealed.get())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNK: usize = CHUNK_BYTES as usize;

    fn key(first: u8) -> FileKey {
        FileKey::from_bytes(&std::array::from_fn(|at| first.wrapping_add(at as u8)))
    }

    fn content(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at * 31 % 251) as u8).collect()
    }

    /// All chunks of a file, sealed.
    fn sealed(key: &FileKey, content: &[u8]) -> Vec<Vec<u8>> {
        let stream = FileStream::new(key, content.len() as u64).unwrap();
        let mut chunks: Vec<&[u8]> = content.chunks(CHUNK).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let seal = |(number, chunk): (usize, &&[u8])| stream.seal(number as u32, chunk).unwrap();
        chunks.iter().enumerate().map(seal).collect()
    }

    /// What a receiver makes of chunks that claim to be a file of this size.
    fn opened(key: &FileKey, size: u64, chunks: &[Vec<u8>]) -> Result<Vec<u8>, ChunkError> {
        let stream = FileStream::new(key, size).unwrap();
        let mut content = Vec::new();
        for number in 0..stream.sealed().chunks() {
            let chunk = chunks.get(number as usize).ok_or(ChunkError::WrongLength)?;
            content.extend(stream.open(number, chunk)?);
        }
        Ok(content)
    }

    #[test]
    fn what_is_sealed_opens_in_any_order_whatever_its_size() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let content = content(size);
            let chunks = sealed(&key(1), &content);
            assert_eq!(opened(&key(1), size as u64, &chunks), Ok(content.clone()));
            let stream = FileStream::new(&key(1), size as u64).unwrap();
            let total: usize = chunks.iter().map(Vec::len).sum();
            assert_eq!(stream.sealed().get(), total as u64);
            for (number, chunk) in chunks.iter().enumerate().rev() {
                let part = stream.open(number as u32, chunk).unwrap();
                assert_eq!(part, content[number * CHUNK..][..part.len()]);
            }
        }
    }

    #[test]
    fn chunks_that_are_reordered_repeated_or_from_another_file_do_not_open() {
        let content = content(3 * CHUNK);
        let (ours, others) = (sealed(&key(1), &content), sealed(&key(2), &content));
        let size = content.len() as u64;
        for (at, with) in [
            (0, &ours[1]),
            (1, &ours[0]),
            (1, &ours[2]),
            (2, &ours[1]),
            (1, &others[1]),
        ] {
            let mut chunks = ours.clone();
            chunks[at] = with.clone();
            assert_eq!(
                opened(&key(1), size, &chunks),
                Err(ChunkError::NotAuthentic)
            );
        }
    }

    #[test]
    fn a_file_that_is_cut_short_or_made_longer_does_not_open() {
        let content = content(3 * CHUNK);
        let chunks = sealed(&key(1), &content);
        let size = content.len() as u64;
        // The server gives fewer chunks, or a shorter one.
        assert_eq!(
            opened(&key(1), size, &chunks[..2]),
            Err(ChunkError::WrongLength)
        );
        let mut shorter = chunks.clone();
        shorter[2].pop();
        assert_eq!(
            opened(&key(1), size, &shorter),
            Err(ChunkError::WrongLength)
        );
        // Somebody says that the file ends before, or goes on: the last chunk is sealed as the last.
        let two = (2 * CHUNK) as u64;
        assert_eq!(opened(&key(1), two, &chunks), Err(ChunkError::NotAuthentic));
        let mut longer = chunks;
        longer.push(longer[2].clone());
        let four = (4 * CHUNK) as u64;
        assert_eq!(
            opened(&key(1), four, &longer),
            Err(ChunkError::NotAuthentic)
        );
    }

    #[test]
    fn no_chunk_is_sealed_that_does_not_fit_its_place() {
        let stream = FileStream::new(&key(1), CHUNK as u64 + 5).unwrap();
        assert_eq!(stream.seal(0, &[0; 5]), Err(ChunkError::WrongLength));
        assert_eq!(stream.seal(1, &[0; 6]), Err(ChunkError::WrongLength));
        assert_eq!(stream.seal(2, &[]), Err(ChunkError::NoSuchChunk));
        assert_eq!(stream.open(2, &[0; 16]), Err(ChunkError::NoSuchChunk));
    }

    #[test]
    fn keys_are_drawn_anew_written_and_read_and_not_shown() {
        let key = FileKey::generate().unwrap();
        assert_ne!(key, FileKey::generate().unwrap());
        let text = String::from(key.clone());
        assert_eq!(text.len(), 52);
        assert_eq!(format!("{key:?}"), "FileKey(…)");
        assert_eq!(FileKey::try_from(text.clone()), Ok(key));
        for text in [
            String::new(),
            text[1..].to_owned(),
            format!("{text}A"),
            text.replace(&text[..1], "="),
        ] {
            assert_eq!(FileKey::try_from(text), Err(InvalidKey));
        }
    }

    proptest! {
        #[test]
        fn a_chunk_with_any_bit_changed_does_not_open(
            content in prop::collection::vec(any::<u8>(), 0..500),
            place in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let stream = FileStream::new(&key(1), content.len() as u64).unwrap();
            let mut chunk = stream.seal(0, &content).unwrap();
            prop_assert_eq!(stream.open(0, &chunk), Ok(content));
            let place = place.index(chunk.len());
            chunk[place] ^= 1_u8 << bit;
            prop_assert_eq!(stream.open(0, &chunk), Err(ChunkError::NotAuthentic));
        }
    }
}
