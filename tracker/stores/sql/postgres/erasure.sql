-- Who was erased. Parameters of the writing queries are columns, one array for each, sorted by key.

-- name: lock_erasure
-- Alone, or together with others that do not want to be alone. The number spells "tracker", and one.
SELECT CASE
    WHEN $1::boolean THEN pg_advisory_xact_lock(32776859903812979)
    ELSE pg_advisory_xact_lock_shared(32776859903812979)
END

-- name: has_tombstones
SELECT EXISTS (SELECT 1 FROM tracker.tombstones)

-- name: tombstones
SELECT digest, erased_at, lifted_at
FROM tracker.tombstones
JOIN unnest($1::bytea[]) AS k (digest) USING (digest)

-- name: put_tombstones
INSERT INTO tracker.tombstones AS t (digest, is_person, erased_at, person)
SELECT * FROM unnest($1::bytea[], $2::boolean[], $3::timestamptz[], $4::bytea[])
ON CONFLICT (digest) DO UPDATE SET
    erased_at = greatest(t.erased_at, excluded.erased_at), lifted_at = NULL, person = excluded.person,
    updated_at = clock_timestamp()

-- name: lift_tombstones
UPDATE tracker.tombstones AS t SET lifted_at = k.at, updated_at = clock_timestamp()
FROM unnest($1::bytea[], $2::timestamptz[]) AS k (digest, at)
WHERE t.digest = k.digest AND t.lifted_at IS NULL AND t.erased_at < k.at

-- name: put_back_tombstones
-- Those of the people whose the messages were, if it is news. Locked in their order.
WITH objected AS (
    SELECT m.person AS digest, max(k.at) AS at
    FROM unnest($1::bytea[], $2::timestamptz[]) AS k (digest, at)
    JOIN tracker.tombstones AS m USING (digest)
    GROUP BY m.person
), locked AS MATERIALIZED (
    SELECT p.digest, o.at FROM tracker.tombstones AS p JOIN objected AS o USING (digest) ORDER BY p.digest FOR UPDATE OF p
)
UPDATE tracker.tombstones AS t SET erased_at = l.at, lifted_at = NULL, updated_at = clock_timestamp()
FROM locked AS l
WHERE t.digest = l.digest AND l.at > greatest(t.erased_at, t.lifted_at)

-- name: changed_tombstones
SELECT updated_at, encode(digest, 'hex'), erased_at, lifted_at
FROM tracker.tombstones
WHERE is_person AND (updated_at, digest) > ($1, decode($2, 'hex'))
ORDER BY updated_at, digest
LIMIT $3

-- name: last_erasure
SELECT max(updated_at) FROM tracker.tombstones

-- name: known_messages
SELECT account, message_id, rewritten_at IS NOT NULL
FROM tracker.messages
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)

-- name: messages_of_person
SELECT account, message_id FROM tracker.messages
WHERE account = $1 AND recipient = $2
ORDER BY message_id
LIMIT $3

-- name: events_of_person
SELECT id FROM tracker.events
WHERE account = $1 AND coalesce(detail #>> '{registration,recipient}', detail #>> '{change,recipient}') = $2
ORDER BY id
LIMIT $3

-- name: remove_standing
DELETE FROM tracker.standings WHERE account = $1 AND recipient = $2

-- name: remove_list_standings
DELETE FROM tracker.recipients WHERE account = $1 AND recipient = $2

-- name: remove_empty_batch_counts
-- Of what was withdrawn: nobody knows any more whom these keys name.
DELETE FROM tracker.batch_counts AS c
USING unnest($1::text[], $2::text[]) AS k (account, batch)
WHERE c.account = k.account AND c.batch = k.batch AND c.key <> '' AND c.count = 0

-- name: remove_batch_counts
DELETE FROM tracker.batch_counts AS c
USING unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (account, batch, measure, key)
WHERE c.account = k.account AND c.batch = k.batch AND c.measure = k.measure AND c.key = k.key
