"""Usefulness: does training on synthetic scans help a network that is tested on real patients?"""
