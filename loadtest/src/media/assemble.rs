//! Puts frames together again, in whatever order their packets come.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Codec, av1, h264, vp8, vp9};

/// Packets further back than this are given up.
const REORDER_WINDOW: u64 = 1_024;

/// Whether a packet is the first of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    Yes,
    No,
    /// If the packet before it was the last of another.
    AfterTheEndOfAnother,
}

impl From<bool> for Begins {
    fn from(begins: bool) -> Self {
        if begins { Self::Yes } else { Self::No }
    }
}

/// What a payload says about its place in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) begins: Begins,
    /// It is the last, whether or not it bears the marker.
    pub(super) ends: bool,
    /// So many bytes of it are not of the frame.
    pub(super) descriptor: usize,
}

/// A packet with pictures, as far as putting frames together goes.
#[derive(Debug, Clone)]
pub struct Packet {
    /// How it is coded.
    pub codec: Codec,
    /// Its place in the stream, without wrapping.
    pub sequence: u64,
    /// RTP time, without wrapping.
    pub time: u64,
    /// Ends a frame.
    pub marker: bool,
    /// Whether it begins a frame, by its dependency descriptor if it has one.
    pub begins: Option<bool>,
    /// The RTP payload.
    pub payload: Arc<[u8]>,
}

#[derive(Debug)]
struct Part {
    codec: Codec,
    time: u64,
    piece: Piece,
    payload: Arc<[u8]>,
}

/// A frame that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeFrame {
    /// The sequence number of its first packet.
    pub first: u64,
    /// That of its last packet.
    pub last: u64,
    /// What they carry together.
    pub bytes: Vec<u8>,
}

/// Puts frames together again, in whatever order their packets come. A frame is whole
/// when every packet is there from the one that begins it to the one that ends it.
#[derive(Debug, Default)]
pub struct Assembler {
    parts: BTreeMap<u64, Part>,
    /// The last packets of frames.
    ends: BTreeSet<u64>,
}

/// A packet that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet whose payload descriptor ends early, or packets that contradict each other")]
pub struct MalformedPacket;

impl Assembler {
    /// Takes a packet; gives the frame that it makes whole.
    pub fn insert(&mut self, packet: Packet) -> Result<Option<WholeFrame>, MalformedPacket> {
        let Packet {
            codec,
            sequence,
            time,
            payload,
            ..
        } = packet;
        let piece = match codec {
            Codec::Vp8 => vp8::describe(&payload),
            Codec::Vp9 => vp9::describe(&payload),
            Codec::Av1 => av1::describe(&payload, packet.begins),
            Codec::H264 => h264::describe(&payload),
            Codec::Opus => None,
        };
        let mut piece = piece.ok_or(MalformedPacket)?;
        piece.ends |= packet.marker;
        if piece.ends {
            self.ends.insert(sequence);
        }
        let part = Part {
            codec,
            time,
            piece,
            payload,
        };
        self.parts.insert(sequence, part);
        let newest = self.parts.last_key_value().map_or(0, |(newest, _)| *newest);
        let oldest = newest.saturating_sub(REORDER_WINDOW);
        let is_old = |first: Option<&u64>| first.is_some_and(|first| *first < oldest);
        if is_old(self.parts.first_key_value().map(|(first, _)| first)) {
            self.parts = self.parts.split_off(&oldest);
        }
        while is_old(self.ends.first()) {
            self.ends.pop_first();
        }
        self.take_frame_around(sequence, time)
    }

    fn take_frame_around(
        &mut self,
        sequence: u64,
        time: u64,
    ) -> Result<Option<WholeFrame>, MalformedPacket> {
        let Some((first, last)) = self.bounds(sequence, time) else {
            return Ok(None);
        };
        let parts: Vec<Part> = (first..=last)
            .filter_map(|number| self.parts.remove(&number))
            .collect();
        let pieces = parts.iter().map(|part| {
            let from = part.piece.descriptor;
            part.payload.get(from..).unwrap_or_default()
        });
        let bytes = match parts.first().map(|part| part.codec) {
            Some(Codec::Av1) => av1::join(pieces).ok_or(MalformedPacket)?,
            Some(Codec::H264) => h264::join(pieces).ok_or(MalformedPacket)?,
            _ => {
                let mut frame = Vec::with_capacity(pieces.clone().map(<[u8]>::len).sum());
                pieces.for_each(|piece| frame.extend_from_slice(piece));
                frame
            }
        };
        Ok(Some(WholeFrame { first, last, bytes }))
    }

    /// The first and the last packet of the frame around this one, when all of it is there.
    fn bounds(&self, sequence: u64, time: u64) -> Option<(u64, u64)> {
        let mut first = sequence;
        loop {
            let before = first.checked_sub(1);
            match self.part(first, time)?.piece.begins {
                Begins::Yes => break,
                Begins::AfterTheEndOfAnother if before.is_some_and(|b| self.ends.contains(&b)) => {
                    break;
                }
                _ => first = before?,
            }
        }
        let mut last = sequence;
        while !self.part(last, time)?.piece.ends {
            last += 1;
        }
        Some((first, last))
    }

    fn part(&self, sequence: u64, time: u64) -> Option<&Part> {
        self.parts.get(&sequence).filter(|part| part.time == time)
    }
}

#[cfg(test)]
mod tests;
