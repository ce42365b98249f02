-- Whether staff made the account for a customer who had none.
ALTER TABLE users ADD COLUMN created_by_staff BIGINT NOT NULL DEFAULT 0;

CREATE INDEX users_phone ON users (phone);
