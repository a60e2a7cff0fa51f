//! What members tell each other about a file.

use conclave_protocol::file::{FileId, SealedLength};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::stream::FileKey;

/// The longest name, in characters.
const LONGEST_NAME: usize = 255;

/// The longest media type, in bytes (RFC 6838 §4.2: 127 for each part).
const LONGEST_TYPE: usize = 255;

/// A file that somebody has sent: where it is, what opens it, and what it is. The server knows
/// the first only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(export)]
pub struct SharedFile {
    /// Its name on the server.
    pub id: FileId,
    /// What opens it: key and nonce prefix, 39 bytes in base64url.
    #[ts(type = "string")]
    pub key: FileKey,
    /// Its content in bytes.
    #[ts(type = "number")]
    pub size: u64,
    /// What its sender calls it.
    pub name: String,
    /// What its sender says that it is: a media type (RFC 6838), or nothing.
    pub kind: String,
}

/// Why a file cannot be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitFile {
    /// No name, one that is too long, or one that would mislead.
    #[error("a file's name has 1 to 255 characters, and none that divide paths or are not shown")]
    Name,
    /// Not a media type.
    #[error("a media type has at most 255 characters out of ASCII")]
    Kind,
    /// More chunks than there are numbers.
    #[error("the file is too large to be numbered in chunks")]
    Size,
}

impl SharedFile {
    /// Checks what could mislead a receiver: senders do, so that nothing is sent that is
    /// refused, and receivers do.
    pub fn check(&self) -> Result<(), UnfitFile> {
        let length = self.name.chars().count();
        let is_bare = !matches!(self.name.as_str(), "." | "..") && self.name.chars().all(is_fit);
        if !(1..=LONGEST_NAME).contains(&length) || !is_bare {
            return Err(UnfitFile::Name);
        }
        let is_plain = self.kind.bytes().all(|b| matches!(b, b' '..=b'~'));
        if self.kind.len() > LONGEST_TYPE || !is_plain {
            return Err(UnfitFile::Kind);
        }
        // JavaScript's numbers end there.
        if self.size >= 1 << 53 || SealedLength::of_content(self.size).is_err() {
            return Err(UnfitFile::Size);
        }
        Ok(())
    }
}

/// Letters that divide paths, that turn others around (so that "exe.png" is an "exe"), or that
/// nobody sees.
fn is_fit(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '/' | '\\')
        && !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, kind: &str, size: u64) -> SharedFile {
        SharedFile {
            id: FileId::new([1; 16]),
            key: FileKey::from_bytes(&[2; 39]),
            size,
            name: name.to_owned(),
            kind: kind.to_owned(),
        }
    }

    #[test]
    fn names_that_mislead_are_refused() {
        let longest = "ä".repeat(255);
        for name in ["report.pdf", "Ünïcode 文件.txt", ".profile", "a", &longest] {
            assert_eq!(file(name, "", 0).check(), Ok(()), "{name}");
        }
        let longer = "ä".repeat(256);
        for name in [
            "",
            "..",
            ".",
            "a/b",
            "a\\b",
            "a\nb",
            "a\0",
            "photo\u{202e}gpj.exe",
            "a\u{200b}b",
            &longer,
        ] {
            assert_eq!(file(name, "", 0).check(), Err(UnfitFile::Name), "{name}");
        }
    }

    #[test]
    fn types_and_sizes_have_bounds() {
        assert_eq!(file("a", "image/png", 10 << 30).check(), Ok(()));
        for kind in ["image/\npng", "bild/ä", &"a".repeat(256)] {
            assert_eq!(file("a", kind, 0).check(), Err(UnfitFile::Kind));
        }
        for size in [u64::MAX, 1 << 53] {
            assert_eq!(file("a", "", size).check(), Err(UnfitFile::Size));
        }
    }

    #[test]
    fn the_key_is_in_no_debug_output() {
        let shown = format!("{:?}", file("a", "", 0));
        assert!(
            shown.contains("FileKey(…)") && shown.contains("FileId(…)"),
            "{shown}"
        );
    }
}
