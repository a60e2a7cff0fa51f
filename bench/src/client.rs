//! A WebRTC client as a browser is one: real ICE, DTLS, SRTP, feedback and key frames; only
//! its camera is made up.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use conclave_protocol::{
    Mid, ParticipantId,
    control::{ControlRequest, PixelSize, VideoWish},
    signal::{OfferedSlot, OfferedTrack, Source},
};
use conclave_sfu::Offer;
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::{SdpAnswer, SdpPendingOffer},
    channel::ChannelId,
    format::{Codec, PayloadParams},
    media::{Direction, MediaKind, Mid as SdpMid, Pt, Rid, Simulcast, SimulcastLayer},
    net::{Protocol, Receive},
    rtp::{ExtensionValues, RtpWrite},
};

use crate::video::{self, Frame, LAYERS};

/// The names of the simulcast layers, low to high.
const RIDS: [&str; 3] = ["q", "h", "f"];

/// Sequence numbers have to begin below 65,536; they count on from there.
const FIRST_SEQUENCE: u64 = 1_000;

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publishes {
    Nothing,
    /// A camera in one layer, and sound.
    Camera,
    /// A camera in three layers, and sound.
    Simulcast,
}

/// What a client offers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sections {
    pub(crate) publishes: Publishes,
    pub(crate) cameras: usize,
}

/// The slots beside those for cameras, as the web client offers them.
const SOUND_SLOTS: usize = 4;
const SCREEN_SLOTS: usize = 1;

/// The slots for cameras that the web client offers.
pub(crate) const CAMERA_SLOTS: usize = 9;

/// One outgoing stream.
#[derive(Debug)]
struct Stream {
    mid: SdpMid,
    rid: Option<Rid>,
    sequence: u64,
    timestamp: u32,
    picture: u16,
    wants_key: bool,
}

pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    server: SocketAddr,
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    channel: Option<ChannelId>,
    camera: Vec<Stream>,
    sound: Option<Stream>,
    is_connected: bool,
    /// RTP packets that came.
    pub(crate) received: u64,
    /// When [`Self::advance`] is next to be called.
    pub(crate) due: Instant,
}

/// The participant with this number.
pub(crate) fn participant(index: usize) -> ParticipantId {
    ParticipantId::new(0xc0de_0000 + index as u64)
}

impl Client {
    pub(crate) fn new(
        address: SocketAddr,
        server: SocketAddr,
        sections: Sections,
        now: Instant,
    ) -> Result<(Self, Offer)> {
        let mut rtc = RtcConfig::new()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp")?);
        let mut api = rtc.sdp_api();
        let stream = |mid, rid| Stream {
            mid,
            rid,
            sequence: FIRST_SEQUENCE,
            timestamp: 1,
            picture: 0,
            wants_key: true,
        };
        let mut tracks = vec![];
        let mut slots = vec![];
        let mut camera = vec![];
        let mut sound = None;
        if sections.publishes != Publishes::Nothing {
            let mid = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
            tracks.push((mid, Source::Microphone));
            sound = Some(stream(mid, None));
            let simulcast = (sections.publishes == Publishes::Simulcast).then(|| {
                let mut simulcast = Simulcast::new();
                for rid in RIDS {
                    simulcast.add_send_layer(SimulcastLayer::new(rid));
                }
                simulcast
            });
            let is_simulcast = simulcast.is_some();
            let mid = api.add_media(MediaKind::Video, Direction::SendOnly, None, None, simulcast);
            tracks.push((mid, Source::Camera));
            if is_simulcast {
                camera.extend(RIDS.map(|rid| stream(mid, Some(Rid::from(rid)))));
            } else {
                camera.push(stream(mid, None));
            }
        }
        for (kind, source, count) in [
            (MediaKind::Video, Source::Camera, sections.cameras),
            (MediaKind::Audio, Source::Microphone, SOUND_SLOTS),
            (MediaKind::Video, Source::Screen, SCREEN_SLOTS),
        ] {
            for _ in 0..count {
                let mid = api.add_media(kind, Direction::RecvOnly, None, None, None);
                slots.push((mid, source));
            }
        }
        api.add_channel("control".into());
        let (sdp, pending) = api.apply().context("an offer has sections")?;
        let offer = Offer {
            sdp: sdp.to_sdp_string(),
            tracks: tracks
                .into_iter()
                .map(|(mid, source)| {
                    Ok(OfferedTrack {
                        mid: wire_mid(mid)?,
                        source,
                    })
                })
                .collect::<Result<_>>()?,
            slots: slots
                .into_iter()
                .map(|(mid, accepts)| {
                    Ok(OfferedSlot {
                        mid: wire_mid(mid)?,
                        accepts,
                    })
                })
                .collect::<Result<_>>()?,
        };
        let client = Self {
            address,
            server,
            rtc,
            pending: Some(pending),
            channel: None,
            camera,
            sound,
            is_connected: false,
            received: 0,
            due: now,
        };
        Ok((client, offer))
    }

    pub(crate) fn accept(&mut self, answer: &str) -> Result<()> {
        let answer = SdpAnswer::from_sdp_string(answer)?;
        let pending = self.pending.take().context("an offer is answered once")?;
        self.rtc.sdp_api().accept_answer(pending, answer)?;
        Ok(())
    }

    /// Connected, with an open control channel.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_connected && self.channel.is_some()
    }

    /// Lets time pass; `send` takes what is to be sent.
    pub(crate) fn advance(&mut self, now: Instant, send: &mut impl FnMut(&[u8])) -> Result<()> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.poll(now, send)
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        contents: &[u8],
        send: &mut impl FnMut(&[u8]),
    ) -> Result<()> {
        let receive = Receive::new(Protocol::Udp, self.server, self.address, contents)?;
        self.rtc.handle_input(Input::Receive(now, receive))?;
        self.poll(now, send)
    }

    /// Sends one frame of the camera; with simulcast one of each layer, and `frame` does not
    /// matter.
    pub(crate) fn send_frame(
        &mut self,
        now: Instant,
        frame: Frame,
        send: &mut impl FnMut(&[u8]),
    ) -> Result<()> {
        let payload_type = self.payload_type(Codec::Vp8)?;
        let is_simulcast = self.camera.len() > 1;
        for (stream, layer) in self.camera.iter_mut().zip(LAYERS) {
            let frame = if is_simulcast { layer } else { frame };
            let key = std::mem::take(&mut stream.wants_key);
            stream.picture = stream.picture.wrapping_add(1) & 0x7fff;
            stream.timestamp = stream.timestamp.wrapping_add(3_000);
            let tl0 = stream.picture.to_be_bytes()[1];
            for part in 0..frame.packets {
                stream.sequence += 1;
                let payload = video::picture(part == 0, key, stream.picture, tl0, frame.length);
                let write = RtpWrite::new(
                    payload_type,
                    stream.sequence.into(),
                    stream.timestamp,
                    now,
                    payload,
                )
                .marker(part + 1 == frame.packets)
                .nackable(true);
                self.rtc
                    .direct_api()
                    .stream_tx_by_mid(stream.mid, stream.rid)
                    .context("the camera's stream is gone")?
                    .write_rtp(write);
            }
        }
        self.advance(now, send)
    }

    /// Sends one packet of sound.
    pub(crate) fn send_sound(&mut self, now: Instant, send: &mut impl FnMut(&[u8])) -> Result<()> {
        let payload_type = self.payload_type(Codec::Opus)?;
        if let Some(stream) = &mut self.sound {
            stream.sequence += 1;
            stream.timestamp = stream.timestamp.wrapping_add(960);
            let write = RtpWrite::new(
                payload_type,
                stream.sequence.into(),
                stream.timestamp,
                now,
                video::sound(),
            )
            .ext_vals(ExtensionValues {
                audio_level: Some(-30),
                voice_activity: Some(true),
                ..ExtensionValues::default()
            });
            self.rtc
                .direct_api()
                .stream_tx_by_mid(stream.mid, None)
                .context("the microphone's stream is gone")?
                .write_rtp(write);
        }
        self.advance(now, send)
    }

    /// Says which cameras it wants to see, and how high.
    pub(crate) fn wish(
        &mut self,
        now: Instant,
        whose: impl IntoIterator<Item = usize>,
        height: u16,
        send: &mut impl FnMut(&[u8]),
    ) -> Result<()> {
        let videos = whose
            .into_iter()
            .map(|index| VideoWish {
                participant: participant(index),
                source: Source::Camera,
                size: PixelSize {
                    width: height / 9 * 16,
                    height,
                },
                pinned: false,
            })
            .collect();
        let message = serde_json::to_vec(&ControlRequest::Wishes { videos })?;
        let id = self.channel.context("the control channel is not open")?;
        let mut channel = self
            .rtc
            .channel(id)
            .context("the control channel is gone")?;
        anyhow::ensure!(
            channel.write(false, &message)?,
            "the control channel is full"
        );
        self.advance(now, send)
    }

    fn payload_type(&self, codec: Codec) -> Result<Pt> {
        let mut known = self.rtc.codec_config().iter();
        known
            .find(|params| params.spec().codec == codec)
            .map(PayloadParams::pt)
            .context("a codec is not configured")
    }

    fn poll(&mut self, now: Instant, send: &mut impl FnMut(&[u8])) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    self.due = at.max(now + Duration::from_micros(100));
                    return Ok(());
                }
                // Checks of the server's other candidates go nowhere.
                Output::Transmit(transmit) if transmit.destination == self.server => {
                    send(&transmit.contents);
                }
                Output::Transmit(_) => {}
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(Event::ChannelOpen(id, _)) => self.channel = Some(id),
                Output::Event(Event::RtpPacket(_)) => self.received += 1,
                Output::Event(Event::KeyframeRequest(request)) => {
                    let asked = self.camera.iter_mut().find(|s| s.rid == request.rid);
                    if let Some(stream) = asked {
                        stream.wants_key = true;
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}

fn wire_mid(mid: SdpMid) -> Result<Mid> {
    mid.to_string()
        .parse()
        .context("str0m's mids are well formed")
}
