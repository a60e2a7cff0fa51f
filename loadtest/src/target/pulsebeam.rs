//! PulseBeam: one HTTP request opens the only peer connection, another ends the stay, and
//! everything else is said in protocol buffers over a data channel. The server tells who
//! sends pictures; a bot says which of them it wants on which media section, and on which
//! of its own it sends. Voices are not asked for: the loudest come.
//!
//! The protocol is that of the releases 0.4.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use conclave_protocol::signal::Source;
use prost::Message as _;
use url::Url;

use super::{
    Action, HttpRequest, Input, LegId, Milestone, Note, RequestId, Seat, Sections, Signalling,
    SignallingError, View,
};
use crate::{
    bot::peer::{Channel, Layout},
    drive::server::ServerAddress,
    media::Codec,
};

use self::message::{
    ClientMessage, Filling, Intent, Kind, Said, Saying, Sending, ServerMessage, Update, Wish,
};

mod message;
#[cfg(test)]
mod tests;

/// The only peer connection.
const LEG: LegId = LegId(0);
/// What the server calls the channel that its messages go over.
const CHANNEL: Channel = Channel::binary("v1/sys/signaling");
const SDP: &str = "application/sdp";

/// The server refuses offers with more.
const MOST_PICTURES: usize = 7;
const MOST_VOICES: usize = 3;

/// How long to wait for a server that is busy, and how often.
const RETRY_AFTER: Duration = Duration::from_millis(500);
const TRIES: u32 = 120;

/// How far the offer has come.
#[derive(Debug)]
enum Step {
    Begun,
    /// It is with the server.
    Posted(RequestId),
    /// The server was busy; it is to be sent again.
    Retrying(Instant),
    /// It is answered, and what there is of the bot on the server has this URL.
    Answered(Url),
}

/// A media section for a picture of someone else.
#[derive(Debug)]
struct Slot {
    section: String,
    /// What is wanted there.
    track: Option<String>,
    /// Something comes.
    flows: bool,
}

/// One bot's conversation.
pub struct Conversation {
    participants: Url,
    layout: Option<Layout>,
    publishing: Vec<Source>,
    view: View,
    step: Step,
    offer: String,
    requests: u32,
    tries: u32,
    own: Vec<(Source, String)>,
    slots: Vec<Slot>,
    /// The others' pictures, the first to come first.
    pictures: Vec<String>,
    /// The number of the last update.
    heard: u64,
    said: Option<Intent>,
    connected: bool,
    channel: bool,
    told: bool,
    actions: VecDeque<Action>,
}

impl Conversation {
    /// Begins at [`Input::Open`].
    ///
    /// # Errors
    ///
    /// Refuses what the server would refuse or could not tell apart, and addresses that are
    /// no URLs.
    pub fn new(server: &ServerAddress, room: &str, seat: &Seat) -> Result<Self, SignallingError> {
        let url = server.url("http", &format!("/api/v1/rooms/{room}/participants"));
        let mut participants: Url = url
            .parse()
            .map_err(|_| SignallingError::Endpoint(url, "the URL of a room"))?;
        participants.set_query(Some("manual_sub=true"));
        Ok(Self {
            participants,
            layout: Some(layout(&seat.layout)?),
            publishing: seat.on.clone(),
            view: seat.view,
            step: Step::Begun,
            offer: String::new(),
            requests: 0,
            tries: 0,
            own: Vec::new(),
            slots: Vec::new(),
            pictures: Vec::new(),
            heard: 0,
            said: None,
            connected: false,
            channel: false,
            told: false,
            actions: VecDeque::new(),
        })
    }

    fn request(&mut self, method: &'static str, url: Url, sdp: Option<String>) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.actions.push_back(Action::Http(HttpRequest {
            id,
            method,
            url: url.into(),
            content_type: sdp.is_some().then_some(SDP),
            token: None,
            body: sdp.unwrap_or_default(),
        }));
        id
    }

    fn post(&mut self) {
        let (url, offer) = (self.participants.clone(), self.offer.clone());
        self.step = Step::Posted(self.request("POST", url, Some(offer)));
    }

    fn described(&mut self, sdp: String, sections: Sections) {
        let pictures = sections.slots.into_iter();
        self.slots = pictures
            .filter(|(source, _)| *source == Source::Camera)
            .map(|(_, section)| Slot {
                section,
                track: None,
                flows: false,
            })
            .collect();
        self.own = sections.tracks;
        self.offer = sdp;
        self.post();
    }

    fn answered(
        &mut self,
        now: Instant,
        status: u16,
        location: Option<&str>,
        body: String,
    ) -> Result<(), SignallingError> {
        match status {
            201 => {
                let missing = || SignallingError::Protocol("201 without Location".to_owned());
                let resource = self.participants.join(location.ok_or_else(missing)?);
                self.step = Step::Answered(resource.map_err(|error| {
                    SignallingError::Protocol(format!("a Location that is no URL ({error})"))
                })?);
                let leg = LEG;
                self.actions.push_back(Action::Answer { leg, sdp: body });
                self.note(Note::Reached(Milestone::Admitted));
                Ok(())
            }
            429 | 503 if self.tries < TRIES => {
                self.tries += 1;
                self.step = Step::Retrying(now + RETRY_AFTER);
                Ok(())
            }
            status => {
                let said = body.lines().next().unwrap_or_default();
                let said = said.chars().take(200).collect::<String>();
                Err(SignallingError::Refused(format!("{status}: {said}")))
            }
        }
    }

    fn hear(&mut self, data: &[u8]) -> Result<(), SignallingError> {
        let message = ServerMessage::decode(data)
            .map_err(|error| SignallingError::Protocol(error.to_string()))?;
        match message.said {
            Some(Said::Update(update)) => self.update(&update),
            Some(Said::Error(error)) => return Err(SignallingError::Refused(error)),
            None => {
                return Err(SignallingError::Protocol(
                    "it is neither an update nor an error".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn update(&mut self, update: &Update) {
        if !update.is_whole && update.number != self.heard + 1 {
            return self.say(Saying::Resync(true));
        }
        self.heard = update.number;
        let videos = update.tracks.iter();
        let videos = videos.filter(|track| track.kind == i32::from(Kind::Video));
        let ids: Vec<&String> = videos.map(|track| &track.id).collect();
        self.pictures.retain(|known| match update.is_whole {
            true => ids.contains(&known),
            false => !update.tracks_gone.contains(known),
        });
        for id in ids {
            if !self.pictures.contains(id) {
                self.pictures.push(id.clone());
            }
        }
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            let of = |filling: &&Filling| filling.section == slot.section;
            let flows = match update.fillings.iter().rfind(of) {
                Some(filling) => !filling.is_paused,
                None if update.is_whole => false,
                None => slot.flows && !update.sections_emptied.contains(&slot.section),
            };
            let flowed = std::mem::replace(&mut slot.flows, flows);
            if flowed && !flows {
                self.interrupted(at);
            }
        }
    }

    fn interrupted(&mut self, slot: usize) {
        let section = self.slots[slot].section.clone();
        self.note(Note::Interrupted { leg: LEG, section });
    }

    /// Gives a page of the pictures their sections. One that has a section keeps it.
    fn arrange(&mut self) {
        let View { page, tiles, .. } = self.view;
        let shown = tiles.min(self.slots.len());
        let page = self.pictures.iter().skip(page * tiles).take(shown);
        let page: Vec<String> = page.cloned().collect();
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            if slot.track.as_ref().is_some_and(|it| !page.contains(it)) {
                slot.track = None;
                // The server does not tell that a section goes over to something else.
                if slot.flows {
                    self.interrupted(at);
                }
            }
        }
        for track in page {
            let has = |slot: &Slot| slot.track.as_ref() == Some(&track);
            if !self.slots.iter().any(has)
                && let Some(slot) = self.slots.iter_mut().find(|slot| slot.track.is_none())
            {
                slot.track = Some(track);
            }
        }
    }

    /// Says what is wanted and sent now, if that is not what was said last.
    fn follow(&mut self) {
        if !self.channel {
            return;
        }
        self.arrange();
        let wish = |slot: &Slot| {
            Some(Wish {
                section: slot.section.clone(),
                track: slot.track.clone()?,
                height: self.view.size.height.into(),
            })
        };
        let sending = |(source, section): &(Source, String)| Sending {
            section: section.clone(),
            is_on: self.publishing.contains(source),
        };
        let intent = Intent {
            pictures: self.slots.iter().filter_map(wish).collect(),
            sendings: self.own.iter().map(sending).collect(),
        };
        if self.said.as_ref() != Some(&intent) {
            self.said = Some(intent.clone());
            self.say(Saying::Intent(intent));
        }
    }

    fn say(&mut self, saying: Saying) {
        let message = ClientMessage {
            saying: Some(saying),
        };
        self.actions
            .push_back(Action::Channel(LEG, message.encode_to_vec()));
    }

    fn progress(&mut self) {
        if self.connected && self.channel && !self.told {
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
            Input::Open => self.actions.extend(
                self.layout
                    .take()
                    .map(|layout| Action::Offer { leg: LEG, layout }),
            ),
            Input::Description { sdp, sections, .. } => self.described(sdp, sections),
            Input::Response {
                id,
                status,
                location,
                body,
                ..
            } => {
                if matches!(self.step, Step::Posted(posted) if posted == id) {
                    self.answered(now, status, location.as_deref(), body)?;
                }
            }
            Input::Connected(_) => self.connected = true,
            Input::ChannelOpen(_) => self.channel = true,
            Input::ChannelData(_, data) => self.hear(&data)?,
            Input::Timeout => {
                if matches!(self.step, Step::Retrying(due) if due <= now) {
                    self.post();
                }
            }
            Input::Publish(sources) => self.publishing = sources,
            Input::View(view) => self.view = view,
            Input::Leave => {
                if let Step::Answered(resource) = &self.step {
                    let resource = resource.clone();
                    self.request("DELETE", resource, None);
                }
                return Ok(());
            }
            Input::Text(_) => {}
        }
        self.follow();
        self.progress();
        Ok(())
    }

    fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.step {
            Step::Retrying(due) => Some(due),
            _ => None,
        }
    }
}

/// What is offered for a bot's layout.
fn layout(wanted: &Layout) -> Result<Layout, SignallingError> {
    let unsupported = |what| Err(SignallingError::Unsupported(what));
    for track in &wanted.tracks {
        match (track.source, track.codec) {
            (Source::Microphone, _) | (Source::Camera, Codec::H264) => {}
            (Source::Camera, _) => {
                return unsupported(
                    "PulseBeam carries pictures in H.264 only: give --codec h264, and no recording",
                );
            }
            (Source::Screen | Source::ScreenSound, _) => {
                return unsupported(
                    "PulseBeam does not tell cameras from screens: leave out the screen",
                );
            }
        }
    }
    // Nobody can send a screen, so none needs a place.
    let slots = wanted.slots.iter().copied();
    let slots: Vec<Source> = slots
        .filter(|slot| matches!(slot, Source::Camera | Source::Microphone))
        .collect();
    let count = |wanted| slots.iter().filter(|slot| **slot == wanted).count();
    if count(Source::Camera) > MOST_PICTURES || count(Source::Microphone) > MOST_VOICES {
        return unsupported(
            "PulseBeam gives each receiver at most 7 pictures and 3 voices: give --camera-slots 7 \
             --audio-slots 3, or less",
        );
    }
    Ok(Layout {
        tracks: wanted.tracks.clone(),
        slots,
        codecs: vec![Codec::H264],
        channel: Some(CHANNEL),
        // It takes the first for the best.
        largest_first: true,
    })
}
