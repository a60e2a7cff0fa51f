//! Which rooms there are, and who can come back to which. Each is a [`Room`] in a task of its
//! own ([`crate::host`]), which ends when the room is empty.

mod seat;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use conclave_protocol::{
    InviteToken, ParticipantId, RoomAuth, RoomId, RoomLock,
    session::{Position, SessionToken, TokenHash},
    signal::ErrorCode,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    entry::Verdict,
    host::{Arrival, Command, Host, LineId, Return},
    limits::{Limits, RoomSize},
    media::Media,
    metrics::Metrics,
    outbound::{Ending, Outbound},
    outbox::{Happening, Kind, Outbox},
    room::{EntryRefused, Room},
    store::{Store, StoreError, rooms::KeptRoom},
};

use seat::Parting;
pub(crate) use seat::Seat;

/// Commands that may wait for one room.
const ROOM_QUEUE: usize = 1024;

/// Nobody is on the way through the server's door for so long.
const DOOR_TIME: Duration = Duration::from_secs(600);

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The room did not want to.
    AtTheDoor(EntryRefused),
    /// The server has no place left.
    ServerFull,
    /// Too many come into the room at this moment.
    RoomBusy,
    /// The server takes no new calls any more.
    Draining,
    /// There is no room of this name, and not just anybody makes one.
    NoSuchRoom,
    /// The room takes those who were invited.
    NotInvited,
    /// An operator closes the room at this moment.
    Closed,
    /// The place to come back to is not there any more.
    NotKept,
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
            Self::RoomBusy => Ending::shown_out(
                ErrorCode::RoomBusy,
                "too many people come into this call at this moment: try again in a few seconds",
            ),
            Self::Draining => Ending::shown_out(
                ErrorCode::Draining,
                "the server is about to stop and takes no new calls: try again later",
            ),
            Self::NoSuchRoom => Ending::shown_out(
                ErrorCode::NoSuchRoom,
                "there is no such call on this server: ask whoever invited you for a new link",
            ),
            Self::NotInvited => Ending::shown_out(
                ErrorCode::NotInvited,
                "this call takes those who were invited, and your invitation does not count, or \
                 not any more: ask for a new one",
            ),
            Self::Closed => Ending::shown_out(
                ErrorCode::RoomClosed,
                "who runs this server has closed the call",
            ),
            Self::NotKept => Ending::shown_out(
                ErrorCode::SessionLost,
                "your place was not kept for so long: join anew",
            ),
        }
    }
}

/// Where somebody is who can come back.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) room: RoomId,
    pub(crate) participant: ParticipantId,
    /// Whether the room lets them exchange media and files. Kept up to date by the room.
    pub(crate) permit: Arc<AtomicBool>,
}

/// Somebody on the way into a room.
struct Newcomer {
    key: RoomAuth,
    participant: ParticipantId,
    outbound: Outbound,
    /// When they came to the server's door.
    came: Instant,
}

/// All rooms.
pub(crate) struct Registry {
    rooms: Mutex<HashMap<RoomId, mpsc::Sender<Command>>>,
    sessions: Mutex<HashMap<TokenHash, Place>>,
    /// When rooms were closed, lately: who was on the way into one does not open it again.
    closings: Mutex<HashMap<RoomId, Instant>>,
    /// Rooms of which something is kept though they have ended: the store did not take it.
    unforgotten: Mutex<HashSet<RoomId>>,
    lines: AtomicU64,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) media: Arc<Media>,
    pub(crate) store: Store,
    pub(crate) outbox: Outbox,
    pub(crate) stopping: CancellationToken,
    /// Cancelled when the server takes no new calls any more.
    pub(crate) draining: CancellationToken,
    tasks: TaskTracker,
}

impl Registry {
    pub(crate) fn new(
        limits: Arc<Limits>,
        metrics: Arc<Metrics>,
        media: Arc<Media>,
        store: Store,
        stopping: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            rooms: Mutex::new(HashMap::new()),
            sessions: Mutex::new(HashMap::new()),
            closings: Mutex::new(HashMap::new()),
            unforgotten: Mutex::new(HashSet::new()),
            lines: AtomicU64::new(0),
            limits,
            metrics,
            media,
            outbox: Outbox::new(store.clone()),
            store,
            stopping,
            draining: CancellationToken::new(),
            tasks,
        }
    }

    /// Opens the rooms that were kept.
    pub(crate) fn recall(self: &Arc<Self>, kept: Vec<KeptRoom>) {
        let now = Instant::now();
        for room in kept {
            let id = room.room.clone();
            match Host::recall(room, Arc::clone(self), now) {
                // It would wait for nobody.
                Ok(host) if host.is_deserted() => self.forget_room(id),
                Ok(host) => {
                    for (token, place) in host.sessions() {
                        self.remember(token, place);
                    }
                    let commands = self.open(host);
                    self.rooms().insert(id, commands);
                }
                // Nobody can come back to it, and the next who come make it anew.
                Err(error) => {
                    tracing::error!(%error, "a room that was kept is given up");
                    self.forget_room(id);
                }
            }
        }
        self.metrics.rooms.set(count(self.rooms().len()));
    }

    /// Whose token this is.
    pub(crate) fn who(&self, token: &SessionToken) -> Option<Place> {
        self.sessions().get(&token.hash()).cloned()
    }

    /// Whether somebody is in a room of this name.
    pub(crate) fn is_open(&self, room: &str) -> bool {
        let open = self.rooms();
        room.parse()
            .is_ok_and(|room: RoomId| open.contains_key(&room))
    }

    /// From now on this participant can come back.
    pub(crate) fn remember(&self, token: TokenHash, place: Place) {
        self.sessions().insert(token, place);
    }

    /// This participant cannot come back any more.
    pub(crate) fn forget(&self, token: TokenHash) {
        self.sessions().remove(&token);
    }

    /// Comes back to a place that was kept.
    pub(crate) async fn take_back(
        &self,
        token: &SessionToken,
        seen: Position,
        outbound: Outbound,
    ) -> Result<Seat, Refused> {
        let place = self.who(token).ok_or(Refused::NotKept)?;
        let Place {
            room, participant, ..
        } = place;
        let commands = self.rooms().get(&room).cloned();
        let commands = commands.ok_or(Refused::NotKept)?;
        let (answer, answered) = oneshot::channel();
        let returning = Box::new(Return {
            token: token.hash(),
            seen,
            seat: self.seat(participant, room, commands.clone()),
            outbound,
            answer,
        });
        let sent = commands.send(Command::Return(returning)).await;
        sent.map_err(|_| Refused::NotKept)?;
        answered.await.unwrap_or(Err(Refused::NotKept))
    }

    fn seat(
        &self,
        participant: ParticipantId,
        room: RoomId,
        commands: mpsc::Sender<Command>,
    ) -> Seat {
        Seat {
            participant,
            line: LineId(self.lines.fetch_add(1, Ordering::Relaxed)),
            parting: Parting::BrokeOff,
            permit: Arc::new(AtomicBool::new(false)),
            room,
            commands,
            media: Arc::clone(&self.media),
        }
    }

    fn open(&self, host: Host) -> mpsc::Sender<Command> {
        let (commands, mailbox) = mpsc::channel(ROOM_QUEUE);
        self.tasks.spawn(host.run(mailbox));
        commands
    }

    /// Comes into a room, which is made if nobody is there, once the server's door has opened.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        room: RoomId,
        key: RoomAuth,
        invite: Option<&InviteToken>,
        participant: ParticipantId,
        outbound: Outbound,
    ) -> Result<Seat, Refused> {
        let came = Instant::now();
        let capacity = self.pass(&room, invite).await?;
        let (answer, answered) = oneshot::channel();
        let newcomer = Newcomer {
            key,
            participant,
            outbound,
            came,
        };
        let entered = match self.knock(&room, capacity, newcomer, answer) {
            // A room that fails while someone is at its door is as good as none.
            Ok(()) => answered.await.unwrap_or(Err(Refused::ServerFull)),
            Err(refused) => Err(refused),
        };
        if entered.is_err()
            && let Some(invite) = invite
        {
            self.store.give_back(&room, invite);
        }
        entered
    }

    /// Passes the server's door. How many are to be in the room.
    async fn pass(&self, room: &RoomId, invite: Option<&InviteToken>) -> Result<RoomSize, Refused> {
        let most = self.limits.participants_per_room;
        let only_made = self.limits.only_made_rooms;
        match self.store.knock(room, invite, only_made).await {
            Ok(Verdict::Welcome(capacity)) => Ok(capacity.map_or(most, |it| it.min(most))),
            Ok(Verdict::NoSuchRoom) => Err(Refused::NoSuchRoom),
            Ok(Verdict::NotInvited) => Err(Refused::NotInvited),
            // A door that nobody can ask about stays shut.
            Err(error) => {
                tracing::error!(%error, "who may come in cannot be looked up");
                Err(Refused::ServerFull)
            }
        }
    }

    /// Sending under the lock is what lets a room end safely: see [`Self::close`].
    fn knock(
        self: &Arc<Self>,
        room: &RoomId,
        capacity: RoomSize,
        newcomer: Newcomer,
        answer: oneshot::Sender<Result<Seat, Refused>>,
    ) -> Result<(), Refused> {
        let Newcomer {
            key,
            participant,
            outbound,
            came,
        } = newcomer;
        let mut rooms = self.rooms();
        if self.closings().get(room).is_some_and(|at| *at >= came) {
            return Err(Refused::Closed);
        }
        let open = rooms.get(room).filter(|room| !room.is_closed()).cloned();
        let commands = match open {
            Some(commands) => commands,
            None if self.draining.is_cancelled() => return Err(Refused::Draining),
            None if rooms.len() >= self.limits.rooms => return Err(Refused::ServerFull),
            None => {
                let lock = RoomLock::for_key(&key);
                let fresh = Room::new(lock, self.limits.participants_per_room);
                let commands = self.open(Host::new(fresh, room.clone(), Arc::clone(self)));
                rooms.insert(room.clone(), commands.clone());
                self.metrics.rooms.set(count(rooms.len()));
                commands
            }
        };
        let arrival = Box::new(Arrival {
            key,
            capacity,
            seat: self.seat(participant, room.clone(), commands.clone()),
            outbound,
            answer,
        });
        commands
            .try_send(Command::Enter(arrival))
            .map_err(|_| Refused::ServerFull)
    }

    /// Takes an empty room off the list and out of the store, unless someone is at its door
    /// again. Asking the store under the lock puts it before whatever the next room of this name
    /// asks.
    pub(crate) fn close(
        self: &Arc<Self>,
        room: &RoomId,
        mailbox: &mpsc::Receiver<Command>,
        has_rows: bool,
    ) -> bool {
        let mut rooms = self.rooms();
        let quiet = mailbox.is_empty();
        if quiet {
            if has_rows {
                self.forget_room(room.clone());
            }
            let ended = vec![Happening::of(Kind::RoomEnded)];
            self.tasks.spawn(self.outbox.note(room, ended));
            rooms.remove(room);
            self.metrics.rooms.set(count(rooms.len()));
        }
        quiet
    }

    /// Forgets what is kept of a room that is not there. What fails is tried again.
    fn forget_room(self: &Arc<Self>, room: RoomId) {
        // Asked here and now: see `Self::close`.
        let forgotten = self.store.forget(&room);
        let registry = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = forgotten.await {
                tracing::error!(%error, "a room that has ended was not forgotten");
                registry.unforgotten().insert(room);
            }
        });
    }

    /// True when nobody is in any room.
    pub(crate) fn is_empty(&self) -> bool {
        self.rooms().is_empty()
    }

    /// The names of the rooms with someone in them, in their order.
    pub(crate) fn names(&self) -> Vec<RoomId> {
        let mut names: Vec<_> = self.rooms().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Asks a room something; none if there is no such room, or no longer.
    pub(crate) async fn ask<T>(
        &self,
        room: &RoomId,
        ask: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Option<T> {
        let commands = self.rooms().get(room).cloned()?;
        let (answer, answered) = oneshot::channel();
        commands.send(ask(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Closes a room for good: everyone is shown out, and what made it a room is forgotten.
    /// False if there is none. It is done to its end, even if nobody waits for it any more: a
    /// room that is made no longer would stand open to everyone.
    pub(crate) async fn shut(self: &Arc<Self>, room: &RoomId) -> Result<bool, StoreError> {
        let (rooms, room) = (Arc::clone(self), room.clone());
        let shut = self.tasks.spawn(async move { rooms.shut_now(&room).await });
        match shut.await {
            Ok(shut) => shut,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    async fn shut_now(&self, room: &RoomId) -> Result<bool, StoreError> {
        let is_open = self.rooms().contains_key(room);
        let is_there = self.store.close_room(room, is_open).await?;
        self.outbox.fresh.notify_waiters();
        self.closings().insert(room.clone(), Instant::now());
        let was_open = self.ask(room, Command::Close).await.is_some();
        Ok(is_there || was_open)
    }

    /// Forgets what nobody on the way in can meet any more.
    pub(crate) fn tidy(self: &Arc<Self>) {
        self.closings().retain(|_, at| at.elapsed() < DOOR_TIME);
        // Under the lock, as in `Self::close`. What is open again forgets what was kept before.
        let rooms = self.rooms();
        let unforgotten = std::mem::take(&mut *self.unforgotten());
        for room in unforgotten {
            if rooms.contains_key(&room) {
                self.unforgotten().insert(room);
            } else {
                self.forget_room(room);
            }
        }
    }

    fn unforgotten(&self) -> MutexGuard<'_, HashSet<RoomId>> {
        let unforgotten = self.unforgotten.lock();
        unforgotten.unwrap_or_else(PoisonError::into_inner)
    }

    fn closings(&self) -> MutexGuard<'_, HashMap<RoomId, Instant>> {
        self.closings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<TokenHash, Place>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomId, mpsc::Sender<Command>>> {
        // Every change of the map is one step: it is whole even after a panic.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod rig;
#[cfg(test)]
mod tests;
