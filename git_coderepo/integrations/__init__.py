"""Which other tools record runs by this program?"""
