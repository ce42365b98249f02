-- Who changed what. Rows are added in the transaction of the change and never touched again.
CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    -- An account's id, or a word such as `system`.
    actor TEXT NOT NULL,
    actor_name TEXT,
    -- Of the client, as the gateway found it out.
    address TEXT,
    agent TEXT,
    -- Method and path.
    request TEXT,
    action TEXT NOT NULL,
    -- The record.
    subject TEXT NOT NULL,
    -- JSON: what differs, as it was and as it is. NULL: there was, there is nothing.
    before_change TEXT,
    after_change TEXT
);

CREATE INDEX audit_time ON audit (at, id);

CREATE INDEX audit_subject ON audit (subject, at);

CREATE INDEX audit_actor ON audit (actor, at);

-- Seals the rows of `audit`, one after the other: a hash of the row and of the hash before
-- it. Written by a job, apart from the changes, so that these do not wait for each other.
CREATE TABLE audit_chain (
    nth BIGINT PRIMARY KEY,
    entry_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    sealed_at BIGINT NOT NULL,
    CONSTRAINT audit_chain_entry UNIQUE (entry_id)
);
