//! Which knock is meant, when somebody decides about one.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ts_rs::TS;

use crate::device::{DeviceError, bytes, hexadecimal};

/// What a knock goes by: SHA-256 of its KeyPackage. Whoever waits may knock again with another
/// one, and a decision is about the one that was shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct KnockName([u8; 32]);

impl KnockName {
    /// Of a KeyPackage as it stood in its envelope.
    pub fn of(key_package: &[u8]) -> Self {
        Self(Sha256::digest(key_package).into())
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for KnockName {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        Ok(Self(bytes(&text)?))
    }
}

impl From<KnockName> for String {
    fn from(name: KnockName) -> Self {
        hexadecimal(&name.0)
    }
}

impl fmt::Debug for KnockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnockName({})", hexadecimal(&self.0))
    }
}
