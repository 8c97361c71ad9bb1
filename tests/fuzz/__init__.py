"""Files that were made wrong, by the thousand: what reads them may refuse them, and no more.

    mutations.py   bytes → other bytes, the same ones for the same number
    seeds.py       whole files of each format, and how to put one together again after a change
    readers.py     what is done with a file, as the worker or the service does it
    running.py     a process that may crash, hang or leak, watched by the test

``FEATUREPACK_FUZZ`` says how many files of each format; 150 take less than a minute in all.
"""
