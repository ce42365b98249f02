-- Tax documents as they were issued: none ever changes, and none goes. Numbers come from
-- `invoice_series`, in the transaction that stores the document.
CREATE TABLE documents (
    number TEXT PRIMARY KEY,
    booking_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- Paise.
    amount BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    -- In its QR code; who has it may see that the document is genuine.
    code TEXT NOT NULL UNIQUE,
    -- The command or event that called for it; NULL where nobody needs to know.
    occasion TEXT,
    -- JSON: everything that stands on it.
    content TEXT NOT NULL
);

CREATE INDEX documents_of_booking ON documents (booking_id, issued_at);
