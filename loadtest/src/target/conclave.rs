//! Conclave: the WebSocket at `/ws`, one peer connection with fixed slots, and the data
//! channel for wishes. The bot is a member of the call's MLS group, as a browser is.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    time::Instant,
};

use conclave_e2ee::{
    Device, Instant as SessionTime, LinkSecret, Membership, Output as SessionOutput, Persona,
};
use conclave_protocol::{
    Mid, ParticipantId, RoomId,
    control::{CHANNEL_LABEL, ControlNotice, ControlRequest, Publication, SlotFilling, VideoWish},
    signal::{ClientMessage, ErrorCode, OfferedSlot, OfferedTrack, ServerMessage, Source},
};

use super::{
    Action, Input, KeyChange, LegId, Milestone, Note, Seat, Sections, Signalling, SignallingError,
    View,
};
use crate::bot::peer::{Channel, Layout};

/// The only peer connection.
const LEG: LegId = LegId(0);

/// What has been reached on the way into the call.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    admitted: bool,
    in_group: bool,
    media: bool,
    control: bool,
    has_keys: bool,
    told: bool,
}

/// One bot's conversation.
pub struct Conversation {
    membership: Membership,
    started: Instant,
    /// Frames are not sealed and the bot stays out of the group.
    plain: bool,
    layout: Option<Layout>,
    takes: usize,
    /// It has something to send, be it on or not.
    offers: bool,
    publishing: Vec<Source>,
    view: View,
    /// What the others publish, the first to publish first.
    published: Vec<Publication>,
    /// What the slots carry that carry something.
    carried: BTreeMap<Mid, (ParticipantId, Source)>,
    progress: Progress,
    actions: VecDeque<Action>,
}

impl Conversation {
    /// Begins at [`Input::Open`].
    pub fn new(
        room: RoomId,
        secret: &LinkSecret,
        plain: bool,
        seat: &Seat,
        now: Instant,
    ) -> Result<Self, SignallingError> {
        let mut layout = seat.layout.clone();
        layout.channel = Some(Channel::text(CHANNEL_LABEL));
        // A bot is a device that is new in each call.
        let persona = Persona::on(&Device::generate()?, &room, seat.name.parse()?)?;
        Ok(Self {
            membership: Membership::new(room, secret, persona),
            started: now,
            plain,
            takes: layout.slots.len(),
            offers: !layout.tracks.is_empty(),
            publishing: seat.on.clone(),
            layout: Some(layout),
            view: seat.view,
            published: Vec::new(),
            carried: BTreeMap::new(),
            progress: Progress::default(),
            actions: VecDeque::new(),
        })
    }

    fn session_time(&self, now: Instant) -> SessionTime {
        SessionTime::since_origin(now.saturating_duration_since(self.started))
    }

    fn send(&mut self, message: &ClientMessage) -> Result<(), SignallingError> {
        let text = serde_json::to_string(message).map_err(not_of_the_protocol)?;
        self.actions.push_back(Action::Text(text));
        Ok(())
    }

    fn note(&mut self, note: Note) {
        self.actions.push_back(Action::Note(note));
    }

    fn request(&mut self, request: &ControlRequest) -> Result<(), SignallingError> {
        if self.progress.control {
            let text = serde_json::to_vec(request).map_err(not_of_the_protocol)?;
            self.actions.push_back(Action::Channel(LEG, text));
        }
        Ok(())
    }

    fn hear(&mut self, now: Instant, text: &str) -> Result<(), SignallingError> {
        let message: ServerMessage = serde_json::from_str(text).map_err(not_of_the_protocol)?;
        match &message {
            ServerMessage::Joined { .. } => {
                self.progress.admitted = true;
                self.note(Note::Reached(Milestone::Admitted));
                self.actions.extend(
                    self.layout
                        .take()
                        .map(|layout| Action::Offer { leg: LEG, layout }),
                );
            }
            ServerMessage::Answer { sdp } => {
                let sdp = sdp.clone();
                self.actions.push_back(Action::Answer { leg: LEG, sdp });
            }
            ServerMessage::Error { code, detail } if ends_the_stay(*code) => {
                return Err(SignallingError::Refused(format!("{code:?}: {detail}")));
            }
            ServerMessage::StrangerRefused {} => self.note(Note::StrangerRefused),
            _ => {}
        }
        if !self.plain {
            self.membership.handle(self.session_time(now), message);
        }
        Ok(())
    }

    fn offer(&mut self, sdp: String, sections: Sections) -> Result<(), SignallingError> {
        let mid = |mid: String| -> Result<Mid, SignallingError> {
            let unusable = || SignallingError::Protocol(format!("{mid} is no media id"));
            mid.parse().map_err(|_| unusable())
        };
        let mut tracks = Vec::new();
        for (source, name) in sections.tracks {
            let mid = mid(name)?;
            tracks.push(OfferedTrack { mid, source });
        }
        let mut slots = Vec::new();
        for (accepts, name) in sections.slots {
            let mid = mid(name)?;
            slots.push(OfferedSlot { mid, accepts });
        }
        self.send(&ClientMessage::Offer { sdp, tracks, slots })
    }

    fn follow_session(&mut self) -> Result<(), SignallingError> {
        while let Some(output) = self.membership.poll() {
            match output {
                SessionOutput::Send { message } => self.send(&message)?,
                SessionOutput::KeysReady {
                    epoch,
                    own_leaf: leaf,
                    base_key,
                } => {
                    let keys = KeyChange::Install {
                        epoch,
                        leaf,
                        base_key,
                    };
                    self.actions.push_back(Action::Keys(keys));
                    self.note(Note::Epoch(epoch));
                }
                SessionOutput::SealWith { epoch } => {
                    self.progress.has_keys = true;
                    self.actions
                        .push_back(Action::Keys(KeyChange::SealWith(epoch)));
                }
                SessionOutput::Forget { epoch } => {
                    self.actions
                        .push_back(Action::Keys(KeyChange::Forget(epoch)));
                }
                SessionOutput::Roster { members, .. } => self.note(Note::Roster(members)),
                SessionOutput::Joined => {
                    self.progress.in_group = true;
                    self.note(Note::Reached(Milestone::InGroup));
                }
                SessionOutput::CommitRefused { .. } => self.note(Note::CommitRefused),
                SessionOutput::Failed { reason, .. } => {
                    return Err(SignallingError::Session(reason));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn on_notice(&mut self, data: &[u8]) -> Result<(), SignallingError> {
        match serde_json::from_slice(data).map_err(not_of_the_protocol)? {
            ControlNotice::Publications { participants } => self.published = participants,
            ControlNotice::PublicationsChanged { participants } => {
                for change in participants {
                    self.republish(change);
                }
            }
            ControlNotice::Slots { slots } => {
                self.carry(slots);
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.wish()
    }

    /// Notes every slot that does not go on with what it carried: it is empty now, paused,
    /// or filled with something else.
    fn carry(&mut self, slots: Vec<SlotFilling>) {
        let carried = slots
            .into_iter()
            .filter(|filling| !filling.paused)
            .map(|filling| (filling.mid, (filling.participant, filling.source)))
            .collect();
        for (mid, content) in mem::replace(&mut self.carried, carried) {
            if self.carried.get(&mid) != Some(&content) {
                self.note(Note::Interrupted {
                    leg: LEG,
                    section: mid.to_string(),
                });
            }
        }
    }

    /// Takes what a participant publishes now in place of what it published before.
    fn republish(&mut self, change: Publication) {
        let place = self
            .published
            .iter()
            .position(|known| known.participant == change.participant);
        match place {
            Some(at) if change.sources.is_empty() => {
                self.published.remove(at);
            }
            Some(at) => self.published[at] = change,
            None if change.sources.is_empty() => {}
            None => self.published.push(change),
        }
    }

    /// Wishes for every screen and for a page of the cameras.
    fn wish(&mut self) -> Result<(), SignallingError> {
        if self.takes == 0 {
            return Ok(());
        }
        let View { page, tiles, size } = self.view;
        let of = |wanted: Source| {
            self.published
                .iter()
                .filter(move |publication| publication.sources.contains(&wanted))
                .map(move |publication| VideoWish {
                    participant: publication.participant,
                    source: wanted,
                    size,
                    pinned: false,
                })
        };
        let cameras = of(Source::Camera).skip(page * tiles).take(tiles);
        let videos = of(Source::Screen).chain(cameras).collect();
        self.request(&ControlRequest::Wishes { videos })
    }

    fn progress(&mut self) {
        let Progress {
            in_group,
            media,
            control,
            has_keys,
            told,
            ..
        } = self.progress;
        let keys = self.plain || (in_group && has_keys);
        if keys && media && control && !told {
            self.progress.told = true;
            self.note(Note::Reached(Milestone::InCall));
        }
    }
}

impl Signalling for Conversation {
    fn handle(&mut self, now: Instant, input: Input) -> Result<(), SignallingError> {
        match input {
            Input::Open => {
                let join = self.membership.join_message();
                self.send(&join)?;
            }
            Input::Text(text) => self.hear(now, &text)?,
            Input::Description { sdp, sections, .. } => self.offer(sdp, sections)?,
            Input::Connected(_) => self.progress.media = true,
            Input::ChannelOpen(_) => {
                self.progress.control = true;
                if self.offers {
                    let sources = self.publishing.clone();
                    self.request(&ControlRequest::Publishing { sources })?;
                }
            }
            Input::ChannelData(_, data) => self.on_notice(&data)?,
            Input::Timeout => {
                let time = self.session_time(now);
                if !self.plain && self.membership.poll_timeout().is_some_and(|at| at <= time) {
                    self.membership.handle_timeout(time);
                }
            }
            Input::Publish(sources) => {
                self.publishing.clone_from(&sources);
                self.request(&ControlRequest::Publishing { sources })?;
            }
            Input::View(view) => {
                self.view = view;
                self.wish()?;
            }
            Input::Leave => self.send(&ClientMessage::Leave {})?,
            Input::Response { .. } => {}
        }
        self.follow_session()?;
        self.progress();
        Ok(())
    }

    fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let at = self.membership.poll_timeout().filter(|_| !self.plain)?;
        Some(self.started + at.elapsed())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn not_of_the_protocol(error: serde_json::Error) -> SignallingError {
    SignallingError::Protocol(error.to_string())
}

/// True for the errors after which the server closes the connection or the bot can no
/// longer do its work.
const fn ends_the_stay(code: ErrorCode) -> bool {
    !matches!(code, ErrorCode::TooFast)
}
