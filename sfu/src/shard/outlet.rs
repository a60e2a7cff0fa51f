//! A subscriber's slot: one outgoing stream, fed by whatever track fills it.

use std::sync::Arc;

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
    layer::LayerGate,
    negotiation::NegotiatedSlot,
    packet::Packet,
    rewrite::{IdRewriter, Sequencer, descriptor::Inspected},
};

/// The clock of all video (RFC 7741, RFC 9628, AV1 RTP) and of Opus (RFC 7587).
const VIDEO_CLOCK: u32 = 90_000;
const OPUS_CLOCK: u32 = 48_000;

/// One receiving section of a subscriber.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) mid: Mid,
    pub(crate) sdp_mid: SdpMid,
    pub(crate) accepts: Source,
    pub(crate) filling: Option<Filling>,
    ssrc: Ssrc,
    /// The payload types that the client takes here.
    types: Vec<Pt>,
    sequencer: Sequencer,
    ids: IdRewriter,
}

/// The track in a slot.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) track: TrackKey,
    pub(crate) participant: ParticipantId,
    pub(crate) source: Source,
    /// The layer that is being sent; none until its first key frame came.
    pub(crate) current: Option<usize>,
    /// The layer to be sent from its next key frame on.
    pub(crate) target: usize,
    pub(crate) gate: LayerGate,
    /// The payload type last met and what it is for this subscriber.
    translation: Option<(Pt, Option<Pt>)>,
}

/// One packet as all subscribers see it.
pub(crate) struct Arrival<'a> {
    pub(crate) packet: &'a Packet,
    pub(crate) layer: usize,
    pub(crate) inspected: Inspected,
    /// It is the newest of its layer, not one that comes late.
    pub(crate) in_order: bool,
}

/// What an outlet did with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Written, in a stream that goes on.
    Sent,
    /// Written, and the slot went from one layer to another with it.
    Switched { from: Option<usize> },
    /// Of a layer that this slot does not carry.
    NotWanted,
    /// Should have been sent, but could not.
    Dropped(DropReason),
}

impl Filling {
    pub(crate) fn new(track: TrackKey, participant: ParticipantId, source: Source) -> Self {
        Self {
            track,
            participant,
            source,
            current: None,
            target: 0,
            gate: LayerGate::default(),
            translation: None,
        }
    }

    /// Waits for a key frame before anything can be shown.
    pub(crate) fn is_waiting_for(&self, layer: usize) -> bool {
        self.target == layer && self.current != Some(layer)
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
            types: negotiated.types,
            sequencer: Sequencer::default(),
            ids: IdRewriter::default(),
        }
    }

    /// Takes a packet of the track that fills this slot.
    pub(crate) fn take(&mut self, rtc: &mut Rtc, arrival: &Arrival<'_>) -> Outcome {
        let Some(filling) = &mut self.filling else {
            return Outcome::NotWanted;
        };
        let is_video = filling.source.is_video();
        let from = filling.current;
        let switches = filling.is_waiting_for(arrival.layer)
            && arrival.in_order
            && (arrival.inspected.begins_key_frame || !is_video);
        if !switches && from != Some(arrival.layer) {
            return Outcome::NotWanted;
        }
        let Some(payload_type) =
            filling.translate(rtc.codec_config(), &self.types, &arrival.packet.format)
        else {
            return Outcome::Dropped(DropReason::UnknownCodec);
        };
        let packet = arrival.packet;
        let descriptor = arrival.inspected.descriptor;
        if switches {
            filling.current = Some(arrival.layer);
            let clock = if is_video { VIDEO_CLOCK } else { OPUS_CLOCK };
            self.sequencer
                .switch(packet.position, packet.arrived, clock);
            self.ids.switch(descriptor.ids());
        }
        let Some(placed) = self.sequencer.place(packet.position, packet.arrived) else {
            return Outcome::Dropped(DropReason::BeforeSwitch);
        };
        let rewritten = descriptor.with_ids(&packet.payload, self.ids.place(descriptor.ids()));
        let mut direct = rtc.direct_api();
        let Some(stream) = direct.stream_tx(&self.ssrc) else {
            return Outcome::Dropped(DropReason::Refused);
        };
        // A talk spurt begins where another voice takes the slot (RFC 3551 §4.1).
        let marker = packet.marker || (switches && !is_video);
        let mut write = RtpWrite::new(
            payload_type,
            placed.sequence.into(),
            placed.timestamp,
            packet.arrived,
            Arc::clone(&rewritten.payload),
        )
        .marker(marker)
        .nackable(is_video)
        .ext_vals(packet.extensions.values());
        if let Some(patch) = rewritten.vp8 {
            write = write.vp8_patch(patch);
        }
        stream.write_rtp(write);
        if switches {
            Outcome::Switched { from }
        } else {
            Outcome::Sent
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
