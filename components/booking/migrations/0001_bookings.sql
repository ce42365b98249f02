-- A booking. What is searched, counted or locked has a column; the rest is in `document`.
CREATE TABLE bookings (
    id TEXT PRIMARY KEY,
    -- The last eight characters of the id in capitals, as people read them out.
    code TEXT NOT NULL,
    user_id TEXT NOT NULL,
    trek_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    status TEXT NOT NULL,
    -- Paid for, cancelled participants included; and those that still come.
    participants BIGINT NOT NULL,
    seats BIGINT NOT NULL,
    -- Paise.
    total BIGINT NOT NULL,
    paid BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    session_expires_at BIGINT,
    batch_start BIGINT NOT NULL,
    -- Lower case, a line for each thing that is searched.
    search_text TEXT NOT NULL,
    document TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Who is changing the booking together with other services, and until when. Set and
    -- past: that work died, and the other services may not agree with this row.
    lease TEXT,
    lease_until BIGINT
);

-- A customer has one unpaid booking of a batch at a time.
CREATE UNIQUE INDEX bookings_live ON bookings (user_id, trek_id, batch_id)
    WHERE status = 'creating' OR status = 'pending_payment';

CREATE INDEX bookings_of_user ON bookings (user_id, created_at);
CREATE INDEX bookings_by_age ON bookings (created_at);
CREATE INDEX bookings_of_batch ON bookings (batch_id);
CREATE INDEX bookings_of_trek ON bookings (trek_id);
CREATE INDEX bookings_by_code ON bookings (code);
CREATE INDEX bookings_to_expire ON bookings (session_expires_at) WHERE status = 'pending_payment';
CREATE INDEX bookings_leased ON bookings (lease_until) WHERE lease IS NOT NULL;

-- Captured payments, each once.
CREATE TABLE payments (
    id TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount BIGINT NOT NULL,
    method TEXT NOT NULL,
    captured_at BIGINT NOT NULL
);

CREATE INDEX payments_of_booking ON payments (booking_id, captured_at);

-- Refunds at the provider, as last heard of.
CREATE TABLE refunds (
    id TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    amount BIGINT NOT NULL,
    status TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX refunds_of_booking ON refunds (booking_id);

-- Bookings that were never paid. Hidden ones were restored or deleted from the list.
CREATE TABLE failed_bookings (
    id TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    trek_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    details TEXT NOT NULL,
    total BIGINT NOT NULL,
    -- The booking as it was when it failed.
    document TEXT NOT NULL,
    original_created_at BIGINT NOT NULL,
    original_expires_at BIGINT NOT NULL,
    archived_at BIGINT NOT NULL,
    archived_by TEXT NOT NULL,
    hidden_at BIGINT
);

CREATE INDEX failed_bookings_by_age ON failed_bookings (archived_at);
CREATE INDEX failed_bookings_of_booking ON failed_bookings (booking_id);

-- Invoice numbers: how far each series has come, and the number of each invoice.
CREATE TABLE invoice_series (
    prefix TEXT NOT NULL,
    financial_year BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (prefix, financial_year)
);

CREATE TABLE invoices (
    booking_id TEXT NOT NULL,
    prefix TEXT NOT NULL,
    number TEXT NOT NULL UNIQUE,
    issued_at BIGINT NOT NULL,
    PRIMARY KEY (booking_id, prefix)
);

-- Mails to send. Written with the change they tell of, deleted when notification has them.
CREATE TABLE mails (
    key TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    mail TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX mails_due ON mails (next_attempt_at);
