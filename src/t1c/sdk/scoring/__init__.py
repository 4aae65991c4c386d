"""Folders of samples scored by many processes, on this machine or on a Ray cluster.

score.py       the door: what is to be done, who does it, what came of it
job.py         the model and the options, the same for all shards
shards.py      which files there are, and where the results of each go
reading/       from a shard to blocks of samples, one file per kind
writing.py     results as .npz or .parquet, block after block
finished.py    what earlier runs left: finished, out of date, or made otherwise
scorer.py      a network at work on one shard after another
processes.py   a pool of scorers on this machine
on_ray.py      a pool of scorers on a Ray cluster
report.py      what is told at the end
"""
