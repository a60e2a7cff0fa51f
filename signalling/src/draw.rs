//! Numbers, names and secrets that nobody can guess.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// 32 letters and digits that are hard to mistake for each other, as the client has them.
const ROOM_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// 32 bytes, as they travel.
pub(crate) fn secret() -> Result<String, getrandom::Error> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<32>()?))
}

/// Tells things apart; no secret.
pub(crate) fn id() -> Result<String, getrandom::Error> {
    Ok(hex::encode(bytes::<8>()?))
}

/// A room's name like those that the client draws (`web/src/call/link.ts`).
pub(crate) fn room() -> Result<String, getrandom::Error> {
    let letters = bytes::<12>()?.map(|byte| char::from(ROOM_ALPHABET[usize::from(byte % 32)]));
    let parts: Vec<String> = letters
        .chunks(4)
        .map(|part| part.iter().collect())
        .collect();
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rooms_name_looks_like_the_clients() {
        let room = room().unwrap();
        assert_eq!(room.len(), 14);
        assert!(room.parse::<conclave_protocol::RoomId>().is_ok(), "{room}");
        assert_eq!(room.as_bytes()[4], b'-');
    }

    #[test]
    fn ids_and_secrets_have_their_length_and_are_never_the_same() {
        let secrets: std::collections::BTreeSet<_> = (0..100).map(|_| secret().unwrap()).collect();
        assert_eq!(secrets.len(), 100);
        assert!(secrets.iter().all(|secret| secret.len() == 43));
        assert_eq!(id().unwrap().len(), 16);
    }
}
