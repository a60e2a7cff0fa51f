//! A peer connection like a browser's: it offers or answers, sends on some media sections,
//! receives on others, and may open a data channel. Sans-IO, over str0m in RTP mode: what is
//! counted are the packets that really came, and what is sent has the payload descriptors
//! that browsers write, which str0m's own frame mode would not.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Instant};

use conclave_protocol::signal::Source;
use str0m::{
    Candidate, Event, Input, Output, Rtc,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    channel::ChannelId,
    format::{Codec as RtpCodec, PayloadParams},
    media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer},
    net::{Protocol, Receive},
    rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc},
};

use crate::{
    measure::wire::{Meaning, WireKind},
    media::{
        Codec,
        dependency::{self, Descriptor},
        h264,
    },
    target::Sections,
};

/// The names of simulcast layers, low to high (RFC 8851).
const RIDS: [&str; 3] = ["q", "h", "f"];

/// One that str0m's own extensions leave free (RFC 8285 §6).
const DEPENDENCY_DESCRIPTOR_ID: u8 = 12;

/// Those that browsers give to H.264 of our profile, and to its retransmissions.
const H264_PAYLOAD_TYPES: (u8, u8) = (108, 109);

/// In dBov; what is less loud is no speech.
const SILENT_BELOW: i8 = -60;

/// A track that a peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackLayout {
    /// What it shows.
    pub source: Source,
    /// How it is coded.
    pub codec: Codec,
    /// RTP streams that carry it in different sizes: 1 to 3.
    pub layers: u8,
}

/// What a peer sends and how much it can take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// One media section to send on for each.
    pub tracks: Vec<TrackLayout>,
    /// One media section to receive on for each.
    pub slots: Vec<Source>,
    /// Video codecs that it knows, the preferred first.
    pub codecs: Vec<Codec>,
    /// The data channel, if there is to be one.
    pub channel: Option<Channel>,
    /// Whether the sizes of simulcast are offered from the largest to the smallest, where
    /// browsers do it the other way round.
    pub largest_first: bool,
}

/// A data channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// What it is called.
    pub label: &'static str,
    /// Whether its messages are bytes and not text (RFC 8831 §6.6).
    pub is_binary: bool,
}

impl Channel {
    /// For messages that are text.
    pub const fn text(label: &'static str) -> Self {
        Self {
            label,
            is_binary: false,
        }
    }

    /// For messages that are bytes.
    pub const fn binary(label: &'static str) -> Self {
        Self {
            label,
            is_binary: true,
        }
    }
}

/// A packet to be sent on a track.
#[derive(Debug)]
pub struct OutgoingPacket {
    /// The track.
    pub source: Source,
    /// Its layer, from 0, the smallest.
    pub layer: u8,
    /// Its place in the stream; the first one is below 65,536 (RFC 3711 §3.3.1).
    pub sequence: u64,
    /// RTP time.
    pub time: u32,
    /// Ends a frame.
    pub marker: bool,
    /// The RTP payload.
    pub payload: Arc<[u8]>,
    /// What else its header says.
    pub extra: Extra,
}

/// What an RTP header says beyond the usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extra {
    /// Nothing.
    None,
    /// How loud a sound is, in dBov (RFC 6464).
    Level(i8),
    /// The dependency descriptor (AV1 RTP appendix A).
    Dependency(Arc<[u8]>),
}

/// A packet that came.
#[derive(Debug)]
pub struct IncomingPacket {
    /// Numbers the RTP streams of this peer.
    pub stream: u32,
    /// What it carries.
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

impl IncomingPacket {
    /// True for pictures, false for sound.
    pub fn is_video(&self) -> bool {
        self.codec != Codec::Opus
    }
}

/// What comes out of a peer.
#[derive(Debug)]
pub enum PeerOutput {
    /// A datagram to send.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// ICE is through.
    IceConnected,
    /// ICE and DTLS are through.
    Connected,
    /// The data channel is open.
    ChannelOpen,
    /// A message came on it.
    ChannelData(Vec<u8>),
    /// Media came.
    Packet(IncomingPacket),
    /// A key frame of a track's layer is wanted.
    KeyFrameWanted(Source, u8),
    /// The other side has closed.
    Closed,
}

/// Why a peer cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The WebRTC stack gave up.
    #[error("WebRTC: {0}")]
    Rtc(#[from] str0m::RtcError),
    /// The local address cannot be a candidate.
    #[error("the local address cannot be offered: {0}")]
    Candidate(String),
    /// The answer is not SDP.
    #[error("the server's answer is not SDP: {0}")]
    Answer(String),
    /// An answer without an offer.
    #[error("the server answered an offer that was not made")]
    UnexpectedAnswer,
    /// The server left out something that was offered.
    #[error("the server's answer does not accept {0}")]
    NotAccepted(&'static str),
    /// An offer that is not SDP.
    #[error("the server's offer is not SDP: {0}")]
    Offer(String),
}

/// One peer connection.
pub struct Peer {
    rtc: Rtc,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
    channel: Option<(ChannelId, Channel)>,
    tracks: Vec<(TrackLayout, Mid)>,
    timeout: Instant,
    output: VecDeque<PeerOutput>,
}

impl Peer {
    fn new(codecs: &[Codec], local: SocketAddr, now: Instant) -> Result<Self, PeerError> {
        let mut config = Rtc::builder()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false);
        for codec in codecs {
            config = match codec {
                Codec::Opus => config,
                Codec::Vp8 => config.enable_vp8(true),
                Codec::Vp9 => config.enable_vp9(true),
                Codec::Av1 => config.enable_av1(true),
                Codec::H264 => {
                    let (own, resent) = H264_PAYLOAD_TYPES;
                    let (own, resent) = (own.into(), Some(resent.into()));
                    let codecs = config.codec_config();
                    codecs.add_h264(own, resent, true, h264::PROFILE_LEVEL_ID);
                    config
                }
            };
        }
        if codecs.contains(&Codec::Av1) {
            config = config.set_extension(DEPENDENCY_DESCRIPTOR_ID, dependency::extension());
        }
        let mut rtc = config.build(now);
        let candidate = Candidate::host(local, "udp")
            .map_err(|error| PeerError::Candidate(error.to_string()))?;
        rtc.add_local_candidate(candidate);
        Ok(Self {
            rtc,
            local,
            pending: None,
            channel: None,
            tracks: Vec::new(),
            timeout: now,
            output: VecDeque::new(),
        })
    }

    /// Makes a peer at a local address, and its offer.
    pub fn offer(
        layout: &Layout,
        local: SocketAddr,
        now: Instant,
    ) -> Result<(Self, String, Sections), PeerError> {
        let mut peer = Self::new(&layout.codecs, local, now)?;
        let mut sections = Sections::default();
        let mut changes = peer.rtc.sdp_api();
        for &track in &layout.tracks {
            let simulcast = (track.layers > 1).then(|| {
                let mut simulcast = Simulcast::new();
                let mut rids: Vec<_> = RIDS.iter().take(track.layers.into()).collect();
                if layout.largest_first {
                    rids.reverse();
                }
                for rid in rids {
                    simulcast.add_send_layer(SimulcastLayer::new(rid));
                }
                simulcast
            });
            let kind = kind(track.source);
            let mid = changes.add_media(kind, Direction::SendOnly, None, None, simulcast);
            peer.tracks.push((track, mid));
            sections.tracks.push((track.source, mid.to_string()));
        }
        for &accepts in &layout.slots {
            let mid = changes.add_media(kind(accepts), Direction::RecvOnly, None, None, None);
            sections.slots.push((accepts, mid.to_string()));
        }
        peer.channel = layout
            .channel
            .map(|channel| (changes.add_channel(channel.label.to_owned()), channel));
        let (offer, pending) = changes.apply().ok_or(PeerError::UnexpectedAnswer)?;
        peer.pending = Some(pending);
        peer.drain()?;
        Ok((peer, offer.to_sdp_string(), sections))
    }

    /// Makes a peer that answers the server's offers: see [`Self::accept_offer`].
    pub fn answerer(codecs: &[Codec], local: SocketAddr, now: Instant) -> Result<Self, PeerError> {
        Self::new(codecs, local, now)
    }

    /// Takes an offer of the server's; gives the answer.
    pub fn accept_offer(&mut self, now: Instant, sdp: &str) -> Result<String, PeerError> {
        let offer =
            SdpOffer::from_sdp_string(sdp).map_err(|error| PeerError::Offer(error.to_string()))?;
        let answer = self.rtc.sdp_api().accept_offer(offer)?;
        self.handle_timeout(now)?;
        Ok(answer.to_sdp_string())
    }

    /// Takes the answer to the offer.
    pub fn accept_answer(&mut self, now: Instant, sdp: &str) -> Result<(), PeerError> {
        let pending = self.pending.take().ok_or(PeerError::UnexpectedAnswer)?;
        let answer = SdpAnswer::from_sdp_string(sdp)
            .map_err(|error| PeerError::Answer(error.to_string()))?;
        self.rtc.sdp_api().accept_answer(pending, answer)?;
        for &(track, mid) in &self.tracks {
            let accepted = self.rtc.media(mid).is_some_and(|media| !media.stopped());
            if !accepted {
                return Err(PeerError::NotAccepted(source_name(track.source)));
            }
        }
        self.handle_timeout(now)
    }

    /// Takes a datagram from the socket. One that is not of WebRTC is dropped.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), PeerError> {
        let Ok(receive) = Receive::new(Protocol::Udp, from, self.local, datagram) else {
            return Ok(());
        };
        self.rtc.handle_input(Input::Receive(now, receive))?;
        self.drain()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), PeerError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Instant {
        self.timeout
    }

    /// What came out, the oldest first.
    pub fn poll(&mut self) -> Option<PeerOutput> {
        self.output.pop_front()
    }

    /// Sends packets in one go.
    pub fn send(
        &mut self,
        now: Instant,
        packets: impl IntoIterator<Item = OutgoingPacket>,
    ) -> Result<(), PeerError> {
        for packet in packets {
            self.write(now, packet)?;
        }
        self.handle_timeout(now)
    }

    fn write(&mut self, now: Instant, packet: OutgoingPacket) -> Result<(), PeerError> {
        let missing = PeerError::NotAccepted(source_name(packet.source));
        let Some(&(track, mid)) = self
            .tracks
            .iter()
            .find(|(track, _)| track.source == packet.source)
        else {
            return Err(missing);
        };
        let codec = rtp_codec(track.codec);
        let Some(payload_type) = self
            .rtc
            .codec_config()
            .find(|params| params.spec().codec == codec)
            .map(PayloadParams::pt)
        else {
            return Err(missing);
        };
        let rid = RIDS
            .get(usize::from(packet.layer))
            .filter(|_| track.layers > 1)
            .map(|rid| Rid::from(*rid));
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, rid).ok_or(missing)?;
        let mut extensions = ExtensionValues::default();
        match packet.extra {
            Extra::None => {}
            Extra::Level(level) => {
                extensions.audio_level = Some(level);
                extensions.voice_activity = Some(level > SILENT_BELOW);
            }
            Extra::Dependency(descriptor) => extensions.user_values.set(Descriptor(descriptor)),
        }
        stream.write_rtp(
            RtpWrite::new(
                payload_type,
                packet.sequence.into(),
                packet.time,
                now,
                packet.payload,
            )
            .marker(packet.marker)
            .nackable(packet.source.is_video())
            .ext_vals(extensions),
        );
        Ok(())
    }

    /// What a payload type of this connection stands for.
    pub fn meaning(&self, payload_type: u8) -> Option<Meaning> {
        let matches = |pt: Pt| *pt == payload_type;
        self.rtc.codec_config().params().iter().find_map(|params| {
            let spec = params.spec();
            let kind = if params.resend().is_some_and(matches) {
                WireKind::Retransmission
            } else if !matches(params.pt()) {
                return None;
            } else if spec.codec.is_audio() {
                WireKind::Audio
            } else {
                WireKind::Video
            };
            let clock_rate = spec.clock_rate.get();
            Some(Meaning { kind, clock_rate })
        })
    }

    /// Asks the sender of a received stream for a key frame (RFC 4585 §6.3.1).
    pub fn ask_for_key_frame(&mut self, stream: u32) {
        let ssrc = Ssrc::from(stream);
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// The stream that is received on a media section, if one is.
    pub fn stream_on(&mut self, section: &str) -> Option<u32> {
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx_by_mid(Mid::from(section), None)?;
        Some(*stream.ssrc())
    }

    /// Sends a message on the data channel. False when the channel does not take it.
    pub fn channel_send(&mut self, message: &[u8]) -> Result<bool, PeerError> {
        let Some((id, Channel { is_binary, .. })) = self.channel else {
            return Ok(false);
        };
        let Some(mut channel) = self.rtc.channel(id) else {
            return Ok(false);
        };
        let taken = channel.write(is_binary, message)?;
        self.drain()?;
        Ok(taken)
    }

    /// Takes leave of the SFU.
    pub fn close(&mut self) -> Result<(), PeerError> {
        self.rtc.close()?;
        self.drain()
    }

    fn drain(&mut self) -> Result<(), PeerError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return Ok(());
                }
                Output::Transmit(transmit) => self.output.push_back(PeerOutput::Transmit {
                    to: transmit.destination,
                    datagram: transmit.contents.into(),
                }),
                Output::Event(event) => self.on_event(event)?,
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Result<(), PeerError> {
        let output = match event {
            Event::IceConnectionStateChange(state) if state.is_connected() => {
                PeerOutput::IceConnected
            }
            Event::Connected => PeerOutput::Connected,
            Event::ChannelOpen(id, _) if self.is_channel(id) => PeerOutput::ChannelOpen,
            Event::ChannelData(data) if self.is_channel(data.id) => {
                PeerOutput::ChannelData(data.data)
            }
            Event::KeyframeRequest(request) => {
                let Some((track, _)) = self.tracks.iter().find(|(_, mid)| *mid == request.mid)
                else {
                    return Ok(());
                };
                let layer = request
                    .rid
                    .and_then(|rid| RIDS.iter().position(|known| Rid::from(*known) == rid));
                PeerOutput::KeyFrameWanted(track.source, layer.unwrap_or_default() as u8)
            }
            Event::RtpPacket(packet) => match self.incoming(packet) {
                Some(packet) => PeerOutput::Packet(packet),
                None => return Ok(()),
            },
            Event::Closed => PeerOutput::Closed,
            _ => return Ok(()),
        };
        self.output.push_back(output);
        Ok(())
    }

    fn is_channel(&self, id: ChannelId) -> bool {
        self.channel.is_some_and(|(own, _)| own == id)
    }

    fn incoming(&self, packet: RtpPacket) -> Option<IncomingPacket> {
        let ssrc = packet.header.ssrc;
        // A slot can go over from one codec to another, so it is looked up each time.
        let payload_type = packet.header.payload_type;
        let codec = self
            .rtc
            .codec_config()
            .find(|params| params.pt() == payload_type)
            .and_then(|params| own_codec(params.spec().codec))?;
        Some(IncomingPacket {
            stream: *ssrc,
            codec,
            sequence: *packet.seq_no,
            time: packet.time.numer(),
            marker: packet.header.marker,
            begins: packet
                .header
                .ext_vals
                .user_values
                .get::<Descriptor>()
                .map(Descriptor::begins_frame),
            payload: packet.payload,
        })
    }
}

fn kind(source: Source) -> MediaKind {
    if source.is_video() {
        MediaKind::Video
    } else {
        MediaKind::Audio
    }
}

fn rtp_codec(codec: Codec) -> RtpCodec {
    match codec {
        Codec::Opus => RtpCodec::Opus,
        Codec::Vp8 => RtpCodec::Vp8,
        Codec::Vp9 => RtpCodec::Vp9,
        Codec::Av1 => RtpCodec::Av1,
        Codec::H264 => RtpCodec::H264,
    }
}

fn own_codec(codec: RtpCodec) -> Option<Codec> {
    match codec {
        RtpCodec::Opus => Some(Codec::Opus),
        RtpCodec::Vp8 => Some(Codec::Vp8),
        RtpCodec::Vp9 => Some(Codec::Vp9),
        RtpCodec::Av1 => Some(Codec::Av1),
        RtpCodec::H264 => Some(Codec::H264),
        _ => None,
    }
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Microphone => "the microphone",
        Source::Camera => "the camera",
        Source::Screen => "the screen",
        Source::ScreenSound => "the sound of the screen",
    }
}

#[cfg(test)]
mod tests;
