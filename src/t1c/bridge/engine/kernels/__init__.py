"""The room of the fast paths: each kernel computes what plain torch would, in less time.

``choose`` decides which is used. ``definition`` is the meaning in plain torch, step by step; every
other kernel gives its numbers, bit for bit where sums are exact in any order.
"""
