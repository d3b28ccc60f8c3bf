-- Who was erased.

-- name: lock_erasure
-- The transaction holds the whole database already.
SELECT ?

-- name: has_tombstones
SELECT EXISTS (SELECT 1 FROM tombstones)

-- name: tombstones
SELECT digest, erased_at, lifted_at FROM tombstones WHERE digest = ?

-- name: put_tombstones
INSERT INTO tombstones (digest, is_person, erased_at, person) VALUES (?, ?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET
    erased_at = max(erased_at, excluded.erased_at),
    lifted_at = NULL,
    person = excluded.person,
    updated_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)

-- name: lift_tombstones
UPDATE tombstones SET lifted_at = ?2, updated_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
WHERE digest = ?1 AND lifted_at IS NULL AND erased_at < ?2

-- name: put_back_tombstones
-- Those of the people whose the messages were, if it is news.
UPDATE tombstones SET
    erased_at = ?2, lifted_at = NULL, updated_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
WHERE digest = (SELECT person FROM tombstones WHERE digest = ?1) AND ?2 > max(erased_at, coalesce(lifted_at, 0))

-- name: changed_tombstones
SELECT updated_at, lower(hex(digest)), erased_at, lifted_at
FROM tombstones
WHERE is_person AND (updated_at, digest) > (?, unhex(?))
ORDER BY updated_at, digest
LIMIT ?

-- name: last_erasure
SELECT max(updated_at) FROM tombstones

-- name: known_messages
SELECT account, message_id, rewritten_at IS NOT NULL FROM messages WHERE account = ? AND message_id = ?

-- name: messages_of_person
SELECT account, message_id FROM messages
WHERE account = ? AND recipient = ?
ORDER BY message_id
LIMIT ?

-- name: events_of_person
SELECT id FROM events
WHERE account = ? AND coalesce(detail ->> '$.registration.recipient', detail ->> '$.change.recipient') = ?
ORDER BY id
LIMIT ?

-- name: remove_standing
DELETE FROM standings WHERE account = ? AND recipient = ?

-- name: remove_list_standings
DELETE FROM recipients WHERE account = ? AND recipient = ?

-- name: remove_empty_batch_counts
-- Of what was withdrawn: nobody knows any more whom these keys name.
DELETE FROM batch_counts WHERE account = ? AND batch = ? AND key <> '' AND count = 0

-- name: remove_batch_counts
DELETE FROM batch_counts WHERE account = ? AND batch = ? AND measure = ? AND key = ?
