//! Janus' VideoRoom, over its WebSocket API: a session with one handle for the bot as a
//! participant, on which it publishes, and another for everything that it receives
//! (<https://janus.conf.meetecho.com/docs/videoroom>). Candidates come with the
//! descriptions, none are trickled.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use conclave_protocol::signal::Source;
use serde_json::{Value, json};

use self::{
    message::{Message, Publisher, Room, Who},
    subscription::{Ask, Change, Subscription, wanted},
};
use super::{
    Action, Input, LegId, Milestone, Note, Seat, Sections, Signalling, SignallingError, View,
};
use crate::{
    bot::peer::{Layout, TrackLayout},
    media::Codec,
};

mod message;
mod request;
mod subscription;
#[cfg(test)]
mod tests;

/// For the header `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "janus-protocol";
/// The largest room number that JSON readers agree on.
pub const LARGEST_ROOM: u64 = (1 << 53) - 1;

const PLUGIN: &str = "janus.plugin.videoroom";
/// Sessions end after a minute of silence by default.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
const NO_SUCH_FEED: u32 = 428;
const ROOM_EXISTS: u32 = 427;
const NOT_PUBLISHED: u32 = 435;
/// The peer connection that receives; those that send count on from it.
const RECEIVING: LegId = LegId(0);

/// What a request was about, to understand its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Session,
    Participant,
    Room,
    Join,
    Publish(LegId),
    Unpublish,
    Subscriber,
    Subscribe,
    /// Nothing comes of the answer.
    Else,
}

/// The peer connection that sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Sending {
    #[default]
    Off,
    /// With these tracks, on its way.
    Opening(LegId, Vec<Source>),
    /// With these tracks.
    Open(LegId, Vec<Source>),
    /// Janus has not hung up yet.
    Closing,
}

/// One bot's conversation.
pub struct Conversation {
    room: u64,
    name: String,
    layout: Layout,
    publishing: Vec<Source>,
    view: View,
    asked: HashMap<String, Asked>,
    requests: u64,
    session: Option<u64>,
    keep_alive_at: Option<Instant>,
    participant: Option<u64>,
    private_id: Option<u64>,
    subscriber: Option<u64>,
    joined: bool,
    publishers: Vec<Publisher>,
    sending: Sending,
    last_leg: LegId,
    subscription: Subscription,
    receives: bool,
    told: bool,
    actions: VecDeque<Action>,
}

impl Conversation {
    /// Begins at [`Input::Open`]. The first bot in the room makes it.
    ///
    /// # Errors
    ///
    /// Refuses tracks in different video codecs: Janus takes one from each participant.
    pub fn new(room: u64, seat: &Seat) -> Result<Self, SignallingError> {
        let tracks = &seat.layout.tracks;
        let mut codecs = tracks.iter().filter(|track| track.source.is_video());
        let first = codecs.next().map(|track| track.codec);
        if codecs.any(|track| Some(track.codec) != first) {
            return Err(SignallingError::Unsupported(
                "Janus takes one video codec from each participant: \
                 let camera and screen have the same",
            ));
        }
        Ok(Self {
            room,
            name: seat.name.clone(),
            publishing: seat.on.clone(),
            layout: seat.layout.clone(),
            view: seat.view,
            asked: HashMap::new(),
            requests: 0,
            session: None,
            keep_alive_at: None,
            participant: None,
            private_id: None,
            subscriber: None,
            joined: false,
            publishers: Vec::new(),
            sending: Sending::Off,
            last_leg: RECEIVING,
            subscription: Subscription::default(),
            receives: false,
            told: false,
            actions: VecDeque::new(),
        })
    }

    // --- what is said ---------------------------------------------------------------------

    /// Sends a request, with what every request bears.
    fn send(&mut self, asked: Asked, mut request: Value) {
        self.requests += 1;
        let transaction = self.requests.to_string();
        request["transaction"] = json!(transaction);
        if let Some(session) = self.session {
            request["session_id"] = json!(session);
        }
        self.asked.insert(transaction, asked);
        self.actions.push_back(Action::Text(request.to_string()));
    }

    fn tell(&mut self, asked: Asked, handle: Option<u64>, body: &Value, jsep: Option<Value>) {
        let mut request = json!({"janus": "message", "handle_id": handle, "body": body});
        if let Some(jsep) = jsep {
            request["jsep"] = jsep;
        }
        self.send(asked, request);
    }

    fn attach(&mut self, asked: Asked) {
        self.send(asked, json!({"janus": "attach", "plugin": PLUGIN}));
    }

    fn publish(&mut self, leg: LegId, sdp: &str, sections: &Sections) {
        let body = request::publish(self.video_codec(), sections);
        let jsep = Some(request::jsep("offer", sdp));
        self.tell(Asked::Publish(leg), self.participant, &body, jsep);
    }

    fn change(&mut self, change: &Change) {
        let asked = match change {
            Change::Join(_) | Change::Update { .. } => Asked::Subscribe,
            Change::Layers(_) => Asked::Else,
        };
        let body = request::change(change, self.room, self.private_id);
        self.tell(asked, self.subscriber, &body, None);
    }

    fn join(&mut self) {
        let body = request::join(self.room, &self.name);
        self.tell(Asked::Join, self.participant, &body, None);
    }

    // --- what is heard --------------------------------------------------------------------

    fn hear(&mut self, now: Instant, text: &str) -> Result<(), SignallingError> {
        let message: Message = serde_json::from_str(text)
            .map_err(|error| SignallingError::Protocol(error.to_string()))?;
        if message.janus == "ack" {
            // The answer proper follows, except to a sign of life.
            return Ok(());
        }
        let asked = message
            .transaction
            .as_ref()
            .and_then(|transaction| self.asked.remove(transaction));
        match message.janus.as_str() {
            "error" => {
                let said = message.error.map_or_else(String::new, |failure| {
                    format!("{} ({})", failure.reason, failure.code)
                });
                Err(SignallingError::Refused(said))
            }
            "timeout" => Err(SignallingError::Refused("the session timed out".to_owned())),
            "hangup" => self.hung_up(message.sender, message.reason.as_deref()),
            "success" | "event" => {
                self.session_answered(now, asked, message.data.map(|made| made.id));
                let room = message.plugindata.map(|plugin| plugin.data);
                self.room_said(
                    message.sender,
                    asked,
                    room.unwrap_or_default(),
                    message.jsep,
                )
            }
            // "webrtcup", "media", "slowlink", "detached": the peers know better.
            _ => Ok(()),
        }
    }

    fn session_answered(&mut self, now: Instant, asked: Option<Asked>, made: Option<u64>) {
        match asked {
            Some(Asked::Session) => {
                self.session = made;
                self.keep_alive_at = Some(now + KEEP_ALIVE);
                self.attach(Asked::Participant);
            }
            Some(Asked::Participant) => {
                self.participant = made;
                let body = request::create(self.room);
                self.tell(Asked::Room, self.participant, &body, None);
            }
            Some(Asked::Subscriber) => {
                self.subscriber = made;
                self.subscription.attached();
            }
            _ => {}
        }
    }

    fn room_said(
        &mut self,
        sender: Option<u64>,
        asked: Option<Asked>,
        room: Room,
        jsep: Option<message::Jsep>,
    ) -> Result<(), SignallingError> {
        if let Some(code) = room.error_code {
            match (asked, code) {
                (Some(Asked::Room), ROOM_EXISTS) => self.join(),
                // The end of the peer connection was there before the request.
                (Some(Asked::Unpublish), NOT_PUBLISHED) => {}
                // It has left; the word of it is on its way.
                (Some(Asked::Subscribe), NO_SUCH_FEED) => self.subscription.refused(),
                _ => {
                    let said = room.error.unwrap_or_default();
                    return Err(SignallingError::Refused(format!("{said} ({code})")));
                }
            }
            return Ok(());
        }
        match asked {
            Some(Asked::Room) => self.join(),
            Some(Asked::Join) => {
                self.joined = true;
                self.private_id = room.private_id;
                self.note(Note::Reached(Milestone::Admitted));
            }
            Some(Asked::Publish(leg)) => {
                let sdp = jsep
                    .ok_or_else(|| protocol("no answer to what was published"))?
                    .sdp;
                self.actions.push_back(Action::Answer { leg, sdp });
                return Ok(());
            }
            _ => {}
        }
        if sender.is_some() && sender == self.subscriber {
            self.subscription_said(room, jsep);
        } else {
            self.who_publishes(room);
        }
        Ok(())
    }

    fn subscription_said(&mut self, room: Room, jsep: Option<message::Jsep>) {
        match (jsep, room.videoroom.as_str()) {
            (Some(jsep), _) if jsep.kind == "offer" => {
                self.subscription.offered(room.streams.unwrap_or_default());
                let (leg, sdp) = (RECEIVING, jsep.sdp);
                self.actions.push_back(Action::Accept { leg, sdp });
            }
            (_, "updating") => self.subscription.put_off(),
            (_, "updated") => self.subscription.unchanged(),
            _ if room.started.is_some() => self.subscription.started(),
            _ => {}
        }
    }

    fn who_publishes(&mut self, room: Room) {
        for who in [room.unpublished, room.leaving].into_iter().flatten() {
            if let Who::Feed(gone) = who {
                self.publishers.retain(|publisher| publisher.id != gone);
            }
        }
        for news in room.publishers {
            match self.publishers.iter_mut().find(|known| known.id == news.id) {
                Some(known) => *known = news,
                None => self.publishers.push(news),
            }
        }
    }

    fn hung_up(
        &mut self,
        sender: Option<u64>,
        reason: Option<&str>,
    ) -> Result<(), SignallingError> {
        if sender == self.participant && self.sending == Sending::Closing {
            self.sending = Sending::Off;
            return Ok(());
        }
        let reason = reason.unwrap_or("no reason");
        Err(SignallingError::Refused(format!(
            "Janus closed a peer connection: {reason}"
        )))
    }

    // --- what follows ---------------------------------------------------------------------

    /// Publishes what is to be published now. A change closes the peer connection and makes
    /// another, which is how participants of Janus begin and stop.
    fn send_media(&mut self) {
        match &self.sending {
            Sending::Off if !self.publishing.is_empty() && self.joined => {
                self.last_leg = LegId(self.last_leg.0.wrapping_add(1).max(1));
                let leg = self.last_leg;
                self.sending = Sending::Opening(leg, self.publishing.clone());
                let layout = self.sent_layout();
                self.actions.push_back(Action::Offer { leg, layout });
            }
            Sending::Open(leg, tracks) if *tracks != self.publishing => {
                let leg = *leg;
                self.sending = Sending::Closing;
                let body = json!({"request": "unpublish"});
                self.tell(Asked::Unpublish, self.participant, &body, None);
                self.actions.push_back(Action::Close(leg));
            }
            _ => {}
        }
    }

    fn sent_layout(&self) -> Layout {
        let publishes = |track: &&TrackLayout| self.publishing.contains(&track.source);
        Layout {
            tracks: self
                .layout
                .tracks
                .iter()
                .filter(publishes)
                .copied()
                .collect(),
            codecs: self.video_codec().into_iter().collect(),
            ..Layout::default()
        }
    }

    fn video_codec(&self) -> Option<Codec> {
        let mut tracks = self.layout.tracks.iter();
        let video = tracks.find(|track| track.source.is_video());
        video.map(|track| track.codec)
    }

    fn receive_media(&mut self) {
        if !self.joined {
            return;
        }
        let wanted = wanted(&self.publishers, self.view, &self.layout.slots);
        match self.subscription.advance(&wanted) {
            Some(Ask::Handle) => self.attach(Asked::Subscriber),
            Some(Ask::Change(change)) => self.change(&change),
            None => {}
        }
        let sends = self.publishing.is_empty() || matches!(self.sending, Sending::Open(..));
        if sends && (self.receives || wanted.is_empty()) && !self.told {
            self.told = true;
            self.note(Note::Reached(Milestone::InCall));
        }
    }

    fn note(&mut self, note: Note) {
        self.actions.push_back(Action::Note(note));
    }
}

impl Signalling for Conversation {
    fn handle(&mut self, now: Instant, input: Input) -> Result<(), SignallingError> {
        match input {
            Input::Open => self.send(Asked::Session, json!({"janus": "create"})),
            Input::Text(text) => self.hear(now, &text)?,
            Input::Description { leg, sdp, .. } if leg == RECEIVING => {
                self.subscription.answered();
                let (body, jsep) = (json!({"request": "start"}), request::jsep("answer", &sdp));
                self.tell(Asked::Else, self.subscriber, &body, Some(jsep));
            }
            Input::Description { leg, sdp, sections } => self.publish(leg, &sdp, &sections),
            Input::Connected(RECEIVING) => self.receives = true,
            Input::Connected(leg) => {
                if let Sending::Opening(opening, tracks) = &mut self.sending
                    && *opening == leg
                {
                    self.sending = Sending::Open(leg, std::mem::take(tracks));
                }
            }
            Input::Timeout => {
                if self.keep_alive_at.is_some_and(|at| at <= now) {
                    self.keep_alive_at = Some(now + KEEP_ALIVE);
                    self.send(Asked::Else, json!({"janus": "keepalive"}));
                }
            }
            Input::Publish(sources) => self.publishing = sources,
            Input::View(view) => self.view = view,
            Input::Leave => {
                self.send(Asked::Else, json!({"janus": "destroy"}));
                return Ok(());
            }
            Input::Response { .. } | Input::ChannelOpen(_) | Input::ChannelData(..) => {}
        }
        self.send_media();
        self.receive_media();
        Ok(())
    }

    fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.keep_alive_at
    }
}

fn protocol(problem: &str) -> SignallingError {
    SignallingError::Protocol(problem.to_owned())
}
