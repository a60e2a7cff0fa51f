//! Whatever is wanted when: what is sent can be decoded.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use str0m::format::Codec;

use super::*;
use crate::rewrite::{
    dependency::{
        DependencyReader, RawDescriptor,
        written::{Fields, SHAPES, Shape},
    },
    descriptor::inspect,
};

const PACKETS: usize = 2;

/// A frame of a stream: where it stands, and which frames it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    picture: usize,
    spatial: u8,
}

#[derive(Debug, Clone)]
struct Sample {
    name: Name,
    needs: Vec<Name>,
    position: Position,
    frame: Frame,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Vp8,
    Vp9,
    Dependency(Shape),
}

fn kinds() -> impl Iterator<Item = Kind> {
    let shapes = SHAPES.into_iter().map(Kind::Dependency);
    [Kind::Vp8, Kind::Vp9].into_iter().chain(shapes)
}

impl Kind {
    fn spatial_layers(self) -> u8 {
        match self {
            Self::Vp8 => 1,
            Self::Vp9 => 3,
            Self::Dependency(shape) => shape.spatial_layers,
        }
    }

    /// A stream of pictures in groups of T0, T2, T1, T2. `keys[i]` says that a key frame
    /// comes in place of picture i.
    fn stream(self, keys: &[bool]) -> Vec<Sample> {
        let mut reader = DependencyReader::default();
        let (mut samples, mut sequence, mut since) = (vec![], 65_000, 0);
        let mut number = 65_500u16;
        for (picture, is_key) in keys.iter().enumerate() {
            since = if *is_key { 0 } else { since + 1 };
            for spatial in 0..self.spatial_layers() {
                for part in 0..PACKETS {
                    let (begins, ends) = (part == 0, part + 1 == PACKETS);
                    let (frame, needs) = match self {
                        Self::Vp8 => (vp8(since, begins), vp8_needs(picture, since)),
                        Self::Vp9 => (
                            vp9(since, spatial, begins, ends),
                            vp9_needs(picture, since, spatial),
                        ),
                        Self::Dependency(shape) => {
                            let template = shape.template(since, spatial);
                            let brings = since == 0 && spatial == 0 && begins;
                            let fields = Fields {
                                begins,
                                ends,
                                structure: brings.then(|| (shape, 3, vec![])),
                                ..Fields::plain(3 + template as u8, number)
                            };
                            let raw = Arc::new(RawDescriptor::new(&fields.write()));
                            let dependency = reader.read(&raw, true);
                            assert!(dependency.is_some());
                            let layers = usize::from(shape.spatial_layers);
                            let own = picture * layers + usize::from(spatial);
                            let needs = shape.templates[template].references.iter();
                            let needs = needs.map(|distance| {
                                let index = own - usize::from(*distance);
                                Name {
                                    picture: index / layers,
                                    spatial: (index % layers) as u8,
                                }
                            });
                            (
                                inspect(Codec::Av1, &[0, 1], dependency).frame,
                                needs.collect(),
                            )
                        }
                    };
                    samples.push(Sample {
                        name: Name { picture, spatial },
                        needs,
                        position: Position {
                            sequence,
                            timestamp: (picture as u32).wrapping_mul(3_000),
                        },
                        frame,
                    });
                    sequence += 1;
                }
                number = number.wrapping_add(1);
            }
        }
        samples
    }
}

fn temporal(since: usize) -> u8 {
    [0, 2, 1, 2][since % 4]
}

/// The picture that one of this place refers to, by its distance.
fn distance(since: usize) -> usize {
    [4, 1, 2, 1][since % 4]
}

fn vp8(since: usize, begins: bool) -> Frame {
    let start = if begins { 0x90 } else { 0x80 };
    // The second T2 needs T1.
    let sync = u8::from(matches!(since % 4, 1 | 2)) << 5;
    let layer = temporal(since) << 6 | sync;
    let inter = u8::from(since != 0);
    inspect(Codec::Vp8, &[start, 0xe0, 0x80, 1, 9, layer, inter], None).frame
}

fn vp8_needs(picture: usize, since: usize) -> Vec<Name> {
    let name = |picture| Name {
        picture,
        spatial: 0,
    };
    match since {
        0 => vec![],
        _ => vec![name(picture - distance(since))],
    }
}

fn vp9(since: usize, spatial: u8, begins: bool, ends: bool) -> Frame {
    let mut flags = 0xa0 | u8::from(begins) << 3 | u8::from(ends) << 2;
    if since != 0 {
        flags |= 0x40;
    }
    let switch_up = u8::from(since.is_multiple_of(2)) << 4;
    let layers = temporal(since) << 5 | switch_up | spatial << 1 | u8::from(spatial > 0);
    inspect(Codec::Vp9, &[flags, 5, layers, 9, 1], None).frame
}

fn vp9_needs(picture: usize, since: usize, spatial: u8) -> Vec<Name> {
    let mut needs = vec![];
    if since != 0 {
        needs.push(Name {
            picture: picture - distance(since),
            spatial,
        });
    }
    if spatial > 0 {
        needs.push(Name {
            picture,
            spatial: spatial - 1,
        });
    }
    needs
}

/// What one subscriber gets: for each frame the fate of each of its packets.
fn select(samples: &[Sample], order: &[usize], wishes: &[(usize, LayerId)]) -> Selected {
    let mut fates: BTreeMap<Name, Vec<Verdict>> = BTreeMap::new();
    let mut selector: Option<Selector> = None;
    let mut newest = 0;
    let mut wanted = LayerId::ALL;
    for &index in order {
        let sample = &samples[index];
        for (_, wish) in wishes.iter().filter(|(at, _)| *at == index) {
            wanted = *wish;
            if let Some(selector) = &mut selector {
                selector.want(wanted);
            }
        }
        let in_order = sample.position.sequence >= newest;
        newest = newest.max(sample.position.sequence);
        if selector.is_none() && in_order && can_begin(wanted, &sample.frame) {
            selector = Some(Selector::begin(wanted, sample.position, &sample.frame));
        }
        if let Some(selector) = &mut selector {
            let fate = selector.judge(sample.position, in_order, &sample.frame);
            fates.entry(sample.name).or_default().push(fate);
        }
    }
    Selected { fates, selector }
}

struct Selected {
    fates: BTreeMap<Name, Vec<Verdict>>,
    selector: Option<Selector>,
}

impl Selected {
    fn sent(&self) -> BTreeSet<Name> {
        let is_sent = |fates: &[Verdict]| fates.iter().any(|f| *f != Verdict::LeaveOut);
        let sent = self.fates.iter().filter(|(_, fates)| is_sent(fates));
        sent.map(|(name, _)| *name).collect()
    }
}

fn size(spatial: u8, temporal: u8) -> LayerId {
    LayerId { spatial, temporal }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn all_that_is_sent_can_be_decoded(
        kind in 0usize..6,
        mut keys in prop::collection::vec(prop::bool::weighted(0.08), 60),
        wishes in prop::collection::vec((0usize..360, 0u8..3, 0u8..3), 0..12),
        swaps in prop::collection::vec(prop::bool::weighted(0.1), 360),
    ) {
        keys[0] = true;
        let kind = kinds().nth(kind).unwrap();
        let samples = kind.stream(&keys);
        let wishes: Vec<_> = wishes
            .into_iter()
            .map(|(at, spatial, temporal)| (at % samples.len(), size(spatial, temporal)))
            .collect();
        let mut order: Vec<usize> = (0..samples.len()).collect();
        // The first picture arrives in order: something has to begin.
        for at in 7..samples.len() {
            if swaps[at] && order[at - 1] == at - 1 {
                order.swap(at - 1, at);
            }
        }
        let selected = select(&samples, &order, &wishes);
        let sent = selected.sent();
        for sample in samples.iter().filter(|s| sent.contains(&s.name)) {
            for needed in &sample.needs {
                prop_assert!(sent.contains(needed), "{:?} without {needed:?}", sample.name);
            }
            let fates = &selected.fates[&sample.name];
            let together = fates.iter().all(|fate| *fate != Verdict::LeaveOut);
            prop_assert!(together, "a part of {:?} is missing", sample.name);
        }
    }

    #[test]
    fn what_is_wanted_comes_with_the_next_key_frame(
        kind in 0usize..6,
        before in (0u8..3, 0u8..3),
        after in (0u8..3, 0u8..3),
    ) {
        let kind = kinds().nth(kind).unwrap();
        let mut keys = [false; 24];
        keys[0] = true;
        keys[11] = true;
        let samples = kind.stream(&keys);
        let order: Vec<usize> = (0..samples.len()).collect();
        let at = samples.iter().position(|s| s.name.picture == 7).unwrap();
        let wishes = [(0, size(before.0, before.1)), (at, size(after.0, after.1))];
        let sent = select(&samples, &order, &wishes).sent();
        let wanted = size(after.0.min(kind.spatial_layers() - 1), after.1);
        for sample in samples.iter().filter(|s| s.name.picture >= 11) {
            let layer = sample.frame.layer;
            // Independent sizes switch where their own key frame begins.
            if sample.name.picture == 11 && layer.spatial < wanted.spatial {
                continue;
            }
            let expected = match kind {
                Kind::Dependency(shape) => {
                    let template = shape.templates
                        [shape.template(sample.name.picture - 11, layer.spatial)];
                    let target = usize::from((shape.spatial_layers - 1 - wanted.spatial) * 3
                        + 2 - wanted.temporal);
                    template.indications.as_bytes()[target] != b'-'
                }
                _ => layer.spatial <= wanted.spatial && layer.temporal <= wanted.temporal,
            };
            let is_sent = sent.contains(&sample.name);
            prop_assert_eq!(is_sent, expected, "{:?}", sample.name);
        }
    }
}

/// The layers that are sent some pictures after a wish, with no key frame in between.
fn without_key_frame(kind: Kind, before: LayerId, after: LayerId) -> (LayerId, bool) {
    let mut keys = [false; 24];
    keys[0] = true;
    let samples = kind.stream(&keys);
    let order: Vec<usize> = (0..samples.len()).collect();
    let at = samples.iter().position(|s| s.name.picture == 9).unwrap();
    let selected = select(&samples, &order, &[(0, before), (at, after)]);
    let selector = selected.selector.unwrap();
    (selector.layer(), selector.awaits_key_frame())
}

#[test]
fn motion_comes_and_goes_without_a_key_frame() {
    for kind in kinds() {
        let top = kind.spatial_layers() - 1;
        assert_eq!(
            without_key_frame(kind, size(top, 0), size(top, 2)),
            (size(top, 2), false),
            "{kind:?}"
        );
        assert_eq!(
            without_key_frame(kind, size(top, 2), size(top, 0)),
            (size(top, 0), false),
            "{kind:?}"
        );
    }
}

#[test]
fn a_larger_size_waits_for_a_key_frame_and_a_smaller_one_does_not_when_it_is_part_of_it() {
    let [_, l3t3, key, independent] = SHAPES.map(Kind::Dependency);
    for kind in [Kind::Vp9, l3t3, key, independent] {
        let (layer, waits) = without_key_frame(kind, size(0, 2), size(2, 2));
        assert_eq!((layer, waits), (size(0, 2), true), "{kind:?}");
    }
    for kind in [Kind::Vp9, l3t3] {
        let (layer, waits) = without_key_frame(kind, size(2, 2), size(0, 1));
        assert_eq!((layer, waits), (size(0, 1), false), "{kind:?}");
    }
    for kind in [key, independent] {
        let (layer, waits) = without_key_frame(kind, size(2, 2), size(0, 2));
        assert_eq!((layer, waits), (size(2, 2), true), "{kind:?}");
    }
}

#[test]
fn the_last_packet_that_is_sent_ends_the_picture() {
    let [_, l3t3, ..] = SHAPES.map(Kind::Dependency);
    for kind in [Kind::Vp9, l3t3] {
        for spatial in 0..3 {
            let samples = kind.stream(&[true, false, false, false]);
            let order: Vec<usize> = (0..samples.len()).collect();
            let selected = select(&samples, &order, &[(0, size(spatial, 2))]);
            for (name, fates) in &selected.fates {
                let ends = Verdict::Send { ends_picture: true };
                let expected = name.spatial == spatial;
                assert_eq!(*fates.last().unwrap() == ends, expected, "{name:?}");
                assert_ne!(fates[0], ends);
            }
        }
    }
}

#[test]
fn a_receiver_of_less_is_told_which_targets_it_gets() {
    let [_, l3t3, ..] = SHAPES.map(Kind::Dependency);
    let samples = l3t3.stream(&[true, false]);
    let order: Vec<usize> = (0..samples.len()).collect();
    let narrowed = |wanted| {
        let selector = select(&samples, &order, &[(0, wanted)]).selector.unwrap();
        let sample = samples.last().unwrap();
        let Scaling::Dependency(frame) = &sample.frame.scaling else {
            panic!("no dependency descriptor");
        };
        selector.narrowed(frame, sample.position)
    };
    assert_eq!(narrowed(size(2, 2)), None);
    assert_eq!(narrowed(size(1, 2)), Some(0b1_1111_1000));
    assert_eq!(narrowed(size(2, 1)), Some(0b1_1011_0110));
    assert_eq!(narrowed(size(0, 0)), Some(0b1_0000_0000));
}
