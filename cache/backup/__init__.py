"""Backups of a store and its database, taken while they are used (docs/backup.md).

A folder of backups has one folder for each, named after the time (UTC) at which it was complete:

    20260131T030000.123456Z/backup.json            what is in it, with the hash of every file
                            rows/<table>.jsonl     a row a line, values in the columns' order
                            files/<folder>/<name>  as in the store
    .part                   one that is not complete; the next run goes on with it
    .lock                   whoever takes a backup holds it

Files that did not change are hard links to those of the backup before, so each folder is whole by
itself and any of them may be deleted.
"""
