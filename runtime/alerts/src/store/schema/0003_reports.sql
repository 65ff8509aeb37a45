-- Incidents are reported: of each delivery one revision is due, and one was sent.
ALTER TABLE deliveries RENAME COLUMN wanted TO due_revision;
ALTER TABLE deliveries RENAME COLUMN told TO sent_revision;
ALTER TABLE deliveries RENAME COLUMN told_at TO sent_at;
UPDATE alerts SET outcome = 'reported' WHERE outcome = 'told';
UPDATE incidents SET title = 'more new incidents than are reported one by one' WHERE kind = 'summary';
UPDATE history SET what = REPLACE(what, 'told in the summary ', 'reported in the summary ')
    WHERE what LIKE 'told in the summary %';
