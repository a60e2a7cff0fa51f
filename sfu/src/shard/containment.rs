//! A state machine that panics takes nobody along.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use conclave_protocol::ParticipantId;

use super::{Datagram, PeerKey, Shard, Transport, peer::Entry};
use crate::{DropReason, LostReason, SfuEvent, fuzzing, transport::TransportAddress};

fn participant(index: usize) -> ParticipantId {
    ParticipantId::new(index as u64)
}

/// Two in one room, of whom the second is going to panic.
fn shard(now: Instant, at: Entry) -> Shard {
    let mut shard = Shard::new();
    for index in 0..2 {
        let negotiated = fuzzing::negotiated(now);
        shard.admit(now, "r".parse().unwrap(), participant(index), negotiated);
    }
    shard.flush(now);
    shard.peers[1].panics_at = Some(at);
    shard
}

fn lost(shard: &mut Shard) -> Vec<SfuEvent> {
    std::iter::from_fn(|| shard.poll_event()).collect()
}

fn assert_only_the_second_is_gone(shard: &mut Shard, now: Instant) {
    let event = SfuEvent::Lost {
        participant: participant(1),
        reason: LostReason::Failed,
    };
    assert_eq!(lost(shard), [event]);
    assert_eq!(shard.population().participants, 1);
    assert!(shard.peers.contains(0));
    // The other lives on, and time passes as before.
    shard.flush(now + Duration::from_secs(1));
    assert_eq!(lost(shard), []);
    assert!(shard.poll_timeout().is_some());
    shard.remove(now, participant(0));
    assert_eq!(shard.population().participants, 0);
}

#[test]
fn a_panic_when_time_passes_removes_one_participant() {
    let now = Instant::now();
    let mut shard = shard(now, Entry::Advance);
    shard.mark_peer(PeerKey(1));
    shard.flush(now);
    assert_only_the_second_is_gone(&mut shard, now);
}

#[test]
fn a_panic_when_output_is_taken_removes_one_participant() {
    let now = Instant::now();
    let mut shard = shard(now, Entry::Poll);
    shard.mark_peer(PeerKey(1));
    shard.flush(now);
    assert_only_the_second_is_gone(&mut shard, now);
}

#[test]
fn a_panic_over_a_datagram_removes_one_participant_and_is_counted() {
    let now = Instant::now();
    let mut shard = shard(now, Entry::Receive);
    let source = SocketAddr::from(([192, 0, 2, 1], 9));
    let Shard { demux, peers, .. } = &mut shard;
    let address = TransportAddress {
        transport: Transport::Udp,
        address: source,
    };
    demux.learn(address, PeerKey(1), &mut peers[1].addresses);
    let datagram = Datagram {
        transport: Transport::Udp,
        source,
        destination: SocketAddr::from(([10, 0, 0, 1], 3478)),
        contents: &[22; 40],
    };
    shard.handle_datagram(now, datagram);
    assert_eq!(shard.counters().dropped(DropReason::Refused), 1);
    assert_only_the_second_is_gone(&mut shard, now);
    shard.handle_datagram(now, datagram);
    assert_eq!(shard.counters().dropped(DropReason::UnknownSource), 1);
}

#[test]
fn a_panic_while_saying_goodbye_is_survived() {
    let now = Instant::now();
    let mut shard = shard(now, Entry::Close);
    shard.remove(now, participant(1));
    assert_eq!(shard.population().participants, 1);
    shard.flush(now + Duration::from_secs(1));
    assert_eq!(lost(&mut shard), []);
}
