//! The list of a client's files, by whose hash the client is known.

use std::{collections::BTreeMap, fmt, fs, path::Path, str::FromStr};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::VerifyError;
use crate::page;

/// SHA-256 over the list of a client's files, which the client's build prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientHash([u8; 32]);

impl ClientHash {
    pub(super) const fn digest(self) -> [u8; 32] {
        self.0
    }
}

/// In groups of four, as the page shows it.
impl fmt::Display for ClientHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pair) in self.0.chunks(2).enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{}", hex::encode(pair))?;
        }
        Ok(())
    }
}

/// Why a text is no hash of a client.
#[derive(Debug, thiserror::Error)]
#[error("a client hash has 64 hexadecimal digits, as the client's build prints it")]
pub struct NoHash;

/// With or without the gaps.
impl FromStr for ClientHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let digits: String = text.split_whitespace().collect();
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).map_err(|_| NoHash)?;
        Ok(Self(digest))
    }
}

/// The files of a client with their hashes.
#[derive(Debug)]
pub(super) struct FileList {
    files: BTreeMap<String, [u8; 32]>,
    hash: ClientHash,
}

#[derive(Deserialize)]
struct Written {
    files: BTreeMap<String, String>,
}

impl FileList {
    /// Reads the list as the client's build wrote it.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(bytes).ok()?;
        let files = written.files.into_iter().map(|(path, hash)| {
            let mut digest = [0; 32];
            hex::decode_to_slice(hash, &mut digest).ok()?;
            Some((path, digest))
        });
        let files: BTreeMap<_, _> = files.collect::<Option<_>>()?;
        // Without its page a client is none.
        files.contains_key(page::INDEX).then(|| Self {
            files,
            hash: ClientHash(Sha256::digest(bytes).into()),
        })
    }

    /// The list of the client in this program, which has to be true.
    pub(super) fn ours() -> Result<Self, VerifyError> {
        let list = page::embedded(page::LIST_PATH).and_then(|bytes| Self::read(&bytes));
        let list = list.ok_or(VerifyError::NoClient)?;
        match list.untrue(page::embedded) {
            None => Ok(list),
            Some(_) => Err(VerifyError::NoClient),
        }
    }

    /// The list of a client in a folder, which has to be true.
    pub(super) fn of_folder(folder: &Path) -> Result<Self, VerifyError> {
        let wrong = |why| VerifyError::Folder {
            folder: folder.to_owned(),
            why,
        };
        let place = folder.join(page::LIST_PATH);
        let bytes =
            fs::read(&place).map_err(|error| wrong(format!("{}: {error}", place.display())))?;
        let list = Self::read(&bytes)
            .ok_or_else(|| wrong(format!("{} is not a list of files", place.display())))?;
        match list.untrue(|path| fs::read(folder.join(path)).ok()) {
            None => Ok(list),
            Some(path) => Err(wrong(format!("{path} is not as listed"))),
        }
    }

    /// The first file that is not as listed.
    fn untrue<B: AsRef<[u8]>>(&self, get: impl Fn(&str) -> Option<B>) -> Option<&str> {
        let is_true = |path: &str, digest: &[u8; 32]| {
            get(path).is_some_and(|bytes| Sha256::digest(bytes)[..] == *digest)
        };
        let mut files = self.files.iter();
        files
            .find(|(path, digest)| !is_true(path, digest))
            .map(|(path, _)| path.as_str())
    }

    pub(super) const fn hash(&self) -> ClientHash {
        self.hash
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(super) fn digest(&self, path: &str) -> Option<[u8; 32]> {
        self.files.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_shown() {
        let digits = "0123456789abcdef".repeat(4);
        let hash: ClientHash = digits.parse().expect("a hash");
        let shown = hash.to_string();
        assert!(shown.starts_with("0123 4567 89ab cdef 0123"), "{shown}");
        assert_eq!(shown.parse::<ClientHash>().expect("a hash"), hash);
        for wrong in ["", "0123", &digits[1..], &digits.replace('a', "x")] {
            assert!(wrong.parse::<ClientHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_names_the_page_and_whole_hashes() {
        let hash = "00".repeat(32);
        let list = |path: &str, hash: &str| format!(r#"{{"files":{{"{path}":"{hash}"}}}}"#);
        let bytes = list("index.html", &hash);
        let read = FileList::read(bytes.as_bytes()).expect("a list");
        assert_eq!(read.digest("index.html"), Some([0; 32]));
        assert_eq!(read.hash().digest()[..], Sha256::digest(&bytes)[..]);
        for wrong in [
            list("other.html", &hash),
            list("index.html", "00"),
            r#"{"files":{}}"#.to_owned(),
            "<!doctype html>".to_owned(),
            String::new(),
        ] {
            assert!(FileList::read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
