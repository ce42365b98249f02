-- Transactions on the money of a booking take turns at this row, so that they come
-- one after the other also where the database lets several write at once.
CREATE TABLE booking_turns (
    booking_id TEXT PRIMARY KEY,
    turns BIGINT NOT NULL
);

-- None: as often as the promo lasts.
ALTER TABLE promos ADD COLUMN max_uses_per_user BIGINT;

-- Who made the order and holds the money: 'razorpay', 'stripe'; of a payment also 'offline'.
ALTER TABLE orders ADD COLUMN provider TEXT NOT NULL DEFAULT 'razorpay';

ALTER TABLE payments ADD COLUMN provider TEXT NOT NULL DEFAULT 'razorpay';

-- What was captured beyond the order's amount. It counts for no booking and goes back.
ALTER TABLE payments ADD COLUMN surplus BIGINT NOT NULL DEFAULT 0;

-- Why the money belongs to no booking, where `problem` has no word for it; `problem`
-- then has the nearest one.
ALTER TABLE payments ADD COLUMN orphan_reason TEXT;

-- Of a payment made offline: what proves it, and who received it.
ALTER TABLE payments ADD COLUMN reference TEXT;

ALTER TABLE payments ADD COLUMN received_by TEXT;

-- Refunds as they were asked for. Each is carried out by one row of `refunds` a payment.
CREATE TABLE refund_requests (
    request_key TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    participant_id TEXT,
    payment_id TEXT,
    amount BIGINT NOT NULL CHECK (amount > 0),
    kind TEXT NOT NULL CHECK (kind IN ('auto', 'full', 'custom')),
    reason TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at BIGINT NOT NULL
);

CREATE INDEX refund_requests_booking ON refund_requests (booking_id, requested_at);

ALTER TABLE refunds ADD COLUMN request_key TEXT;

ALTER TABLE refunds ADD COLUMN provider TEXT NOT NULL DEFAULT 'razorpay';

-- 1: it gives the surplus of its payment back.
ALTER TABLE refunds ADD COLUMN surplus BIGINT NOT NULL DEFAULT 0;

-- How often staff had it tried again after it had failed.
ALTER TABLE refunds ADD COLUMN retries BIGINT NOT NULL DEFAULT 0;

-- Paid out by hand instead: 'cash', 'bank transfer' or 'offline', its proof, and by whom.
ALTER TABLE refunds ADD COLUMN paid_out TEXT;

ALTER TABLE refunds ADD COLUMN reference TEXT;

ALTER TABLE refunds ADD COLUMN paid_out_by TEXT;

-- The status that the book shows; none: the book does not know the refund.
ALTER TABLE refunds ADD COLUMN booked TEXT;

CREATE INDEX refunds_status ON refunds (status, requested_at);

CREATE INDEX refunds_request ON refunds (request_key);

-- Refunds at the provider that failed and were tried again.
CREATE TABLE refund_failures (
    provider_id TEXT PRIMARY KEY,
    refund_id TEXT NOT NULL,
    failed_at BIGINT NOT NULL
);

-- Accounts of the book. A debit adds to an asset, a credit to a liability or income.
CREATE TABLE ledger_accounts (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('asset', 'liability', 'income')),
    meaning TEXT NOT NULL
);

INSERT INTO ledger_accounts (name, kind, meaning) VALUES
    ('provider:razorpay', 'asset', 'Held by Razorpay for us'),
    ('provider:stripe', 'asset', 'Held by Stripe for us'),
    ('cash', 'asset', 'Received in cash'),
    ('bank', 'asset', 'Received by bank transfer'),
    ('offline', 'asset', 'Received by other means'),
    ('unearned', 'liability', 'Paid for trips that have not taken place'),
    ('customer', 'liability', 'Owed to payers whose payment belongs to no booking'),
    ('refunds', 'liability', 'Refunds on their way'),
    ('vouchers', 'liability', 'Credit that customers hold'),
    ('tax', 'liability', 'Tax on trips that have taken place'),
    ('revenue', 'income', 'Earned by trips that have taken place');

-- Double-entry book, append only. A row moves an amount from the credited account to
-- the debited one: both sides in one row, so that nothing can be out of balance. The id
-- makes posting idempotent. `ledger_entries` is the book before this one; its content
-- is here, and nothing is written there any more.
CREATE TABLE ledger_transfers (
    id TEXT PRIMARY KEY,
    debit TEXT NOT NULL REFERENCES ledger_accounts (name),
    credit TEXT NOT NULL REFERENCES ledger_accounts (name),
    amount BIGINT NOT NULL CHECK (amount > 0),
    booking_id TEXT,
    payment_id TEXT,
    refund_id TEXT,
    posted_at BIGINT NOT NULL,
    CHECK (debit <> credit)
);

CREATE INDEX ledger_transfers_booking ON ledger_transfers (booking_id);

CREATE INDEX ledger_transfers_payment ON ledger_transfers (payment_id);

CREATE INDEX ledger_transfers_refund ON ledger_transfers (refund_id);

CREATE INDEX ledger_transfers_time ON ledger_transfers (posted_at);

-- What the book before had: every transaction was one debit and one credit.
INSERT INTO ledger_transfers (id, debit, credit, amount, booking_id, payment_id, refund_id, posted_at)
SELECT d.transaction_id,
       CASE d.account WHEN 'provider' THEN 'provider:razorpay' ELSE d.account END,
       CASE c.account WHEN 'provider' THEN 'provider:razorpay' ELSE c.account END,
       d.amount, p.booking_id, d.payment_id,
       CASE WHEN d.transaction_id LIKE 'refund:%' THEN SUBSTR(d.transaction_id, 8) ELSE NULL END,
       d.posted_at
FROM ledger_entries d
JOIN ledger_entries c ON c.transaction_id = d.transaction_id AND c.amount < 0
LEFT JOIN payments p ON p.id = d.payment_id
WHERE d.amount > 0;

UPDATE refunds SET booked = 'success'
WHERE status = 'success' AND EXISTS (SELECT 1 FROM ledger_transfers t WHERE t.refund_id = refunds.id);

-- The book before did not know refunds on their way.
INSERT INTO ledger_transfers (id, debit, credit, amount, booking_id, payment_id, refund_id, posted_at)
SELECT 'refund:' || r.id || ':processing:0',
       CASE WHEN p.problem IS NULL THEN 'unearned' ELSE 'customer' END,
       'refunds', r.amount, p.booking_id, p.id, r.id, r.requested_at
FROM refunds r
JOIN payments p ON p.id = r.payment_id
WHERE r.status = 'processing';

UPDATE refunds SET booked = 'processing'
WHERE status = 'processing' AND EXISTS (SELECT 1 FROM ledger_transfers t WHERE t.refund_id = refunds.id);

-- Comparisons of the provider's records, ours and the book.
CREATE TABLE reports (
    id TEXT PRIMARY KEY,
    from_at BIGINT NOT NULL,
    to_at BIGINT NOT NULL,
    -- 1 where every question to the provider was answered.
    complete BIGINT NOT NULL,
    payments BIGINT NOT NULL,
    refunds BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL
);

CREATE INDEX reports_time ON reports (made_at);

CREATE TABLE mismatches (
    report_id TEXT NOT NULL,
    nth BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    booking_id TEXT,
    ours BIGINT NOT NULL,
    theirs BIGINT NOT NULL,
    detail TEXT NOT NULL,
    repaired BIGINT NOT NULL,
    PRIMARY KEY (report_id, nth)
);
