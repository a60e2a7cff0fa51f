use proptest::prelude::*;

use super::{
    written::{Fields, L1T3, L3T3, L3T3_KEY, S3T3, SHAPES, Shape},
    *,
};

const HEIGHTS: [u16; 3] = [180, 360, 720];
const OFFSET: u8 = 60;

fn raw(fields: &Fields) -> Arc<RawDescriptor> {
    Arc::new(RawDescriptor::new(&fields.write()))
}

fn key(shape: Shape) -> Fields {
    Fields {
        structure: Some((
            shape,
            OFFSET,
            HEIGHTS[..usize::from(shape.spatial_layers)].to_vec(),
        )),
        ..Fields::plain(OFFSET, 1000)
    }
}

/// A reader that knows a structure.
fn knowing(shape: Shape) -> DependencyReader {
    let mut reader = DependencyReader::default();
    let read = reader.read(&raw(&key(shape)), true).unwrap();
    assert!(read.brings_structure && read.is_intra());
    reader
}

fn written(outgoing: &Outgoing) -> Vec<u8> {
    let mut buffer = [0xff; 256];
    let length = outgoing.write(&mut buffer).unwrap();
    assert_eq!(length, outgoing.length());
    buffer[..length].to_vec()
}

fn layer(spatial: u8, temporal: u8) -> LayerId {
    LayerId { spatial, temporal }
}

#[test]
fn every_template_of_the_specification_is_read_as_it_is_written() {
    for shape in SHAPES {
        let mut reader = knowing(shape);
        for (index, template) in shape.templates.iter().enumerate() {
            let id = (OFFSET + index as u8) & 0x3f;
            let frame = reader.read(&raw(&Fields::plain(id, 7)), true).unwrap();
            assert_eq!(frame.layer, layer(template.spatial, template.temporal));
            assert_eq!(frame.references.distances(), template.references);
            for (target, indication) in template.indications.chars().enumerate() {
                let expected = match indication {
                    '-' => Indication::NotPresent,
                    'D' => Indication::Discardable,
                    'S' => Indication::Switch,
                    _ => Indication::Required,
                };
                assert_eq!(frame.indications.of(target), expected);
            }
        }
        let beyond = (OFFSET + shape.templates.len() as u8) & 0x3f;
        assert!(reader.read(&raw(&Fields::plain(beyond, 7)), true).is_none());
    }
}

#[test]
fn decode_targets_and_sizes_follow_from_the_structure() {
    let of = |shape| knowing(shape).structure.unwrap();
    let (l1t3, l3t3, key, independent) = (of(L1T3), of(L3T3), of(L3T3_KEY), of(S3T3));
    assert_eq!(l1t3.targets(), [layer(0, 2), layer(0, 1), layer(0, 0)]);
    assert_eq!(l3t3.targets()[0], layer(2, 2));
    assert_eq!(l3t3.targets()[5], layer(1, 0));
    assert_eq!((l1t3.spatial_layers(), l3t3.spatial_layers()), (1, 3));
    assert_eq!(l3t3.height(1), Some(360));
    assert_eq!(l1t3.height(1), None);

    assert_eq!(l3t3.target_for(LayerId::ALL), 0);
    assert_eq!(l3t3.target_for(layer(1, u8::MAX)), 3);
    assert_eq!(l1t3.target_for(layer(2, 0)), 2);

    assert!(l3t3.is_part_of(8, 0) && !l3t3.is_part_of(0, 8));
    assert!(key.is_part_of(2, 0) && !key.is_part_of(8, 0));
    assert!(l3t3.carries_lower(2));
    assert!(!key.carries_lower(2) && !independent.carries_lower(1));
}

#[test]
fn a_frame_may_have_definitions_of_its_own() {
    let mut reader = knowing(L3T3);
    let fields = Fields {
        indications: Some("-DSRSD--R"),
        references: Some(vec![3, 200, 4096]),
        chains: Some(vec![1, 200, 255]),
        active: Some((0b1_1111_1000, 9)),
        ends: false,
        ..Fields::plain(OFFSET + 1, 0xffff)
    };
    let frame = reader.read(&raw(&fields), true).unwrap();
    assert_eq!(frame.references.distances(), [3, 200, 4096]);
    assert_eq!(frame.indications.of(3), Indication::Required);
    assert_eq!(frame.indications.of(8), Indication::Required);
    assert_eq!(frame.active, 0b1_1111_1000);
    assert_eq!(
        (frame.begins, frame.ends, frame.number),
        (true, false, 0xffff)
    );

    let next = reader.read(&raw(&Fields::plain(OFFSET + 2, 0)), true);
    assert_eq!(
        next.unwrap().active,
        0b1_1111_1000,
        "it holds until told anew"
    );
}

#[test]
fn a_late_structure_counts_when_it_is_the_newest() {
    let mut reader = DependencyReader::default();
    assert!(reader.read(&raw(&Fields::plain(OFFSET, 1)), true).is_none());
    assert!(reader.read(&raw(&key(L3T3)), false).is_some());
    assert_eq!(reader.structure().unwrap().spatial_layers(), 3);
    let old = Fields {
        number: 999,
        ..key(L1T3)
    };
    assert!(reader.read(&raw(&old), false).is_some());
    assert_eq!(reader.structure().unwrap().spatial_layers(), 3);
    let new = Fields {
        number: 1001,
        ..key(L1T3)
    };
    assert!(reader.read(&raw(&new), false).is_some());
    assert_eq!(reader.structure().unwrap().spatial_layers(), 1);
}

#[test]
fn only_the_frame_number_changes_on_the_way() {
    for fields in [
        key(L3T3),
        Fields::plain(OFFSET + 3, 9),
        Fields {
            references: Some(vec![5]),
            ..Fields::plain(OFFSET, 9)
        },
    ] {
        let frame = knowing(L3T3).read(&raw(&fields), true).unwrap();
        let out = written(&Outgoing::new(&frame, 0xabcd, None, false));
        let expected = Fields {
            number: 0xabcd,
            ..fields
        };
        assert_eq!(out, expected.write());
    }
}

#[test]
fn what_is_added_stands_as_if_the_sender_had_written_it() {
    for shape in SHAPES {
        let targets = shape.protected_by.len();
        for fields in [
            key(shape),
            Fields::plain(OFFSET, 9),
            Fields {
                references: Some(vec![3, 17]),
                chains: Some(vec![9; shape.templates[0].chains.len()]),
                active: Some((1, targets)),
                ..Fields::plain(OFFSET, 9)
            },
        ] {
            let frame = knowing(shape).read(&raw(&fields), true).unwrap();
            let out = written(&Outgoing::new(&frame, 7, Some(0b101), true));
            let expected = Fields {
                number: 7,
                structure: key(shape).structure,
                active: Some((0b101, targets)),
                ..fields
            };
            assert_eq!(out, expected.write());
        }
    }
}

#[test]
fn what_does_not_fit_is_not_written() {
    let frame = knowing(L3T3).read(&raw(&key(L3T3)), true).unwrap();
    for outgoing in [
        Outgoing::new(&frame, 7, None, false),
        Outgoing::new(&frame, 7, Some(1), false),
    ] {
        let mut buffer = vec![0; outgoing.length() - 1];
        assert_eq!(outgoing.write(&mut buffer), None);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        descriptors in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..8),
        in_order in any::<bool>(),
        known in any::<bool>(),
    ) {
        let mut reader = if known { knowing(L3T3) } else { DependencyReader::default() };
        for bytes in descriptors {
            let raw = Arc::new(RawDescriptor::new(&bytes));
            let Some(frame) = reader.read(&raw, in_order) else {
                continue;
            };
            let same = written(&Outgoing::new(&frame, frame.number, None, false));
            prop_assert_eq!(&same, &bytes);
            let out = written(&Outgoing::new(&frame, 9, Some(1), true));
            let again = DependencyReader::default()
                .read(&Arc::new(RawDescriptor::new(&out)), true)
                .unwrap();
            prop_assert_eq!(again.layer, frame.layer);
            prop_assert_eq!(again.references, frame.references);
            prop_assert_eq!(again.indications, frame.indications);
            prop_assert_eq!((again.number, again.active), (9, 1));
            let targets = 0..frame.structure.targets().len();
            prop_assert_eq!(again.structure.targets(), frame.structure.targets());
            for target in targets {
                let _ = frame.structure.is_part_of(target, 0);
            }
        }
    }

    #[test]
    fn what_is_cut_short_is_refused(shape in 0..SHAPES.len(), cut in 1usize..60) {
        let bytes = key(SHAPES[shape]).write();
        let kept = bytes.len().saturating_sub(cut);
        let raw = Arc::new(RawDescriptor::new(&bytes[..kept]));
        prop_assert!(DependencyReader::default().read(&raw, true).is_none());
    }
}
