"""Which other tools record their runs with this program?"""
