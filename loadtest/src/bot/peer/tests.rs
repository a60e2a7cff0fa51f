//! A peer and an answerer in one process.

use std::time::Duration;

use str0m::{change::SdpOffer, media::Mid as RtcMid};

use super::*;

const LABEL: &str = "control";

/// An ICE-lite answerer in the same process: what the SFU is to a peer.
struct Answerer {
    rtc: Rtc,
    address: SocketAddr,
    medias: Vec<RtcMid>,
    channel: Option<ChannelId>,
    packets: Vec<RtpPacket>,
    heard: Vec<(bool, String)>,
}

impl Answerer {
    fn new(address: SocketAddr, now: Instant) -> Self {
        let mut rtc = Rtc::builder()
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        Self {
            rtc,
            address,
            medias: Vec::new(),
            channel: None,
            packets: Vec::new(),
            heard: Vec::new(),
        }
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return datagrams,
                Output::Transmit(transmit) => datagrams.push(transmit.contents.into()),
                Output::Event(Event::MediaAdded(media)) => self.medias.push(media.mid),
                Output::Event(Event::ChannelOpen(id, label)) => {
                    assert_eq!(label, LABEL);
                    self.channel = Some(id);
                }
                Output::Event(Event::ChannelData(data)) => {
                    let text = String::from_utf8(data.data).unwrap();
                    self.heard.push((data.binary, text));
                }
                Output::Event(Event::RtpPacket(packet)) => self.packets.push(packet),
                Output::Event(_) => {}
            }
        }
    }

    fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let receive = Receive::new(Protocol::Udp, from, self.address, datagram).unwrap();
        self.rtc.handle_input(Input::Receive(now, receive)).unwrap();
    }
}

struct Pair {
    peer: Peer,
    answerer: Answerer,
    now: Instant,
    outputs: Vec<PeerOutput>,
    sections: Sections,
}

impl Pair {
    fn negotiated(layout: &Layout) -> Self {
        let now = Instant::now();
        let local = "127.0.0.1:4000".parse().unwrap();
        let (mut peer, sdp, sections) = Peer::offer(layout, local, now).unwrap();
        let mut answerer = Answerer::new("127.0.0.1:3478".parse().unwrap(), now);
        let offer = SdpOffer::from_sdp_string(&sdp).unwrap();
        let answer = answerer.rtc.sdp_api().accept_offer(offer).unwrap();
        peer.accept_answer(now, &answer.to_sdp_string()).unwrap();
        Self {
            peer,
            answerer,
            now,
            outputs: Vec::new(),
            sections,
        }
    }

    /// Lets time pass in steps and carries datagrams to and fro.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(10);
            self.peer.handle_timeout(self.now).unwrap();
            self.answerer
                .rtc
                .handle_input(Input::Timeout(self.now))
                .unwrap();
            for _ in 0..4 {
                while let Some(output) = self.peer.poll() {
                    if let PeerOutput::Transmit { datagram, .. } = output {
                        self.answerer.receive(self.now, self.peer.local, &datagram);
                        for back in self.answerer.drain() {
                            let from = self.answerer.address;
                            self.peer.handle_datagram(self.now, from, &back).unwrap();
                        }
                    } else {
                        self.outputs.push(output);
                    }
                }
                for back in self.answerer.drain() {
                    let from = self.answerer.address;
                    self.peer.handle_datagram(self.now, from, &back).unwrap();
                }
            }
        }
    }
}

fn layout() -> Layout {
    Layout {
        tracks: vec![
            TrackLayout {
                source: Source::Microphone,
                codec: Codec::Opus,
                layers: 1,
            },
            TrackLayout {
                source: Source::Camera,
                codec: Codec::Vp8,
                layers: 1,
            },
        ],
        slots: vec![Source::Camera, Source::Microphone],
        codecs: vec![Codec::Vp8],
        channel: Some(Channel::text(LABEL)),
        largest_first: false,
    }
}

#[test]
fn it_offers_what_its_layout_says_and_connects() {
    let mut pair = Pair::negotiated(&layout());
    let sources = |sections: &[(Source, String)]| -> Vec<Source> {
        sections.iter().map(|(source, _)| *source).collect()
    };
    let tracks: Vec<_> = layout().tracks.iter().map(|track| track.source).collect();
    assert_eq!(sources(&pair.sections.tracks), tracks);
    assert_eq!(sources(&pair.sections.slots), layout().slots);
    pair.run(Duration::from_secs(2));
    for wanted in ["Connected", "ChannelOpen"] {
        assert!(
            pair.outputs
                .iter()
                .any(|output| format!("{output:?}") == wanted),
            "{wanted} is not in {:?}",
            pair.outputs
        );
    }
    assert_eq!(pair.answerer.medias.len(), 4);
}

#[test]
fn packets_go_both_ways_and_a_key_frame_can_be_asked_for() {
    let mut pair = Pair::negotiated(&layout());
    pair.run(Duration::from_secs(2));
    let packets = (0..3).map(|at| OutgoingPacket {
        source: Source::Camera,
        layer: 0,
        sequence: 500 + at,
        time: 90_000,
        marker: at == 2,
        payload: Arc::from([0x90, at as u8]),
        extra: Extra::None,
    });
    pair.peer.send(pair.now, packets).unwrap();
    pair.run(Duration::from_millis(200));
    let seen: Vec<_> = pair
        .answerer
        .packets
        .iter()
        .map(|packet| (*packet.seq_no, packet.header.marker, packet.payload[1]))
        .collect();
    assert_eq!(seen, [(500, false, 0), (501, false, 1), (502, true, 2)]);

    let ssrc = pair.answerer.packets[0].header.ssrc;
    let mut direct = pair.answerer.rtc.direct_api();
    direct
        .stream_rx(&ssrc)
        .unwrap()
        .request_keyframe(str0m::media::KeyframeRequestKind::Pli);
    let slot = RtcMid::from(pair.sections.slots[0].1.as_str());
    let stream = direct.stream_tx_by_mid(slot, None).unwrap();
    let params = pair.peer.rtc.codec_config().clone();
    let vp8 = params
        .find(|p| p.spec().codec == RtpCodec::Vp8)
        .unwrap()
        .pt();
    let packet = RtpWrite::new(vp8, 7.into(), 1, pair.now, vec![0x90, 0xaa]).marker(true);
    stream.write_rtp(packet);
    pair.run(Duration::from_millis(200));

    assert!(
        pair.outputs
            .iter()
            .any(|output| matches!(output, PeerOutput::KeyFrameWanted(Source::Camera, 0)))
    );
    assert!(pair.outputs.iter().any(|output| matches!(
        output,
        PeerOutput::Packet(IncomingPacket { codec: Codec::Vp8, sequence: 7, marker: true, payload, .. })
            if payload[..] == [0x90, 0xaa]
    )));
}

#[test]
fn the_data_channel_carries_messages_both_ways() {
    let mut pair = Pair::negotiated(&layout());
    pair.run(Duration::from_secs(2));
    assert!(pair.peer.channel_send(b"a wish").unwrap());
    pair.run(Duration::from_millis(200));
    assert_eq!(pair.answerer.heard, [(false, "a wish".to_owned())]);

    let channel = pair.answerer.channel.unwrap();
    let mut channel = pair.answerer.rtc.channel(channel).unwrap();
    assert!(channel.write(false, b"a notice").unwrap());
    pair.run(Duration::from_millis(200));
    assert!(
        pair.outputs
            .iter()
            .any(|output| matches!(output, PeerOutput::ChannelData(data) if data == b"a notice"))
    );
}

#[test]
fn messages_are_binary_where_the_channel_is() {
    let mut layout = layout();
    layout.channel = Some(Channel::binary(LABEL));
    let mut pair = Pair::negotiated(&layout);
    pair.run(Duration::from_secs(2));
    assert!(pair.peer.channel_send(b"a wish").unwrap());
    pair.run(Duration::from_millis(200));
    assert_eq!(pair.answerer.heard, [(true, "a wish".to_owned())]);
}

#[test]
fn h264_is_offered_in_one_profile_and_carried() {
    let mut layout = layout();
    layout.tracks[1].codec = Codec::H264;
    layout.codecs = vec![Codec::H264];
    let (_, sdp, _) =
        Peer::offer(&layout, "127.0.0.1:4000".parse().unwrap(), Instant::now()).unwrap();
    let profiles: Vec<_> = sdp
        .lines()
        .filter(|line| line.contains("profile-level-id"))
        .collect();
    assert!(
        profiles.iter().all(|line| line.starts_with("a=fmtp:108 ")
            && line.contains("packetization-mode=1")
            && line.contains("profile-level-id=42e01f")),
        "{profiles:?}"
    );
    let mut pair = Pair::negotiated(&layout);
    pair.run(Duration::from_secs(2));
    let packet = OutgoingPacket {
        source: Source::Camera,
        layer: 0,
        sequence: 500,
        time: 90_000,
        marker: true,
        payload: Arc::from([0x41, 0x9a, 7]),
        extra: Extra::None,
    };
    pair.peer.send(pair.now, [packet]).unwrap();
    pair.run(Duration::from_millis(200));
    let packets = &pair.answerer.packets;
    let payloads: Vec<_> = packets.iter().map(|packet| &packet.payload[..]).collect();
    assert_eq!(payloads, [[0x41, 0x9a, 7]]);
    let payload_type = packets[0].header.payload_type;
    let meaning = pair
        .answerer
        .rtc
        .codec_config()
        .find(|params| params.pt() == payload_type);
    assert_eq!(meaning.unwrap().spec().codec, RtpCodec::H264);
}

#[test]
fn sizes_are_offered_in_the_order_that_is_asked_for() {
    for (largest_first, order) in [(false, "send q;h;f"), (true, "send f;h;q")] {
        let mut layout = layout();
        layout.tracks[1].layers = 3;
        layout.largest_first = largest_first;
        let local = "127.0.0.1:4000".parse().unwrap();
        let (_, sdp, _) = Peer::offer(&layout, local, Instant::now()).unwrap();
        assert!(sdp.contains(&format!("a=simulcast:{order}")), "{sdp}");
    }
}

#[test]
fn an_answer_that_is_no_answer_is_refused() {
    let now = Instant::now();
    let local = "127.0.0.1:4000".parse().unwrap();
    let (mut peer, ..) = Peer::offer(&layout(), local, now).unwrap();
    let refused = peer.accept_answer(now, "nonsense");
    assert!(matches!(refused, Err(PeerError::Answer(_))), "{refused:?}");
    let again = peer.accept_answer(now, "nonsense");
    assert!(matches!(again, Err(PeerError::UnexpectedAnswer)));
}
