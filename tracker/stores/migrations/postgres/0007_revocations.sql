-- What no link may lead to any more, and a record of every administrative act.

-- What was lifted stays, so that a node that missed it learns of it.
CREATE TABLE tracker.revocations (
    account text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    -- SHA-256 of the value: a URL may be longer than an entry of an index.
    digest bytea NOT NULL,
    value text NOT NULL,
    is_revoked boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (account, kind, digest)
);
CREATE TABLE tracker.revocations_version (version bigint NOT NULL);
INSERT INTO tracker.revocations_version VALUES (0);

CREATE TABLE tracker.audit (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    account text COLLATE "C" NOT NULL,
    actor text NOT NULL,
    act text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    -- Of what was done while the store was away: it is told more than once, and kept once.
    uid bytea UNIQUE
);
CREATE INDEX audit_by_account ON tracker.audit (account, id);
-- Its row is locked until the end of the transaction: ids are seen in their order, so that a reader skips none.
CREATE TABLE tracker.audit_sequence (last bigint NOT NULL);
INSERT INTO tracker.audit_sequence VALUES (0);
