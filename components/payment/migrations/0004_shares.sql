-- Parts of what a booking owes that other people pay, each by a key of its own. A share can
-- be paid while it and the payable it is a part of are open.
CREATE TABLE shares (
    id TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    -- SHA-256 of the key, in hex: the key itself is nowhere here.
    key_digest TEXT NOT NULL UNIQUE,
    expires_at BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'paid', 'closed')),
    updated_at BIGINT NOT NULL
);

CREATE INDEX shares_of_booking ON shares (booking_id);

-- The share that an order and a payment are for; none: all of what the booking owes.
ALTER TABLE orders ADD COLUMN share_id TEXT;

ALTER TABLE payments ADD COLUMN share_id TEXT;

-- Two shares of a booking may be of the same amount.
DROP INDEX orders_live;

CREATE UNIQUE INDEX orders_live ON orders (booking_id, kind, amount)
    WHERE share_id IS NULL AND status IN ('intent', 'open');

CREATE UNIQUE INDEX orders_live_of_share ON orders (share_id)
    WHERE share_id IS NOT NULL AND status IN ('intent', 'open');
