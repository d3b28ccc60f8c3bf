-- What no link may lead to any more, and a record of every administrative act.

-- What was lifted stays, so that a node that missed it learns of it.
CREATE TABLE revocations (
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    digest BLOB NOT NULL,
    value TEXT NOT NULL,
    is_revoked INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (account, kind, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE revocations_version (version INTEGER NOT NULL) STRICT;
INSERT INTO revocations_version VALUES (0);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    account TEXT NOT NULL,
    actor TEXT NOT NULL,
    act TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    -- Of what was done while the store was away: it is told more than once, and kept once.
    uid BLOB UNIQUE
) STRICT;
CREATE INDEX audit_by_account ON audit (account, id);
