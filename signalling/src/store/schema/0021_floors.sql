-- The last that somebody was told and that is not kept. Of those who are there already only what
-- is true of the whole room is known.
ALTER TABLE session ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
UPDATE session SET floor = (SELECT floor FROM room WHERE id = session.room)
    WHERE room IN (SELECT id FROM room);
