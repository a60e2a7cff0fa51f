-- Sealed files. Their bytes are in the chunk store; here is what is there and for how long.
CREATE TABLE file (
  id         BLOB PRIMARY KEY,   -- 16 bytes
  room       TEXT NOT NULL,
  owner      INTEGER NOT NULL,   -- the participant who declared it
  bytes      INTEGER NOT NULL,   -- length of the sealed file
  chunks     INTEGER NOT NULL,   -- how many it has
  present    INTEGER NOT NULL DEFAULT 0,  -- how many of them are stored
  stored     INTEGER NOT NULL DEFAULT 0,  -- their bytes
  changed_at INTEGER NOT NULL,   -- seconds since 1970: declared, or the last chunk
  expires_at INTEGER NOT NULL    -- seconds since 1970; 0 when its bytes are being deleted
) STRICT, WITHOUT ROWID;

CREATE INDEX file_by_room ON file (room, owner);

-- A chunk stands here once its bytes are stored for good.
CREATE TABLE file_chunk (
  file   BLOB NOT NULL,          -- the id of its file
  number INTEGER NOT NULL,
  digest BLOB NOT NULL,          -- SHA-256 of the sealed bytes
  PRIMARY KEY (file, number)
) STRICT, WITHOUT ROWID;

-- Rooms that have files and in which nobody is.
CREATE TABLE file_room_empty (
  room  TEXT PRIMARY KEY,
  since INTEGER NOT NULL         -- seconds since 1970
) STRICT, WITHOUT ROWID;
