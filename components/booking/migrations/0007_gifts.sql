-- Vouchers that are bought for somebody. The id stands for a booking's where payment is
-- concerned: what is owed, paid and made a voucher there bears it.
CREATE TABLE gifts (
    id TEXT PRIMARY KEY,
    buyer_id TEXT NOT NULL,
    -- `open`: to be paid. `paid`: to be made a voucher. `issued`: it is one. `returning`:
    -- the buyer wants the money back. `returned`, `expired`: over.
    status TEXT NOT NULL CHECK (status IN ('open', 'paid', 'issued', 'returning', 'returned', 'expired')),
    amount BIGINT NOT NULL CHECK (amount > 0),
    -- JSON: from whom, to whom, with which words.
    card TEXT NOT NULL,
    deliver_at BIGINT NOT NULL,
    mailed_at BIGINT,
    payment_id TEXT,
    created_at BIGINT NOT NULL,
    pay_until BIGINT NOT NULL
);

CREATE INDEX gifts_of_buyer ON gifts (buyer_id, created_at);

CREATE INDEX gifts_by_age ON gifts (created_at);

-- What the job has to do with.
CREATE INDEX gifts_busy ON gifts (status) WHERE status IN ('open', 'paid', 'returning');

CREATE INDEX gifts_to_mail ON gifts (deliver_at) WHERE status = 'issued' AND mailed_at IS NULL;
