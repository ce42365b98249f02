CREATE TABLE treks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- Columns that lists filter and sort by; the whole is in doc.
    region_id TEXT NOT NULL,
    region_name TEXT NOT NULL,
    season TEXT NOT NULL,
    category TEXT NOT NULL,
    difficulty_rank BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    display_price BIGINT NOT NULL CONSTRAINT treks_price CHECK (display_price >= 0),
    enabled BIGINT NOT NULL,
    custom BIGINT NOT NULL,
    getaway BIGINT NOT NULL,
    deleted BIGINT NOT NULL DEFAULT 0,
    access_token TEXT,
    search_text TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    -- The trek as JSON, everything included.
    doc TEXT NOT NULL,
    -- What everybody may see of it, ready to send but for the batches.
    public_doc TEXT NOT NULL,
    -- What a sale depends on, as JSON.
    terms TEXT NOT NULL
);

CREATE INDEX treks_newest ON treks (created_at);

CREATE INDEX treks_region ON treks (region_id);

-- Slugs of treks, past ones too, so that old links keep working.
CREATE TABLE trek_slugs (
    slug TEXT PRIMARY KEY,
    trek_id TEXT NOT NULL REFERENCES treks (id)
);

CREATE TABLE regions (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    CONSTRAINT regions_name UNIQUE (name),
    CONSTRAINT regions_slug UNIQUE (slug)
);

CREATE TABLE sections (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    active BIGINT NOT NULL,
    display_order BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE section_treks (
    section_id TEXT NOT NULL REFERENCES sections (id),
    trek_id TEXT NOT NULL REFERENCES treks (id),
    position BIGINT NOT NULL,
    PRIMARY KEY (section_id, trek_id)
);
