//! A peer connection like a browser's: it offers, sends on some media sections, receives
//! on others, and opens the `control` channel. Sans-IO, over str0m in RTP mode: what is
//! counted are the packets that really came, and what is sent has the payload descriptors
//! that browsers write, which str0m's own frame mode would not.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use conclave_protocol::{
    Mid,
    control::{CHANNEL_LABEL, ControlNotice, ControlRequest},
    signal::{ClientMessage, OfferedSlot, OfferedTrack, Source},
};
use str0m::{
    Candidate, Event, Input, Output, Rtc,
    change::{SdpAnswer, SdpPendingOffer},
    channel::ChannelId,
    format::{Codec, PayloadParams},
    media::{Direction, MediaKind},
    net::{Protocol, Receive},
    rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc},
};

/// What a peer sends and how much it can take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// One media section to send on for each.
    pub tracks: Vec<Source>,
    /// One media section to receive on for each.
    pub slots: Vec<Source>,
}

/// A packet to be sent on a track.
#[derive(Debug)]
pub struct OutgoingPacket {
    /// The track.
    pub source: Source,
    /// Its place in the stream; the first one is below 65,536 (RFC 3711 §3.3.1).
    pub sequence: u64,
    /// RTP time.
    pub time: u32,
    /// Ends a frame.
    pub marker: bool,
    /// The RTP payload.
    pub payload: Arc<[u8]>,
}

/// A packet that came.
#[derive(Debug)]
pub struct IncomingPacket {
    /// Numbers the RTP streams of this peer.
    pub stream: u32,
    /// Seen or heard.
    pub is_video: bool,
    /// Its place in the stream, without wrapping.
    pub sequence: u64,
    /// RTP time, without wrapping.
    pub time: u64,
    /// Ends a frame.
    pub marker: bool,
    /// The RTP payload.
    pub payload: Arc<[u8]>,
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
    /// ICE and DTLS are through.
    Connected,
    /// The control channel is open.
    ControlOpen,
    /// The SFU said something.
    Notice(ControlNotice),
    /// Media came.
    Packet(IncomingPacket),
    /// The SFU wants a key frame of a track.
    KeyFrameWanted(Source),
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
    /// The SFU said something over the control channel that is not of the protocol.
    #[error("the SFU sent a control notice that is not of the protocol: {0}")]
    Notice(serde_json::Error),
    /// A media id outside the protocol's grammar.
    #[error("the WebRTC stack made an unusable media id")]
    Mid,
}

/// One peer connection.
pub struct Peer {
    rtc: Rtc,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
    channel: ChannelId,
    tracks: Vec<(Source, str0m::media::Mid)>,
    /// What each RTP stream turned out to carry.
    streams: HashMap<Ssrc, bool>,
    timeout: Instant,
    output: VecDeque<PeerOutput>,
}

impl Peer {
    /// Makes a peer at a local address, and its offer.
    pub fn offer(
        layout: &Layout,
        local: SocketAddr,
        now: Instant,
    ) -> Result<(Self, ClientMessage), PeerError> {
        let mut rtc = Rtc::builder()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(now);
        let candidate = Candidate::host(local, "udp")
            .map_err(|error| PeerError::Candidate(error.to_string()))?;
        rtc.add_local_candidate(candidate);

        let mut changes = rtc.sdp_api();
        let mut add = |source: Source, direction| {
            let kind = if source.is_video() {
                MediaKind::Video
            } else {
                MediaKind::Audio
            };
            changes.add_media(kind, direction, None, None, None)
        };
        let mut tracks = Vec::new();
        let mut offered_tracks = Vec::new();
        for &source in &layout.tracks {
            let mid = add(source, Direction::SendOnly);
            tracks.push((source, mid));
            offered_tracks.push(OfferedTrack {
                mid: protocol_mid(mid)?,
                source,
            });
        }
        let mut offered_slots = Vec::new();
        for &accepts in &layout.slots {
            let mid = protocol_mid(add(accepts, Direction::RecvOnly))?;
            offered_slots.push(OfferedSlot { mid, accepts });
        }
        let channel = changes.add_channel(CHANNEL_LABEL.to_owned());
        let (offer, pending) = changes.apply().ok_or(PeerError::UnexpectedAnswer)?;

        let message = ClientMessage::Offer {
            sdp: offer.to_sdp_string(),
            tracks: offered_tracks,
            slots: offered_slots,
        };
        let mut peer = Self {
            rtc,
            local,
            pending: Some(pending),
            channel,
            tracks,
            streams: HashMap::new(),
            timeout: now,
            output: VecDeque::new(),
        };
        peer.drain()?;
        Ok((peer, message))
    }

    /// Takes the answer to the offer.
    pub fn accept_answer(&mut self, now: Instant, sdp: &str) -> Result<(), PeerError> {
        let pending = self.pending.take().ok_or(PeerError::UnexpectedAnswer)?;
        let answer = SdpAnswer::from_sdp_string(sdp)
            .map_err(|error| PeerError::Answer(error.to_string()))?;
        self.rtc.sdp_api().accept_answer(pending, answer)?;
        for &(source, mid) in &self.tracks {
            let accepted = self.rtc.media(mid).is_some_and(|media| !media.stopped());
            if !accepted {
                return Err(PeerError::NotAccepted(source_name(source)));
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
        let codec = if packet.source.is_video() {
            Codec::Vp8
        } else {
            Codec::Opus
        };
        let missing = PeerError::NotAccepted(source_name(packet.source));
        let (Some(payload_type), Some(mid)) = (
            self.rtc
                .codec_config()
                .find(|params| params.spec().codec == codec)
                .map(PayloadParams::pt),
            self.tracks
                .iter()
                .find(|(source, _)| *source == packet.source)
                .map(|(_, mid)| *mid),
        ) else {
            return Err(missing);
        };
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).ok_or(missing)?;
        let mut extensions = ExtensionValues::default();
        if !packet.source.is_video() {
            // A voice at a usual level (RFC 6464).
            extensions.audio_level = Some(-30);
            extensions.voice_activity = Some(true);
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

    /// Says something to the SFU. False when the channel does not take it.
    pub fn request(&mut self, request: &ControlRequest) -> Result<bool, PeerError> {
        let text = serde_json::to_vec(request).map_err(PeerError::Notice)?;
        let Some(mut channel) = self.rtc.channel(self.channel) else {
            return Ok(false);
        };
        let taken = channel.write(false, &text)?;
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
            Event::Connected => PeerOutput::Connected,
            Event::ChannelOpen(id, _) if id == self.channel => PeerOutput::ControlOpen,
            Event::ChannelData(data) if data.id == self.channel => {
                PeerOutput::Notice(serde_json::from_slice(&data.data).map_err(PeerError::Notice)?)
            }
            Event::KeyframeRequest(request) => {
                let Some((source, _)) = self.tracks.iter().find(|(_, mid)| *mid == request.mid)
                else {
                    return Ok(());
                };
                PeerOutput::KeyFrameWanted(*source)
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

    fn incoming(&mut self, packet: RtpPacket) -> Option<IncomingPacket> {
        let ssrc = packet.header.ssrc;
        let is_video = match self.streams.get(&ssrc) {
            Some(is_video) => *is_video,
            None => {
                let mid = self.rtc.direct_api().stream_rx(&ssrc)?.mid();
                let is_video = self.rtc.media(mid)?.kind().is_video();
                self.streams.insert(ssrc, is_video);
                is_video
            }
        };
        Some(IncomingPacket {
            stream: *ssrc,
            is_video,
            sequence: *packet.seq_no,
            time: packet.time.numer(),
            marker: packet.header.marker,
            payload: packet.payload,
        })
    }
}

fn protocol_mid(mid: str0m::media::Mid) -> Result<Mid, PeerError> {
    mid.to_string().parse().map_err(|_| PeerError::Mid)
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
