CREATE TABLE user_groups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    -- JSON list of the permissions held.
    permissions TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT user_groups_name UNIQUE (name)
);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- Trimmed and in lower case.
    email TEXT NOT NULL,
    username TEXT NOT NULL,
    -- A PHC string (Argon2id), or bcrypt for accounts that were moved here and have not logged in since.
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL DEFAULT 'user' CONSTRAINT users_role CHECK (role IN ('user', 'admin')),
    group_id TEXT REFERENCES user_groups (id),
    verified BIGINT NOT NULL DEFAULT 0,
    active BIGINT NOT NULL DEFAULT 1,
    -- Sessions of other versions have ended.
    token_version BIGINT NOT NULL DEFAULT 0,
    phone TEXT,
    address TEXT,
    city TEXT,
    state TEXT,
    zip_code TEXT,
    country TEXT,
    profile_image TEXT,
    login_count BIGINT NOT NULL DEFAULT 0,
    last_login_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT users_email UNIQUE (email),
    CONSTRAINT users_username UNIQUE (username)
);

CREATE INDEX users_role ON users (role);

CREATE INDEX users_group ON users (group_id);

-- Who has filled in the form and not yet typed the code.
CREATE TABLE pending_registrations (
    email TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    username TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    phone TEXT,
    expires_at BIGINT NOT NULL
);

-- Codes that were mailed. At most one for a purpose and subject.
CREATE TABLE codes (
    purpose TEXT NOT NULL,
    -- Registrations: the e-mail address. Logins: the account.
    subject TEXT NOT NULL,
    -- Keyed hash; the code itself is nowhere.
    digest TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    -- Mails since the person last proved something else.
    sends BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (purpose, subject)
);

-- When something was last mailed for somebody, known here or not.
CREATE TABLE mail_marks (
    scope TEXT PRIMARY KEY,
    sent_at BIGINT NOT NULL
);

CREATE INDEX mail_marks_age ON mail_marks (sent_at);

-- Wrong passwords in the current window, for addresses known here or not.
CREATE TABLE login_failures (
    email TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    since BIGINT NOT NULL
);

CREATE INDEX login_failures_age ON login_failures (since);

-- Sessions that were ended before their time.
CREATE TABLE revoked_sessions (
    token_hash TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX revoked_sessions_age ON revoked_sessions (expires_at);

CREATE TABLE password_resets (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    token_hash TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT password_resets_token UNIQUE (token_hash)
);
