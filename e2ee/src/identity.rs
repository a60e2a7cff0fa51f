//! Who a member is: what the credential in their leaf says (RFC 9420 §5.3).

use std::{fmt, str::FromStr};

use conclave_protocol::{ParticipantId, RoomId};
use serde::{Deserialize, Serialize};

use crate::device::{Device, DeviceError, DeviceProof, StayKey};

/// The longest name, in characters.
const LONGEST_NAME: usize = 64;

/// Why a text cannot be a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing but white space.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than 64 characters.
    #[error("a name has at most 64 characters")]
    TooLong,
    /// Has characters that are not shown, which could make one name pass for another.
    #[error("a name must not contain control characters")]
    Invisible,
}

/// How a member wants to be called.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DisplayName(String);

impl DisplayName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that change how their neighbours are shown, or are not shown themselves: control
/// and format characters (Unicode's general categories Cc and Cf), what separates lines, and the
/// blank ones among Braille's patterns and the signs of music.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

impl FromStr for DisplayName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim();
        if name.is_empty() {
            Err(InvalidName::Empty)
        } else if name.chars().count() > LONGEST_NAME {
            Err(InvalidName::TooLong)
        } else if name.chars().any(is_invisible) {
            Err(InvalidName::Invisible)
        } else {
            Ok(Self(name.to_owned()))
        }
    }
}

impl TryFrom<String> for DisplayName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DisplayName> for String {
    fn from(name: DisplayName) -> Self {
        name.0
    }
}

/// Names stay out of logs.
impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DisplayName(…)")
    }
}

/// How this client appears in a call.
#[derive(Debug, Clone)]
pub struct Persona {
    pub(crate) name: DisplayName,
    pub(crate) stay: StayKey,
    pub(crate) device: DeviceProof,
}

impl Persona {
    /// With a stay's key for which a device has vouched elsewhere.
    ///
    /// # Errors
    ///
    /// Fails if it has not.
    pub fn new(
        room: &RoomId,
        name: DisplayName,
        stay: StayKey,
        device: DeviceProof,
    ) -> Result<Self, DeviceError> {
        if !device.holds_for(room, &stay.public) {
            return Err(DeviceError::Unproven);
        }
        Ok(Self { name, stay, device })
    }

    /// With a new stay's key, on a device whose key is in this process.
    ///
    /// # Errors
    ///
    /// Fails where no keys can be made.
    pub fn on(device: &Device, room: &RoomId, name: DisplayName) -> Result<Self, DeviceError> {
        let stay = StayKey::generate()?;
        let device = device.vouch(room, &stay)?;
        Ok(Self { name, stay, device })
    }

    pub(crate) fn identity(&self, participant: ParticipantId) -> Identity {
        Identity {
            participant,
            name: self.name.clone(),
            device: self.device.clone(),
        }
    }
}

/// What a member's credential says, as JSON in a basic credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The id under which the server knows this stay in the room.
    pub participant: ParticipantId,
    /// The name that the others show.
    pub name: DisplayName,
    /// The device, which vouches for the signature key in the leaf.
    pub device: DeviceProof,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!("  Ada ".parse::<DisplayName>().unwrap().as_str(), "Ada");
        for (text, error) in [
            (" \t", InvalidName::Empty),
            ("Ada\u{202e}ecila", InvalidName::Invisible),
            ("Ada\u{200b}", InvalidName::Invisible),
            ("Ada\u{2800}", InvalidName::Invisible),
            ("\u{fff9}Ada", InvalidName::Invisible),
            ("A\u{ad}da", InvalidName::Invisible),
            ("Ada\u{1d159}", InvalidName::Invisible),
            ("Ada\u{e0061}", InvalidName::Invisible),
            ("A\nda", InvalidName::Invisible),
            (&"é".repeat(65), InvalidName::TooLong),
        ] {
            assert_eq!(text.parse::<DisplayName>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn an_unclean_name_in_a_credential_is_refused() {
        let with = |name: &str| {
            let (key, signature) = ("0".repeat(64), "0".repeat(128));
            let device = format!(r#"{{"key":"{key}","signature":"{signature}"}}"#);
            let json = format!(
                r#"{{"participant":"00000000000000aa","name":"{name}","device":{device}}}"#
            );
            serde_json::from_str::<Identity>(&json)
        };
        assert!(with("Ada").is_ok());
        assert!(with("Ada\u{202e}").is_err());
    }
}
