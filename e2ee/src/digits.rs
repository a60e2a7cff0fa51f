//! Thirty digits that two people can read to each other.

use std::fmt;

use hkdf::Hkdf;
use serde::{Serialize, Serializer};
use sha2::Sha256;

/// Groups of five digits.
const GROUPS: usize = 6;

/// Thirty decimal digits in groups of five: about 99 bits, so that nobody finds another
/// secret with the same ones. (A few words or pictures could be searched for in seconds.)
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digits([u32; GROUPS]);

impl Digits {
    /// Derives digits for a purpose from something that only those who compare them know, or
    /// that nobody can choose.
    pub(crate) fn from_secret(secret: &[u8], purpose: &str) -> Self {
        let mut bytes = [0; 8 * GROUPS];
        let info = ["conclave 1 digits ", purpose].concat();
        // HKDF-SHA256 yields up to 8160 bytes (RFC 5869 §2.3), and this asks for 48.
        let expanded = Hkdf::<Sha256>::new(None, secret).expand(info.as_bytes(), &mut bytes);
        debug_assert!(expanded.is_ok());
        let mut groups = [0; GROUPS];
        for (group, bytes) in groups.iter_mut().zip(bytes.chunks_exact(8)) {
            let number = bytes
                .iter()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            // Of 64 bits the remainder prefers no digits that anyone could notice.
            *group = u32::try_from(number % 100_000).unwrap_or_default();
        }
        Self(groups)
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, group) in self.0.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{group:05}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digits(…)")
    }
}

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_six_groups_of_five_and_keep_their_zeros() {
        let many = (0..=255_u8).map(|byte| Digits::from_secret(&[byte], "test").to_string());
        for text in many {
            let groups: Vec<_> = text.split(' ').collect();
            assert_eq!(groups.len(), 6);
            assert!(
                groups
                    .iter()
                    .all(|group| group.len() == 5 && group.parse::<u32>().is_ok())
            );
        }
    }

    #[test]
    fn another_secret_or_purpose_has_other_digits() {
        let digits = Digits::from_secret(b"secret", "test");
        assert_eq!(digits, Digits::from_secret(b"secret", "test"));
        assert_ne!(digits, Digits::from_secret(b"Secret", "test"));
        assert_ne!(digits, Digits::from_secret(b"secret", "other"));
    }
}
