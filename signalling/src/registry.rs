//! Which rooms there are. Each is a [`Room`] in a task of its own, which ends when the room
//! is empty.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use conclave_protocol::{ParticipantId, RoomAuth, RoomId, RoomLock, signal::ErrorCode};
use conclave_sfu::Offer;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};
use tokio_util::task::TaskTracker;

use crate::{
    limits::Limits,
    media::Media,
    metrics::{Metrics, Phase},
    outbound::{Ending, Outbound, Parcel},
    room::{Audience, EntryRefused, Output, Room, Saying},
};

/// Commands that may wait for one room.
const ROOM_QUEUE: usize = 1024;

enum Command {
    Enter(Box<Entry>),
    Hear(ParticipantId, Saying),
    Leave(ParticipantId),
}

struct Entry {
    key: RoomAuth,
    seat: Seat,
    outbound: Outbound,
    answer: oneshot::Sender<Result<Seat, Refused>>,
}

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The room did not want to.
    AtTheDoor(EntryRefused),
    /// The server has no place left.
    ServerFull,
}

impl Refused {
    pub(crate) fn ending(self) -> Ending {
        match self {
            Self::AtTheDoor(refused) => {
                let code = match refused {
                    EntryRefused::WrongSecret => ErrorCode::WrongSecret,
                    EntryRefused::RoomFull { .. } => ErrorCode::RoomFull,
                };
                Ending::shown_out(code, refused.to_string())
            }
            Self::ServerFull => Ending::shown_out(
                ErrorCode::ServerFull,
                "the server has no place left: try again later",
            ),
        }
    }
}

/// A participant's place in a room. Dropping it is leaving, however that comes about.
pub(crate) struct Seat {
    participant: ParticipantId,
    room: RoomId,
    commands: mpsc::Sender<Command>,
    media: Arc<Media>,
}

impl Seat {
    pub(crate) const fn participant(&self) -> ParticipantId {
        self.participant
    }

    /// Says something to the room. False when the room is no more.
    pub(crate) async fn say(&self, saying: Saying) -> bool {
        let command = Command::Hear(self.participant, saying);
        self.commands.send(command).await.is_ok()
    }

    /// Exchanges media, or begins anew.
    pub(crate) async fn offer(&self, outbound: &Outbound, offer: Offer, limits: &Limits) {
        let room = self.room.clone();
        self.media
            .connect(
                room,
                self.participant,
                outbound,
                offer,
                limits.answer_within,
            )
            .await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.media.disconnect(self.participant);
        let leave = Command::Leave(self.participant);
        if let Err(mpsc::error::TrySendError::Full(leave)) = self.commands.try_send(leave) {
            let commands = self.commands.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { commands.send(leave).await });
            }
        }
    }
}

/// All rooms.
pub(crate) struct Registry {
    rooms: Mutex<HashMap<RoomId, mpsc::Sender<Command>>>,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    media: Arc<Media>,
    tasks: TaskTracker,
}

impl Registry {
    pub(crate) fn new(
        limits: Arc<Limits>,
        metrics: Arc<Metrics>,
        media: Arc<Media>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            rooms: Mutex::new(HashMap::new()),
            limits,
            metrics,
            media,
            tasks,
        }
    }

    /// Comes into a room, which is made if nobody is there.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        room: RoomId,
        key: RoomAuth,
        participant: ParticipantId,
        outbound: Outbound,
    ) -> Result<Seat, Refused> {
        let (answer, answered) = oneshot::channel();
        self.knock(room, key, participant, outbound, answer)?;
        // A room that fails while someone is at its door is as good as none.
        answered.await.unwrap_or(Err(Refused::ServerFull))
    }

    /// Sending under the lock is what lets a room end safely: see [`Self::close`].
    fn knock(
        self: &Arc<Self>,
        room: RoomId,
        key: RoomAuth,
        participant: ParticipantId,
        outbound: Outbound,
        answer: oneshot::Sender<Result<Seat, Refused>>,
    ) -> Result<(), Refused> {
        let mut rooms = self.rooms();
        let open = rooms.get(&room).filter(|room| !room.is_closed()).cloned();
        let commands = match open {
            Some(commands) => commands,
            None if rooms.len() >= self.limits.rooms => return Err(Refused::ServerFull),
            None => {
                let (commands, mailbox) = mpsc::channel(ROOM_QUEUE);
                let lock = RoomLock::for_key(&key);
                let host = Host {
                    room: Room::new(lock, self.limits.participants_per_room),
                    id: room.clone(),
                    guests: HashMap::new(),
                    registry: Arc::clone(self),
                };
                self.tasks.spawn(host.run(mailbox));
                rooms.insert(room.clone(), commands.clone());
                self.metrics.rooms.set(count(rooms.len()));
                commands
            }
        };
        let seat = Seat {
            participant,
            room,
            commands: commands.clone(),
            media: Arc::clone(&self.media),
        };
        let entry = Box::new(Entry {
            key,
            seat,
            outbound,
            answer,
        });
        commands
            .try_send(Command::Enter(entry))
            .map_err(|_| Refused::ServerFull)
    }

    /// Takes an empty room off the list, unless someone is at its door again.
    fn close(&self, room: &RoomId, mailbox: &mpsc::Receiver<Command>) -> bool {
        let mut rooms = self.rooms();
        let quiet = mailbox.is_empty();
        if quiet {
            rooms.remove(room);
            self.metrics.rooms.set(count(rooms.len()));
        }
        quiet
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomId, mpsc::Sender<Command>>> {
        // Every change of the map is one step: it is whole even after a panic.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Someone in a room, as the room's task knows them.
struct Guest {
    outbound: Outbound,
    entered: Instant,
    in_group: bool,
}

/// The task around a room.
struct Host {
    room: Room,
    id: RoomId,
    guests: HashMap<ParticipantId, Guest>,
    registry: Arc<Registry>,
}

impl Host {
    async fn run(mut self, mut mailbox: mpsc::Receiver<Command>) {
        loop {
            let due = self.room.poll_timeout();
            let timeout = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = mailbox.recv() => match command {
                    Some(Command::Enter(entry)) => self.enter(*entry),
                    Some(Command::Hear(participant, saying)) => self.hear(participant, saying),
                    Some(Command::Leave(participant)) => {
                        self.guests.remove(&participant);
                        self.room.leave(participant);
                    }
                    None => break,
                },
                () = timeout => {}
            }
            self.room.tend(Instant::now());
            self.deliver();
            if self.room.is_empty() && self.registry.close(&self.id, &mailbox) {
                break;
            }
        }
    }

    fn enter(&mut self, entry: Entry) {
        let Entry {
            key,
            seat,
            outbound,
            answer,
        } = entry;
        let now = Instant::now();
        let result = match self.room.enter(now, seat.participant, &key) {
            Ok(()) => {
                let guest = Guest {
                    outbound,
                    entered: now,
                    in_group: false,
                };
                self.guests.insert(seat.participant, guest);
                Ok(seat)
            }
            Err(refused) => Err(Refused::AtTheDoor(refused)),
        };
        // If the client is gone by now, its seat comes back in the error and is dropped,
        // which is leaving.
        drop(answer.send(result));
    }

    fn hear(&mut self, participant: ParticipantId, saying: Saying) {
        self.room.hear(participant, saying);
        if let Some(guest) = self.guests.get_mut(&participant)
            && !guest.in_group
            && self.room.is_member(participant)
        {
            guest.in_group = true;
            self.registry
                .metrics
                .took(Phase::Group, guest.entered.elapsed());
        }
    }

    /// Does what the room wants done, until it wants nothing more.
    fn deliver(&mut self) {
        while let Some(output) = self.room.poll() {
            match output {
                Output::Tell(audience, message) => match Parcel::pack(&message) {
                    Ok(parcel) => self.tell(audience, &parcel),
                    Err(error) => {
                        tracing::error!(%error, "a message could not be written as JSON");
                    }
                },
                Output::Remove {
                    participant,
                    code,
                    detail,
                } => {
                    if let Some(guest) = self.guests.remove(&participant) {
                        guest.outbound.end(Ending::shown_out(code, detail));
                    }
                }
            }
        }
    }

    fn tell(&mut self, audience: Audience, parcel: &Parcel) {
        let room = &mut self.room;
        let listens = |guest: &Guest| guest.outbound.tell(parcel.clone());
        match audience {
            Audience::One(one) => {
                if self.guests.get(&one).is_some_and(|guest| !listens(guest)) {
                    self.guests.remove(&one);
                    room.leave(one);
                }
            }
            Audience::Everyone | Audience::EveryoneBut(_) => self.guests.retain(|id, guest| {
                let heard = audience == Audience::EveryoneBut(*id) || listens(guest);
                if !heard {
                    room.leave(*id);
                }
                heard
            }),
        }
    }
}
