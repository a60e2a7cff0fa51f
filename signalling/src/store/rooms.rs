//! What is kept of rooms: what they are to remember, what they told, and who can come back.

use conclave_protocol::{
    ParticipantId, RoomId,
    session::{MessageNumber, Position, TokenHash},
};
use rusqlite::{Connection, params};

use super::{Store, StoreError};
use crate::room::Audience;

/// Something that a room told.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where it stands.
    pub(crate) position: Position,
    /// Who was told.
    pub(crate) audience: Audience,
    /// The message as JSON, without its position.
    pub(crate) text: String,
}

/// The same without its message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeptEntry {
    pub(crate) position: Position,
    pub(crate) audience: Audience,
    pub(crate) bytes: usize,
}

/// Someone who can come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptSession {
    pub(crate) token: TokenHash,
    pub(crate) participant: ParticipantId,
    /// The last that was heard of them.
    pub(crate) heard: MessageNumber,
    /// The last that they were told and that is not kept: who has not seen it misses something.
    pub(crate) floor: Position,
}

/// What changed about a room.
#[derive(Debug)]
pub(crate) struct RoomChange {
    pub(crate) room: RoomId,
    /// What it is to remember, if that changed.
    pub(crate) memory: Option<String>,
    pub(crate) position: Position,
    /// What was told up to here need not be kept any more.
    pub(crate) floor: Position,
    pub(crate) entries: Vec<Entry>,
    /// New ones, and those of whom more was heard.
    pub(crate) sessions: Vec<KeptSession>,
    /// Those who will not come back.
    pub(crate) ended: Vec<TokenHash>,
    /// What was kept before is not true: earlier changes were not kept.
    pub(crate) anew: bool,
}

/// A room as it was when the process ended.
#[derive(Debug)]
pub(crate) struct KeptRoom {
    pub(crate) room: RoomId,
    pub(crate) memory: String,
    pub(crate) position: Position,
    pub(crate) floor: Position,
    pub(crate) sessions: Vec<KeptSession>,
    /// The entries that are there, in their order.
    pub(crate) entries: Vec<KeptEntry>,
}

impl Store {
    /// Keeps what changed about a room.
    pub(crate) async fn keep(&self, change: RoomChange) -> Result<(), StoreError> {
        self.run(move |connection| keep(connection, &change)).await
    }

    /// Forgets a room. Whoever makes it anew is not affected, if this is asked first; it is asked
    /// at once, not when the answer is waited for.
    pub(crate) fn forget(
        &self,
        room: &RoomId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let room = room.clone();
        self.run(move |connection| forget(connection, &room))
    }

    /// What a room told this participant after `seen`.
    pub(crate) async fn missed(
        &self,
        room: &RoomId,
        participant: ParticipantId,
        seen: Position,
    ) -> Result<Vec<(Position, String)>, StoreError> {
        let room = room.clone();
        self.run(move |connection| missed(connection, &room, participant, seen))
            .await
    }
}

/// SQLite's integers are signed. Positions never come near; ids keep their bits.
const fn id_to_sql(id: ParticipantId) -> i64 {
    id.get().cast_signed()
}

const fn position_to_sql(position: Position) -> i64 {
    position.get().cast_signed()
}

const fn id_from_sql(number: i64) -> ParticipantId {
    ParticipantId::new(number.cast_unsigned())
}

const fn position_from_sql(number: i64) -> Position {
    Position::new(number.cast_unsigned())
}

fn keep(connection: &Connection, change: &RoomChange) -> rusqlite::Result<()> {
    let room = change.room.as_str();
    if change.anew {
        forget(connection, &change.room)?;
    }
    let position = position_to_sql(change.position);
    let floor = position_to_sql(change.floor);
    if let Some(memory) = &change.memory {
        connection
            .prepare_cached("INSERT OR REPLACE INTO room VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![room, memory, position, floor])?;
    } else {
        connection
            .prepare_cached("UPDATE room SET position = ?2, floor = ?3 WHERE id = ?1")?
            .execute(params![room, position, floor])?;
    }
    connection
        .prepare_cached("DELETE FROM entry WHERE room = ?1 AND position <= ?2")?
        .execute(params![room, floor])?;
    let mut insert = connection.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for entry in &change.entries {
        let (only_to, not_to) = match entry.audience {
            Audience::One(one) => (Some(id_to_sql(one)), None),
            Audience::Everyone => (None, None),
            Audience::EveryoneBut(one) => (None, Some(id_to_sql(one))),
        };
        let position = position_to_sql(entry.position);
        insert.execute(params![room, position, only_to, not_to, entry.text])?;
    }
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for session in &change.sessions {
        insert.execute(params![
            session.token.as_bytes(),
            room,
            id_to_sql(session.participant),
            session.heard.get(),
            position_to_sql(session.floor)
        ])?;
    }
    let mut delete = connection.prepare_cached("DELETE FROM session WHERE token_hash = ?1")?;
    for token in &change.ended {
        delete.execute([token.as_bytes()])?;
    }
    Ok(())
}

fn forget(connection: &Connection, room: &RoomId) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM entry WHERE room = ?1",
        "DELETE FROM session WHERE room = ?1",
        "DELETE FROM room WHERE id = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([room.as_str()])?;
    }
    Ok(())
}

fn missed(
    connection: &Connection,
    room: &RoomId,
    participant: ParticipantId,
    seen: Position,
) -> rusqlite::Result<Vec<(Position, String)>> {
    connection
        .prepare_cached(
            "SELECT position, text FROM entry WHERE room = ?1 AND position > ?2
             AND (only_to IS NULL OR only_to = ?3) AND (not_to IS NULL OR not_to <> ?3)
             ORDER BY position",
        )?
        .query_map(
            params![room.as_str(), position_to_sql(seen), id_to_sql(participant)],
            |row| Ok((position_from_sql(row.get(0)?), row.get(1)?)),
        )?
        .collect()
}

/// All rooms that are there.
pub(super) fn kept(connection: &Connection) -> rusqlite::Result<Vec<KeptRoom>> {
    let mut query = connection.prepare("SELECT id, memory, position, floor FROM room")?;
    let rooms = query.query_map([], |row| {
        let id: String = row.get(0)?;
        Ok((id, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    let mut found = Vec::new();
    for row in rooms {
        let (id, memory, position, floor) = row?;
        // Nothing but names of rooms was ever put there.
        let Ok(room) = id.parse::<RoomId>() else {
            continue;
        };
        let entries = entries(connection, &room)?;
        found.push(KeptRoom {
            sessions: sessions(connection, &room)?,
            room,
            memory,
            position: position_from_sql(position),
            floor: position_from_sql(floor),
            entries,
        });
    }
    Ok(found)
}

fn entries(connection: &Connection, room: &RoomId) -> rusqlite::Result<Vec<KeptEntry>> {
    connection
        .prepare_cached(
            "SELECT position, only_to, not_to, octet_length(text) FROM entry
             WHERE room = ?1 ORDER BY position",
        )?
        .query_map([room.as_str()], |row| {
            let audience = match (row.get(1)?, row.get(2)?) {
                (Some(one), _) => Audience::One(id_from_sql(one)),
                (None, Some(one)) => Audience::EveryoneBut(id_from_sql(one)),
                (None, None) => Audience::Everyone,
            };
            let bytes: i64 = row.get(3)?;
            Ok(KeptEntry {
                position: position_from_sql(row.get(0)?),
                audience,
                bytes: usize::try_from(bytes).unwrap_or_default(),
            })
        })?
        .collect()
}

fn sessions(connection: &Connection, room: &RoomId) -> rusqlite::Result<Vec<KeptSession>> {
    connection
        .prepare_cached(
            "SELECT token_hash, participant, heard, floor FROM session WHERE room = ?1",
        )?
        .query_map([room.as_str()], |row| {
            Ok(KeptSession {
                token: TokenHash::new(row.get(0)?),
                participant: id_from_sql(row.get(1)?),
                heard: MessageNumber::new(row.get(2)?),
                floor: position_from_sql(row.get(3)?),
            })
        })?
        .collect()
}
