-- Batches that the operator has called off, for all of their bookings at once.
CREATE TABLE call_offs (
    id TEXT PRIMARY KEY,
    batch_id TEXT NOT NULL UNIQUE,
    trek_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- What is given on top of a voucher, in basis points of what was paid.
    bonus BIGINT NOT NULL,
    -- Until when trekkers choose. After that everything goes back.
    deadline BIGINT NOT NULL,
    -- With it the links in mails are signed.
    secret TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- When nobody could buy seats of the batch any more.
    closed_at BIGINT,
    -- When nothing was left to do.
    finished_at BIGINT
);

CREATE INDEX call_offs_open ON call_offs (created_at) WHERE finished_at IS NULL;

-- What became of each booking, kept with the booking. `waiting`: its owner has not chosen.
CREATE TABLE call_off_bookings (
    call_off_id TEXT NOT NULL,
    booking_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'nothing', 'voucher', 'batch', 'refund')),
    PRIMARY KEY (call_off_id, booking_id)
);
