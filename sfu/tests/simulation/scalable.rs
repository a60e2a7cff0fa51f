//! Video of several layers in one stream: VP8 and VP9 by their payload descriptors, AV1 by
//! the dependency descriptor. Pictures come in groups of four: T0, T2, T1, T2.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use str0m::{
    format::Codec,
    rtp::{Extension, ExtensionSerializer, ExtensionValues, RtpWrite},
};

use super::{
    client::{Client, Received},
    dependency::{Fields, Shape},
    media::{self, Stamp},
};

pub(crate) const HEIGHTS: [u16; 3] = [180, 360, 720];

/// Bytes of each of the two packets of a frame, by spatial layer: 64, 160 and 320 kbit/s.
const BYTES: [usize; 3] = [200, 500, 1_000];
const PARTS: u8 = 2;

const TEMPLATE_OFFSET: u8 = 5;

/// How the layers of a stream are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layering {
    /// Temporal layers, by the payload descriptor.
    Vp8,
    /// Spatial and temporal layers, by the payload descriptor.
    Vp9,
    /// By the dependency descriptor.
    Av1(Shape),
}

impl Layering {
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::Vp8 => Codec::Vp8,
            Self::Vp9 => Codec::Vp9,
            Self::Av1(_) => Codec::Av1,
        }
    }

    fn spatial_layers(self) -> u8 {
        match self {
            Self::Vp8 => 1,
            Self::Vp9 => 3,
            Self::Av1(shape) => shape.spatial_layers,
        }
    }

    /// The frames that one needs, by picture and spatial layer. `since` counts from the last
    /// key frame.
    fn needs(self, picture: u32, since: u32, spatial: u8) -> Vec<(u32, u8)> {
        if let Self::Av1(shape) = self {
            let layers = u32::from(shape.spatial_layers);
            let own = picture * layers + u32::from(spatial);
            let template = shape.templates[shape.template(since as usize, spatial)];
            let index = |distance: &u16| own - u32::from(*distance);
            let references = template.references.iter().map(index);
            return references
                .map(|i| (i / layers, (i % layers) as u8))
                .collect();
        }
        let mut needs = vec![];
        if since > 0 {
            needs.push((picture - [4, 1, 2, 1][since as usize % 4], spatial));
        }
        if spatial > 0 {
            needs.push((picture, spatial - 1));
        }
        needs
    }
}

/// The layers that a stamp stands for.
pub(crate) fn layers(stamp: Stamp) -> (u8, u8) {
    (stamp.layer & 0xf, stamp.layer >> 4)
}

/// The state of an encoder.
#[derive(Debug)]
pub(crate) struct ScalableSender {
    layering: Layering,
    since: u32,
    number: u16,
}

impl ScalableSender {
    pub(crate) fn new(layering: Layering) -> Self {
        Self {
            layering,
            since: 0,
            number: 65_000,
        }
    }
}

impl Client {
    /// Sends one picture: a frame of each spatial layer.
    pub(super) fn send_picture(&mut self, now: Instant) {
        let payload_type = self.payload_type(self.codec);
        let layers_on = self.layers_on;
        let (Some(scalable), [sender]) = (&mut self.scalable, self.video.as_mut_slice()) else {
            return;
        };
        let is_key = sender.key_in == Some(0);
        sender.key_in = sender.key_in.and_then(|frames| frames.checked_sub(1));
        scalable.since = if is_key { 0 } else { scalable.since + 1 };
        sender.frame += 1;
        sender.picture = (sender.picture + 1) & 0x7fff;
        sender.timestamp = sender.timestamp.wrapping_add(4_500);
        let since = scalable.since;
        let temporal = [0, 2, 1, 2][since as usize % 4];
        if temporal == 0 {
            sender.tl0 = sender.tl0.wrapping_add(1);
        }
        let spatial_layers = scalable.layering.spatial_layers();
        let top = (0..spatial_layers).rfind(|s| layers_on[usize::from(*s)]);
        for spatial in 0..spatial_layers {
            for part in 0..PARTS {
                let (begins, ends) = (part == 0, part + 1 == PARTS);
                let stamp = Stamp {
                    sender: self.index as u8,
                    layer: temporal << 4 | spatial,
                    is_key,
                    frame: sender.frame,
                    part,
                    parts: PARTS,
                };
                let [high, low] = sender.picture.to_be_bytes();
                let mut values = ExtensionValues::default();
                let mut payload = match scalable.layering {
                    Layering::Vp8 => {
                        let sync = u8::from(matches!(since % 4, 1 | 2)) << 5;
                        let start = 0x80 | u8::from(begins) << 4;
                        let layer = temporal << 6 | sync;
                        let frame = u8::from(!is_key);
                        vec![start, 0xe0, 0x80 | high, low, sender.tl0, layer, frame]
                    }
                    Layering::Vp9 => {
                        let has_sizes = is_key && spatial == 0 && begins;
                        let flags = 0xa0
                            | u8::from(!is_key) << 6
                            | u8::from(begins) << 3
                            | u8::from(ends) << 2
                            | u8::from(has_sizes) << 1;
                        let switch_up = u8::from(since % 2 == 0) << 4;
                        let layer =
                            temporal << 5 | switch_up | spatial << 1 | u8::from(spatial > 0);
                        let mut payload = vec![flags, 0x80 | high, low, layer, sender.tl0];
                        if has_sizes {
                            payload.push((spatial_layers - 1) << 5 | 0x10);
                            for height in HEIGHTS {
                                payload.extend((height * 16 / 9).to_be_bytes());
                                payload.extend(height.to_be_bytes());
                            }
                        }
                        payload
                    }
                    Layering::Av1(shape) => {
                        let brings = is_key && spatial == 0 && begins;
                        let template = shape.template(since as usize, spatial) as u8;
                        let heights = HEIGHTS[..usize::from(spatial_layers)].to_vec();
                        let fields = Fields {
                            begins,
                            ends,
                            structure: brings.then_some((shape, TEMPLATE_OFFSET, heights)),
                            ..Fields::plain(TEMPLATE_OFFSET + template, scalable.number)
                        };
                        values.user_values.set(Written(fields.write()));
                        vec![0x10 | u8::from(brings) << 3]
                    }
                };
                media::push_stamp(&mut payload, stamp);
                payload.resize(BYTES[usize::from(spatial)], 0xaa);
                if !layers_on[usize::from(spatial)] {
                    continue;
                }
                sender.sequence += 1;
                let mut direct = self.rtc.direct_api();
                let stream = direct.stream_tx_by_mid(sender.mid, sender.rid).unwrap();
                stream.write_rtp(
                    RtpWrite::new(
                        payload_type,
                        (sender.sequence % 60_000 + 1).into(),
                        sender.timestamp,
                        now,
                        payload,
                    )
                    .marker(ends && Some(spatial) == top)
                    .nackable(true)
                    .ext_vals(values),
                );
            }
            scalable.number = scalable.number.wrapping_add(1);
        }
    }
}

/// Picture id, where there is one, and stamp.
pub(crate) fn read(codec: Codec, payload: &[u8]) -> (u16, Stamp) {
    if codec == Codec::Av1 {
        return (0, media::read_stamp(&payload[1..]));
    }
    let picture = u16::from_be_bytes([payload[1] & 0x7f, payload[2]]);
    let sizes = if payload[0] & 2 == 0 { 0 } else { 13 };
    (picture, media::read_stamp(&payload[5 + sizes..]))
}

/// A dependency descriptor to be sent, or as it came.
#[derive(Debug)]
struct Written(Vec<u8>);

pub(crate) fn dependency(values: &ExtensionValues) -> Option<Vec<u8>> {
    let written = values.user_values.get::<Written>();
    written.map(|Written(bytes)| bytes.clone())
}

pub(crate) fn extension() -> Extension {
    Extension::with_serializer(
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        Serializer,
    )
}

#[derive(Debug)]
struct Serializer;

impl ExtensionSerializer for Serializer {
    fn write_to(&self, buf: &mut [u8], ev: &ExtensionValues) -> usize {
        let Some(Written(bytes)) = ev.user_values.get() else {
            return 0;
        };
        buf[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, buf: &[u8], ev: &mut ExtensionValues) -> bool {
        ev.user_values.set(Written(buf.to_vec()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, ev: &ExtensionValues) -> bool {
        let written = ev.user_values.get::<Written>();
        written.is_some_and(|Written(bytes)| bytes.len() > 16)
    }
}

/// One unbroken stream that a decoder can follow: no gap in sequence numbers, time and
/// frame numbers moving forward, every picture ended once, and every frame after those that
/// it needs.
pub(crate) fn assert_decodable(layering: Layering, received: &[Received]) {
    assert!(!received.is_empty());
    let mut ordered = received.to_vec();
    ordered.sort_by_key(|r| r.sequence);
    let mut frames: BTreeSet<(u32, u8)> = BTreeSet::new();
    let mut key_frame = None;
    for r in &ordered {
        let (spatial, _) = layers(r.stamp);
        let name = (r.stamp.frame, spatial);
        if r.stamp.is_key {
            key_frame = Some(r.stamp.frame);
        }
        if r.stamp.part > 0 {
            assert!(
                frames.contains(&name),
                "a frame without its beginning: {r:?}"
            );
            continue;
        }
        let key_frame = key_frame.expect("a key frame comes first");
        let needs = layering.needs(r.stamp.frame, r.stamp.frame - key_frame, spatial);
        for needed in needs {
            assert!(frames.contains(&needed), "{name:?} without {needed:?}");
        }
        frames.insert(name);
    }
    for pair in ordered.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        assert_eq!(b.sequence, a.sequence + 1, "{a:?} then {b:?}");
        let forward = b.timestamp.wrapping_sub(a.timestamp);
        assert!(forward < u32::MAX / 2, "time went back: {a:?} then {b:?}");
        assert_eq!(forward == 0, a.stamp.frame == b.stamp.frame);
        if layering == Layering::Vp8 {
            let step = b.picture.unwrap().wrapping_sub(a.picture.unwrap()) & 0x7fff;
            assert_eq!(step, u16::from(forward != 0), "{a:?} then {b:?}");
        }
        if let (Some(old), Some(new)) = (&a.dependency, &b.dependency) {
            let number = |bytes: &[u8]| u16::from_be_bytes([bytes[1], bytes[2]]);
            let step = number(new).wrapping_sub(number(old));
            let same = a.stamp.frame == b.stamp.frame && a.stamp.layer == b.stamp.layer;
            assert_eq!(step == 0, same, "{a:?} then {b:?}");
            assert!(step < 1 << 15, "{a:?} then {b:?}");
        }
    }
    if matches!(layering, Layering::Av1(_)) {
        let first = ordered[0].dependency.as_ref().unwrap();
        assert!(first.len() > 3 && first[3] & 0x80 != 0, "no structure");
    }
}

/// Of each picture but the last the last packet says so, and no other.
pub(crate) fn assert_marked(received: &[Received]) {
    let mut pictures: BTreeMap<u32, Vec<&Received>> = BTreeMap::new();
    for r in received {
        pictures.entry(r.stamp.frame).or_default().push(r);
    }
    pictures.pop_last();
    for packets in pictures.values_mut() {
        packets.sort_by_key(|r| r.sequence);
        let last = packets.pop().unwrap();
        assert!(last.marker, "{last:?}");
        assert!(packets.iter().all(|r| !r.marker), "{packets:?}");
    }
}
