-- With it the links of a booking's shares are signed.
CREATE TABLE split_secrets (
    booking_id TEXT PRIMARY KEY,
    secret TEXT NOT NULL
);

-- The share that a payment paid; none: its booking's owner paid.
ALTER TABLE payments ADD COLUMN share_id TEXT;

-- When those whose share nobody has paid lose their seats; none where all are paid.
ALTER TABLE bookings ADD COLUMN shares_due BIGINT;

CREATE INDEX bookings_shares_due ON bookings (shares_due) WHERE shares_due IS NOT NULL;
