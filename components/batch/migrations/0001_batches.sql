CREATE TABLE batches (
    id TEXT PRIMARY KEY,
    trek_id TEXT NOT NULL,
    trek_name TEXT NOT NULL,
    -- Instants in ms, UTC midnight of the day.
    start_date BIGINT NOT NULL,
    end_date BIGINT NOT NULL,
    -- Paise per participant.
    price BIGINT NOT NULL CONSTRAINT batches_price CHECK (price >= 0),
    max_participants BIGINT NOT NULL CONSTRAINT batches_max CHECK (max_participants >= 1),
    reserved_slots BIGINT NOT NULL DEFAULT 0 CONSTRAINT batches_reserved CHECK (reserved_slots >= 0),
    -- Seats of all counted holds. Never above max_participants: the last line of defence.
    taken BIGINT NOT NULL DEFAULT 0 CONSTRAINT batches_not_oversold CHECK (taken BETWEEN 0 AND max_participants),
    cancelled BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL,
    CONSTRAINT batches_dates CHECK (end_date >= start_date)
);

CREATE INDEX batches_trek ON batches (trek_id, start_date);

-- Seats taken under a key of the caller's.
CREATE TABLE holds (
    hold_key TEXT PRIMARY KEY,
    batch_id TEXT NOT NULL REFERENCES batches (id),
    seats BIGINT NOT NULL CONSTRAINT holds_seats CHECK (seats >= 1),
    -- NULL: confirmed, never expires.
    expires_at BIGINT,
    -- Whether the seats are in batches.taken. An expired hold is counted until somebody sweeps it.
    counted BIGINT NOT NULL,
    use_reserved BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX holds_expiry ON holds (batch_id, expires_at) WHERE counted = 1 AND expires_at IS NOT NULL;

-- The newest version of a trek's name that was heard of.
CREATE TABLE trek_names (
    trek_id TEXT PRIMARY KEY,
    version BIGINT NOT NULL
);
