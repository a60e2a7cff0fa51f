//! A real WebRTC client, as a browser would be: it offers, sends simulcast VP8 and Opus,
//! answers key-frame requests, and writes down all that it receives.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use conclave_protocol::{
    Mid, ParticipantId,
    control::{ControlNotice, ControlRequest, PixelSize, Publication, SlotFilling, VideoWish},
    signal::{OfferedSlot, OfferedTrack, Source},
};
use conclave_sfu::Offer;
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::{SdpAnswer, SdpPendingOffer},
    channel::ChannelId,
    crypto::CryptoProvider,
    format::Codec,
    media::{
        Direction, KeyframeRequestKind, MediaKind, Mid as SdpMid, Rid, Simulcast, SimulcastLayer,
    },
    net::{Protocol, Receive, TcpType},
    rtp::{Extension, ExtensionMap},
};

use super::{
    media::{self, Stamp},
    recording::{Frame, Player, Recording},
    scalable::{self, Layering, ScalableSender},
    sending::{Frames, Sender},
    server_address,
};

pub(crate) const RIDS: [&str; 3] = ["q", "h", "f"];
const FRAME: Duration = Duration::from_millis(50);
const AUDIO: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub(crate) struct ClientConfig {
    pub(crate) publishes: bool,
    pub(crate) simulcast: bool,
    pub(crate) camera_slots: usize,
    pub(crate) audio_slots: usize,
    /// What its video is and what its video slots take.
    pub(crate) video: Source,
    /// Layers within one stream, instead of plain pictures.
    pub(crate) layering: Option<Layering>,
    /// The video codec that the client knows.
    pub(crate) codec: Codec,
    pub(crate) level: i8,
    /// What the camera shows in each layer; if nothing, it sends stamped packets.
    pub(crate) recordings: Vec<Arc<Recording>>,
    /// Puts packets together to frames, as a browser does, and does not look into them.
    pub(crate) assembles: bool,
    /// What the client's packets go over.
    pub(crate) transport: Protocol,
    pub(crate) frames: Frames,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            publishes: true,
            simulcast: true,
            camera_slots: 9,
            audio_slots: 4,
            video: Source::Camera,
            layering: None,
            codec: Codec::Vp8,
            level: -30,
            recordings: vec![],
            assembles: false,
            transport: Protocol::Udp,
            frames: Frames::SMALL,
        }
    }
}

impl ClientConfig {
    pub(crate) fn viewer() -> Self {
        Self {
            publishes: false,
            ..Self::default()
        }
    }
}

/// Those of a browser without the absolute send time, which the SFU has no use for and
/// str0m cannot read when the system's clock stands at the epoch, as in a seeded run.
fn extensions() -> ExtensionMap {
    let mut extensions = ExtensionMap::empty();
    for (id, extension) in ExtensionMap::standard().iter() {
        if *extension != Extension::AbsoluteSendTime {
            extensions.set(id, extension.clone());
        }
    }
    extensions
}

/// With H.264 under other payload types than the SFU's.
fn with_h264(mut config: RtcConfig, knows: bool) -> RtcConfig {
    if knows {
        let (own, resent) = (41.into(), Some(42.into()));
        let codecs = config.codec_config();
        codecs.add_h264(own, resent, true, 0x0042_e01f);
    }
    config
}

/// One packet as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    /// Of the payload.
    pub(crate) bytes: usize,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) is_video: bool,
    /// None in H.264, whose frames are not numbered.
    pub(crate) picture: Option<u16>,
    pub(crate) stamp: Stamp,
    pub(crate) level: Option<i8>,
    /// The dependency descriptor as it came.
    pub(crate) dependency: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) index: usize,
    pub(crate) address: SocketAddr,
    /// Where the SFU sees it: another address than its own once a NAT has changed its mind.
    pub(crate) seen_at: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) rtc: Rtc,
    pub(crate) outbox: VecDeque<Vec<u8>>,
    pub(crate) is_gone: bool,
    /// Its RTCP never arrives.
    pub(crate) silences_feedback: bool,
    pub(crate) connected: Option<Instant>,
    pub(crate) ended: bool,
    /// What arrived, by the slot it came in.
    pub(crate) received: BTreeMap<String, Vec<Received>>,
    /// What it put together, likewise.
    pub(crate) assembled: BTreeMap<String, Vec<Frame>>,
    pub(crate) slots: Vec<SlotFilling>,
    pub(crate) publications: Vec<Publication>,
    pub(crate) speakers: Vec<ParticipantId>,
    pub(crate) refusals: Vec<String>,
    pub(crate) answered_probes: usize,
    /// When the SFU asked for a key frame of which layer.
    pub(crate) key_frame_requests: Vec<(Instant, usize)>,
    pub(crate) camera_on: bool,
    pub(crate) microphone_on: bool,
    pub(crate) layers_on: [bool; 3],
    pub(crate) level: i8,
    pub(crate) camera_slot_mids: Vec<String>,
    transport: Protocol,
    server_ufrag: String,
    pending: Option<SdpPendingOffer>,
    channel: Option<ChannelId>,
    pub(super) video: Vec<Sender>,
    pub(super) players: Vec<Player>,
    pub(super) sound: Option<Sender>,
    pub(super) codec: Codec,
    pub(super) scalable: Option<ScalableSender>,
    /// Packets with nothing in them, by slot and number.
    pub(crate) fillers: Vec<(String, u64)>,
    pub(super) frames: Frames,
    due: Instant,
    next_frame: Instant,
    next_audio: Instant,
}

impl Client {
    pub(crate) fn new(
        index: usize,
        config: &ClientConfig,
        crypto: &CryptoProvider,
        now: Instant,
    ) -> (Self, Offer) {
        let address = SocketAddr::from(([10, 0, 1, index as u8 + 1], 5000));
        Self::at(address, server_address(), index, config, crypto, now)
    }

    pub(crate) fn at(
        address: SocketAddr,
        server: SocketAddr,
        index: usize,
        config: &ClientConfig,
        crypto: &CryptoProvider,
        now: Instant,
    ) -> (Self, Offer) {
        let rtc_config = RtcConfig::new()
            .set_crypto_provider(Arc::new(crypto.clone()))
            .set_extension_map(extensions())
            .set_rtp_mode(!config.assembles)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(config.codec == Codec::Vp8)
            .enable_vp9(config.codec == Codec::Vp9)
            .enable_av1(config.codec == Codec::Av1)
            .set_extension(12, scalable::extension());
        let rtc_config = with_h264(rtc_config, config.codec == Codec::H264);
        let mut rtc = rtc_config.build(now);
        let candidate = match config.transport {
            Protocol::Udp => Candidate::host(address, "udp"),
            // The client opens the connections (RFC 6544 §4.1).
            _ => Candidate::builder()
                .tcp()
                .host(address)
                .tcptype(TcpType::Active)
                .build(),
        };
        rtc.add_local_candidate(candidate.unwrap());

        let mut api = rtc.sdp_api();
        let mut tracks = vec![];
        let mut slots = vec![];
        let mut sound = None;
        let mut video = vec![];
        let start = 1_000 * (index as u64 + 1);
        let sender = |mid, rid, layer: usize| Sender {
            mid,
            rid,
            layer,
            sequence: start + 60_000 * layer as u64,
            timestamp: u32::MAX - 100_000 * (layer as u32 + index as u32),
            picture: 0x7f00 + 300 * layer as u16,
            tl0: 200,
            frame: 0,
            key_in: Some(0),
        };
        if config.publishes {
            let mid = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
            tracks.push((mid, Source::Microphone));
            sound = Some(sender(mid, None, 0));
            let simulcast = config.simulcast.then(|| {
                let mut simulcast = Simulcast::new();
                for rid in RIDS {
                    simulcast.add_send_layer(SimulcastLayer::new(rid));
                }
                simulcast
            });
            let mid = api.add_media(MediaKind::Video, Direction::SendOnly, None, None, simulcast);
            tracks.push((mid, config.video));
            if config.simulcast {
                for (layer, rid) in RIDS.iter().enumerate() {
                    video.push(sender(mid, Some(Rid::from(*rid)), layer));
                }
            } else {
                video.push(sender(mid, None, 0));
            }
        }
        for _ in 0..config.camera_slots {
            let mid = api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
            slots.push((mid, config.video));
        }
        for _ in 0..config.audio_slots {
            let mid = api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
            slots.push((mid, Source::Microphone));
        }
        api.add_channel("control".into());
        let (offer, pending) = api.apply().unwrap();
        let camera_slot_mids = slots
            .iter()
            .filter(|(_, source)| source.is_video())
            .map(|(mid, _)| mid.to_string())
            .collect();
        let protocol_mid = |mid: &SdpMid| -> Mid { mid.to_string().parse().unwrap() };
        let offer = Offer {
            sdp: offer.to_sdp_string(),
            tracks: tracks
                .iter()
                .map(|(mid, source)| OfferedTrack {
                    mid: protocol_mid(mid),
                    source: *source,
                })
                .collect(),
            slots: slots
                .iter()
                .map(|(mid, accepts)| OfferedSlot {
                    mid: protocol_mid(mid),
                    accepts: *accepts,
                })
                .collect(),
        };
        let client = Self {
            index,
            address,
            seen_at: address,
            server,
            rtc,
            outbox: VecDeque::new(),
            is_gone: false,
            silences_feedback: false,
            connected: None,
            ended: false,
            received: BTreeMap::new(),
            assembled: BTreeMap::new(),
            slots: vec![],
            publications: vec![],
            speakers: vec![],
            refusals: vec![],
            answered_probes: 0,
            key_frame_requests: vec![],
            camera_on: config.publishes,
            microphone_on: config.publishes,
            layers_on: [true; 3],
            level: config.level,
            camera_slot_mids,
            transport: config.transport,
            server_ufrag: String::new(),
            pending: Some(pending),
            channel: None,
            video,
            players: config.recordings.iter().map(Player::new).collect(),
            sound,
            codec: config.codec,
            scalable: config.layering.map(ScalableSender::new),
            fillers: vec![],
            frames: config.frames,
            due: now,
            next_frame: now,
            next_audio: now,
        };
        (client, offer)
    }

    pub(crate) fn accept(&mut self, answer: &str) {
        let ufrag = answer.lines().find_map(|l| l.strip_prefix("a=ice-ufrag:"));
        self.server_ufrag = ufrag.unwrap().to_owned();
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        let pending = self.pending.take().unwrap();
        self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
    }

    /// Whom the client's checks name: the SFU's user name fragment and its own.
    pub(crate) fn checked_user(&mut self) -> String {
        let ours = self.rtc.direct_api().local_ice_credentials().ufrag;
        format!("{}:{ours}", self.server_ufrag)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.connected.is_some() && self.channel.is_some()
    }

    pub(crate) fn due(&self) -> Instant {
        let mut due = self.due;
        if self.is_gone {
            return due + Duration::from_secs(3600);
        }
        if self.connected.is_some() {
            if self.camera_on {
                due = due.min(self.next_frame);
            }
            if self.microphone_on {
                due = due.min(self.next_audio);
            }
        }
        due
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        if self.connected.is_some() && !self.is_gone {
            if self.camera_on && now >= self.next_frame {
                self.next_frame = now + FRAME;
                self.send_frame(now);
            }
            if self.microphone_on && now >= self.next_audio {
                self.next_audio = now + AUDIO;
                self.send_audio(now);
            }
        }
        if self.is_gone {
            return;
        }
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.poll(now);
    }

    pub(crate) fn receive(&mut self, now: Instant, source: SocketAddr, contents: &[u8]) {
        if self.is_gone {
            return;
        }
        let receive = Receive::new(self.transport, source, self.address, contents).unwrap();
        let _ = self.rtc.handle_input(Input::Receive(now, receive));
        self.poll(now);
    }

    pub(crate) fn ask(&mut self, now: Instant, request: &ControlRequest) {
        let id = self.channel.expect("the control channel is open");
        let message = serde_json::to_vec(request).unwrap();
        assert!(
            self.rtc
                .channel(id)
                .unwrap()
                .write(false, &message)
                .unwrap()
        );
        self.advance(now);
    }

    /// Says anything on the control channel. False when the channel is full.
    pub(crate) fn say(&mut self, now: Instant, message: &[u8]) -> bool {
        let id = self.channel.expect("the control channel is open");
        let taken = self.rtc.channel(id).unwrap().write(false, message).unwrap();
        self.advance(now);
        taken
    }

    pub(crate) fn wish(&mut self, now: Instant, wishes: &[(ParticipantId, u16)]) {
        let videos = wishes
            .iter()
            .map(|(participant, height)| VideoWish {
                participant: *participant,
                source: Source::Camera,
                size: PixelSize {
                    width: height * 16 / 9,
                    height: *height,
                },
                pinned: false,
            })
            .collect();
        self.ask(now, &ControlRequest::Wishes { videos });
    }

    /// Asks for a key frame in a slot, as a decoder that lost its way does.
    pub(crate) fn request_key_frame(&mut self, now: Instant, slot: &str) {
        let mid = SdpMid::from(slot);
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
        self.advance(now);
    }

    /// The slot in which someone's camera comes.
    pub(crate) fn camera_slot_of(&self, participant: ParticipantId) -> Option<String> {
        self.slots
            .iter()
            .find(|s| s.participant == participant && s.source == Source::Camera)
            .map(|s| s.mid.to_string())
    }

    /// The SFU says that it sends nothing of someone's video for now.
    pub(crate) fn is_paused(&self, participant: ParticipantId) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| slot.participant == participant && slot.paused)
    }

    pub(crate) fn in_slot(&self, slot: &str) -> &[Received] {
        self.received.get(slot).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn video(&self) -> impl Iterator<Item = &Received> {
        self.received.values().flatten().filter(|r| r.is_video)
    }

    pub(crate) fn sounds(&self) -> impl Iterator<Item = &Received> {
        self.received.values().flatten().filter(|r| !r.is_video)
    }

    pub(crate) fn forget(&mut self) {
        self.received.clear();
    }

    fn poll(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.due = at.max(now + Duration::from_micros(100));
                    return;
                }
                Output::Transmit(transmit) => {
                    // Checks of the server's other candidates go nowhere.
                    if transmit.destination != self.server {
                        continue;
                    }
                    self.outbox.push_back(transmit.contents.to_vec());
                }
                Output::Event(event) => self.handle(now, event),
            }
        }
    }

    fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => {
                self.connected = Some(now);
                self.next_frame = now;
                self.next_audio = now;
            }
            Event::Closed => self.ended = true,
            Event::ChannelOpen(id, _) => self.channel = Some(id),
            Event::ChannelData(data) => match serde_json::from_slice(&data.data).unwrap() {
                ControlNotice::Slots { slots } => self.slots = slots,
                ControlNotice::Publications { participants } => {
                    self.publications = participants;
                }
                ControlNotice::PublicationsChanged { participants } => {
                    for changed in participants {
                        self.publications
                            .retain(|p| p.participant != changed.participant);
                        if !changed.sources.is_empty() {
                            self.publications.push(changed);
                        }
                    }
                }
                ControlNotice::Speakers { participants } => self.speakers = participants,
                ControlNotice::Here {} => self.answered_probes += 1,
                ControlNotice::Refused { detail } => self.refusals.push(detail),
            },
            Event::KeyframeRequest(request) => {
                let sender = self.video.iter_mut().find(|s| s.rid == request.rid);
                if let Some(sender) = sender {
                    sender.key_in.get_or_insert(2);
                    let layer = sender.layer;
                    self.key_frame_requests.push((now, layer));
                }
            }
            Event::MediaData(data) => {
                if let Some(frame) = Frame::of(&data) {
                    self.assembled
                        .entry(data.mid.to_string())
                        .or_default()
                        .push(frame);
                }
            }
            Event::RtpPacket(packet) => {
                let mut direct = self.rtc.direct_api();
                let mid = direct.stream_rx(&packet.header.ssrc).unwrap().mid();
                let kind = self.rtc.media(mid).unwrap().kind();
                if packet.payload.is_empty() {
                    self.fillers.push((mid.to_string(), *packet.seq_no));
                    return;
                }
                let is_video = kind == MediaKind::Video;
                let (picture, stamp) = match self.codec {
                    _ if !is_video => (None, media::read_audio(&packet.payload)),
                    Codec::Vp8 => {
                        let (picture, _, stamp) = media::read_vp8(&packet.payload);
                        (Some(picture), stamp)
                    }
                    Codec::H264 => (None, media::read_h264(&packet.payload)),
                    codec => {
                        let (picture, stamp) = scalable::read(codec, &packet.payload);
                        (Some(picture), stamp)
                    }
                };
                let received = Received {
                    at: now,
                    bytes: packet.payload.len(),
                    sequence: *packet.seq_no,
                    timestamp: packet.header.timestamp,
                    marker: packet.header.marker,
                    is_video,
                    picture,
                    stamp,
                    level: packet.header.ext_vals.audio_level,
                    dependency: scalable::dependency(&packet.header.ext_vals),
                };
                self.received
                    .entry(mid.to_string())
                    .or_default()
                    .push(received);
            }
            _ => {}
        }
    }
}
