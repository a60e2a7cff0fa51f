//! Conversations with what Janus 1.1.2 said, word for word but for its numbers and the
//! session descriptions, which nobody reads here.

use conclave_protocol::control::PixelSize;

use super::*;

mod receiving;

const SESSION: u64 = 446_413_387_529_101;
const PARTICIPANT: u64 = 6_628_941_389_668_056;
const SUBSCRIBER: u64 = 5_241_292_047_343_620;

fn track(source: Source) -> TrackLayout {
    let codec = if source.is_video() {
        Codec::Vp8
    } else {
        Codec::Opus
    };
    TrackLayout {
        source,
        codec,
        layers: 1,
    }
}

fn publisher() -> Seat {
    let tracks = vec![track(Source::Microphone), track(Source::Camera)];
    seat(tracks, Vec::new())
}

fn viewer() -> Seat {
    let mut slots = vec![Source::Camera; 3];
    slots.extend([Source::Microphone, Source::Microphone, Source::Screen]);
    seat(Vec::new(), slots)
}

fn seat(tracks: Vec<TrackLayout>, slots: Vec<Source>) -> Seat {
    Seat {
        number: 0,
        name: "Bot 1".to_owned(),
        is_member: true,
        on: tracks.iter().map(|track| track.source).collect(),
        layout: Layout {
            tracks,
            slots,
            codecs: vec![Codec::Vp8, Codec::Vp9],
            channel: None,
            largest_first: false,
        },
        view: view(0, 2, 360),
    }
}

fn view(page: usize, tiles: usize, height: u16) -> View {
    let width = height * 16 / 9;
    View {
        page,
        tiles,
        size: PixelSize { width, height },
    }
}

/// A conversation and what it wants done, the requests apart.
struct Rig {
    conversation: Conversation,
    now: Instant,
    requests: VecDeque<Value>,
    actions: VecDeque<Action>,
}

impl Rig {
    fn new(seat: &Seat) -> Self {
        let mut rig = Self {
            conversation: Conversation::new(1_234, seat).unwrap(),
            now: Instant::now(),
            requests: VecDeque::new(),
            actions: VecDeque::new(),
        };
        rig.input(Input::Open);
        rig
    }

    fn try_input(&mut self, input: Input) -> Result<(), SignallingError> {
        self.conversation.handle(self.now, input)?;
        while let Some(action) = self.conversation.poll() {
            match action {
                Action::Text(text) => self
                    .requests
                    .push_back(serde_json::from_str(&text).unwrap()),
                action => self.actions.push_back(action),
            }
        }
        Ok(())
    }

    fn input(&mut self, input: Input) {
        self.try_input(input).unwrap();
    }

    /// The oldest request that was not looked at.
    fn request(&mut self) -> Value {
        self.requests.pop_front().unwrap()
    }

    /// The body of the oldest request, which is to this handle.
    fn body(&mut self, handle: u64) -> Value {
        let request = self.request();
        assert_eq!(request["handle_id"], handle, "{request}");
        request["body"].clone()
    }

    fn hear(&mut self, message: &Value) {
        self.input(Input::Text(message.to_string()));
    }

    /// Looks at the oldest request and answers it.
    fn answer(&mut self, mut message: Value) -> Value {
        let request = self.request();
        message["transaction"] = request["transaction"].clone();
        self.hear(&json!({"janus": "ack", "transaction": message["transaction"]}));
        self.hear(&message);
        request
    }

    fn answer_with(&mut self, handle: u64, data: &Value) -> Value {
        self.answer(event(handle, data))["body"].clone()
    }

    fn offer(&mut self, handle: u64, data: &Value) -> Value {
        let mut message = event(handle, data);
        message["jsep"] = json!({"type": "offer", "sdp": "v=0 Janus' offer"});
        self.answer(message)["body"].clone()
    }

    /// Takes Janus' offer, up to the answer that it takes.
    fn accept(&mut self) {
        let accept = self.actions.pop_front();
        assert!(
            matches!(&accept, Some(Action::Accept { leg: RECEIVING, sdp }) if sdp == "v=0 Janus' offer"),
            "{accept:?}"
        );
        self.input(Input::Description {
            leg: RECEIVING,
            sdp: "v=0 answer".to_owned(),
            sections: Sections::default(),
        });
        let started = json!({"videoroom": "event", "room": 1234, "started": "ok"});
        let request = self.answer(event(SUBSCRIBER, &started));
        assert_eq!(request["body"], json!({"request": "start"}));
        let jsep = json!({"type": "answer", "sdp": "v=0 answer", "trickle": false});
        assert_eq!(request["jsep"], jsep);
    }

    fn reached(&mut self, milestone: Milestone) -> bool {
        let reached =
            |action: &Action| matches!(action, Action::Note(Note::Reached(it)) if *it == milestone);
        let place = self.actions.iter().position(reached);
        place.is_some_and(|at| self.actions.remove(at).is_some())
    }

    /// Up to being in the room with these publishers.
    fn joined(seat: &Seat, publishers: &Value) -> Self {
        let mut rig = Self::new(seat);
        let request = rig.answer(json!({"janus": "success", "data": {"id": SESSION}}));
        assert_eq!(request["janus"], "create");
        let request = rig.answer(
            json!({"janus": "success", "session_id": SESSION, "data": {"id": PARTICIPANT}}),
        );
        assert_eq!(
            (&request["janus"], &request["plugin"]),
            (&json!("attach"), &json!(PLUGIN))
        );
        let created = json!({"videoroom": "created", "room": 1234, "permanent": false});
        let body = rig.answer_with(PARTICIPANT, &created);
        assert_eq!(
            (&body["request"], &body["room"]),
            (&json!("create"), &json!(1_234))
        );
        let joined = json!({
            "videoroom": "joined", "room": 1234, "description": "Room 1234",
            "id": 8_353_297_750_542_080_u64, "private_id": 3_234_013_427_u64, "publishers": publishers,
        });
        let body = rig.answer_with(PARTICIPANT, &joined);
        assert_eq!(
            body,
            json!({"request": "join", "ptype": "publisher", "room": 1234, "display": "Bot 1"})
        );
        assert!(rig.reached(Milestone::Admitted));
        rig
    }

    /// Up to receiving from feeds 1 and 2.
    fn receiving() -> Self {
        let mut rig = Self::joined(&viewer(), &json!([feed(1), feed(2)]));
        rig.answer(json!({"janus": "success", "session_id": SESSION, "data": {"id": SUBSCRIBER}}));
        rig.offer(
            SUBSCRIBER,
            &subscription("attached", &[(1, "0"), (2, "0"), (1, "1"), (2, "1")]),
        );
        rig.accept();
        rig.input(Input::Connected(RECEIVING));
        assert!(rig.reached(Milestone::InCall));
        rig
    }
}

fn event(handle: u64, data: &Value) -> Value {
    json!({
        "janus": "event", "session_id": SESSION, "sender": handle,
        "plugindata": {"plugin": PLUGIN, "data": data},
    })
}

fn feed(id: u64) -> Value {
    json!({
        "id": id, "display": "Bot", "audio_codec": "opus", "video_codec": "vp8",
        "streams": [
            {"type": "audio", "mindex": 0, "mid": "0", "codec": "opus", "description": "microphone", "talking": false},
            {"type": "video", "mindex": 1, "mid": "1", "codec": "vp8", "description": "camera"},
        ],
        "talking": false,
    })
}

fn published(feeds: &Value) -> Value {
    event(
        PARTICIPANT,
        &json!({"videoroom": "event", "room": 1234, "publishers": feeds}),
    )
}

fn unpublished(feed: u64) -> Value {
    event(
        PARTICIPANT,
        &json!({"videoroom": "event", "room": 1234, "unpublished": feed}),
    )
}

fn subscription(kind: &str, lines: &[(u64, &str)]) -> Value {
    let lines: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(at, (feed, mid))| {
            json!({
                "type": if *mid == "0" { "audio" } else { "video" }, "active": true, "mindex": at,
                "mid": at.to_string(), "ready": false, "send": true, "feed_id": feed,
                "feed_display": "Bot", "feed_mid": mid,
            })
        })
        .collect();
    json!({"videoroom": kind, "room": 1234, "streams": lines})
}

#[test]
fn a_publisher_makes_the_room_and_publishes() {
    let mut rig = Rig::joined(&publisher(), &json!([]));
    let Some(Action::Offer { leg, layout }) = rig.actions.pop_front() else {
        panic!("{:?}", rig.actions);
    };
    assert_eq!(layout.tracks, publisher().layout.tracks);
    assert_eq!(
        (layout.codecs, layout.slots),
        (vec![Codec::Vp8], Vec::new())
    );

    let sections = Sections {
        tracks: vec![
            (Source::Microphone, "m".to_owned()),
            (Source::Camera, "c".to_owned()),
        ],
        slots: Vec::new(),
    };
    let sdp = "v=0 offer".to_owned();
    rig.input(Input::Description { leg, sdp, sections });
    let mut configured = event(
        PARTICIPANT,
        &json!({
            "videoroom": "event", "room": 1234, "configured": "ok", "audio_codec": "opus", "video_codec": "vp8",
            "streams": [{"type": "audio", "mindex": 0, "mid": "m", "codec": "opus"}, {"type": "video", "mindex": 1, "mid": "c", "codec": "vp8"}],
        }),
    );
    configured["jsep"] = json!({"type": "answer", "sdp": "v=0 answer"});
    let request = rig.answer(configured);
    assert_eq!(
        request["jsep"],
        json!({"type": "offer", "sdp": "v=0 offer", "trickle": false})
    );
    let body = json!({
        "request": "publish", "videocodec": "vp8",
        "descriptions": [{"mid": "m", "description": "microphone"}, {"mid": "c", "description": "camera"}],
    });
    assert_eq!(request["body"], body);
    let answer = rig.actions.pop_front();
    assert!(
        matches!(&answer, Some(Action::Answer { leg: to, sdp }) if *to == leg && sdp == "v=0 answer"),
        "{answer:?}"
    );

    assert!(!rig.reached(Milestone::InCall));
    rig.input(Input::Connected(leg));
    assert!(rig.reached(Milestone::InCall));
}

#[test]
fn a_room_that_is_there_already_is_joined() {
    let mut rig = Rig::new(&publisher());
    rig.answer(json!({"janus": "success", "data": {"id": SESSION}}));
    rig.answer(json!({"janus": "success", "session_id": SESSION, "data": {"id": PARTICIPANT}}));
    let exists =
        json!({"videoroom": "event", "error_code": 427, "error": "Room 1234 already exists"});
    rig.answer_with(PARTICIPANT, &exists);
    assert_eq!(rig.body(PARTICIPANT)["request"], "join");
}

#[test]
fn what_is_published_changes_with_a_new_peer_connection() {
    let mut rig = Rig::joined(&publisher(), &json!([]));
    let Some(Action::Offer { leg: first, .. }) = rig.actions.pop_front() else {
        panic!("{:?}", rig.actions);
    };
    rig.input(Input::Connected(first));
    assert!(rig.reached(Milestone::InCall));

    rig.input(Input::Publish(vec![Source::Microphone, Source::Camera]));
    assert!(rig.requests.is_empty() && rig.actions.is_empty());
    rig.input(Input::Publish(Vec::new()));
    assert!(matches!(rig.actions.pop_front(), Some(Action::Close(leg)) if leg == first));
    let done = json!({"videoroom": "event", "room": 1234, "unpublished": "ok"});
    assert_eq!(
        rig.answer_with(PARTICIPANT, &done),
        json!({"request": "unpublish"})
    );
    // Before Janus has hung up there is nothing new to be published.
    rig.input(Input::Publish(vec![Source::Microphone]));
    assert!(rig.actions.is_empty(), "{:?}", rig.actions);
    rig.hear(&json!({"janus": "hangup", "session_id": SESSION, "sender": PARTICIPANT, "reason": "Close PC"}));
    let Some(Action::Offer {
        leg: second,
        layout,
    }) = rig.actions.pop_front()
    else {
        panic!("{:?}", rig.actions);
    };
    assert_ne!(first, second);
    assert_eq!(layout.tracks, [track(Source::Microphone)]);
}

#[test]
fn a_peer_connection_may_end_before_janus_reads_that_it_shall() {
    let mut rig = Rig::joined(&publisher(), &json!([]));
    rig.input(Input::Connected(LegId(1)));
    rig.input(Input::Publish(Vec::new()));
    let hangup = json!({"janus": "hangup", "session_id": SESSION, "sender": PARTICIPANT, "reason": "DTLS alert"});
    rig.hear(&hangup);
    let late =
        json!({"videoroom": "event", "error_code": 435, "error": "Can't unpublish, not published"});
    assert_eq!(
        rig.answer_with(PARTICIPANT, &late),
        json!({"request": "unpublish"})
    );
}

#[test]
fn a_publisher_that_is_hung_up_on_has_failed() {
    let mut rig = Rig::joined(&publisher(), &json!([]));
    rig.input(Input::Connected(LegId(1)));
    let hangup = json!({"janus": "hangup", "session_id": SESSION, "sender": PARTICIPANT, "reason": "DTLS alert"});
    let refused = rig.try_input(Input::Text(hangup.to_string()));
    assert!(refused.is_err());
}

#[test]
fn what_janus_refuses_is_told() {
    for (message, said) in [
        (
            json!({"janus": "error", "transaction": "1", "error": {"code": 458, "reason": "No such session 77"}}),
            "the server refused: No such session 77 (458)",
        ),
        (
            event(
                PARTICIPANT,
                &json!({"videoroom": "event", "error_code": 426, "error": "No such room (4321)"}),
            ),
            "the server refused: No such room (4321) (426)",
        ),
        (
            json!({"janus": "hangup", "session_id": SESSION, "sender": SUBSCRIBER, "reason": "ICE failed"}),
            "the server refused: Janus closed a peer connection: ICE failed",
        ),
        (
            json!({"janus": "timeout", "session_id": SESSION}),
            "the server refused: the session timed out",
        ),
        (
            json!({"what": 7}),
            "the server sent a message that is not of the protocol",
        ),
    ] {
        let mut rig = Rig::new(&viewer());
        let refused = rig.try_input(Input::Text(message.to_string())).unwrap_err();
        assert!(refused.to_string().starts_with(said), "{refused}");
    }
}

#[test]
fn messages_of_no_concern_are_left_alone() {
    let mut rig = Rig::receiving();
    for message in [
        json!({"janus": "webrtcup", "session_id": SESSION, "sender": SUBSCRIBER}),
        json!({"janus": "media", "session_id": SESSION, "sender": PARTICIPANT, "mid": "1", "type": "video", "receiving": true}),
        json!({"janus": "slowlink", "session_id": SESSION, "sender": SUBSCRIBER, "mid": "1", "media": "video", "uplink": false, "lost": 3}),
        event(
            PARTICIPANT,
            &json!({"videoroom": "event", "room": 1234, "leaving": 99}),
        ),
    ] {
        rig.hear(&message);
    }
    assert!(rig.requests.is_empty() && rig.actions.is_empty());
}

#[test]
fn the_session_is_kept_alive_until_it_is_destroyed() {
    let mut rig = Rig::receiving();
    let due = rig.conversation.poll_timeout().unwrap();
    assert_eq!(due, rig.now + KEEP_ALIVE);
    rig.input(Input::Timeout);
    assert!(rig.requests.is_empty());
    rig.now = due;
    rig.input(Input::Timeout);
    let request = rig.request();
    assert_eq!(
        (&request["janus"], &request["session_id"]),
        (&json!("keepalive"), &json!(SESSION))
    );
    assert_eq!(rig.conversation.poll_timeout(), Some(due + KEEP_ALIVE));

    rig.input(Input::Leave);
    assert_eq!(rig.request()["janus"], "destroy");
}

#[test]
fn one_video_codec_a_participant() {
    let mut seat = publisher();
    let screen = TrackLayout {
        codec: Codec::Av1,
        ..track(Source::Screen)
    };
    seat.layout.tracks.push(screen);
    let refused = Conversation::new(1, &seat).err();
    assert!(
        matches!(refused, Some(SignallingError::Unsupported(_))),
        "{refused:?}"
    );
}
