-- Whether staff make it for a customer: that may be beside an unpaid one of the customer's own.
ALTER TABLE bookings ADD COLUMN by_staff BIGINT NOT NULL DEFAULT 0;

DROP INDEX bookings_live;

-- A customer has one unpaid booking of a batch at a time.
CREATE UNIQUE INDEX bookings_live ON bookings (user_id, trek_id, batch_id)
    WHERE by_staff = 0 AND (status = 'creating' OR status = 'pending_payment');

CREATE INDEX bookings_by_start ON bookings (status, batch_start);

-- The runs of a job on a business day.
CREATE TABLE job_days (
    job TEXT NOT NULL,
    -- Midnight of the day.
    day BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    runs BIGINT NOT NULL,
    -- JSON: what was done on the day, and what the last run left alone.
    report TEXT NOT NULL,
    PRIMARY KEY (job, day)
);

-- Reminders that went out: one of a kind about the same instant.
CREATE TABLE reminders (
    booking_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    about BIGINT NOT NULL,
    sent_at BIGINT NOT NULL,
    PRIMARY KEY (booking_id, kind, about)
);
