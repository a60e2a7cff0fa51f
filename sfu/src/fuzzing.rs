//! What the fuzzer calls (`fuzz/`): one function for each of our readers of outside bytes.
//! Each panics when a promise is broken. Ordinary tests replay the committed inputs.
//!
//! Not part of the interface: it is there with the feature `fuzzing` and in tests.

// To panic is how a broken promise is reported. The fuzzer has no clock to pass in.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::disallowed_methods
)]

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use conclave_protocol::{
    Mid, ParticipantId, RoomId,
    signal::{OfferedSlot, OfferedTrack, Source},
};
use str0m::{change::SdpAnswer, format::Codec};

use crate::{
    Candidates, Negotiated, Negotiator, Offer, Transport,
    endpoint::framing,
    rewrite::{
        IdRewriter,
        dependency::{DependencyReader, Outgoing, RawDescriptor},
        descriptor::{Descriptor, inspect},
    },
    shard::{
        Datagram, Shard,
        control::{Control, MOST_WISHES},
    },
};

/// The least that a browser offers: a data channel.
const SMALLEST_OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
    a=group:BUNDLE 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
    a=mid:0\r\na=sctp-port:5000\r\n";

fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 3478))
}

fn negotiator() -> &'static Negotiator {
    static NEGOTIATOR: OnceLock<Negotiator> = OnceLock::new();
    NEGOTIATOR.get_or_init(|| {
        let candidates = Candidates::new(&[], server()).expect("an address");
        Negotiator::new(candidates).expect("a certificate")
    })
}

/// The connection of a participant who only has a data channel.
pub(crate) fn negotiated(now: Instant) -> Negotiated {
    let offer = Offer {
        sdp: SMALLEST_OFFER.into(),
        tracks: vec![],
        slots: vec![],
    };
    negotiator().negotiate(&offer, now).expect("an answer")
}

fn shard_with(now: Instant, negotiated: Negotiated) -> Shard {
    let room: RoomId = "r".parse().expect("a room's name");
    let mut shard = Shard::new();
    shard.admit(now, room, ParticipantId::new(1), negotiated);
    settle(&mut shard, now);
    shard
}

fn settle(shard: &mut Shard, now: Instant) {
    shard.flush(now);
    while shard.poll_transmit().is_some() {}
    while shard.poll_event().is_some() {}
}

/// A datagram from a stranger. If it begins with a 1 (a STUN response, to which nothing can
/// answer), the rest becomes the attributes of a binding request to a participant whom the
/// sender knows, with what it claims to be the right name.
///
/// Promise: nobody joins or leaves and nothing grows, whatever is sent.
pub fn datagram(bytes: &[u8]) {
    let now = Instant::now();
    let negotiated = negotiated(now);
    let contents = match bytes.split_first() {
        Some((1, attributes)) => binding_request(&negotiated.ufrag, attributes),
        _ => bytes.to_vec(),
    };
    let mut shard = shard_with(now, negotiated);
    for port in [1, 2] {
        shard.handle_datagram(
            now,
            Datagram {
                transport: Transport::Udp,
                source: SocketAddr::from(([192, 0, 2, 1], port)),
                destination: server(),
                contents: &contents,
            },
        );
        settle(&mut shard, now);
    }
    assert_eq!(shard.population().participants, 1);
    assert_eq!(
        shard.addresses_known(),
        0,
        "taken for someone without proof"
    );
}

/// RFC 8489 §5 and §14.3.
fn binding_request(ufrag: &str, attributes: &[u8]) -> Vec<u8> {
    let name = format!("{ufrag}:abcd");
    let mut body = vec![0x00, 0x06];
    body.extend(u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
    body.extend(name.bytes());
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(attributes);
    let mut message = vec![0x00, 0x01];
    message.extend(u16::try_from(body.len()).unwrap_or(0).to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend([7; 12]);
    message.extend(body);
    message
}

/// What a client writes to its TCP connection (RFC 4571), behind a byte that tells how much of
/// it is read at once.
///
/// Promise: however it is read, the same datagrams come out, and none is too long.
pub fn framing(bytes: &[u8]) {
    const LONGEST: usize = 1_500;
    let Some((step, stream)) = bytes.split_first() else {
        return;
    };
    let read_by = |step: usize| {
        let (mut read, mut datagrams) = (BytesMut::new(), vec![]);
        for chunk in stream.chunks(step) {
            read.extend_from_slice(chunk);
            loop {
                match framing::take(&mut read, LONGEST) {
                    Ok(Some(datagram)) => datagrams.push(datagram),
                    Ok(None) => break,
                    Err(framing::TooLong) => return (datagrams, true),
                }
            }
        }
        (datagrams, false)
    };
    let at_once = read_by(stream.len().max(1));
    assert_eq!(read_by(usize::from(*step).max(1)), at_once);
    for datagram in at_once.0 {
        assert!((1..=LONGEST).contains(&datagram.len()));
    }
}

/// The payloads of a stream of VP8 (RFC 7741), each behind a byte that tells its length.
pub fn vp8(bytes: &[u8]) {
    payloads(Codec::Vp8, bytes);
}

/// The payloads of a stream of VP9 (RFC 9628), likewise.
pub fn vp9(bytes: &[u8]) {
    payloads(Codec::Vp9, bytes);
}

/// The payloads of a stream of H.264 (RFC 6184), likewise.
pub fn h264(bytes: &[u8]) {
    payloads(Codec::H264, bytes);
}

/// Promise: ids that are to be replaced are replaced, by values that fit their place.
fn payloads(codec: Codec, mut bytes: &[u8]) {
    let mut ids = IdRewriter::default();
    while let Some((length, rest)) = bytes.split_first() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        bytes = rest;
        let inspected = inspect(codec, payload, None);
        let descriptor = inspected.descriptor;
        if inspected.frame.begins_key_frame {
            ids.switch(descriptor.ids());
        }
        let placed = ids.place(descriptor.ids());
        let rewritten = descriptor.with_ids(&Arc::from(payload), placed);
        assert_eq!(rewritten.payload.len(), payload.len());
        match descriptor {
            Descriptor::Vp8 { .. } => {
                assert_eq!(rewritten.vp8.is_some(), placed != descriptor.ids());
                assert_eq!(rewritten.payload[..], *payload);
            }
            Descriptor::Vp9(_) => {
                let read = inspect(codec, &rewritten.payload, None);
                assert_eq!(read.descriptor.ids(), placed);
                assert_eq!(
                    read.frame.begins_key_frame,
                    inspected.frame.begins_key_frame
                );
            }
            Descriptor::Plain => assert_eq!(rewritten.payload[..], *payload),
        }
    }
}

/// The dependency descriptors of a stream, each behind a byte of which the highest bit says
/// that it comes late and the others tell its length.
///
/// Promise: what is read can be sent on with another number, to a receiver who has the
/// structure and to one who has not, and says the same to both.
pub fn dependency(mut bytes: &[u8]) {
    const NUMBER: u16 = 0xabcd;
    let mut reader = DependencyReader::default();
    while let Some((head, rest)) = bytes.split_first() {
        let length = rest.len().min(usize::from(head & 0x7f));
        let (descriptor, rest) = rest.split_at(length);
        bytes = rest;
        let raw = Arc::new(RawDescriptor::new(descriptor));
        let Some(frame) = reader.read(&raw, head & 0x80 == 0) else {
            continue;
        };
        let mut buffer = [0; 1_024];
        for active in [None, Some(frame.active)] {
            for with_structure in [false, true] {
                let outgoing = Outgoing::new(&frame, NUMBER, active, with_structure);
                let written = outgoing.write(&mut buffer).expect("room for it");
                assert_eq!(written, outgoing.length());
                if !with_structure && !frame.brings_structure {
                    continue;
                }
                let sent = Arc::new(RawDescriptor::new(&buffer[..written]));
                let read = DependencyReader::default().read(&sent, true);
                let read = read.expect("what was read before");
                assert_eq!((read.number, read.layer), (NUMBER, frame.layer));
                assert_eq!((read.begins, read.ends), (frame.begins, frame.ends));
                assert_eq!(read.references.distances(), frame.references.distances());
                assert_eq!(read.structure.targets(), frame.structure.targets());
            }
        }
    }
}

/// A message on the control channel.
///
/// Promise: it is followed or answered with why not, and it asks for a bounded amount.
pub fn control(bytes: &[u8]) {
    let mut control = Control::default();
    let request = control.read(Instant::now(), bytes);
    assert_eq!(request.is_some(), !control.has_refused());
    if let Some(conclave_protocol::control::ControlRequest::Wishes { videos }) = request {
        assert!(videos.len() <= MOST_WISHES);
    }
}

/// An SDP offer. Its first sections that send are offered as tracks, the ones that receive
/// as slots.
///
/// Promise: it is answered, with an answer that can be read, or refused; the connection that
/// comes of it ends when nobody comes.
pub fn offer(bytes: &[u8]) {
    let Ok(sdp) = std::str::from_utf8(bytes) else {
        return;
    };
    let now = Instant::now();
    let Ok(mut negotiated) = negotiator().negotiate(&sections_of(sdp), now) else {
        return;
    };
    let answer = negotiated.take_answer().sdp;
    SdpAnswer::from_sdp_string(&answer).expect("an answer that can be read");
    let mut shard = shard_with(now, negotiated);
    for seconds in [1, 5, 31] {
        settle(&mut shard, now + Duration::from_secs(seconds));
    }
    assert_eq!(shard.population(), crate::Population::default());
}

fn sections_of(sdp: &str) -> Offer {
    let mut offer = Offer {
        sdp: sdp.to_owned(),
        tracks: vec![],
        slots: vec![],
    };
    for section in sdp.split("m=").skip(1) {
        let line = |start| section.lines().find_map(|line| line.strip_prefix(start));
        let Some(mid) = line("a=mid:").and_then(|mid: &str| mid.parse::<Mid>().ok()) else {
            continue;
        };
        let sources = if section.starts_with("video") {
            [Source::Camera, Source::Screen]
        } else {
            [Source::Microphone, Source::ScreenSound]
        };
        let is_free = |source: &Source| offer.tracks.iter().all(|t| t.source != *source);
        let sends = line("a=sendonly").is_some() || line("a=sendrecv").is_some();
        if let Some(source) = sources.into_iter().find(|s| sends && is_free(s)) {
            offer.tracks.push(OfferedTrack { mid, source });
        } else if line("a=recvonly").is_some() {
            let accepts = sources[0];
            offer.slots.push(OfferedSlot { mid, accepts });
        }
    }
    offer
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn replay(target: &str, run: impl Fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let mut replayed = 0;
        for entry in fs::read_dir(corpus.join(target)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            run(&fs::read(path).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "no input for {target}");
    }

    #[test]
    fn every_committed_input_is_survived() {
        replay("datagram", datagram);
        replay("framing", framing);
        replay("vp8", vp8);
        replay("vp9", vp9);
        replay("h264", h264);
        replay("dependency", dependency);
        replay("control", control);
        replay("offer", offer);
    }

    #[test]
    fn the_seeds_reach_what_they_are_for() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let sdp = fs::read_to_string(corpus.join("offer/publisher")).unwrap();
        let offer = sections_of(&sdp);
        assert_eq!((offer.tracks.len(), offer.slots.len()), (2, 4));
        assert!(negotiator().negotiate(&offer, Instant::now()).is_ok());
    }
}
