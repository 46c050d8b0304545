"""Fuzzing of what reads untrusted bytes on a runner: `make fuzz TARGET=tar SECONDS=600`, guided by coverage.

A target takes any bytes and raises for a finding alone; the errors that it expects are ours, by name. The tests play
the seeds and simple mutations of them on every target, without atheris.
"""
