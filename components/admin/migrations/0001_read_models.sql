-- What the other services told of their records. Versions only grow: an older event
-- that comes late changes nothing. Instants in ms, money in paise.
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE treks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    region_name TEXT NOT NULL,
    season TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    custom BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE regions (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    deleted BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE batches (
    id TEXT PRIMARY KEY,
    trek_id TEXT NOT NULL,
    -- UTC midnight of the day.
    start_date BIGINT NOT NULL,
    end_date BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE INDEX batches_start ON batches (start_date);

CREATE INDEX batches_trek ON batches (trek_id);

CREATE TABLE bookings (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    user_name TEXT NOT NULL,
    trek_id TEXT NOT NULL,
    trek_name TEXT NOT NULL,
    batch_id TEXT,
    status TEXT NOT NULL,
    number_of_participants BIGINT NOT NULL,
    total BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE INDEX bookings_created ON bookings (created_at);

-- Money that came in, once for each payment.
CREATE TABLE captures (
    payment_id TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    amount BIGINT NOT NULL,
    captured_at BIGINT NOT NULL
);

CREATE INDEX captures_booking ON captures (booking_id);

-- Money that goes back, once for each refund. It is back when the status is 'success'.
CREATE TABLE refunds (
    refund_id TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    amount BIGINT NOT NULL,
    status TEXT NOT NULL CONSTRAINT refunds_status CHECK (status IN ('processing', 'failed', 'success')),
    changed_at BIGINT NOT NULL
);

CREATE INDEX refunds_booking ON refunds (booking_id);
