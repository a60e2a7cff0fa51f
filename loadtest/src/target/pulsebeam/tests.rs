//! Conversations with what PulseBeam 0.4 says. The bytes of messages are as `protoc` makes
//! them.

use conclave_protocol::control::PixelSize;

use super::{
    message::{Filling, Track},
    *,
};
use crate::bot::peer::TrackLayout;

fn track(source: Source, codec: Codec, layers: u8) -> TrackLayout {
    TrackLayout {
        source,
        codec,
        layers,
    }
}

fn view(page: usize, tiles: usize) -> View {
    View {
        page,
        tiles,
        size: PixelSize {
            width: 640,
            height: 360,
        },
    }
}

fn seat() -> Seat {
    Seat {
        number: 0,
        name: "Bot".to_owned(),
        is_member: true,
        on: vec![Source::Microphone],
        layout: Layout {
            tracks: vec![
                track(Source::Microphone, Codec::Opus, 1),
                track(Source::Camera, Codec::H264, 3),
            ],
            slots: vec![
                Source::Camera,
                Source::Camera,
                Source::Microphone,
                Source::Screen,
            ],
            codecs: vec![Codec::H264, Codec::Vp8],
            channel: None,
            largest_first: false,
        },
        view: view(0, 2),
    }
}

fn begin(seat: &Seat) -> Result<Conversation, SignallingError> {
    let server = "http://sfu:7070".parse().unwrap();
    Conversation::new(&server, "load-test-1", seat)
}

struct Rig {
    conversation: Conversation,
    now: Instant,
    actions: VecDeque<Action>,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self {
            conversation: begin(&seat()).unwrap(),
            now: Instant::now(),
            actions: VecDeque::new(),
        };
        rig.input(Input::Open).unwrap();
        rig
    }

    /// In the call, with everything said that there is to say.
    fn in_call() -> Self {
        let mut rig = Self::new();
        rig.post();
        rig.respond(201, Some("http://sfu:7070/api/v1/it?manual_sub=true"))
            .unwrap();
        rig.input(Input::Connected(LEG)).unwrap();
        rig.input(Input::ChannelOpen(LEG)).unwrap();
        rig.actions.clear();
        rig
    }

    fn input(&mut self, input: Input) -> Result<(), SignallingError> {
        self.conversation.handle(self.now, input)?;
        while let Some(action) = self.conversation.poll() {
            self.actions.push_back(action);
        }
        Ok(())
    }

    /// Makes the offer that is asked for, and gives the request that comes of it.
    fn post(&mut self) -> HttpRequest {
        assert!(matches!(
            self.actions.pop_front(),
            Some(Action::Offer { leg: LEG, .. })
        ));
        let name = |(source, name): (Source, &str)| (source, name.to_owned());
        let tracks = [(Source::Microphone, "m0"), (Source::Camera, "c0")];
        let slots = [
            (Source::Camera, "s1"),
            (Source::Camera, "s2"),
            (Source::Microphone, "s3"),
        ];
        self.input(Input::Description {
            leg: LEG,
            sdp: "v=0 offer".to_owned(),
            sections: Sections {
                tracks: tracks.map(name).into(),
                slots: slots.map(name).into(),
            },
        })
        .unwrap();
        self.request()
    }

    fn request(&mut self) -> HttpRequest {
        match self.actions.pop_front() {
            Some(Action::Http(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn respond(&mut self, status: u16, location: Option<&str>) -> Result<(), SignallingError> {
        self.input(Input::Response {
            id: RequestId(self.conversation.requests),
            status,
            location: location.map(str::to_owned),
            retry_after: None,
            body: "v=0 answer\nmore".to_owned(),
        })
    }

    fn hear(&mut self, said: Said) -> Result<(), SignallingError> {
        let message = ServerMessage { said: Some(said) };
        self.input(Input::ChannelData(LEG, message.encode_to_vec()))
    }

    /// The next update: these pictures have come, and this comes on sections.
    fn update(&mut self, tracks: &[&str], gone: &[&str], fillings: &[(&str, bool)]) {
        let number = self.conversation.heard + 1;
        let own = |text: &&str| (*text).to_owned();
        let track = |id: &&str| Track {
            id: own(id),
            kind: Kind::Video.into(),
        };
        let filling = |(section, flows): &(&str, bool)| Filling {
            section: own(section),
            is_paused: !flows,
        };
        self.hear(Said::Update(Update {
            number,
            tracks: tracks.iter().map(track).collect(),
            tracks_gone: gone.iter().map(own).collect(),
            fillings: fillings.iter().map(filling).collect(),
            ..Update::default()
        }))
        .unwrap();
    }

    /// What was said on the channel.
    fn said(&mut self) -> Option<Saying> {
        let is_saying = |action: &Action| matches!(action, Action::Channel(LEG, _));
        let at = self.actions.iter().position(is_saying)?;
        match self.actions.remove(at) {
            Some(Action::Channel(_, bytes)) => ClientMessage::decode(&bytes[..]).unwrap().saying,
            _ => None,
        }
    }

    /// Which picture is wanted on which section.
    fn wished(&mut self) -> Vec<(String, String)> {
        match self.said() {
            Some(Saying::Intent(intent)) => {
                let wishes = intent.pictures.into_iter();
                wishes.map(|wish| (wish.section, wish.track)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn interrupted(&mut self) -> Vec<String> {
        let actions = self.actions.drain(..);
        let sections = actions.filter_map(|action| match action {
            Action::Note(Note::Interrupted { leg: LEG, section }) => Some(section),
            _ => None,
        });
        sections.collect()
    }
}

fn wishes(wishes: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(section, track): &(&str, &str)| ((*section).to_owned(), (*track).to_owned());
    wishes.iter().map(own).collect()
}

#[test]
fn an_offer_is_posted_and_its_resource_deleted() {
    let mut rig = Rig::new();
    let Some(Action::Offer { layout, .. }) = rig.actions.front() else {
        panic!("{:?}", rig.actions);
    };
    assert_eq!(layout.tracks, seat().layout.tracks);
    assert_eq!(
        layout.slots,
        [Source::Camera, Source::Camera, Source::Microphone]
    );
    assert_eq!(layout.codecs, [Codec::H264]);
    assert!(layout.largest_first);
    let request = rig.post();
    assert_eq!((request.method, &request.body[..]), ("POST", "v=0 offer"));
    assert_eq!(
        request.url,
        "http://sfu:7070/api/v1/rooms/load-test-1/participants?manual_sub=true"
    );
    assert_eq!(request.content_type, Some("application/sdp"));

    rig.respond(201, Some("/api/v1/it")).unwrap();
    assert!(matches!(
        rig.actions.pop_front(),
        Some(Action::Answer { leg: LEG, sdp }) if sdp.starts_with("v=0 answer")
    ));
    assert!(matches!(
        rig.actions.pop_front(),
        Some(Action::Note(Note::Reached(Milestone::Admitted)))
    ));
    rig.input(Input::Leave).unwrap();
    let request = rig.request();
    assert_eq!(
        (request.method, &request.url[..]),
        ("DELETE", "http://sfu:7070/api/v1/it")
    );
}

#[test]
fn it_is_in_the_call_when_media_and_channel_are_there() {
    let reached = |rig: &Rig| {
        let mut actions = rig.actions.iter();
        actions.any(|action| matches!(action, Action::Note(Note::Reached(Milestone::InCall))))
    };
    let mut rig = Rig::new();
    rig.post();
    rig.respond(201, Some("/it")).unwrap();
    rig.input(Input::Connected(LEG)).unwrap();
    assert!(!reached(&rig));
    assert!(rig.said().is_none());
    rig.input(Input::ChannelOpen(LEG)).unwrap();
    assert!(reached(&rig));
    assert!(rig.said().is_some());
}

#[test]
fn a_busy_server_is_asked_again_and_others_refuse() {
    let mut rig = Rig::new();
    let first = rig.post();
    rig.respond(503, None).unwrap();
    assert_eq!(rig.conversation.poll_timeout(), Some(rig.now + RETRY_AFTER));
    rig.input(Input::Timeout).unwrap();
    assert!(rig.actions.is_empty(), "it is too early");
    rig.now += RETRY_AFTER;
    rig.input(Input::Timeout).unwrap();
    let second = rig.request();
    assert_eq!((second.url, second.body), (first.url, first.body));
    assert_ne!(second.id, first.id);

    let refused = rig.respond(400, None).unwrap_err().to_string();
    assert_eq!(refused, "the server refused: 400: v=0 answer");
    let mut rig = Rig::new();
    rig.post();
    assert!(matches!(
        rig.respond(201, None),
        Err(SignallingError::Protocol(_))
    ));
}

#[test]
fn messages_are_those_of_the_protocol() {
    let intent = Intent {
        pictures: vec![Wish {
            section: "aZ1".to_owned(),
            track: "tr_v".to_owned(),
            height: 360,
        }],
        sendings: [("m0", true), ("c0", false)]
            .map(|(section, is_on)| Sending {
                section: section.to_owned(),
                is_on,
            })
            .into(),
    };
    let bytes = |saying| {
        ClientMessage {
            saying: Some(saying),
        }
        .encode_to_vec()
    };
    assert_eq!(
        bytes(Saying::Intent(intent)),
        b"\x0a\x1e\x0a\x0e\x0a\x03aZ1\x12\x04tr_v\x18\xe8\x02\
          \x12\x06\x0a\x02m0\x10\x01\x12\x04\x0a\x02c0"
    );
    assert_eq!(bytes(Saying::Resync(true)), b"\x10\x01");

    let read = |bytes: &[u8]| ServerMessage::decode(bytes).unwrap().said;
    let track = |id: &str, kind: Kind| Track {
        id: id.to_owned(),
        kind: kind.into(),
    };
    let filling = |section: &str, is_paused| Filling {
        section: section.to_owned(),
        is_paused,
    };
    let whole = b"\x0a\x28\x08\x01\x10\x01\x1a\x0a\x0a\x02va\x10\x01\x1a\x02p1\
                  \x1a\x0a\x0a\x02au\x10\x02\x1a\x02p1\x2a\x0a\x0a\x02s1\x12\x02va\x18\x01";
    assert_eq!(
        read(whole),
        Some(Said::Update(Update {
            number: 1,
            is_whole: true,
            tracks: vec![track("va", Kind::Video), track("au", Kind::Audio)],
            fillings: vec![filling("s1", true)],
            ..Update::default()
        }))
    );
    let change = b"\x0a\x14\x08\x02\x22\x02va\x2a\x08\x0a\x02s2\x12\x02vb\x32\x02s1";
    assert_eq!(
        read(change),
        Some(Said::Update(Update {
            number: 2,
            tracks_gone: vec!["va".to_owned()],
            fillings: vec![filling("s2", false)],
            sections_emptied: vec!["s1".to_owned()],
            ..Update::default()
        }))
    );
    assert_eq!(read(b"\x12\x02no"), Some(Said::Error("no".to_owned())));
}

#[test]
fn what_is_not_of_the_protocol_ends_the_stay() {
    // The second is of a later protocol, the third is of none that is known.
    for bytes in [
        &b"\xff"[..],
        b"\x0a\x12\x0a\x04\x0a\x02p1\x1a\x0a\x0a\x02va\x12\x02p1\x18\x01",
        b"\x1a\x02no",
    ] {
        let heard = Rig::in_call().input(Input::ChannelData(LEG, bytes.to_vec()));
        assert!(
            matches!(heard, Err(SignallingError::Protocol(_))),
            "{bytes:?}: {heard:?}"
        );
    }
    let refused = Rig::in_call().hear(Said::Error("no".to_owned()));
    assert!(matches!(refused, Err(SignallingError::Refused(_))));
}

#[test]
fn a_page_of_the_pictures_is_wanted_and_each_keeps_its_section() {
    let mut rig = Rig::in_call();
    rig.update(&["a"], &[], &[]);
    assert_eq!(rig.wished(), wishes(&[("s1", "a")]));
    rig.update(&["b", "c"], &[], &[]);
    assert_eq!(rig.wished(), wishes(&[("s1", "a"), ("s2", "b")]));
    rig.update(&["d"], &[], &[]);
    assert!(rig.said().is_none(), "it is on another page");
    rig.update(&[], &["a"], &[]);
    assert_eq!(rig.wished(), wishes(&[("s1", "c"), ("s2", "b")]));
    rig.input(Input::View(view(1, 2))).unwrap();
    assert_eq!(rig.wished(), wishes(&[("s1", "d")]));
}

#[test]
fn voices_are_not_asked_for() {
    let mut rig = Rig::in_call();
    rig.hear(Said::Update(Update {
        number: 1,
        tracks: vec![Track {
            id: "voice".to_owned(),
            kind: Kind::Audio.into(),
        }],
        ..Update::default()
    }))
    .unwrap();
    assert!(rig.said().is_none());
}

#[test]
fn a_missed_update_is_asked_for() {
    let mut rig = Rig::in_call();
    rig.update(&["a"], &[], &[]);
    rig.actions.clear();
    rig.conversation.heard += 1;
    let missed = Update {
        number: 2,
        tracks_gone: vec!["a".to_owned()],
        ..Update::default()
    };
    rig.hear(Said::Update(missed)).unwrap();
    assert_eq!(rig.said(), Some(Saying::Resync(true)));
    assert!(rig.said().is_none(), "what was missed is not known");
    let whole = Update {
        number: 9,
        is_whole: true,
        tracks: vec![Track {
            id: "b".to_owned(),
            kind: Kind::Video.into(),
        }],
        ..Update::default()
    };
    rig.hear(Said::Update(whole)).unwrap();
    assert_eq!(rig.wished(), wishes(&[("s1", "b")]));
    assert_eq!(rig.conversation.heard, 9);
}

#[test]
fn what_goes_off_and_on_is_told() {
    let sent = |rig: &mut Rig| match rig.said() {
        Some(Saying::Intent(intent)) => {
            let sendings = intent.sendings.into_iter();
            let sent: Vec<_> = sendings.map(|it| (it.section, it.is_on)).collect();
            sent
        }
        other => panic!("{other:?}"),
    };
    let told = |microphone, camera| [("m0".to_owned(), microphone), ("c0".to_owned(), camera)];
    let mut rig = Rig::new();
    rig.post();
    rig.respond(201, Some("/it")).unwrap();
    rig.input(Input::ChannelOpen(LEG)).unwrap();
    assert_eq!(sent(&mut rig), told(true, false));
    rig.input(Input::Publish(vec![Source::Camera])).unwrap();
    assert_eq!(sent(&mut rig), told(false, true));
    rig.input(Input::Publish(vec![Source::Camera])).unwrap();
    assert!(rig.said().is_none(), "it is said already");
}

#[test]
fn what_stops_coming_is_noted() {
    let mut rig = Rig::in_call();
    rig.update(&["a", "b", "c"], &[], &[("s1", true), ("s2", true)]);
    assert!(rig.interrupted().is_empty());
    rig.update(&[], &[], &[("s1", false)]);
    assert_eq!(rig.interrupted(), ["s1"]);
    rig.update(&[], &[], &[("s1", false)]);
    assert!(rig.interrupted().is_empty(), "it had stopped already");
    let emptied = Update {
        number: 4,
        sections_emptied: vec!["s2".to_owned()],
        ..Update::default()
    };
    rig.hear(Said::Update(emptied)).unwrap();
    assert_eq!(rig.interrupted(), ["s2"]);
    rig.update(&[], &[], &[("s1", true), ("s2", true)]);
    // Something else comes on the first; the second stays empty.
    rig.input(Input::View(view(1, 2))).unwrap();
    assert_eq!(rig.interrupted(), ["s1", "s2"]);
}

#[test]
fn what_the_server_does_not_take_is_refused_with_a_remedy() {
    type Change = fn(&mut Layout);
    let cases: [(Change, &str); 4] = [
        (|it| it.tracks[1].codec = Codec::Vp8, "--codec h264"),
        (
            |it| it.tracks[1].source = Source::Screen,
            "leave out the screen",
        ),
        (|it| it.slots = vec![Source::Camera; 8], "--camera-slots 7"),
        (
            |it| it.slots = vec![Source::Microphone; 4],
            "--audio-slots 3",
        ),
    ];
    for (change, remedy) in cases {
        let mut seat = seat();
        change(&mut seat.layout);
        let refused = begin(&seat).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains(remedy), "{refused}");
    }
    let mut seat = seat();
    seat.layout.slots = [
        [Source::Camera; 7].as_slice(),
        &[Source::Microphone; 3],
        &[Source::Screen; 9],
    ]
    .concat();
    assert!(begin(&seat).is_ok());
}
