//! A subscriber's slot: one outgoing stream, fed by whatever track fills it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use conclave_protocol::{Mid, ParticipantId, signal::Source};
use str0m::{
    Rtc,
    format::{CodecConfig, PayloadParams},
    media::{Mid as SdpMid, Pt},
    rtp::{RtpWrite, Ssrc},
};

use super::track::TrackKey;
use crate::{
    DropReason,
    layer::{LayerGate, Trial},
    negotiation::NegotiatedSlot,
    packet::Packet,
    rewrite::{
        FrameNumbers, IdRewriter, LayerId, Position, Scaling, Selector, Sequencer, Verdict,
        can_begin,
        dependency::{DependencyFrame, Outgoing, Structure},
        descriptor::Inspected,
    },
};

/// The clock of all video (RFC 7741, RFC 9628, AV1 RTP) and of Opus (RFC 7587).
const VIDEO_CLOCK: u32 = 90_000;
const OPUS_CLOCK: u32 = 48_000;

/// Lost packets are sent again from the last second of each slot.
const RESEND_PACKETS: usize = 512;
const RESEND_AGE: Duration = Duration::from_secs(1);
/// No more than this part of what a slot sends may be repetitions.
const RESEND_SHARE: f32 = 0.5;

/// One receiving section of a subscriber.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) mid: Mid,
    pub(crate) sdp_mid: SdpMid,
    pub(crate) accepts: Source,
    pub(crate) filling: Option<Filling>,
    ssrc: Ssrc,
    resends: Option<Ssrc>,
    has_stream: bool,
    /// The payload types that the client takes here.
    types: Vec<Pt>,
    sequencer: Sequencer,
    ids: IdRewriter,
    frame_numbers: FrameNumbers,
}

/// The track in a slot.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) track: TrackKey,
    pub(crate) participant: ParticipantId,
    pub(crate) source: Source,
    /// What is being sent; none until its first key frame came, or when it is paused.
    current: Option<Current>,
    /// What is to be sent as soon as the stream allows it; none when it is paused.
    target: Option<LayerId>,
    /// The sizes are streams of their own.
    is_simulcast: bool,
    pub(crate) gate: LayerGate,
    pub(crate) trial: Trial,
    /// The payload type last met and what it is for this subscriber.
    translation: Option<(Pt, Option<Pt>)>,
}

/// The stream that a slot is fed from.
#[derive(Debug)]
struct Current {
    layer: usize,
    selector: Selector,
    /// The structure that the receiver was given.
    structure: Option<Arc<Structure>>,
    /// The receiver was told that it does not get everything.
    told_narrowed: bool,
}

/// One packet as all subscribers see it.
pub(crate) struct Arrival<'a> {
    pub(crate) packet: &'a Packet,
    pub(crate) layer: usize,
    pub(crate) inspected: &'a Inspected,
    /// It is the newest of its layer, not one that comes late.
    pub(crate) in_order: bool,
    /// A slot may begin with it, if it begins a key frame.
    pub(crate) may_begin: bool,
}

/// What an outlet did with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Written.
    Sent,
    /// Written, and the slot went from one size to another with it.
    Switched { from: Option<u8>, to: u8 },
    /// Of a layer that this slot does not carry, but an empty packet was written, since the
    /// receiver would have asked for it.
    Filled,
    /// Of a layer that this slot does not carry.
    NotWanted,
    /// Should have been sent, but could not.
    Dropped(DropReason),
}

impl Filling {
    pub(crate) fn new(
        track: TrackKey,
        participant: ParticipantId,
        source: Source,
        is_simulcast: bool,
    ) -> Self {
        Self {
            track,
            participant,
            source,
            current: None,
            target: Some(LayerId {
                spatial: 0,
                temporal: LayerId::ALL.temporal,
            }),
            is_simulcast,
            gate: LayerGate::default(),
            trial: Trial::default(),
            translation: None,
        }
    }

    /// Heads for other layers, or for none. True when a key frame is needed for that and was
    /// not before.
    pub(crate) fn head_for(&mut self, target: Option<LayerId>) -> bool {
        let changed = self.target != target || self.current.is_none();
        self.target = target;
        let (Some(stream), Some(within)) = (self.target_stream(), self.target_within()) else {
            self.current = None;
            return false;
        };
        let Some(current) = &mut self.current else {
            return true;
        };
        current.selector.want(within);
        changed && (current.layer != stream || current.selector.awaits_key_frame())
    }

    /// What is to be sent as soon as the stream allows it.
    pub(crate) fn target(&self) -> Option<LayerId> {
        self.target
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.target.is_none()
    }

    /// The simulcast layer of which a key frame is of use.
    pub(crate) fn stream(&self) -> Option<usize> {
        let current = self.current.as_ref().map(|current| current.layer);
        current.or(self.target_stream())
    }

    /// The simulcast layer that is headed for.
    pub(crate) fn target_stream(&self) -> Option<usize> {
        let target = self.target?;
        Some(if self.is_simulcast {
            usize::from(target.spatial)
        } else {
            0
        })
    }

    /// The simulcast layers that are needed: the one that is sent and the one headed for.
    pub(crate) fn streams(&self) -> impl Iterator<Item = usize> {
        let current = self.current.as_ref().map(|current| current.layer);
        current.into_iter().chain(self.target_stream())
    }

    /// What is wanted of that layer.
    fn target_within(&self) -> Option<LayerId> {
        let target = self.target?;
        Some(LayerId {
            spatial: if self.is_simulcast {
                LayerId::ALL.spatial
            } else {
                target.spatial
            },
            temporal: target.temporal,
        })
    }

    /// The size that is being sent.
    pub(super) fn size(&self) -> Option<u8> {
        let current = self.current.as_ref()?;
        Some(if self.is_simulcast {
            current.layer as u8
        } else {
            current.selector.layer().spatial
        })
    }

    /// The layer comes on another stream now: its numbers mean nothing to the slot.
    pub(crate) fn source_restarted(&mut self, layer: usize) {
        if self.current.as_ref().is_some_and(|c| c.layer == layer) {
            self.current = None;
        }
    }
}

impl Current {
    /// The descriptor as the receiver gets it.
    fn outgoing(&mut self, frame: &DependencyFrame, position: Position, number: u16) -> Outgoing {
        let is_known = self
            .structure
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &frame.structure));
        let narrowed = self.selector.narrowed(frame, position);
        // A structure by itself says that everything is active.
        let is_told = self.told_narrowed && !frame.brings_structure;
        let active = narrowed.or(is_told.then_some(frame.active));
        self.told_narrowed = active.is_some();
        if !is_known {
            self.structure = Some(Arc::clone(&frame.structure));
        }
        Outgoing::new(frame, number, active, !is_known && !frame.brings_structure)
    }
}

impl Outlet {
    pub(crate) fn new(negotiated: NegotiatedSlot) -> Self {
        Self {
            mid: negotiated.mid,
            sdp_mid: negotiated.sdp_mid,
            accepts: negotiated.accepts,
            filling: None,
            ssrc: negotiated.ssrc,
            resends: negotiated.resends,
            has_stream: false,
            types: negotiated.types,
            sequencer: Sequencer::default(),
            ids: IdRewriter::default(),
            frame_numbers: FrameNumbers::default(),
        }
    }

    /// Puts a track into this slot.
    pub(crate) fn fill(&mut self, rtc: &mut Rtc, filling: Filling) {
        self.filling = Some(filling);
        if std::mem::replace(&mut self.has_stream, true) {
            return;
        }
        let mut direct = rtc.direct_api();
        let stream = direct.declare_stream_tx(self.ssrc, self.resends, self.sdp_mid, None);
        stream.set_rtx_cache(RESEND_PACKETS, RESEND_AGE, Some(RESEND_SHARE));
        // Senders pace what they send. Pacing it again would only add delay.
        stream.set_unpaced(true);
    }

    /// Whether the slot shows nothing and has sent nothing since then.
    pub(crate) fn can_begin_at(&self, arrived: Instant) -> bool {
        let shows = self
            .filling
            .as_ref()
            .is_none_or(|filling| filling.current.is_some());
        !shows && self.sequencer.is_quiet_since(arrived)
    }

    /// Takes a packet of the track that fills this slot.
    pub(crate) fn take(&mut self, rtc: &mut Rtc, arrival: &Arrival<'_>) -> Outcome {
        let Some(filling) = &mut self.filling else {
            return Outcome::NotWanted;
        };
        let packet = arrival.packet;
        let Inspected { descriptor, frame } = arrival.inspected;
        let is_video = filling.source.is_video();
        let from = filling.size();
        let is_current = filling.current.as_ref().map(|c| c.layer) == Some(arrival.layer);
        let switches = !is_current
            && arrival.may_begin
            && filling.target_stream() == Some(arrival.layer)
            && (!is_video
                || filling
                    .target_within()
                    .is_some_and(|within| can_begin(within, frame)));
        if !switches && !is_current {
            return Outcome::NotWanted;
        }
        let Some(payload_type) = filling.translate(rtc.codec_config(), &self.types, &packet.format)
        else {
            return Outcome::Dropped(DropReason::UnknownCodec);
        };
        let dependency = match &frame.scaling {
            Scaling::Dependency(dependency) => Some(dependency),
            _ => None,
        };
        if switches {
            let within = filling.target_within().unwrap_or(LayerId::ALL);
            filling.current = Some(Current {
                layer: arrival.layer,
                selector: Selector::begin(within, packet.position, frame),
                structure: None,
                told_narrowed: false,
            });
            let clock = if is_video { VIDEO_CLOCK } else { OPUS_CLOCK };
            self.sequencer
                .switch(packet.position, packet.arrived, clock);
            self.ids.switch(descriptor.ids());
            if let Some(dependency) = dependency {
                self.frame_numbers.switch(dependency.number);
            }
        }
        let Some(current) = &mut filling.current else {
            return Outcome::NotWanted;
        };
        let mut direct = rtc.direct_api();
        let Some(stream) = direct.stream_tx(&self.ssrc) else {
            return Outcome::Dropped(DropReason::Refused);
        };
        let verdict = current
            .selector
            .judge(packet.position, arrival.in_order || switches, frame);
        let Verdict::Send { ends_picture } = verdict else {
            if descriptor.closes_up() {
                self.ids.leave_out(descriptor.ids());
            }
            let Some(kept) = self.sequencer.leave_out(packet.position, packet.arrived) else {
                return Outcome::NotWanted;
            };
            let write = RtpWrite::new(
                payload_type,
                kept.sequence.into(),
                kept.timestamp,
                packet.arrived,
                vec![],
            );
            stream.write_rtp(write);
            return Outcome::Filled;
        };
        let Some(placed) = self.sequencer.place(packet.position, packet.arrived) else {
            return Outcome::Dropped(DropReason::BeforeSwitch);
        };
        let rewritten = descriptor.with_ids(&packet.payload, self.ids.place(descriptor.ids()));
        let mut values = packet.extensions.values();
        if let Some(dependency) = dependency {
            let number = self.frame_numbers.place(dependency.number);
            let outgoing = current.outgoing(dependency, packet.position, number);
            values.user_values.set(outgoing);
        }
        // A talk spurt begins where another voice takes the slot (RFC 3551 §4.1).
        let marker = packet.marker || ends_picture || (switches && !is_video);
        let mut write = RtpWrite::new(
            payload_type,
            placed.sequence.into(),
            placed.timestamp,
            packet.arrived,
            Arc::clone(&rewritten.payload),
        )
        .marker(marker)
        .nackable(is_video)
        .ext_vals(values);
        if let Some(patch) = rewritten.vp8 {
            write = write.vp8_patch(patch);
        }
        stream.write_rtp(write);
        match filling.size() {
            to if to == from => Outcome::Sent,
            Some(to) => Outcome::Switched { from, to },
            None => Outcome::Sent,
        }
    }
}

impl Filling {
    /// The subscriber's payload type for the publisher's codec: the numbers differ from
    /// client to client.
    fn translate(
        &mut self,
        codecs: &CodecConfig,
        types: &[Pt],
        format: &PayloadParams,
    ) -> Option<Pt> {
        if let Some((met, translated)) = self.translation
            && met == format.pt()
        {
            return translated;
        }
        let translated = codecs
            .match_params(*format)
            .map(PayloadParams::pt)
            .filter(|pt| types.contains(pt));
        self.translation = Some((format.pt(), translated));
        translated
    }
}
