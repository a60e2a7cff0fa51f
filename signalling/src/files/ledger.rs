//! What files there are, which of their chunks are stored, and for how long: in SQLite. The
//! bytes are elsewhere. A chunk is written down after its bytes are stored, and a file is
//! struck out after its bytes are deleted, so that whatever ends the process in between leaves
//! work to be done again and nothing that is wrong. Each function is called in a transaction.

use conclave_protocol::{
    ParticipantId, RoomId,
    file::{FileId, SealedLength},
};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::quota::Declared;

/// Seconds since 1970.
pub(super) type Time = i64;

/// The SHA-256 of a sealed chunk.
pub(super) type Digest = [u8; 32];

/// A file as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: FileId,
    pub(super) room: RoomId,
    pub(super) owner: ParticipantId,
    pub(super) length: SealedLength,
    pub(super) is_complete: bool,
}

/// How long files stand there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Uploads that stood still since are given up.
    pub(super) unfinished_since: Time,
    /// Files of which nothing has come since are given up.
    pub(super) unbegun_since: Time,
    /// Rooms that have been empty since have lost their files.
    pub(super) empty_since: Time,
}

/// What went wrong with the ledger itself.
pub(super) type Result<T> = rusqlite::Result<T>;

fn entry(row: &Row<'_>) -> Result<Entry> {
    let invalid = |column: &str| rusqlite::Error::InvalidColumnName(column.to_owned());
    let bytes: i64 = row.get("bytes")?;
    let length = u64::try_from(bytes).ok().map(SealedLength::new);
    let room: String = row.get("room")?;
    let owner: i64 = row.get("owner")?;
    Ok(Entry {
        id: FileId::new(row.get("id")?),
        room: room.parse().map_err(|_| invalid("room"))?,
        owner: ParticipantId::new(owner.cast_unsigned()),
        length: length
            .and_then(std::result::Result::ok)
            .ok_or_else(|| invalid("bytes"))?,
        is_complete: row.get::<_, i64>("present")? == row.get::<_, i64>("chunks")?,
    })
}

/// What the participant, the room and the server have declared.
pub(super) fn declared(db: &Connection, room: &RoomId, owner: ParticipantId) -> Result<Declared> {
    db.query_row(
        "SELECT coalesce(sum(bytes) FILTER (WHERE room = :room AND owner = :owner), 0),
                coalesce(sum(bytes) FILTER (WHERE room = :room), 0),
                count(*) FILTER (WHERE room = :room),
                coalesce(sum(bytes), 0),
                coalesce(sum(bytes - stored), 0)
         FROM file",
        named_params! { ":room": room.as_str(), ":owner": owner.get().cast_signed() },
        |row| {
            let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            Ok(Declared {
                by_participant: number(0)?,
                in_room: number(1)?,
                files_in_room: number(2)?,
                in_all: number(3)?,
                outstanding: number(4)?,
            })
        },
    )
}

/// Writes down a file of which nothing is stored yet.
pub(super) fn declare(db: &Connection, file: &Entry, now: Time, expires_at: Time) -> Result<()> {
    db.execute(
        "INSERT INTO file (id, room, owner, bytes, chunks, changed_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            file.id.as_bytes(),
            file.room.as_str(),
            file.owner.get().cast_signed(),
            file.length.get().cast_signed(),
            file.length.chunks(),
            now,
            expires_at,
        ],
    )?;
    Ok(())
}

/// A file that is to be had.
pub(super) fn find(db: &Connection, id: FileId, now: Time) -> Result<Option<Entry>> {
    let mut find = db.prepare_cached("SELECT * FROM file WHERE id = ?1 AND expires_at > ?2")?;
    find.query_row(params![id.as_bytes(), now], entry)
        .optional()
}

/// Whether there is a record of a file, to be had or not.
pub(super) fn is_known(db: &Connection, id: FileId) -> Result<bool> {
    db.prepare_cached("SELECT 1 FROM file WHERE id = ?1")?
        .exists(params![id.as_bytes()])
}

/// What is stored of a chunk.
pub(super) fn digest(db: &Connection, id: FileId, number: u32) -> Result<Option<Digest>> {
    let mut find =
        db.prepare_cached("SELECT digest FROM file_chunk WHERE file = ?1 AND number = ?2")?;
    find.query_row(params![id.as_bytes(), number], |row| row.get(0))
        .optional()
}

/// Writes down that a chunk is stored. False if the file is gone meanwhile, or the chunk is
/// there already.
pub(super) fn store(
    db: &Connection,
    id: FileId,
    number: u32,
    bytes: u64,
    digest: &Digest,
    now: Time,
) -> Result<bool> {
    let new = db
        .prepare_cached(
            "INSERT OR IGNORE INTO file_chunk (file, number, digest)
             SELECT id, ?2, ?3 FROM file WHERE id = ?1 AND expires_at > ?4",
        )?
        .execute(params![id.as_bytes(), number, digest, now])?;
    if new == 0 {
        return Ok(false);
    }
    db.prepare_cached(
        "UPDATE file SET present = present + 1, stored = stored + ?2, changed_at = ?3
         WHERE id = ?1",
    )?
    .execute(params![id.as_bytes(), bytes.cast_signed(), now])?;
    Ok(true)
}

/// The chunks of a file that are not stored, as ranges.
pub(super) fn missing(db: &Connection, file: &Entry) -> Result<Vec<(u32, u32)>> {
    let mut find =
        db.prepare_cached("SELECT number FROM file_chunk WHERE file = ?1 ORDER BY number")?;
    let present = find.query_map(params![file.id.as_bytes()], |row| row.get(0))?;
    let present = present.collect::<Result<Vec<u32>>>()?;
    Ok(gaps(&present, file.length.chunks()))
}

/// What of `0..end` is not among these, which are in order.
fn gaps(present: &[u32], end: u32) -> Vec<(u32, u32)> {
    let mut gaps = Vec::new();
    let mut next = 0;
    for &number in present {
        if number > next {
            gaps.push((next, number));
        }
        next = number + 1;
    }
    if next < end {
        gaps.push((next, end));
    }
    gaps
}

/// From now on the file is not to be had; its bytes are still to be deleted.
pub(super) fn expire(db: &Connection, id: FileId) -> Result<()> {
    db.execute(
        "UPDATE file SET expires_at = 0 WHERE id = ?1",
        params![id.as_bytes()],
    )?;
    Ok(())
}

/// Rooms that have files.
pub(super) fn rooms(db: &Connection) -> Result<Vec<String>> {
    let mut find = db.prepare("SELECT DISTINCT room FROM file")?;
    find.query_map([], |row| row.get(0))?.collect()
}

/// Notes whether somebody is in a room that has files.
pub(super) fn note_room(db: &Connection, room: &str, is_empty: bool, now: Time) -> Result<()> {
    if is_empty {
        db.execute(
            "INSERT OR IGNORE INTO file_room_empty (room, since) VALUES (?1, ?2)",
            params![room, now],
        )?;
    } else {
        db.execute("DELETE FROM file_room_empty WHERE room = ?1", params![room])?;
    }
    Ok(())
}

/// Strikes out of use all whose time is up, and names all whose bytes are to be deleted.
pub(super) fn overdue(db: &Connection, terms: Terms, now: Time) -> Result<Vec<FileId>> {
    db.execute(
        "UPDATE file SET expires_at = 0
         WHERE expires_at <= :now
            OR (present < chunks AND changed_at <= :unfinished)
            OR (present = 0 AND changed_at <= :unbegun)
            OR room IN (SELECT room FROM file_room_empty WHERE since <= :empty)",
        named_params! {
            ":now": now,
            ":unfinished": terms.unfinished_since,
            ":unbegun": terms.unbegun_since,
            ":empty": terms.empty_since,
        },
    )?;
    let mut find = db.prepare("SELECT id FROM file WHERE expires_at = 0")?;
    find.query_map([], |row| row.get(0).map(FileId::new))?
        .collect()
}

/// Strikes out a file whose bytes are deleted.
pub(super) fn forget(db: &Connection, id: FileId) -> Result<()> {
    db.execute(
        "DELETE FROM file_chunk WHERE file = ?1",
        params![id.as_bytes()],
    )?;
    db.execute("DELETE FROM file WHERE id = ?1", params![id.as_bytes()])?;
    db.execute(
        "DELETE FROM file_room_empty WHERE room NOT IN (SELECT room FROM file)",
        [],
    )?;
    Ok(())
}

/// Bytes of all chunks that are stored.
pub(super) fn stored(db: &Connection) -> Result<i64> {
    db.query_row("SELECT coalesce(sum(stored), 0) FROM file", [], |row| {
        row.get(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Connection {
        let db = Connection::open_in_memory().expect("a database");
        db.execute_batch(include_str!("../store/schema/0010_files.sql"))
            .expect("a schema");
        db
    }

    fn file(number: u8, room: &str) -> Entry {
        Entry {
            id: FileId::new([number; 16]),
            room: room.parse().expect("a room"),
            owner: ParticipantId::new(u64::MAX - u64::from(number)),
            length: SealedLength::of_content(3 << 20).expect("a length"),
            is_complete: false,
        }
    }

    const TERMS: Terms = Terms {
        unfinished_since: 0,
        unbegun_since: -1,
        empty_since: 0,
    };
    const WHOLE: u64 = (1 << 20) + 16;

    #[test]
    fn a_file_is_complete_when_all_its_chunks_are_there_once() {
        let db = ledger();
        let file = file(1, "garden");
        declare(&db, &file, 10, 100).expect("written");
        assert_eq!(find(&db, file.id, 99).expect("read"), Some(file.clone()));
        assert_eq!(
            find(&db, file.id, 100).expect("read"),
            None,
            "it has expired"
        );
        assert_eq!(missing(&db, &file).expect("read"), [(0, 3)]);
        assert!(store(&db, file.id, 1, WHOLE, &[1; 32], 11).expect("written"));
        assert!(
            !store(&db, file.id, 1, WHOLE, &[2; 32], 11).expect("written"),
            "twice"
        );
        assert_eq!(digest(&db, file.id, 1).expect("read"), Some([1; 32]));
        assert_eq!(missing(&db, &file).expect("read"), [(0, 1), (2, 3)]);
        for number in [0, 2] {
            assert!(store(&db, file.id, number, WHOLE, &[1; 32], 12).expect("written"));
        }
        let complete = find(&db, file.id, 13).expect("read").expect("there");
        assert!(complete.is_complete);
        assert!(missing(&db, &file).expect("read").is_empty());
        let all = declared(&db, &file.room, file.owner).expect("read");
        assert_eq!((all.in_all, all.outstanding), (3 * WHOLE, 0));
        assert_eq!(stored(&db).expect("read"), 3 * WHOLE.cast_signed());
        // No chunk comes to a file that is being deleted.
        expire(&db, file.id).expect("written");
        assert!(!store(&db, file.id, 0, WHOLE, &[1; 32], 14).expect("written"));
        forget(&db, file.id).expect("written");
        assert_eq!(digest(&db, file.id, 1).expect("read"), None);
        assert_eq!(stored(&db).expect("read"), 0);
    }

    #[test]
    fn what_counts_for_whom() {
        let db = ledger();
        let (one, two, other) = (file(1, "garden"), file(2, "garden"), file(3, "roof"));
        for file in [&one, &two, &other] {
            declare(&db, file, 0, 100).expect("written");
        }
        let all = declared(&db, &one.room, one.owner).expect("read");
        let expected = Declared {
            by_participant: 3 * WHOLE,
            in_room: 6 * WHOLE,
            files_in_room: 2,
            in_all: 9 * WHOLE,
            outstanding: 9 * WHOLE,
        };
        assert_eq!(all, expected);
    }

    #[test]
    fn files_go_when_their_time_is_up_their_upload_stands_still_or_their_room_is_empty() {
        let db = ledger();
        let (old, stuck, abandoned) = (file(1, "garden"), file(2, "garden"), file(3, "roof"));
        declare(&db, &old, 0, 50).expect("written");
        declare(&db, &stuck, 0, 1000).expect("written");
        declare(&db, &abandoned, 100, 1000).expect("written");
        let none: [FileId; 0] = [];
        assert_eq!(
            overdue(
                &db,
                Terms {
                    unfinished_since: -1,
                    ..TERMS
                },
                49
            )
            .expect("read"),
            none
        );
        let stuck_only = Terms {
            unfinished_since: -1,
            ..TERMS
        };
        assert_eq!(overdue(&db, stuck_only, 50).expect("read"), [old.id]);
        // Until its bytes are gone it is named again.
        assert_eq!(overdue(&db, stuck_only, 50).expect("read"), [old.id]);
        forget(&db, old.id).expect("written");
        assert_eq!(overdue(&db, TERMS, 60).expect("read"), [stuck.id]);
        forget(&db, stuck.id).expect("written");

        assert_eq!(rooms(&db).expect("read"), ["roof"]);
        let terms = |empty_since| Terms {
            empty_since,
            ..TERMS
        };
        note_room(&db, "roof", true, 200).expect("written");
        note_room(&db, "roof", true, 300).expect("written");
        assert_eq!(overdue(&db, terms(199), 300).expect("read"), none);
        note_room(&db, "roof", false, 300).expect("written");
        assert_eq!(
            overdue(&db, terms(299), 300).expect("read"),
            none,
            "somebody came back"
        );
        note_room(&db, "roof", true, 300).expect("written");
        assert_eq!(overdue(&db, terms(300), 400).expect("read"), [abandoned.id]);
    }

    #[test]
    fn a_file_of_which_nothing_comes_is_given_up_sooner() {
        let db = ledger();
        let (begun, unbegun) = (file(1, "garden"), file(2, "garden"));
        for file in [&begun, &unbegun] {
            declare(&db, file, 10, 1000).expect("written");
        }
        assert!(store(&db, begun.id, 0, WHOLE, &[1; 32], 10).expect("written"));
        let terms = |unbegun_since| Terms {
            unbegun_since,
            ..TERMS
        };
        assert!(overdue(&db, terms(9), 20).expect("read").is_empty());
        assert_eq!(overdue(&db, terms(10), 20).expect("read"), [unbegun.id]);
    }

    #[test]
    fn gaps_are_told_as_ranges() {
        assert_eq!(gaps(&[], 3), [(0, 3)]);
        assert_eq!(gaps(&[0, 2, 5], 8), [(1, 2), (3, 5), (6, 8)]);
        assert!(gaps(&[0, 1, 2], 3).is_empty());
    }
}
