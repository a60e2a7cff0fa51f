-- A room as it is to be found again: hashes, numbers, and bytes that only members can open.
CREATE TABLE room (
    id TEXT PRIMARY KEY,
    -- See signalling/src/room/memory.rs.
    memory TEXT NOT NULL,
    -- How far it has got in what it tells.
    position INTEGER NOT NULL,
    -- What it told up to here is not kept any more.
    floor INTEGER NOT NULL
) STRICT;

-- What a room told, for those who come back.
CREATE TABLE entry (
    room TEXT NOT NULL,
    position INTEGER NOT NULL,
    -- The only one who was told, or the only one who was not.
    only_to INTEGER,
    not_to INTEGER,
    text TEXT NOT NULL,
    PRIMARY KEY (room, position)
) STRICT;

-- Who can come back.
CREATE TABLE session (
    token_hash BLOB PRIMARY KEY,
    room TEXT NOT NULL,
    participant INTEGER NOT NULL,
    -- The last that was heard of them.
    heard INTEGER NOT NULL
) STRICT;

CREATE INDEX session_by_room ON session (room);
