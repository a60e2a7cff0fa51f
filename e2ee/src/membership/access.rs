//! What a link gives access with. A host can change the link while the call goes on.

use conclave_protocol::RoomId;

use crate::{
    envelope::Envelope,
    link::{LinkSecret, RoomKeys},
};

/// A link's secret and what it yields.
pub(super) struct Access {
    pub(super) secret: LinkSecret,
    pub(super) keys: RoomKeys,
    pub(super) envelope: Envelope,
}

impl Access {
    pub(super) fn new(room: &RoomId, secret: LinkSecret) -> Self {
        let keys = secret.keys(room);
        Self {
            envelope: Envelope::new(&keys, room.clone()),
            keys,
            secret,
        }
    }
}
