-- Until when whoever is delivering an event has it to itself: of several relays at
-- once, on one host or on several, one delivers it. 0: nobody has it.
ALTER TABLE outbox ADD COLUMN claimed_until BIGINT NOT NULL DEFAULT 0;
