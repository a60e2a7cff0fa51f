//! Which track goes to which slot of a subscriber.

/// Decides the fillings of a subscriber's slots of one kind.
///
/// `wanted` is in order of preference; as many as there are slots are served. What is in a
/// slot and still served stays in that very slot: moving a picture from one element of the
/// page to another costs a key frame and a flicker.
pub(crate) fn assign<T: Copy + PartialEq>(slots: &mut [Option<T>], wanted: &[T]) {
    let served = &wanted[..wanted.len().min(slots.len())];
    for slot in slots.iter_mut() {
        if slot.is_some_and(|track| !served.contains(&track)) {
            *slot = None;
        }
    }
    for &track in served {
        if slots.contains(&Some(track)) {
            continue;
        }
        if let Some(free) = slots.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(track);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_most_wanted_are_served_and_the_rest_left_out() {
        let mut slots = [None, None];
        assign(&mut slots, &['a', 'b', 'c']);
        assert_eq!(slots, [Some('a'), Some('b')]);
    }

    #[test]
    fn what_stays_wanted_does_not_move() {
        let mut slots = [Some('a'), Some('b'), Some('c')];
        assign(&mut slots, &['d', 'c', 'b']);
        assert_eq!(slots, [Some('d'), Some('b'), Some('c')]);
    }

    #[test]
    fn what_is_gone_frees_its_slot() {
        let mut slots = [Some('a'), Some('b')];
        assign(&mut slots, &['b']);
        assert_eq!(slots, [None, Some('b')]);
    }

    proptest! {
        #[test]
        fn every_filling_is_wanted_and_none_is_there_twice(
            steps in prop::collection::vec(prop::collection::vec(0u8..12, 0..12), 1..20),
            count in 1usize..9,
        ) {
            let mut slots = vec![None; count];
            for mut wanted in steps {
                wanted.sort_unstable();
                wanted.dedup();
                let before = slots.clone();
                assign(&mut slots, &wanted);
                let served = &wanted[..wanted.len().min(count)];
                for track in served {
                    prop_assert_eq!(slots.iter().filter(|s| **s == Some(*track)).count(), 1);
                }
                prop_assert_eq!(slots.iter().flatten().count(), served.len());
                for (old, new) in before.iter().zip(&slots) {
                    if old.is_some_and(|track| served.contains(&track)) {
                        prop_assert_eq!(old, new);
                    }
                }
            }
        }
    }
}
