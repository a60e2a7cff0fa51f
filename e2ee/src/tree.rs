//! What the group's public tree (RFC 9420 §7) says about the weight of commits.
//!
//! A commit that changes keys has, for each node beside its author's way to the root, one
//! ciphertext for each key in that node's resolution (§4.1.1): one if the node has a key,
//! one for each member below it if nobody below it has ever made such a commit.

use crate::member::LeafIndex;

/// A node above the leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parent {
    Blank,
    /// It has a key, which so many members below it do not have.
    Filled {
        unmerged: usize,
    },
}

/// The tree as an array (RFC 9420 appendix C), its leaves at even places. Only what is needed
/// is kept of the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeShape {
    leaves: Vec<bool>,
    parents: Vec<Parent>,
}

/// How many ciphertexts a commit has, or some commits have.
pub(crate) type Ciphertexts = usize;

impl TreeShape {
    /// A tree whose nodes are these, in the array's order, without the blank ones at the end.
    pub(crate) fn new(leaves: &[bool], parents: &[Parent]) -> Self {
        let width = leaves.len().max(parents.len() + 1).next_power_of_two();
        let mut shape = Self {
            leaves: leaves.to_vec(),
            parents: parents.to_vec(),
        };
        shape.leaves.resize(width, false);
        shape.parents.resize(width - 1, Parent::Blank);
        shape
    }

    /// How many members there are.
    pub(crate) fn members(&self) -> usize {
        self.leaves.iter().filter(|is_taken| **is_taken).count()
    }

    /// The number of keys in the resolution of every node, by its place in the array.
    fn resolutions(&self) -> Vec<Ciphertexts> {
        let mut sizes = vec![0; 2 * self.leaves.len() - 1];
        for (leaf, is_taken) in self.leaves.iter().enumerate() {
            sizes[2 * leaf] = usize::from(*is_taken);
        }
        let levels = self.leaves.len().trailing_zeros();
        for level in 1..=levels {
            let half = 1 << (level - 1);
            // The nodes of a level are 2^(level + 1) places apart (appendix C).
            for place in ((1 << level) - 1..sizes.len()).step_by(2 << level) {
                sizes[place] = match self.parents[place / 2] {
                    Parent::Filled { unmerged } => 1 + unmerged,
                    Parent::Blank => sizes[place - half] + sizes[place + half],
                };
            }
        }
        sizes
    }

    /// What a commit of every member would weigh, and how much lighter it would make the
    /// commits of all members together.
    pub(crate) fn renewals(&self) -> Vec<Renewal> {
        let sizes = self.resolutions();
        let mut below = vec![0; sizes.len()];
        for (leaf, is_taken) in self.leaves.iter().enumerate() {
            below[2 * leaf] = usize::from(*is_taken);
        }
        let levels = self.leaves.len().trailing_zeros();
        for level in 1..=levels {
            let half = 1 << (level - 1);
            for place in ((1 << level) - 1..below.len()).step_by(2 << level) {
                below[place] = below[place - half] + below[place + half];
            }
        }
        let taken = self.leaves.iter().enumerate().filter(|(_, taken)| **taken);
        let renewals = taken.filter_map(|(leaf, _)| {
            let index = LeafIndex::new(u32::try_from(leaf).ok()?)?;
            let mut renewal = Renewal {
                leaf: index,
                weight: 0,
                saved: 0,
            };
            let mut place = 2 * leaf;
            for level in 0..levels {
                let sibling = place ^ (2 << level);
                renewal.weight += sizes[sibling];
                renewal.saved += sizes[place].saturating_sub(1) * below[sibling];
                place = place.min(sibling) + (1 << level);
            }
            Some(renewal)
        });
        renewals.collect()
    }
}

/// What a commit with new keys would be like that one member makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Renewal {
    pub(crate) leaf: LeafIndex,
    pub(crate) weight: Ciphertexts,
    /// By how much the commits of all members together would be lighter: one of each.
    pub(crate) saved: Ciphertexts,
}

/// The pure shape of what commits do to a tree.
#[cfg(test)]
pub(crate) mod model {
    use super::*;

    impl TreeShape {
        fn way(&self, leaf: usize) -> Vec<(usize, usize)> {
            let mut place = 2 * leaf;
            (0..self.leaves.len().trailing_zeros())
                .map(|level| {
                    let sibling = place ^ (2 << level);
                    place = place.min(sibling) + (1 << level);
                    (place / 2, sibling)
                })
                .collect()
        }

        /// Takes the leftmost free leaf.
        pub(crate) fn add(&mut self) -> usize {
            let free = self.leaves.iter().position(|taken| !taken);
            let leaf = free.unwrap_or(self.leaves.len());
            if free.is_none() {
                let width = 2 * self.leaves.len();
                self.leaves.resize(width, false);
                self.parents.resize(width - 1, Parent::Blank);
            }
            self.leaves[leaf] = true;
            for (parent, _) in self.way(leaf) {
                if let Parent::Filled { unmerged } = &mut self.parents[parent] {
                    *unmerged += 1;
                }
            }
            leaf
        }

        pub(crate) fn remove(&mut self, leaf: usize) {
            self.leaves[leaf] = false;
            for (parent, _) in self.way(leaf) {
                self.parents[parent] = Parent::Blank;
            }
        }

        /// New keys on a member's way to the root; what they weigh.
        pub(crate) fn renew(&mut self, leaf: usize) -> Ciphertexts {
            let sizes = self.resolutions();
            let mut weight = 0;
            for (parent, sibling) in self.way(leaf) {
                weight += sizes[sibling];
                self.parents[parent] = match sizes[sibling] {
                    0 => Parent::Blank,
                    _ => Parent::Filled { unmerged: 0 },
                };
            }
            weight
        }

        pub(crate) fn mean_weight(&self) -> f64 {
            let renewals = self.renewals();
            let sum: usize = renewals.iter().map(|it| it.weight).sum();
            sum as f64 / renewals.len() as f64
        }

        pub(crate) fn heaviest(&self) -> Ciphertexts {
            let renewals = self.renewals();
            renewals.iter().map(|it| it.weight).max().unwrap()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(members: usize) -> TreeShape {
        TreeShape::new(&vec![true; members], &[])
    }

    #[test]
    fn in_a_flat_tree_a_commit_has_a_ciphertext_for_everyone_else() {
        for members in [1, 2, 3, 8, 500] {
            let shape = flat(members);
            assert_eq!(shape.members(), members);
            let renewals = shape.renewals();
            assert_eq!(renewals.len(), members);
            assert!(renewals.iter().all(|it| it.weight == members - 1));
        }
    }

    #[test]
    fn what_is_said_to_be_saved_is_saved() {
        let mut shape = flat(100);
        for leaf in [0, 64, 99, 32, 31, 80] {
            let all = |shape: &TreeShape| shape.renewals().iter().map(|it| it.weight).sum();
            let renewal = shape.renewals()[leaf];
            let before: usize = all(&shape);
            assert_eq!(shape.renew(leaf), renewal.weight);
            let after: usize = all(&shape);
            assert_eq!(before - after, renewal.saved, "leaf {leaf}");
            assert_eq!(shape.renewals()[leaf].saved, 0, "nothing is left to save");
        }
    }

    #[test]
    fn in_a_filled_tree_a_commit_has_a_ciphertext_for_every_level() {
        let mut shape = flat(512);
        for leaf in 0..512 {
            shape.renew(leaf);
        }
        assert_eq!(shape.heaviest(), 9);
        // Whoever comes is one more, until somebody beside them makes a commit.
        let mut bigger = shape.clone();
        bigger.remove(511);
        let holes = bigger.renewals()[0].weight;
        assert_eq!(
            holes,
            9 - 1 + 8,
            "a key less, and eight nodes more beside it"
        );
        bigger.add();
        assert_eq!(bigger.renewals()[0].weight, 8 + 9);
    }
}
