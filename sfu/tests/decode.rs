//! What comes out of a slot is decoded by a decoder that is not ours, whatever happened on
//! the way: layers switched, tracks changed, packets lost and reordered.
//!
//! A VP8 decoder does not notice a wrong reference: it shows a broken picture and reports
//! nothing. So each picture is compared with what the publisher's own encoding decodes to,
//! to the bit.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use simulation::{
    ClientConfig, World,
    network::Loss,
    participant,
    recording::{Frame, Recording},
};
use str0m::{crypto::from_feature_flags, format::Codec};

const SECOND: Duration = Duration::from_secs(1);
const SEEDS: u64 = 8;
const GOOD_SEEDS: u64 = 3;

/// A decoded picture: how many bytes it has, which tells its size, and what they hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Picture {
    bytes: usize,
    hash: String,
}

/// Has ffmpeg decode a file, and fails at the first complaint.
fn decode(file: &Path) -> Vec<Picture> {
    let output = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-hide_banner",
            "-loglevel",
            "warning",
            "-xerror",
        ])
        .args(["-err_detect", "explode", "-threads", "1", "-i"])
        .arg(file)
        .args(["-map", "0:v", "-autoscale", "0"])
        .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg runs; scripts/setup.sh test installs it");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{}: {complaints}",
        file.display()
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            Picture {
                bytes: fields[4].parse().unwrap(),
                hash: fields[5].to_owned(),
            }
        })
        .collect()
}

/// What each encoded frame has to look like.
struct Originals(HashMap<Vec<u8>, Picture>);

impl Originals {
    fn of(recordings: &[Arc<Recording>]) -> Self {
        let mut originals = HashMap::new();
        for recording in recordings {
            let pictures = decode(&recording.path);
            assert_eq!(pictures.len(), recording.frames.len());
            originals.extend(recording.frames.iter().cloned().zip(pictures));
        }
        Self(originals)
    }

    /// Decodes what a subscriber got and compares every picture. Returns the sizes seen.
    fn compare(&self, tag: &[u8; 4], frames: &[Frame], name: &str) -> BTreeSet<usize> {
        let mut file = vec![];
        ivf::write_ivf_header(&mut file, 640, 360, 20, 1);
        file[8..12].copy_from_slice(tag);
        for (index, frame) in frames.iter().enumerate() {
            ivf::write_ivf_frame(&mut file, index as u64, &frame.data);
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.ivf"));
        std::fs::write(&path, file).unwrap();
        let pictures = decode(&path);
        assert_eq!(pictures.len(), frames.len(), "{name}: pictures are missing");
        for (index, (frame, picture)) in frames.iter().zip(&pictures).enumerate() {
            let original = self.0.get(&frame.data[..]);
            let original = original.unwrap_or_else(|| panic!("{name}: {index} was never sent"));
            assert_eq!(picture, original, "{name}: picture {index} is broken");
        }
        pictures.iter().map(|picture| picture.bytes).collect()
    }
}

/// Bytes of a picture with 4:2:0 chroma.
fn bytes(width: usize, height: usize) -> usize {
    width * height + 2 * width.div_ceil(2) * height.div_ceil(2)
}

/// Checks that the frames are those of one stream, in which time and pictures go forward in
/// step with the packets, and leaves those that a decoder takes: after a gap it waits for a
/// key frame. There are gaps at switches even on a good network: a publisher sends the
/// packets of its layers by turns, so the last frame before a switch may stay without its
/// end.
fn take_decodable(mut frames: Vec<Frame>, name: &str) -> Vec<Frame> {
    for pair in frames.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        assert!(b.time > a.time, "{name}: time went back: {a:?}, then {b:?}");
        let step = b.picture.checked_sub(a.picture);
        if b.first_sequence == a.last_sequence + 1 {
            assert_eq!(step, Some(1), "{name}: {a:?}, then {b:?}");
            assert!(b.contiguous, "{name}: {a:?}, then {b:?}");
        } else {
            assert!(matches!(step, Some(1..=5)), "{name}: {a:?}, then {b:?}");
        }
    }
    let mut waits_for_key = true;
    let mut next = None;
    frames.retain(|frame| {
        let is_gap = next.replace(frame.last_sequence + 1) != Some(frame.first_sequence);
        waits_for_key = !frame.is_key && (waits_for_key || is_gap);
        !waits_for_key
    });
    frames
}

/// Has packets lost, and some overtaken by others, in both directions.
fn weather(world: &mut World, loss: Loss, reordered: f64) {
    let network = &mut world.network;
    for link in network.up.iter_mut().chain(&mut network.down) {
        link.weather.loss = loss;
        link.weather.reordered = reordered;
    }
}

/// Lets one slot change between two publishers and their layers at random, on a network that
/// is good for the first seeds and bad for the others. Returns the frames that came out of
/// it and can be decoded.
fn wander(seed: u64, publishers: &[ClientConfig; 2], name: &str) -> Vec<Frame> {
    let mut world = World::seeded(seed, 1, from_feature_flags());
    for config in publishers {
        world.join(
            "r",
            ClientConfig {
                camera_slots: 0,
                audio_slots: 0,
                ..config.clone()
            },
        );
    }
    let viewer = world.join(
        "r",
        ClientConfig {
            assembles: true,
            camera_slots: 1,
            codec: publishers[0].codec,
            ..ClientConfig::viewer()
        },
    );
    world.settle();
    let is_bad = seed >= GOOD_SEEDS;
    if is_bad {
        weather(&mut world, Loss::Random(0.015), 0.02);
    }
    let mut chance = fastrand::Rng::with_seed(seed);
    for _ in 0..16 {
        let publisher = chance.usize(..2);
        let height = [90, 360, 720][chance.usize(..3)];
        let now = world.now;
        world.clients[viewer].wish(now, &[(participant(publisher), height)]);
        let stay = Duration::from_millis(200 + chance.u64(..1_000));
        world.run(stay);
        if chance.u8(..3) == 0 {
            let now = world.now;
            let slot = world.clients[viewer].camera_slot_mids[0].clone();
            world.clients[viewer].request_key_frame(now, &slot);
        }
    }
    weather(&mut world, Loss::None, 0.0);
    world.run(2 * SECOND);
    let mut slots = std::mem::take(&mut world.clients[viewer].assembled).into_values();
    let frames = slots.next().unwrap();
    assert!(slots.next().is_none(), "one slot, one stream");
    let all = frames.len();
    let decodable = take_decodable(frames, name);
    let lost = all - decodable.len();
    assert!(all > 100, "{name}: only {all} frames");
    let most = if is_bad { all / 4 } else { 0 };
    assert!(
        lost <= most,
        "{name}: {lost} of {all} frames lack what they refer to"
    );
    let counters = world.shards[0].counters();
    assert!(!is_bad || (counters.resends_in > 0 && counters.resends_out > 0));
    decodable
}

#[test]
fn every_picture_of_a_switched_vp8_simulcast_decodes_as_it_was_encoded() {
    let recordings = ["vp8-q.ivf", "vp8-h.ivf", "vp8-f.ivf"].map(Recording::read);
    let originals = Originals::of(&recordings);
    let config = ClientConfig {
        recordings: recordings.to_vec(),
        ..ClientConfig::default()
    };
    let publishers = [config.clone(), config];
    let mut sizes = BTreeSet::new();
    for seed in 0..SEEDS {
        let name = format!("vp8-{seed}");
        let frames = wander(seed, &publishers, &name);
        sizes.extend(originals.compare(b"VP80", &frames, &name));
    }
    let layers = [bytes(160, 90), bytes(320, 180), bytes(640, 360)];
    assert_eq!(sizes, BTreeSet::from(layers));
}

#[test]
fn every_picture_of_a_slot_that_changes_between_vp9_tracks_decodes_as_it_was_encoded() {
    let recordings = ["vp9-small.ivf", "vp9-large.ivf"].map(Recording::read);
    let originals = Originals::of(&recordings);
    let publishers = recordings.map(|recording| ClientConfig {
        codec: Codec::Vp9,
        simulcast: false,
        recordings: vec![recording],
        ..ClientConfig::default()
    });
    let mut sizes = BTreeSet::new();
    for seed in 0..SEEDS {
        let name = format!("vp9-{seed}");
        let frames = wander(seed, &publishers, &name);
        sizes.extend(originals.compare(b"VP90", &frames, &name));
    }
    assert_eq!(sizes, BTreeSet::from([bytes(240, 136), bytes(480, 270)]));
}
