-- Events that a consumer has not taken yet: a row for each event and consumer.
CREATE TABLE outbox (
    event_id TEXT NOT NULL,
    consumer TEXT NOT NULL,
    -- The record the event is about.
    subject TEXT NOT NULL,
    event TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT NOT NULL,
    last_error TEXT,
    PRIMARY KEY (event_id, consumer)
);

CREATE INDEX outbox_due ON outbox (next_attempt_at);

CREATE INDEX outbox_subject ON outbox (subject, consumer);

-- Events taken, so that a second delivery changes nothing.
CREATE TABLE inbox (
    event_id TEXT PRIMARY KEY,
    received_at BIGINT NOT NULL
);

-- Requests with an Idempotency-Key and what they were answered.
CREATE TABLE idempotency (
    scope TEXT NOT NULL,
    request_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    locked_until BIGINT NOT NULL,
    status BIGINT,
    headers TEXT,
    body BLOB,
    PRIMARY KEY (scope, request_key)
);

CREATE INDEX idempotency_age ON idempotency (created_at);
