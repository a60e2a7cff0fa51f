//! Dependency descriptors written field by field, as the AV1 RTP specification has them
//! (appendix A), and the scalability structures of its examples.
#![allow(dead_code, clippy::cast_possible_truncation)]

/// What a frame template says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// One character for each decode target: `-`, `D`, `S` or `R`.
    pub(crate) indications: &'static str,
    pub(crate) references: &'static [u16],
    pub(crate) chains: &'static [u8],
}

/// A scalability structure of pictures in groups of four: T0, T2, T1, T2. Decode targets
/// stand from the largest and fastest down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) spatial_layers: u8,
    /// Five for each spatial layer: key frame, T0, T1, the first T2, the second T2.
    pub(crate) templates: &'static [Template],
    pub(crate) protected_by: &'static [u8],
}

const fn t(
    spatial: u8,
    temporal: u8,
    references: &'static [u16],
    chains: &'static [u8],
    indications: &'static str,
) -> Template {
    Template {
        spatial,
        temporal,
        indications,
        references,
        chains,
    }
}

/// §A.10.2.1.
pub(crate) const L1T3: Shape = Shape {
    spatial_layers: 1,
    templates: &[
        t(0, 0, &[], &[0], "SSS"),
        t(0, 0, &[4], &[4], "SSS"),
        t(0, 1, &[2], &[2], "SD-"),
        t(0, 2, &[1], &[1], "D--"),
        t(0, 2, &[1], &[3], "D--"),
    ],
    protected_by: &[0, 0, 0],
};

/// §A.10.2.2: every frame builds on the smaller ones of its picture.
pub(crate) const L3T3: Shape = Shape {
    spatial_layers: 3,
    templates: &[
        t(0, 0, &[], &[0, 0, 0], "SSSSSSSSS"),
        t(0, 0, &[12], &[12, 11, 10], "RRRRRRSSS"),
        t(0, 1, &[6], &[6, 5, 4], "RR-RR-SD-"),
        t(0, 2, &[3], &[3, 2, 1], "R--R--D--"),
        t(0, 2, &[3], &[9, 8, 7], "R--R--D--"),
        t(1, 0, &[1], &[1, 1, 1], "SSSSSS---"),
        t(1, 0, &[12, 1], &[1, 1, 1], "RRRSSS---"),
        t(1, 1, &[6, 1], &[7, 6, 5], "RR-SD----"),
        t(1, 2, &[3, 1], &[4, 3, 2], "R--D-----"),
        t(1, 2, &[3, 1], &[10, 9, 8], "R--D-----"),
        t(2, 0, &[1], &[2, 1, 1], "SSS------"),
        t(2, 0, &[12, 1], &[2, 1, 1], "SSS------"),
        t(2, 1, &[6, 1], &[8, 7, 6], "SD-------"),
        t(2, 2, &[3, 1], &[5, 4, 3], "D--------"),
        t(2, 2, &[3, 1], &[11, 10, 9], "D--------"),
    ],
    protected_by: &[2, 2, 2, 1, 1, 1, 0, 0, 0],
};

/// As §A.10.2.3, without the shift: only key frames build on smaller ones.
pub(crate) const L3T3_KEY: Shape = Shape {
    spatial_layers: 3,
    templates: &[
        t(0, 0, &[], &[0, 0, 0], "SSSSSSSSS"),
        t(0, 0, &[12], &[12, 11, 10], "------SSS"),
        t(0, 1, &[6], &[6, 5, 4], "------SD-"),
        t(0, 2, &[3], &[3, 2, 1], "------D--"),
        t(0, 2, &[3], &[9, 8, 7], "------D--"),
        t(1, 0, &[1], &[1, 1, 1], "SSSSSS---"),
        t(1, 0, &[12], &[1, 12, 11], "---SSS---"),
        t(1, 1, &[6], &[7, 6, 5], "---SD----"),
        t(1, 2, &[3], &[4, 3, 2], "---D-----"),
        t(1, 2, &[3], &[10, 9, 8], "---D-----"),
        t(2, 0, &[1], &[2, 1, 1], "SSS------"),
        t(2, 0, &[12], &[2, 1, 12], "SSS------"),
        t(2, 1, &[6], &[8, 7, 6], "SD-------"),
        t(2, 2, &[3], &[5, 4, 3], "D--------"),
        t(2, 2, &[3], &[11, 10, 9], "D--------"),
    ],
    protected_by: &[2, 2, 2, 1, 1, 1, 0, 0, 0],
};

/// Independent sizes in one stream.
pub(crate) const S3T3: Shape = Shape {
    spatial_layers: 3,
    templates: &[
        t(0, 0, &[], &[0, 0, 0], "------SSS"),
        t(0, 0, &[12], &[12, 11, 10], "------SSS"),
        t(0, 1, &[6], &[6, 5, 4], "------SD-"),
        t(0, 2, &[3], &[3, 2, 1], "------D--"),
        t(0, 2, &[3], &[9, 8, 7], "------D--"),
        t(1, 0, &[], &[1, 0, 0], "---SSS---"),
        t(1, 0, &[12], &[1, 12, 11], "---SSS---"),
        t(1, 1, &[6], &[7, 6, 5], "---SD----"),
        t(1, 2, &[3], &[4, 3, 2], "---D-----"),
        t(1, 2, &[3], &[10, 9, 8], "---D-----"),
        t(2, 0, &[], &[2, 1, 0], "SSS------"),
        t(2, 0, &[12], &[2, 1, 12], "SSS------"),
        t(2, 1, &[6], &[8, 7, 6], "SD-------"),
        t(2, 2, &[3], &[5, 4, 3], "D--------"),
        t(2, 2, &[3], &[11, 10, 9], "D--------"),
    ],
    protected_by: &[2, 2, 2, 1, 1, 1, 0, 0, 0],
};

pub(crate) const SHAPES: [Shape; 4] = [L1T3, L3T3, L3T3_KEY, S3T3];

impl Shape {
    /// The template of a frame: of the picture so many after the last key frame, 0 being
    /// the key frame itself.
    pub(crate) fn template(&self, picture: usize, spatial: u8) -> usize {
        let in_layer = match (picture, picture % 4) {
            (0, _) => 0,
            (_, 0) => 1,
            (_, 1) => 3,
            (_, 2) => 2,
            _ => 4,
        };
        usize::from(spatial) * 5 + in_layer
    }
}

/// The fields of one descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    pub(crate) template_id: u8,
    pub(crate) number: u16,
    /// The structure, the id of its first template and the height of each spatial layer.
    pub(crate) structure: Option<(Shape, u8, Vec<u16>)>,
    /// The active decode targets and how many there are.
    pub(crate) active: Option<(u32, usize)>,
    pub(crate) indications: Option<&'static str>,
    pub(crate) references: Option<Vec<u16>>,
    pub(crate) chains: Option<Vec<u8>>,
}

impl Fields {
    pub(crate) fn plain(template_id: u8, number: u16) -> Self {
        Self {
            begins: true,
            ends: true,
            template_id,
            number,
            structure: None,
            active: None,
            indications: None,
            references: None,
            chains: None,
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bits = Bits(vec![]);
        bits.push(1, u32::from(self.begins));
        bits.push(1, u32::from(self.ends));
        bits.push(6, u32::from(self.template_id));
        bits.push(16, u32::from(self.number));
        let flags = [
            self.structure.is_some(),
            self.active.is_some(),
            self.indications.is_some(),
            self.references.is_some(),
            self.chains.is_some(),
        ];
        if flags.contains(&true) {
            for flag in flags {
                bits.push(1, u32::from(flag));
            }
        }
        if let Some((shape, offset, heights)) = &self.structure {
            bits.push(6, u32::from(*offset));
            bits.structure(shape, heights);
        }
        if let Some((active, targets)) = self.active {
            bits.push(targets, active);
        }
        if let Some(indications) = self.indications {
            bits.indications(indications);
        }
        if let Some(references) = &self.references {
            for distance in references {
                let size = match distance {
                    1..=16 => 1,
                    17..=256 => 2,
                    _ => 3,
                };
                bits.push(2, size as u32);
                bits.push(4 * size, u32::from(distance - 1));
            }
            bits.push(2, 0);
        }
        for distance in self.chains.iter().flatten() {
            bits.push(8, u32::from(*distance));
        }
        bits.bytes()
    }
}

struct Bits(Vec<bool>);

impl Bits {
    fn push(&mut self, count: usize, number: u32) {
        for bit in (0..count).rev() {
            self.0.push(number >> bit & 1 == 1);
        }
    }

    /// `write_ns` of §A.8.2.
    fn push_below(&mut self, values: u32, number: u32) {
        let width = (u32::BITS - values.leading_zeros()) as usize;
        let short = (1 << width) - values;
        if values == 1 {
        } else if number < short {
            self.push(width - 1, number);
        } else {
            self.push(width, number + short);
        }
    }

    fn indications(&mut self, indications: &str) {
        for indication in indications.chars() {
            let number = "-DSR".find(indication).unwrap();
            self.push(2, number as u32);
        }
    }

    fn structure(&mut self, shape: &Shape, heights: &[u16]) {
        let targets = shape.protected_by.len() as u32;
        self.push(5, targets - 1);
        for pair in shape.templates.windows(2) {
            let next = match (
                pair[1].spatial - pair[0].spatial,
                pair[1].temporal.wrapping_sub(pair[0].temporal),
            ) {
                (0, 0) => 0,
                (0, 1) => 1,
                _ => 2,
            };
            self.push(2, next);
        }
        self.push(2, 3);
        for template in shape.templates {
            self.indications(template.indications);
        }
        for template in shape.templates {
            for distance in template.references {
                self.push(1, 1);
                self.push(4, u32::from(distance - 1));
            }
            self.push(1, 0);
        }
        let chains = shape.templates[0].chains.len() as u32;
        self.push_below(targets + 1, chains);
        for chain in shape.protected_by {
            self.push_below(chains, u32::from(*chain));
        }
        for template in shape.templates {
            for distance in template.chains {
                self.push(4, u32::from(*distance));
            }
        }
        self.push(1, u32::from(!heights.is_empty()));
        for height in heights {
            self.push(16, u32::from(*height) * 16 / 9 - 1);
            self.push(16, u32::from(*height) - 1);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter()
                .enumerate()
                .fold(0, |byte, (i, bit)| byte | u8::from(*bit) << (7 - i))
        };
        self.0.chunks(8).map(byte).collect()
    }
}
