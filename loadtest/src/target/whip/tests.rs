//! Conversations with the answers of the two specifications, and of servers in use.

use conclave_protocol::control::PixelSize;

use super::*;
use crate::{bot::peer::TrackLayout, media::Codec, target::Sections};

const SECOND: Duration = Duration::from_secs(1);

fn track(source: Source, codec: Codec) -> TrackLayout {
    TrackLayout {
        source,
        codec,
        layers: 1,
    }
}

fn seat(number: u32, publishes: bool, tiles: usize) -> Seat {
    let tracks = vec![
        track(Source::Microphone, Codec::Opus),
        track(Source::Camera, Codec::Vp8),
    ];
    Seat {
        number,
        name: "Bot".to_owned(),
        is_member: true,
        on: if publishes {
            vec![Source::Microphone, Source::Camera]
        } else {
            Vec::new()
        },
        layout: Layout {
            tracks: if publishes { tracks } else { Vec::new() },
            slots: [vec![Source::Microphone], vec![Source::Camera; 4]].concat(),
            codecs: vec![Codec::Vp8, Codec::Av1],
            channel: None,
            largest_first: false,
        },
        view: view(0, tiles),
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

fn endpoints() -> Endpoints {
    Endpoints {
        publish: "http://sfu:7080/whip/endpoint/{stream}".to_owned(),
        watch: "http://sfu:7090/whep/{stream}?audio".to_owned(),
        token: Some("hush".to_owned()),
        publishers: 5,
    }
}

struct Rig {
    conversation: Conversation,
    now: Instant,
    requests: VecDeque<HttpRequest>,
    actions: VecDeque<Action>,
}

impl Rig {
    fn new(seat: &Seat) -> Self {
        let mut rig = Self {
            conversation: Conversation::new(endpoints(), seat).unwrap(),
            now: Instant::now(),
            requests: VecDeque::new(),
            actions: VecDeque::new(),
        };
        rig.input(Input::Open).unwrap();
        rig
    }

    fn input(&mut self, input: Input) -> Result<(), SignallingError> {
        self.conversation.handle(self.now, input)?;
        while let Some(action) = self.conversation.poll() {
            match action {
                Action::Http(request) => self.requests.push_back(request),
                action => self.actions.push_back(action),
            }
        }
        Ok(())
    }

    fn describe(&mut self, leg: LegId, sdp: &str) {
        let sdp = sdp.to_owned();
        let sections = Sections::default();
        self.input(Input::Description { leg, sdp, sections })
            .unwrap();
    }

    /// Makes the offer that is asked for and gives the request that comes of it.
    fn offer(&mut self) -> (LegId, Layout, HttpRequest) {
        let Some(Action::Offer { leg, layout }) = self.actions.pop_front() else {
            panic!("{:?}", self.actions);
        };
        self.describe(leg, "v=0 offer");
        (leg, layout, self.requests.pop_front().unwrap())
    }

    fn respond(
        &mut self,
        to: &HttpRequest,
        status: u16,
        location: Option<&str>,
        body: &str,
    ) -> Result<(), SignallingError> {
        self.input(Input::Response {
            id: to.id,
            status,
            location: location.map(str::to_owned),
            retry_after: None,
            body: body.to_owned(),
        })
    }

    fn reached(&mut self, milestone: Milestone) -> bool {
        let reached =
            |action: &Action| matches!(action, Action::Note(Note::Reached(it)) if *it == milestone);
        let place = self.actions.iter().position(reached);
        place.is_some_and(|at| self.actions.remove(at).is_some())
    }
}

#[test]
fn a_publisher_posts_its_offer_and_deletes_its_resource() {
    let mut rig = Rig::new(&seat(2, true, 0));
    let (leg, layout, post) = rig.offer();
    assert_eq!(layout.tracks.len(), 2);
    assert_eq!(
        (layout.codecs, layout.slots),
        (vec![Codec::Vp8], Vec::new())
    );
    assert_eq!(
        (post.method, post.url.as_str()),
        ("POST", "http://sfu:7080/whip/endpoint/2")
    );
    assert_eq!(
        (post.content_type, post.body.as_str()),
        (Some(SDP), "v=0 offer")
    );
    assert_eq!(post.token.as_deref(), Some("hush"));

    rig.respond(&post, 201, Some("/whip/resource/abc"), "v=0 answer")
        .unwrap();
    let answer = rig.actions.pop_front();
    assert!(
        matches!(&answer, Some(Action::Answer { leg: to, sdp }) if *to == leg && sdp == "v=0 answer"),
        "{answer:?}"
    );
    assert!(rig.reached(Milestone::Admitted) && !rig.reached(Milestone::InCall));
    rig.input(Input::Connected(leg)).unwrap();
    assert!(rig.reached(Milestone::InCall));

    rig.input(Input::Leave).unwrap();
    let delete = rig.requests.pop_front().unwrap();
    assert_eq!(
        (delete.method, delete.url.as_str()),
        ("DELETE", "http://sfu:7080/whip/resource/abc")
    );
    assert_eq!(
        (delete.content_type, delete.token.as_deref()),
        (None, Some("hush"))
    );
    assert!(matches!(rig.actions.pop_front(), Some(Action::Close(to)) if to == leg));
}

#[test]
fn a_watcher_has_a_peer_connection_for_each_stream_of_its_page() {
    let mut rig = Rig::new(&seat(1, false, 2));
    let mut urls = Vec::new();
    let mut legs = Vec::new();
    for resource in ["a", "b"] {
        let (leg, layout, post) = rig.offer();
        assert_eq!(layout.slots, [Source::Microphone, Source::Camera]);
        assert_eq!(layout.codecs, [Codec::Vp8, Codec::Av1]);
        // Relative to the endpoint, as any Location (RFC 9110 §10.2.2).
        rig.respond(&post, 201, Some(resource), "v=0 answer")
            .unwrap();
        rig.actions
            .retain(|action| matches!(action, Action::Offer { .. }));
        urls.push(post.url);
        legs.push(leg);
    }
    // Its own number is left out.
    assert_eq!(
        urls,
        [
            "http://sfu:7090/whep/0?audio",
            "http://sfu:7090/whep/2?audio"
        ]
    );
    rig.input(Input::Connected(legs[0])).unwrap();
    assert!(!rig.reached(Milestone::InCall));
    rig.input(Input::Connected(legs[1])).unwrap();
    assert!(rig.reached(Milestone::InCall));

    rig.input(Input::View(view(1, 2))).unwrap();
    let deleted: Vec<_> = rig
        .requests
        .drain(..)
        .map(|it| (it.method, it.url))
        .collect();
    let expected = ["http://sfu:7090/whep/a", "http://sfu:7090/whep/b"];
    assert_eq!(deleted, expected.map(|url| ("DELETE", url.to_owned())));
    for leg in legs {
        assert!(matches!(rig.actions.pop_front(), Some(Action::Close(closed)) if closed == leg));
    }
    assert_eq!(rig.offer().2.url, "http://sfu:7090/whep/3?audio");
    assert_eq!(rig.offer().2.url, "http://sfu:7090/whep/4?audio");
    assert!(rig.actions.is_empty(), "{:?}", rig.actions);
}

#[test]
fn sound_that_is_not_wanted_is_not_offered() {
    let mut deaf = seat(9, false, 1);
    deaf.layout.slots.remove(0);
    assert_eq!(Rig::new(&deaf).offer().1.slots, [Source::Camera]);
}

#[test]
fn a_redirection_is_followed_but_not_for_ever() {
    let mut rig = Rig::new(&seat(0, true, 0));
    let (_, _, mut post) = rig.offer();
    for _ in 0..REDIRECTIONS {
        rig.respond(&post, 307, Some("http://other:80/{}/in"), "")
            .unwrap();
        post = rig.requests.pop_front().unwrap();
        assert_eq!((post.method, post.body.as_str()), ("POST", "v=0 offer"));
        assert_eq!(post.url, "http://other/%7B%7D/in");
    }
    let refused = rig
        .respond(&post, 307, Some("http://other/"), "")
        .unwrap_err();
    assert!(refused.to_string().contains("answered 307"), "{refused}");

    let mut rig = Rig::new(&seat(0, true, 0));
    let (_, _, post) = rig.offer();
    let refused = rig.respond(&post, 308, None, "").unwrap_err();
    assert!(
        refused.to_string().contains("308 without Location"),
        "{refused}"
    );
}

#[test]
fn the_resource_belongs_to_where_it_was_redirected() {
    let mut rig = Rig::new(&seat(0, true, 0));
    let (_, _, post) = rig.offer();
    rig.respond(&post, 307, Some("http://other/in"), "")
        .unwrap();
    let post = rig.requests.pop_front().unwrap();
    rig.respond(&post, 201, Some("/r"), "v=0 answer").unwrap();
    rig.input(Input::Leave).unwrap();
    assert_eq!(rig.requests[0].url, "http://other/r");
}

#[test]
fn a_counter_offer_is_answered_on_a_new_peer_connection() {
    let mut rig = Rig::new(&seat(9, false, 1));
    let (leg, _, post) = rig.offer();
    rig.respond(&post, 406, Some("/whep/resource/x"), "v=0 theirs")
        .unwrap();
    assert!(matches!(rig.actions.pop_front(), Some(Action::Close(old)) if old == leg));
    let Some(Action::Accept { leg: new, sdp }) = rig.actions.pop_front() else {
        panic!("{:?}", rig.actions);
    };
    assert_eq!(sdp, "v=0 theirs");
    assert_ne!(new, leg);
    rig.describe(new, "v=0 answer");
    let patch = rig.requests.pop_front().unwrap();
    assert_eq!(
        (patch.method, patch.url.as_str()),
        ("PATCH", "http://sfu:7090/whep/resource/x")
    );
    assert_eq!(
        (patch.content_type, patch.body.as_str()),
        (Some(SDP), "v=0 answer")
    );
    rig.respond(&patch, 204, None, "").unwrap();
    assert!(!rig.reached(Milestone::InCall));
    rig.input(Input::Connected(new)).unwrap();
    assert!(rig.reached(Milestone::InCall));
}

#[test]
fn a_stream_that_is_not_there_yet_is_asked_for_again() {
    let mut rig = Rig::new(&seat(9, false, 1));
    let (leg, _, mut post) = rig.offer();
    for _ in 0..TRIES {
        rig.respond(&post, 404, None, "no such stream").unwrap();
        assert!(rig.requests.is_empty());
        let due = rig.conversation.poll_timeout().unwrap();
        assert_eq!(due, rig.now + RETRY_AFTER);
        rig.input(Input::Timeout).unwrap();
        assert!(rig.requests.is_empty());
        rig.now = due;
        rig.input(Input::Timeout).unwrap();
        post = rig.requests.pop_front().unwrap();
        assert_eq!((post.method, post.body.as_str()), ("POST", "v=0 offer"));
    }
    let mut patient = Rig::new(&seat(9, false, 1));
    let (_, _, first) = patient.offer();
    patient
        .respond(&first, 201, Some("/r"), "v=0 answer")
        .unwrap();
    assert_eq!(patient.conversation.poll_timeout(), None);

    let refused = rig
        .respond(&post, 404, None, "no such stream\nat all")
        .unwrap_err();
    let said = "the server refused: http://sfu:7090/whep/0?audio answered 404: no such stream";
    assert_eq!(refused.to_string(), said);
    assert_eq!(leg, LegId(1));
}

#[test]
fn nobody_waits_for_others_to_be_in_the_call() {
    let mut rig = Rig::new(&seat(1, true, 2));
    let (own, _, post) = rig.offer();
    rig.respond(&post, 201, Some("/own"), "v=0 answer").unwrap();
    let (.., post) = {
        rig.actions
            .retain(|action| !matches!(action, Action::Answer { .. }));
        rig.reached(Milestone::Admitted);
        rig.offer()
    };
    let (late, _, repeated) = rig.offer();
    rig.respond(&post, 404, None, "").unwrap();
    rig.input(Input::Connected(own)).unwrap();
    assert!(!rig.reached(Milestone::InCall));
    rig.respond(&repeated, 500, None, "").unwrap();
    assert!(rig.reached(Milestone::InCall));

    rig.now += RETRY_AFTER;
    rig.input(Input::Timeout).unwrap();
    let (_, second) = (rig.requests.pop_front(), rig.requests.pop_front().unwrap());
    rig.respond(&second, 201, Some("/late"), "v=0 answer")
        .unwrap();
    rig.input(Input::Connected(late)).unwrap();

    let missed = rig.input(Input::Leave).unwrap_err();
    let said = "the server refused: http://sfu:7090/whep/0?audio answered 404 until the bot left";
    assert_eq!(missed.to_string(), said);
    while let Some(action) = rig.conversation.poll() {
        if let Action::Http(request) = action {
            rig.requests.push_back(request);
        }
    }
    let deleted = rig.requests.iter().map(|it| (it.method, it.url.as_str()));
    assert_eq!(
        deleted.collect::<Vec<_>>(),
        [
            ("DELETE", "http://sfu:7080/own"),
            ("DELETE", "http://sfu:7090/late")
        ]
    );
}

#[test]
fn who_only_watches_waits_for_a_busy_server() {
    let mut rig = Rig::new(&seat(9, false, 1));
    let (_, _, post) = rig.offer();
    rig.respond(&post, 503, None, "").unwrap();
    assert!(!rig.reached(Milestone::InCall));
    rig.input(Input::Leave).unwrap();
}

#[test]
fn a_publisher_waits_for_a_busy_server_but_not_for_a_wrong_endpoint() {
    for (status, waits) in [(503, true), (429, true), (404, false), (500, false)] {
        let mut rig = Rig::new(&seat(0, true, 0));
        let (_, _, post) = rig.offer();
        let responded = rig.respond(&post, status, None, "");
        assert_eq!(responded.is_ok(), waits, "{status}");
        assert_eq!(rig.conversation.poll_timeout().is_some(), waits);
    }
}

#[test]
fn a_busy_server_says_how_long_to_wait() {
    for (told, waits) in [
        (None, RETRY_AFTER),
        (Some(Duration::ZERO), RETRY_AFTER),
        (Some(7 * SECOND), 7 * SECOND),
        (Some(Duration::MAX), LONGEST_WAIT),
    ] {
        let mut rig = Rig::new(&seat(0, true, 0));
        let (_, _, post) = rig.offer();
        rig.input(Input::Response {
            id: post.id,
            status: 503,
            location: None,
            retry_after: told,
            body: String::new(),
        })
        .unwrap();
        assert_eq!(rig.conversation.poll_timeout(), Some(rig.now + waits));
    }
}

#[test]
fn what_a_server_refuses_is_told() {
    for (status, location, body, said) in [
        (403, None, "Unauthorized", "answered 403: Unauthorized"),
        (
            406,
            None,
            "Unsupported codec",
            "answered 406: Unsupported codec",
        ),
        (500, None, "", "answered 500: "),
        (200, Some("/r"), "v=0", "answered 200: v=0"),
        (201, None, "v=0", "201 without Location"),
        (406, None, "v=0", "406 without Location"),
        (201, Some("http://["), "v=0", "a Location that is no URL"),
    ] {
        let mut rig = Rig::new(&seat(0, true, 0));
        let (_, _, post) = rig.offer();
        let refused = rig.respond(&post, status, location, body).unwrap_err();
        assert!(refused.to_string().contains(said), "{status}: {refused}");
    }
}

#[test]
fn a_resource_that_comes_too_late_is_deleted() {
    let mut rig = Rig::new(&seat(9, false, 1));
    let (_, _, post) = rig.offer();
    rig.input(Input::View(view(0, 0))).unwrap();
    rig.respond(&post, 201, Some("late"), "v=0 answer").unwrap();
    let delete = rig.requests.pop_front().unwrap();
    assert_eq!(
        (delete.method, delete.url.as_str()),
        ("DELETE", "http://sfu:7090/whep/late")
    );
    // What is answered to that is of no concern.
    rig.respond(&delete, 500, None, "").unwrap();
    assert!(rig.requests.is_empty());
}

#[test]
fn what_whip_cannot_carry_is_refused_at_once() {
    let mut with_screen = seat(0, true, 0);
    with_screen
        .layout
        .tracks
        .push(track(Source::Screen, Codec::Vp8));
    let refused = Conversation::new(endpoints(), &with_screen).err();
    assert!(
        matches!(refused, Some(SignallingError::Unsupported(_))),
        "{refused:?}"
    );
    let server = endpoints().server().unwrap();
    assert_eq!(server.host_and_port(), ("sfu", 7_080));
    for url in [
        "sfu/whip",
        "https://sfu/whip",
        "http:",
        "ftp://sfu/{stream}",
    ] {
        let mut endpoints = endpoints();
        endpoints.watch = url.to_owned();
        assert!(endpoints.server().is_err());
        let refused = Conversation::new(endpoints, &seat(0, true, 0)).err();
        assert!(
            matches!(refused, Some(SignallingError::Endpoint(..))),
            "{url}: {refused:?}"
        );
    }
}
