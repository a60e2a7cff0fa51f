//! Datagrams in and out: whose they are and where they go.

use std::time::Instant;

use str0m::{
    ice::StunMessage,
    net::{Receive, Transmit},
};

use super::{
    Datagram, LONGEST_DATAGRAM, PeerKey, Shard,
    demux::{Owner, Protocol},
    peer::Broken,
    relay::HandedOver,
};
use crate::{DropReason, LostReason, Transport, transport::TransportAddress};

/// The check at hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answering {
    source: TransportAddress,
    /// Where the agent believes it came from.
    seen_as: TransportAddress,
    /// If it is answered, the client has moved.
    moves: bool,
    now: Instant,
}

impl Shard {
    /// Hands a datagram to whom it is for.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        if let Err(reason) = self.deliver(now, datagram) {
            self.counters.drop_one(reason);
        }
    }

    fn deliver(&mut self, now: Instant, datagram: Datagram<'_>) -> Result<(), DropReason> {
        let contents = datagram.contents;
        if contents.len() > LONGEST_DATAGRAM {
            return Err(DropReason::TooLong);
        }
        let protocol = Protocol::of(contents).ok_or(DropReason::Malformed)?;
        let source = TransportAddress {
            transport: datagram.transport,
            address: datagram.source,
        };
        let key = match self.demux.find(self.id, protocol, source, contents)? {
            Owner::Here(key) => key,
            // Handed on once at most: two shards that disagree would do so for ever. And a
            // TCP connection stays with the thread that has it.
            Owner::Shard(_) if self.handed_by.is_some() || datagram.transport == Transport::Tcp => {
                return Err(DropReason::UnknownSource);
            }
            Owner::Shard(shard) => {
                let handed = HandedOver {
                    source: datagram.source,
                    destination: datagram.destination,
                    contents: contents.to_vec(),
                };
                return if self.outgoing.hand_over(shard, handed) {
                    Ok(())
                } else {
                    Err(DropReason::UnknownUser)
                };
            }
        };
        let Some(peer) = self.peers.get_mut(key.0) else {
            return Err(DropReason::UnknownSource);
        };
        let is_check = protocol.is_check(contents);
        let mut was_broken = false;
        let (seen_as, moves) = if is_check {
            let elsewhere = peer.path.may_move(now, source);
            match elsewhere.filter(|_| peer.connected && nominates(contents)) {
                Some(elsewhere) => (elsewhere, true),
                None => (peer.path.disguise(source), false),
            }
        } else {
            was_broken = peer.path.was_broken(now);
            (peer.path.hear(now, source), false)
        };
        let receive = Receive::new(
            seen_as.transport.into(),
            seen_as.address,
            datagram.destination,
            contents,
        )
        .map_err(|_| DropReason::Malformed)?;
        self.answering = is_check.then_some(Answering {
            source,
            seen_as,
            moves,
            now,
        });
        let resend_types = peer.resend_types;
        let sent_before = self.outbox.len();
        let accepted = peer.receive(now, receive);
        self.got_packet = false;
        let path_changes = self.counters.path_changes;
        if accepted.is_ok() {
            self.drain(now, key);
        }
        self.answering = None;
        if self.counters.path_changes > path_changes {
            self.ask_anew(now, key);
        }
        if was_broken {
            self.begin_anew(now, key);
        }
        match accepted {
            Ok(true) => {}
            Ok(false) => return Err(DropReason::Refused),
            Err(Broken) => {
                self.lose(now, key, LostReason::Failed);
                return Err(DropReason::Refused);
            }
        }
        if is_check && self.outbox.len() == sent_before {
            return Err(DropReason::Refused);
        }
        if let Protocol::Rtp { payload_type } = protocol {
            let resent = resend_types >> payload_type & 1 == 1;
            if resent {
                self.counters.resends_in += 1;
            } else if !self.got_packet {
                return Err(DropReason::Unusable);
            }
        }
        Ok(())
    }

    pub(super) fn send(&mut self, key: PeerKey, mut transmit: Transmit) {
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        match Protocol::of(&transmit.contents) {
            // An ICE-lite agent sends nothing but answers to checks that proved themselves.
            Some(Protocol::Stun) => self.answer(key, &mut transmit),
            // All else takes the pair that the client chose.
            Some(protocol) => {
                peer.path.redirect(&mut transmit);
                match protocol {
                    Protocol::Dtls => peer.transport = Some(transmit.proto.into()),
                    Protocol::Rtp { payload_type }
                        if peer.resend_types >> payload_type & 1 == 1 =>
                    {
                        self.counters.resends_out += 1;
                    }
                    _ => {}
                }
            }
            None => {}
        }
        self.outbox.push_back(transmit);
    }

    /// A check has proven itself: where it came from is the participant's.
    fn answer(&mut self, key: PeerKey, transmit: &mut Transmit) {
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        let mut address = TransportAddress {
            transport: transmit.proto.into(),
            address: transmit.destination,
        };
        if let Some(answering) = self.answering.filter(|a| a.seen_as == address) {
            address = answering.source;
            if answering.moves {
                peer.path.move_to(answering.now, address);
                self.counters.path_changes += 1;
            }
        }
        transmit.proto = address.transport.into();
        transmit.destination = address.address;
        let forgotten = self.demux.learn(address, key, &mut peer.addresses);
        self.address_proven(address);
        if let Some(forgotten) = forgotten {
            self.address_gone(forgotten);
        }
    }
}

/// The client wants this path to be used (RFC 8445 §7.1.1).
fn nominates(check: &[u8]) -> bool {
    StunMessage::parse(check).is_ok_and(|message| message.use_candidate())
}
