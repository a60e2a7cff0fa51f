//! Servers that speak WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one HTTP request
//! opens a peer connection, for sending to an endpoint or for receiving from one, and
//! another closes it. There is no word of who publishes, so each bot knows the streams of
//! the run by their numbers, and asks again for one that is not there yet. Candidates come
//! with the descriptions, none are trickled.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use conclave_protocol::signal::Source;
use url::Url;

use super::{
    Action, HttpRequest, Input, LegId, Milestone, NoCall, Note, RequestId, Seat, Signalling,
    SignallingError, View,
};
use crate::{
    bot::peer::Layout, drive::server::ServerAddress, measure::attendance::streams_on_page,
};

#[cfg(test)]
mod tests;

const SDP: &str = "application/sdp";
/// What stands for the number of a stream in an endpoint's URL.
const NUMBER: &str = "{stream}";
/// How often the redirections of one request are followed.
const REDIRECTIONS: u8 = 5;
/// How long to wait for a stream that is not there yet, and how often.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// No run lets a bot wait longer, whatever the server says.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
const TRIES: u32 = 120;

/// Where streams are sent to and taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// URL of the WHIP endpoint, with `{stream}` for the number of the stream.
    pub publish: String,
    /// The same of the WHEP endpoint.
    pub watch: String,
    /// Sent as bearer token (RFC 6750).
    pub token: Option<String>,
    /// How many bots publish; they are the first ones.
    pub publishers: u32,
}

impl Endpoints {
    /// Where they are.
    ///
    /// # Errors
    ///
    /// Refuses endpoints that are no URLs.
    pub fn server(&self) -> Result<ServerAddress, NoCall> {
        self.url(Purpose::Watch(0), 0)?;
        let url = self.url(Purpose::Publish, 0)?;
        Ok(url[..url::Position::BeforePath].parse()?)
    }

    fn url(&self, purpose: Purpose, own: u32) -> Result<Url, SignallingError> {
        let (template, number, what) = match purpose {
            Purpose::Publish => (&self.publish, own, "the URL of a WHIP endpoint"),
            Purpose::Watch(stream) => (&self.watch, stream, "the URL of a WHEP endpoint"),
        };
        let url: Result<Url, _> = template.replace(NUMBER, &number.to_string()).parse();
        url.ok()
            .filter(|url| url.scheme() == "http" && url.has_host())
            .ok_or_else(|| SignallingError::Endpoint(template.clone(), what))
    }
}

/// What a peer connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Publish,
    Watch(u32),
}

#[derive(Debug)]
enum Step {
    /// The offer is with the bot.
    Offering,
    /// The offer is with the server.
    Posted(RequestId),
    /// The stream was not there; the offer is to be sent again.
    Retrying(Instant),
    /// The server's counter-offer is with the bot.
    Answering,
    /// The answer to it is with the server.
    Patched(RequestId),
    /// Settled.
    Up,
}

/// A peer connection and its resource on the server.
#[derive(Debug)]
struct Session {
    purpose: Purpose,
    leg: LegId,
    step: Step,
    /// Where the next request goes: the endpoint, or where it redirects to.
    url: Url,
    resource: Option<Url>,
    offer: String,
    tries: u32,
    /// What the server answers as long as the stream is not there.
    missing: Option<u16>,
    redirections: u8,
    connected: bool,
}

impl Session {
    /// Whether a bot that has this is in the call: nobody waits for others to come.
    fn is_settled(&self) -> bool {
        self.connected || self.missing.is_some()
    }

    /// Whether a stream is not there yet, which servers say in many ways.
    fn is_missing(&self, status: u16) -> bool {
        let said = matches!(status, 404 | 409 | 425 | 500 | 502 | 504);
        said && self.purpose != Purpose::Publish
    }

    fn refused(&self, status: u16, said: &str) -> SignallingError {
        SignallingError::Refused(format!("{} answered {status}{said}", self.url))
    }
}

/// Whether a server only has no time now (RFC 9725 §4.7).
fn is_busy(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// One bot's conversation.
pub struct Conversation {
    endpoints: Endpoints,
    number: u32,
    layout: Layout,
    publishes: bool,
    view: View,
    sessions: Vec<Session>,
    /// Requests whose peer connection was closed before they were answered.
    forsaken: Vec<(RequestId, Url)>,
    requests: u32,
    last_leg: LegId,
    open: bool,
    admitted: bool,
    told: bool,
    actions: VecDeque<Action>,
}

impl Conversation {
    /// Begins at [`Input::Open`].
    ///
    /// # Errors
    ///
    /// Refuses tracks beyond a microphone and a camera, which WHIP does not know to tell
    /// apart, and endpoints that are no URLs.
    pub fn new(endpoints: Endpoints, seat: &Seat) -> Result<Self, SignallingError> {
        let known = [Source::Microphone, Source::Camera];
        let mut tracks = seat.layout.tracks.iter();
        if tracks.any(|track| !known.contains(&track.source)) {
            return Err(SignallingError::Unsupported(
                "WHIP takes one microphone and one camera from each bot: leave out the screen",
            ));
        }
        endpoints.url(Purpose::Publish, 0)?;
        endpoints.url(Purpose::Watch(0), 0)?;
        Ok(Self {
            endpoints,
            number: seat.number,
            publishes: !seat.layout.tracks.is_empty(),
            layout: seat.layout.clone(),
            view: seat.view,
            sessions: Vec::new(),
            forsaken: Vec::new(),
            requests: 0,
            last_leg: LegId(0),
            open: false,
            admitted: false,
            told: false,
            actions: VecDeque::new(),
        })
    }

    /// The numbers of the streams of a view: a page of the other bots'.
    fn watched(&self) -> Vec<u32> {
        let slots = self.layout.slots.iter();
        let cameras = slots.filter(|slot| **slot == Source::Camera).count();
        streams_on_page(
            self.endpoints.publishers,
            self.number,
            self.view.page * self.view.tiles,
            self.view.tiles.min(cameras),
        )
        .collect()
    }

    /// Opens and closes peer connections, as is wanted now.
    fn follow(&mut self) -> Result<(), SignallingError> {
        let mut wanted = Vec::new();
        if self.publishes {
            wanted.push(Purpose::Publish);
        }
        wanted.extend(self.watched().into_iter().map(Purpose::Watch));
        let (kept, gone) = std::mem::take(&mut self.sessions)
            .into_iter()
            .partition(|session| wanted.contains(&session.purpose));
        self.sessions = kept;
        for session in gone {
            self.close(session);
        }
        for purpose in wanted {
            if !self.sessions.iter().any(|it| it.purpose == purpose) {
                self.begin(purpose)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), SignallingError> {
        let url = self.endpoints.url(purpose, self.number)?;
        let layout = match purpose {
            Purpose::Publish => {
                let tracks = self.layout.tracks.clone();
                let video = tracks.iter().find(|track| track.source.is_video());
                Layout {
                    codecs: video.iter().map(|track| track.codec).collect(),
                    tracks,
                    ..Layout::default()
                }
            }
            // Whole, since there is no word of who speaks; without sound if none is wanted.
            Purpose::Watch(_) => Layout {
                slots: [Source::Microphone, Source::Camera]
                    .into_iter()
                    .filter(|source| self.layout.slots.contains(source))
                    .collect(),
                codecs: self.layout.codecs.clone(),
                ..Layout::default()
            },
        };
        let leg = self.next_leg();
        self.sessions.push(Session {
            purpose,
            leg,
            step: Step::Offering,
            url,
            resource: None,
            offer: String::new(),
            tries: 0,
            missing: None,
            redirections: 0,
            connected: false,
        });
        self.actions.push_back(Action::Offer { leg, layout });
        Ok(())
    }

    fn next_leg(&mut self) -> LegId {
        self.last_leg = LegId(self.last_leg.0.wrapping_add(1));
        self.last_leg
    }

    fn close(&mut self, session: Session) {
        if let Step::Posted(id) = session.step {
            self.forsaken.push((id, session.url));
        }
        if let Some(resource) = session.resource {
            self.request("DELETE", resource, None);
        }
        self.actions.push_back(Action::Close(session.leg));
    }

    fn request(&mut self, method: &'static str, url: Url, sdp: Option<String>) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.actions.push_back(Action::Http(HttpRequest {
            id,
            method,
            url: url.into(),
            content_type: sdp.is_some().then_some(SDP),
            token: self.endpoints.token.clone(),
            body: sdp.unwrap_or_default(),
        }));
        id
    }

    fn post(&mut self, at: usize) {
        let session = &self.sessions[at];
        let (url, offer) = (session.url.clone(), session.offer.clone());
        let id = self.request("POST", url, Some(offer));
        self.sessions[at].step = Step::Posted(id);
    }

    fn described(&mut self, leg: LegId, sdp: String) {
        let Some(at) = self.sessions.iter().position(|session| session.leg == leg) else {
            return;
        };
        let session = &mut self.sessions[at];
        match session.step {
            Step::Offering => {
                session.offer = sdp;
                self.post(at);
            }
            Step::Answering => {
                if let Some(resource) = session.resource.clone() {
                    let id = self.request("PATCH", resource, Some(sdp));
                    self.sessions[at].step = Step::Patched(id);
                }
            }
            _ => {}
        }
    }

    fn answered(&mut self, now: Instant, response: Response) -> Result<(), SignallingError> {
        let of = |session: &Session| match session.step {
            Step::Posted(id) | Step::Patched(id) => id == response.id,
            _ => false,
        };
        let Some(at) = self.sessions.iter().position(of) else {
            self.clean_up(&response);
            return Ok(());
        };
        let session = &mut self.sessions[at];
        let location = response.location.as_deref().map(|to| session.url.join(to));
        let location = location.transpose().map_err(|error| {
            SignallingError::Protocol(format!("a Location that is no URL ({error})"))
        })?;
        let nowhere = || SignallingError::Protocol(format!("{} without Location", response.status));
        let posted = matches!(session.step, Step::Posted(_));
        match response.status {
            200 | 204 if !posted => session.step = Step::Up,
            201 if posted => {
                session.resource = Some(location.ok_or_else(nowhere)?);
                session.missing = None;
                session.step = Step::Up;
                let (leg, sdp) = (session.leg, response.body);
                self.actions.push_back(Action::Answer { leg, sdp });
                self.admitted();
            }
            // A counter-offer (draft-ietf-wish-whep-03 §4.4.2): it needs a new peer
            // connection, since ours has its own offer pending.
            406 if posted && response.body.starts_with("v=") => {
                session.resource = Some(location.ok_or_else(nowhere)?);
                session.missing = None;
                session.step = Step::Answering;
                let old = session.leg;
                let (leg, sdp) = (self.next_leg(), response.body);
                self.sessions[at].leg = leg;
                self.actions.push_back(Action::Close(old));
                self.actions.push_back(Action::Accept { leg, sdp });
                self.admitted();
            }
            // Redirections keep the method (RFC 9725 §4.5).
            307 | 308 if posted && session.redirections < REDIRECTIONS => {
                session.url = location.ok_or_else(nowhere)?;
                session.redirections += 1;
                self.post(at);
            }
            status
                if posted
                    && session.tries < TRIES
                    && (is_busy(status) || session.is_missing(status)) =>
            {
                session.tries += 1;
                session.missing = session.is_missing(status).then_some(status);
                // The least time to wait, by the server's word (RFC 9110 §10.2.3).
                let told = response.retry_after.unwrap_or_default();
                session.step = Step::Retrying(now + told.clamp(RETRY_AFTER, LONGEST_WAIT));
            }
            status => {
                let said = response.body.lines().next().unwrap_or_default();
                let said = said.chars().take(200).collect::<String>();
                return Err(session.refused(status, &format!(": {said}")));
            }
        }
        Ok(())
    }

    /// Closes everything. A stream that never came is told now at the latest.
    fn leave(&mut self) -> Result<(), SignallingError> {
        let sessions = std::mem::take(&mut self.sessions);
        let mut missing = sessions
            .iter()
            .filter_map(|session| Some(session.refused(session.missing?, " until the bot left")));
        let missing = missing.next();
        for session in sessions {
            self.close(session);
        }
        missing.map_or(Ok(()), Err)
    }

    /// Deletes what was made for a peer connection that is closed by now.
    fn clean_up(&mut self, response: &Response) {
        let place = self.forsaken.iter().position(|(id, _)| *id == response.id);
        let Some((_, url)) = place.map(|at| self.forsaken.swap_remove(at)) else {
            return;
        };
        if let Some(Ok(resource)) = response.location.as_deref().map(|to| url.join(to))
            && matches!(response.status, 201 | 406)
        {
            self.request("DELETE", resource, None);
        }
    }

    fn retry(&mut self, now: Instant) {
        for at in 0..self.sessions.len() {
            if matches!(self.sessions[at].step, Step::Retrying(due) if due <= now) {
                self.post(at);
            }
        }
    }

    fn admitted(&mut self) {
        if !self.admitted {
            self.admitted = true;
            self.note(Milestone::Admitted);
        }
    }

    fn progress(&mut self) {
        let in_call = self.sessions.iter().all(Session::is_settled);
        if self.open && in_call && !self.told {
            self.told = true;
            // Nobody to publish to and nobody to watch: nothing is ever asked.
            self.admitted();
            self.note(Milestone::InCall);
        }
    }

    fn note(&mut self, milestone: Milestone) {
        self.actions
            .push_back(Action::Note(Note::Reached(milestone)));
    }
}

struct Response {
    id: RequestId,
    status: u16,
    location: Option<String>,
    retry_after: Option<Duration>,
    body: String,
}

impl Signalling for Conversation {
    fn handle(&mut self, now: Instant, input: Input) -> Result<(), SignallingError> {
        match input {
            Input::Open => {
                self.open = true;
                self.follow()?;
            }
            Input::Description { leg, sdp, .. } => self.described(leg, sdp),
            Input::Response {
                id,
                status,
                location,
                retry_after,
                body,
            } => self.answered(
                now,
                Response {
                    id,
                    status,
                    location,
                    retry_after,
                    body,
                },
            )?,
            Input::Connected(leg) => {
                let mut sessions = self.sessions.iter_mut();
                if let Some(session) = sessions.find(|session| session.leg == leg) {
                    session.connected = true;
                }
            }
            Input::Timeout => self.retry(now),
            // A stream goes on as long as its bot is there: who is off sends nothing.
            Input::Publish(_) => {}
            Input::View(view) => {
                self.view = view;
                self.follow()?;
            }
            Input::Leave => return self.leave(),
            Input::Text(_) | Input::ChannelOpen(_) | Input::ChannelData(..) => {}
        }
        self.progress();
        Ok(())
    }

    fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = |session: &Session| match session.step {
            Step::Retrying(due) => Some(due),
            _ => None,
        };
        self.sessions.iter().filter_map(due).min()
    }
}
