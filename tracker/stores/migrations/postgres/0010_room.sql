-- Room in a page of messages for the next states of those in it: most updates then leave every index alone.

ALTER TABLE tracker.messages SET (fillfactor = 50);
