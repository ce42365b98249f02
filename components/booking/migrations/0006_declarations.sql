-- What a trek asks everybody about their health and fitness before they come. A version
-- never changes; bookings keep the one they were made under. No questions: nothing is asked.
CREATE TABLE declaration_forms (
    trek_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    questions TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (trek_id, version)
);

-- What people declared, the newest one of a participant counts. The answers are about
-- their health: they are kept nowhere else.
CREATE TABLE declarations (
    id TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    participant_id TEXT NOT NULL,
    -- The participant's name at that time.
    name TEXT NOT NULL,
    form_version BIGINT NOT NULL,
    answers TEXT NOT NULL,
    state TEXT NOT NULL,
    submitted_by TEXT NOT NULL,
    submitted_at BIGINT NOT NULL,
    decided_by TEXT,
    decided_at BIGINT,
    -- What staff wrote to the owner about it.
    note TEXT
);

CREATE INDEX declarations_of_booking ON declarations (booking_id, submitted_at);

CREATE INDEX declarations_by_state ON declarations (state, submitted_at);
