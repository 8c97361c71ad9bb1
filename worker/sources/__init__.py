"""Where the images of a dataset come from.

Every source is a function that gives a :class:`~worker.sources.source.Source`; ``registry.py``
chooses among them by the spec's ``kind`` and, for uploads, by what the files contain.

    folder.py             an image folder below the operator's data root; its images stay there
    archive.py            an uploaded zip or tar of such a folder
    arrays.py             arrays of images and labels, out of npz.py, HDF5 or pickles.py
    builtin.py            scikit-learn's digits
    torchvision_sets.py   the classification sets that torchvision can download

What an upload contains is hostile until shown otherwise. Sizes that a file declares are checked
before they are believed, and what is unpacked is counted as it comes.
"""
