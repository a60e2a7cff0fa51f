//! The task around a room: it hears what is said, has kept what is to be kept, and only then
//! tells what is to be told. Whatever waits at once is heard together and kept together.

mod guest;
mod keeping;
mod log;
mod operator;
mod returning;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use conclave_protocol::{
    ParticipantId, RoomAuth, RoomId,
    session::{MessageNumber, Position, SessionToken, TokenHash},
};
use governor::DefaultDirectRateLimiter;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use crate::{
    limits::{RoomSize, limiter},
    metrics::Phase,
    outbound::{Ending, Outbound, Parcel},
    outbox::{Happening, Kind},
    registry::{Place, Refused, Registry, Seat},
    room::{Audience, Output, Room, Saying, Unreadable},
    store::rooms::{Entry, KeptRoom},
};

use guest::{Guest, Line, Session};
use log::RoomLog;

pub(crate) use guest::LineId;
pub(crate) use operator::{Description, GuestDescription};

/// As many commands are kept together at most.
const MOST_TOGETHER: usize = 64;

/// What the tasks of connections ask of a room.
pub(crate) enum Command {
    /// Someone comes.
    Enter(Box<Arrival>),
    /// Someone comes back.
    Return(Box<Return>),
    /// Someone is to be able to come back.
    Keep(ParticipantId, SessionToken),
    /// Someone says something.
    Hear(ParticipantId, Option<MessageNumber>, Saying),
    /// Someone leaves.
    Leave(ParticipantId),
    /// Someone's line broke; which one, since there may be a newer.
    Broken(ParticipantId, LineId, Grace),
    /// An operator wants to see the room.
    Describe(oneshot::Sender<Description>),
    /// An operator removes someone. The answer is whether they were here.
    Remove(ParticipantId, Answer),
    /// An operator closes the room.
    Close(Answer),
}

/// How long somebody is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grace {
    /// Nothing is known of why the line broke.
    Full,
    /// It was closed as by a page that is closed.
    Short,
}

/// Given once what was asked for is done.
pub(crate) type Answer = oneshot::Sender<bool>;

/// Someone at the door.
pub(crate) struct Arrival {
    pub(crate) key: RoomAuth,
    /// How many the room takes.
    pub(crate) capacity: RoomSize,
    pub(crate) seat: Seat,
    pub(crate) outbound: Outbound,
    pub(crate) answer: oneshot::Sender<Result<Seat, Refused>>,
}

/// Someone who was here.
pub(crate) struct Return {
    pub(crate) token: TokenHash,
    pub(crate) seen: Position,
    pub(crate) seat: Seat,
    pub(crate) outbound: Outbound,
    pub(crate) answer: oneshot::Sender<Result<Seat, Refused>>,
}

/// Something that is due once everything before is kept.
enum Due {
    Tell(Audience, Position, Parcel),
    Show(BTreeSet<ParticipantId>, Parcel),
    End(ParticipantId, Ending),
    Answer(Answer, bool),
}

/// The task.
pub(crate) struct Host {
    room: Room,
    id: RoomId,
    guests: HashMap<ParticipantId, Guest>,
    log: RoomLog,
    due: Vec<Due>,
    /// Of those who will not come back.
    ended: Vec<TokenHash>,
    /// Someone can come back who could not before.
    has_new_session: bool,
    /// To be noted.
    happenings: Vec<Happening>,
    has_started: bool,
    /// By an operator: nobody comes in any more.
    is_closed: bool,
    since: Instant,
    joins: DefaultDirectRateLimiter,
    registry: Arc<Registry>,
}

impl Host {
    /// Of a room in which nobody is yet.
    pub(crate) fn new(room: Room, id: RoomId, registry: Arc<Registry>) -> Self {
        Self {
            room,
            id,
            guests: HashMap::new(),
            log: RoomLog::new(),
            due: Vec::new(),
            ended: Vec::new(),
            has_new_session: false,
            happenings: Vec::new(),
            has_started: false,
            is_closed: false,
            since: Instant::now(),
            joins: limiter(registry.limits.joins_per_room),
            registry,
        }
    }

    /// Of a room that was kept. Everyone who can come back is away; the others are gone.
    pub(crate) fn recall(
        kept: KeptRoom,
        registry: Arc<Registry>,
        now: Instant,
    ) -> Result<Self, Unreadable> {
        let mut room = Room::recall(&kept.memory, registry.limits.participants_per_room)?;
        let until = now + registry.limits.away;
        let sessions = kept.sessions.into_iter();
        let guests: HashMap<_, _> = sessions
            .map(|it| (it.participant, Guest::recall(it, until, now)))
            .filter(|(id, _)| room.contains(*id))
            .collect();
        let mut happenings = Vec::new();
        for participant in room.present().clone() {
            if let Some(guest) = guests.get(&participant) {
                guest.set_permit(room.may_exchange_media(participant));
                room.lose(participant);
            } else {
                room.leave(participant);
                happenings.push(Happening::about(Kind::ParticipantLeft, participant));
            }
        }
        Ok(Self {
            room,
            log: RoomLog::recall(kept.position, kept.floor, kept.entries, now),
            guests,
            due: Vec::new(),
            ended: Vec::new(),
            has_new_session: false,
            happenings,
            has_started: true,
            is_closed: false,
            since: now,
            joins: limiter(registry.limits.joins_per_room),
            registry,
            id: kept.room,
        })
    }

    /// Those who can come back.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (TokenHash, Place)> {
        let sessions = self.guests.iter();
        sessions.filter_map(|(id, guest)| {
            let place = Place {
                room: self.id.clone(),
                participant: *id,
                permit: guest.permit(),
            };
            Some((guest.session.as_ref()?.token, place))
        })
    }

    /// True when nobody can come back.
    pub(crate) fn is_deserted(&self) -> bool {
        self.guests.is_empty()
    }

    /// Until the room is empty or the server stops.
    pub(crate) async fn run(mut self, mut mailbox: mpsc::Receiver<Command>) {
        let stopping = self.registry.stopping.clone();
        let mut is_stopping = false;
        loop {
            let away = self.guests.values().filter_map(Guest::away_until);
            let due = away.chain(self.room.poll_timeout()).min();
            let timeout = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            let mut returns = Vec::new();
            tokio::select! {
                command = mailbox.recv() => match command {
                    Some(command) => self.take(command, &mut mailbox, &mut returns),
                    None => break,
                },
                () = timeout => {}
                () = stopping.cancelled(), if !is_stopping => is_stopping = true,
            }
            let now = Instant::now();
            self.expire(now);
            self.room.tend(now);
            self.settle().await;
            for returning in returns {
                self.take_back(returning).await;
                self.settle().await;
            }
            if self.room.is_empty() && self.registry.close(&self.id, &mailbox, self.log.has_rows) {
                break;
            }
            let all_away = || self.guests.values().all(|it| it.away_until().is_some());
            if is_stopping && mailbox.is_empty() && all_away() {
                break;
            }
        }
    }

    /// Hears this and whatever else waits.
    fn take(
        &mut self,
        first: Command,
        mailbox: &mut mpsc::Receiver<Command>,
        returns: &mut Vec<Return>,
    ) {
        let waiting = std::iter::from_fn(|| mailbox.try_recv().ok());
        for command in std::iter::once(first).chain(waiting).take(MOST_TOGETHER) {
            match command {
                Command::Return(returning) => {
                    // What it missed has to be kept before it can be looked up.
                    returns.push(*returning);
                    return;
                }
                command => self.obey(command),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        self.follow(command);
        // Each after its own: who comes later is not told what was told before.
        self.collect();
    }

    fn follow(&mut self, command: Command) {
        match command {
            Command::Enter(arrival) => self.enter(*arrival),
            // Taken back when everything before is kept.
            Command::Return(_) => {}
            Command::Keep(participant, token) => self.keep(participant, &token),
            Command::Hear(participant, number, saying) => self.hear(participant, number, saying),
            Command::Leave(participant) => {
                self.part(participant);
                self.room.leave(participant);
            }
            Command::Broken(participant, line, grace) => self.lose(participant, line, grace),
            // Who asked may have gone.
            Command::Describe(answer) => drop(answer.send(self.describe())),
            Command::Remove(participant, answer) => self.remove(participant, answer),
            Command::Close(answer) => self.close(answer),
        }
    }

    fn enter(&mut self, arrival: Arrival) {
        let Arrival {
            key,
            capacity,
            seat,
            outbound,
            answer,
        } = arrival;
        if self.is_closed {
            drop(answer.send(Err(Refused::Closed)));
            return;
        }
        if self.joins.check().is_err() {
            self.registry.metrics.limited("room_joins");
            drop(answer.send(Err(Refused::RoomBusy)));
            return;
        }
        let now = Instant::now();
        self.room.limit_to(capacity);
        let result = match self.room.enter(now, seat.participant(), &key) {
            Ok(()) => {
                if !std::mem::replace(&mut self.has_started, true) {
                    self.happenings.push(Happening::of(Kind::RoomStarted));
                }
                let joined = Happening::about(Kind::ParticipantJoined, seat.participant());
                self.happenings.push(joined);
                let line = Line::Open(seat.line(), outbound);
                let permit = seat.permit();
                let guest = Guest::new(line, permit, self.log.position(), now);
                self.guests.insert(seat.participant(), guest);
                Ok(seat)
            }
            Err(refused) => Err(Refused::AtTheDoor(refused)),
        };
        // If the client is gone by now, its seat comes back in the error and is dropped,
        // which tells us.
        drop(answer.send(result));
    }

    fn keep(&mut self, participant: ParticipantId, token: &SessionToken) {
        let Some(guest) = self.guests.get_mut(&participant) else {
            return;
        };
        if guest.session.is_some() {
            return;
        }
        let hash = token.hash();
        guest.session = Some(Session::new(hash, token.clone()));
        self.has_new_session = true;
        let place = Place {
            room: self.id.clone(),
            participant,
            permit: guest.permit(),
        };
        self.registry.remember(hash, place);
    }

    fn hear(&mut self, participant: ParticipantId, number: Option<MessageNumber>, saying: Saying) {
        let guest = self.guests.get_mut(&participant);
        let session = guest.and_then(|guest| guest.session.as_mut());
        if let (Some(number), Some(session)) = (number, session)
            && !session.hears(number)
        {
            // Said again by someone who could not know that it was heard.
            return;
        }
        if matches!(saying, Saying::Knock { .. }) && !self.may_knock(participant) {
            self.registry.metrics.limited("knocks");
            self.room.refuse_knock(participant);
            return;
        }
        self.room.hear(participant, saying);
        if let Some(guest) = self.guests.get_mut(&participant)
            && !guest.in_group
            && self.room.is_member(participant)
        {
            guest.in_group = true;
            let metrics = &self.registry.metrics;
            metrics.took(Phase::Group, guest.entered.elapsed());
        }
    }

    /// Everyone in the group hears of a knock, so those who wait do not knock all the time.
    fn may_knock(&mut self, participant: ParticipantId) -> bool {
        let is_waiting = self.room.is_waiting(participant);
        let guest = self.guests.get_mut(&participant);
        guest.is_none_or(|guest| guest.knocks(Instant::now()) || !is_waiting)
    }

    /// A line broke: whoever can come back is away, others have left.
    fn lose(&mut self, participant: ParticipantId, line: LineId, grace: Grace) {
        let limits = &self.registry.limits;
        let grace = match grace {
            Grace::Full => limits.away,
            Grace::Short => limits.going_away.min(limits.away),
        };
        let until = Instant::now() + grace;
        match self.guests.get_mut(&participant) {
            Some(guest) if !guest.is_on(line) => {}
            Some(guest) if guest.session.is_some() => {
                guest.line = Line::Away(until);
                self.room.lose(participant);
            }
            _ => {
                self.part(participant);
                self.room.leave(participant);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let guests = self.guests.iter();
        let expired: Vec<_> = guests
            .filter(|(_, guest)| guest.away_until().is_some_and(|until| until <= now))
            .map(|(id, _)| *id)
            .collect();
        for participant in expired {
            self.part(participant);
            self.room.leave(participant);
        }
    }

    /// Forgets someone who is no longer in the room.
    fn part(&mut self, participant: ParticipantId) -> Option<Guest> {
        let guest = self.guests.remove(&participant)?;
        if let Some(session) = &guest.session {
            self.registry.forget(session.token);
            self.ended.push(session.token);
        }
        // Before they are taken out: what they may have on offer is not to be answered after it.
        guest.set_permit(false);
        self.registry.media.disconnect(participant);
        let left = Happening::about(Kind::ParticipantLeft, participant);
        self.happenings.push(left);
        Some(guest)
    }

    /// Has kept what the room did, and does what it wants done, until it wants nothing more.
    async fn settle(&mut self) {
        loop {
            self.collect();
            let happenings = std::mem::take(&mut self.happenings);
            let noted = self.registry.outbox.note(&self.id, happenings);
            if let Some(change) = self.change() {
                self.have_kept(change).await;
            }
            noted.await;
            if self.due.is_empty() && self.happenings.is_empty() {
                break;
            }
            // Before they are told, since they may offer at once.
            for (id, guest) in &self.guests {
                if guest.set_permit(self.room.may_exchange_media(*id)) {
                    self.registry.media.disconnect(*id);
                }
            }
            for due in std::mem::take(&mut self.due) {
                self.do_due(due);
            }
        }
        if self.log.has_rows && !self.can_anyone_return() {
            self.forget_rows().await;
        }
        let is_kept = self.log.is_kept;
        for guest in self.guests.values_mut() {
            guest.tell_of_session(is_kept, self.registry.limits.away);
        }
    }

    fn can_anyone_return(&self) -> bool {
        self.guests.values().any(|guest| guest.session.is_some())
    }

    /// What the room wants done. What is told has its place from here on.
    fn collect(&mut self) {
        let now = Instant::now();
        let can_return = self.can_anyone_return();
        while let Some(output) = self.room.poll() {
            match output {
                Output::Tell(audience, message) => match Parcel::pack(&message) {
                    Ok(parcel) => {
                        let position = self.log.advance();
                        if can_return {
                            let entry = Entry {
                                position,
                                audience,
                                text: parcel.text.as_str().to_owned(),
                            };
                            self.log.push(entry, now);
                        } else {
                            self.log.pass();
                        }
                        let parcel = parcel.at(position);
                        self.due.push(Due::Tell(audience, position, parcel));
                    }
                    Err(error) => {
                        tracing::error!(%error, "a message could not be written as JSON");
                    }
                },
                Output::Show(participants, message) => match Parcel::pack(&message) {
                    Ok(parcel) => self.due.push(Due::Show(participants, parcel)),
                    Err(error) => tracing::error!(%error, "a message could not be written"),
                },
                Output::Remove {
                    participant,
                    code,
                    detail,
                } => {
                    let ending = Ending::shown_out(code, detail);
                    self.due.push(Due::End(participant, ending));
                }
            }
        }
    }

    fn do_due(&mut self, due: Due) {
        match due {
            Due::Tell(audience, position, parcel) => self.tell(audience, position, &parcel),
            Due::Show(participants, parcel) => self.show(&participants, &parcel),
            Due::End(participant, ending) => {
                if let Some(guest) = self.part(participant) {
                    guest.end(ending);
                }
            }
            Due::Answer(answer, done) => drop(answer.send(done)),
        }
    }

    fn show(&mut self, participants: &BTreeSet<ParticipantId>, parcel: &Parcel) {
        let guests = participants.iter();
        let lost = guests.filter_map(|id| Some((*id, self.guests.get(id)?.tell(parcel).err()?)));
        for (participant, line) in lost.collect::<Vec<_>>() {
            self.lose(participant, line, Grace::Full);
        }
    }

    fn tell(&mut self, audience: Audience, position: Position, parcel: &Parcel) {
        let mut lost = Vec::new();
        let mut tell = |id: ParticipantId, guest: &Guest| {
            if guest.since < position
                && let Err(line) = guest.tell(parcel)
            {
                lost.push((id, line));
            }
        };
        if let Audience::One(one) = audience {
            if let Some(guest) = self.guests.get(&one) {
                tell(one, guest);
            }
        } else {
            let guests = self.guests.iter().filter(|(id, _)| audience.includes(**id));
            guests.for_each(|(id, guest)| tell(*id, guest));
        }
        for (participant, line) in lost {
            self.lose(participant, line, Grace::Full);
        }
    }
}

/// How long somebody may be away, as they are told.
fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod stories;
