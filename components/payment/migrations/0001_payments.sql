-- Promo codes. Days are stored as their midnight in UTC and read as days of the
-- business's zone. `used_before` counts uses of a system before this one.
CREATE TABLE promos (
    id TEXT PRIMARY KEY,
    code TEXT NOT NULL,
    discount_type TEXT NOT NULL CHECK (discount_type IN ('percentage', 'fixed')),
    discount_value BIGINT NOT NULL CHECK (discount_value > 0),
    max_uses BIGINT,
    used_before BIGINT NOT NULL DEFAULT 0,
    valid_from BIGINT NOT NULL,
    valid_until BIGINT NOT NULL,
    min_order_value BIGINT NOT NULL DEFAULT 0,
    applicable_treks TEXT NOT NULL DEFAULT '[]',
    is_active BIGINT NOT NULL DEFAULT 1,
    created_by TEXT NOT NULL,
    created_by_name TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

-- A deleted code may be made anew.
CREATE UNIQUE INDEX promos_code ON promos (code) WHERE deleted_at IS NULL;

-- One use a booking: reserved until it is paid, or given back.
CREATE TABLE promo_uses (
    booking_id TEXT PRIMARY KEY,
    promo_id TEXT NOT NULL,
    paid BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);

CREATE INDEX promo_uses_promo ON promo_uses (promo_id, paid);

-- What a booking is to pay next, as the booking service said.
CREATE TABLE payables (
    booking_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    trek_id TEXT NOT NULL,
    trek_name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('full', 'initial', 'balance')),
    amount BIGINT NOT NULL CHECK (amount > 0),
    order_value BIGINT NOT NULL,
    promo_id TEXT,
    expires_at BIGINT,
    status TEXT NOT NULL CHECK (status IN ('open', 'paid', 'closed')),
    opened_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Orders at the provider. A row is written before the provider is asked, so that
-- an order whose making has an unknown outcome is found again by its receipt.
CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    receipt TEXT NOT NULL UNIQUE,
    provider_id TEXT UNIQUE,
    booking_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('full', 'initial', 'balance')),
    amount BIGINT NOT NULL CHECK (amount > 0),
    status TEXT NOT NULL CHECK (status IN ('intent', 'open', 'paid', 'void')),
    attempts BIGINT NOT NULL DEFAULT 0,
    snapshot TEXT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    next_check_at BIGINT
);

-- No two orders to pay the same thing, whoever asks how often.
CREATE UNIQUE INDEX orders_live ON orders (booking_id, kind, amount) WHERE status IN ('intent', 'open');

CREATE INDEX orders_booking ON orders (booking_id);

CREATE INDEX orders_check ON orders (next_check_at) WHERE next_check_at IS NOT NULL;

-- What was tried and did not capture money (yet).
CREATE TABLE attempts (
    payment_id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL,
    authorized_at BIGINT,
    failed_at BIGINT,
    error_code TEXT,
    error_description TEXT
);

CREATE INDEX attempts_order ON attempts (order_id);

-- Captured money. `problem` says why it belongs to no booking; it is refunded then.
CREATE TABLE payments (
    id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL,
    booking_id TEXT,
    kind TEXT CHECK (kind IN ('full', 'initial', 'balance')),
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    method TEXT NOT NULL,
    problem TEXT CHECK (problem IN ('unknown_order', 'wrong_amount', 'wrong_currency', 'void_order', 'paid_twice')),
    captured_at BIGINT NOT NULL,
    learned_from TEXT NOT NULL
);

CREATE INDEX payments_booking ON payments (booking_id);

CREATE INDEX payments_order ON payments (order_id);

-- Money on its way back. `payment_id` may be of a payment not heard of yet, where
-- the provider tells of a refund before it tells of the capture.
CREATE TABLE refunds (
    id TEXT PRIMARY KEY,
    payment_id TEXT NOT NULL,
    booking_id TEXT,
    provider_id TEXT UNIQUE,
    amount BIGINT NOT NULL CHECK (amount > 0),
    status TEXT NOT NULL CHECK (status IN ('processing', 'success', 'failed')),
    reason TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    last_error TEXT,
    requested_at BIGINT NOT NULL,
    settled_at BIGINT,
    next_attempt_at BIGINT
);

CREATE INDEX refunds_payment ON refunds (payment_id);

CREATE INDEX refunds_due ON refunds (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- Double-entry book, append only: a debit is positive, a credit negative, and the
-- entries of a transaction sum to zero. The key makes posting idempotent.
--   provider: money that the provider holds for us
--   unearned: paid for trips that have not taken place
--   customer: owed to payers whose payment belongs to no booking
CREATE TABLE ledger_entries (
    transaction_id TEXT NOT NULL,
    account TEXT NOT NULL CHECK (account IN ('provider', 'unearned', 'customer')),
    amount BIGINT NOT NULL,
    payment_id TEXT NOT NULL,
    posted_at BIGINT NOT NULL,
    PRIMARY KEY (transaction_id, account)
);

CREATE INDEX ledger_payment ON ledger_entries (payment_id);

-- Deliveries of the provider that were dealt with. No bodies: they hold personal data.
CREATE TABLE webhook_events (
    event_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    received_at BIGINT NOT NULL
);

CREATE INDEX webhook_events_age ON webhook_events (received_at);
