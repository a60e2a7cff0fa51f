//! Plays a bot's programs into sealed RTP packets.
//!
//! The sizes of a simulcast track are coded in step: each moment gives one frame in every
//! size, and as the counters of all sizes begin with the epoch, the same moment has the
//! same number in each. When a key frame of one size is wanted, all sizes get one, which
//! is what browsers do.

use std::time::{Duration, Instant};

use conclave_e2ee::{SealError, StreamContext};
use conclave_protocol::signal::Source;

use super::{
    peer::{Extra, OutgoingPacket},
    seal::Frames,
};
use crate::{
    measure::frame::Sent,
    media::{
        Codec,
        cadence::{Cadence, Rank},
        pace::{Due, Schedule},
        packetize::{Packetizer, Payload},
        program::{Program, Reel},
        stamp::{MonotonicClock, stamp, stamp_opus},
    },
};

/// Requests for key frames that come sooner after one are for the same picture; browsers
/// do not answer them either.
const KEY_FRAME_PAUSE: Duration = Duration::from_millis(300);

/// Deliberate damage, to prove that it is noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// None.
    #[default]
    None,
    /// The last byte of every sealed frame is changed.
    SpoilFrames,
}

/// How frames are made.
#[derive(Debug, Clone, Copy)]
pub struct Craft {
    /// How their stamps are made.
    pub clock: MonotonicClock,
    /// What chance is drawn from.
    pub seed: u64,
    /// Deliberate damage.
    pub sabotage: Sabotage,
}

/// One RTP stream: one size of a picture, or a sound.
#[derive(Debug)]
struct Layer {
    number: u8,
    context: StreamContext,
    reel: Reel,
    /// None for sounds, which go into one packet each.
    packetizer: Option<Packetizer>,
    sequence: u64,
}

#[derive(Debug)]
struct Track {
    source: Source,
    codec: Codec,
    is_on: bool,
    key_frame_wanted: bool,
    key_frame_at: Option<Instant>,
    schedule: Schedule,
    cadence: Cadence,
    /// RTP time of the first frame.
    time: u32,
    layers: Vec<Layer>,
}

/// Plays all tracks of a bot.
#[derive(Debug)]
pub struct Publisher {
    craft: Craft,
    tracks: Vec<Track>,
}

impl Publisher {
    /// Begins to play at `start`, on the sources that are `on`.
    pub fn new(programs: &[Program], on: &[Source], craft: Craft, start: Instant) -> Self {
        let mut chance = fastrand::Rng::with_seed(craft.seed);
        let tracks = programs
            .iter()
            .map(|program| Track::new(program, on, &mut chance, start))
            .collect();
        Self { craft, tracks }
    }

    /// When the next frame is due, if any source is on.
    pub fn next_at(&self) -> Option<Instant> {
        let on = self.tracks.iter().filter(|track| track.is_on);
        on.map(|track| track.schedule.next_at()).min()
    }

    /// Sends these sources from now on, and no others. One that was off begins with a key
    /// frame.
    pub fn publish(&mut self, now: Instant, sources: &[Source]) {
        for track in &mut self.tracks {
            let was_on = std::mem::replace(&mut track.is_on, sources.contains(&track.source));
            if track.is_on && !was_on {
                track.schedule.resume(now);
                track.key_frame_wanted = true;
            }
        }
    }

    /// Goes on over a new peer connection, whose keys count sequence numbers from the
    /// beginning (RFC 3711 §3.3.1).
    pub fn reconnect(&mut self) {
        let layers = self.tracks.iter_mut().flat_map(|track| &mut track.layers);
        for layer in layers {
            layer.sequence &= 0x7fff;
        }
    }

    /// The next picture of a track is a key frame, unless there was one just now.
    pub fn want_key_frame(&mut self, now: Instant, source: Source) {
        for track in &mut self.tracks {
            let is_early = track
                .key_frame_at
                .is_some_and(|at| now.saturating_duration_since(at) < KEY_FRAME_PAUSE);
            if track.source == source && !is_early {
                track.key_frame_wanted = true;
            }
        }
    }

    /// Seals every frame that is due, and gives its packets.
    pub fn play(
        &mut self,
        now: Instant,
        frames: &mut Frames,
    ) -> Result<(Vec<OutgoingPacket>, Vec<Sent>), SealError> {
        let mut packets = Vec::new();
        let mut sent = Vec::new();
        for track in self.tracks.iter_mut().filter(|track| track.is_on) {
            while let Some(due) = track.schedule.take(now) {
                track.play(&self.craft, now, due, frames, &mut packets, &mut sent)?;
            }
        }
        Ok((packets, sent))
    }
}

impl Track {
    fn new(program: &Program, on: &[Source], chance: &mut fastrand::Rng, start: Instant) -> Self {
        let layout = program.layout();
        let layers = (0..layout.layers)
            .map(|number| Layer {
                number,
                context: context(program.source, number),
                reel: program.reel(number, chance.u64(..)),
                packetizer: Packetizer::new(layout.codec, program.shape(number), chance.u16(..)),
                // Small, so that it does not wrap before the receiver has seen it.
                sequence: chance.u16(..0x8000).into(),
            })
            .collect();
        Self {
            source: program.source,
            codec: layout.codec,
            is_on: on.contains(&program.source),
            key_frame_wanted: true,
            key_frame_at: None,
            schedule: Schedule::new(start, program.interval()),
            cadence: Cadence::new(program.temporal_layers()),
            time: chance.u32(..),
            layers,
        }
    }

    fn play(
        &mut self,
        craft: &Craft,
        now: Instant,
        due: Due,
        frames: &mut Frames,
        packets: &mut Vec<OutgoingPacket>,
        sent: &mut Vec<Sent>,
    ) -> Result<(), SealError> {
        let rank = self.rank(now);
        let moment = now - due.late;
        let time = self.rtp_time(due.number);
        for layer in &mut self.layers {
            let mut frame = layer.reel.frame(rank, craft.clock.since_start(moment));
            match self.codec {
                Codec::Opus => stamp_opus(&mut frame.bytes, craft.clock, moment, now),
                _ => stamp(&mut frame.bytes, craft.clock, moment, now),
            }
            let (stream, counter, mut sealed) =
                frames.seal(layer.context, self.codec, &frame.bytes)?;
            if craft.sabotage == Sabotage::SpoilFrames
                && let Some(last) = sealed.last_mut()
            {
                *last ^= 1;
            }
            let payloads = layer.payloads(sealed, rank);
            let count = payloads.len();
            for (at, payload) in payloads.into_iter().enumerate() {
                packets.push(OutgoingPacket {
                    source: self.source,
                    layer: layer.number,
                    sequence: layer.sequence,
                    time,
                    marker: self.source.is_video() && at + 1 == count,
                    payload: payload.bytes,
                    extra: match (frame.level, payload.dependency) {
                        (Some(level), _) => Extra::Level(level),
                        (None, Some(descriptor)) => Extra::Dependency(descriptor),
                        (None, None) => Extra::None,
                    },
                });
                layer.sequence += 1;
            }
            sent.push(Sent {
                stream,
                counter,
                packets: count as u64,
                due: moment,
                late: due.late,
                // All sizes are left out together.
                left_out: if layer.number == 0 { due.left_out } else { 0 },
                is_base: rank.temporal == 0,
            });
        }
        Ok(())
    }

    fn rank(&mut self, now: Instant) -> Rank {
        let is_key = self.source.is_video() && std::mem::take(&mut self.key_frame_wanted);
        if is_key {
            self.key_frame_at = Some(now);
        }
        self.cadence.next(is_key)
    }

    fn rtp_time(&self, number: u64) -> u32 {
        let clock_rate: u128 = if self.source.is_video() {
            90_000
        } else {
            48_000
        };
        let ticks = self.schedule.offset(number).as_nanos() * clock_rate / 1_000_000_000;
        self.time.wrapping_add(ticks as u32)
    }
}

impl Layer {
    fn payloads(&mut self, sealed: Vec<u8>, rank: Rank) -> Vec<Payload> {
        match &mut self.packetizer {
            Some(packetizer) => packetizer.packetize(&sealed, rank),
            None => vec![Payload {
                bytes: sealed.into(),
                dependency: None,
            }],
        }
    }
}

/// What the frames of a layer are sealed as.
fn context(source: Source, layer: u8) -> StreamContext {
    let layers = match source {
        Source::Microphone => return StreamContext::AUDIO,
        Source::ScreenSound => return StreamContext::SCREEN_SOUND,
        Source::Camera => StreamContext::CAMERA,
        Source::Screen => StreamContext::SCREEN,
    };
    let last = layers.len() - 1;
    layers[usize::from(layer).min(last)]
}

#[cfg(test)]
mod tests;
