//! What the fuzzer calls (`fuzz/`): one function for each of our readers of outside bytes.
//! Each panics when a promise is broken. Ordinary tests replay the committed inputs.
//!
//! Not part of the interface: it is there with the feature `fuzzing` and in tests.

// To panic is how a broken promise is reported.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

use conclave_protocol::{
    Epoch, Opaque, ParticipantId, RoomId, Sequence,
    file::CHUNK_BYTES,
    signal::{ClientMessage, GroupDoor, GroupState, Knock, ServerMessage},
};

use crate::{
    BaseKey, Codec, Device, DeviceKey, FileKey, FileStream, FrameOpener, FrameSealer, Identity,
    Instant, KnockName, LeafIndex, Link, LinkSecret, Membership, Output, Persona, StreamContext,
    application::Application,
    envelope::{Envelope, Kind},
    rules::Rules,
    turning_away::TurningAway,
};

const CODECS: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264];

/// A frame from the network, and the same bytes as a frame to be sealed. The first byte
/// chooses the codec, the second what is changed on the way.
///
/// Promise: what is sealed opens, as its sender's and unchanged; with one bit changed it does
/// not.
pub fn frame(bytes: &[u8]) {
    let Some((&[codec, damage], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let codec = CODECS[usize::from(codec) % CODECS.len()];
    let epoch = Epoch::new(7);
    let leaf = LeafIndex::new(3).expect("below 1024");
    let key = BaseKey::new([5; BaseKey::LENGTH]);
    let opener = || {
        let mut opener = FrameOpener::new();
        opener.install(epoch, &key);
        opener
    };
    let _ = opener().open(codec, rest);

    let mut sealer = FrameSealer::new();
    sealer.install(epoch, leaf, &key);
    sealer.seal_with(epoch);
    let context = StreamContext::CAMERA[usize::from(damage) % 3];
    let Ok(mut sealed) = sealer.seal(context, codec, rest) else {
        return;
    };
    let mut receiver = opener();
    let opened = receiver.open(codec, &sealed).expect("what is sealed opens");
    assert_eq!((opened.leaf, opened.context), (leaf, context));
    // AV1 is brought into a normal form, which is then its own.
    let again = sealer
        .seal(context, codec, &opened.frame)
        .expect("it was one");
    let again = receiver.open(codec, &again).expect("what is sealed opens");
    assert_eq!(again.frame, opened.frame);
    if codec != Codec::Av1 {
        assert_eq!(opened.frame, rest);
    }
    let place = usize::from(damage) * sealed.len() / 256;
    sealed[place] ^= 1 << (damage % 8);
    if let Ok(opened) = opener().open(codec, &sealed) {
        // A size of an AV1 unit may be written in several ways.
        assert!(
            codec == Codec::Av1 && opened.frame == again.frame,
            "a changed frame opened"
        );
    }
}

/// A membership that has founded a group, and its words so far.
fn founder(room: &RoomId, secret: &LinkSecret) -> (Membership, Opaque) {
    let mut founder = membership(room, secret, "Ada");
    founder.handle(
        Instant::default(),
        ServerMessage::Joined {
            participant: ParticipantId::new(1),
            others: Vec::new(),
            group: None,
        },
    );
    let group_info = words(&mut founder)
        .into_iter()
        .find_map(|output| match output {
            Output::Send {
                message: ClientMessage::CreateGroup { group_info },
            } => Some(group_info),
            _ => None,
        });
    founder.handle(Instant::default(), ServerMessage::GroupCreated {});
    words(&mut founder);
    (founder, group_info.expect("it founds a group"))
}

fn membership(room: &RoomId, secret: &LinkSecret, name: &str) -> Membership {
    let device = Device::generate().expect("random bytes");
    let name = name.parse().expect("a name");
    let persona = Persona::on(&device, room, name).expect("random bytes");
    Membership::new(room.clone(), secret, persona)
}

fn words(membership: &mut Membership) -> Vec<Output> {
    std::iter::from_fn(|| membership.poll()).collect()
}

/// Bytes that somebody with the link has sealed and sent as a commit, a message, a
/// KeyPackage, a Welcome, a group or a host's refusal: the first byte says as what. Without the link nobody
/// comes this far.
///
/// Promise: a member stays where it was; who is on the way in comes in nowhere.
pub fn sealed(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let room: RoomId = "fuzzed".parse().expect("a name");
    let secret = LinkSecret::from_bytes([1; 32]);
    let envelope = Envelope::new(&secret.keys(&room), room.clone());
    let seal = |kind| envelope.seal(kind, rest).expect("random bytes");
    let (mut member, group_info) = founder(&room, &secret);
    let now = Instant::default();
    let (author, sequence) = (ParticipantId::new(2), Sequence::START.next());
    let state = |group_info| GroupState {
        epoch: Epoch::FIRST,
        group_info,
    };
    let mut newcomer = membership(&room, &secret, "Grace");
    let joined = |door| ServerMessage::Joined {
        participant: author,
        others: vec![ParticipantId::new(1)],
        group: Some(door),
    };
    member.handle(
        now,
        ServerMessage::ParticipantJoined {
            participant: author,
        },
    );
    match kind % 6 {
        0 => member.handle(
            now,
            ServerMessage::Committed {
                sequence,
                author,
                epoch: Epoch::FIRST.next(),
                commit: seal(Kind::Commit),
                rules: None,
            },
        ),
        1 => member.handle(
            now,
            ServerMessage::Delivered {
                sequence,
                author,
                message: seal(Kind::Message),
            },
        ),
        2 => {
            let knocks = vec![Knock {
                participant: author,
                key_package: seal(Kind::KeyPackage),
            }];
            member.handle(now, ServerMessage::Admit { knocks });
        }
        3 => {
            let epoch = Epoch::FIRST;
            newcomer.handle(now, joined(GroupDoor::Knock { epoch }));
            newcomer.handle(
                now,
                ServerMessage::Welcomed {
                    sequence,
                    epoch: epoch.next(),
                    welcome: seal(Kind::Welcome),
                },
            );
        }
        4 => {
            let group = state(seal(Kind::GroupInfo));
            newcomer.handle(now, joined(GroupDoor::Commit { group }));
        }
        _ => {
            let rules = Rules::founded_by(DeviceKey::from_bytes([1; 32]));
            assert!(TurningAway::check(rest, &room, &rules, &KnockName::of(&[])).is_none());
        }
    }
    assert_eq!(member.epoch(), Some(Epoch::FIRST));
    assert_eq!(member.roster().len(), 1);
    let ended = |output: &Output| matches!(output, Output::Failed { .. });
    assert!(
        !words(&mut member).iter().any(ended),
        "a member was thrown out"
    );
    assert_eq!(newcomer.epoch(), None);
    // The member goes on as if nothing had been: the next one comes in.
    let mut next = membership(&room, &secret, "Edsger");
    next.handle(
        now,
        joined(GroupDoor::Commit {
            group: state(group_info),
        }),
    );
    assert!(!words(&mut next).iter().any(ended));
}

/// What somebody in the group says about a file, and a chunk of it from the server. The first
/// byte chooses the place, the second what is changed on the way.
///
/// Promise: what is taken can be told on and comes out the same; a chunk that is sealed opens, and with
/// one bit changed it does not.
pub fn file(bytes: &[u8]) {
    if let Some(taken @ Application::File { .. }) = Application::decode(bytes) {
        let told = taken.encode().expect("what is read can be written");
        assert!(
            Application::decode(&told) == Some(taken),
            "told on as another"
        );
    }
    let Some((&[place, damage], content)) = bytes.split_first_chunk() else {
        return;
    };
    let key = FileKey::from_bytes(&[3; 39]);
    let before = u64::from(place % 4) * u64::from(CHUNK_BYTES);
    let stream = FileStream::new(&key, before + content.len() as u64).expect("a length");
    let number = stream.sealed().chunks() - 1;
    let _ = stream.open(number, content);
    let Ok(mut sealed) = stream.seal(number, content) else {
        return;
    };
    let opened = stream.open(number, &sealed).expect("what is sealed opens");
    assert_eq!(opened, content);
    let place = usize::from(damage) * sealed.len() / 256;
    sealed[place] ^= 1 << (damage % 8);
    assert!(
        stream.open(number, &sealed).is_err(),
        "a changed chunk opened"
    );
}

/// The credential of a member, and the link of a call.
///
/// Promise: what is read is written as the same.
pub fn text(bytes: &[u8]) {
    if let Ok(identity) = serde_json::from_slice::<Identity>(bytes) {
        let written = serde_json::to_vec(&identity).expect("what is read can be written");
        let again: Identity = serde_json::from_slice(&written).expect("and read");
        assert_eq!(again, identity);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(link) = text.parse::<Link>()
    {
        let written = link.to_text();
        let again: Link = written.parse().expect("what is written can be read");
        assert_eq!(*again.to_text(), *written);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    /// How many inputs there are.
    fn replay(target: &str, read: fn(&[u8])) -> usize {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let mut count = 0;
        for entry in fs::read_dir(corpus.join(target)).unwrap() {
            read(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        count
    }

    #[test]
    fn the_committed_inputs_keep_the_promises() {
        assert!(replay("e2ee_frame", frame) >= 5);
        assert!(replay("e2ee_sealed", sealed) >= 5);
        assert!(replay("e2ee_text", text) >= 2);
        assert!(replay("e2ee_file", file) >= 3);
    }

    proptest! {
        #[test]
        fn frames_keep_the_promise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            frame(&bytes);
        }

        #[test]
        fn files_keep_the_promise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            file(&bytes);
        }

        #[test]
        fn texts_keep_the_promise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            text(&bytes);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// A real message, damaged in one place: most of it is read before it is refused.
        #[test]
        fn damaged_messages_keep_the_promise(file in any::<prop::sample::Index>(), place: u32, to: u8) {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/e2ee_sealed");
            let mut files: Vec<_> = fs::read_dir(corpus).unwrap().map(|it| it.unwrap().path()).collect();
            files.sort();
            let mut bytes = fs::read(file.get(&files)).unwrap();
            let place = place as usize % bytes.len();
            bytes[place] = to;
            sealed(&bytes);
        }
    }
}
