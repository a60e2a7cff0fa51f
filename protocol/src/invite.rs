//! What lets somebody into a room whose door the server's operator keeps.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ts_rs::TS;

use crate::InvalidOpaque;

/// Opens the server's door to one room, as often as whoever gave it out has said: 32 random
/// bytes. It gives nothing of the group away; that takes the link's secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct InviteToken([u8; 32]);

impl InviteToken {
    /// Wraps random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What the server keeps of it: its SHA-256.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl TryFrom<String> for InviteToken {
    type Error = InvalidOpaque;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        crate::opaque::exactly_32(text).map(Self)
    }
}

impl From<InviteToken> for String {
    fn from(token: InviteToken) -> Self {
        URL_SAFE_NO_PAD.encode(token.0)
    }
}

impl fmt::Debug for InviteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::ClientMessage;

    #[test]
    fn a_join_may_carry_an_invite_and_never_shows_it() {
        let bare = r#"{"type":"join","version":1,"room":"garden","room_auth":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
        let message: ClientMessage = serde_json::from_str(bare).expect("without");
        assert_eq!(serde_json::to_string(&message).expect("JSON"), bare);
        let token = String::from(InviteToken::new([7; 32]));
        let invited = format!(r#"{},"invite":"{token}"}}"#, bare.trim_end_matches('}'));
        let message: ClientMessage = serde_json::from_str(&invited).expect("with");
        assert_eq!(serde_json::to_string(&message).expect("JSON"), invited);
        assert!(!format!("{message:?}").contains(&token));
        let short = invited.replace(&token, "AAAA");
        assert!(serde_json::from_str::<ClientMessage>(&short).is_err());
    }
}
