//! What happened in rooms, kept until it was told: to webhooks, and to whoever asks.
//!
//! Each event has a number in one order for all rooms, and a sequence without gaps in its room.
//! It is on the disk before those in the room hear of what it tells. Nothing is noted of rooms
//! that nobody made over the API while there is no webhook.

mod deliver;
mod endpoint;
mod signature;

use std::{sync::Arc, time::Duration};

use conclave_protocol::{ParticipantId, RoomId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use utoipa::ToSchema;

use crate::{
    moment::Moment,
    store::{Store, StoreError},
};

pub(crate) use deliver::Deliveries;
pub(crate) use endpoint::{Endpoint, check_url};

/// Events are kept so long, delivered or not.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// A room that is quiet for so long begins to count anew.
const COUNT_KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The first came into the room.
    RoomStarted,
    /// The last has left.
    RoomEnded,
    /// Somebody came.
    ParticipantJoined,
    /// Somebody left, or did not come back in time.
    ParticipantLeft,
    /// The room was closed over the API, or its time was over.
    RoomClosed,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::RoomStarted,
        Self::RoomEnded,
        Self::ParticipantJoined,
        Self::ParticipantLeft,
        Self::RoomClosed,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::RoomStarted => "room_started",
            Self::RoomEnded => "room_ended",
            Self::ParticipantJoined => "participant_joined",
            Self::ParticipantLeft => "participant_left",
            Self::RoomClosed => "room_closed",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Something that happens in a room, to be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) kind: Kind,
    pub(crate) participant: Option<ParticipantId>,
}

impl Happening {
    pub(crate) const fn of(kind: Kind) -> Self {
        Self {
            kind,
            participant: None,
        }
    }

    pub(crate) const fn about(kind: Kind, participant: ParticipantId) -> Self {
        Self {
            kind,
            participant: Some(participant),
        }
    }
}

/// Something that happened and was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) room: String,
    pub(crate) sequence: u64,
    pub(crate) kind: Kind,
    pub(crate) participant: Option<ParticipantId>,
    pub(crate) at: Moment,
}

impl Event {
    const COLUMNS: &str = "number, room, sequence, kind, participant, at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let kind: String = row.get(3)?;
        let participant: Option<i64> = row.get(4)?;
        Ok(Self {
            number: row.get(0)?,
            room: row.get(1)?,
            sequence: row.get(2)?,
            kind: Kind::named(&kind).ok_or(rusqlite::Error::InvalidQuery)?,
            participant: participant.map(|id| ParticipantId::new(id.cast_unsigned())),
            at: row.get(5)?,
        })
    }
}

/// Takes what happens, and wakes those who tell it.
pub(crate) struct Outbox {
    store: Store,
    /// Wakes the deliveries.
    pub(crate) fresh: Arc<Notify>,
}

impl Outbox {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            fresh: Arc::new(Notify::new()),
        }
    }

    /// Notes what happened, in its turn with everything else that is kept. It is on the disk
    /// when this answers; a server that keeps nothing notes nothing.
    pub(crate) fn note(
        &self,
        room: &RoomId,
        happenings: Vec<Happening>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let noted = (self.store.is_durable() && !happenings.is_empty()).then(|| {
            let room = room.clone();
            self.store
                .run(move |it| note(it, room.as_str(), &happenings, Moment::now()))
        });
        let fresh = Arc::clone(&self.fresh);
        async move {
            match noted {
                None => {}
                Some(noted) => match noted.await {
                    Ok(0) => {}
                    Ok(_) => fresh.notify_waiters(),
                    Err(error) => tracing::error!(%error, "an event was not noted"),
                },
            }
        }
    }

    /// Notes the ends of those calls that a crash ended, and that are not among these.
    pub(crate) async fn note_ends(&self) -> Result<(), StoreError> {
        let sql =
            "SELECT room FROM event_count WHERE is_open AND room NOT IN (SELECT id FROM room)";
        let noted = self.store.run(move |connection| {
            let mut query = connection.prepare(sql)?;
            let rooms = query.query_map([], |row| row.get::<_, String>(0))?;
            let rooms: Vec<_> = rooms.collect::<Result<_, _>>()?;
            for room in rooms {
                let ended = [Happening::of(Kind::RoomEnded)];
                note(connection, &room, &ended, Moment::now())?;
            }
            Ok(())
        });
        noted.await
    }
}

impl Store {
    /// What happened in a room after this sequence.
    pub(crate) async fn events(
        &self,
        room: &RoomId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let room = room.clone();
        self.run(move |connection| {
            let sql = format!(
                "SELECT {} FROM event WHERE room = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
                Event::COLUMNS
            );
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            connection
                .prepare_cached(&sql)?
                .query_map(
                    params![room.as_str(), after.cast_signed(), limit],
                    Event::read,
                )?
                .collect()
        })
        .await
    }

    /// Forgets what is too old to be told.
    pub(crate) async fn forget_events(&self) -> Result<(), StoreError> {
        self.run(|connection| {
            let now = Moment::now();
            connection.execute("DELETE FROM event WHERE at <= ?1", [now.before(KEPT_FOR)])?;
            connection.execute(
                "DELETE FROM event_count WHERE NOT is_open AND at <= ?1",
                [now.before(COUNT_KEPT_FOR)],
            )?;
            Ok(())
        })
        .await
    }
}

/// Notes what happened. How many were noted.
pub(crate) fn note(
    connection: &Connection,
    room: &str,
    happenings: &[Happening],
    now: Moment,
) -> rusqlite::Result<usize> {
    let sql = "SELECT last, is_open FROM event_count WHERE room = ?1";
    let count: Option<(i64, bool)> = connection
        .prepare_cached(sql)?
        .query_row([room], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (mut last, mut is_open) = count.unwrap_or_default();
    let mut is_wanted = connection.prepare_cached(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM webhook)
         OR EXISTS (SELECT 1 FROM made_room WHERE room = ?1)",
    )?;
    // What was begun is told to its end.
    if !is_open && !is_wanted.exists([room])? {
        return Ok(0);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO event (room, sequence, kind, participant, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for Happening { kind, participant } in happenings {
        match kind {
            Kind::RoomStarted => is_open = true,
            Kind::RoomEnded => is_open = false,
            _ => {}
        }
        last += 1;
        let participant = participant.map(|id| id.get().cast_signed());
        insert.execute(params![room, last, kind.name(), participant, now])?;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO event_count VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![room, last, now, is_open])?;
    Ok(happenings.len())
}
