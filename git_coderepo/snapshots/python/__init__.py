"""Which checkouts does a Python program run from and import?"""
