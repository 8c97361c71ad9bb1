"""What is kept and where: identity, pack files, the store on disk, the database, the queue.

Knows neither torch nor HTTP.
"""
