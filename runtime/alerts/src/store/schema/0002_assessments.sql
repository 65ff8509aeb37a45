-- Reviewers assess alerts, and the last state of an alert is `final`.
ALTER TABLE opinions RENAME TO assessments;
ALTER TABLE alerts RENAME COLUMN judged TO assessed;
UPDATE alerts SET state = 'final' WHERE state = 'settled';
