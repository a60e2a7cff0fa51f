//! A peer and an answerer in one process.

use std::time::Duration;

use str0m::{change::SdpOffer, media::Mid as RtcMid};

use super::*;

/// An ICE-lite answerer in the same process: what the SFU is to a peer.
struct Answerer {
    rtc: Rtc,
    address: SocketAddr,
    medias: Vec<RtcMid>,
    channel: Option<ChannelId>,
    packets: Vec<RtpPacket>,
    heard: Vec<String>,
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
                    assert_eq!(label, CHANNEL_LABEL);
                    self.channel = Some(id);
                }
                Output::Event(Event::ChannelData(data)) => {
                    self.heard.push(String::from_utf8(data.data).unwrap());
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
    tracks: Vec<OfferedTrack>,
    slots: Vec<OfferedSlot>,
}

impl Pair {
    fn negotiated(layout: &Layout) -> Self {
        let now = Instant::now();
        let local = "127.0.0.1:4000".parse().unwrap();
        let (mut peer, offer) = Peer::offer(layout, local, now).unwrap();
        let ClientMessage::Offer { sdp, tracks, slots } = offer else {
            panic!("{offer:?}");
        };
        let mut answerer = Answerer::new("127.0.0.1:3478".parse().unwrap(), now);
        let offer = SdpOffer::from_sdp_string(&sdp).unwrap();
        let answer = answerer.rtc.sdp_api().accept_offer(offer).unwrap();
        peer.accept_answer(now, &answer.to_sdp_string()).unwrap();
        Self {
            peer,
            answerer,
            now,
            outputs: Vec::new(),
            tracks,
            slots,
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
        tracks: vec![Source::Microphone, Source::Camera],
        slots: vec![Source::Camera, Source::Microphone],
    }
}

#[test]
fn it_offers_what_its_layout_says_and_connects() {
    let mut pair = Pair::negotiated(&layout());
    assert_eq!(
        pair.tracks
            .iter()
            .map(|track| track.source)
            .collect::<Vec<_>>(),
        layout().tracks
    );
    assert_eq!(
        pair.slots
            .iter()
            .map(|slot| slot.accepts)
            .collect::<Vec<_>>(),
        layout().slots
    );
    pair.run(Duration::from_secs(2));
    for wanted in ["Connected", "ControlOpen"] {
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
        sequence: 500 + at,
        time: 90_000,
        marker: at == 2,
        payload: Arc::from([0x90, at as u8]),
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
    let slot = RtcMid::from(pair.slots[0].mid.as_str());
    let stream = direct.stream_tx_by_mid(slot, None).unwrap();
    let params = pair.peer.rtc.codec_config().clone();
    let vp8 = params.find(|p| p.spec().codec == Codec::Vp8).unwrap().pt();
    let packet = RtpWrite::new(vp8, 7.into(), 1, pair.now, vec![0x90, 0xaa]).marker(true);
    stream.write_rtp(packet);
    pair.run(Duration::from_millis(200));

    assert!(
        pair.outputs
            .iter()
            .any(|output| matches!(output, PeerOutput::KeyFrameWanted(Source::Camera)))
    );
    assert!(pair.outputs.iter().any(|output| matches!(
        output,
        PeerOutput::Packet(IncomingPacket { is_video: true, sequence: 7, marker: true, payload, .. })
            if payload[..] == [0x90, 0xaa]
    )));
}

#[test]
fn the_control_channel_carries_the_protocol() {
    let mut pair = Pair::negotiated(&layout());
    pair.run(Duration::from_secs(2));
    let request = ControlRequest::Publishing {
        sources: vec![Source::Camera],
    };
    assert!(pair.peer.request(&request).unwrap());
    pair.run(Duration::from_millis(200));
    assert_eq!(
        pair.answerer.heard,
        [r#"{"type":"publishing","sources":["camera"]}"#]
    );

    let channel = pair.answerer.channel.unwrap();
    let mut channel = pair.answerer.rtc.channel(channel).unwrap();
    let notice = br#"{"type":"speakers","participants":[]}"#;
    assert!(channel.write(false, notice).unwrap());
    pair.run(Duration::from_millis(200));
    assert!(pair.outputs.iter().any(|output| matches!(
        output,
        PeerOutput::Notice(ControlNotice::Speakers { participants }) if participants.is_empty()
    )));
}

#[test]
fn an_answer_that_is_no_answer_is_refused() {
    let now = Instant::now();
    let local = "127.0.0.1:4000".parse().unwrap();
    let (mut peer, _) = Peer::offer(&layout(), local, now).unwrap();
    let refused = peer.accept_answer(now, "nonsense");
    assert!(matches!(refused, Err(PeerError::Answer(_))), "{refused:?}");
    let again = peer.accept_answer(now, "nonsense");
    assert!(matches!(again, Err(PeerError::UnexpectedAnswer)));
}
