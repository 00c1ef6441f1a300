-- Tells this database from any other, also from one that lay at the same path before: what is kept elsewhere about it, such
-- as the second tier of the cache, names it.
CREATE TABLE installation (
    id TEXT NOT NULL
) STRICT;
INSERT INTO installation (id) VALUES (lower(hex(randomblob(16))));
