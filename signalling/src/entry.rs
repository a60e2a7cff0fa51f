//! The server's door: which rooms there may be, and whom it lets into which. What is behind it,
//! the group, opens to the link's secret only.

use conclave_protocol::{InviteToken, RoomId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    limits::RoomSize,
    moment::Moment,
    outbox::{Happening, Kind, note},
    store::{Store, StoreError},
};

/// As many rooms may be made.
const MOST_ROOMS: i64 = 100_000;

/// As many invites one room has.
const MOST_INVITES: i64 = 10_000;

/// Whom a room takes, once the server's door is passed the link decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// Whoever has the link.
    #[default]
    Open,
    /// Whoever has the link and an invite.
    Invite,
}

/// A room that was made over the operators' API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MadeRoom {
    pub(crate) room: RoomId,
    pub(crate) created: Moment,
    pub(crate) entry: Entry,
    pub(crate) capacity: Option<RoomSize>,
    pub(crate) expires: Option<Moment>,
}

impl MadeRoom {
    const COLUMNS: &str = "room, created, by_invite, capacity, expires";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let room: String = row.get(0)?;
        let by_invite: bool = row.get(2)?;
        let capacity: Option<u16> = row.get(3)?;
        Ok(Self {
            // Nothing but names of rooms was ever put there.
            room: room.parse().map_err(|_| rusqlite::Error::InvalidQuery)?,
            created: row.get(1)?,
            entry: if by_invite {
                Entry::Invite
            } else {
                Entry::Open
            },
            capacity: capacity.and_then(|most| RoomSize::new(most).ok()),
            expires: row.get(4)?,
        })
    }
}

/// An invite, without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invite {
    pub(crate) id: String,
    pub(crate) created: Moment,
    pub(crate) uses: Option<u32>,
    pub(crate) used: u32,
    pub(crate) expires: Option<Moment>,
}

/// Whether the server's door opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does. If fewer are to be in the room than the server would take, how many.
    Welcome(Option<RoomSize>),
    /// There is no such room, and nobody but the operator makes one.
    NoSuchRoom,
    /// An invite is needed.
    NotInvited,
}

/// Why something was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotMade {
    /// A room of this name was made before.
    Taken,
    /// There are too many already.
    TooMany,
    /// There is no such room.
    NoRoom,
}

impl Store {
    /// Decides on someone at the door. An invite that lets them in is spent when this answers.
    pub(crate) async fn knock(
        &self,
        room: &RoomId,
        invite: Option<&InviteToken>,
        only_made: bool,
    ) -> Result<Verdict, StoreError> {
        let (room, invite) = (room.clone(), invite.map(InviteToken::hash));
        let now = Moment::now();
        self.run(move |it| knock(it, &room, invite.as_ref(), only_made, now))
            .await
    }

    /// Whom the invite let through the door did not come into the room.
    pub(crate) fn give_back(&self, room: &RoomId, invite: &InviteToken) {
        let (room, invite) = (room.clone(), invite.hash());
        drop(self.run(move |connection| {
            let sql = "UPDATE invite SET used = used - 1 WHERE hash = ?1 AND room = ?2 AND used > 0
                       AND EXISTS (SELECT 1 FROM made_room WHERE room = ?2 AND by_invite)";
            connection
                .prepare_cached(sql)?
                .execute(params![invite, room.as_str()])
        }));
    }

    pub(crate) async fn make_room(
        &self,
        room: MadeRoom,
    ) -> Result<Result<(), NotMade>, StoreError> {
        self.run(move |connection| {
            forget_expired(connection, &room.room, room.created)?;
            let count: i64 =
                connection.query_row("SELECT count(*) FROM made_room", [], |row| row.get(0))?;
            if count >= MOST_ROOMS {
                return Ok(Err(NotMade::TooMany));
            }
            let sql = "INSERT OR IGNORE INTO made_room VALUES (?1, ?2, ?3, ?4, ?5)";
            let made = connection.execute(
                sql,
                params![
                    room.room.as_str(),
                    room.created,
                    room.entry == Entry::Invite,
                    room.capacity
                        .map(|most| u16::try_from(most.get()).unwrap_or(u16::MAX)),
                    room.expires,
                ],
            )?;
            Ok(if made == 1 {
                Ok(())
            } else {
                Err(NotMade::Taken)
            })
        })
        .await
    }

    /// The room as it was made, if it was and has not expired.
    pub(crate) async fn made_room(&self, room: &RoomId) -> Result<Option<MadeRoom>, StoreError> {
        let room = room.clone();
        self.run(move |it| made_room(it, &room, Moment::now()))
            .await
    }

    /// Rooms that were made, in the order of their names, from the one after this on.
    pub(crate) async fn made_rooms(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<MadeRoom>, StoreError> {
        self.run(move |connection| {
            let sql = format!(
                "SELECT {} FROM made_room WHERE room > ?1 AND (expires IS NULL OR expires > ?2)
                 ORDER BY room LIMIT ?3",
                MadeRoom::COLUMNS
            );
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            connection
                .prepare_cached(&sql)?
                .query_map(
                    params![after.unwrap_or_default(), Moment::now(), limit],
                    MadeRoom::read,
                )?
                .collect()
        })
        .await
    }

    /// Notes that a room is closed, and forgets that it was made, and its invites. False if it
    /// was neither made nor open.
    pub(crate) async fn close_room(
        &self,
        room: &RoomId,
        is_open: bool,
    ) -> Result<bool, StoreError> {
        let room = room.clone();
        let is_durable = self.is_durable();
        self.run(move |connection| {
            let mut query = connection.prepare_cached("SELECT 1 FROM made_room WHERE room = ?1")?;
            let is_there = is_open || query.exists([room.as_str()])?;
            if is_there && is_durable {
                let closed = [Happening::of(Kind::RoomClosed)];
                note(connection, room.as_str(), &closed, Moment::now())?;
            }
            unmake(connection, &room)?;
            Ok(is_there)
        })
        .await
    }

    /// The rooms whose time is over.
    pub(crate) async fn expired_rooms(&self) -> Result<Vec<RoomId>, StoreError> {
        self.run(|connection| {
            let sql = "SELECT room FROM made_room WHERE expires <= ?1 LIMIT 100";
            let mut query = connection.prepare_cached(sql)?;
            let rooms = query.query_map([Moment::now()], |row| row.get::<_, String>(0))?;
            let rooms: Vec<_> = rooms.collect::<Result<_, _>>()?;
            Ok(rooms.iter().filter_map(|room| room.parse().ok()).collect())
        })
        .await
    }

    pub(crate) async fn invite(
        &self,
        room: &RoomId,
        invite: Invite,
        token: &InviteToken,
    ) -> Result<Result<(), NotMade>, StoreError> {
        let (room, hash) = (room.clone(), token.hash());
        self.run(move |connection| {
            if made_room(connection, &room, invite.created)?.is_none() {
                return Ok(Err(NotMade::NoRoom));
            }
            let name = room.as_str();
            connection.execute(
                "DELETE FROM invite WHERE room = ?1 AND (expires <= ?2 OR used >= uses)",
                params![name, invite.created],
            )?;
            let count: i64 = connection
                .prepare_cached("SELECT count(*) FROM invite WHERE room = ?1")?
                .query_row([name], |row| row.get(0))?;
            if count >= MOST_INVITES {
                return Ok(Err(NotMade::TooMany));
            }
            connection.execute(
                "INSERT INTO invite VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    invite.id,
                    name,
                    hash,
                    invite.created,
                    invite.uses,
                    invite.used,
                    invite.expires
                ],
            )?;
            Ok(Ok(()))
        })
        .await
    }

    /// The invites of a room, in the order of their ids; none if it was not made.
    pub(crate) async fn invites(
        &self,
        room: &RoomId,
        after: Option<String>,
        limit: usize,
    ) -> Result<Option<Vec<Invite>>, StoreError> {
        let room = room.clone();
        self.run(move |connection| {
            if made_room(connection, &room, Moment::now())?.is_none() {
                return Ok(None);
            }
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let sql = "SELECT id, created, uses, used, expires FROM invite
                       WHERE room = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
            let invites = connection
                .prepare_cached(sql)?
                .query_map(
                    params![room.as_str(), after.unwrap_or_default(), limit],
                    |row| {
                        Ok(Invite {
                            id: row.get(0)?,
                            created: row.get(1)?,
                            uses: row.get(2)?,
                            used: row.get(3)?,
                            expires: row.get(4)?,
                        })
                    },
                )?
                .collect::<Result<_, _>>()?;
            Ok(Some(invites))
        })
        .await
    }

    pub(crate) async fn revoke_invite(
        &self,
        room: &RoomId,
        id: String,
    ) -> Result<bool, StoreError> {
        let room = room.clone();
        self.run(move |connection| {
            let sql = "DELETE FROM invite WHERE room = ?1 AND id = ?2";
            Ok(connection.execute(sql, params![room.as_str(), id])? == 1)
        })
        .await
    }
}

fn made_room(
    connection: &Connection,
    room: &RoomId,
    now: Moment,
) -> rusqlite::Result<Option<MadeRoom>> {
    let sql = format!(
        "SELECT {} FROM made_room WHERE room = ?1 AND (expires IS NULL OR expires > ?2)",
        MadeRoom::COLUMNS
    );
    connection
        .prepare_cached(&sql)?
        .query_row(params![room.as_str(), now], MadeRoom::read)
        .optional()
}

fn knock(
    connection: &Connection,
    room: &RoomId,
    invite: Option<&[u8; 32]>,
    only_made: bool,
    now: Moment,
) -> rusqlite::Result<Verdict> {
    let Some(made) = made_room(connection, room, now)? else {
        return Ok(if only_made {
            Verdict::NoSuchRoom
        } else {
            Verdict::Welcome(None)
        });
    };
    if made.entry == Entry::Invite {
        let sql = "UPDATE invite SET used = used + 1 WHERE hash = ?1 AND room = ?2
                   AND (uses IS NULL OR used < uses) AND (expires IS NULL OR expires > ?3)";
        let mut spend = connection.prepare_cached(sql)?;
        if spend.execute(params![invite, room.as_str(), now])? != 1 {
            return Ok(Verdict::NotInvited);
        }
    }
    Ok(Verdict::Welcome(made.capacity))
}

fn unmake(connection: &Connection, room: &RoomId) -> rusqlite::Result<()> {
    let name = room.as_str();
    connection.execute("DELETE FROM invite WHERE room = ?1", [name])?;
    connection.execute("DELETE FROM made_room WHERE room = ?1", [name])?;
    Ok(())
}

fn forget_expired(connection: &Connection, room: &RoomId, now: Moment) -> rusqlite::Result<()> {
    let sql = "SELECT 1 FROM made_room WHERE room = ?1 AND expires <= ?2";
    let mut query = connection.prepare_cached(sql)?;
    if query.exists(params![room.as_str(), now])? {
        unmake(connection, room)?;
    }
    Ok(())
}
