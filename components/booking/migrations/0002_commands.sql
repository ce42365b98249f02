-- What somebody has done, or is doing, with a booking: one row for each command.
-- `begun`: the other services may have been asked, the booking is as it was. `committed`:
-- the booking has changed, the others may not agree yet. `done` and `undone` are over.
CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    -- An account's id, or `system`.
    actor TEXT NOT NULL,
    status_before TEXT NOT NULL,
    -- NULL until it is committed.
    status_after TEXT,
    begun_at BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE INDEX commands_of_booking ON commands (booking_id, begun_at);
CREATE INDEX commands_open ON commands (booking_id) WHERE state = 'begun' OR state = 'committed';

-- Of which request of the booking's a refund is a part; NULL for others.
ALTER TABLE refunds ADD COLUMN request_key TEXT;

-- What cancelling a trek's bookings gives back. A version never changes; bookings keep
-- the one they were made under.
CREATE TABLE refund_policies (
    trek_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    tiers TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (trek_id, version)
);
