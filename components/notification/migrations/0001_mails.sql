-- Mails as they will be sent, rendered when they were queued.
CREATE TABLE mails (
    id TEXT PRIMARY KEY,
    -- The sender's key: the same key is queued once.
    mail_key TEXT NOT NULL CONSTRAINT mails_key_unique UNIQUE,
    kind TEXT NOT NULL,
    recipient_name TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- Empty once a mail that carries a code needs them no more.
    text_body TEXT NOT NULL,
    html_body TEXT NOT NULL,
    -- Whether the bodies carry a code that must not outlive the sending.
    secret BIGINT NOT NULL,
    status TEXT NOT NULL CONSTRAINT mails_status CHECK (status IN ('queued', 'sending', 'sent', 'failed')),
    -- Attempts begun. The number of the running one is its claim on the mail.
    attempts BIGINT NOT NULL DEFAULT 0,
    -- Queued: not before this instant in ms. Sending: the attempt counts as lost after it.
    next_attempt_at BIGINT NOT NULL,
    -- Instant in ms after which no attempt is made any more.
    give_up_at BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    -- When it was sent or given up.
    finished_at BIGINT
);

CREATE INDEX mails_due ON mails (next_attempt_at, id) WHERE status IN ('queued', 'sending');

CREATE INDEX mails_finished ON mails (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE mail_attachments (
    mail_id TEXT NOT NULL REFERENCES mails (id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    file_name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (mail_id, position)
);
