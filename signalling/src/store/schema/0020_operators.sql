-- What programs of the operator authenticate with. Of a key only the SHA-256 is kept.
CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    -- Words, separated by spaces.
    scopes TEXT NOT NULL,
    -- Times are seconds since 1970.
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT;

-- A room that was made over the operators' API.
CREATE TABLE made_room (
    room TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    -- 1: only those come in who were invited.
    by_invite INTEGER NOT NULL,
    capacity INTEGER,
    expires INTEGER
) STRICT;

-- What lets somebody into such a room. Of a token only the SHA-256 is kept.
CREATE TABLE invite (
    id TEXT PRIMARY KEY,
    room TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    -- As often it can be used; NULL for without end.
    uses INTEGER,
    used INTEGER NOT NULL,
    expires INTEGER
) STRICT;

CREATE INDEX invite_by_room ON invite (room, id);

-- What happened in rooms, to be told to webhooks and to whoever asks.
CREATE TABLE event (
    -- In one order for all rooms.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    room TEXT NOT NULL,
    -- In the room's own order, without gaps.
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    participant INTEGER,
    at INTEGER NOT NULL,
    UNIQUE (room, sequence)
) STRICT;

CREATE INDEX event_by_age ON event (at);

-- How far each room has got, which outlives its events.
CREATE TABLE event_count (
    room TEXT PRIMARY KEY,
    last INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- 1 from the start of a call to its end.
    is_open INTEGER NOT NULL
) STRICT;

-- Where events are sent to.
CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    -- To sign with, so it is kept as it is.
    secret TEXT NOT NULL,
    -- Kinds of events, separated by spaces; empty for all.
    kinds TEXT NOT NULL,
    created INTEGER NOT NULL,
    -- What was delivered or given up, as far as this.
    done INTEGER NOT NULL,
    -- Attempts in a row that failed, and since when.
    failures INTEGER NOT NULL,
    failing_since INTEGER
) STRICT;
