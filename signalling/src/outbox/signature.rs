//! What is told to an endpoint, signed as Standard Webhooks has it
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::{Event, Kind};
use crate::{draw, moment::Moment};

/// What secrets begin with.
const PREFIX: &str = "whsec_";

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    timestamp: Moment,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    number: u64,
    room: &'a str,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant: Option<conclave_protocol::ParticipantId>,
}

/// The body that tells of an event. Every attempt sends the same bytes.
pub(super) fn body(event: &Event) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Payload {
        kind: event.kind,
        timestamp: event.at,
        data: Data {
            number: event.number,
            room: &event.room,
            sequence: event.sequence,
            participant: event.participant,
        },
    })
}

/// A secret to sign with.
pub(super) fn secret() -> Result<String, getrandom::Error> {
    Ok(format!("{PREFIX}{}", STANDARD.encode(draw::bytes::<32>()?)))
}

/// The value of `webhook-signature`; none if the secret is not one.
pub(super) fn sign(secret: &str, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with the reference implementation's example.
    #[test]
    fn a_signature_is_the_standards() {
        let signed = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed.as_deref(), Some(expected));
        assert_eq!(sign("nonsense", "1", 1, ""), None);
        assert!(sign(&secret().unwrap(), "1", 1, "").is_some());
    }
}
