CREATE TABLE blog_regions (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL CONSTRAINT blog_regions_name_unique UNIQUE,
    slug TEXT NOT NULL CONSTRAINT blog_regions_slug_unique UNIQUE,
    description TEXT NOT NULL,
    image TEXT NOT NULL,
    is_enabled BIGINT NOT NULL,
    -- Instants in ms.
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE blogs (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    slug TEXT NOT NULL CONSTRAINT blogs_slug_unique UNIQUE,
    -- HTML.
    content TEXT NOT NULL,
    excerpt TEXT NOT NULL,
    banner_image TEXT,
    -- Readers may find a region gone: no foreign key.
    region_id TEXT NOT NULL,
    meta_title TEXT NOT NULL,
    meta_description TEXT NOT NULL,
    -- JSON array of texts.
    keywords TEXT NOT NULL,
    -- The author as known when the article was written.
    author_id TEXT NOT NULL,
    author_name TEXT NOT NULL,
    published BIGINT NOT NULL,
    -- When it was first published; stays when it is withdrawn.
    published_at BIGINT,
    -- Title, content and keywords in lower case, a line each.
    search_text TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT blogs_published_at CHECK (published = 0 OR published_at IS NOT NULL)
);

CREATE INDEX blogs_published ON blogs (published, published_at);

CREATE INDEX blogs_region ON blogs (region_id, published, published_at);
