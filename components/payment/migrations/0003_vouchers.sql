-- Credit that whoever shows its code can pay with. What is left of it is not here: it is
-- what the book says, so that the two cannot disagree.
CREATE TABLE vouchers (
    id TEXT PRIMARY KEY,
    -- Sixteen characters that nobody can guess.
    code TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('credit', 'gift', 'goodwill')),
    -- Names what it was issued for: the same key is the same voucher.
    issue_key TEXT NOT NULL UNIQUE,
    -- Paise, when it was issued; and how much of it nobody has paid for.
    amount BIGINT NOT NULL CHECK (amount > 0),
    bonus BIGINT NOT NULL CHECK (bonus >= 0 AND bonus <= amount),
    -- Whose list it is in; none: only who has the code knows it.
    owner_id TEXT,
    -- The booking whose money it was, if any.
    booking_id TEXT,
    reason TEXT NOT NULL,
    issued_by TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- When what was left of it was booked as earned; none while it is valid.
    expired_at BIGINT,
    voided_at BIGINT,
    voided_by TEXT,
    void_reason TEXT,
    -- Transactions on it take turns at this row.
    turns BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX vouchers_owner ON vouchers (owner_id);

CREATE INDEX vouchers_age ON vouchers (issued_at);

CREATE INDEX vouchers_expiry ON vouchers (expires_at) WHERE expired_at IS NULL;

-- What a voucher pays of a payable. It is reserved as long as the payable is open.
ALTER TABLE payables ADD COLUMN voucher_id TEXT;

ALTER TABLE payables ADD COLUMN voucher_amount BIGINT NOT NULL DEFAULT 0;

CREATE INDEX payables_voucher ON payables (voucher_id) WHERE voucher_id IS NOT NULL;

-- The voucher that a payment was made with, that a refund went to, and that a transfer
-- moved credit of.
ALTER TABLE payments ADD COLUMN voucher_id TEXT;

ALTER TABLE refunds ADD COLUMN voucher_id TEXT;

ALTER TABLE ledger_transfers ADD COLUMN voucher_id TEXT;

CREATE INDEX ledger_transfers_voucher ON ledger_transfers (voucher_id) WHERE voucher_id IS NOT NULL;

INSERT INTO ledger_accounts (name, kind, meaning) VALUES
    ('goodwill', 'income', 'Credit that was given away: it lessens what is earned');
